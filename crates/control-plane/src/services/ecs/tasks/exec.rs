//! ExecuteCommand: a session in a container of a running task.
//!
//! Who may is decided before, by the caller's policies; whether the task lets itself be talked to, here: it was run with `enableExecuteCommand`, its
//! container runs, its role (where it has one) may open Session Manager's channels. Where the output is kept is the cluster's
//! `executeCommandConfiguration`.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    ExecuteCommandConfiguration, ExecuteCommandLogging, ExecuteCommandRequest, ExecuteCommandResponse, errors,
};
use state_store::View;
use vocabulary::{Ids, Scope};

use crate::{
    gateway::{ApiError, Call},
    services::{
        ecs::{
            names::{self, cluster_name, invalid},
            records::{Task, TaskContainer, TaskDefinition, definition_id, task_key},
        },
        ssm::sessions::{
            self, Asked, BucketLog, ECS_COMMAND, LogTo, Patience, Plan, Target, Unreachable, Work, agent,
        },
    },
};

const NOT_ENABLED: &str = "The execute command failed because execute command was not enabled when the task was run or the execute command agent \
    isn’t running. Wait and try again or run a new task with execute command enabled and try again.";
const INTERNAL: &str = "The execute command failed due to an internal error. Try again later.";

pub async fn execute(call: Call, input: ExecuteCommandRequest) -> Result<ExecuteCommandResponse, ApiError> {
    let scope = call.scope();
    let cluster = cluster_name(scope, input.cluster.as_deref())?;
    let id = names::task_id(scope, &cluster, input.task.as_deref().unwrap_or_default())?;
    if input.interactive != Some(true) {
        return Err(invalid("Interactive is the only mode supported currently."));
    }
    let command = input.command.unwrap_or_default();
    let work = Work::of_command(&command)
        .map_err(|reason| invalid(format!("The execute command failed because {reason}.")))?;
    let view = call.services.state.view();
    let configuration = names::active_cluster(&view, scope, &cluster)?
        .default_strategy
        .0
        .configuration
        .clone()
        .and_then(|configuration| configuration.execute_command_configuration)
        .unwrap_or_default();
    let task = view
        .get::<Task>(scope, &task_key(&cluster, &id))
        .ok_or_else(|| invalid("The referenced task was not found."))?;
    let container = container(&task, input.container.as_deref())?.clone();
    let target =
        Target { cluster: cluster.clone(), task_id: id.clone(), runtime_id: container.runtime_id.clone() };
    let unreachable = |why| match why {
        Unreachable::NotEnabled | Unreachable::NotRunning => invalid(NOT_ENABLED),
        Unreachable::Unknown => invalid("The referenced task was not found."),
    };
    let reached = target.reach(&view, scope).map_err(unreachable)?;
    let log = log_to(&view, scope, &task, &container.name, &configuration)?;
    let not_connected = || ApiError::new(&errors::TARGET_NOT_CONNECTED_EXCEPTION, INTERNAL);
    agent::authorize(&call, &reached, log.as_ref()).map_err(|refused| {
        // AWS says no more to the caller; the operator of this platform can read why.
        not_connected().caused_by(refused)
    })?;
    if !call.services.agents.streams.reaches(&reached.node) {
        return Err(not_connected());
    }
    let plan = Plan {
        document: ECS_COMMAND.to_owned(),
        work,
        idle_timeout: call.services.sessions.idle_timeout,
        longest: None,
        log,
        key: configuration.kms_key_id.filter(|key| !key.is_empty()),
    };
    let id = format!("ecs-execute-command-{}", call.services.ids().hex(17));
    let asked =
        Asked { id, plan, target: target.text(), reached, reason: None, patience: Patience::default() };
    let opened = sessions::open(&call, asked).await?;
    let cluster_arn = scope.arn("ecs", format_args!("cluster/{cluster}")).to_string();
    let container_arn =
        scope.arn("ecs", format_args!("container/{cluster}/{}/{}", task.id, container.id)).to_string();
    Ok(ExecuteCommandResponse {
        cluster_arn: Some(cluster_arn),
        task_arn: Some(task.arn(scope)),
        container_arn: Some(container_arn),
        container_name: Some(container.name),
        interactive: Some(true),
        session: Some(ecs::Session {
            session_id: Some(opened.id),
            stream_url: Some(opened.stream_url),
            token_value: Some(opened.token),
        }),
    })
}

/// The container that is named, or the only one.
fn container<'a>(task: &'a Task, name: Option<&str>) -> Result<&'a TaskContainer, ApiError> {
    match (name, task.containers.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(invalid(
            "The execute command failed because a container name is required: the task has several.",
        )),
        (Some(name), all) => all.iter().find(|container| container.name == name).ok_or_else(|| {
            invalid(format!("The execute command failed because the container {name} is not in the task."))
        }),
    }
}

/// Where the output is kept, as the cluster has it.
fn log_to(
    view: &View,
    scope: &Scope,
    task: &Task,
    container: &str,
    configuration: &ExecuteCommandConfiguration,
) -> Result<Option<LogTo>, ApiError> {
    match configuration.logging {
        Some(ExecuteCommandLogging::None) => Ok(None),
        Some(ExecuteCommandLogging::Override) => {
            let to = configuration.log_configuration.clone().unwrap_or_default();
            let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
            let (group, bucket) = (filled(to.cloud_watch_log_group_name), filled(to.s3_bucket_name));
            if group.is_some() && to.cloud_watch_encryption_enabled == Some(true) {
                // No log group is encrypted here.
                return Err(invalid(
                    "We couldn't start the session because encryption is not set up on the selected CloudWatch Logs log group. \
                     Either encrypt the log group or choose an option to enable logging without encryption.",
                ));
            }
            let bucket = bucket.map(|name| BucketLog {
                name,
                prefix: filled(to.s3_key_prefix),
                encrypted: to.s3_encryption_enabled == Some(true),
            });
            Ok(LogTo::of(group, bucket))
        }
        // The container's own log group, where it has one.
        Some(ExecuteCommandLogging::Default) | None => {
            let definition = view.get::<TaskDefinition>(scope, &definition_id(&task.family, task.revision));
            let own = definition.as_ref().and_then(|definition| {
                let mut containers = definition.definition.0.container_definitions.iter().flatten();
                let own = containers.find(|own| own.name.as_deref() == Some(container))?;
                let log = own.log_configuration.as_ref()?;
                let is_awslogs = log.log_driver == Some(ecs::LogDriver::Awslogs);
                let option = |name: &str| log.options.as_ref()?.get(name).cloned();
                // Elsewhere it is not this region's to write.
                let here = option("awslogs-region").is_none_or(|region| region == scope.region.as_str());
                option("awslogs-group").filter(|_| is_awslogs && here)
            });
            Ok(LogTo::of(own, None))
        }
    }
}

/// What DescribeTasks shows of the agent that ExecuteCommand needs.
pub fn managed_agent(task: &Task, state: &task_lifecycle::ContainerRecord) -> Option<ecs::ManagedAgent> {
    use agent_protocol::state::ContainerStatus;
    if !task.enable_execute_command {
        return None;
    }
    let status = match state.last_status {
        ContainerStatus::Pending => "PENDING",
        ContainerStatus::Running => "RUNNING",
        ContainerStatus::Stopped => "STOPPED",
    };
    let started = (state.last_status != ContainerStatus::Pending).then_some(task.state.started_at).flatten();
    Some(ecs::ManagedAgent {
        name: Some(ecs::ManagedAgentName::ExecuteCommandAgent),
        last_status: Some(status.to_owned()),
        last_started_at: started.map(crate::convert::time),
        reason: None,
    })
}
