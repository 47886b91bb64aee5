//! Log events on disk: appended in large batches, read in exact order, followed live, forgotten in whole files.
//!
//! **Layout.** `catalog.sqlite` names the streams; the events lie in one SQLite file per window of event time
//! (a day unless told otherwise). Retention therefore mostly unlinks files; rows are deleted only where one
//! file holds groups with different retentions.
//!
//! **Durability.** An append is acknowledged after the write-ahead log of every file that it touches is
//! synced. One writer thread commits what has queued up while the previous commit was in the kernel, so the
//! cost of a sync is shared by everybody waiting. An append that spans windows is not atomic: after an error
//! or a crash before the acknowledgement, part of it may be there; nothing acknowledged is ever missing.
//!
//! **Order.** Events are ordered by timestamp, then by ingestion sequence, a number that never repeats and
//! never goes back in the life of the store. The two together are the event's [`Position`] and its id.
//!
//! **Deleting** a stream takes it out of the catalog, which is one small commit; its rows go with the next
//! retention run. A stream of the same name made later starts empty.
//!
//! **Metrics** lie beside them, in files and with rules of their own: see [`MetricStore`].
//!
//! What it does not do: it knows no AWS shapes, limits or error codes, reads no clock, and does not decide what a
//! group's retention is.

mod catalog;
mod cursor;
mod error;
mod metrics;
mod model;
mod query;
mod retention;
mod scan;
mod segment;
mod segments;
mod store;
mod subscribe;
mod writer;

pub use self::metrics::{MOST_SAMPLES, MetricFilter, MetricKey, MetricSample, MetricStore, UnitSamples};
pub use cursor::InvalidCursor;
pub use error::StoreError;
pub use model::{
    AppendAck, EventId, InvalidEventId, LogEvent, LogGroupKey, LogStreamKey, Position, StoredEvent,
    StreamSelection, StreamSummary,
};
pub use query::{Direction, LogQuery, Predicate, QueryPage};
pub use retention::{RetentionOutcome, RetentionPolicy};
pub use scan::{Seen, scan};
pub use store::{Options, TelemetryStore};
pub use subscribe::{Subscription, TailBatch, TailItem};

#[cfg(test)]
mod tests;
