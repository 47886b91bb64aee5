use routing::config::{
    Action, Certificate, FixedResponse, ListenerAttributes, ListenerProtocol, Outcome, SecretText,
};

use super::*;
use crate::network::tests::{CERTIFICATE, KEY};

fn listener(chain: &str, key: &str, policy: &str) -> Listener {
    Listener {
        arn: "listener".into(),
        protocol: ListenerProtocol::Tls,
        port: 443,
        ssl_policy: Some(policy.to_owned()),
        alpn_policy: None,
        certificates: vec![Certificate {
            arn: "arn:certificate".into(),
            chain_pem: chain.to_owned(),
            private_key_pem: SecretText::new(key),
        }],
        client_certificates: Default::default(),
        attributes: ListenerAttributes::default(),
        rules: Vec::new(),
        default: Outcome {
            transforms: Vec::new(),
            action: Action::FixedResponse(FixedResponse {
                status: 200,
                content_type: None,
                body: String::new(),
            }),
        },
    }
}

fn text(pem: &[u8]) -> &str {
    std::str::from_utf8(pem).expect("text")
}

#[test]
fn a_listener_shows_its_certificate() {
    let good = listener(text(CERTIFICATE), text(KEY), "ELBSecurityPolicy-TLS13-1-2-2021-06");
    let config = of_listener(&good, protocols(Some("HTTP2Preferred"))).expect("TLS");
    assert_eq!(config.alpn_protocols[0], b"h2");
    let without = Listener { certificates: Vec::new(), ..good };
    assert_eq!(of_listener(&without, &[]).expect_err("refused"), "the listener has no certificate");
    for bad in [listener("", text(KEY), ""), listener(text(CERTIFICATE), "no key", "")] {
        let reason = of_listener(&bad, &[]).expect_err("refused");
        assert!(reason.starts_with("certificate arn:certificate: "), "{reason}");
    }
}

#[test]
fn names_and_wildcards() {
    let good = listener(text(CERTIFICATE), text(KEY), "");
    let provider = ring::default_provider();
    let mut named = Named::read(&good.certificates[0], &provider).expect("read");
    assert_eq!(named.names, ["web.example"]);
    named.names = vec!["web.example".into(), "*.apps.example".into()];
    for (name, expected) in [
        ("web.example", true),
        ("a.apps.example", true),
        ("apps.example", false),
        ("a.b.apps.example", false),
        ("other.example", false),
    ] {
        assert_eq!(named.is_for(name), expected, "{name}");
    }
}

#[test]
fn policies_allow_versions() {
    assert_eq!(versions("ELBSecurityPolicy-TLS13-1-3-2021-06"), [&TLS13]);
    assert_eq!(versions("ELBSecurityPolicy-TLS13-1-2-2021-06"), [&TLS13, &TLS12]);
    assert_eq!(versions("ELBSecurityPolicy-2016-08"), [&TLS12]);
}
