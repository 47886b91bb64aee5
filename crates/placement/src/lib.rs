//! Where tasks go: which container instance takes a task, which of a service's tasks is stopped first, which capacity
//! provider gets the next.
//!
//! [`Fleet`] holds a cluster's instances and what tasks take of them, fed change by change. [`Fleet::plan`] chooses instances
//! for tasks: resources first, then constraints, which bind, then strategies, which order; what cannot be placed comes back
//! with the reason of each instance and the closest match. [`Fleet::select`] answers expressions of the cluster query
//! language. [`Fleet::stop_order`] is placement the other way round, [`share`] a capacity provider strategy.
//!
//! It reads no clock, stores nothing and starts nothing: callers commit what it plans, and tell it what became of that.
#![forbid(unsafe_code)]

mod bits;
mod capacity;
mod demand;
mod fleet;
mod plan;
pub mod query;
mod rules;
mod stop;
#[cfg(test)]
mod tests;

pub use capacity::{Provider, share};
pub use demand::{Demand, Held, Phase, Port, Protocol};
pub use fleet::{ENI_UNLIMITED, Fleet, Instance, Standing, Usage};
pub use plan::{MOST_PORTS, Plan, Refusal, Request, Requirement, Shortfall};
pub use rules::{Constraint, MOST_CONSTRAINTS, MOST_STRATEGIES, Reason, Resource, RuleError, Strategy};
pub use stop::Stoppable;
