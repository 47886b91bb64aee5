//! A simulated fleet around the planner, and a checker that holds every plan against the invariants.

mod breaker;
mod daemons;
mod fleet;
mod handover;
mod others;
mod properties;
mod rolling;
mod staged;

use std::time::Duration;

use vocabulary::Timestamp;

use crate::{Configuration, Controller, Limits, Scheduling, Service, ServiceStatus, Task};

/// Any moment will do.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn service(desired_count: u32) -> Service {
    Service {
        name: "web".to_owned(),
        status: ServiceStatus::Active,
        desired_count,
        scheduling: Scheduling::Replica,
        controller: Controller::Ecs,
        configuration: Configuration::default(),
        health_check_grace_period: Duration::ZERO,
        load_balanced: false,
        alarms_in_alarm: Vec::new(),
        zone_rebalancing: false,
        zones: Vec::new(),
    }
}

fn percent(minimum: u32, maximum: u32) -> Configuration {
    Configuration { minimum_healthy_percent: minimum, maximum_percent: maximum, ..Configuration::default() }
}

const LIMITS: Limits = Limits { changes: 40 };

fn of<'a>(tasks: &'a [Task], deployment: &str) -> Vec<&'a Task> {
    tasks.iter().filter(|task| task.deployment == deployment && task.is_living()).collect()
}
