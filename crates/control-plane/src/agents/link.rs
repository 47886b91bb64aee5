//! The in-process way from the embedded agent up: what is the Submit* calls, PutLogEvents and the registry's token over a
//! network are function calls here.

use std::{collections::BTreeMap, sync::Arc};

use agent_protocol::{
    AccessLogLines, AgentMessage, Answer, ControlError, ControlPlane, LogBatch, LogDestination,
    RegistryLogin, RegistryLoginRequest, Sensitive, TargetHealthReport, TaskSecrets,
    state::{AttachmentStateChange, TaskStateChange},
    tcs::PublishMetricsRequest,
};
use telemetry_store::LogEvent;
use vocabulary::{Ids, Scope, Timestamp};

use super::pulls;
use crate::{
    authorization::Wish,
    gateway::ApiError,
    registry::token::Access,
    services::{
        Services,
        cloudwatch::meters,
        ecs::{
            records::Task,
            tasks::{execution::Known, injection, report},
        },
        elb,
        elbv2::{access_logs, balancers, targets},
        iam::sessions::CannotAssume,
        logs::{LogSink, SinkError, records::Group},
        now,
    },
};

/// What the embedded agent talks to.
#[derive(Debug, Clone)]
pub struct AgentLink {
    services: Arc<Services>,
    logs: LogSink,
    rights: Arc<Known>,
}

impl AgentLink {
    pub fn new(services: Arc<Services>) -> AgentLink {
        let logs = LogSink::new(services.logs.clone());
        AgentLink { services, logs, rights: Arc::default() }
    }

    /// None where the image is in no registry of this platform.
    fn login(&self, request: &RegistryLoginRequest) -> Result<Option<RegistryLogin>, ControlError> {
        let Some((host, path, scope)) = self.own_registry(request) else { return Ok(None) };
        let repository = repository_of(path);
        let now = now();
        let rights = self.rights.rights(&self.services, &request.task_arn, now).map_err(cannot_assume)?;
        pulls::allow(&self.services, &rights, &scope, &request.image, host, repository, now)?;
        // Whether the task may pull is decided; the password is for that and no more.
        let access = Access::pulling(scope, repository);
        let (password, _) = self.services.registry.key.issue(&access, now);
        Ok(Some(RegistryLogin {
            endpoint: Some(self.services.settings.inner_url()),
            repository: Some(repository.to_owned()),
            username: "AWS".to_owned(),
            password: Sensitive::new(password),
        }))
    }

    /// Host and path of the image, and whose registry of this platform it is in.
    fn own_registry<'a>(&self, request: &'a RegistryLoginRequest) -> Option<(&'a str, &'a str, Scope)> {
        let settings = &self.services.settings;
        let (host, path) = request.image.split_once('/')?;
        let door = settings.listen.to_string();
        let own =
            host == settings.public_name || host == door || is_loopback_door(host, settings.listen.port());
        let scope = if own {
            Scope::new(request.account.clone(), request.region.clone())
        } else {
            crate::registry::registry_of_host(host)?
        };
        Some((host, path, scope))
    }

    /// Whether the task's execution role may do this to a log stream.
    fn may_log(
        &self,
        destination: &LogDestination,
        scope: &Scope,
        action: &str,
        stream: &str,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let rights = self.rights.rights(&self.services, &destination.task_arn, now).map_err(cannot_assume)?;
        let path = format_args!("log-group:{}:log-stream:{stream}", destination.group);
        let resource = scope.arn("logs", path).to_string();
        let wish = Wish::new(action, &resource);
        rights.allow(&self.services, &scope.region, now, aws_shapes_logs::SERVICE, &wish).map_err(refused)
    }
}

/// `localhost:4566` and its like, whatever name the front door goes by.
fn is_loopback_door(host: &str, port: u16) -> bool {
    host.rsplit_once(':').is_some_and(|(name, given)| {
        given.parse() == Ok(port) && matches!(name, "localhost" | "127.0.0.1" | "[::1]")
    })
}

/// `web/app` of `web/app:v1@sha256:…`.
fn repository_of(path: &str) -> &str {
    let path = path.split_once('@').map_or(path, |(path, _)| path);
    path.split_once(':').map_or(path, |(path, _)| path)
}

