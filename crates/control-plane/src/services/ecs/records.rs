//! What ECS keeps. One record per thing that has a life of its own; times in milliseconds.

use std::net::Ipv4Addr;

use agent_protocol::spec::LaunchType;
use aws_shapes_ecs as shapes;
use serde::{Deserialize, Serialize};
use state_store::Record;
use task_lifecycle::TaskRecord;
use vocabulary::{Scope, Timestamp};

use crate::{convert::AwsJson, services::tagging::Tags};

/// A cluster; its id is its name. A deleted one stays, INACTIVE, until it is created anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cluster {
    pub name: String,
    pub active: bool,
    pub created_at: Timestamp,
    /// `containerInsights` and its like: name and value.
    pub settings: Vec<(String, String)>,
    pub capacity_providers: Vec<String>,
    pub default_strategy: AwsJson<shapes::Cluster>,
    pub tags: Tags,
}

impl Record for Cluster {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "cluster";
    const SCHEMA_VERSION: u32 = 1;
}

impl Cluster {
    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("cluster/{}", self.name)).to_string()
    }
}

/// The last revision number that a family gave out; numbers are never reused.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Family {
    pub last_revision: u32,
}

impl Record for Family {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "family";
    const SCHEMA_VERSION: u32 = 1;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DefinitionStatus {
    Active,
    Inactive,
    DeleteInProgress,
}

/// A revision of a task definition; its id is [`definition_id`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskDefinition {
    pub family: String,
    pub revision: u32,
    pub status: DefinitionStatus,
    pub registered_at: Timestamp,
    pub registered_by: String,
    pub deregistered_at: Option<Timestamp>,
    pub delete_requested_at: Option<Timestamp>,
    /// As it was registered, defaults filled in, without the members above.
    pub definition: AwsJson<shapes::TaskDefinition>,
    pub tags: Tags,
}

impl Record for TaskDefinition {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "task-definition";
    const SCHEMA_VERSION: u32 = 1;
}

/// The key of a revision; zero-padded, so that keys sort as revisions do.
pub fn definition_id(family: &str, revision: u32) -> String {
    format!("{family}:{revision:010}")
}

impl TaskDefinition {
    pub fn arn(&self, scope: &Scope) -> String {
        definition_arn(scope, &self.family, self.revision)
    }

    /// Whether it belongs to a daemon task definition: clients of task definitions do not see it.
    pub fn is_of_daemon(&self) -> bool {
        self.family.contains('/')
    }
}

/// The ARN of a revision. The family of a daemon's begins with what its ARN begins with.
pub fn definition_arn(scope: &Scope, family: &str, revision: u32) -> String {
    let kind = if family.contains('/') { "" } else { "task-definition/" };
    scope.arn("ecs", format_args!("{kind}{family}:{revision}")).to_string()
}

/// A task; its id is `CLUSTER/ID`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// 32 hex digits.
    pub id: String,
    pub cluster: String,
    pub family: String,
    pub revision: u32,
    pub launch_type: LaunchType,
    pub capacity_provider: Option<String>,
    pub platform_version: Option<String>,
    /// The id of the container instance it was placed on; none on FARGATE.
    pub container_instance: Option<String>,
    pub availability_zone: String,
    pub group: String,
    pub started_by: Option<String>,
    pub enable_execute_command: bool,
    pub cpu: Option<String>,
    pub memory: Option<String>,
    /// What it takes of its container instance until it has stopped.
    #[serde(default)]
    pub reserved: Option<placement::Demand>,
    pub ephemeral_storage_gib: Option<u32>,
    pub overrides: AwsJson<shapes::TaskOverride>,
    pub tags: Tags,

    /// The task's course, as far as its node has reported it.
    pub state: TaskRecord,
    pub desired_status: DesiredStatus,
    /// Counts the changes of this task that a client can see.
    pub version: i64,
    /// Number of the last payload sent about the task.
    pub payload_sequence: i64,
    /// Beside [`TaskRecord::containers`], in the same order.
    pub containers: Vec<TaskContainer>,
    pub interface: Option<TaskInterface>,
    pub created_at: Timestamp,

    /// Scale-in protection, and when it ends.
    pub protected_until: Option<Timestamp>,

    /// Where load balancers send it requests, as long as they do.
    #[serde(default)]
    pub targets: Vec<TaskTarget>,

    /// What its service's deployment has taken into account of it.
    #[serde(default)]
    pub noted: deployment::Noted,
}

/// What a task is registered with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registrar {
    TargetGroupArn(String),
    /// Of a classic load balancer.
    LoadBalancerName(String),
}

