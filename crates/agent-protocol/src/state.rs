//! What an agent reports: the inputs of SubmitTaskStateChange, SubmitContainerStateChange and
//! SubmitAttachmentStateChanges, with the few facts beside them that the real service learns by other ways
//! (container health by TCS, the kind of stop by inference).
//!
//! The words of a task's course are the core's own ([`task_lifecycle`]): both sides of the protocol fold the same change
//! with the same function, so there is one set of types for it.

use serde::{Deserialize, Serialize};

pub use task_lifecycle::{
    ContainerStateChange, ContainerStatus, HealthStatus, NetworkBinding, StopCode, TaskStateChange,
    TaskStatus,
};

/// The state of an attachment, such as a task's network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachmentStateChange {
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
