//! Which series there are, under which number their sums lie, and when each last got a sample.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, params};
use vocabulary::Scope;

use super::{MOST_SERIES, MetricFilter, MetricKey};
use crate::error::StoreError;

/// A series' number in the files.
pub(super) type SeriesId = i64;

const LAYOUT_VERSION: i64 = 1;
/// When a series was last seen is written this often, in seconds: it decides what is listed, by weeks.
const SEEN_STEP: i64 = 1800;
/// Between the parts of dimensions; control characters are in none of them.
const PART: char = '\u{1f}';

/// The catalog's file; owned by the writer thread.
pub(super) struct Catalog {
    connection: Connection,
    path: PathBuf,
}

#[derive(Debug, Clone)]
struct Entry {
    units: Vec<(Arc<str>, SeriesId)>,
    /// Seconds since 1970.
    seen: i64,
    /// As it stands in the file.
    written: i64,
}

/// The series, in memory.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    metrics: BTreeMap<MetricKey, Entry>,
    series: usize,
}

impl Catalog {
    pub fn open(path: Option<&Path>) -> Result<Catalog, StoreError> {
        let label = path.unwrap_or(Path::new("(ephemeral catalog of metrics)")).to_owned();
        let opened = match path {
            Some(path) => Connection::open(path),
            None => Connection::open_in_memory(),
        };
        let catalog =
            Catalog { connection: opened.map_err(StoreError::sqlite("open", &label))?, path: label };
        let found: i64 = catalog
            .prepare()
            .and_then(|()| catalog.connection.query_row("PRAGMA user_version", [], |row| row.get(0)))
            .map_err(StoreError::sqlite("read", &catalog.path))?;
        if found > LAYOUT_VERSION {
            return Err(StoreError::NewerLayout { path: catalog.path, found, known: LAYOUT_VERSION });
        }
        Ok(catalog)
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(std::time::Duration::from_secs(5))?;
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        let found: i64 = self.connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if found > 0 {
            return Ok(());
        }
        self.connection.execute_batch(&format!(
            "BEGIN;
             CREATE TABLE IF NOT EXISTS series (
                 id INTEGER PRIMARY KEY AUTOINCREMENT,
                 account TEXT NOT NULL, region TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
                 dimensions TEXT NOT NULL, unit TEXT NOT NULL, seen INTEGER NOT NULL,
                 UNIQUE (account, region, namespace, name, dimensions, unit));
             PRAGMA user_version = {LAYOUT_VERSION};
             COMMIT;"
        ))
    }

    pub fn load(&self) -> Result<Directory, StoreError> {
        let mut directory = Directory::default();
        let read = |directory: &mut Directory| -> rusqlite::Result<()> {
            let mut statement = self
                .connection
                .prepare("SELECT id, account, region, namespace, name, dimensions, unit, seen FROM series")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let text = |column: usize| row.get::<_, String>(column);
                let (Ok(account), Ok(region)) = (text(1)?.parse(), text(2)?.parse()) else { continue };
                let dimensions = text(5)?;
                let key = MetricKey::new(Scope::new(account, region), text(3)?, text(4)?, pairs(&dimensions));
                let unit: Arc<str> = text(6)?.into();
                directory.insert(key, unit, row.get(0)?, row.get(7)?);
            }
            Ok(())
        };
        read(&mut directory).map_err(StoreError::sqlite("read", &self.path))?;
        Ok(directory)
    }

    /// Numbers for series that have none yet, and times for those that have been seen again, in one commit.
    pub fn note(
        &mut self,
        fresh: &[(MetricKey, Arc<str>)],
        seen_again: &[SeriesId],
        now: i64,
    ) -> Result<Vec<SeriesId>, StoreError> {
        if fresh.is_empty() && seen_again.is_empty() {
            return Ok(Vec::new());
        }
        let write = |connection: &mut Connection| -> rusqlite::Result<Vec<SeriesId>> {
            let transaction = connection.transaction()?;
            let mut ids = Vec::with_capacity(fresh.len());
            for (key, unit) in fresh {
                let MetricKey { scope, namespace, name, .. } = key;
                transaction
                    .prepare_cached(
                        "INSERT INTO series (account, region, namespace, name, dimensions, unit, seen) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    )?
                    .execute(params![
                        scope.account.as_str(),
                        scope.region.as_str(),
                        namespace.as_ref(),
                        name.as_ref(),
                        text(key),
                        unit.as_ref(),
                        now
                    ])?;
                ids.push(transaction.last_insert_rowid());
            }
            for id in seen_again {
                transaction
                    .prepare_cached("UPDATE series SET seen = ?2 WHERE id = ?1")?
                    .execute([*id, now])?;
            }
            transaction.commit()?;
            Ok(ids)
        };
        write(&mut self.connection).map_err(StoreError::sqlite("write", &self.path))
    }

    /// Takes out series that were last seen before a time.
    pub fn forget(&mut self, before: i64) -> Result<(), StoreError> {
        self.connection
            .execute("DELETE FROM series WHERE seen < ?1", [before])
            .map(drop)
            .map_err(StoreError::sqlite("write", &self.path))
    }
}

