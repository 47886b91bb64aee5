//! The handle that everyone holds: sends writes to the writer thread, runs reads on blocking threads.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread,
};

use tokio::sync::{Semaphore, mpsc, oneshot};
use vocabulary::Timestamp;

use crate::{
    catalog::{Catalog, Directory, Settings},
    cursor::{CursorKey, InvalidCursor},
    error::StoreError,
    model::{AppendAck, LogEvent, LogGroupKey, LogStreamKey, Position, StreamSelection, StreamSummary},
    query::{self, LogQuery, Predicate, QueryPage},
    retention::{RetentionOutcome, RetentionPolicy},
    segments::Segments,
    subscribe::{Followers, Subscription},
    writer::{Append, Command, Reply, Writer},
};

/// Commands that may wait for the writer; more senders wait for a place.
const QUEUE: usize = 1024;
/// Events in one append.
const BATCH_EVENTS: usize = 50_000;
/// KiB of messages that may wait for the writer, in all appends together; more senders wait for room.
const WAITING_KIB: usize = 64 << 10;
/// Queries that read at once: each holds a blocking thread and up to one page per open stream.
const READERS: usize = 16;

/// What can be chosen when a store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Milliseconds of event time per file. Decided when the directory is made; later openings keep it.
    pub window_milliseconds: i64,
    /// Files with open connections at a time.
    pub max_open_files: usize,
    /// Size of one file at which appends to it are refused as if the disk were full.
    pub max_file_bytes: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        // A day: retention is counted in days, so whole files go as soon as they can. Events arrive for at most
        // 15 days at a time, so that 24 open files are never exceeded by writing alone.
        Options { window_milliseconds: 86_400_000, max_open_files: 24, max_file_bytes: None }
    }
}

/// What the writer thread and the readers share.
pub(crate) struct Shared {
    pub segments: Segments,
    pub followers: Followers,
    directory: RwLock<Directory>,
    lock: Mutex<Option<File>>,
}

struct Inner {
    shared: Arc<Shared>,
    cursor_key: CursorKey,
    commands: mpsc::Sender<Command>,
    readers: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// A store of log events. Clones share it; it closes when the last is dropped, or by [`TelemetryStore::close`].
#[derive(Clone)]
pub struct TelemetryStore(Arc<Inner>);

impl TelemetryStore {
    /// Opens the store in `dir`, making the directory when needed. One process at a time.
    pub fn open(dir: &Path, options: Options) -> Result<TelemetryStore, StoreError> {
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
        TelemetryStore::start(Some(dir), options, Some(lock))
    }

    /// A store that keeps nothing: in memory, with overflow in files that have no name.
    pub fn ephemeral(options: Options) -> Result<TelemetryStore, StoreError> {
        TelemetryStore::start(None, options, None)
    }

