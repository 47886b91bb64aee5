//! What can go wrong on the way to the disk and back.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A failed operation. Cloneable because one failed commit answers everyone who waited for it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the size that the options allow a file, is used up. What was acknowledged before is safe;
    /// the refused append can be repeated once there is room.
    #[error("no space left for log events in {}", path.display())]
    DiskFull { path: PathBuf },

    #[error("cannot {what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: Arc<io::Error> },

    #[error("cannot {what} {}: {source}", path.display())]
    Sqlite { what: &'static str, path: PathBuf, source: Arc<rusqlite::Error> },

    #[error("{} is in use by another process", path.display())]
    InUse { path: PathBuf },

    #[error("{} has layout version {found}, this program knows up to {known}", path.display())]
    NewerLayout { path: PathBuf, found: i64, known: i64 },

    #[error("an append holds at most {limit} events, this one has {given}")]
    BatchTooLarge { given: usize, limit: usize },

    #[error("{limit} metrics are known already")]
    TooManyMetrics { limit: usize },

    #[error("{limit} subscriptions are open already")]
    TooManySubscriptions { limit: usize },

    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::DiskFull { path: path.to_owned() }
            }
            _ => StoreError::Io { what, path: path.to_owned(), source: Arc::new(source) },
        }
    }

    pub(crate) fn sqlite<'a>(
        what: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(rusqlite::Error) -> StoreError + 'a {
        move |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => StoreError::DiskFull { path: path.to_owned() },
            _ => StoreError::Sqlite { what, path: path.to_owned(), source: Arc::new(source) },
        }
    }
}