impl ControlPlane for AgentLink {
    fn submit_task_state(&self, change: TaskStateChange) -> Answer<'_, ()> {
        Box::pin(
            async move { report::submit_task(&self.services, &change, now()).await.map_err(unavailable) },
        )
    }

    fn submit_attachment_state(&self, change: AttachmentStateChange) -> Answer<'_, ()> {
        Box::pin(async move { report::submit_attachment(&self.services, &change).await.map_err(unavailable) })
    }

    fn send(&self, message: AgentMessage) -> Answer<'_, ()> {
        if let AgentMessage::Stream(said) = message {
            self.services.agents.streams.heard(&None, said);
            return Box::pin(std::future::ready(Ok(())));
        }
        // Acks need no answer in one process: a payload that was not acted on is derived and sent anew.
        tracing::trace!(?message, "agent message");
        Box::pin(std::future::ready(Ok(())))
    }

    fn create_log_stream(&self, destination: LogDestination) -> Answer<'_, ()> {
        Box::pin(async move {
            let scope = Scope::new(destination.account.clone(), destination.region.clone());
            let incarnation = self.services.ids().uuid();
            let (group, stream, now) = (&destination.group, &destination.stream, now());
            self.may_log(&destination, &scope, "logs:CreateLogStream", stream, now)?;
            let is_there = || self.services.state.read(|view| view.get::<Group>(&scope, group).is_some());
            if destination.create_group && !is_there() {
                self.may_log(&destination, &scope, "logs:CreateLogGroup", "", now)?;
            }
            self.logs
                .prepare(&scope, group, stream, destination.create_group, &incarnation, now)
                .await
                .map_err(sink_error)
        })
    }

    fn put_logs(&self, batch: LogBatch) -> Answer<'_, ()> {
        Box::pin(async move {
            let now = now();
            let destination = batch.destination;
            let scope = Scope::new(destination.account.clone(), destination.region.clone());
            self.may_log(&destination, &scope, "logs:PutLogEvents", &destination.stream, now)?;
            let events = batch
                .events
                .into_iter()
                .map(|event| LogEvent { timestamp: event.timestamp, ingestion: now, message: event.message })
                .collect();
            self.logs
                .write(&scope, &destination.group, &destination.stream, events, now)
                .await
                .map_err(sink_error)
        })
    }

    fn registry_login(&self, request: RegistryLoginRequest) -> Answer<'_, Option<RegistryLogin>> {
        Box::pin(std::future::ready(self.login(&request)))
    }

    fn task_secrets(&self, task_arn: String) -> Answer<'_, TaskSecrets> {
        Box::pin(async move {
            let resolved = injection::resolve(&self.services, &task_arn, now()).await;
            resolved.map_err(|message| {
                let code = "ResourceInitializationError".to_owned();
                ControlError::Refused { code, message }
            })
        })
    }

    fn task_tags(&self, task_arn: String) -> Answer<'_, BTreeMap<String, String>> {
        let found = report::own_task(&task_arn).and_then(|(scope, key)| {
            self.services.state.read(|view| view.get::<Task>(&scope, &key)).map(|task| task.tags.clone())
        });
        Box::pin(std::future::ready(found.ok_or_else(|| ControlError::Refused {
            code: "ResourceNotFoundException".to_owned(),
            message: "The specified task was not found.".to_owned(),
        })))
    }

    fn deliver_access_log(&self, message: AccessLogLines) -> Answer<'_, ()> {
        Box::pin(async move {
            let arn: Option<vocabulary::Arn> = message.load_balancer_arn.parse().ok();
            let scope =
                arn.and_then(|arn| Some(Scope::new(arn.account().parse().ok()?, arn.region().parse().ok()?)));
            let Some(scope) = scope else { return Ok(()) };
            let (services, arn) = (&self.services, &message.load_balancer_arn);
            let delivered = if let Some(name) = elb::access_logs::name_of(arn) {
                elb::access_logs::deliver(services, &scope, name, message.lines, now()).await
            } else if let Ok(found) = services.state.read(|view| balancers::see(view, &scope, arn)) {
                access_logs::deliver(services, &scope, &found, message.kind, message.lines, now()).await
            } else {
                // Deleted with its last lines on their way.
                Ok(())
            };
            delivered.map_err(|error| match error.status {
                500.. => unavailable(error),
                _ => refused(error),
            })
        })
    }

    fn report_target_health(&self, report: TargetHealthReport) -> Answer<'_, ()> {
        let report = targets::Report {
            generation: report.generation,
            targets: report.targets,
            listening: report.listening.into_iter().collect(),
        };
        Box::pin(async move { targets::apply_report(&self.services, report).await.map_err(unavailable) })
    }

    fn publish_metrics(&self, request: PublishMetricsRequest) -> Answer<'_, ()> {
        Box::pin(async move {
            meters::take(&self.services, &request, now()).await.map_err(unavailable)?;
            self.services.agents.note_metrics(request.task_metrics);
            Ok(())
        })
    }
}

/// What the task may not do.
fn refused(error: ApiError) -> ControlError {
    ControlError::Refused { code: error.code.into_owned(), message: error.message }
}

fn cannot_assume(error: CannotAssume) -> ControlError {
    ControlError::Refused { code: "AccessDeniedException".to_owned(), message: error.to_string() }
}

fn unavailable(error: ApiError) -> ControlError {
    let cause = error.cause.as_ref().map(ToString::to_string);
    ControlError::Unavailable(cause.unwrap_or(error.message))
}

fn sink_error(error: SinkError) -> ControlError {
    match error {
        SinkError::NoSuchGroup => ControlError::Refused {
            code: "ResourceNotFoundException".to_owned(),
            message: "The specified log group does not exist.".to_owned(),
        },
        other => ControlError::Unavailable(other.to_string()),
    }
}
