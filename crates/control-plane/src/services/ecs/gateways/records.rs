//! What is kept of gateways: the gateway with its load balancers, its clusters, its routes.

use aws_shapes_ecs as ecs;
use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::{
    convert::AwsJson,
    services::{ecs::express::DOMAIN, tagging::Tags},
};

/// An enum that is stored and shown by AWS's words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident as $shape:ident { $($variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name {
            $($variant),+
        }

        impl $name {
            pub fn shape(self) -> ecs::$shape {
                match self {
                    $($name::$variant => ecs::$shape::$variant),+
                }
            }
        }
    };
}

words! {
    /// How the last change of a gateway went.
    GatewayStatus as GatewayStatus { Active, UpdateInProgress, UpdateComplete, UpdateFailed }
}

words! {
    /// How far a route is.
    RouteStatus as GatewayRouteStatus {
        Active, CreateInProgress, CreateFailed, UpdateInProgress, UpdateFailed, DeleteInProgress, DeleteFailed,
    }
}

words! {
    /// Whether services of a cluster may use a gateway.
    AssociationStatus as GatewayClusterAssociationStatus { Active, Disassociating }
}

/// A gateway; its id is its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Gateway {
    pub name: String,
    pub role_arn: String,
    pub deletion_protection: bool,
    /// Whether what is made has the gateway's tags.
    pub propagates_tags: bool,
    /// As it was asked for, defaults filled in.
    pub configuration: AwsJson<ecs::HostSharedAlbConfiguration>,
    pub vpc_id: String,
    pub status: GatewayStatus,
    pub status_reason: Option<String>,
    pub failures: Vec<Failure>,
    pub balancers: Vec<Balancer>,
    pub tags: Tags,
    /// The client token that it was made with.
    pub token: Option<String>,
    /// It is to go, with what is left of it.
    pub deleted: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What an update could not do to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub arn: String,
    pub operation: String,
    pub code: String,
    pub message: String,
}

/// A load balancer of a gateway, as far as it is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balancer {
    /// 8 hex digits that the names of its parts have.
    pub suffix: String,
    pub group: Option<String>,
    pub load_balancer: Option<String>,
    pub listener: Option<String>,
    /// Nothing new goes on it: it is being removed.
    pub leaving: bool,
    /// What the role may not do of its removal, as the last attempt said it.
    #[serde(default)]
    pub refusal: Option<String>,
}

impl Balancer {
    /// Whether nothing of it is made.
    pub fn is_bare(&self) -> bool {
        self.group.is_none() && self.load_balancer.is_none() && self.listener.is_none()
    }
}

impl Record for Gateway {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "gateway";
    const SCHEMA_VERSION: u32 = 1;
}

impl Gateway {
    pub fn arn(&self, scope: &Scope) -> String {
        arn(scope, &self.name)
    }

    pub fn is_public(&self) -> bool {
        self.configuration.0.scheme != Some(ecs::GatewayElbScheme::Internal)
    }

    pub fn access_type(&self) -> ecs::AccessType {
        if self.is_public() { ecs::AccessType::Public } else { ecs::AccessType::Private }
    }

    pub fn subnets(&self) -> &[String] {
        let network = self.configuration.0.network_configuration.as_ref();
        network.and_then(|network| network.subnets.as_deref()).unwrap_or_default()
    }

    /// The tags of what is made for it.
    pub fn propagated(&self) -> Tags {
        if self.propagates_tags { self.tags.clone() } else { Tags::new() }
    }

    pub fn inbound_group(&self) -> Option<&String> {
        self.configuration.0.network_configuration.as_ref()?.inbound_security_group.as_ref()
    }

    /// The header that marks test traffic, and its values.
    pub fn test_header(&self) -> Option<(&str, &[String])> {
        let header = self.configuration.0.test_traffic_rules.as_ref()?.header.as_ref()?;
        Some((header.name.as_deref()?, header.values.as_deref()?))
    }
}

