//! Scale-in protection of service tasks: GetTaskProtection and UpdateTaskProtection.

use std::time::Duration;

use agent_protocol::state::TaskStatus;
use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    GetTaskProtectionRequest, GetTaskProtectionResponse, ProtectedTask, UpdateTaskProtectionRequest,
    UpdateTaskProtectionResponse,
};
use vocabulary::Scope;

use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::ecs::{
        missing,
        names::{self, cluster_name, invalid},
        records::{Task, task_key},
    },
};

/// Protection lasts two hours unless said otherwise, and at most two days.
const DEFAULT_MINUTES: i32 = 120;
const LONGEST_MINUTES: i32 = 2880;

fn shape(scope: &Scope, task: &Task, now: vocabulary::Timestamp) -> ProtectedTask {
    let until = task.protected_until.filter(|until| *until > now);
    ProtectedTask {
        task_arn: Some(task.arn(scope)),
        protection_enabled: Some(until.is_some()),
        expiration_date: until.map(time),
    }
}

/// Why the task cannot be protected, if so.
fn refusal(scope: &Scope, task: &Task) -> Option<ecs::Failure> {
    let failure = |reason: &str, detail: &str| {
        Some(ecs::Failure {
            arn: Some(task.arn(scope)),
            reason: Some(reason.to_owned()),
            detail: Some(detail.to_owned()),
        })
    };
    if task.state.last_status == TaskStatus::Stopped {
        return failure("TASK_NOT_VALID", "The task is stopped.");
    }
    if !task.group.starts_with("service:") {
        return failure("TASK_NOT_VALID", "Only tasks of a service can be protected.");
    }
    None
}

fn ids(scope: &Scope, cluster: &str, given: Vec<String>) -> Result<Vec<String>, ApiError> {
    if given.len() > 10 {
        return Err(invalid("At most 10 tasks can be named at once."));
    }
    given.iter().map(|text| names::task_id(scope, cluster, text)).collect()
}

pub async fn get(call: Call, input: GetTaskProtectionRequest) -> Result<GetTaskProtectionResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let ids = ids(scope, &cluster, input.tasks.unwrap_or_default())?;
    let (mut protected, mut failures) = (Vec::new(), Vec::new());
    call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        let all: Vec<(String, Option<std::sync::Arc<Task>>)> = if ids.is_empty() {
            let tasks = view.scan_prefix::<Task>(scope, &format!("{cluster}/"));
            tasks
                .map(|(_, task)| (task.id.clone(), Some(task)))
                .filter(|(_, task)| task.as_ref().is_some_and(|task| refusal(scope, task).is_none()))
                .collect()
        } else {
            ids.iter().map(|id| (id.clone(), view.get::<Task>(scope, &task_key(&cluster, id)))).collect()
        };
        for (id, task) in all {
            match task {
                None => {
                    failures.push(missing(scope.arn("ecs", format_args!("task/{cluster}/{id}")).to_string()));
                }
                Some(task) => match refusal(scope, &task) {
                    Some(failure) => failures.push(failure),
                    None => protected.push(shape(scope, &task, call.now())),
                },
            }
        }
        Ok::<_, ApiError>(())
    })?;
    Ok(GetTaskProtectionResponse { protected_tasks: Some(protected), failures: Some(failures) })
}

pub async fn update(
    call: Call,
    input: UpdateTaskProtectionRequest,
) -> Result<UpdateTaskProtectionResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let ids = ids(scope, &cluster, input.tasks.unwrap_or_default())?;
    if ids.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    let minutes = input.expires_in_minutes.unwrap_or(DEFAULT_MINUTES);
    if !(1..=LONGEST_MINUTES).contains(&minutes) {
        return Err(invalid(format!("expiresInMinutes must be between 1 and {LONGEST_MINUTES}.")));
    }
    let until = (input.protection_enabled == Some(true))
        .then(|| call.now() + Duration::from_secs(60 * u64::from(minutes.unsigned_abs())));
    let (protected, failures) = call
        .services
        .state
        .transact(|tx| {
            names::active_cluster_in(tx, scope, &cluster)?;
            let (mut protected, mut failures) = (Vec::new(), Vec::new());
            for id in &ids {
                let key = task_key(&cluster, id);
                let Some(found) = tx.get::<Task>(scope, &key) else {
                    failures.push(missing(scope.arn("ecs", format_args!("task/{key}")).to_string()));
                    continue;
                };
                if let Some(failure) = refusal(scope, &found) {
                    failures.push(failure);
                    continue;
                }
                let mut task = (*found).clone();
                task.protected_until = until;
                protected.push(shape(scope, &task, call.now()));
                tx.put(scope, &key, task);
            }
            Ok::<_, ApiError>((protected, failures))
        })
        .await?;
    Ok(UpdateTaskProtectionResponse { protected_tasks: Some(protected), failures: Some(failures) })
}
