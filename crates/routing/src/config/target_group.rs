//! Target groups: where requests go, how targets are checked and chosen. Source: `TargetGroup` of the ELBv2 model and the guides'
//! pages on target group attributes.

use std::{net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub arn: String,
    pub name: String,
    pub protocol: Protocol,
    /// Of HTTP and HTTPS.
    pub version: ProtocolVersion,
    /// Unset when it is switched off, which the API allows for other target types than `ip` and `instance` only.
    pub health_check: Option<HealthCheck>,
    pub attributes: TargetGroupAttributes,
    /// Draining ones too, until the control plane lets them go.
    pub targets: Vec<Target>,
}

/// What targets speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
    Http,
    Https,
    Tcp,
    Tls,
    Udp,
    TcpUdp,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProtocolVersion {
    #[default]
    Http1,
    Http2,
    Grpc,
}

/// Where one target is. `id` and `port` together tell targets of a group apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// As registered: an address, or `i-…`.
    pub id: String,
    /// Where it is reached; for an instance, its address.
    pub address: IpAddr,
    pub port: u16,
    /// The availability zone's name; unset for `all`.
    pub zone: Option<String>,
    /// Deregistered: gets nothing new; what it has may finish.
    pub draining: bool,
    /// Tells registrations of one address apart: what was measured of one says nothing about the next. Any number that differs.
    pub registration: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// HTTP, HTTPS or TCP (TLS of classic load balancers: the handshake).
    pub protocol: Protocol,
    pub port: CheckPort,
    /// Of HTTP and HTTPS, with its leading slash.
    pub path: String,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    pub matcher: Matcher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckPort {
    /// `traffic-port`: that of the target.
    Traffic,
    Fixed(u16),
}

/// Which answers are good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Matcher {
    /// Status codes.
    Http(Vec<CodeRange>),
    /// Codes of gRPC; the path is the method that is called.
    Grpc(Vec<CodeRange>),
    /// A connection is enough.
    Connection,
}

/// Codes from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeRange {
    pub first: u16,
    pub last: u16,
}

/// Text that is no list of codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a list of codes")]
pub struct InvalidCodes(pub String);

impl Matcher {
    /// `200`, `200,202` or `200-299`, as `HttpCode` and `GrpcCode` have them. Does not look at which codes the API allows.
    pub fn codes(text: &str) -> Result<Vec<CodeRange>, InvalidCodes> {
        text.split(',').map(|part| part.trim().parse().map_err(|_| InvalidCodes(text.to_owned()))).collect()
    }

    /// Whether a code is among the good ones.
    pub fn accepts(&self, code: u16) -> bool {
        match self {
            Matcher::Http(ranges) | Matcher::Grpc(ranges) => {
                ranges.iter().any(|range| (range.first..=range.last).contains(&code))
            }
            Matcher::Connection => true,
        }
    }
}

impl FromStr for CodeRange {
    type Err = InvalidCodes;

    fn from_str(text: &str) -> Result<CodeRange, InvalidCodes> {
        let invalid = || InvalidCodes(text.to_owned());
        let code = |part: &str| {
            if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(invalid());
            }
            part.parse::<u16>().map_err(|_| invalid())
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = CodeRange { first: code(first)?, last: code(last)? };
        if range.first > range.last { Err(invalid()) } else { Ok(range) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetGroupAttributes {
    /// `deregistration_delay.timeout_seconds`: how long what is in flight on a draining target may last.
    pub deregistration_delay_seconds: u32,
    /// `deregistration_delay.connection_termination.enabled`, of TCP.
    pub terminate_when_draining_ends: bool,
    /// `slow_start.duration_seconds`, 30 to 900; 0 is off.
    pub slow_start_seconds: u32,
    /// `load_balancing.algorithm.type`.
    pub algorithm: Algorithm,
    /// `load_balancing.cross_zone.enabled`; unset is the load balancer's own.
    pub cross_zone: Option<bool>,
    pub stickiness: Stickiness,
    /// `target_group_health.unhealthy_state_routing.minimum_healthy_targets.count`: with fewer, all targets get requests.
    pub minimum_healthy_count: u32,
    /// `….percentage`, 1 to 100; unset is off.
    pub minimum_healthy_percentage: Option<u8>,
    /// `preserve_client_ip.enabled`, of TCP and UDP.
    pub preserve_client_address: bool,
    /// `proxy_protocol_v2.enabled`, of TCP; version 1 on a classic load balancer with a proxy protocol policy.
    pub proxy_protocol: bool,
    /// `target_health_state.unhealthy.connection_termination.enabled`, of TCP.
    pub terminate_when_unhealthy: bool,
}

impl Default for TargetGroupAttributes {
    fn default() -> TargetGroupAttributes {
        TargetGroupAttributes {
            deregistration_delay_seconds: 300,
            terminate_when_draining_ends: false,
            slow_start_seconds: 0,
            algorithm: Algorithm::RoundRobin,
            cross_zone: None,
            stickiness: Stickiness::Off,
            minimum_healthy_count: 1,
            minimum_healthy_percentage: None,
            preserve_client_address: false,
            proxy_protocol: false,
            terminate_when_unhealthy: true,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    RoundRobin,
    LeastOutstandingRequests,
    /// `load_balancing.algorithm.anomaly_mitigation` says whether targets with unusually many errors get less.
    WeightedRandom {
        anomaly_mitigation: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stickiness {
    Off,
    /// The load balancer's own cookie, good for so long since the client's last request. On a classic load balancer 0 is as
    /// long as the browser keeps it.
    LoadBalancerCookie {
        seconds: u32,
    },
    /// As long as the client has the application's cookie of this name; our own beside it says which target.
    ApplicationCookie {
        name: String,
        seconds: u32,
    },
    /// By the client's address, of TCP and UDP.
    SourceAddress,
}
