//! One file of events: a window of event time, all streams together.
//!
//! Rows are clustered by stream, timestamp and sequence, so a stream reads in order without sorting. Beside them
//! lies a summary per stream and file, written in the same commit and held in memory once it was needed;
//! it tells queries which streams to open, and retention what to drop, without touching events.
//!
//! A segment without a path is a temporary SQLite database: it may spill to an unlinked file, which the kernel
//! reclaims however the process ends. Its one connection serves readers too.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, params};
use vocabulary::Timestamp;

use crate::{
    catalog::StreamId,
    error::StoreError,
    model::{StoredEvent, StreamSummary},
};

const LAYOUT_VERSION: i64 = 1;
/// Connections kept for the next reader; more readers at once open and close their own.
const IDLE_READERS: usize = 2;

pub(crate) type Summaries = HashMap<StreamId, StreamSummary>;

pub(crate) struct Segment {
    /// First millisecond of the window.
    pub start: i64,
    /// First millisecond after the window.
    pub end: i64,
    path: Option<PathBuf>,
    label: PathBuf,
    max_bytes: Option<u64>,
    writer: Mutex<Option<Connection>>,
    readers: Mutex<Vec<Connection>>,
    summaries: RwLock<Option<Summaries>>,
    /// When it was last used, in ticks of the set of segments.
    pub last_used: AtomicU64,
    gone: AtomicBool,
}

/// A connection on loan for reading; it sees one state of the file for as long as it is held.
pub(crate) struct Reading<'s> {
    segment: &'s Segment,
    connection: Option<Connection>,
    shared: Option<std::sync::MutexGuard<'s, Option<Connection>>>,
}

impl Segment {
    pub fn new(path: Option<PathBuf>, start: i64, end: i64, max_bytes: Option<u64>) -> Segment {
        let label = path.clone().unwrap_or_else(|| format!("(ephemeral events from {start})").into());
        Segment {
            start,
            end,
            path,
            label,
            max_bytes,
            writer: Mutex::new(None),
            readers: Mutex::new(Vec::new()),
            summaries: RwLock::new(None),
            last_used: AtomicU64::new(0),
            gone: AtomicBool::new(false),
        }
    }

