//! What a task takes of an instance, and for how long it is taken.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

/// A port of an instance's own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    pub protocol: Protocol,
    pub number: u16,
}

/// What a task reserves, from its placement until it has stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// 1024 to the CPU.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// Those that the definition names; ports that the node picks are not reserved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Network interfaces: one for `awsvpc`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub enis: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gpus: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A task that takes something of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The container instance's id; one that is not known (yet) is remembered.
    pub instance: String,
    /// `service:NAME`, `family:FAMILY` or one's own.
    pub group: String,
    pub demand: Demand,
    /// Whether it is wanted: its desired status is RUNNING. One that is to stop still holds what it reserved, while
    /// `distinctInstance`, `spread` and `task:group` do not count it any more.
    pub wanted: bool,
    pub phase: Phase,
}

/// How far a task has come, as far as counts of an instance go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It does not run yet.
    Pending,
    /// Its last status is RUNNING.
    Running,
    /// It runs no longer, and holds what it reserved until it has stopped.
    Ending,
}
