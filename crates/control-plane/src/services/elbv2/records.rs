//! What Elastic Load Balancing keeps. Ids are what stands in the ARN behind the kind: `app/NAME/ID` for a load balancer, `NAME/ID`
//! for a target group.
//!
//! The rules of a listener are part of its record: priorities are unique within it and change together.

mod rules;

pub use rules::{Action, Condition, Does, Patterns, Redirect, Rule, Transform, WeightedGroup};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::services::tagging::Tags;

/// Attributes that differ from their defaults.
pub type Attributes = BTreeMap<String, String>;

/// The service's name in ARNs.
pub const ARN_SERVICE: &str = "elasticloadbalancing";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LoadBalancerKind {
    Application,
    Network,
}

impl LoadBalancerKind {
    /// As the API names it.
    pub fn as_str(self) -> &'static str {
        match self {
            LoadBalancerKind::Application => "application",
            LoadBalancerKind::Network => "network",
        }
    }

    /// As ARNs have it.
    pub fn in_arn(self) -> &'static str {
        match self {
            LoadBalancerKind::Application => "app",
            LoadBalancerKind::Network => "net",
        }
    }
}

/// A load balancer; its id is [`LoadBalancer::key`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    pub name: String,
    /// 16 hex digits.
    pub id: String,
    pub kind: LoadBalancerKind,
    pub internal: bool,
    pub dns_name: String,
    pub vpc_id: String,
    pub security_groups: Vec<String>,
    /// One in each zone, in the order of the zones.
    pub nodes: Vec<Node>,
    pub attributes: Attributes,
    pub created_at: Timestamp,
    pub tags: Tags,
}

/// A load balancer's interface in a zone. Its addresses stand in the interface's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub zone: String,
    pub subnet_id: String,
    pub interface_id: String,
    /// Of the elastic address that was chosen for it.
    pub allocation_id: Option<String>,
    /// Whether its private address was chosen.
    pub chosen_address: bool,
}

impl Record for LoadBalancer {
    const SERVICE: &'static str = "elbv2";
    const KIND: &'static str = "load-balancer";
    const SCHEMA_VERSION: u32 = 1;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![("name", self.name.clone())]
    }
}

impl LoadBalancer {
    /// `app/NAME/ID`
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.kind.in_arn(), self.name, self.id)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        load_balancer_arn(scope, &self.key())
    }
}

/// The ARN of the load balancer with the key `app/NAME/ID`.
pub fn load_balancer_arn(scope: &Scope, key: &str) -> String {
    scope.arn(ARN_SERVICE, format_args!("loadbalancer/{key}")).to_string()
}

/// A listener with its rules; its id is `LOAD-BALANCER-KEY/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// `app/NAME/ID`
    pub load_balancer: String,
    /// 16 hex digits.
    pub id: String,
    pub protocol: Protocol,
    pub port: u16,
    pub ssl_policy: Option<String>,
    pub alpn_policy: Option<String>,
    /// ARN of the default certificate.
    pub certificate: Option<String>,
    /// ARNs of those chosen by the name that a client asks for.
    pub further_certificates: Vec<String>,
    /// Of HTTPS listeners.
    #[serde(default)]
    pub mutual_tls: MutualTls,
    pub default_rule_id: String,
    pub default_rule_tags: Tags,
    pub default_actions: Vec<Action>,
    /// By priority.
    pub rules: BTreeMap<u32, Rule>,
    pub attributes: Attributes,
    pub tags: Tags,
}

impl Record for Listener {
    const SERVICE: &'static str = "elbv2";
    const KIND: &'static str = "listener";
    const SCHEMA_VERSION: u32 = 1;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        let groups = self.target_groups().into_iter().map(|arn| ("target-group", arn));
        let certificates = self.certificate.iter().chain(&self.further_certificates);
        let trust_store = match &self.mutual_tls {
            MutualTls::Verify { trust_store, .. } => Some(("trust-store", trust_store.clone())),
            MutualTls::Off | MutualTls::PassThrough => None,
        };
        groups.chain(certificates.map(|arn| ("certificate", arn.clone()))).chain(trust_store).collect()
    }
}

/// What is done about clients' certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MutualTls {
    #[default]
    Off,
    PassThrough,
    Verify {
        /// Its ARN.
        trust_store: String,
        ignore_expiry: bool,
        advertise: bool,
    },
}

