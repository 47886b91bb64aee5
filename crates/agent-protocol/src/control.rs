//! How an agent talks up. The control plane implements [`ControlPlane`] in-process; over a network it is the ECS and
//! CloudWatch Logs APIs, or [`crate::call`], and the ACS connection.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin};

use routing::report::TargetReport;
use serde::{Deserialize, Serialize};
use vocabulary::{AccountId, Region, Timestamp};

use crate::{
    AgentMessage, Sensitive, TaskSecrets,
    state::{AttachmentStateChange, TaskStateChange},
    tcs::PublishMetricsRequest,
};

/// A future that a trait object can answer with.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, ControlError>> + Send + 'a>>;

/// What the agent needs from above. Every call may be repeated after [`ControlError::Unavailable`]; none of them has an
/// effect twice when it is.
pub trait ControlPlane: Send + Sync + 'static {
    /// SubmitTaskStateChange. Durable when it answers.
    fn submit_task_state(&self, change: TaskStateChange) -> Answer<'_, ()>;

    /// SubmitAttachmentStateChanges. Durable when it answers.
    fn submit_attachment_state(&self, change: AttachmentStateChange) -> Answer<'_, ()>;

    /// Acks and questions that travel back over the ACS connection.
    fn send(&self, message: AgentMessage) -> Answer<'_, ()>;

    /// Makes sure that the stream exists (and the group, when `create_group`), as the awslogs driver does before a
    /// container starts. Refused with `ResourceNotFoundException` when the group is missing.
    fn create_log_stream(&self, destination: LogDestination) -> Answer<'_, ()>;

    /// PutLogEvents: at most 10,000 events and 1 MiB, counted as the length of every message plus 26, oldest first.
    /// Durable when it answers.
    fn put_logs(&self, batch: LogBatch) -> Answer<'_, ()>;

    /// How to reach the registry that holds an image, or `None` when the image's own name says all there is.
    fn registry_login(&self, request: RegistryLoginRequest) -> Answer<'_, Option<RegistryLogin>>;

    /// What the task's execution role gets for its containers ([`crate::spec::TaskSpec::awaits_secrets`]). Refused when it may not, or
    /// when something is not there: the message is what users read behind `ResourceInitializationError: `.
    fn task_secrets(&self, task_arn: String) -> Answer<'_, TaskSecrets> {
        let message = format!("nobody keeps secrets for {task_arn}");
        let refused = ControlError::Refused { code: "UnsupportedOperation".to_owned(), message };
        Box::pin(std::future::ready(Err(refused)))
    }

    /// The tags that a task has now, for its metadata.
    fn task_tags(&self, task_arn: String) -> Answer<'_, BTreeMap<String, String>> {
        let message = format!("nobody keeps tags of {task_arn}");
        let refused = ControlError::Refused { code: "UnsupportedOperation".to_owned(), message };
        Box::pin(std::future::ready(Err(refused)))
    }

    /// PublishMetrics of TCS.
    fn publish_metrics(&self, request: PublishMetricsRequest) -> Answer<'_, ()>;

    /// Ours: the role of the machine's instance profile, none when the profile has no role. With `keep`, an access key that it was given
    /// before, it is given the same credentials again if they are still the role's. Refused where the machine has no profile, or may not have
    /// this one.
    fn instance_role(&self, keep: Option<String>) -> Answer<'_, Option<InstanceRole>> {
        let message = format!("This machine has no instance profile (asked with {keep:?}).");
        let refused = ControlError::Refused { code: "UnsupportedOperation".to_owned(), message };
        Box::pin(std::future::ready(Err(refused)))
    }

    /// Ours: how the targets of the node's load balancers do. Each report is whole and replaces the one before it; it is kept in
    /// memory, except that a target which has drained is let go durably. Refused by a control plane that gave the node none.
    fn report_target_health(&self, report: TargetHealthReport) -> Answer<'_, ()> {
        let message = format!("{} reports of targets have no receiver here.", report.targets.len());
        let refused = ControlError::Refused { code: "UnsupportedOperation".to_owned(), message };
        Box::pin(std::future::ready(Err(refused)))
    }

    /// Ours: lines of a load balancer's access log, for the file that goes into its bucket. Refused where the node has no load balancers, or
    /// when the bucket does not take them.
    fn deliver_access_log(&self, lines: AccessLogLines) -> Answer<'_, ()> {
        let message = format!("Lines of {} have no receiver here.", lines.load_balancer_arn);
        let refused = ControlError::Refused { code: "UnsupportedOperation".to_owned(), message };
        Box::pin(std::future::ready(Err(refused)))
    }
}

/// What the lines of a log are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogKind {
    /// Requests, or connections of a network load balancer.
    Access,
    /// Connections of an application load balancer.
    Connection,
}

/// Lines of a load balancer's log, each with its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogLines {
    pub load_balancer_arn: String,
    pub kind: LogKind,
    pub lines: String,
}

/// The role of an instance, as its instance profile has it, with credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceRole {
    pub profile_arn: String,
    /// `AIPA…`
    pub profile_id: String,
    pub role_name: String,
    pub access_key_id: String,
    pub secret_access_key: Sensitive,
    pub session_token: Sensitive,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The state of every target of the node's load balancers, and which of these take connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetHealthReport {
    /// Of the configuration that it is about.
    pub generation: u64,
    pub targets: Vec<TargetReport>,
    /// ARNs of the load balancers whose interfaces are there and whose listeners listen, each on every interface.
    pub listening: Vec<String>,
}

/// Why a call up failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ControlError {
    /// Try again later.
    #[error("the control plane cannot be reached: {0}")]
    Unavailable(String),
    /// Trying again will not help. `code` is the AWS error code.
    #[error("{code}: {message}")]
    Refused { code: String, message: String },
}

/// A log stream, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogDestination {
    /// The task whose output goes there, by the rights of its execution role.
    pub task_arn: String,
    pub account: AccountId,
    pub region: Region,
    pub group: String,
    pub stream: String,
    /// Make the group when it is missing (`awslogs-create-group`).
    pub create_group: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBatch {
    pub destination: LogDestination,
    /// Oldest first.
    pub events: Vec<LogEvent>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEvent {
    pub timestamp: Timestamp,
    pub message: String,
}

impl fmt::Debug for LogEvent {
    /// Without the message: container output does not belong into the agent's own log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogEvent({:?}, {} bytes)", self.timestamp, self.message.len())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLoginRequest {
    /// The image as the task definition names it.
    pub image: String,
    pub task_arn: String,
    pub account: AccountId,
    pub region: Region,
}

/// Where and as whom to pull.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// `scheme://host:port` to ask instead of the registry that the image's name says, such as `http://127.0.0.1:4566`.
    pub endpoint: Option<String>,
    /// Repository path to ask for instead of the one in the image's name.
    pub repository: Option<String>,
    pub username: String,
    pub password: Sensitive,
}
