//! What a session showed, kept where its preferences or its cluster say: line by line in CloudWatch Logs, as a whole in a bucket.
//!
//! Only output is kept: a terminal shows what was typed as well, unless it is a password. Control sequences stay in it. The object is
//! written while the session goes on and is there when it has ended; of a session that ends with its process there is none.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use telemetry_store::LogEvent;
use tokio::time::Instant;
use vocabulary::{Ids, Scope};

use super::{
    agent::{self, Asker},
    plan::{BucketLog, LogTo},
    target::Reached,
};
use crate::{
    gateway::ApiError,
    services::{
        Services,
        logs::{LogSink, SinkError},
        s3::{Draft, names},
    },
};

/// What may wait to be written.
const MOST_WAITING_BYTES: usize = 32 << 10;
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// A line beyond this is cut: an event of CloudWatch Logs is a quarter of a megabyte at most.
const LONGEST_LINE_BYTES: usize = 16 << 10;
/// What of one session's output is kept in a bucket: a command that never stops talking must not fill the disk.
pub(super) const MOST_OBJECT_BYTES: u64 = if cfg!(test) { 256 << 10 } else { 1 << 30 };

/// Why output cannot be kept where it shall be.
#[derive(Debug, thiserror::Error)]
pub enum CannotKeep {
    #[error("the log group {group}: {source}")]
    Group { group: String, source: SinkError },
    #[error("the bucket {bucket}: {source}")]
    Bucket { bucket: String, source: ApiError },
}

pub struct Transcript {
    lines: Option<Lines>,
    object: Option<Object>,
}

impl Transcript {
    /// Makes sure that the output has somewhere to go. `asker` opens the session, which is named `session`.
    ///
    /// # Errors
    /// When the log group or the bucket is not there or may not be written, or the stores do not answer.
    pub async fn open(
        services: &Arc<Services>,
        scope: &Scope,
        (reached, asker): (&Reached, &Asker),
        to: &LogTo,
        session: &str,
    ) -> Result<Transcript, CannotKeep> {
        let lines = match &to.group {
            None => None,
            Some(group) => {
                let lines = Lines::open(services, scope, group, session).await;
                Some(lines.map_err(|source| CannotKeep::Group { group: group.clone(), source })?)
            }
        };
        let object = match &to.bucket {
            None => None,
            Some(to) => {
                let object = Object::open(services, scope, (reached, asker), to, session).await;
                Some(object.map_err(|source| CannotKeep::Bucket { bucket: to.name.clone(), source })?)
            }
        };
        Ok(Transcript { lines, object })
    }

    /// Takes output.
    pub async fn push(&mut self, bytes: &[u8]) {
        if let Some(lines) = &mut self.lines {
            lines.push(bytes).await;
        }
        if let Some(object) = &mut self.object {
            object.push(bytes).await;
        }
    }

    /// The session is over.
    pub async fn finish(self) {
        if let Some(lines) = self.lines {
            lines.finish().await;
        }
        if let Some(object) = self.object {
            object.finish().await;
        }
    }
}

/// In a log group.
struct Lines {
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

impl Lines {
    async fn open(
        services: &Arc<Services>,
        scope: &Scope,
        group: &str,
        session: &str,
    ) -> Result<Lines, SinkError> {
        let sink = LogSink::new(services.logs.clone());
        let incarnation = services.ids().uuid();
        sink.prepare(scope, group, session, false, &incarnation, services.now()).await?;
        Ok(Lines {
            services: Arc::clone(services),
            scope: scope.clone(),
            sink,
            group: group.to_owned(),
            stream: session.to_owned(),
            pending: Vec::new(),
            events: Vec::new(),
            waiting_bytes: 0,
            written_at: Instant::now(),
        })
    }

    async fn push(&mut self, bytes: &[u8]) {
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

    async fn finish(mut self) {
        let rest = std::mem::take(&mut self.pending);
        self.line(&rest);
        self.write().await;
    }
}

/// In a bucket.
struct Object {
    services: Arc<Services>,
    scope: Scope,
    reached: Reached,
    asker: Asker,
    bucket: String,
    key: String,
    /// None when the disk failed.
    draft: Option<Draft>,
    /// Once there was too much: what came before is kept, and nothing after it.
    full: bool,
    pending: Vec<u8>,
}

impl Object {
    async fn open(
        services: &Arc<Services>,
        scope: &Scope,
        (reached, asker): (&Reached, &Asker),
        to: &BucketLog,
        session: &str,
    ) -> Result<Object, ApiError> {
        let key = to.key(session);
        let arn = names::object_arn(&to.name, &key);
        agent::may_put(services, scope, (reached, asker), &arn, services.now())?;
        crate::services::s3::expect_bucket(services, &to.name)?;
        Ok(Object {
            services: Arc::clone(services),
            scope: scope.clone(),
            reached: reached.clone(),
            asker: asker.clone(),
            bucket: to.name.clone(),
            key,
            draft: Some(Draft::begin(services).await?),
            full: false,
            pending: Vec::new(),
        })
    }

    async fn push(&mut self, bytes: &[u8]) {
        if self.draft.is_some() && !self.full {
            self.pending.extend_from_slice(bytes);
        }
        if self.pending.len() > MOST_WAITING_BYTES {
            self.write().await;
        }
    }

    async fn write(&mut self) {
        let bytes = Bytes::from(std::mem::take(&mut self.pending));
        let Some(draft) = &mut self.draft else { return };
        if draft.length() + bytes.len() as u64 > MOST_OBJECT_BYTES {
            self.full = true;
            return tracing::warn!(key = self.key, "a session says more than is kept of it in a bucket");
        }
        if let Err(error) = draft.write(bytes).await {
            tracing::warn!(key = self.key, %error, "output of a session could not be kept");
            self.draft = None;
        }
    }

    async fn finish(mut self) {
        self.write().await;
        let Some(draft) = self.draft else { return };
        let (services, now) = (&self.services, self.services.now());
        let arn = names::object_arn(&self.bucket, &self.key);
        let put = async {
            agent::may_put(services, &self.scope, (&self.reached, &self.asker), &arn, now)?;
            draft.commit(services, &self.bucket, &self.key, "text/plain", now).await
        };
        if let Err(error) = put.await {
            tracing::warn!(bucket = self.bucket, key = self.key, %error, "output of a session could not be kept");
        }
    }
}
