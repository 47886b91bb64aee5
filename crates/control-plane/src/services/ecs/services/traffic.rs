//! A task's targets: registered when its containers run, deregistered when it is to stop, closed when they are drained.
//!
//! Everything here happens inside the transaction of whoever changes the task, so that a task never shows RUNNING without its
//! targets, nor is its node told to stop it while one may still get a request.

use state_store::{Tx, View};
use vocabulary::{Scope, Timestamp};

use super::balancers::Attachment;
use crate::services::{
    ecs::records::{ContainerInstance, Task, TaskTarget},
    elbv2::{
        health::{Board, State},
        records::TargetType,
        targets::{self, TargetId},
    },
};

/// Why a task cannot be registered.
#[derive(Debug)]
pub enum Unregistered {
    /// Its node has not said where its port is yet.
    Waiting,
    /// It never can be.
    Refused { target_group_arn: String, message: String },
}

/// Registers the task in every target group and lets it be RUNNING.
pub fn open(
    tx: &mut Tx,
    scope: &Scope,
    task: &mut Task,
    attachments: &[Attachment],
    now: Timestamp,
) -> Result<(), Unregistered> {
    let mut places = Vec::with_capacity(attachments.len());
    for attachment in attachments {
        places.push(place(tx.view(), scope, task, attachment)?);
    }
    for place in places {
        let arn = place.target_group_arn.clone();
        targets::register(tx, scope, &arn, &target(&place), now)
            .map_err(|error| Unregistered::Refused { target_group_arn: arn, message: error.message })?;
        task.targets.push(place);
    }
    task.state.open_traffic();
    task.version += 1;
    Ok(())
}

/// Where the group reaches the task: at its own address, or at the port of its instance that its container's was given.
fn place(
    view: &View,
    scope: &Scope,
    task: &Task,
    attachment: &Attachment,
) -> Result<TaskTarget, Unregistered> {
    let target_group_arn = attachment.target_group_arn.clone();
    let refused =
        |message: String| Unregistered::Refused { target_group_arn: target_group_arn.clone(), message };
    let Some(group) = targets::lookup(view, scope, &target_group_arn) else {
        return Err(refused(format!("Target groups '{target_group_arn}' not found")));
    };
    if group.target_type == TargetType::Ip {
        let interface = task.interface.as_ref().ok_or_else(|| {
            refused("a task without an interface of its own is no target of type ip".to_owned())
        })?;
        return Ok(TaskTarget {
            id: interface.private_address.to_string(),
            port: attachment.port,
            target_group_arn,
        });
    }
    let key = format!("{}/{}", task.cluster, task.container_instance.as_deref().unwrap_or_default());
    let instance = view.get::<ContainerInstance>(scope, &key).and_then(|found| found.ec2_instance_id.clone());
    let id = instance.ok_or_else(|| refused("the task is on no instance that can be a target".to_owned()))?;
    let container = task.state.containers.iter().find(|container| container.name == attachment.container);
    let mut bindings = container.iter().flat_map(|container| &container.network_bindings);
    let binding =
        bindings.find(|binding| binding.container_port == attachment.port && binding.protocol == "tcp");
    let binding = binding.or_else(|| {
        let mut bindings = container.iter().flat_map(|container| &container.network_bindings);
        bindings.find(|binding| binding.container_port == attachment.port)
    });
    match binding {
        Some(binding) => Ok(TaskTarget { id, port: binding.host_port, target_group_arn }),
        None => Err(Unregistered::Waiting),
    }
}

fn target(place: &TaskTarget) -> TargetId {
    TargetId { id: place.id.clone(), port: Some(place.port), zone: None }
}

/// Begins to drain the task's targets. A target group that is gone has nothing to drain.
pub fn withdraw(tx: &mut Tx, scope: &Scope, task: &Task, now: Timestamp) {
    for place in &task.targets {
        if let Err(error) = targets::deregister(tx, scope, &place.target_group_arn, &target(place), now) {
            tracing::debug!(task = task.id, %error, "a target could not be deregistered");
        }
    }
}

/// After a report about the task was taken in: when it ends by itself, its targets go at once.
pub fn settle(tx: &mut Tx, scope: &Scope, task: &mut Task, now: Timestamp) {
    use agent_protocol::state::TaskStatus;
    if task.state.last_status > TaskStatus::Deactivating && !task.targets.is_empty() {
        withdraw(tx, scope, task, now);
        task.targets.clear();
        task.state.close_traffic();
    }
}

/// Whether nothing reaches the task any more; else when that is so at the latest.
pub fn drained(
    view: &View,
    board: &Board,
    scope: &Scope,
    task: &Task,
    now: Timestamp,
) -> Result<(), Option<Timestamp>> {
    let mut latest = None;
    let mut open = false;
    for place in &task.targets {
        let health = targets::health(view, board, scope, &place.target_group_arn, &target(place), now);
        // No load balancer sends anything to a zone that it has no node in.
        let reached = targets::zones_in_use(view, scope, &place.target_group_arn);
        if health.state != State::Draining || !reached.contains(&task.availability_zone) {
            continue;
        }
        open = true;
        let delay =
            targets::lookup(view, scope, &place.target_group_arn).map(|group| group.deregistration_delay);
        if let (Some(delay), Some(since)) = (delay, task.state.stopping_at) {
            latest = latest.max(Some(since + delay));
        }
    }
    if open { Err(latest) } else { Ok(()) }
}

/// How the target at a place does.
pub fn health(
    view: &View,
    board: &Board,
    scope: &Scope,
    place: &TaskTarget,
    now: Timestamp,
) -> targets::Health {
    targets::health(view, board, scope, &place.target_group_arn, &target(place), now)
}
