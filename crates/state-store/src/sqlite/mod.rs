//! The embedded store: SQLite as a durable log, an index in memory, one thread that writes.
//!
//! A write is acknowledged after the commit that holds it reached the disk (WAL, `synchronous=FULL`); writes that wait at
//! the same time share a commit. Leases start their time anew when the store is opened. History older than
//! [`SqliteOptions::keep_changes`] changes is compacted away as new changes come in.
//!
//! One process at a time: a lock file in the directory keeps others out. The lock goes with the process, however it ends.

mod batch;
mod disk;
mod gather;
mod hub;
mod index;
mod leases;
mod readers;
mod writer;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::Ordering,
        mpsc::{self, Sender},
    },
    thread::JoinHandle,
    time::Instant,
};

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use self::{
    gather::Gather,
    hub::Hub,
    index::Index,
    leases::Leases,
    readers::Readers,
    writer::{Queued, Reply, Request, Writer},
};
use crate::{
    BoxFuture, KeyRange, Lease, LeaseId, LeaseStatus, RangeRequest, RangeResponse, Revision, Store,
    StoreError, Txn, TxnResponse, Watcher, store::check_ttl,
};

/// Requests that may wait for the writer. Further callers wait for a place, so a burst costs latency, not memory.
const QUEUE_REQUESTS: usize = 4096;

/// Reads that find their rows compacted away are tried again on the then latest revision so often.
const READ_ATTEMPTS: usize = 3;

/// How the embedded store is set up.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Changes that stay readable and watchable after they are superseded.
    pub keep_changes: usize,
    /// Whether a write is on the disk before it is acknowledged. Off only where nothing is to survive.
    pub fsync: bool,
    /// Bytes that the database may grow to; beyond that writes are refused as on a full disk. None: as much as there is.
    pub quota_bytes: Option<u64>,
}

impl Default for SqliteOptions {
    /// Durable; 10,000 changes of history, which is minutes of a busy control plane; no quota.
    fn default() -> SqliteOptions {
        SqliteOptions { keep_changes: 10_000, fsync: true, quota_bytes: None }
    }
}

/// What a store has done since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteStats {
    /// Revisions made.
    pub transactions: u64,
    /// Commits that made them: about as many fsyncs.
    pub commits: u64,
}