    pub fn label(&self) -> &Path {
        &self.label
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Makes the file if it is not there yet, with its tables.
    pub fn create(&self) -> Result<(), StoreError> {
        let mut writer = lock(&self.writer);
        if writer.is_none() {
            *writer = Some(self.open_writer()?);
        }
        Ok(())
    }

    fn open_writer(&self) -> Result<Connection, StoreError> {
        let connection = match &self.path {
            Some(path) => Connection::open(path),
            None => Connection::open(""),
        }
        .map_err(StoreError::sqlite("open", &self.label))?;
        let prepare = || -> rusqlite::Result<i64> {
            connection.busy_timeout(Duration::from_secs(5))?;
            let found = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            if found == 0 {
                connection.pragma_update(None, "page_size", 8192)?;
            }
            connection.pragma_update(None, "cache_size", -4096)?;
            if let Some(limit) = self.max_bytes {
                connection.pragma_update(None, "max_page_count", limit / 8192)?;
            }
            if self.path.is_some() {
                connection.pragma_update(None, "journal_mode", "WAL")?;
                connection.pragma_update(None, "synchronous", "FULL")?;
                // Checkpoints run inside a commit: fewer and larger ones cost less in all.
                connection.pragma_update(None, "wal_autocheckpoint", 2048)?;
                connection.pragma_update(None, "journal_size_limit", 32 << 20)?;
            } else {
                connection.pragma_update(None, "synchronous", "OFF")?;
            }
            if found == 0 {
                connection.execute_batch(&format!(
                    "BEGIN IMMEDIATE;
                     CREATE TABLE events (
                         stream INTEGER NOT NULL, ts INTEGER NOT NULL, seq INTEGER NOT NULL,
                         ingested INTEGER NOT NULL, message TEXT NOT NULL,
                         PRIMARY KEY (stream, ts, seq)) WITHOUT ROWID;
                     CREATE TABLE summaries (
                         stream INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
                         ingested INTEGER NOT NULL, bytes INTEGER NOT NULL, events INTEGER NOT NULL);
                     PRAGMA user_version = {LAYOUT_VERSION};
                     COMMIT;"
                ))?;
            }
            Ok(found)
        };
        let found = prepare().map_err(StoreError::sqlite("prepare", &self.label))?;
        if found > LAYOUT_VERSION {
            return Err(StoreError::NewerLayout { path: self.label.clone(), found, known: LAYOUT_VERSION });
        }
        Ok(connection)
    }

    /// Runs `work` in one durable transaction.
    fn write<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.writer);
        if writer.is_none() {
            *writer = Some(self.open_writer()?);
        }
        let connection = writer.as_mut().expect("the connection was just opened");
        let transact = |connection: &mut Connection| -> rusqlite::Result<T> {
            let transaction =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let out = work(&transaction)?;
            transaction.commit()?;
            Ok(out)
        };
        transact(connection).map_err(StoreError::sqlite(what, &self.label))
    }

    /// Adds rows, sorted by stream; durable when this returns. On an error none of them is there.
    pub fn append(&self, rows: &[(StreamId, &StoredEvent)]) -> Result<(), StoreError> {
        let mut changed = self.with_summaries(|kept| {
            let mut changed = Summaries::new();
            for (stream, _) in rows {
                if let Some(summary) = kept.get(stream) {
                    changed.entry(*stream).or_insert(*summary);
                }
            }
            changed
        })?;
        for (stream, event) in rows {
            let one = StreamSummary {
                first_event: event.timestamp,
                last_event: event.timestamp,
                last_ingestion: event.ingestion,
                message_bytes: event.message.len() as u64,
                events: 1,
            };
            changed.entry(*stream).and_modify(|summary| *summary = summary.merge(one)).or_insert(one);
        }
        self.write("append events to", |connection| {
            let mut insert = connection.prepare_cached(
                "INSERT INTO events (stream, ts, seq, ingested, message) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (stream, event) in rows {
                insert.execute(params![
                    stream,
                    event.timestamp.as_millis(),
                    event.sequence as i64,
                    event.ingestion.as_millis(),
                    event.message
                ])?;
            }
            for (stream, summary) in &changed {
                write_summary(connection, *stream, summary)?;
            }
            Ok(())
        })?;
        self.change_summaries(|kept| kept.extend(changed));
        Ok(())
    }

    /// Deletes up to `limit` of the stream's oldest events before `cutoff` and says how many.
    pub fn purge(&self, stream: StreamId, cutoff: i64, limit: usize) -> Result<usize, StoreError> {
        let (deleted, left) = self.write("delete expired events from", |connection| {
            let (deleted, bytes, last): (usize, u64, Option<(i64, i64)>) = {
                let mut statement = connection.prepare_cached(
                    "SELECT ts, seq, octet_length(message) FROM events
                     WHERE stream = ?1 AND ts < ?2 ORDER BY ts, seq LIMIT ?3",
                )?;
                let mut rows = statement.query(params![stream, cutoff, limit as i64])?;
                let mut tally = (0, 0, None);
                while let Some(row) = rows.next()? {
                    tally = (tally.0 + 1, tally.1 + row.get::<_, u64>(2)?, Some((row.get(0)?, row.get(1)?)));
                }
                tally
            };
            if let Some((ts, seq)) = last {
                connection
                    .prepare_cached("DELETE FROM events WHERE stream = ?1 AND (ts, seq) <= (?2, ?3)")?
                    .execute(params![stream, ts, seq])?;
            }
            let first: Option<i64> =
                connection
                    .query_row("SELECT min(ts) FROM events WHERE stream = ?1", [stream], |row| row.get(0))?;
            let left = match (first, read_summary(connection, stream)?) {
                (Some(first), Some(summary)) => Some(StreamSummary {
                    first_event: Timestamp::from_millis(first),
                    message_bytes: summary.message_bytes.saturating_sub(bytes),
                    events: summary.events.saturating_sub(deleted as u64),
                    ..summary
                }),
                _ => None,
            };
            match &left {
                Some(summary) => write_summary(connection, stream, summary)?,
                None => {
                    connection.execute("DELETE FROM summaries WHERE stream = ?1", [stream])?;
                }
            }
            Ok((deleted, left))
        })?;
        self.change_summaries(|kept| match left {
            Some(summary) => drop(kept.insert(stream, summary)),
            None => drop(kept.remove(&stream)),
        });
        Ok(deleted)
    }

    /// Shows the summaries, reading them from the file the first time.
    pub fn with_summaries<T>(&self, look: impl FnOnce(&Summaries) -> T) -> Result<T, StoreError> {
        {
            let kept = self.summaries.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(kept) = kept.as_ref() {
                return Ok(look(kept));
            }
        }
        let mut kept = self.summaries.write().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            let reading = self.read()?;
            *kept =
                Some(load_summaries(reading.connection()).map_err(StoreError::sqlite("read", &self.label))?);
        }
        Ok(look(kept.as_ref().expect("the summaries were just read")))
    }

    fn change_summaries(&self, change: impl FnOnce(&mut Summaries)) {
        let mut kept = self.summaries.write().unwrap_or_else(PoisonError::into_inner);
        // Not read yet: the reader to come finds the change in the file.
        if let Some(kept) = kept.as_mut() {
            change(kept);
        }
    }

    /// Lends a connection that sees one state of the file.
    pub fn read(&self) -> Result<Reading<'_>, StoreError> {
        let Some(path) = &self.path else {
            let mut shared = lock(&self.writer);
            if shared.is_none() {
                *shared = Some(self.open_writer()?);
            }
            return Ok(Reading { segment: self, connection: None, shared: Some(shared) });
        };
        let idle = lock(&self.readers).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(path).map_err(StoreError::sqlite("open", path))?,
        };
        connection.execute_batch("BEGIN").map_err(StoreError::sqlite("read", path))?;
        Ok(Reading { segment: self, connection: Some(connection), shared: None })
    }

    /// Whether closing connections would free something without losing anything.
    pub fn holds_connections(&self) -> bool {
        self.path.is_some() && (lock(&self.writer).is_some() || !lock(&self.readers).is_empty())
    }

    /// Closes what is idle; the next use opens again.
    pub fn close(&self) {
        if self.path.is_some() {
            lock(&self.readers).clear();
            *lock(&self.writer) = None;
        }
    }

    /// Marks the segment as removed: who still finds it in an older list treats it as empty.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub fn touch(&self, tick: u64) {
        self.last_used.store(tick, Ordering::Relaxed);
    }
}

