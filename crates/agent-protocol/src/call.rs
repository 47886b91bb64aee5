//! [`ControlPlane`](crate::ControlPlane) over the ACS connection: each call up is one message, answered by one.
//!
//! The published agent says the same things over the ECS API, with less in them: the API has no word for a change's sequence, for when a task
//! began, or for why the node ended it. Our agent's statements are whole, so they travel as they are, over the connection that has
//! already proved whose it is. Answers come in any order; a call whose connection ends before its answer is
//! [`ControlError::Unavailable`](crate::ControlError::Unavailable), and may be repeated like any other.

use serde::{Deserialize, Serialize};

use crate::{
    ControlError, LogBatch, LogDestination, RegistryLogin, RegistryLoginRequest, TargetHealthReport,
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
    PublishMetrics(PublishMetricsRequest),
    ReportTargetHealth(TargetHealthReport),
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
    Failed(ControlError),
}

impl From<Result<(), ControlError>> for Reply {
    fn from(result: Result<(), ControlError>) -> Reply {
        result.map_or_else(Reply::Failed, |()| Reply::Done)
    }
}
