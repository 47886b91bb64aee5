//! The two things that a task can be registered with, in the same words: a target group, and a classic load balancer.
//!
//! A classic load balancer knows instances and not tasks. Its instance stays registered as long as any task on it is meant to get
//! requests through it, and what is measured of the instance is said of each of them.

use deployment::{Check, events};
use state_store::{Tx, View};
use vocabulary::{Scope, Timestamp};

use crate::{
    gateway::ApiError,
    services::{
        ecs::records::{DesiredStatus, Registrar, Task, TaskTarget},
        elb::{self, balancers},
        elbv2::{
            health::{Board, Health},
            targets::{self, TargetId},
        },
    },
};

/// Registers a place.
///
/// # Errors
/// Those of the load balancers' own operations.
pub fn register(tx: &mut Tx, scope: &Scope, place: &TaskTarget, now: Timestamp) -> Result<(), ApiError> {
    match &place.at {
        Registrar::TargetGroupArn(arn) => targets::register(tx, scope, arn, &target(place), now),
        Registrar::LoadBalancerName(name) => elb::instances::register(tx, scope, name, &place.id, now),
    }
}

/// Begins to drain the place of a task that is to get nothing more.
///
/// # Errors
/// When the target group or load balancer is gone: then there is nothing to drain.
pub fn deregister(
    tx: &mut Tx,
    scope: &Scope,
    task: &Task,
    place: &TaskTarget,
    now: Timestamp,
) -> Result<(), ApiError> {
    match &place.at {
        Registrar::TargetGroupArn(arn) => targets::deregister(tx, scope, arn, &target(place), now),
        Registrar::LoadBalancerName(name) if is_shared(tx, scope, task, place) => {
            tracing::debug!(task = task.id, name, "the instance stays registered for another task");
            Ok(())
        }
        Registrar::LoadBalancerName(name) => elb::instances::deregister(tx, scope, name, &place.id, now),
    }
}

/// Whether another task is to get requests by the same registration of the instance.
fn is_shared(tx: &mut Tx, scope: &Scope, task: &Task, place: &TaskTarget) -> bool {
    let on_it = |other: &Task| {
        other.id != task.id
            && other.desired_status == DesiredStatus::Running
            && other.targets.iter().any(|one| one.at == place.at && one.id == place.id)
    };
    let prefix = format!("{}/", task.cluster);
    let seen: Vec<String> = tx
        .view()
        .scan_prefix::<Task>(scope, &prefix)
        .filter(|(_, other)| on_it(other))
        .map(|(key, _)| key.to_owned())
        .collect();
    // Those that the same transaction stops do not count.
    seen.iter().any(|key| tx.get::<Task>(scope, key).is_some_and(|other| on_it(&other)))
}

/// How a place does.
pub fn health(view: &View, board: &Board, scope: &Scope, place: &TaskTarget, now: Timestamp) -> Health {
    match &place.at {
        Registrar::TargetGroupArn(arn) => targets::health(view, board, scope, arn, &target(place), now),
        Registrar::LoadBalancerName(name) => elb::instances::health(view, board, scope, name, &place.id, now),
    }
}

/// When a place that begins to drain now is drained at the latest; none: it has nothing to wait for.
pub fn drained_by(view: &View, scope: &Scope, place: &TaskTarget, since: Timestamp) -> Option<Timestamp> {
    match &place.at {
        Registrar::TargetGroupArn(arn) => {
            Some(since + targets::lookup(view, scope, arn)?.deregistration_delay)
        }
        Registrar::LoadBalancerName(name) => {
            balancers::see(view, scope, name).ok()?.draining.get(&place.id).copied()
        }
    }
}

/// Whether the load balancer has a node in the zone: it sends nothing to others.
pub fn reaches(view: &View, scope: &Scope, place: &TaskTarget, zone: &str) -> bool {
    match &place.at {
        Registrar::TargetGroupArn(arn) => targets::zones_in_use(view, scope, arn).contains(zone),
        Registrar::LoadBalancerName(name) => balancers::see(view, scope, name)
            .is_ok_and(|found| found.nodes.iter().any(|node| node.zone == zone)),
    }
}

/// Whether any load balancer sends anything there at all, wherever.
pub fn is_used(view: &View, scope: &Scope, place: &TaskTarget) -> bool {
    match &place.at {
        Registrar::TargetGroupArn(arn) => !targets::zones_in_use(view, scope, arn).is_empty(),
        Registrar::LoadBalancerName(_) => true,
    }
}

/// What an unhealthy place means for its task.
pub fn failed(service: &str, task: &str, place: &TaskTarget, reason: &str) -> Check {
    match &place.at {
        Registrar::TargetGroupArn(arn) => Check::Bad {
            stop_reason: events::failed_target_checks(arn),
            event: events::unhealthy_target(service, task, place.port, arn, reason),
        },
        Registrar::LoadBalancerName(name) => Check::Bad {
            stop_reason: events::failed_classic_checks(name),
            event: events::unhealthy_instance(service, &place.id, place.port, name, reason),
        },
    }
}

/// That so many were registered.
pub fn told_registered(service: &str, count: usize, at: &Registrar) -> String {
    match at {
        Registrar::TargetGroupArn(arn) => events::registered_targets(service, count, arn),
        Registrar::LoadBalancerName(name) => events::registered_instances(service, count, name),
    }
}

/// That so many were deregistered.
pub fn told_deregistered(service: &str, count: usize, at: &Registrar) -> String {
    match at {
        Registrar::TargetGroupArn(arn) => events::deregistered_targets(service, count, arn),
        Registrar::LoadBalancerName(name) => events::deregistered_instances(service, count, name),
    }
}

/// As events name it: `target-group ARN`, `elb NAME`.
pub fn in_events(at: &Registrar) -> String {
    match at {
        Registrar::TargetGroupArn(arn) => format!("target-group {arn}"),
        Registrar::LoadBalancerName(name) => format!("elb {name}"),
    }
}

fn target(place: &TaskTarget) -> TargetId {
    TargetId { id: place.id.clone(), port: Some(place.port), zone: None }
}
