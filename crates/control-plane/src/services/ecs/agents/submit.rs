//! SubmitTaskStateChange, SubmitContainerStateChange and SubmitAttachmentStateChanges: reports in the API's words.
//!
//! They say less than a change of the lifecycle core. What is missing is what the record has already, and what can be told from the
//! report itself: it is newer than everything before (agents report in order), a task began when it is first said to run, and one that
//! ends without having been asked to was ended by its container.

use agent_protocol::state::{
    AttachmentStateChange, AttachmentStatus, ContainerStateChange, ContainerStatus, NetworkBinding, StopCode,
    TaskStateChange, TaskStatus,
};
use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    SubmitAttachmentStateChangesRequest, SubmitAttachmentStateChangesResponse,
    SubmitContainerStateChangeRequest, SubmitContainerStateChangeResponse, SubmitTaskStateChangeRequest,
    SubmitTaskStateChangeResponse,
};
use task_lifecycle::ContainerRecord;
use vocabulary::{Scope, Timestamp};

use crate::{
    gateway::{ApiError, Call},
    services::ecs::{
        definitions::ports,
        names::{self, client, cluster_name, invalid},
        records::{Task, task_key},
        tasks::report,
    },
};

/// What the real service says, too.
const ACCEPTED: &str = "ACCEPT";

pub async fn task(
    call: Call,
    input: SubmitTaskStateChangeRequest,
) -> Result<SubmitTaskStateChangeResponse, ApiError> {
    let task = placed(&call, input.cluster.as_deref(), input.task.as_deref())?;
    let said: Vec<Said> = input.containers.into_iter().flatten().map(Said::from).collect();
    let status = task_status(input.status.as_deref())?;
    let mut change = change(&call, &task, status, &said)?;
    change.reason = input.reason;
    let time = |at: Option<aws_schema::Timestamp>| at.map(|at| Timestamp::from_millis(at.as_millis()));
    change.pull_started_at = time(input.pull_started_at);
    change.pull_stopped_at = time(input.pull_stopped_at);
    change.execution_stopped_at = time(input.execution_stopped_at);
    for attachment in input.attachments.into_iter().flatten() {
        submit_attachment(&call, &task, attachment).await?;
    }
    report::submit_task(&call.services, &change, call.now()).await?;
    Ok(SubmitTaskStateChangeResponse { acknowledgment: Some(ACCEPTED.to_owned()) })
}

pub async fn container(
    call: Call,
    input: SubmitContainerStateChangeRequest,
) -> Result<SubmitContainerStateChangeResponse, ApiError> {
    let task = placed(&call, input.cluster.as_deref(), input.task.as_deref())?;
    let said = Said {
        name: input.container_name,
        status: input.status,
        exit_code: input.exit_code,
        reason: input.reason,
        runtime_id: input.runtime_id,
        image_digest: None,
        bindings: input.network_bindings,
    };
    let change = change(&call, &task, task.state.last_status, &[said])?;
    report::submit_task(&call.services, &change, call.now()).await?;
    Ok(SubmitContainerStateChangeResponse { acknowledgment: Some(ACCEPTED.to_owned()) })
}

pub async fn attachments(
    call: Call,
    input: SubmitAttachmentStateChangesRequest,
) -> Result<SubmitAttachmentStateChangesResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    call.services.state.read(|view| names::active_cluster(view, scope, &cluster).map(drop))?;
    for attachment in input.attachments.unwrap_or_default() {
        let arn = attachment.attachment_arn.clone().unwrap_or_default();
        let of = |task: &Task| task.interface.as_ref().is_some_and(|own| arn.ends_with(&own.attachment_id));
        let task = call.services.state.read(|view| {
            let mut tasks = view.scan_prefix::<Task>(scope, &format!("{cluster}/"));
            tasks
                .find(|(_, task)| task.container_instance.is_some() && of(task))
                .map(|(_, task)| (*task).clone())
        });
        let task = task.ok_or_else(|| invalid(format!("The attachment {arn} is not known.")))?;
        submit_attachment(&call, &task, attachment).await?;
    }
    Ok(SubmitAttachmentStateChangesResponse { acknowledgment: Some(ACCEPTED.to_owned()) })
}

async fn submit_attachment(
    call: &Call,
    task: &Task,
    attachment: ecs::AttachmentStateChange,
) -> Result<(), ApiError> {
    let status = match attachment.status.as_deref() {
        Some("ATTACHED") => AttachmentStatus::Attached,
        Some("DETACHED") => AttachmentStatus::Detached,
        other => {
            return Err(invalid(format!("{} is no status of an attachment.", other.unwrap_or("Nothing"))));
        }
    };
    let change = AttachmentStateChange {
        cluster: task.cluster.clone(),
        task: task.arn(call.scope()),
        attachment_arn: attachment.attachment_arn.unwrap_or_default(),
        status,
    };
    report::submit_attachment(&call.services, &change).await
}

