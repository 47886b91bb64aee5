//! All that a node is told about its load balancers, as one value with a generation number.
//!
//! The control plane makes it from its records; the data plane swaps it in whole and never changes it. A greater generation replaces a
//! smaller one, an equal or smaller one is ignored. Defaults, quotas and conflicts are the control plane's matter: what is in
//! here is taken as it is, with every attribute filled in. References (an action's target group, a listener's certificate) that lead
//! nowhere are answered by the data plane with 503 and do not make the rest unusable.
//!
//! A classic load balancer is written in the same words: each of its listeners has one default action, forwarding to a target group
//! that the control plane makes up for the listener's instance protocol and port; its ARN only has to be unique and stable.

mod action;
mod attributes;
mod client_certificates;
mod condition;
mod secret;
mod target_group;

pub use action::{
    Action, FixedResponse, Forward, Redirect, RedirectCode, RedirectProtocol, Rewrite, Transform,
    WeightedTargetGroup,
};
pub use attributes::{
    AccessLogs, ClientAddressHeader, DesyncMitigation, ListenerAttributes, LoadBalancerAttributes,
    ResponseHeader,
};
pub use client_certificates::{ClientCertificates, TrustStore};
pub use condition::{AddressRange, Condition, InvalidAddressRange, Pattern, QueryPattern};
pub use secret::SecretText;
pub use target_group::{
    Algorithm, CheckPort, CodeRange, HealthCheck, InvalidCodes, Matcher, Protocol, ProtocolVersion,
    Stickiness, Target, TargetGroup, TargetGroupAttributes,
};

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// Everything about the load balancers of one node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// Grows with every change; the receiver ignores what is not newer than what it has.
    pub generation: u64,
    pub load_balancers: Vec<LoadBalancer>,
    /// Those that an action refers to, and those that none does: their targets are reported as unused.
    pub target_groups: Vec<TargetGroup>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancerKind {
    Application,
    Network,
    Classic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    InternetFacing,
    Internal,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// For a classic one, which has no ARN of its own in the API, the one that its tags and policies go by.
    pub arn: String,
    pub name: String,
    pub dns_name: String,
    pub kind: LoadBalancerKind,
    pub scheme: Scheme,
    pub attributes: LoadBalancerAttributes,
    /// One for each subnet; every listener listens on each of them.
    pub interfaces: Vec<Interface>,
    pub listeners: Vec<Listener>,
}

/// A node of the load balancer: a network interface in one of its subnets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// `eni-…`.
    pub id: String,
    pub subnet_id: String,
    pub vpc_id: String,
    /// The subnet's availability zone, by name.
    pub zone: String,
    pub private_address: Ipv4Addr,
    /// Where clients outside of the VPC reach it; of an internet-facing load balancer only.
    pub public_address: Option<Ipv4Addr>,
    /// `0a:…`, six octets in hexadecimal.
    pub mac: String,
    /// Ids of the security groups that apply; none on a network load balancer made without.
    pub security_groups: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ListenerProtocol {
    Http,
    Https,
    Tcp,
    Tls,
    Udp,
    TcpUdp,
}

impl ListenerProtocol {
    /// Whether requests are looked at, not only connections.
    pub fn is_http(self) -> bool {
        matches!(self, ListenerProtocol::Http | ListenerProtocol::Https)
    }

    /// Whether the load balancer ends TLS.
    pub fn is_encrypted(self) -> bool {
        matches!(self, ListenerProtocol::Https | ListenerProtocol::Tls)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    pub arn: String,
    pub protocol: ListenerProtocol,
    pub port: u16,
    /// By name, as in `DescribeSSLPolicies`; of encrypted listeners.
    pub ssl_policy: Option<String>,
    /// Names of the ALPN policy of a TLS listener: `HTTP1Only`, `HTTP2Only`, `HTTP2Optional`, `HTTP2Preferred`, `None`.
    pub alpn_policy: Option<String>,
    /// The first is the default, the others are chosen by the name that the client asks for (SNI). Empty unless encrypted.
    pub certificates: Vec<Certificate>,
    /// What is asked of clients.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
    pub attributes: ListenerAttributes,
    /// In the order of their priorities, without the default.
    pub rules: Vec<Rule>,
    /// When no rule matches.
    pub default: Outcome,
}

/// A certificate with its key, as text in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub arn: String,
    /// The certificate itself first, then those that lead to its authority.
    pub chain_pem: String,
    /// Not shown by `Debug`.
    pub private_key_pem: SecretText,
}

/// A rule of a listener. All its conditions must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub arn: String,
    pub priority: u32,
    pub conditions: Vec<Condition>,
    pub outcome: Outcome,
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// At most one of each type; applied before the request is forwarded.
    pub transforms: Vec<Transform>,
    /// The last action of the API's list. Those before it (authentication) are not spoken of here: the control plane refuses
    /// them.
    pub action: Action,
}
