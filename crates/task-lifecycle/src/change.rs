//! What a node says about a task: the inputs of SubmitTaskStateChange and SubmitContainerStateChange, with the few facts
//! beside them that the real service learns by other ways (container health by TCS, the kind of stop by inference).
//!
//! Every change is a whole statement of what the node knows, not a difference: taking one twice, or only the last of
//! several, leads to the same state.

use serde::{Deserialize, Serialize};
use vocabulary::Timestamp;

use crate::{ContainerStatus, HealthStatus, StopCode, TaskStatus};

/// The state of one task on its node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStateChange {
    /// ARN of the cluster.
    pub cluster: String,
    /// ARN of the task.
    pub task: String,
    /// Grows with every change about this task, also across restarts of the agent. [`TaskStateChange::LAST_WORD`] when the
    /// node knows nothing (any more) of a task that it is asked about.
    pub sequence: u64,
    pub status: TaskStatus,
    /// Why the task stops: the text users see as `stoppedReason`. Never set before the task is on its way down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Set together with `reason` when the node itself ended the task. A stop that the control plane asked for
    /// leaves it empty: the code is then the one recorded with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_code: Option<StopCode>,
    /// When the task's network worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connectivity_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_stopped_at: Option<Timestamp>,
    /// When the task reached RUNNING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the task began to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping_at: Option<Timestamp>,
    /// When the last container ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_stopped_at: Option<Timestamp>,
    /// Aggregate over the essential containers.
    pub health_status: HealthStatus,
    /// Every container of the task, in the definition's order.
    pub containers: Vec<ContainerStateChange>,
}

impl TaskStateChange {
    /// Above every sequence that a living task reaches.
    pub const LAST_WORD: u64 = i64::MAX as u64;
}

/// The state of one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStateChange {
    pub container_name: String,
    /// The runtime's own id of the container: `TASKID-DIGITS`, as FARGATE forms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_id: Option<String>,
    pub status: ContainerStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `sha256:…` of the manifest that was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    pub health_status: HealthStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_bindings: Vec<NetworkBinding>,
    /// How often a restart policy started it again.
    #[serde(default)]
    pub restart_count: u32,
}

/// The port a container's port can be reached at on its host (`bridge` and `host` modes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkBinding {
    #[serde(rename = "bindIP")]
    pub bind_ip: String,
    /// Of a range the first, as the host's.
    pub container_port: u16,
    pub host_port: u16,
    /// How many ports in a row it is: 1, or more for a `containerPortRange`.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

impl NetworkBinding {
    /// The container's and the host's ports as `FIRST-LAST`, of a range.
    pub fn ranges(&self) -> Option<(String, String)> {
        let range = |first: u16| format!("{first}-{}", first.saturating_add(self.count - 1));
        (self.count > 1).then(|| (range(self.container_port), range(self.host_port)))
    }

    /// The host's port that leads to this one of the container.
    pub fn host_port_of(&self, container_port: u16) -> Option<u16> {
        let offset = container_port.checked_sub(self.container_port).filter(|offset| *offset < self.count)?;
        self.host_port.checked_add(offset)
    }
}

fn one() -> u16 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(count: &u16) -> bool {
    *count == 1
}
