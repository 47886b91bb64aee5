//! The words between an agent and a shim: frames of a little-endian `u32` length and that many bytes of JSON, over a Unix stream socket.
//!
//! A client sends [`Request`]s, each with a number of its own; the shim answers each once, in any order, and sends notices between
//! them. State, not deltas, is what is sent: a client that was away learns everything from the answer to [`Op::Hello`].

use crate::config::{AttachConfig, ContainerConfig, ExecConfig, TaskSandbox};
use crate::error::FailureKind;
use crate::output::LogPosition;
use crate::status::{ContainerStatus, ExecOutcome, Statuses};
use serde::{Deserialize, Serialize};

/// Larger than any configuration; a frame that claims more is a mistake.
pub(crate) const MAX_FRAME_BYTES: usize = 8 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub id: u64,
    pub op: Op,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// Only for a shim that has no task yet.
    Assign(Box<TaskSandbox>),
    /// A container will be made soon: see [`crate::cgroup::keep_migrations_fast`]. Not answered.
    Nudge,
    Hello,
    Create(Box<ContainerConfig>),
    Start {
        name: String,
    },
    Signal {
        name: String,
        signal: i32,
    },
    KillAll {
        name: String,
    },
    Exec {
        name: String,
        config: Box<ExecConfig>,
    },
    /// Answered twice: with [`Answer::Attached`], which carries the descriptors, and with [`Answer::Exec`] when the process has ended.
    /// The process ends with the connection.
    Attach {
        name: String,
        config: Box<AttachConfig>,
    },
    /// For what the same connection attached to.
    SignalAttached {
        signal: i32,
    },
    Remove {
        name: String,
    },
    /// Everything before this position of the container's output is kept elsewhere.
    Acknowledge {
        name: String,
        position: LogPosition,
    },
    /// Kills and removes every container, then the task's cgroup, then the shim.
    Shutdown,
}

impl Op {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Op::Assign(_) => "assign",
            Op::Nudge => "nudge",
            Op::Hello => "hello",
            Op::Create(_) => "create",
            Op::Start { .. } => "start",
            Op::Signal { .. } => "signal",
            Op::KillAll { .. } => "kill",
            Op::Exec { .. } => "exec",
            Op::Attach { .. } => "attach",
            Op::SignalAttached { .. } => "signal",
            Op::Remove { .. } => "remove",
            Op::Acknowledge { .. } => "acknowledge",
            Op::Shutdown => "shutdown",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    Answer {
        id: u64,
        result: Result<Answer, Refusal>,
    },
    Status(Box<ContainerStatus>),
    Removed {
        name: String,
    },
    /// More of this container's output is on disk.
    Output {
        name: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Done,
    Hello {
        statuses: Statuses,
    },
    Status(Box<ContainerStatus>),
    Exec(Box<ExecOutcome>),
    /// The process is made. Beside this frame's first byte come the ends of its streams: its terminal alone, or what its standard
    /// input is written to and its two outputs are read from.
    Attached,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub kind: FailureKind,
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Refusal {
        Refusal { kind, message: message.into() }
    }
}

/// One frame, ready to be written.
pub(crate) fn frame<T: Serialize>(message: &T) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    // Plain data with string keys always serializes.
    if serde_json::to_writer(&mut bytes, message).is_ok() {
        let length = (bytes.len() - 4) as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
    }
    bytes
}

/// Takes whole frames off the front of what was read so far.
#[derive(Debug, Default)]
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
}

impl FrameBuffer {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next frame's body, or `None` when more must be read. An error is final: the stream is out of step.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(head) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(format!("a frame of {length} bytes"));
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        let body = self.bytes[4..4 + length].to_vec();
        self.bytes.drain(..4 + length);
        Ok(Some(body))
    }
}
