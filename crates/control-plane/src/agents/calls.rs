//! What a container instance's agent calls over its ACS connection, and whether it may.
//!
//! The connection has proved whose it is; an agent speaks for tasks that were placed on its own instance, and for the account
//! that it is of. A report about a task that is not known has no effect, as for the node of this machine.

use agent_protocol::{
    ControlError, ControlPlane, RegistryLogin,
    call::{Call, Outcome, Reply, Request},
};

use super::{AgentLink, InstanceKey};
use crate::services::{
    Services,
    ecs::{records::Task, tasks::report},
};

/// Who calls.
#[derive(Debug)]
pub(super) struct Caller {
    pub key: InstanceKey,
    /// `http://HOST:PORT` by which the agent reaches the control plane.
    pub origin: String,
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
        Request::CreateLogStream(destination) => match destination.account == caller.key.scope.account {
            true => link.create_log_stream(destination).await.into(),
            false => denied("the log group is of another account"),
        },
        Request::PutLogs(batch) => match batch.destination.account == caller.key.scope.account {
            true => link.put_logs(batch).await.into(),
            false => denied("the log group is of another account"),
        },
        Request::RegistryLogin(request) => match request.account == caller.key.scope.account {
            true => match link.registry_login(request).await {
                Ok(login) => Reply::RegistryLogin(login.map(|login| from(&caller.origin, login))),
                Err(error) => Reply::Failed(error),
            },
            false => denied("the task is of another account"),
        },
        Request::PublishMetrics(request) => {
            let foreign = |arn: &str| !caller.owns(services, arn);
            match request.task_metrics.iter().any(|metric| foreign(&metric.task_arn)) {
                true => denied("a task is not on this container instance"),
                false => link.publish_metrics(request).await.into(),
            }
        }
        Request::ReportTargetHealth(_) => denied("no load balancer is on this container instance"),
    };
    Outcome { number: call.number, reply }
}

impl Caller {
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