impl Listener {
    pub fn key(&self) -> String {
        format!("{}/{}", self.load_balancer, self.id)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn(ARN_SERVICE, format_args!("listener/{}", self.key())).to_string()
    }

    pub fn rule_arn(&self, scope: &Scope, rule_id: &str) -> String {
        scope.arn(ARN_SERVICE, format_args!("listener-rule/{}/{rule_id}", self.key())).to_string()
    }

    /// Every action list, the default one first.
    pub fn action_lists(&self) -> impl Iterator<Item = &Vec<Action>> {
        std::iter::once(&self.default_actions).chain(self.rules.values().map(|rule| &rule.actions))
    }

    /// ARNs of the target groups that it forwards to, each once.
    pub fn target_groups(&self) -> Vec<String> {
        let mut all: Vec<String> = self.action_lists().flatten().flat_map(Action::target_groups).collect();
        all.sort();
        all.dedup();
        all
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
    Http,
    Https,
    Tcp,
    Tls,
    Udp,
    TcpUdp,
}

impl Protocol {
    pub const ALL: [Protocol; 6] =
        [Protocol::Http, Protocol::Https, Protocol::Tcp, Protocol::Tls, Protocol::Udp, Protocol::TcpUdp];

    /// None for those that no load balancer here speaks: GENEVE, QUIC.
    pub fn parse(text: &str) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "HTTP",
            Protocol::Https => "HTTPS",
            Protocol::Tcp => "TCP",
            Protocol::Tls => "TLS",
            Protocol::Udp => "UDP",
            Protocol::TcpUdp => "TCP_UDP",
        }
    }

    /// Whether a listener of it shows a certificate.
    pub fn is_secure(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Tls)
    }

    /// Whether application load balancers speak it.
    pub fn is_application(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Https)
    }

    /// The kind of load balancer that speaks it.
    pub fn kind(self) -> LoadBalancerKind {
        if self.is_application() { LoadBalancerKind::Application } else { LoadBalancerKind::Network }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetType {
    Ip,
    Instance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProtocolVersion {
    Http1,
    Http2,
    Grpc,
}

/// A target group; its id is [`TargetGroup::key`]. Its targets are [`Target`]s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub name: String,
    /// 16 hex digits.
    pub id: String,
    pub target_type: TargetType,
    pub protocol: Protocol,
    /// Of application load balancers' groups only.
    pub version: Option<ProtocolVersion>,
    pub port: u16,
    pub vpc_id: String,
    pub health_check: HealthCheck,
    pub attributes: Attributes,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    pub protocol: Protocol,
    /// None: the port of the target's traffic.
    pub port: Option<u16>,
    /// Of HTTP and HTTPS.
    pub path: Option<String>,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
    /// `200`, `200,202`, `200-299`; of gRPC `12`, `0-99`.
    pub matcher: Option<String>,
}

impl Record for TargetGroup {
    const SERVICE: &'static str = "elbv2";
    const KIND: &'static str = "target-group";
    const SCHEMA_VERSION: u32 = 1;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![("name", self.name.clone())]
    }
}

impl TargetGroup {
    /// `NAME/ID`
    pub fn key(&self) -> String {
        format!("{}/{}", self.name, self.id)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        target_group_arn(scope, &self.key())
    }
}

/// The ARN of the target group with the key `NAME/ID`.
pub fn target_group_arn(scope: &Scope, key: &str) -> String {
    scope.arn(ARN_SERVICE, format_args!("targetgroup/{key}")).to_string()
}

/// A registered target; its id is `GROUP-KEY/ID:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// An address or an instance's id.
    pub id: String,
    pub port: u16,
    /// As it was given: a zone, or `all`.
    pub zone: Option<String>,
    pub registered_at: Timestamp,
    /// The revision that it was registered over: greater with each registration of the same address.
    #[serde(default)]
    pub registration: u64,
    pub draining: Option<Draining>,
}

/// A target that gets nothing new any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    pub since: Timestamp,
    /// When it is over whatever is still in flight.
    pub until: Timestamp,
}

impl Record for Target {
    const SERVICE: &'static str = "elbv2";
    const KIND: &'static str = "target";
    const SCHEMA_VERSION: u32 = 1;
}

/// The key of a target.
pub fn target_key(group: &str, id: &str, port: u16) -> String {
    format!("{group}/{id}:{port}")
}