/// The ARN of the gateway with this name.
pub fn arn(scope: &Scope, name: &str) -> String {
    scope.arn("ecs", format_args!("gateway/{name}")).to_string()
}

/// That services of a cluster may use a gateway; its id is `GATEWAY/CLUSTER`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Association {
    pub gateway: String,
    pub cluster: String,
    pub status: AssociationStatus,
}

impl Record for Association {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "gateway-cluster";
    const SCHEMA_VERSION: u32 = 1;
}

pub fn association_key(gateway: &str, cluster: &str) -> String {
    format!("{gateway}/{cluster}")
}

/// What leads from a gateway to a service; its id is `GATEWAY/ID`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Route {
    /// 32 hex digits.
    pub id: String,
    pub gateway: String,
    pub cluster: String,
    pub service: String,
    pub port_name: String,
    /// The container's port behind that name.
    pub port: i32,
    pub status: RouteStatus,
    pub reason: Option<String>,
    /// 8 hex digits that the names of its parts have.
    pub suffix: String,
    /// The suffix of the load balancer that it is on.
    pub balancer: String,
    pub parts: Parts,
    /// A revision of the service knows it. Until then whoever makes it looks after it.
    pub claimed: bool,
    pub updated_at: Timestamp,
}

/// What was made for a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// The security group of the service's tasks that its load balancer is let in by.
    pub service_group: Option<String>,
    /// The ports of it that are open to the load balancer.
    pub ports: Vec<i32>,
    pub target_group: Option<String>,
    /// For deployments that shift traffic.
    pub alternate: Option<String>,
    pub rule: Option<String>,
    pub test_rule: Option<String>,
}

impl Parts {
    /// These, and what the others know beside them.
    pub fn and(self, others: &Parts) -> Parts {
        let mut ports = self.ports;
        for port in &others.ports {
            if !ports.contains(port) {
                ports.push(*port);
            }
        }
        Parts {
            service_group: self.service_group.or_else(|| others.service_group.clone()),
            ports,
            target_group: self.target_group.or_else(|| others.target_group.clone()),
            alternate: self.alternate.or_else(|| others.alternate.clone()),
            rule: self.rule.or_else(|| others.rule.clone()),
            test_rule: self.test_rule.or_else(|| others.test_rule.clone()),
        }
    }
}

impl Record for Route {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "gateway-route";
    const SCHEMA_VERSION: u32 = 1;
}

impl Route {
    pub fn key(&self) -> String {
        format!("{}/{}", self.gateway, self.id)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("gateway-route/{}", self.key())).to_string()
    }

    pub fn service_arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("service/{}/{}", self.cluster, self.service)).to_string()
    }

    pub fn cluster_arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("cluster/{}", self.cluster)).to_string()
    }

    /// The name that requests for the service have: `SERVICE-SUFFIX.REGION.ecs.localhost`. Host names have no underscores.
    pub fn host(&self, scope: &Scope) -> String {
        let name = self.service.to_ascii_lowercase().replace('_', "-");
        // A label has 63 letters at most.
        let name: String = name.chars().take(50).collect();
        format!("{}-{}.{}{DOMAIN}", name.trim_matches('-'), self.suffix, scope.region)
    }

    /// Whether it is on its way out.
    pub fn is_leaving(&self) -> bool {
        matches!(self.status, RouteStatus::DeleteInProgress | RouteStatus::DeleteFailed)
    }
}

/// What a revision of a service knows of a route that it is behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// `GATEWAY/ID`
    pub route: String,
    pub container: String,
    pub port: i32,
    pub service_group: String,
    pub target_group: String,
    pub alternate: Option<String>,
    pub rule: String,
    pub test_rule: Option<String>,
    /// Which of the two target groups the revision's tasks are in.
    pub chosen: String,
}

impl Connection {
    /// Whether both lead to the same tasks in the same way.
    pub fn is_as(&self, other: &Connection) -> bool {
        let plain = |one: &Connection| Connection { chosen: String::new(), ..one.clone() };
        plain(self) == plain(other)
    }
}
