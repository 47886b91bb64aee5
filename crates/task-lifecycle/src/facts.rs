//! Everything the node knows about a task: what it was told, what it observed, what it has begun.
//!
//! Facts are data that a journal can keep. After a restart of the agent, [`TaskFacts::forget_in_flight`] turns what was
//! begun but whose outcome nobody waits for any more into not begun, so that it is begun again; every such action
//! can be done twice. Only a container's start is not like that: it stays begun until the runtime has been asked.

use serde::{Deserialize, Serialize};
use vocabulary::Timestamp;

use crate::{HealthStatus, NetworkBinding, StopCause, TaskShape, TaskStateChange};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// Set once; the first cause stands.
    pub stop: Option<StopCause>,
    /// The control plane asked for the end of the task.
    pub stop_requested: bool,
    pub network: NetworkFacts,
    pub sandbox: SandboxFacts,
    /// Why the task holds too much on the disk, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_exceeded: Option<String>,
    pub cleaned_up: bool,
    cleaning_up: bool,
    /// One for each container of the shape.
    pub containers: Vec<ContainerFacts>,
    pub connectivity_at: Option<Timestamp>,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    /// The last change that was handed out for reporting.
    pub reported: Option<TaskStateChange>,
}

/// The task's network: its own namespace with or without an interface, or the host's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkFacts {
    #[default]
    Absent,
    Attaching,
    Attached,
    Failed(String),
    Detaching,
    Detached,
}

/// The process that holds the task's containers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SandboxFacts {
    #[default]
    Absent,
    Preparing,
    Ready,
    Failed(String),
    /// It died by itself.
    Lost(String),
    Removing,
    Removed,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerFacts {
    pub image: ImageFacts,
    pub log: LogFacts,
    pub process: ProcessFacts,
    /// Counts the starts by the restart policy; names the run that an event belongs to.
    pub run: u32,
    /// When it was first started.
    pub first_started_at: Option<Timestamp>,
    pub health: HealthFacts,
    /// When it was asked to end.
    pub terminated_at: Option<Timestamp>,
    /// When it was last killed.
    pub killed_at: Option<Timestamp>,
    /// What users see as the container's `reason`.
    pub reason: Option<String>,
    pub network_bindings: Vec<NetworkBinding>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageFacts {
    #[default]
    Unknown,
    Pulling,
    Ready {
        digest: Option<String>,
    },
    Failed(String),
}

/// Where the container's output goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFacts {
    #[default]
    Unknown,
    Opening,
    Ready,
    Failed(String),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessFacts {
    #[default]
    NotStarted,
    Starting,
    Running {
        since: Timestamp,
    },
    Exited(Exit),
    /// It could not be started; the reason is the container's.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// `None` when nobody could see it: the process that holds the containers had died.
    pub code: Option<i32>,
    pub at: Timestamp,
    /// How long this run lasted.
    pub ran_seconds: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthFacts {
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// A success ends the start period early.
    pub ever_passed: bool,
    pub check_in_flight: bool,
    pub next_check_at: Option<Timestamp>,
}

impl TaskFacts {
    /// Of a task that nothing has been done for yet.
    pub fn new(shape: &TaskShape) -> TaskFacts {
        TaskFacts {
            stop: None,
            stop_requested: false,
            network: NetworkFacts::Absent,
            sandbox: SandboxFacts::Absent,
            storage_exceeded: None,
            cleaned_up: false,
            cleaning_up: false,
            containers: vec![ContainerFacts::default(); shape.containers().len()],
            connectivity_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            execution_stopped_at: None,
            reported: None,
        }
    }

    /// After a restart of whoever executed the actions.
    pub fn forget_in_flight(&mut self) {
        match self.network {
            NetworkFacts::Attaching => self.network = NetworkFacts::Absent,
            NetworkFacts::Detaching => self.network = NetworkFacts::Attached,
            _ => {}
        }
        match self.sandbox {
            SandboxFacts::Preparing => self.sandbox = SandboxFacts::Absent,
            SandboxFacts::Removing => self.sandbox = SandboxFacts::Ready,
            _ => {}
        }
        self.cleaning_up = false;
        for container in &mut self.containers {
            if container.image == ImageFacts::Pulling {
                container.image = ImageFacts::Unknown;
            }
            if container.log == LogFacts::Opening {
                container.log = LogFacts::Unknown;
            }
            container.health.check_in_flight = false;
        }
    }

    /// Whether everything has been done and said.
    pub fn is_stopped(&self) -> bool {
        self.cleaned_up
    }

    pub(crate) fn is_cleaning_up(&self) -> bool {
        self.cleaning_up
    }

    pub(crate) fn set_cleaning_up(&mut self) {
        self.cleaning_up = true;
    }
}

impl ContainerFacts {
    /// No process of it exists, and none is being made.
    pub fn has_no_process(&self) -> bool {
        !matches!(self.process, ProcessFacts::Starting | ProcessFacts::Running { .. })
    }

    pub fn exit(&self) -> Option<&Exit> {
        match &self.process {
            ProcessFacts::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}
