//! The other side: takes a node's change into the control plane's record of a task.
//!
//! The record only goes forward. A change whose sequence is not above the last one taken is stale and has no effect, so that
//! taking one twice, or two in the wrong order, ends where the newest alone would. Times and stop reasons are set once:
//! the first to say why a task stops is right, be it the node or a request.

use serde::{Deserialize, Serialize};
use vocabulary::Timestamp;

use crate::{ContainerStatus, HealthStatus, NetworkBinding, TaskStateChange, TaskStatus, Traffic};

/// What the control plane knows of a task's course. A part of its task record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskRecord {
    pub last_status: TaskStatus,
    /// The sequence of the last change taken; 0 before the first.
    pub sequence: u64,
    /// AWS's name: TaskFailedToStart, EssentialContainerExited, UserInitiated, …
    #[serde(default)]
    pub stop_code: Option<String>,
    #[serde(default)]
    pub stopped_reason: Option<String>,
    pub health_status: HealthStatus,
    #[serde(default)]
    pub connectivity_at: Option<Timestamp>,
    #[serde(default)]
    pub pull_started_at: Option<Timestamp>,
    #[serde(default)]
    pub pull_stopped_at: Option<Timestamp>,
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub stopping_at: Option<Timestamp>,
    #[serde(default)]
    pub execution_stopped_at: Option<Timestamp>,
    #[serde(default)]
    pub stopped_at: Option<Timestamp>,
    /// Whether load balancers send it requests; holds it at ACTIVATING and DEACTIVATING.
    #[serde(default)]
    pub traffic: Traffic,
    pub containers: Vec<ContainerRecord>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRecord {
    pub name: String,
    #[serde(default)]
    pub runtime_id: Option<String>,
    pub last_status: ContainerStatus,
    #[serde(default)]
    pub exit_code: Option<i32>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub image_digest: Option<String>,
    pub health_status: HealthStatus,
    #[serde(default)]
    pub network_bindings: Vec<NetworkBinding>,
    #[serde(default)]
    pub restart_count: u32,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Merged {
    /// The record to write in place of the old one.
    Changed(Box<TaskRecord>),
    /// Not newer than what was taken already, or after the end.
    Stale,
}

impl TaskRecord {
    /// Of a task that was just placed. `first_status`: PROVISIONING when it has an interface, PENDING otherwise.
    pub fn new(first_status: TaskStatus, container_names: impl IntoIterator<Item = String>) -> TaskRecord {
        TaskRecord {
            last_status: first_status,
            sequence: 0,
            stop_code: None,
            stopped_reason: None,
            health_status: HealthStatus::Unknown,
            connectivity_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            traffic: Traffic::None,
            containers: container_names
                .into_iter()
                .map(|name| ContainerRecord { name, ..ContainerRecord::default() })
                .collect(),
        }
    }

    /// Records why the task is to stop, when nothing was recorded before.
    pub fn stop(&mut self, code: &str, reason: &str, now: Timestamp) {
        if self.stop_code.is_none() && self.stopping_at.is_none() {
            self.stop_code = Some(code.to_owned());
            self.stopped_reason = Some(reason.to_owned());
        }
        self.stopping_at.get_or_insert(now);
    }
}

/// Takes `change`, received at `now`, into a copy of `record`.
pub fn merge(record: &TaskRecord, change: &TaskStateChange, now: Timestamp) -> Merged {
    if change.sequence <= record.sequence || record.last_status == TaskStatus::Stopped {
        return Merged::Stale;
    }
    let mut merged = record.clone();
    merged.sequence = change.sequence;
    merged.last_status = record.status_after(change.status);
    merged.health_status = change.health_status;
    merged.connectivity_at = record.connectivity_at.or(change.connectivity_at);
    merged.pull_started_at = record.pull_started_at.or(change.pull_started_at);
    merged.pull_stopped_at = record.pull_stopped_at.or(change.pull_stopped_at);
    merged.started_at = record.started_at.or(change.started_at);
    merged.stopping_at = record.stopping_at.or(change.stopping_at);
    merged.execution_stopped_at = record.execution_stopped_at.or(change.execution_stopped_at);
    if merged.last_status == TaskStatus::Stopped {
        merged.stopped_at = Some(now);
    }
    if record.stop_code.is_none() {
        merged.stop_code = change.stop_code.map(|code| code.as_str().to_owned());
        merged.stopped_reason = record.stopped_reason.clone().or_else(|| change.reason.clone());
    }
    for said in &change.containers {
        let Some(container) = merged.containers.iter_mut().find(|known| known.name == said.container_name)
        else {
            continue;
        };
        // Only a restart brings a container back from STOPPED.
        if said.restart_count > container.restart_count || said.status >= container.last_status {
            container.last_status = said.status;
            container.exit_code = said.exit_code;
            container.reason = said.reason.clone();
        }
        container.runtime_id = said.runtime_id.clone().or(container.runtime_id.take());
        container.image_digest = said.image_digest.clone().or(container.image_digest.take());
        container.health_status = said.health_status;
        container.network_bindings.clone_from(&said.network_bindings);
        container.restart_count = container.restart_count.max(said.restart_count);
    }
    if merged.last_status == TaskStatus::Stopped {
        // The last word about a task that its node does not know names no containers: they are as gone as it is.
        merged.containers.iter_mut().for_each(|container| container.last_status = ContainerStatus::Stopped);
    }
    Merged::Changed(Box::new(merged))
}
