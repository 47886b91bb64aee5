//! What is kept of services: the service, its revisions, its deployments, its task sets, its events.
//!
//! A revision is everything that tasks are started from, and never changes. How the service gets from one to the next is the
//! deployment core's to know: its [`deployment::State`] lies in the service's record. The API shows the same twice: as the
//! `deployments` of a service (`ecs-svc/DIGITS`), and as service deployments and service revisions with ARNs of their own.

use std::sync::Arc;

use aws_shapes_ecs as shapes;
use serde::{Deserialize, Serialize};
use state_store::{Record, View};
use vocabulary::{Scope, Timestamp};

use crate::{
    convert::AwsJson,
    services::{
        ecs::{gateways::Connection, records::definition_arn},
        tagging::Tags,
    },
};

/// How many events are shown and kept.
pub const MOST_EVENTS: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ServiceStatus {
    Active,
    /// Deleted; its tasks are being stopped.
    Draining,
    /// Nothing is left of it but what can still be described.
    Inactive,
}

impl ServiceStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            ServiceStatus::Active => "ACTIVE",
            ServiceStatus::Draining => "DRAINING",
            ServiceStatus::Inactive => "INACTIVE",
        }
    }
}

/// A service; its id is [`service_key`]. A deleted one stays, INACTIVE, for an hour or until it is created anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub cluster: String,
    pub status: ServiceStatus,
    pub desired_count: u32,
    pub created_at: Timestamp,
    pub created_by: String,
    /// The members of a service that belong to no revision, as the API shows them, defaults filled in.
    pub settings: AwsJson<shapes::Service>,
    pub tags: Tags,
    /// What the deployment core remembers of it.
    pub state: deployment::State,
    /// Id of the service deployment under way, or of the last one.
    pub deployment: Option<String>,
    /// The task set that production traffic goes to; digits.
    #[serde(default)]
    pub primary_task_set: Option<String>,
    /// Digest of the request that made it, and its client token, so that repeating it answers the same.
    #[serde(default)]
    pub made_by: Option<(String, String)>,
    /// Since when it is not ACTIVE.
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
}

impl Record for Service {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "service";
    const SCHEMA_VERSION: u32 = 1;
}

/// The id of a service's record, which those of everything of it begin with.
pub fn service_key(cluster: &str, name: &str) -> String {
    format!("{cluster}/{name}")
}

impl Service {
    pub fn key(&self) -> String {
        service_key(&self.cluster, &self.name)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("service/{}/{}", self.cluster, self.name)).to_string()
    }

    pub fn cluster_arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("cluster/{}", self.cluster)).to_string()
    }

    /// The group of its tasks.
    pub fn group(&self) -> String {
        if self.runs_daemon() { self.name.clone() } else { format!("service:{}", self.name) }
    }

    /// Whether it runs a daemon, `daemon:NAME`: clients of services do not see it.
    pub fn runs_daemon(&self) -> bool {
        self.name.starts_with("daemon:")
    }

    pub fn is_daemon(&self) -> bool {
        self.settings.0.scheduling_strategy == Some(shapes::SchedulingStrategy::Daemon)
    }

    pub fn controller(&self) -> shapes::DeploymentControllerType {
        let controller = self.settings.0.deployment_controller.as_ref();
        controller.and_then(|given| given.r#type).unwrap_or(shapes::DeploymentControllerType::Ecs)
    }

    /// Whether clients manage task sets of it themselves.
    pub fn has_task_sets(&self) -> bool {
        self.controller() != shapes::DeploymentControllerType::Ecs
    }
}

/// A revision of a service; its id is `CLUSTER/SERVICE/DIGITS`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revision {
    /// 19 digits.
    pub id: String,
    pub cluster: String,
    pub service: String,
    /// The service deployment, or the client token of the task set, that it was made for.
    pub made_for: Option<String>,
    pub created_at: Timestamp,
    /// The task definition.
    pub family: String,
    pub revision: u32,
    /// Where and how its tasks run, as the API shows a revision; its ARNs, task definition and times aside.
    pub details: AwsJson<shapes::ServiceRevision>,
    /// The routes of gateways that its tasks are behind.
    #[serde(default)]
    pub connections: Vec<Connection>,
}

