//! What an agent reports: the inputs of SubmitTaskStateChange, SubmitContainerStateChange and
//! SubmitAttachmentStateChanges.
//!
//! The words for a task's course belong to the core that decides it; here they become the wire's.

use serde::{Deserialize, Serialize};

pub use task_lifecycle::{
    ContainerStateChange, ContainerStatus, HealthStatus, NetworkBinding, StopCode, TaskStateChange,
    TaskStatus,
};

/// The state of an attachment, such as a task's network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentStateChange {
    /// ARN of the cluster.
    pub cluster: String,
    /// ARN of the task that it belongs to.
    pub task: String,
    pub attachment_arn: String,
    pub status: AttachmentStatus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AttachmentStatus {
    Attaching,
    Attached,
    Detached,
    Failed,
}
