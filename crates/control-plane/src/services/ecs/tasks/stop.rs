//! StopTask: says that a task shall stop; its node then does it.
//!
//! It is also how an interruption of FARGATE_SPOT is tried out, which AWS has no operation for: a task of that provider that is stopped for the
//! reason [`INTERRUPTION`] ends as one whose capacity was taken back.

use aws_shapes_ecs::{StopTaskRequest, StopTaskResponse};
use state_store::Tx;
use vocabulary::{Scope, Timestamp};

use super::describe;
use crate::{
    gateway::{ApiError, Call},
    services::ecs::{
        names::{self, cluster_name, invalid},
        records::{DesiredStatus, Task, task_key},
        services::traffic,
    },
};

/// The longest reason that is kept.
const LONGEST_REASON: usize = 1024;
const DEFAULT_REASON: &str = "Task stopped by user";
/// What AWS says of a task on FARGATE_SPOT whose capacity it takes back.
pub const INTERRUPTION: &str = "Your Spot Task was interrupted.";

pub async fn stop(call: Call, input: StopTaskRequest) -> Result<StopTaskResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    call.services.state.read(|view| names::active_cluster(view, scope, &cluster).map(drop))?;
    let id = names::task_id(scope, &cluster, input.task.as_deref().unwrap_or_default())?;
    let reason =
        input.reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| DEFAULT_REASON.to_owned());
    if reason.len() > LONGEST_REASON {
        return Err(invalid(format!("The reason can be {LONGEST_REASON} characters long at most.")));
    }
    let key = task_key(&cluster, &id);
    let task = call
        .services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, scope, &cluster)?;
            let found =
                tx.get::<Task>(scope, &key).ok_or_else(|| invalid("The referenced task was not found."))?;
            let mut task = (*found).clone();
            if task.desired_status == DesiredStatus::Running {
                if reason == INTERRUPTION && task.capacity_provider.as_deref() == Some("FARGATE_SPOT") {
                    interrupt(tx, scope, &mut task, call.now());
                } else {
                    request_stop(tx, scope, &mut task, "UserInitiated", &reason, call.now());
                }
                tx.put(scope, &key, task.clone());
            }
            Ok::<_, ApiError>(task)
        })
        .await?;
    Ok(StopTaskResponse { task: Some(describe::shape(scope, &task, true)) })
}

/// Takes the task's capacity back: its containers are warned with SIGTERM at once, whatever load balancers still send, and killed after their
/// `stopTimeout`, which on FARGATE is within the two minutes that AWS gives.
fn interrupt(tx: &mut Tx, scope: &Scope, task: &mut Task, now: Timestamp) {
    request_stop(tx, scope, task, "SpotInterruption", INTERRUPTION, now);
    if task.state.is_draining() {
        task.state.close_traffic();
        task.targets.clear();
        task.payload_sequence += 1;
    }
}

/// Records that the task shall stop, and why. One that load balancers send requests to is drained first; its node is told
/// when that is over. The caller writes the task.
pub fn request_stop(tx: &mut Tx, scope: &Scope, task: &mut Task, code: &str, reason: &str, now: Timestamp) {
    task.desired_status = DesiredStatus::Stopped;
    task.version += 1;
    task.state.stop(code, reason, now);
    if task.state.begin_draining() {
        traffic::withdraw(tx, scope, task, now);
    } else {
        task.payload_sequence += 1;
    }
}