/// A store in one directory, or in memory.
pub struct SqliteStore {
    /// None once the store is being dropped: the writer ends when its last sender goes.
    requests: Option<Sender<Queued>>,
    places: Arc<Semaphore>,
    index: Arc<RwLock<Index>>,
    leases: Arc<Mutex<Leases>>,
    hub: Arc<Hub>,
    readers: Arc<Readers>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the store in `directory`, which is made when missing. Reads as much as has to be in memory (all keys, not
    /// the values), so it blocks for as long as that takes: milliseconds, unless the store is large.
    ///
    /// Errors: [`StoreError::Locked`] when another process has it open, [`StoreError::NewerFormat`], or what the disk says.
    pub fn open(directory: &Path, options: &SqliteOptions) -> Result<SqliteStore, StoreError> {
        fs::create_dir_all(directory)
            .map_err(|source| StoreError::backend("creating the data directory", source))?;
        let lock = lock(directory)?;
        let path = directory.join("state.sqlite");
        let connection = disk::open_writer(Some(&path), options)?;
        let connection = Arc::new(Mutex::new(connection));
        let readers = Readers::of_file(path.clone());
        SqliteStore::start(connection, readers, path, options, Some(lock))
    }

    /// A store that lives in memory and goes with the process.
    pub fn in_memory() -> Result<SqliteStore, StoreError> {
        let options = SqliteOptions { fsync: false, ..SqliteOptions::default() };
        SqliteStore::in_memory_with(&options)
    }

    /// As [`SqliteStore::in_memory`], with a history and a quota of the caller's choice.
    pub fn in_memory_with(options: &SqliteOptions) -> Result<SqliteStore, StoreError> {
        let connection = Arc::new(Mutex::new(disk::open_writer(None, options)?));
        let readers = Readers::of_memory(connection.clone());
        SqliteStore::start(connection, readers, PathBuf::from(":memory:"), options, None)
    }

    fn start(
        connection: Arc<Mutex<rusqlite::Connection>>,
        readers: Readers,
        path: PathBuf,
        options: &SqliteOptions,
        lock: Option<File>,
    ) -> Result<SqliteStore, StoreError> {
        let loaded = disk::load(&connection.lock().unwrap_or_else(PoisonError::into_inner))?;
        let mut leases = Leases::default();
        let now = Instant::now();
        for (id, ttl_seconds) in loaded.leases {
            leases.insert(id, ttl_seconds, now);
        }
        let hub = Arc::new(Hub::new(loaded.head, loaded.compacted));
        let index = Arc::new(RwLock::new(loaded.index));
        let leases = Arc::new(Mutex::new(leases));
        let writer = Writer {
            connection,
            index: index.clone(),
            leases: leases.clone(),
            hub: hub.clone(),
            head: loaded.head,
            compacted: loaded.compacted,
            keep_changes: options.keep_changes,
            path,
            gather: Gather::default(),
            failed: None,
            _lock: lock,
        };
        let (requests, receiver) = mpsc::channel();
        let writer = std::thread::Builder::new()
            .name("state-writer".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|source| StoreError::backend("starting the writer of the state store", source))?;
        Ok(SqliteStore {
            requests: Some(requests),
            places: Arc::new(Semaphore::new(QUEUE_REQUESTS)),
            index,
            leases,
            hub,
            readers: Arc::new(readers),
            writer: Some(writer),
        })
    }

    pub fn stats(&self) -> SqliteStats {
        SqliteStats {
            transactions: self.hub.transactions.load(Ordering::Relaxed),
            commits: self.hub.commits.load(Ordering::Relaxed),
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let queued = Queued { request: request(reply), _place: place };
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(queued).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn read_range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        request.validate()?;
        for _ in 0..READ_ATTEMPTS {
            let current = self.hub.progress().committed;
            let at = if request.revision == 0 { current } else { request.revision };
            let selected = {
                let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
                batch::select(&index, &request, at)
            };
            // After the selection, because compaction may have thinned out the index meanwhile.
            let compacted = self.hub.progress().compacted;
            if request.revision == 0 && at < compacted {
                continue;
            }
            batch::check_revision(request.revision, current, compacted)?;
            let values = match request.keys_only || selected.rows.is_empty() {
                true => vec![Some(Bytes::new()); selected.rows.len()],
                false => {
                    let rows: Vec<_> = selected.rows.iter().map(|(_, version)| version.row).collect();
                    let read = move |connection: &_| {
                        rows.into_iter().map(|row| disk::value(connection, row)).collect()
                    };
                    self.readers.read::<Vec<_>>(read).await?
                }
            };
            if values.iter().any(Option::is_none) {
                let compacted = self.hub.progress().compacted;
                if request.revision != 0 && request.revision < compacted {
                    return Err(StoreError::Compacted { compacted: Some(compacted) });
                }
                continue;
            }
            let kvs = selected.rows.into_iter().zip(values.into_iter().flatten());
            let kvs = kvs.map(|((key, version), value)| batch::key_value(key, value, &version)).collect();
            return Ok(RangeResponse { revision: current, kvs, more: selected.more, count: selected.count });
        }
        Err(StoreError::Compacted { compacted: Some(self.hub.progress().compacted) })
    }

    fn with_leases<T>(&self, with: impl FnOnce(&mut Leases) -> T) -> T {
        with(&mut self.leases.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for SqliteStore {
    fn txn(&self, txn: Txn) -> BoxFuture<'_, Result<TxnResponse, StoreError>> {
        Box::pin(async move {
            txn.validate()?;
            self.ask(|reply| Request::Txn(txn, reply)).await
        })
    }

    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, StoreError>> {
        Box::pin(self.read_range(request))
    }

    fn watch(&self, range: KeyRange, from: Revision) -> BoxFuture<'_, Result<Watcher, StoreError>> {
        Box::pin(async move {
            range.validate()?;
            Ok(hub::watch(&self.hub, &self.readers, range, from))
        })
    }

    fn lease_grant(&self, id: LeaseId, ttl_seconds: i64) -> BoxFuture<'_, Result<Lease, StoreError>> {
        Box::pin(async move {
            check_ttl(ttl_seconds)?;
            self.ask(move |reply| Request::Grant(id, ttl_seconds, reply)).await
        })
    }

    fn lease_keep_alive(&self, id: LeaseId) -> BoxFuture<'_, Result<Lease, StoreError>> {
        Box::pin(async move {
            let ttl_seconds = self.with_leases(|leases| leases.keep_alive(id, Instant::now()))?;
            Ok(Lease { id, ttl_seconds })
        })
    }

    fn lease_revoke(&self, id: LeaseId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.ask(move |reply| Request::Revoke(id, reply)))
    }

    fn lease_time_to_live(&self, id: LeaseId) -> BoxFuture<'_, Result<LeaseStatus, StoreError>> {
        Box::pin(async move {
            let (granted_seconds, remaining_seconds) =
                self.with_leases(|leases| leases.time_to_live(id, Instant::now()))?;
            let committed = self.hub.progress().committed;
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let all = KeyRange::all();
            let found = index.range(&all, committed);
            let keys = found.filter(|(_, version)| version.lease == id).map(|(key, _)| key.clone()).collect();
            Ok(LeaseStatus { granted_seconds, remaining_seconds, keys })
        })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.ask(move |reply| Request::Compact(revision, reply)))
    }
}

impl Drop for SqliteStore {
    /// Waits for the writer, so that the directory is free when this returns.
    fn drop(&mut self) {
        self.requests = None;
        self.readers.close_idle();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the state store panicked");
        }
    }
}

/// Takes the directory for this process, and leaves its id for the message that others get.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let doing = "locking the data directory";
    let path = directory.join("lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(|source| StoreError::backend(doing, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            return Err(StoreError::Locked { path: directory.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(StoreError::backend(doing, source)),
    }
    // The id is only for the message: failing to leave it (a full disk) is no reason not to start.
    let left =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = left {
        tracing::warn!(%error, "could not leave the process id in the lock file");
    }
    Ok(file)
}
