//! What nodes report of tasks, taken into the tasks' records.
//!
//! The lifecycle core decides what a report changes; here its consequences are carried out in the same transaction: a
//! stopped task's interface and addresses are free at the moment the task shows STOPPED.

use agent_protocol::state::{AttachmentStateChange, AttachmentStatus, TaskStateChange, TaskStatus};
use task_lifecycle::{Merged, merge};
use vocabulary::{Arn, Scope, Timestamp};

use crate::{
    gateway::ApiError,
    services::{
        Services,
        ec2::interfaces,
        ecs::{
            records::{DesiredStatus, InterfaceStatus, Task, task_key},
            services::traffic,
            tasks::roles,
        },
    },
};

/// Takes a report about a task in. A report about a task that is not known has no effect.
///
/// # Errors
/// Those of the store.
pub async fn submit_task(
    services: &Services,
    change: &TaskStateChange,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some((scope, key)) = own_task(&change.task) else { return Ok(()) };
    services
        .state
        .transact(|tx| {
            let Some(found) = tx.get::<Task>(&scope, &key) else { return Ok(()) };
            let Merged::Changed(merged) = merge(&found.state, change, now) else { return Ok(()) };
            let mut task = (*found).clone();
            task.state = *merged;
            task.version += 1;
            if task.state.last_status > TaskStatus::Running {
                task.desired_status = DesiredStatus::Stopped;
            }
            traffic::settle(tx, &scope, &mut task, now);
            let stopped = task.state.last_status == TaskStatus::Stopped;
            if let Some(interface) = &mut task.interface {
                if stopped {
                    interfaces::delete(tx, &scope, &interface.interface_id);
                    interface.status = InterfaceStatus::Deleted;
                } else if task.state.connectivity_at.is_some() {
                    interface.status = InterfaceStatus::Attached;
                }
            }
            if stopped {
                roles::revoke(tx, &scope, &task);
            }
            tx.put(&scope, &key, task);
            Ok(())
        })
        .await
}

/// Takes a report about a task's interface in.
///
/// # Errors
/// Those of the store.
pub async fn submit_attachment(services: &Services, change: &AttachmentStateChange) -> Result<(), ApiError> {
    let Some((scope, key)) = own_task(&change.task) else { return Ok(()) };
    services
        .state
        .transact(|tx| {
            let Some(found) = tx.get::<Task>(&scope, &key) else { return Ok(()) };
            let mut task = (*found).clone();
            let Some(interface) = &mut task.interface else { return Ok(()) };
            let status = match change.status {
                AttachmentStatus::Attaching => InterfaceStatus::Attaching,
                AttachmentStatus::Attached => InterfaceStatus::Attached,
                // The record says DELETED when the task has stopped and the interface is gone.
                AttachmentStatus::Detached | AttachmentStatus::Failed => return Ok(()),
            };
            if interface.status == status || interface.status == InterfaceStatus::Deleted {
                return Ok(());
            }
            interface.status = status;
            task.version += 1;
            tx.put(&scope, &key, task);
            Ok(())
        })
        .await
}

/// Whose task an ARN names, and its key.
pub fn own_task(arn: &str) -> Option<(Scope, String)> {
    let arn: Arn = arn.parse().ok()?;
    let scope = Scope::new(arn.account().parse().ok()?, arn.region().parse().ok()?);
    let (cluster, id) = arn.resource_of_kind("task")?.split_once('/')?;
    Some((scope, task_key(cluster, id)))
}

/// Ends a task that no node was told of, because it cannot be run.
///
/// # Errors
/// Those of the store.
pub async fn fail(services: &Services, scope: &Scope, key: &str, reason: &str) -> Result<(), ApiError> {
    let now = services.now();
    services
        .state
        .transact(|tx| {
            let Some(found) = tx.get::<Task>(scope, key) else { return Ok(()) };
            if found.state.last_status == TaskStatus::Stopped {
                return Ok(());
            }
            let mut task = (*found).clone();
            task.state.stop("TaskFailedToStart", &format!("ResourceInitializationError: {reason}"), now);
            task.state.last_status = TaskStatus::Stopped;
            task.state.stopped_at = Some(now);
            traffic::settle(tx, scope, &mut task, now);
            task.desired_status = DesiredStatus::Stopped;
            task.version += 1;
            for container in &mut task.state.containers {
                container.last_status = agent_protocol::state::ContainerStatus::Stopped;
            }
            if let Some(interface) = &mut task.interface {
                interfaces::delete(tx, scope, &interface.interface_id);
                interface.status = InterfaceStatus::Deleted;
            }
            roles::revoke(tx, scope, &task);
            tx.put(scope, key, task);
            Ok(())
        })
        .await
}
