//! What can go wrong with the store. An error is cloned to every caller whose transaction shared a failed commit.

use std::{error::Error, path::PathBuf, sync::Arc};

use bytes::Bytes;

use crate::{LeaseId, Revision};

/// Why the store did not answer. Unless a variant says otherwise, nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// History before `compacted` (where the store says it) is gone. A watcher must read the range again and watch from there.
    #[error("the revision has been compacted{}", begins_at(.compacted))]
    Compacted { compacted: Option<Revision> },
    #[error("revision {requested} is in the future")]
    FutureRevision { requested: Revision },
    #[error("lease {0} does not exist or has expired")]
    LeaseNotFound(LeaseId),
    #[error("lease {0} exists already")]
    LeaseExists(LeaseId),
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    #[error("{path} is in use by another process{}; stop it, or choose another data directory", in_use_by(.holder))]
    Locked { path: PathBuf, holder: Option<u32> },
    #[error("{path} was written by a newer version (format {found}, this one knows up to {known})")]
    NewerFormat { path: PathBuf, found: i64, known: i64 },
    /// The change was not made, and what was acknowledged before is intact. Later writes work once there is room.
    #[error("the disk is full that holds {place}")]
    DiskFull { place: String },
    /// The disk failed to make a write durable. Nothing more is accepted until the store is opened again.
    #[error("the store refuses writes since the disk failed: {reason}")]
    Failed { reason: Arc<str> },
    #[error("{doing}: {source}")]
    Backend { doing: &'static str, source: Arc<dyn Error + Send + Sync> },
    /// The answer never came: the change may or may not have been made.
    #[error("{doing}: the outcome is unknown: {source}")]
    Unknown { doing: &'static str, source: Arc<dyn Error + Send + Sync> },
    #[error("the store is closed")]
    Closed,
}

/// A request that no store accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRequest {
    #[error("a key must not be empty")]
    EmptyKey,
    #[error("key `{}` is written more than once in one transaction", String::from_utf8_lossy(.0))]
    DuplicateKey(Bytes),
    #[error("a transaction of {count} operations exceeds the limit of {limit}")]
    TooManyOperations { count: usize, limit: usize },
    #[error("a transaction of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge { bytes: usize, limit: usize },
    #[error("a lease's time to live must be 1 to {limit} seconds, not {seconds}")]
    TimeToLive { seconds: i64, limit: i64 },
}

impl StoreError {
    pub(crate) fn backend(
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Backend { doing, source: source.into().into() }
    }

    pub(crate) fn unknown(
        doing: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Unknown { doing, source: source.into().into() }
    }
}

fn begins_at(compacted: &Option<Revision>) -> String {
    compacted.map_or_else(String::new, |revision| format!(": history begins at {revision}"))
}

fn in_use_by(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}
