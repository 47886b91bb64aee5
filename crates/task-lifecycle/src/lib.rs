//! How a task lives: what to do next for one task on one node, and what to say about it.
//!
//! The core is two pure functions around one record of facts. [`observe`] folds an event (a container exited, an image
//! is ready) into [`TaskFacts`]; [`plan`] looks at the task's [`TaskShape`], the facts and the time and answers which
//! actions to begin, which state change to report, when to look again, and why anything waits. [`TaskFacts::apply`]
//! records a plan as begun, after which the same plan is empty: planning again changes nothing.
//!
//! ```text
//!            ┌────────────── event ◄──────────────┐
//!            ▼                                    │
//!  facts ─ observe ─► facts ─ plan ─► actions ─ executor (node-agent)
//!                              └────► state change ─► control plane ─ merge ─► the task's record
//! ```
//!
//! What holds at every moment, and is tested as properties:
//! - a container is never started before its image is ready, its output has somewhere to go, the network works and
//!   every condition it depends on is met;
//! - a container is asked to end only when everything that depends on it has ended;
//! - a task's status never goes back; STOPPED is only said when nothing of the task is left on the node;
//! - an event of an earlier run of a container (before a restart by its policy) has no effect.
//!
//! On the other side, [`merge`] takes such a change into the control plane's record: forward only, idempotent, stale
//! ones rejected. [`Traffic`] holds a task behind load balancers at ACTIVATING until it is registered, and at DEACTIVATING
//! until it is drained. Stop codes like UserInitiated are not decided here.

mod apply;
mod change;
mod dependency;
mod facts;
mod health;
mod merge;
mod observe;
mod plan;
mod shape;
mod snapshot;
mod status;
mod stop;
mod traffic;

pub use change::{ContainerStateChange, NetworkBinding, TaskStateChange};
pub use facts::{
    ContainerFacts, Exit, HealthFacts, ImageFacts, LogFacts, NetworkFacts, ProcessFacts, SandboxFacts,
    TaskFacts,
};
pub use merge::{ContainerRecord, Merged, TaskRecord, merge};
pub use observe::{Event, observe};
pub use plan::{Action, Plan, Report, Waiting, plan};
pub use shape::{
    ContainerShape, Dependency, DependencyCondition, HealthSchedule, InvalidShape, RestartPolicy, TaskShape,
};
pub use snapshot::task_health;
pub use status::{ContainerStatus, HealthStatus, StopCode, TaskStatus};
pub use stop::{StopCause, reasons};
pub use traffic::Traffic;

#[cfg(test)]
mod tests;
