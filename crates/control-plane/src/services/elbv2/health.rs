//! What the data plane says about targets and load balancers.
//!
//! Health is measured, not decided: it is kept in memory and measured anew after a restart. What follows from it and has to last, that
//! a target is gone, is in the tables.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use routing::report::{Health as Measurement, HealthState};
use tokio::sync::watch;

/// The state of a target, as DescribeTargetHealth names it; `Absent`: not registered, or drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    Absent,
    Initial,
    Healthy,
    Unhealthy,
    Unused,
    Draining,
    /// Not checked: its group's health checks are off.
    Unavailable,
}

/// How a target does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub state: State,
    /// `Target.Timeout` and the like.
    pub reason: Option<String>,
    pub description: Option<String>,
}

impl Health {
    /// A state with a reason of DescribeTargetHealth.
    pub fn new(state: State, reason: &str, description: impl Into<String>) -> Health {
        Health { state, reason: Some(reason.to_owned()), description: Some(description.into()) }
    }

    pub fn absent() -> Health {
        Health { state: State::Absent, reason: None, description: None }
    }

    pub fn healthy() -> Health {
        Health { state: State::Healthy, reason: None, description: None }
    }
}

impl From<Measurement> for Health {
    fn from(measured: Measurement) -> Health {
        let state = match measured.state {
            HealthState::Initial => State::Initial,
            HealthState::Healthy => State::Healthy,
            HealthState::Unhealthy => State::Unhealthy,
            HealthState::Unused => State::Unused,
            HealthState::Draining => State::Draining,
            HealthState::Unavailable => State::Unavailable,
        };
        let reason = measured.reason.map(|reason| reason.code().to_owned());
        Health { state, reason, description: measured.description }
    }
}

/// Which target of which group: the group's ARN, id and port, and which registration of those.
///
/// A task's address is given to another soon after it is free, and a target may be registered again while it drains: what was measured
/// under one registration is not said of the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub target_group_arn: String,
    pub id: String,
    pub port: u16,
    pub registration: u64,
}

/// What was measured last, of every target, and which load balancers listen.
#[derive(Debug)]
pub struct Board {
    state: Mutex<Measured>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Measured {
    targets: BTreeMap<Place, Health>,
    /// ARNs; none until a node has reported at all.
    listening: Option<HashSet<String>>,
}

impl Default for Board {
    fn default() -> Board {
        Board { state: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Board {
    /// The latest measurement of a target.
    pub fn of(&self, place: &Place) -> Option<Health> {
        self.locked().targets.get(place).cloned()
    }

    /// Whether the load balancer takes connections: yes while no node has ever reported.
    pub fn listens(&self, load_balancer_arn: &str) -> bool {
        self.locked().listening.as_ref().is_none_or(|all| all.contains(load_balancer_arn))
    }

    /// Replaces all measurements. Those who [`subscribed`](Board::subscribe) hear of it if anything differs.
    pub fn replace(&self, targets: BTreeMap<Place, Health>, listening: HashSet<String>) {
        let mut state = self.locked();
        if state.targets == targets && state.listening.as_ref() == Some(&listening) {
            return;
        }
        *state = Measured { targets, listening: Some(listening) };
        drop(state);
        self.changed.send_modify(|number| *number += 1);
    }

    /// Hears of every change: a number that grows. What it was is to be read from here.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn locked(&self) -> MutexGuard<'_, Measured> {
        // Each change is one assignment: a panic elsewhere leaves no half of one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
