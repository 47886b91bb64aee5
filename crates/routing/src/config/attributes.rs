//! Attributes of load balancers and listeners that the data plane acts on. Source of names, values and defaults: the guide's
//! pages on load balancer attributes and listener attributes. `Default` is the API's default for the kind that has the attribute.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadBalancerAttributes {
    /// `idle_timeout.timeout_seconds`, 1 to 4,000.
    pub idle_timeout_seconds: u32,
    /// `client_keep_alive.seconds`, 60 to 604,800: how long a client's connection may live at most.
    pub client_keep_alive_seconds: u32,
    /// `routing.http.desync_mitigation_mode`.
    pub desync_mitigation: DesyncMitigation,
    /// `routing.http.drop_invalid_header_fields.enabled`.
    pub drop_invalid_header_fields: bool,
    /// `routing.http.preserve_host_header.enabled`.
    pub preserve_host_header: bool,
    /// `routing.http.x_amzn_tls_version_and_cipher_suite.enabled`.
    pub tls_headers: bool,
    /// `routing.http.xff_client_port.enabled`.
    pub forwarded_client_port: bool,
    /// `routing.http.xff_header_processing.mode`.
    pub forwarded_for: ClientAddressHeader,
    /// `routing.http2.enabled`.
    pub http2: bool,
    /// `load_balancing.cross_zone.enabled`; always on for an application load balancer.
    pub cross_zone: bool,
    /// `access_logs.s3.*`, when enabled.
    pub access_logs: Option<AccessLogs>,
    /// `connection_logs.s3.*`, when enabled, of an application load balancer.
    #[serde(default)]
    pub connection_logs: Option<AccessLogs>,
}

impl Default for LoadBalancerAttributes {
    fn default() -> LoadBalancerAttributes {
        LoadBalancerAttributes {
            idle_timeout_seconds: 60,
            client_keep_alive_seconds: 3600,
            desync_mitigation: DesyncMitigation::Defensive,
            drop_invalid_header_fields: false,
            preserve_host_header: false,
            tls_headers: false,
            forwarded_client_port: false,
            forwarded_for: ClientAddressHeader::Append,
            http2: true,
            cross_zone: true,
            access_logs: None,
            connection_logs: None,
        }
    }
}

/// What is done about requests that two parsers could read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DesyncMitigation {
    Monitor,
    Defensive,
    Strictest,
}

/// What is done with `X-Forwarded-For`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAddressHeader {
    Append,
    Preserve,
    Remove,
}

/// Where the lines about requests go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLogs {
    pub bucket: String,
    pub prefix: String,
    /// How often files of them are made: 5, or 60 of a classic load balancer.
    #[serde(default = "five_minutes")]
    pub interval_minutes: u32,
}

fn five_minutes() -> u32 {
    5
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerAttributes {
    /// `routing.http.response.server.enabled`: whether responses keep `Server`.
    pub server_header: bool,
    /// `routing.http.response.*.header_value`: set on every response in place of what a target said.
    pub response_headers: Vec<ResponseHeader>,
    /// `tcp.idle_timeout.seconds` of a TCP listener, 60 to 6,000.
    pub tcp_idle_timeout_seconds: u32,
}

impl Default for ListenerAttributes {
    fn default() -> ListenerAttributes {
        ListenerAttributes {
            server_header: true,
            response_headers: Vec::new(),
            tcp_idle_timeout_seconds: 350,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHeader {
    /// `Strict-Transport-Security`, `Access-Control-Allow-Origin` and the like.
    pub name: String,
    pub value: String,
}
