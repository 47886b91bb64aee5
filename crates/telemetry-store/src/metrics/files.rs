//! The files with the sums: which there are, and what is read from and written to each.
//!
//! A file has one connection, used by one at a time: reads are short, and the writer is one thread. Only so many are kept open.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{Resolution, Summary};
use rusqlite::{Connection, OptionalExtension, params};

use super::catalog::SeriesId;
use crate::error::StoreError;

/// Files with an open connection at a time: all windows that are written to, and a query's.
const MOST_OPEN: usize = 32;

/// The start of a window, and the resolution.
type Window = (Resolution, i64);

/// Seconds per file.
fn window_seconds(resolution: Resolution) -> i64 {
    match resolution {
        Resolution::Second => 3600,
        Resolution::Minute => metrics::DAY_SECONDS,
        Resolution::FiveMinutes => 7 * metrics::DAY_SECONDS,
        Resolution::Hour => 30 * metrics::DAY_SECONDS,
    }
}

pub(super) fn window(resolution: Resolution, at: i64) -> Window {
    let length = window_seconds(resolution);
    (resolution, at.div_euclid(length) * length)
}

fn name(resolution: Resolution, start: i64) -> String {
    format!("{}s-{start}.sqlite", resolution.seconds())
}

struct Part {
    /// None: in memory.
    path: Option<PathBuf>,
    connection: Mutex<Option<Connection>>,
    used: AtomicU64,
}

pub(crate) struct Files {
    dir: Option<PathBuf>,
    parts: RwLock<BTreeMap<Window, Arc<Part>>>,
    tick: AtomicU64,
}

impl Files {
    pub fn open(dir: Option<&Path>) -> Result<Files, StoreError> {
        let mut parts = BTreeMap::new();
        if let Some(dir) = dir {
            for entry in fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
                let path = entry.map_err(StoreError::io("list", dir))?.path();
                let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let Some((seconds, start)) =
                    file.strip_suffix(".sqlite").and_then(|file| file.split_once("s-"))
                else {
                    continue;
                };
                let known = Resolution::ALL.iter().find(|one| one.seconds().to_string() == seconds);
                if let (Some(resolution), Ok(start)) = (known, start.parse()) {
                    let part =
                        Part { path: Some(path), connection: Mutex::default(), used: AtomicU64::new(0) };
                    parts.insert((*resolution, start), Arc::new(part));
                }
            }
        }
        Ok(Files { dir: dir.map(Path::to_owned), parts: RwLock::new(parts), tick: AtomicU64::new(0) })
    }

    fn part(&self, window: Window) -> Option<Arc<Part>> {
        self.parts.read().unwrap_or_else(PoisonError::into_inner).get(&window).cloned()
    }

    fn part_or_new(&self, window: Window) -> Arc<Part> {
        self.part(window).unwrap_or_else(|| {
            let path = self.dir.as_ref().map(|dir| dir.join(name(window.0, window.1)));
            let part = Part { path, connection: Mutex::default(), used: AtomicU64::new(0) };
            let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(parts.entry(window).or_insert_with(|| Arc::new(part)))
        })
    }

    /// Notes a use, and closes the least used of the others when too many are open. What is in memory stays.
    fn used(&self, part: &Part) {
        part.used.store(self.tick.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        // One that is busy is in use.
        let is_open = |part: &&Arc<Part>| {
            part.path.is_some() && part.connection.try_lock().is_ok_and(|connection| connection.is_some())
        };
        let mut open: Vec<_> = parts.values().filter(is_open).cloned().collect();
        drop(parts);
        if open.len() > MOST_OPEN {
            open.sort_by_key(|part| part.used.load(Ordering::Relaxed));
            for idle in &open[..open.len() - MOST_OPEN] {
                if let Ok(mut connection) = idle.connection.try_lock() {
                    connection.take();
                }
            }
        }
    }

    /// Adds sums to a window's file, in one commit.
    pub fn add(&self, window: Window, sums: &[((SeriesId, i64), Summary)]) -> Result<(), StoreError> {
        let part = self.part_or_new(window);
        let label = part.label();
        let fresh = part.path.as_ref().is_some_and(|path| !path.exists());
        {
            let mut connection = part.connect()?;
            let Some(connection) = connection.as_mut() else { return Err(StoreError::Closed) };
            add(connection, sums).map_err(StoreError::sqlite("write", &label))?;
        }
        if fresh && let Some(dir) = &self.dir {
            File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))?;
        }
        self.used(&part);
        Ok(())
    }

    /// The sums of a series, ascending.
    pub fn read(
        &self,
        resolution: Resolution,
        series: SeriesId,
        from: i64,
        to: i64,
    ) -> Result<Vec<(i64, Summary)>, StoreError> {
        let first = window(resolution, from);
        let parts: Vec<Arc<Part>> = {
            let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
            parts.range(first..(resolution, to)).map(|(_, part)| Arc::clone(part)).collect()
        };
        let mut found = Vec::new();
        for part in parts {
            let label = part.label();
            {
                let mut connection = part.connect()?;
                let Some(connection) = connection.as_mut() else { return Err(StoreError::Closed) };
                read(connection, series, from, to, &mut found).map_err(StoreError::sqlite("read", &label))?;
            }
            self.used(&part);
        }
        Ok(found)
    }

    /// Unlinks the windows that ended too long before `now`.
    pub fn retain(&self, now: i64) -> Result<usize, StoreError> {
        let over = |(resolution, start): &Window| {
            start + window_seconds(*resolution) <= now - resolution.kept_seconds()
        };
        let old: Vec<(Window, Arc<Part>)> = {
            let mut parts = self.parts.write().unwrap_or_else(PoisonError::into_inner);
            let old: Vec<Window> = parts.keys().filter(|window| over(window)).copied().collect();
            old.into_iter().filter_map(|window| Some((window, parts.remove(&window)?))).collect()
        };
        for (_, part) in &old {
            part.lock().take();
            let Some(path) = &part.path else { continue };
            // The log first: left without its database it would be applied to a later one of the same name.
            for suffix in ["-wal", "-shm", ""] {
                let mut file = path.as_os_str().to_owned();
                file.push(suffix);
                match fs::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(StoreError::io("remove", path)(error));
                    }
                    _ => {}
                }
            }
        }
        Ok(old.len())
    }

    pub fn close(&self) {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        for part in parts.values().filter(|part| part.path.is_some()) {
            part.lock().take();
        }
    }
}

