//! An agent's telemetry connection: metrics about every twenty seconds, container health as it is.
//!
//! Metrics are kept as the last of each task, in memory. Health goes into the task's record: agents that report over the ECS API have no other
//! way to tell it, and for ours, which tell it with every state change, it is the same.

use std::{sync::Arc, time::Duration};

use agent_protocol::{
    ControlPlane, DecodeError, TelemetryAnswer, TelemetryMessage, acs,
    state::HealthStatus,
    tcs::{PublishHealthRequest, TaskHealth},
};
use futures_util::{SinkExt, StreamExt};
use task_lifecycle::task_health;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{AgentLink, InstanceKey, calls::Caller};
use crate::{
    gateway::ApiError,
    services::{
        Services,
        ecs::{records::Task, tasks::report},
    },
};

/// An agent has something to say at least every minute; one that says nothing for so long connects again.
const SILENCE: Duration = Duration::from_secs(5 * 60);
/// How long an acknowledgement may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves a connection to its end.
pub(crate) async fn serve<S>(services: Arc<Services>, key: InstanceKey, mut socket: WebSocketStream<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let link = AgentLink::new(Arc::clone(&services));
    let caller = Caller { key, origin: String::new(), profile: None };
    loop {
        let frame = match tokio::time::timeout(SILENCE, socket.next()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_)) | None) | Err(_) => break,
        };
        let bytes = match &frame {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Close(_) => break,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        let answer = match TelemetryMessage::decode(bytes) {
            Ok(TelemetryMessage::Metrics(mut request)) => {
                request.task_metrics.retain(|metric| caller.owns(&services, &metric.task_arn));
                // No load balancer is on a container instance.
                request.balancer_metrics.clear();
                if let Err(error) = link.publish_metrics(request).await {
                    tracing::debug!(%error, "metrics were not taken");
                    continue;
                }
                TelemetryAnswer::AckMetrics(acs::ErrorMessage { message: Some("OK".to_owned()) })
            }
            Ok(TelemetryMessage::Health(request)) => {
                if let Err(error) = take_health(&services, &caller, &request).await {
                    tracing::warn!(%error, "health was not taken");
                    continue;
                }
                TelemetryAnswer::AckHealth(acs::ErrorMessage { message: Some("OK".to_owned()) })
            }
            // A later version's.
            Err(DecodeError::UnknownType(_)) => continue,
            Err(error) => {
                tracing::warn!(instance = caller.key.arn(), %error, "telemetry cannot be read");
                break;
            }
        };
        let Ok(text) = String::from_utf8(answer.encode()) else { continue };
        match tokio::time::timeout(WRITE_TIMEOUT, socket.send(Message::text(text))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => break,
        }
    }
}

async fn take_health(
    services: &Services,
    caller: &Caller,
    request: &PublishHealthRequest,
) -> Result<(), ApiError> {
    for task in request.tasks.iter().filter(|task| caller.owns(services, &task.task_arn)) {
        let Some((scope, key)) = report::own_task(&task.task_arn) else { continue };
        services
            .state
            .transact(|tx| {
                let Some(found) = tx.get::<Task>(&scope, &key) else { return Ok(()) };
                if let Some(changed) = with_health(&found, task) {
                    tx.put(&scope, &key, changed);
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(())
}

/// The task with its containers' health as it is told, when that changes something.
fn with_health(task: &Task, told: &TaskHealth) -> Option<Task> {
    let mut changed = task.clone();
    for container in &mut changed.state.containers {
        if let Some(one) = told.containers.iter().find(|one| one.container_name == container.name) {
            container.health_status = one.health_status;
        }
    }
    let statuses = changed.state.containers.iter().map(|container| container.health_status);
    // Containers that nothing is known of have no check.
    changed.state.health_status =
        task_health(statuses.map(|status| (status != HealthStatus::Unknown).then_some(status)));
    if changed.state == task.state {
        return None;
    }
    changed.version += 1;
    Some(changed)
}
