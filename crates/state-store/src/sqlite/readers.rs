//! Connections that read while the writer writes, used on blocking threads.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::disk;
use crate::StoreError;

/// Reads at a time. Each may hold a blocking thread and a page cache of 2 MiB; the tables above the store answer most reads.
const CONCURRENT_READS: usize = 4;

pub(super) struct Readers {
    source: Source,
    permits: Semaphore,
}

enum Source {
    /// Each read has a connection of its own, kept for the next one.
    File { path: PathBuf, idle: Mutex<Vec<Connection>> },
    /// A database in memory has only the writer's connection. Rows of an unfinished commit can be seen through it; nobody
    /// asks for them, because ids come from the index as of the committed revision.
    Memory(Arc<Mutex<Connection>>),
}

impl Readers {
    pub fn of_file(path: PathBuf) -> Readers {
        let source = Source::File { path, idle: Mutex::default() };
        Readers { source, permits: Semaphore::new(CONCURRENT_READS) }
    }

    pub fn of_memory(connection: Arc<Mutex<Connection>>) -> Readers {
        Readers { source: Source::Memory(connection), permits: Semaphore::new(CONCURRENT_READS) }
    }

    /// Runs `read` in one read transaction.
    pub async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let _permit = self.permits.acquire().await.map_err(|_| StoreError::Closed)?;
        let readers = self.clone();
        tokio::task::spawn_blocking(move || readers.read_blocking(read))
            .await
            .map_err(|_| StoreError::Closed)?
    }

    /// Closes the connections that are not in use, so that the writer is the last and tidies up the log.
    pub fn close_idle(&self) {
        if let Source::File { idle, .. } = &self.source {
            idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn read_blocking<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        match &self.source {
            Source::Memory(connection) => {
                read(&connection.lock().unwrap_or_else(PoisonError::into_inner)).map_err(reading)
            }
            Source::File { path, idle } => {
                let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let connection = pooled.map_or_else(|| disk::open_reader(path), Ok)?;
                let transaction = connection.unchecked_transaction().map_err(reading)?;
                let found = read(&transaction).map_err(reading)?;
                drop(transaction);
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
                Ok(found)
            }
        }
    }
}

fn reading(source: rusqlite::Error) -> StoreError {
    StoreError::backend("reading the state database", source)
}