/// The task that a report is about. Those of this machine's own node are none of an agent's.
fn placed(call: &Call, cluster: Option<&str>, given: Option<&str>) -> Result<Task, ApiError> {
    let scope: &Scope = call.scope();
    let cluster = cluster_name(scope, cluster)?;
    call.services.state.read(|view| {
        names::active_cluster(view, scope, &cluster)?;
        let id = names::task_id(scope, &cluster, given.unwrap_or_default())?;
        let task = view.get::<Task>(scope, &task_key(&cluster, &id)).map(|task| (*task).clone());
        task.filter(|task| task.container_instance.is_some())
            .ok_or_else(|| client("The task was not placed on a container instance."))
    })
}

/// A container's part of a report.
struct Said {
    name: Option<String>,
    status: Option<String>,
    exit_code: Option<i32>,
    reason: Option<String>,
    runtime_id: Option<String>,
    image_digest: Option<String>,
    bindings: Option<Vec<ecs::NetworkBinding>>,
}

impl From<ecs::ContainerStateChange> for Said {
    fn from(change: ecs::ContainerStateChange) -> Said {
        Said {
            name: change.container_name,
            status: change.status,
            exit_code: change.exit_code,
            reason: change.reason,
            runtime_id: change.runtime_id,
            image_digest: change.image_digest,
            bindings: change.network_bindings,
        }
    }
}

fn change(call: &Call, task: &Task, status: TaskStatus, said: &[Said]) -> Result<TaskStateChange, ApiError> {
    let state = &task.state;
    let (running, ended) = (status == TaskStatus::Running, status > TaskStatus::Running);
    let containers = state
        .containers
        .iter()
        .map(|known| match said.iter().find(|one| one.name.as_ref() == Some(&known.name)) {
            Some(one) => container_change(known, one),
            None => Ok(unchanged(known)),
        })
        .collect::<Result<_, _>>()?;
    Ok(TaskStateChange {
        cluster: call.scope().arn("ecs", format_args!("cluster/{}", task.cluster)).to_string(),
        task: task.arn(call.scope()),
        sequence: state.sequence + 1,
        status,
        reason: None,
        stop_code: (ended && state.stop_code.is_none()).then_some(match state.started_at {
            Some(_) => StopCode::EssentialContainerExited,
            None => StopCode::TaskFailedToStart,
        }),
        connectivity_at: running.then(|| call.now()),
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: running.then(|| call.now()),
        stopping_at: ended.then(|| call.now()),
        execution_stopped_at: None,
        health_status: state.health_status,
        containers,
    })
}

fn unchanged(known: &ContainerRecord) -> ContainerStateChange {
    ContainerStateChange {
        container_name: known.name.clone(),
        runtime_id: known.runtime_id.clone(),
        status: known.last_status,
        exit_code: known.exit_code,
        reason: known.reason.clone(),
        image_digest: known.image_digest.clone(),
        health_status: known.health_status,
        network_bindings: known.network_bindings.clone(),
        restart_count: known.restart_count,
    }
}

fn container_change(known: &ContainerRecord, said: &Said) -> Result<ContainerStateChange, ApiError> {
    let status = match said.status.as_deref() {
        None => known.last_status,
        Some("PENDING" | "CREATED" | "PULLED" | "MANIFEST_PULLED") => ContainerStatus::Pending,
        Some("RUNNING" | "RESOURCES_PROVISIONED") => ContainerStatus::Running,
        Some("STOPPED") => ContainerStatus::Stopped,
        Some(other) => return Err(invalid(format!("{other} is no status of a container."))),
    };
    Ok(ContainerStateChange {
        runtime_id: said.runtime_id.clone().or(known.runtime_id.clone()),
        status,
        exit_code: said.exit_code.or(known.exit_code),
        reason: said.reason.clone().or(known.reason.clone()),
        image_digest: said.image_digest.clone().or(known.image_digest.clone()),
        network_bindings: match &said.bindings {
            Some(bindings) => bindings.iter().filter_map(binding).collect(),
            None => known.network_bindings.clone(),
        },
        ..unchanged(known)
    })
}

fn binding(binding: &ecs::NetworkBinding) -> Option<NetworkBinding> {
    let port = |number: Option<i32>| u16::try_from(number?).ok();
    let (container, host) = match (&binding.container_port_range, &binding.host_port_range) {
        (Some(container), Some(host)) => (ports::range(container)?, ports::range(host)?),
        _ => {
            let (container, host) = (port(binding.container_port)?, port(binding.host_port)?);
            ((container, container), (host, host))
        }
    };
    Some(NetworkBinding {
        bind_ip: binding.bind_ip.clone().unwrap_or_else(|| "0.0.0.0".to_owned()),
        container_port: container.0,
        host_port: host.0,
        count: (container.1 - container.0).min(host.1 - host.0).saturating_add(1),
        protocol: binding.protocol.map_or("tcp", |protocol| protocol.as_str()).to_owned(),
    })
}

fn task_status(given: Option<&str>) -> Result<TaskStatus, ApiError> {
    match given {
        Some("PENDING" | "CREATED") => Ok(TaskStatus::Pending),
        Some("RUNNING") => Ok(TaskStatus::Running),
        Some("STOPPED") => Ok(TaskStatus::Stopped),
        other => Err(invalid(format!("{} is no status of a task.", other.unwrap_or("Nothing")))),
    }
}
