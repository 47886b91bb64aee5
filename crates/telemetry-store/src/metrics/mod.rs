//! Metrics on disk: samples added up per metric and period, kept more coarsely with age, forgotten in whole files.
//!
//! **Layout.** `catalog.sqlite` names the series (a metric and a unit); their sums lie in one SQLite file per resolution and window of time:
//! seconds by the hour, minutes by the day, five minutes by the week, hours by thirty days. Every sample is added to all resolutions that it
//! is kept in when it comes, so there is nothing to roll up later, and a late sample is in all of them too. Retention unlinks files.
//!
//! **Durability.** A put is acknowledged after every file that it touches is synced. One writer thread commits what has queued up meanwhile,
//! added up first. A put that is cut off between two files is in some of the resolutions only; nothing acknowledged is missing in any.
//!
//! What it does not do: it knows no AWS shapes, reads no clock, and does not compute statistics, which the core `metrics` does.

mod catalog;
mod files;
mod key;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    fs::{self, File},
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread,
};

use metrics::{Resolution, Summary};
use tokio::sync::{Semaphore, mpsc, oneshot};
use vocabulary::{Scope, Timestamp};

use crate::error::StoreError;
use catalog::{Catalog, Directory};
use files::Files;
pub use key::{MetricFilter, MetricKey, MetricSample};
use writer::{Command, Reply, Writer};

/// Commands that may wait for the writer; more senders wait for a place.
const QUEUE: usize = 1024;
/// Samples in one put: far more than a request of AWS's may hold.
pub const MOST_SAMPLES: usize = 200_000;
/// Different metrics, with their units, that are known at a time: some hundred bytes of memory each.
pub const MOST_SERIES: usize = 200_000;
/// Queries that read at once: each holds a blocking thread.
const READERS: usize = 8;

/// What the writer and the readers share.
pub(crate) struct Shared {
    pub files: Files,
    pub directory: RwLock<Directory>,
}

struct Inner {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    readers: Arc<Semaphore>,
    lock: Mutex<Option<File>>,
}

/// A store of metrics. Clones share it.
#[derive(Clone)]
pub struct MetricStore(Arc<Inner>);

/// Sums of one unit of a metric, ascending by the seconds at which each begins.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitSamples {
    pub unit: Arc<str>,
    pub samples: Vec<(i64, Summary)>,
}

impl MetricStore {
    /// Opens the store in `dir`, making the directory when needed. One process at a time.
    ///
    /// # Errors
    /// Those of the file system and of SQLite; [`StoreError::InUse`].
    pub fn open(dir: &Path) -> Result<MetricStore, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
        let path = dir.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::InUse { path: dir.to_owned() }),
            Err(fs::TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
        }
        MetricStore::start(Some(dir), Some(lock))
    }

    /// A store that keeps everything in memory.
    ///
    /// # Errors
    /// When a thread or a database in memory cannot be made.
    pub fn ephemeral() -> Result<MetricStore, StoreError> {
        MetricStore::start(None, None)
    }

    fn start(dir: Option<&Path>, lock: Option<File>) -> Result<MetricStore, StoreError> {
        let catalog = Catalog::open(dir.map(|dir| dir.join("catalog.sqlite")).as_deref())?;
        let shared = Arc::new(Shared { files: Files::open(dir)?, directory: RwLock::new(catalog.load()?) });
        let (commands, receiver) = mpsc::channel(QUEUE);
        let writer = Writer { catalog, shared: Arc::clone(&shared), commands: receiver };
        thread::Builder::new()
            .name("metrics-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::io("start the writer of", dir.unwrap_or(Path::new("(ephemeral)"))))?;
        let readers = Arc::new(Semaphore::new(READERS));
        Ok(MetricStore(Arc::new(Inner { shared, commands, readers, lock: Mutex::new(lock) })))
    }

    /// Adds samples. On disk when this answers. Those that are too old for every resolution are dropped.
    ///
    /// # Errors
    /// [`StoreError::BatchTooLarge`], [`StoreError::TooManyMetrics`], and those of the files; some of the samples may be there then.
    pub async fn put(&self, samples: Vec<MetricSample>, now: Timestamp) -> Result<(), StoreError> {
        if samples.len() > MOST_SAMPLES {
            return Err(StoreError::BatchTooLarge { given: samples.len(), limit: MOST_SAMPLES });
        }
        if samples.is_empty() {
            return Ok(());
        }
        self.command(|reply| Command::Put { samples, now: seconds(now), reply }).await
    }

    /// The sums of a metric from `from` (inclusive) to `to` (exclusive), in seconds, at a resolution; of one unit or of all.
    ///
    /// # Errors
    /// Those of the files.
    pub async fn read(
        &self,
        key: &MetricKey,
        unit: Option<&str>,
        (from, to): (i64, i64),
        resolution: Resolution,
    ) -> Result<Vec<UnitSamples>, StoreError> {
        let series = self.directory(|directory| directory.units(key));
        let wanted: Vec<_> =
            series.into_iter().filter(|(of, _)| unit.is_none_or(|unit| unit == of.as_ref())).collect();
        if wanted.is_empty() || from >= to {
            return Ok(Vec::new());
        }
        let permit = Arc::clone(&self.0.readers).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let shared = Arc::clone(&self.0.shared);
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut found = Vec::with_capacity(wanted.len());
            for (unit, id) in wanted {
                let samples = shared.files.read(resolution, id, from, to)?;
                if !samples.is_empty() {
                    found.push(UnitSamples { unit, samples });
                }
            }
            Ok(found)
        });
        reading.await.map_err(|_| StoreError::Closed)?
    }

    /// Metrics that fit `filter` and come after `after`, in order, at most `most`.
    pub fn list(
        &self,
        scope: &Scope,
        filter: &MetricFilter,
        after: Option<&MetricKey>,
        most: usize,
    ) -> Vec<MetricKey> {
        self.directory(|directory| directory.list(scope, filter, after, most))
    }

    /// Unlinks what is older than it is to be kept, and forgets metrics that nothing is left of. Answers how many files went.
    ///
    /// # Errors
    /// Those of the files.
    pub async fn retain(&self, now: Timestamp) -> Result<usize, StoreError> {
        self.command(|reply| Command::Retain { now: seconds(now), reply }).await
    }

    /// Waits for what is under way and closes the files.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when it was closed already.
    pub async fn close(&self) -> Result<(), StoreError> {
        let closed = self.command(|reply| Command::Close { reply }).await;
        self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        closed
    }

    fn directory<T>(&self, read: impl FnOnce(&Directory) -> T) -> T {
        read(&self.0.shared.directory.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn command<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.0.commands.send(command(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl std::fmt::Debug for MetricStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricStore")
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1000)
}
