//! What is known about containers: kept as `status.json` beside each, sent to clients, read by the next agent.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vocabulary::Timestamp;

/// Where a container is in its life. Moves forward only; a restart is a removal and a new creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    /// Set up, its program not yet begun.
    Created,
    Running,
    /// Ended, or never began (`error` says why).
    Exited,
}

/// How a container's program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit status, or 128 + the signal.
    pub code: i32,
    pub signal: Option<i32>,
    /// The kernel killed a process of the container for want of memory, and the program ended by it.
    pub oom: bool,
}

/// All that is known about one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    pub name: String,
    pub state: ContainerState,
    /// As the machine sees it; its process's `/proc/PID/stat` start time tells it from a later one with the same number.
    pub pid: Option<i32>,
    pub pid_start_ticks: Option<u64>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub exited_at: Option<Timestamp>,
    pub exit: Option<Exit>,
    /// Why it did not start, or why its end is not known, in words that users know.
    pub error: Option<String>,
    /// What was asked for and could not be given in full.
    pub warnings: Vec<String>,
    /// How often the kernel killed a process in it for want of memory.
    pub oom_kills: u64,
}

impl ContainerStatus {
    pub fn is_exited(&self) -> bool {
        self.state == ContainerState::Exited
    }
}

/// Every container of a task by name.
pub type Statuses = BTreeMap<String, ContainerStatus>;

/// What became of a container, in order for each container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its program runs.
    Started { name: String, pid: i32, at: Timestamp },
    /// Its program ended and all its output is on disk. `status.exit` is `None` when nobody could know (the shim was killed).
    Exited { name: String, status: Box<ContainerStatus> },
    /// It could not be started; `status.error` says why.
    Error { name: String, status: Box<ContainerStatus> },
    /// The shim died; what it left has been killed. Always the last event.
    ShimDied { reason: String },
}

/// The result of a finished [`crate::ExecConfig`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecOutcome {
    /// The exit status, or 128 + the signal; 126 and 127 when it could not be executed or found, as shells do, with the reason in `output`.
    pub exit_code: i32,
    pub signal: Option<i32>,
    pub timed_out: bool,
    /// Standard output and error as they came, bytes that are not UTF-8 replaced.
    pub output: String,
    pub truncated: bool,
    pub duration_ms: u64,
}

/// The machine's clock. Only this crate's edges use it: everything stamped here is stamped where it happens.
pub(crate) fn now() -> Timestamp {
    std::time::SystemTime::now().into()
}
