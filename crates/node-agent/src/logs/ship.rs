//! The loop that ships one run's output: read, assemble, send, remember, acknowledge.
//!
//! The first line goes out at once; after that calls follow each other no faster than one in [`FLUSH_INTERVAL`], so
//! that a chatty container makes large batches and a quiet one is still seen within a fraction of a second. While the control
//! plane does not answer, a blocking container's output waits on disk (and in the end the container waits), a non-blocking one's is
//! dropped beyond its buffer.

use std::{sync::Arc, time::Duration};

use agent_protocol::{
    ControlError, ControlPlane, LogBatch, LogDestination,
    spec::{Awslogs, LogMode},
};
use container_runtime::{LogPosition, LogRecord};
use tokio::time::Instant;

use super::{Assembler, Batch, MAX_BATCH_BYTES, events::position_after};
use crate::{journal::TaskJournal, ports::Tail, retry::Backoff};

/// Between two calls for one stream.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);
/// How long a multiline event may stay open when nothing more comes.
const OPEN_EVENT_AGE: Duration = Duration::from_secs(1);
/// Records read at once.
const READ_LIMIT: usize = 4096;
/// What a blocking container's events may take in memory before reading pauses: two batches.
const BLOCKING_BUFFER_BYTES: usize = 2 * MAX_BATCH_BYTES;
/// How much of a container's output without a log group is kept on the node, in whole segments behind the newest.
const KEPT_SEGMENTS: u64 = 2;

/// Where a run's output goes.
pub(crate) enum Destination {
    CloudWatch {
        control: Arc<dyn ControlPlane>,
        stream: LogDestination,
        options: Box<Awslogs>,
    },
    /// It stays on the node, bounded.
    Node,
    Nowhere,
}

pub(crate) struct Shipper {
    pub destination: Destination,
    /// Remembers the position, under the run's name.
    pub journal: TaskJournal,
    pub name: String,
}

/// Ships everything that `tail` gives until its end. What was sent before is not in it: the caller began it at the
/// remembered position.
pub(crate) async fn ship(shipper: Shipper, tail: Box<dyn Tail>) {
    match shipper.destination {
        Destination::Node => discard(tail, KEPT_SEGMENTS).await,
        Destination::Nowhere => discard(tail, 0).await,
        Destination::CloudWatch { control, stream, options } => {
            let assembler = Assembler::new(pattern(&options));
            let buffer_bytes = match options.mode {
                LogMode::Blocking => None,
                LogMode::NonBlocking { max_buffer_bytes } => Some(max_buffer_bytes as usize),
            };
            let cloud = CloudWatch {
                control,
                stream,
                journal: shipper.journal,
                name: shipper.name,
                tail,
                assembler,
                batch: Batch::default(),
                buffer_bytes,
                dropped: 0,
                safe_position: LogPosition::default(),
            };
            cloud.run().await;
        }
    }
}

/// Reads to the end and lets the sandbox delete what is older than the newest `keep` segments.
async fn discard(mut tail: Box<dyn Tail>, keep: u64) {
    while let Ok(records) = tail.next_batch(READ_LIMIT).await {
        let Some(last) = records.last() else { return };
        match keep {
            0 => tail.acknowledge(last.next),
            keep => {
                let segment = last.next.segment.saturating_sub(keep);
                tail.acknowledge(LogPosition { segment, offset: 0 });
            }
        }
    }
}

struct CloudWatch {
    control: Arc<dyn ControlPlane>,
    stream: LogDestination,
    journal: TaskJournal,
    name: String,
    tail: Box<dyn Tail>,
    assembler: Assembler,
    batch: Batch,
    /// `None`: the container waits rather than lose output.
    buffer_bytes: Option<usize>,
    dropped: u64,
    /// Everything before it is in the batch or was sent.
    safe_position: LogPosition,
}

impl CloudWatch {
    async fn run(mut self) {
        let mut flush_at = Instant::now();
        let mut open_since: Option<Instant> = None;
        let mut ended = false;
        while !(ended && self.batch.is_empty()) {
            let due = !self.batch.is_empty() && (ended || self.batch.is_full() || Instant::now() >= flush_at);
            if due {
                ended |= self.flush(ended).await;
                flush_at = Instant::now() + FLUSH_INTERVAL;
                continue;
            }
            let wake_at = match (self.batch.is_empty(), open_since) {
                (false, _) => Some(flush_at),
                (true, Some(since)) => Some(since + OPEN_EVENT_AGE),
                (true, None) => None,
            };
            tokio::select! {
                records = self.tail.next_batch(READ_LIMIT) => {
                    ended = self.take(records);
                    open_since = self.assembler.has_open_event().then(Instant::now);
                }
                () = sleep_until(wake_at) => {
                    if self.batch.is_empty() {
                        self.close_open_event();
                        open_since = None;
                    }
                }
            }
        }
    }

