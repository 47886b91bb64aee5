//! What is kept of daemons and their definitions.

use std::collections::BTreeMap;

use aws_shapes_ecs as shapes;
use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::{
    convert::AwsJson,
    services::{ecs::services::records::service_key, tagging::Tags},
};

/// The name of the service that runs a daemon, and the group of its tasks.
pub fn service_name(daemon: &str) -> String {
    format!("daemon:{daemon}")
}

/// A daemon; its id is `CLUSTER/NAME`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Daemon {
    pub name: String,
    pub cluster: String,
    /// Names.
    pub capacity_providers: Vec<String>,
    pub configuration: AwsJson<shapes::DaemonDeploymentConfiguration>,
    /// What its revisions were made of, by the digits of the service revision.
    pub revisions: BTreeMap<String, AwsJson<shapes::DaemonRevision>>,
    pub tags: Tags,
    /// Digest of the request that made it, and its client token.
    pub made_by: Option<(String, String)>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted: bool,
}

impl Record for Daemon {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "daemon";
    const SCHEMA_VERSION: u32 = 1;
}

impl Daemon {
    pub fn key(&self) -> String {
        format!("{}/{}", self.cluster, self.name)
    }

    /// The key of the service that runs it.
    pub fn service_key(&self) -> String {
        service_key(&self.cluster, &service_name(&self.name))
    }

    pub fn arn(&self, scope: &Scope) -> String {
        self.arn_of(scope, "daemon", None)
    }

    pub fn cluster_arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("cluster/{}", self.cluster)).to_string()
    }

    /// `daemon-deployment/CLUSTER/NAME/ID`, `daemon-revision/CLUSTER/NAME/ID`
    pub fn arn_of(&self, scope: &Scope, kind: &str, id: Option<&str>) -> String {
        let id = id.map(|id| format!("/{id}")).unwrap_or_default();
        scope.arn("ecs", format_args!("{kind}/{}{id}", self.key())).to_string()
    }
}

/// A daemon task definition; its id is `FAMILY:REVISION`, the revision with ten digits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Definition {
    pub family: String,
    pub revision: u32,
    /// As it was registered.
    pub given: AwsJson<shapes::DaemonTaskDefinition>,
    pub registered_at: Timestamp,
    pub registered_by: String,
    pub delete_requested_at: Option<Timestamp>,
    pub tags: Tags,
}

impl Record for Definition {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "daemon-task-definition";
    const SCHEMA_VERSION: u32 = 1;
}

impl Definition {
    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("daemon-task-definition/{}:{}", self.family, self.revision)).to_string()
    }
}

/// The last revision of a family that was ever given; its id is the family.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Latest {
    pub revision: u32,
}

impl Record for Latest {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "daemon-family";
    const SCHEMA_VERSION: u32 = 1;
}
