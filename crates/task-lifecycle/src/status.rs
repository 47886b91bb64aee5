//! The words for where a task, a container and its health stand.

use serde::{Deserialize, Serialize};

/// A task's status, in the order that it goes through them; it never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    Provisioning,
    Pending,
    Activating,
    Running,
    Deactivating,
    Stopping,
    Deprovisioning,
    Stopped,
}

/// A container's status as DescribeTasks shows it, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerStatus {
    #[default]
    Pending,
    Running,
    Stopped,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HealthStatus {
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
}

/// Why a task stopped, as far as its node can know. (The control plane adds UserInitiated and the like.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StopCode {
    TaskFailedToStart,
    EssentialContainerExited,
}

macro_rules! wire_names {
    ($type:ident { $($variant:ident => $name:literal,)* }) => {
        impl $type {
            /// The name in AWS's APIs.
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $name,)* }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_names!(TaskStatus {
    Provisioning => "PROVISIONING",
    Pending => "PENDING",
    Activating => "ACTIVATING",
    Running => "RUNNING",
    Deactivating => "DEACTIVATING",
    Stopping => "STOPPING",
    Deprovisioning => "DEPROVISIONING",
    Stopped => "STOPPED",
});
wire_names!(ContainerStatus { Pending => "PENDING", Running => "RUNNING", Stopped => "STOPPED", });
wire_names!(HealthStatus { Unknown => "UNKNOWN", Healthy => "HEALTHY", Unhealthy => "UNHEALTHY", });
wire_names!(StopCode {
    TaskFailedToStart => "TaskFailedToStart",
    EssentialContainerExited => "EssentialContainerExited",
});
