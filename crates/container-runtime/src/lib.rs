//! Runs the containers of tasks: one small shim process per task, libcontainer inside it, and the client that the agent talks to it with.
//!
//! Why a process per task: libcontainer must be called from a single thread (it clones and goes on allocating), containers must outlive
//! the agent, and one task's trouble must not be another's. The shim is this same binary, started again as `EXE shim …`: a
//! poll loop without threads that creates containers, stamps and keeps their output, reports exits, and needs no client to do so.
//! All it knows is on disk under the task's directory as soon as it knows it, so that an agent that starts later, even after the shim's
//! own death, learns how every container ended.
//!
//! What is where:
//! - [`Runtime`] and [`TaskHandle`]: the agent's side (tokio). [`LogTail`]: a container's output from a remembered position.
//! - [`shim_main`]: the shim's side; call it before any thread exists.
//! - `TASK_DIR/containers/NAME/`: `status.json`, `output/`, the overlay's `upper` and `work`.
//! - `RUN_DIR/TASK/bundles/NAME/`: the OCI bundle with its `rootfs`, mounted only in the shim's mount namespace, so that nothing stays mounted
//!   however the shim ends; from outside it is `/proc/SHIM/root/RUN_DIR/TASK/bundles/NAME/rootfs`.
//! - cgroups: `ROOT/TASK/NAME` below each hierarchy, limits of the task on `ROOT/TASK`; the shims themselves in `ROOT/shims`.
//!
//! Not here: images, networks, volumes' lives, restart policies, ECS's words.

mod cgroup;
mod client;
mod clock;
mod config;
mod error;
mod mount_points;
mod output;
mod protocol;
mod seccomp;
mod shim;
mod spec;
mod status;

pub use cgroup::stats::{BlkioEntry, ContainerStats, CpuStats, MemoryStats, PidsStats};
pub use client::{Adopted, AttachControl, Attached, DeadTask, EventStream, Runtime, SweepReport, TaskHandle};
pub use clock::{ClockState, clock_state};
pub use config::{
    AttachConfig, ContainerConfig, Device, EtcFiles, ExecConfig, Mount, MountKind, Network, OutputLimits,
    Resources, Rlimit, RuntimeConfig, Seccomp, TaskLimits, TaskSandbox, WindowSize,
};
pub use error::{FailureKind, RuntimeError};
pub use output::{LogPosition, LogRecord, LogStream, LogTail};
pub use shim::shim_main;
pub use status::{ContainerState, ContainerStatus, Event, ExecOutcome, Exit, Statuses};
