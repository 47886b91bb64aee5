//! [`ControlPlane`](crate::ControlPlane) over the ACS connection: each call up is one message, answered by one.
//!
//! The published agent says the same things over the ECS API, with less in them: the API has no word for a change's sequence, for when a task
//! began, or for why the node ended it. Our agent's statements are whole, so they travel as they are, over the connection that has
//! already proved whose it is. Answers come in any order; a call whose connection ends before its answer is
//! [`ControlError::Unavailable`](crate::ControlError::Unavailable), and may be repeated like any other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ControlError, InstanceRole, LogBatch, LogDestination, RegistryLogin, RegistryLoginRequest,
    TargetHealthReport, TaskSecrets,
    state::{AttachmentStateChange, TaskStateChange},
    tcs::PublishMetricsRequest,
};

/// One call. The number is the agent's, and unique within its connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub number: u64,
    pub request: Request,
}

/// What is asked for: the methods of [`ControlPlane`](crate::ControlPlane).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    SubmitTaskState(TaskStateChange),
    SubmitAttachmentState(AttachmentStateChange),
    CreateLogStream(LogDestination),
    PutLogs(LogBatch),
    RegistryLogin(RegistryLoginRequest),
    /// Of the task with this ARN.
    TaskSecrets(String),
    /// Of the task with this ARN.
    TaskTags(String),
    PublishMetrics(PublishMetricsRequest),
    ReportTargetHealth(TargetHealthReport),
    /// Ours: the role of the machine's instance profile. With the access key that is to be kept, if there is one.
    InstanceRole(Option<String>),
}

/// The answer to the call of this number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub number: u64,
    pub reply: Reply,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    Done,
    RegistryLogin(Option<RegistryLogin>),
    InstanceRole(Option<InstanceRole>),
    TaskSecrets(TaskSecrets),
    TaskTags(BTreeMap<String, String>),
    Failed(ControlError),
}

impl From<Result<(), ControlError>> for Reply {
    fn from(result: Result<(), ControlError>) -> Reply {
        result.map_or_else(Reply::Failed, |()| Reply::Done)
    }
}
