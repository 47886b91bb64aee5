//! Which tasks a service has next: what its deployments start and stop, whether they succeed, fail or are taken back.
//!
//! One pure function: [`plan`] looks at a snapshot of *one* service ([`Service`]: what was asked for, [`State`]: what this
//! core remembers, [`Task`]s: what there is), the time and fresh ids, and answers a [`Plan`] (what to start and stop, the
//! state to store, when to look again) and a [`Report`] (the service's events, and why something did not happen).
//!
//! ```text
//!  UpdateService, StopServiceDeployment, … ── State::deploy / request_stop / answer_hook
//!                                   ▼
//!  snapshot of service and tasks ─ plan ─► Plan ─ reconciler: starts (placement is somebody else's), stops, stores
//!        ▲                          └────► Report ─► service events
//!        └────────── tasks' states, targets' health, placement failures ◄──────────┘
//! ```
//!
//! What holds for every plan, and is tested as properties:
//! - RUNNING + PENDING never goes above `floor(desired · maximumPercent / 100)` by a plan's own starts (blue/green
//!   strategies run both revisions at full strength instead);
//! - no stop of a task in good health takes the number of those under `ceil(desired · minimumHealthyPercent / 100)`; an unhealthy
//!   task is stopped under the minimum only when the maximum leaves no room to replace it first;
//! - a protected task is not stopped to scale in or to deploy;
//! - each failure of a task counts once, and a deployment fails exactly when the circuit breaker's threshold is reached;
//! - planning again on what a plan led to does nothing until something happens or the time it named has come.
//!
//! It never places a task, never touches a load balancer (it says which weights each deployment is to have) and does not
//! keep the texts' history: the caller stores events and numbers them.

mod accounting;
mod choose;
mod daemon;
pub mod events;
mod handover;
mod hooks;
mod limits;
mod plan;
mod rebalance;
mod replica;
mod requests;
mod rollout;
mod round;
mod service;
mod stages;
mod state;
mod task;
mod task_sets;

pub use handover::CannotHandOver;
pub use limits::{Bounds, circuit_breaker_threshold};
pub use plan::{Limits, Plan, Report, Start, Stop, Waiting, plan};
pub use service::{
    Alarms, Canary, CircuitBreaker, Configuration, Controller, EarlySuccess, Hook, HookStage, HookTarget,
    Linear, Scheduling, Service, ServiceStatus, SourceCleanup, Strategy, Threshold,
};
pub use state::{
    Deployment, DeploymentStatus, HookAction, HookRun, HookStatus, Monitor, PlacementTrouble, Rebalance,
    Refused, Rollback, Rollout, RolloutState, RolloutStatus, Source, Stability, Stage, StartBackOff, State,
    StopType, TaskSet,
};
pub use task::{Check, Ended, EndedBy, Noted, Phase, Task};

#[cfg(test)]
mod tests;