    /// Takes what was read. True at the end.
    fn take(&mut self, records: Result<Vec<LogRecord>, container_runtime::RuntimeError>) -> bool {
        let records = records.unwrap_or_else(|error| {
            tracing::warn!(stream = %self.stream.stream, %error, "container output cannot be read");
            Vec::new()
        });
        if records.is_empty() {
            for event in self.assembler.flush(true) {
                self.batch.push(event, self.safe_position);
            }
            return true;
        }
        for record in records {
            let next = record.next;
            let events = self.assembler.push(record);
            self.safe_position = position_after(&self.assembler, next, self.safe_position);
            for event in events {
                if self.buffer_bytes.is_some_and(|limit| self.batch.bytes() + event.message.len() > limit) {
                    self.dropped += 1;
                } else {
                    self.batch.push(event, self.safe_position);
                }
            }
        }
        false
    }

    fn close_open_event(&mut self) {
        let events = self.assembler.flush(false);
        for event in events {
            self.batch.push(event, self.safe_position);
        }
    }

    /// Sends one batch, until it is taken. True when the output ended meanwhile.
    async fn flush(&mut self, mut ended: bool) -> bool {
        let Some((events, position)) = self.batch.take() else { return ended };
        let batch = LogBatch { destination: self.stream.clone(), events };
        let control = Arc::clone(&self.control);
        let mut sending = std::pin::pin!(send(control, batch));
        loop {
            // A non-blocking container's output is read (and dropped beyond the buffer) while the call takes its time;
            // a blocking one's up to what makes the next batches.
            let may_read =
                !ended && (self.buffer_bytes.is_some() || self.batch.bytes() < BLOCKING_BUFFER_BYTES);
            tokio::select! {
                biased;
                () = &mut sending => break,
                records = self.tail.next_batch(READ_LIMIT), if may_read => ended = self.take(records),
            }
        }
        if self.dropped > 0 {
            tracing::warn!(stream = %self.stream.stream, events = self.dropped, "output was dropped: the buffer was full");
            self.dropped = 0;
        }
        if position != LogPosition::default() {
            match self.journal.save_position(&self.name, position) {
                Ok(()) => self.tail.acknowledge(position),
                Err(error) => tracing::warn!(%error, "a log position could not be remembered"),
            }
        }
        ended
    }
}

/// Sends a batch until it is taken or will never be.
async fn send(control: Arc<dyn ControlPlane>, batch: LogBatch) {
    let mut backoff = Backoff::default();
    let mut made_stream = false;
    loop {
        match control.put_logs(batch.clone()).await {
            Ok(()) => return,
            Err(ControlError::Unavailable(reason)) => {
                tracing::debug!(stream = %batch.destination.stream, reason, "events wait for the control plane");
                backoff.wait().await;
            }
            // Someone deleted the stream: the driver makes it again once.
            Err(ControlError::Refused { code, .. })
                if code == "ResourceNotFoundException" && !made_stream =>
            {
                made_stream = true;
                let _ = control.create_log_stream(batch.destination.clone()).await;
            }
            Err(error @ ControlError::Refused { .. }) => {
                let (stream, events) = (&batch.destination.stream, batch.events.len());
                tracing::warn!(stream, events, %error, "events were refused and are dropped");
                return;
            }
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// What begins an event: the pattern as given, or the date format as a pattern. One that cannot be compiled was refused
/// with the task definition; should one come all the same, every line is an event.
fn pattern(options: &Awslogs) -> Option<regex::Regex> {
    let text = match (&options.multiline_pattern, &options.datetime_format) {
        (Some(pattern), _) => pattern.clone(),
        (None, Some(format)) => datetime_pattern(format),
        (None, None) => return None,
    };
    regex::Regex::new(&text)
        .inspect_err(|error| tracing::warn!(%error, "the multiline pattern cannot be used"))
        .ok()
}

/// `strftime` directives as the expressions that the awslogs driver documents for them.
fn datetime_pattern(format: &str) -> String {
    let mut pattern = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            pattern.push_str(&regex::escape(&character.to_string()));
            continue;
        }
        pattern.push_str(match characters.next() {
            Some('A') => "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)",
            Some('a') => "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)",
            Some('B') => {
                "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
            }
            Some('b') => "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)",
            Some('Y') => r"\d{4}",
            Some('f') => r"\d{6}",
            Some('j') => r"\d{3}",
            Some('L') => r"\.\d{3}",
            Some('p') => "(?:AM|PM)",
            Some('Z') => "[A-Z]{1,4}T",
            Some('z') => r"[+-]\d{4}",
            Some('w') => r"\d",
            Some('y' | 'm' | 'd' | 'H' | 'I' | 'M' | 'S') => r"\d{2}",
            Some('%') | None => "%",
            Some(_) => ".",
        });
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_formats_match_what_they_say() {
        let matches =
            |format: &str, line: &str| regex::Regex::new(&datetime_pattern(format)).unwrap().is_match(line);
        assert!(matches("%Y-%m-%d %H:%M:%S", "2026-11-21 07:30:00 begins"));
        assert!(!matches("%Y-%m-%d %H:%M:%S", "  at line 7"));
        assert!(matches("[%b %d, %Y %H:%M:%S]", "[May 01, 2017 19:00:01] A"));
        assert!(!matches("[%b %d]", "May 01"));
        assert!(matches("100%%", "100%"));
    }
}
