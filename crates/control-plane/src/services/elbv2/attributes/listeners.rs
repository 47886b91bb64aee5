//! Attributes of listeners.

use super::{Accepts, Known, known};
use crate::services::elbv2::records::Protocol;

/// Headers that a listener can set on every response: the attribute and the header.
pub const RESPONSE_HEADERS: [(&str, &str); 10] = [
    ("routing.http.response.strict_transport_security.header_value", "Strict-Transport-Security"),
    ("routing.http.response.access_control_allow_origin.header_value", "Access-Control-Allow-Origin"),
    ("routing.http.response.access_control_allow_methods.header_value", "Access-Control-Allow-Methods"),
    ("routing.http.response.access_control_allow_headers.header_value", "Access-Control-Allow-Headers"),
    (
        "routing.http.response.access_control_allow_credentials.header_value",
        "Access-Control-Allow-Credentials",
    ),
    ("routing.http.response.access_control_expose_headers.header_value", "Access-Control-Expose-Headers"),
    ("routing.http.response.access_control_max_age.header_value", "Access-Control-Max-Age"),
    ("routing.http.response.content_security_policy.header_value", "Content-Security-Policy"),
    ("routing.http.response.x_content_type_options.header_value", "X-Content-Type-Options"),
    ("routing.http.response.x_frame_options.header_value", "X-Frame-Options"),
];

/// Headers about TLS whose names AWS lets be changed.
const REQUEST_HEADERS: [(&str, &str); 8] = [
    ("routing.http.request.x_amzn_tls_version.header_name", "X-Amzn-Tls-Version"),
    ("routing.http.request.x_amzn_tls_cipher_suite.header_name", "X-Amzn-Tls-Cipher-Suite"),
    ("routing.http.request.x_amzn_mtls_clientcert.header_name", "X-Amzn-Mtls-Clientcert"),
    (
        "routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name",
        "X-Amzn-Mtls-Clientcert-Serial-Number",
    ),
    ("routing.http.request.x_amzn_mtls_clientcert_issuer.header_name", "X-Amzn-Mtls-Clientcert-Issuer"),
    ("routing.http.request.x_amzn_mtls_clientcert_subject.header_name", "X-Amzn-Mtls-Clientcert-Subject"),
    ("routing.http.request.x_amzn_mtls_clientcert_validity.header_name", "X-Amzn-Mtls-Clientcert-Validity"),
    ("routing.http.request.x_amzn_mtls_clientcert_leaf.header_name", "X-Amzn-Mtls-Clientcert-Leaf"),
];

/// The attributes that a listener of this protocol has.
pub fn of_listener(protocol: Protocol) -> Vec<Known> {
    match protocol {
        Protocol::Http | Protocol::Https => {
            let mut all = vec![known("routing.http.response.server.enabled", "true", Accepts::Bool)];
            all.extend(RESPONSE_HEADERS.iter().map(|(key, _)| known(key, "", Accepts::Text(1024))));
            if protocol == Protocol::Https {
                all.extend(REQUEST_HEADERS.iter().map(|(key, name)| known(key, name, Accepts::OnlyDefault)));
            }
            all
        }
        Protocol::Tcp => vec![known("tcp.idle_timeout.seconds", "350", Accepts::Number(60, 6000))],
        Protocol::Tls | Protocol::Udp | Protocol::TcpUdp => Vec::new(),
    }
}