    fn start(dir: Option<&Path>, options: Options, lock: Option<File>) -> Result<TelemetryStore, StoreError> {
        let mut cursor_key = [0; 32];
        getrandom::fill(&mut cursor_key).map_err(|error| {
            let path = Path::new("the system's random numbers");
            StoreError::io("read", path)(std::io::Error::other(error.to_string()))
        })?;
        let fresh = Settings { window_milliseconds: options.window_milliseconds.max(1), cursor_key };
        let (catalog, settings) =
            Catalog::open(dir.map(|dir| dir.join("catalog.sqlite")).as_deref(), &fresh)?;
        let window = settings.window_milliseconds;
        let cursor_key = CursorKey(settings.cursor_key);
        let shared = Arc::new(Shared {
            segments: Segments::open(dir, window, options.max_open_files.max(1), options.max_file_bytes)?,
            followers: Followers::default(),
            directory: RwLock::new(catalog.load()?),
            lock: Mutex::new(lock),
        });
        let (commands, receiver) = mpsc::channel(QUEUE);
        let writer = Writer { catalog, shared: shared.clone(), commands: receiver };
        thread::Builder::new()
            .name("telemetry-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::io("start the writer of", dir.unwrap_or(Path::new("(ephemeral)"))))?;
        let readers = Arc::new(Semaphore::new(READERS));
        let waiting = Arc::new(Semaphore::new(WAITING_KIB));
        Ok(TelemetryStore(Arc::new(Inner { shared, cursor_key, commands, readers, waiting })))
    }

    /// Appends events to a stream, which begins to exist with its first event. On disk when this answers.
    pub async fn append_logs(
        &self,
        key: LogStreamKey,
        events: Vec<LogEvent>,
    ) -> Result<AppendAck, StoreError> {
        if events.len() > BATCH_EVENTS {
            return Err(StoreError::BatchTooLarge { given: events.len(), limit: BATCH_EVENTS });
        }
        if events.is_empty() {
            return Ok(AppendAck { first_sequence: 0, events: 0 });
        }
        let bytes: usize = events.iter().map(|event| event.message.len()).sum();
        // An append larger than all the room takes all of it.
        let share = u32::try_from((bytes / 1024 + 1).min(WAITING_KIB)).unwrap_or(u32::MAX);
        let waiting = Arc::clone(&self.0.waiting);
        let share = waiting.acquire_many_owned(share).await.map_err(|_| StoreError::Closed)?;
        self.command(|reply| Command::Append(Append { key, events, reply, _share: share })).await
    }

    /// Reads one step of a query; `predicate` picks the events of the answer.
    pub async fn query(&self, query: LogQuery, mut predicate: Predicate) -> Result<QueryPage, StoreError> {
        self.reading(move |shared| {
            let streams = shared.directory().select(&query.group, &query.streams);
            let segments = shared.segments.all();
            query::run(&segments, &streams, &query, &mut predicate, |segment| shared.segments.used(segment))
        })
        .await
    }

    /// What is known of the selected streams, by name. Streams without events are not listed.
    pub async fn summaries(
        &self,
        group: LogGroupKey,
        streams: StreamSelection,
    ) -> Result<BTreeMap<Arc<str>, StreamSummary>, StoreError> {
        self.reading(move |shared| {
            let streams = shared.directory().select(&group, &streams);
            let mut found: BTreeMap<Arc<str>, StreamSummary> = BTreeMap::new();
            for segment in shared.segments.all() {
                let looked = segment.with_summaries(|summaries| {
                    for (name, id) in &streams {
                        if let Some(here) = summaries.get(id) {
                            found
                                .entry(name.clone())
                                .and_modify(|summary| *summary = summary.merge(*here))
                                .or_insert(*here);
                        }
                    }
                });
                if !segment.is_gone() {
                    looked?;
                }
            }
            Ok(found)
        })
        .await
    }

    /// The groups that have events, in no particular order.
    pub fn groups(&self) -> Vec<LogGroupKey> {
        self.0.shared.directory().groups().cloned().collect()
    }

    /// The streams of a group that have events, by name.
    pub fn streams(&self, group: &LogGroupKey) -> Vec<Arc<str>> {
        let streams = self.0.shared.directory().select(group, &StreamSelection::All);
        streams.into_iter().map(|(name, _)| name).collect()
    }

    /// Forgets a stream's events; says whether it had any.
    pub async fn delete_stream(&self, key: LogStreamKey) -> Result<bool, StoreError> {
        self.command(|reply| Command::DeleteStream { key, reply }).await
    }

    /// Forgets all events of a group; says how many streams had some.
    pub async fn delete_group(&self, key: LogGroupKey) -> Result<usize, StoreError> {
        self.command(|reply| Command::DeleteGroup { key, reply }).await
    }

    /// Removes what `policy` no longer keeps at `now`, and what was deleted. Appends go on meanwhile.
    pub async fn retain(
        &self,
        policy: RetentionPolicy,
        now: Timestamp,
    ) -> Result<RetentionOutcome, StoreError> {
        let policy = Arc::new(policy);
        let mut total = RetentionOutcome::default();
        loop {
            let policy = policy.clone();
            let (step, done) = self.command(|reply| Command::Retain { policy, now, reply }).await?;
            total.files_removed += step.files_removed;
            total.events_deleted += step.events_deleted;
            if done {
                return Ok(total);
            }
        }
    }

    /// Follows streams of a group from now on, also those that do not exist yet.
    pub fn subscribe(
        &self,
        group: LogGroupKey,
        streams: StreamSelection,
    ) -> Result<Subscription, StoreError> {
        self.0.shared.followers.add(group, streams)
    }

    /// A page token for `position` that is valid for `question` alone.
    pub fn seal_cursor(&self, position: Position, question: &str) -> String {
        self.0.cursor_key.seal(position, question)
    }

    /// The position in a token made by [`TelemetryStore::seal_cursor`] for the same question.
    pub fn open_cursor(&self, token: &str, question: &str) -> Result<Position, InvalidCursor> {
        self.0.cursor_key.open(token, question)
    }

    /// Finishes what was sent before, closes the files and frees the directory for another opener.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.command(|reply| Command::Close { reply }).await
    }

    async fn command<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.0.commands.send(make(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn reading<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = self.0.readers.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let shared = self.0.shared.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&shared)
        });
        match done.await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(StoreError::Closed),
        }
    }
}

impl Shared {
    pub fn directory(&self) -> RwLockReadGuard<'_, Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn directory_mut(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets another process open the directory.
    pub fn unlock(&self) {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl std::fmt::Debug for TelemetryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TelemetryStore")
    }
}
