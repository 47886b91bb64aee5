//! The in-process way from the embedded agent up: what is the Submit* calls, PutLogEvents and the registry's token over a
//! network are function calls here.

use std::sync::Arc;

use agent_protocol::{
    AgentMessage, Answer, ControlError, ControlPlane, LogBatch, LogDestination, RegistryLogin,
    RegistryLoginRequest, Sensitive, TargetHealthReport,
    state::{AttachmentStateChange, TaskStateChange},
    tcs::PublishMetricsRequest,
};
use telemetry_store::LogEvent;
use vocabulary::{Ids, Scope};

use crate::{
    gateway::ApiError,
    registry::token::Access,
    services::{
        Services,
        ecs::tasks::report,
        elbv2::targets,
        logs::{LogSink, SinkError},
        now,
    },
};

/// What the embedded agent talks to.
#[derive(Debug, Clone)]
pub struct AgentLink {
    services: Arc<Services>,
    logs: LogSink,
}

impl AgentLink {
    pub fn new(services: Arc<Services>) -> AgentLink {
        let logs = LogSink::new(services.logs.clone());
        AgentLink { services, logs }
    }

    fn login(&self, request: &RegistryLoginRequest) -> Option<RegistryLogin> {
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
        let access = Access {
            scope,
            account: request.account.clone(),
            principal: format!("arn:aws:iam::{}:root", request.account),
        };
        let (password, _) = self.services.registry.key.issue(&access, now());
        Some(RegistryLogin {
            endpoint: Some(format!("http://{door}")),
            repository: Some(repository_of(path).to_owned()),
            username: "AWS".to_owned(),
            password: Sensitive::new(password),
        })
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
        // Acks need no answer in one process: a payload that was not acted on is derived and sent anew.
        tracing::trace!(?message, "agent message");
        Box::pin(std::future::ready(Ok(())))
    }

    fn create_log_stream(&self, destination: LogDestination) -> Answer<'_, ()> {
        Box::pin(async move {
            let scope = Scope::new(destination.account, destination.region);
            let incarnation = self.services.ids().uuid();
            let (group, stream) = (&destination.group, &destination.stream);
            self.logs
                .prepare(&scope, group, stream, destination.create_group, &incarnation, now())
                .await
                .map_err(sink_error)
        })
    }

    fn put_logs(&self, batch: LogBatch) -> Answer<'_, ()> {
        Box::pin(async move {
            let now = now();
            let scope = Scope::new(batch.destination.account, batch.destination.region);
            let events = batch
                .events
                .into_iter()
                .map(|event| LogEvent { timestamp: event.timestamp, ingestion: now, message: event.message })
                .collect();
            self.logs
                .write(&scope, &batch.destination.group, &batch.destination.stream, events, now)
                .await
                .map_err(sink_error)
        })
    }

    fn registry_login(&self, request: RegistryLoginRequest) -> Answer<'_, Option<RegistryLogin>> {
        Box::pin(std::future::ready(Ok(self.login(&request))))
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
        self.services.agents.note_metrics(request.task_metrics);
        Box::pin(std::future::ready(Ok(())))
    }
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
