//! Tasks of an instance that is deregistered by force: nobody hears of them any more, so they count as stopped.
//!
//! Their containers may run on where they are, as on AWS, unless their agent ends them. What they held here is freed: targets,
//! interfaces, addresses.

use agent_protocol::state::{ContainerStatus, TaskStatus};
use state_store::Tx;
use vocabulary::{Scope, Timestamp};

use crate::services::{
    ec2::interfaces,
    ecs::{
        records::{DesiredStatus, InterfaceStatus, Task},
        services::traffic,
    },
};

/// The tasks that one transaction ends: each may have an interface and several targets, and a transaction has room for 128
/// writes.
pub const AT_ONCE: usize = 10;

/// Ends the task, which nobody will report on again.
pub fn end(tx: &mut Tx, scope: &Scope, key: &str, now: Timestamp) {
    let Some(found) = tx.get::<Task>(scope, key) else { return };
    if found.state.last_status >= TaskStatus::Stopped {
        return;
    }
    let mut task = (*found).clone();
    task.state.stop("TerminationNotice", "Container instance deregistered forcibly by user", now);
    task.state.last_status = TaskStatus::Stopped;
    task.state.stopped_at = Some(now);
    traffic::settle(tx, scope, &mut task, now);
    task.desired_status = DesiredStatus::Stopped;
    task.version += 1;
    for container in &mut task.state.containers {
        container.last_status = ContainerStatus::Stopped;
    }
    if let Some(interface) = &mut task.interface {
        interfaces::delete(tx, scope, &interface.interface_id);
        interface.status = InterfaceStatus::Deleted;
    }
    tx.put(scope, key, task);
}
