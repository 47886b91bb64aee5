//! The telemetry connection: what was measured last, whenever it is new.
//!
//! Nothing depends on it, so that it may break off: it is opened anew with the next measurement.

use std::{sync::Arc, time::Duration};

use agent_protocol::{
    TelemetryMessage,
    tcs::{Metadata, PublishMetricsRequest},
};
use futures_util::SinkExt;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::{
    api::{Api, Socket},
    cluster_of,
};

/// A request holds ten tasks at most, says the model.
const TASKS_PER_REQUEST: usize = 10;
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) struct Telemetry {
    pub api: Arc<Api>,
    pub endpoint: String,
    pub arn: String,
}

impl Telemetry {
    pub(super) async fn publish(self, mut metrics: watch::Receiver<Option<PublishMetricsRequest>>) {
        let mut socket: Option<Socket> = None;
        while metrics.changed().await.is_ok() {
            let Some(request) = metrics.borrow_and_update().clone() else { continue };
            if socket.is_none() {
                socket = self.open().await;
            }
            if let Some(open) = &mut socket
                && !self.send(open, request).await
            {
                socket = None;
            }
        }
    }

    async fn open(&self) -> Option<Socket> {
        let query = [
            ("agentHash", "longshore".to_owned()),
            ("agentVersion", env!("CARGO_PKG_VERSION").to_owned()),
            ("cluster", cluster_of(&self.arn)),
            ("containerInstance", self.arn.clone()),
        ];
        let opened = self.api.open_socket(&self.endpoint, &query).await;
        opened.inspect_err(|error| tracing::debug!(%error, "no telemetry connection")).ok()
    }

    async fn send(&self, socket: &mut Socket, request: PublishMetricsRequest) -> bool {
        let count = request.task_metrics.len().div_ceil(TASKS_PER_REQUEST);
        for (index, tasks) in request.task_metrics.chunks(TASKS_PER_REQUEST).enumerate() {
            let part = PublishMetricsRequest {
                metadata: Metadata {
                    cluster: cluster_of(&self.arn),
                    container_instance: self.arn.clone(),
                    fin: index + 1 == count,
                    ..request.metadata.clone()
                },
                task_metrics: tasks.to_vec(),
                balancer_metrics: Vec::new(),
                timestamp: request.timestamp,
            };
            let Ok(text) = String::from_utf8(TelemetryMessage::Metrics(part).encode()) else { continue };
            let written = tokio::time::timeout(WRITE_TIMEOUT, socket.send(Message::text(text))).await;
            if !matches!(written, Ok(Ok(()))) {
                return false;
            }
        }
        true
    }
}
