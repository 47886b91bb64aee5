//! The validated specification of a task: everything that a node needs to run it, and nothing left to interpret.
//!
//! The control plane makes it from a registered task definition, RunTask's overrides, the interface and the credentials it made;
//! image defaults (entry point, environment, user) are merged on the node, where the image is. Units are in the
//! names: MiB, GiB, seconds; task cpu is in vCPU units (1024 to a core).

mod container;
mod network;

pub use container::*;
pub use network::*;
pub use task_lifecycle::{Dependency, DependencyCondition, RestartPolicy};

use serde::{Deserialize, Serialize};
use vocabulary::{AccountId, Region, Timestamp};

use crate::Sensitive;

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSpec {
    pub task_arn: String,
    /// The last part of the ARN: 32 hex digits.
    pub task_id: String,
    pub cluster_arn: String,
    pub cluster_name: String,
    pub account: AccountId,
    pub region: Region,
    pub availability_zone: String,
    pub family: String,
    pub revision: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    pub launch_type: LaunchType,
    /// Hard limit over all containers, in units of 1/1024 core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_units: Option<u32>,
    /// Hard limit over all containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    pub network_mode: NetworkMode,
    #[serde(default)]
    pub pid_mode: PidMode,
    #[serde(default)]
    pub ipc_mode: IpcMode,
    /// The task's interface; always there in `awsvpc` mode and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<NetworkInterface>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_role: Option<RoleCredentials>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_role: Option<RoleCredentials>,
    /// Whether containers are given what their execution role has to get first ([`crate::TaskSecrets`]).
    #[serde(default)]
    pub awaits_secrets: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage_gib: Option<u32>,
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// In the definition's order; never empty.
    pub containers: Vec<ContainerSpec>,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LaunchType {
    Fargate,
    Ec2,
    External,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    Awsvpc,
    Bridge,
    Host,
    None,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PidMode {
    /// Each container sees its own processes.
    #[default]
    Private,
    /// All containers of the task share one process tree.
    Task,
    Host,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpcMode {
    #[default]
    Private,
    Task,
    Host,
    /// No shared memory file system at all.
    None,
}

/// Credentials of a role, as a container gets them from `/v2/credentials/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleCredentials {
    /// Names them in the container's environment; a UUID, unguessable.
    pub credentials_id: String,
    pub role_arn: String,
    pub access_key_id: String,
    pub secret_access_key: Sensitive,
    pub session_token: Sensitive,
    pub expiration: Timestamp,
}

/// A volume that containers mount by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    pub name: String,
    pub source: VolumeSource,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum VolumeSource {
    /// A directory of the host.
    Host { source_path: String },
    /// A directory that lives and dies with the task. A bind volume without a source path is one too.
    Task,
    /// A named directory of the node that outlives the task. Without `autoprovision` it has to exist.
    Shared { autoprovision: bool },
}
