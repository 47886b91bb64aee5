//! What the classic service keeps: one record for each load balancer, with all that is its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::services::{
    elbv2::records::{ARN_SERVICE, Node},
    tagging::Tags,
};

/// A classic load balancer; its id is its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    pub name: String,
    pub internal: bool,
    pub dns_name: String,
    pub vpc_id: String,
    pub security_groups: Vec<String>,
    /// One in each zone, in the order of the zones.
    pub nodes: Vec<Node>,
    /// By port.
    pub listeners: BTreeMap<u16, Listener>,
    pub health_check: HealthCheck,
    /// Ids of the instances, and since when they are registered.
    pub instances: BTreeMap<String, Timestamp>,
    /// Instances that get nothing new any more, and when that is over.
    pub draining: BTreeMap<String, Timestamp>,
    pub policies: Vec<Policy>,
    /// Names of policies by the port of the instances.
    pub backend_policies: BTreeMap<u16, Vec<String>>,
    pub attributes: Attributes,
    pub created_at: Timestamp,
    pub tags: Tags,
}

impl Record for LoadBalancer {
    const SERVICE: &'static str = "elb";
    const KIND: &'static str = "load-balancer";
    const SCHEMA_VERSION: u32 = 1;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        let certificates = self.listeners.values().filter_map(|listener| listener.certificate.clone());
        certificates.map(|arn| ("certificate", arn)).collect()
    }
}

impl LoadBalancer {
    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn(ARN_SERVICE, format_args!("loadbalancer/{}", self.name)).to_string()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
    Http,
    Https,
    Tcp,
    Ssl,
}

impl Protocol {
    /// Whatever its case, as the API takes it.
    pub fn parse(text: &str) -> Option<Protocol> {
        match text.to_ascii_uppercase().as_str() {
            "HTTP" => Some(Protocol::Http),
            "HTTPS" => Some(Protocol::Https),
            "TCP" => Some(Protocol::Tcp),
            "SSL" => Some(Protocol::Ssl),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "HTTP",
            Protocol::Https => "HTTPS",
            Protocol::Tcp => "TCP",
            Protocol::Ssl => "SSL",
        }
    }

    /// Whether requests are looked at, not only connections.
    pub fn is_http(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Https)
    }

    /// Whether it is spoken within TLS.
    pub fn is_secure(self) -> bool {
        matches!(self, Protocol::Https | Protocol::Ssl)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    pub protocol: Protocol,
    pub instance_protocol: Protocol,
    pub instance_port: u16,
    /// ARN; of HTTPS and SSL.
    pub certificate: Option<String>,
    /// Names of policies.
    pub policies: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    pub protocol: Protocol,
    pub port: u16,
    /// Of HTTP and HTTPS, with its leading slash.
    pub path: Option<String>,
    pub interval_seconds: u32,
    pub timeout_seconds: u32,
    pub healthy_threshold: u32,
    pub unhealthy_threshold: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub name: String,
    /// `LBCookieStickinessPolicyType` and the like.
    pub kind: String,
    /// Names and values, in the order that they were given in.
    pub attributes: Vec<(String, String)>,
}

impl Policy {
    /// The first value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    pub cross_zone: bool,
    pub idle_timeout_seconds: u32,
    /// How long a deregistered instance may finish what it has; none: not at all.
    pub draining_seconds: Option<u32>,
    /// `monitor`, `defensive`, `strictest`.
    pub desync_mitigation: String,
    /// When it is switched on.
    #[serde(default)]
    pub access_log: Option<AccessLog>,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessLog {
    pub bucket: String,
    pub prefix: String,
    /// 5 or 60.
    pub interval_minutes: u32,
}

impl Default for Attributes {
    fn default() -> Attributes {
        Attributes {
            cross_zone: false,
            idle_timeout_seconds: 60,
            draining_seconds: None,
            desync_mitigation: "defensive".to_owned(),
            access_log: None,
        }
    }
}
