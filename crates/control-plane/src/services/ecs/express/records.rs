//! What is kept of express services.

use std::collections::BTreeMap;

use aws_shapes_ecs as shapes;
use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::{
    convert::AwsJson,
    services::{ecs::services::records::service_key, tagging::Tags},
};

/// What the names of endpoints end with. Everything under `localhost` is this machine (RFC 6761 §6.3).
pub const DOMAIN: &str = ".ecs.localhost";

/// An express service; its id is that of its ECS service, `CLUSTER/NAME`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Express {
    pub name: String,
    pub cluster: String,
    /// 8 hex digits that the names of everything made for it have.
    pub suffix: String,
    pub infrastructure_role_arn: String,
    /// As it was asked for last, defaults filled in.
    pub wanted: AwsJson<shapes::ExpressGatewayServiceConfiguration>,
    /// The task definition that is to run.
    pub definition: Option<String>,
    pub made: Made,
    /// The configurations of service revisions, by the revision's digits.
    pub configurations: BTreeMap<String, AwsJson<shapes::ExpressGatewayServiceConfiguration>>,
    pub tags: Tags,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Which request is making it: 16 hex digits.
    #[serde(default)]
    pub attempt: String,
    /// All of it was made.
    pub complete: bool,
    /// It is to go, with all that was made for it.
    pub deleted: bool,
    /// What the role may not do of its removal, as the last attempt said it.
    #[serde(default)]
    pub refusal: Option<String>,
}

/// What was made for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The subnets of its load balancer and its tasks.
    pub subnets: Vec<String>,
    pub vpc_id: String,
    /// Whether clients outside of the VPC reach it.
    pub public: bool,
    /// Shared with others.
    pub balancer_group: Option<String>,
    pub load_balancer: Option<String>,
    pub listener: Option<String>,
    /// Its own.
    pub task_group: Option<String>,
    pub target_group: Option<String>,
    /// What deployments shift traffic to and from.
    #[serde(default)]
    pub alternate: Option<String>,
    pub rule: Option<String>,
}

impl Made {
    /// This, and what the other knows beside it.
    pub fn and(self, other: &Made) -> Made {
        Made {
            balancer_group: self.balancer_group.or_else(|| other.balancer_group.clone()),
            load_balancer: self.load_balancer.or_else(|| other.load_balancer.clone()),
            listener: self.listener.or_else(|| other.listener.clone()),
            task_group: self.task_group.or_else(|| other.task_group.clone()),
            target_group: self.target_group.or_else(|| other.target_group.clone()),
            alternate: self.alternate.or_else(|| other.alternate.clone()),
            rule: self.rule.or_else(|| other.rule.clone()),
            ..self
        }
    }
}

impl Record for Express {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "express-service";
    const SCHEMA_VERSION: u32 = 1;
}

impl Express {
    pub fn key(&self) -> String {
        service_key(&self.cluster, &self.name)
    }

    /// The name of its endpoint: `NAME-SUFFIX.REGION.ecs.localhost`. Host names have no underscores.
    pub fn host(&self, scope: &Scope) -> String {
        let name = self.name.to_ascii_lowercase().replace('_', "-");
        // A label has 63 letters at most.
        let name: String = name.chars().take(50).collect();
        format!("{}-{}.{}{DOMAIN}", name.trim_matches('-'), self.suffix, scope.region)
    }
}