impl Record for Revision {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "service-revision";
    const SCHEMA_VERSION: u32 = 1;
}

impl Revision {
    pub fn key(&self) -> String {
        revision_key(&self.cluster, &self.service, &self.id)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("service-revision/{}", self.key())).to_string()
    }

    pub fn definition_arn(&self, scope: &Scope) -> String {
        definition_arn(scope, &self.family, self.revision)
    }
}

pub fn revision_key(cluster: &str, service: &str, id: &str) -> String {
    format!("{cluster}/{service}/{id}")
}

/// The revision that a task or a start of `started_by` (`ecs-svc/DIGITS`, a deployment or a task set) is made from.
pub fn revision_of(view: &View, scope: &Scope, service: &Service, started_by: &str) -> Option<Arc<Revision>> {
    view.get::<Revision>(scope, &revision_key_of(service, started_by)?)
}

/// The key of that revision.
pub fn revision_key_of(service: &Service, started_by: &str) -> Option<String> {
    let deployments = &service.state.deployments;
    let known = deployments.iter().find(|deployment| deployment.id == started_by);
    // A task set's revision has its own digits.
    let id = match known {
        Some(deployment) => deployment.revision.as_str(),
        None => started_by.strip_prefix("ecs-svc/")?,
    };
    Some(revision_key(&service.cluster, &service.name, id))
}

/// A service deployment; its id is `CLUSTER/SERVICE/ID`. While it is under way, the service's own record says how far it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceDeployment {
    /// 21 letters and digits.
    pub id: String,
    pub cluster: String,
    pub service: String,
    /// As it began, and once it is over as it ended.
    pub rollout: deployment::Rollout,
    /// The deployment configuration that it began with.
    pub configuration: AwsJson<shapes::DeploymentConfiguration>,
    /// How many tasks were asked for when it began.
    pub desired_count: u32,
}

impl Record for ServiceDeployment {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "service-deployment";
    const SCHEMA_VERSION: u32 = 1;
}

impl ServiceDeployment {
    pub fn key(&self) -> String {
        revision_key(&self.cluster, &self.service, &self.id)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("service-deployment/{}", self.key())).to_string()
    }
}

/// A task set; its id is `CLUSTER/SERVICE/DIGITS`, as that of the revision its tasks are started from. Its scale and
/// stability are in the service's [`deployment::State`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskSet {
    /// 19 digits: `ecs-svc/DIGITS` is its name, and what starts its tasks.
    pub id: String,
    pub cluster: String,
    pub service: String,
    pub external_id: Option<String>,
    /// Who made it: the deployment of CodeDeploy, none for EXTERNAL.
    pub started_by: Option<String>,
    pub created_at: Timestamp,
    pub tags: Tags,
}

impl Record for TaskSet {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "task-set";
    const SCHEMA_VERSION: u32 = 1;
}

impl TaskSet {
    pub fn key(&self) -> String {
        revision_key(&self.cluster, &self.service, &self.id)
    }

    /// `ecs-svc/DIGITS`.
    pub fn name(&self) -> String {
        format!("ecs-svc/{}", self.id)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        let resource = format_args!("task-set/{}/{}/{}", self.cluster, self.service, self.name()).to_string();
        scope.arn("ecs", resource).to_string()
    }
}

/// The events of a service, newest first; its id is the service's. Apart from the service, since they are many and change often.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ServiceEvents {
    pub events: std::collections::VecDeque<ServiceEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvent {
    /// A UUID.
    pub id: String,
    pub created_at: Timestamp,
    pub message: String,
}

impl Record for ServiceEvents {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "service-events";
    const SCHEMA_VERSION: u32 = 1;
}