impl Part {
    fn label(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| PathBuf::from("(metrics in memory)"))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        // A panic in SQLite's wrapper leaves a connection that rolls back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, opened when it is not.
    fn connect(&self) -> Result<MutexGuard<'_, Option<Connection>>, StoreError> {
        let mut connection = self.lock();
        if connection.is_none() {
            let opened = match &self.path {
                Some(path) => Connection::open(path),
                None => Connection::open_in_memory(),
            };
            let opened = opened.and_then(|opened| {
                prepare(&opened)?;
                Ok(opened)
            });
            *connection = Some(opened.map_err(StoreError::sqlite("open", &self.label()))?);
        }
        Ok(connection)
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS sums (
             series INTEGER NOT NULL, at INTEGER NOT NULL,
             samples REAL NOT NULL, sum REAL NOT NULL, minimum REAL NOT NULL, maximum REAL NOT NULL,
             unknown REAL NOT NULL, known BLOB NOT NULL,
             PRIMARY KEY (series, at)) WITHOUT ROWID;",
    )
}

fn add(connection: &mut Connection, sums: &[((SeriesId, i64), Summary)]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for ((series, at), summary) in sums {
        let there = transaction
            .prepare_cached(
                "SELECT at, samples, sum, minimum, maximum, unknown, known FROM sums WHERE series = ?1 AND at = ?2",
            )?
            .query_row([series, at], of_row)
            .optional()?;
        let whole = match there {
            Some((_, mut there)) => {
                there.merge(summary);
                there
            }
            None => summary.clone(),
        };
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO sums (series, at, samples, sum, minimum, maximum, unknown, known) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                series,
                at,
                whole.samples,
                whole.sum,
                whole.minimum,
                whole.maximum,
                whole.unknown(),
                to_bytes(whole.values())
            ])?;
    }
    transaction.commit()
}

fn read(
    connection: &Connection,
    series: SeriesId,
    from: i64,
    to: i64,
    found: &mut Vec<(i64, Summary)>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT at, samples, sum, minimum, maximum, unknown, known FROM sums
         WHERE series = ?1 AND at >= ?2 AND at < ?3 ORDER BY at",
    )?;
    for row in statement.query_map([series, from, to], of_row)? {
        found.push(row?);
    }
    Ok(())
}

fn of_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<(i64, Summary)> {
    let sums = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
    let known: Vec<u8> = row.get(6)?;
    Ok((row.get(0)?, Summary::from_parts(sums, of_bytes(&known))))
}

fn to_bytes(values: &[(f64, f64)]) -> Vec<u8> {
    values.iter().flat_map(|(value, count)| [value.to_le_bytes(), count.to_le_bytes()]).flatten().collect()
}

fn of_bytes(bytes: &[u8]) -> Vec<(f64, f64)> {
    let (numbers, _) = bytes.as_chunks::<8>();
    let numbers: Vec<f64> = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}
