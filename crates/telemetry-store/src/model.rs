//! The store's own words: who an event belongs to, what it is, and where it stands in the order.

use std::{fmt, str::FromStr, sync::Arc};

use vocabulary::{Scope, Timestamp};

/// A log group in an account and region.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogGroupKey {
    pub scope: Scope,
    pub group: Arc<str>,
}

/// A stream in a log group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogStreamKey {
    pub group: LogGroupKey,
    pub stream: Arc<str>,
}

impl LogGroupKey {
    pub fn new(scope: Scope, group: impl Into<Arc<str>>) -> LogGroupKey {
        LogGroupKey { scope, group: group.into() }
    }

    pub fn stream(&self, stream: impl Into<Arc<str>>) -> LogStreamKey {
        LogStreamKey { group: self.clone(), stream: stream.into() }
    }
}

/// An event as it is handed in: when it happened, when it was received, what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEvent {
    pub timestamp: Timestamp,
    pub ingestion: Timestamp,
    pub message: String,
}

/// An event as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    pub stream: Arc<str>,
    pub timestamp: Timestamp,
    pub ingestion: Timestamp,
    /// The ingestion sequence: unique in the store, ascending in the order of acknowledgement.
    pub sequence: u64,
    pub message: String,
}

impl StoredEvent {
    pub fn position(&self) -> Position {
        Position { timestamp: self.timestamp, sequence: self.sequence }
    }

    pub fn id(&self) -> EventId {
        EventId(self.position())
    }
}

/// A place in the order of all events: timestamp first, then ingestion sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub timestamp: Timestamp,
    pub sequence: u64,
}

/// An event's id: its position, written as the 56 decimal digits that CloudWatch Logs uses, so that ids sort as
/// events do and lead back to the event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub Position);

/// Text that is not an event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event id")]
pub struct InvalidEventId(pub String);

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Times before 1970 are not accepted by any writer; they would sort as 1970.
        let milliseconds = u128::try_from(self.0.timestamp.as_millis()).unwrap_or(0);
        write!(f, "{:056}", milliseconds << 64 | u128::from(self.0.sequence))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidEventId(text.to_owned());
        if text.len() != 56 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let number: u128 = text.parse().map_err(|_| invalid())?;
        let milliseconds = i64::try_from(number >> 64).map_err(|_| invalid())?;
        Ok(EventId(Position {
            timestamp: Timestamp::from_millis(milliseconds),
            sequence: (number & u128::from(u64::MAX)) as u64,
        }))
    }
}

/// Which streams of a group a query, a summary or a subscription is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamSelection {
    All,
    Prefix(Arc<str>),
    /// Any of several prefixes, as live tail takes them.
    Prefixes(Vec<Arc<str>>),
    Names(Vec<Arc<str>>),
}

impl StreamSelection {
    pub fn one(stream: impl Into<Arc<str>>) -> StreamSelection {
        StreamSelection::Names(vec![stream.into()])
    }

    pub fn contains(&self, stream: &str) -> bool {
        match self {
            StreamSelection::All => true,
            StreamSelection::Prefix(prefix) => stream.starts_with(prefix.as_ref()),
            StreamSelection::Prefixes(prefixes) => {
                prefixes.iter().any(|prefix| stream.starts_with(prefix.as_ref()))
            }
            StreamSelection::Names(names) => names.iter().any(|name| name.as_ref() == stream),
        }
    }
}

/// What is known of a stream's events without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSummary {
    pub first_event: Timestamp,
    pub last_event: Timestamp,
    pub last_ingestion: Timestamp,
    /// Bytes of the messages, without any overhead per event.
    pub message_bytes: u64,
    pub events: u64,
}

impl StreamSummary {
    pub(crate) fn merge(self, other: StreamSummary) -> StreamSummary {
        StreamSummary {
            first_event: self.first_event.min(other.first_event),
            last_event: self.last_event.max(other.last_event),
            last_ingestion: self.last_ingestion.max(other.last_ingestion),
            message_bytes: self.message_bytes + other.message_bytes,
            events: self.events + other.events,
        }
    }
}

/// The answer to an append: everything in it is on disk. Event `i` of the batch has sequence `first_sequence + i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendAck {
    pub first_sequence: u64,
    pub events: usize,
}
