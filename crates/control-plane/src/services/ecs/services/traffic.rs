//! A task's targets: registered when its containers run, deregistered when it is to stop, closed when they are drained.
//!
//! Everything here happens inside the transaction of whoever changes the task, so that a task never shows RUNNING without its
//! targets, nor is its node told to stop it while one may still get a request.

use agent_protocol::state::NetworkBinding;
use state_store::{Tx, View};
use vocabulary::{Scope, Timestamp};

use super::{balancers::Attachment, registrars};
use crate::services::{
    ecs::records::{ContainerInstance, Registrar, Task, TaskTarget},
    elbv2::{
        health::{Board, State},
        records::TargetType,
        targets,
    },
};

/// Why a task cannot be registered.
#[derive(Debug)]
pub enum Unregistered {
    /// Its node has not said where its port is yet.
    Waiting,
    /// It never can be.
    Refused { at: Registrar, message: String },
}

/// Registers the task with every load balancer and lets it be RUNNING.
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
        registrars::register(tx, scope, &place, now)
            .map_err(|error| Unregistered::Refused { at: place.at.clone(), message: error.message })?;
        task.targets.push(place);
    }
    task.state.open_traffic();
    task.version += 1;
    Ok(())
}

/// Where the load balancer reaches the task: at its own address, or at the port of its instance that its container's was given.
fn place(
    view: &View,
    scope: &Scope,
    task: &Task,
    attachment: &Attachment,
) -> Result<TaskTarget, Unregistered> {
    let at = attachment.at.clone();
    let refused = |message: String| Unregistered::Refused { at: at.clone(), message };
    if let Some(arn) = at.target_group() {
        let Some(group) = targets::lookup(view, scope, arn) else {
            return Err(refused(format!("Target groups '{arn}' not found")));
        };
        if group.target_type == TargetType::Ip {
            let interface = task.interface.as_ref().ok_or_else(|| {
                refused("a task without an interface of its own is no target of type ip".to_owned())
            })?;
            let id = interface.private_address.to_string();
            return Ok(TaskTarget { id, port: attachment.port, at });
        }
    }
    let key = format!("{}/{}", task.cluster, task.container_instance.as_deref().unwrap_or_default());
    let instance = view.get::<ContainerInstance>(scope, &key).and_then(|found| found.ec2_instance_id.clone());
    let id = instance.ok_or_else(|| refused("the task is on no instance that can be a target".to_owned()))?;
    match host_port(task, attachment) {
        Some(port) => Ok(TaskTarget { id, port, at }),
        None => Err(Unregistered::Waiting),
    }
}

/// The port of the instance that the container's is published at, once its node has said.
fn host_port(task: &Task, attachment: &Attachment) -> Option<u16> {
    let container = task.state.containers.iter().find(|container| container.name == attachment.container)?;
    let same = |binding: &&NetworkBinding| binding.container_port == attachment.port;
    let bindings = &container.network_bindings;
    let binding = bindings.iter().filter(same).find(|binding| binding.protocol == "tcp");
    binding.or_else(|| bindings.iter().find(same)).map(|binding| binding.host_port)
}

/// Begins to drain the task's targets. A target group that is gone has nothing to drain.
pub fn withdraw(tx: &mut Tx, scope: &Scope, task: &Task, now: Timestamp) {
    for place in &task.targets {
        if let Err(error) = registrars::deregister(tx, scope, task, place, now) {
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
        let health = registrars::health(view, board, scope, place, now);
        if health.state != State::Draining
            || !registrars::reaches(view, scope, place, &task.availability_zone)
        {
            continue;
        }
        open = true;
        let since = task.state.stopping_at;
        latest = latest.max(since.and_then(|since| registrars::drained_by(view, scope, place, since)));
    }
    if open { Err(latest) } else { Ok(()) }
}
