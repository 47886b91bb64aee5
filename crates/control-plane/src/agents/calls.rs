//! What a container instance's agent calls over its ACS connection, and whether it may.
//!
//! The connection has proved whose it is; an agent speaks for tasks that were placed on its own instance, and for the account
//! that it is of. A report about a task that is not known has no effect, as for the node of this machine.

use agent_protocol::{
    ControlError, ControlPlane, LogDestination, RegistryLogin,
    call::{Call, Outcome, Reply, Request},
};

use super::{AgentLink, InstanceKey};
use crate::services::{
    Services,
    ecs::{
        records::{ContainerInstance, Task},
        tasks::report,
    },
    iam::instance_roles,
};

/// Who calls.
#[derive(Debug)]
pub(super) struct Caller {
    pub key: InstanceKey,
    /// `http://HOST:PORT` by which the agent reaches the control plane.
    pub origin: String,
    /// The instance profile of its machine.
    pub profile: Option<String>,
}

pub(super) async fn carry_out(services: &Services, link: &AgentLink, caller: &Caller, call: Call) -> Outcome {
    let reply = match call.request {
        Request::SubmitTaskState(change) => match caller.owns(services, &change.task) {
            true => link.submit_task_state(change).await.into(),
            false => denied("the task is not on this container instance"),
        },
        Request::SubmitAttachmentState(change) => match caller.owns(services, &change.task) {
            true => link.submit_attachment_state(change).await.into(),
            false => denied("the task is not on this container instance"),
        },
        Request::CreateLogStream(destination) => match caller.may_log(services, &destination) {
            true => link.create_log_stream(destination).await.into(),
            false => {
                denied("the log group is of another account, or the task is not on this container instance")
            }
        },
        Request::PutLogs(batch) => match caller.may_log(services, &batch.destination) {
            true => link.put_logs(batch).await.into(),
            false => {
                denied("the log group is of another account, or the task is not on this container instance")
            }
        },
        Request::RegistryLogin(request) => {
            match caller.owns(services, &request.task_arn) && request.account == caller.key.scope.account {
                true => match link.registry_login(request).await {
                    Ok(login) => Reply::RegistryLogin(login.map(|login| from(&caller.origin, login))),
                    Err(error) => Reply::Failed(error),
                },
                false => denied("the task is not on this container instance"),
            }
        }
        Request::TaskSecrets(task_arn) => match caller.owns(services, &task_arn) {
            true => match link.task_secrets(task_arn).await {
                Ok(secrets) => Reply::TaskSecrets(secrets),
                Err(error) => Reply::Failed(error),
            },
            false => denied("the task is not on this container instance"),
        },
        Request::TaskTags(task_arn) => match caller.owns(services, &task_arn) {
            true => match link.task_tags(task_arn).await {
                Ok(tags) => Reply::TaskTags(tags),
                Err(error) => Reply::Failed(error),
            },
            false => denied("the task is not on this container instance"),
        },
        Request::PublishMetrics(request) => {
            let foreign = |arn: &str| !caller.owns(services, arn);
            match request.task_metrics.iter().any(|metric| foreign(&metric.task_arn))
                || !request.balancer_metrics.is_empty()
            {
                true => denied("a task is not on this container instance"),
                false => link.publish_metrics(request).await.into(),
            }
        }
        Request::InstanceRole(keep) => caller.instance_role(services, keep.as_deref()).await,
        Request::ReportTargetHealth(_) => denied("no load balancer is on this container instance"),
    };
    Outcome { number: call.number, reply }
}

impl Caller {
    /// Whether the output is a task's of the caller's instance, and goes to the caller's account.
    fn may_log(&self, services: &Services, destination: &LogDestination) -> bool {
        destination.account == self.key.scope.account && self.owns(services, &destination.task_arn)
    }

    /// The role of the machine's instance profile.
    async fn instance_role(&self, services: &Services, keep: Option<&str>) -> Reply {
        let Some(profile) = &self.profile else { return denied("this machine has no instance profile") };
        let (scope, now) = (&self.key.scope, services.now());
        let instance = services.state.read(|view| view.get::<ContainerInstance>(scope, &self.key.record()));
        let Some(instance) = instance else { return denied("the container instance is not registered") };
        let id = instance.ec2_instance_id.as_deref().unwrap_or(&instance.id);
        let arn = scope.arn("ec2", format_args!("instance/{id}")).to_string();
        match instance_roles::credentials(services, &scope.account, profile, &arn, keep, now).await {
            Ok(role) => Reply::InstanceRole(role),
            Err(error) if error.status >= 500 => Reply::Failed(ControlError::Unavailable(error.message)),
            Err(error) => {
                let (code, message) = (error.code.into_owned(), error.message);
                Reply::Failed(ControlError::Refused { code, message })
            }
        }
    }

    /// Whether a task is on the caller's instance. One that is not known is nobody's, and nothing comes of what is said about it.
    pub(super) fn owns(&self, services: &Services, task_arn: &str) -> bool {
        let Some((scope, key)) = report::own_task(task_arn) else { return false };
        let task = services.state.read(|view| view.get::<Task>(&scope, &key));
        scope == self.key.scope
            && task.is_none_or(|task| {
                task.cluster == self.key.cluster
                    && task.container_instance.as_deref() == Some(self.key.id.as_str())
            })
    }
}

/// The registry is where the agent reaches the control plane, not where the node of this machine does.
fn from(origin: &str, login: RegistryLogin) -> RegistryLogin {
    RegistryLogin { endpoint: login.endpoint.map(|_| origin.to_owned()), ..login }
}

fn denied(message: &str) -> Reply {
    Reply::Failed(ControlError::Refused {
        code: "AccessDeniedException".to_owned(),
        message: format!("Not authorized: {message}."),
    })
}
