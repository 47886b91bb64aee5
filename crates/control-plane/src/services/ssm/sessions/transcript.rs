//! What a session showed, kept where its preferences or its cluster say: line by line in CloudWatch Logs.
//!
//! Only output is kept: a terminal shows what was typed as well, unless it is a password. Control sequences stay in it.

use std::{sync::Arc, time::Duration};

use telemetry_store::LogEvent;
use tokio::time::Instant;
use vocabulary::{Ids, Scope};

use super::plan::LogTo;
use crate::services::{
    Services,
    logs::{LogSink, SinkError},
};

/// What may wait to be written.
const MOST_WAITING_BYTES: usize = 32 << 10;
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// A line beyond this is cut: an event of CloudWatch Logs is a quarter of a megabyte at most.
const LONGEST_LINE_BYTES: usize = 16 << 10;

pub struct Transcript {
    services: Arc<Services>,
    scope: Scope,
    sink: LogSink,
    group: String,
    /// Named as the session.
    stream: String,
    pending: Vec<u8>,
    events: Vec<LogEvent>,
    waiting_bytes: usize,
    written_at: Instant,
}

impl Transcript {
    /// Makes sure that the output has somewhere to go.
    ///
    /// # Errors
    /// When the log group is not there, or the stores do not answer.
    pub async fn open(
        services: &Arc<Services>,
        scope: &Scope,
        to: &LogTo,
        session: &str,
    ) -> Result<Transcript, SinkError> {
        let group = to.group.clone();
        let sink = LogSink::new(services.logs.clone());
        let incarnation = services.ids().uuid();
        sink.prepare(scope, &group, session, false, &incarnation, services.now()).await?;
        Ok(Transcript {
            services: Arc::clone(services),
            scope: scope.clone(),
            sink,
            group,
            stream: session.to_owned(),
            pending: Vec::new(),
            events: Vec::new(),
            waiting_bytes: 0,
            written_at: Instant::now(),
        })
    }

    /// Takes output.
    pub async fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.line(&line);
        }
        if self.pending.len() > LONGEST_LINE_BYTES {
            let line = std::mem::take(&mut self.pending);
            self.line(&line);
        }
        if self.waiting_bytes > MOST_WAITING_BYTES || self.written_at.elapsed() > LONGEST_WAIT {
            self.write().await;
        }
    }

    fn line(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let message = text.trim_end_matches(['\r', '\n']).to_owned();
        // CloudWatch Logs takes no empty event.
        if message.is_empty() {
            return;
        }
        let now = self.services.now();
        self.waiting_bytes += message.len();
        self.events.push(LogEvent { timestamp: now, ingestion: now, message });
    }

    async fn write(&mut self) {
        self.written_at = Instant::now();
        self.waiting_bytes = 0;
        let events = std::mem::take(&mut self.events);
        if events.is_empty() {
            return;
        }
        let now = self.services.now();
        if let Err(error) = self.sink.write(&self.scope, &self.group, &self.stream, events, now).await {
            tracing::warn!(session = self.stream, %error, "output of a session could not be kept");
        }
    }

    /// The session is over.
    pub async fn finish(mut self) {
        let rest = std::mem::take(&mut self.pending);
        self.line(&rest);
        self.write().await;
    }
}