impl Registrar {
    /// The ARN of the target group, if it is one.
    pub fn target_group(&self) -> Option<&str> {
        match self {
            Registrar::TargetGroupArn(arn) => Some(arn),
            Registrar::LoadBalancerName(_) => None,
        }
    }
}

/// A place in a target group, or an instance of a classic load balancer, that a task was registered at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTarget {
    #[serde(flatten)]
    pub at: Registrar,
    /// An address, or the id of an instance.
    pub id: String,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DesiredStatus {
    Running,
    Stopped,
}

impl DesiredStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            DesiredStatus::Running => "RUNNING",
            DesiredStatus::Stopped => "STOPPED",
        }
    }
}

/// What was decided about a container when its task was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskContainer {
    /// A UUID, the last part of the container's ARN.
    pub id: String,
    pub name: String,
    pub image: String,
    pub runtime_id: String,
    pub cpu: String,
    pub memory: Option<String>,
    pub memory_reservation: Option<String>,
}

/// The interface of an `awsvpc` task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskInterface {
    /// A UUID, the last part of the attachment's ARN.
    pub attachment_id: String,
    pub status: InterfaceStatus,
    pub interface_id: String,
    pub subnet_id: String,
    pub mac_address: String,
    pub private_address: Ipv4Addr,
    pub private_dns_name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InterfaceStatus {
    Precreated,
    Attaching,
    Attached,
    Deleted,
}

impl Record for Task {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "task";
    const SCHEMA_VERSION: u32 = 1;

    /// A service's tasks are found by `service`, `CLUSTER/NAME`.
    fn indexes(&self) -> Vec<(&'static str, String)> {
        self.service().map(|name| ("service", format!("{}/{name}", self.cluster))).into_iter().collect()
    }
}

impl Task {
    /// The name of the service that it belongs to. A daemon's is as the group of its tasks.
    pub fn service(&self) -> Option<&str> {
        let daemon = || Some(self.group.as_str()).filter(|group| group.starts_with("daemon:"));
        self.group.strip_prefix("service:").or_else(daemon)
    }

    /// The key in the store.
    pub fn key(&self) -> String {
        task_key(&self.cluster, &self.id)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn("ecs", format_args!("task/{}/{}", self.cluster, self.id)).to_string()
    }
}

/// The key of a task.
pub fn task_key(cluster: &str, id: &str) -> String {
    format!("{cluster}/{id}")
}

/// What a client token was used for, so that a repeated call answers the same and a different one is refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClientToken {
    /// Digest of the request without the token.
    pub request_digest: String,
    /// Keys of the tasks that the first call started.
    pub tasks: Vec<String>,
    pub created_at: Timestamp,
}

impl Record for ClientToken {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "client-token";
    const SCHEMA_VERSION: u32 = 1;
}

/// An account setting; its id is `NAME` for the account's default or `NAME/PRINCIPAL-ARN`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountSetting {
    pub name: String,
    /// The principal it holds for; none for the account's default.
    pub principal: Option<String>,
    pub value: String,
}

impl Record for AccountSetting {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "account-setting";
    const SCHEMA_VERSION: u32 = 1;
}

/// A custom attribute of a container instance; its id is `CLUSTER/TARGET/NAME`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attribute {
    pub cluster: String,
    /// The container instance's id.
    pub target: String,
    pub name: String,
    pub value: Option<String>,
}

impl Record for Attribute {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "attribute";
    const SCHEMA_VERSION: u32 = 1;
}

/// A registered container instance; its id is `CLUSTER/ID`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContainerInstance {
    /// 32 hex digits.
    pub id: String,
    pub cluster: String,
    pub ec2_instance_id: Option<String>,
    pub status: InstanceStatus,
    /// Its agent's ACS connection is open. Written as it opens and ends; false for all when the control plane starts.
    #[serde(default)]
    pub agent_connected: bool,
    /// Where ports that its tasks publish are reached; from the identity document.
    #[serde(default)]
    pub private_address: Option<Ipv4Addr>,
    pub registered_at: Timestamp,
    pub version: i64,
    /// Everything else, as DescribeContainerInstances shows it.
    pub description: AwsJson<shapes::ContainerInstance>,
    pub tags: Tags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum InstanceStatus {
    Active,
    Draining,
}

impl Record for ContainerInstance {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "container-instance";
    const SCHEMA_VERSION: u32 = 1;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        self.ec2_instance_id.iter().map(|id| ("ec2-instance", id.clone())).collect()
    }
}

/// Counts the placements on a container instance; its id is the instance's. Whoever places a task on the instance, or changes
/// whether it takes tasks, writes this record, so that of two who do not know of each other the second has to look again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InstanceLoad {
    pub placements: u64,
}

impl Record for InstanceLoad {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "instance-load";
    const SCHEMA_VERSION: u32 = 1;
}