impl Reading<'_> {
    pub fn connection(&self) -> &Connection {
        match (&self.connection, &self.shared) {
            (Some(connection), _) => connection,
            (None, Some(shared)) => shared.as_ref().expect("a lent connection is open"),
            (None, None) => unreachable!("a loan holds one of the two"),
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && connection.execute_batch("COMMIT").is_ok()
        {
            let mut idle = lock(&self.segment.readers);
            if idle.len() < IDLE_READERS {
                idle.push(connection);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    // Never creates: a file that retention has unlinked stays gone.
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    Ok(connection)
}

fn load_summaries(connection: &Connection) -> rusqlite::Result<Summaries> {
    let mut statement =
        connection.prepare("SELECT first, last, ingested, bytes, events, stream FROM summaries")?;
    let rows = statement.query_map([], |row| Ok((row.get(5)?, summary_of(row)?)))?;
    rows.collect()
}

fn read_summary(connection: &Connection, stream: StreamId) -> rusqlite::Result<Option<StreamSummary>> {
    use rusqlite::OptionalExtension;
    connection
        .prepare_cached("SELECT first, last, ingested, bytes, events FROM summaries WHERE stream = ?1")?
        .query_row([stream], summary_of)
        .optional()
}

fn summary_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<StreamSummary> {
    Ok(StreamSummary {
        first_event: Timestamp::from_millis(row.get(0)?),
        last_event: Timestamp::from_millis(row.get(1)?),
        last_ingestion: Timestamp::from_millis(row.get(2)?),
        message_bytes: row.get(3)?,
        events: row.get(4)?,
    })
}

fn write_summary(connection: &Connection, stream: StreamId, summary: &StreamSummary) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO summaries (stream, first, last, ingested, bytes, events)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            stream,
            summary.first_event.as_millis(),
            summary.last_event.as_millis(),
            summary.last_ingestion.as_millis(),
            summary.message_bytes,
            summary.events
        ])?;
    Ok(())
}
