//! What can go wrong, as the agent sees it.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Why the runtime could not do something.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("cannot start the shim {exe}: {source}", exe = exe.display())]
    Spawn { exe: PathBuf, source: std::io::Error },
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io { what: &'static str, path: PathBuf, source: std::io::Error },
    /// The shim answered that it could not. `message` is fit for `stoppedReason`.
    #[error("{message}")]
    Failed { kind: FailureKind, message: String },
    /// The program could not be executed, or was not found: the outcome says it as a shell does, with 126 or 127.
    #[error("{}", .0.output)]
    NotExecuted(Box<crate::status::ExecOutcome>),
    #[error("invalid configuration: {0}")]
    Invalid(String),
    /// The connection broke and whether the request took effect is not known; statuses tell.
    #[error("the connection to the shim of task {task} was lost while waiting for {request}")]
    ConnectionLost { task: String, request: &'static str },
    #[error("the shim of task {task} is gone: {reason}")]
    ShimGone { task: String, reason: String },
    #[error("the shim sent something that is not understood: {0}")]
    Protocol(String),
}

impl RuntimeError {
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> RuntimeError {
        let path = path.into();
        move |source| RuntimeError::Io { what, path, source }
    }

    /// The kind of the shim's refusal, when it was one.
    pub fn kind(&self) -> Option<FailureKind> {
        match self {
            RuntimeError::Failed { kind, .. } => Some(*kind),
            _ => None,
        }
    }
}

/// Why a shim refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No container of that name.
    NotFound,
    AlreadyExists,
    /// Not possible in the container's present state.
    WrongState,
    Invalid,
    /// The container could not be set up (ECS: `CannotCreateContainerError`).
    CannotCreate,
    /// Its program could not be started (ECS: `CannotStartContainerError`).
    CannotStart,
    Internal,
}