fn text(key: &MetricKey) -> String {
    let parts: Vec<&str> =
        key.dimensions().iter().flat_map(|(name, value)| [name.as_ref(), value.as_ref()]).collect();
    parts.join(&PART.to_string())
}

fn pairs(text: &str) -> Vec<(&str, &str)> {
    if text.is_empty() {
        return Vec::new();
    }
    let parts: Vec<&str> = text.split(PART).collect();
    parts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

impl Directory {
    pub fn insert(&mut self, key: MetricKey, unit: Arc<str>, id: SeriesId, seen: i64) {
        let fresh = Entry { units: Vec::new(), seen, written: seen };
        let entry = self.metrics.entry(key).or_insert(fresh);
        entry.units.push((unit, id));
        entry.units.sort();
        (entry.seen, entry.written) = (entry.seen.max(seen), entry.written.max(seen));
        self.series += 1;
    }

    pub fn is_full(&self, more: usize) -> bool {
        self.series + more > MOST_SERIES
    }

    pub fn units(&self, key: &MetricKey) -> Vec<(Arc<str>, SeriesId)> {
        self.metrics.get(key).map(|entry| entry.units.clone()).unwrap_or_default()
    }

    pub fn id(&self, key: &MetricKey, unit: &str) -> Option<SeriesId> {
        let entry = self.metrics.get(key)?;
        entry.units.iter().find(|(of, _)| **of == *unit).map(|(_, id)| *id)
    }

    /// Notes that a metric got a sample. Answers the series whose time is to be written.
    pub fn see(&mut self, key: &MetricKey, now: i64) -> Vec<SeriesId> {
        let Some(entry) = self.metrics.get_mut(key) else { return Vec::new() };
        entry.seen = entry.seen.max(now);
        if now - entry.written < SEEN_STEP {
            return Vec::new();
        }
        entry.written = now;
        entry.units.iter().map(|(_, id)| *id).collect()
    }

    pub fn forget(&mut self, before: i64) {
        self.metrics.retain(|_, entry| entry.written >= before);
        self.series = self.metrics.values().map(|entry| entry.units.len()).sum();
    }

    pub fn list(
        &self,
        scope: &Scope,
        filter: &MetricFilter,
        after: Option<&MetricKey>,
        most: usize,
    ) -> Vec<MetricKey> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let namespace = filter.namespace.as_deref().unwrap_or_default();
        let first = MetricKey::new::<Arc<str>>(scope.clone(), namespace, "", []);
        let from = match after {
            Some(after) if *after >= first => Excluded(after),
            _ => Included(&first),
        };
        self.metrics
            .range::<MetricKey, _>((from, Unbounded))
            .take_while(|(key, _)| {
                key.scope == *scope && (namespace.is_empty() || *key.namespace == *namespace)
            })
            .filter(|(key, entry)| filter.fits(key, entry.seen))
            .map(|(key, _)| key.clone())
            .take(most)
            .collect()
    }
}
