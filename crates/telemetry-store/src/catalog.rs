//! The catalog: which streams there are, under which number their rows lie, and the few values the store keeps
//! about itself.
//!
//! A stream's number is never reused (`AUTOINCREMENT`), which is what lets a deleted stream's rows wait for the
//! next retention run: no later stream can inherit them. Sequence numbers are reserved in large blocks, so that
//! handing one out costs no write; a restart skips the rest of a block.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, params};
use vocabulary::Scope;

use crate::{
    error::StoreError,
    model::{LogGroupKey, LogStreamKey, StreamSelection},
};

/// A stream's number in the event files.
pub(crate) type StreamId = i64;

const LAYOUT_VERSION: i64 = 1;
/// Sequence numbers reserved at a time: one catalog write per million events.
const SEQUENCE_BLOCK: u64 = 1 << 20;

/// The catalog's file; owned by the writer thread.
pub(crate) struct Catalog {
    connection: Connection,
    path: PathBuf,
    next_sequence: u64,
    reserved_until: u64,
}

/// What is decided when a store is made and kept for its life.
pub(crate) struct Settings {
    /// Milliseconds of event time per file.
    pub window_milliseconds: i64,
    /// Page tokens are sealed with it.
    pub cursor_key: [u8; 32],
}

/// The streams, in memory, for everyone who reads.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    by_group: HashMap<LogGroupKey, BTreeMap<Arc<str>, StreamId>>,
    by_id: HashMap<StreamId, LogStreamKey>,
}

impl Catalog {
    /// Opens the catalog at `path`; `None` keeps it in memory. One that is not there yet is made, with `fresh` in it.
    pub fn open(path: Option<&Path>, fresh: &Settings) -> Result<(Catalog, Settings), StoreError> {
        let label = path.unwrap_or(Path::new("(ephemeral catalog)")).to_owned();
        let connection = match path {
            Some(path) => Connection::open(path),
            None => Connection::open_in_memory(),
        }
        .map_err(StoreError::sqlite("open", &label))?;
        let catalog = Catalog { connection, path: label, next_sequence: 1, reserved_until: 1 };
        catalog.prepare().map_err(StoreError::sqlite("prepare", &catalog.path))?;
        let found: i64 = catalog
            .connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(StoreError::sqlite("read", &catalog.path))?;
        if found > LAYOUT_VERSION {
            return Err(StoreError::NewerLayout { path: catalog.path, found, known: LAYOUT_VERSION });
        }
        let mut catalog = catalog;
        if found == 0 {
            // One commit: a start that is cut off leaves nothing half made.
            catalog.create(fresh).map_err(StoreError::sqlite("create the tables of", &catalog.path))?;
        }
        let settings = catalog.settings().map_err(StoreError::sqlite("read", &catalog.path))?;
        let next: i64 = catalog.value("next_sequence").map_err(StoreError::sqlite("read", &catalog.path))?;
        catalog.next_sequence = next as u64;
        catalog.reserved_until = next as u64;
        Ok((catalog, settings))
    }

    fn prepare(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(std::time::Duration::from_secs(5))?;
        self.connection.pragma_update(None, "journal_mode", "WAL")?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        self.connection.pragma_update(None, "cache_size", -512)
    }

    fn create(&mut self, fresh: &Settings) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(
            "CREATE TABLE streams (
                 id INTEGER PRIMARY KEY AUTOINCREMENT,
                 account TEXT NOT NULL, region TEXT NOT NULL, grp TEXT NOT NULL, stream TEXT NOT NULL,
                 UNIQUE (account, region, grp, stream));
             CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;",
        )?;
        let put = "INSERT INTO meta (name, value) VALUES (?1, ?2)";
        transaction.execute(put, params!["next_sequence", 1])?;
        transaction.execute(put, params!["window_milliseconds", fresh.window_milliseconds])?;
        transaction.execute(put, params!["cursor_key", fresh.cursor_key])?;
        transaction.pragma_update(None, "user_version", LAYOUT_VERSION)?;
        transaction.commit()
    }

    fn settings(&self) -> rusqlite::Result<Settings> {
        Ok(Settings {
            window_milliseconds: self.value("window_milliseconds")?,
            cursor_key: self.value("cursor_key")?,
        })
    }

    fn value<T: rusqlite::types::FromSql>(&self, name: &str) -> rusqlite::Result<T> {
        self.connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
    }

    pub fn load(&self) -> Result<Directory, StoreError> {
        let mut directory = Directory::default();
        let read = |directory: &mut Directory| -> rusqlite::Result<()> {
            let mut statement =
                self.connection.prepare("SELECT id, account, region, grp, stream FROM streams")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let text = |column: usize| row.get::<_, String>(column);
                let (Ok(account), Ok(region)) = (text(1)?.parse(), text(2)?.parse()) else { continue };
                let key = LogGroupKey::new(Scope::new(account, region), text(3)?).stream(text(4)?);
                directory.insert(key, row.get(0)?);
            }
            Ok(())
        };
        read(&mut directory).map_err(StoreError::sqlite("read", &self.path))?;
        Ok(directory)
    }

    /// Numbers for streams that have none yet, in one commit.
    pub fn add(&mut self, keys: &[LogStreamKey]) -> Result<Vec<StreamId>, StoreError> {
        let insert = |connection: &mut Connection| -> rusqlite::Result<Vec<StreamId>> {
            let transaction = connection.transaction()?;
            let mut ids = Vec::with_capacity(keys.len());
            for LogStreamKey { group: LogGroupKey { scope, group }, stream } in keys {
                transaction
                    .prepare_cached(
                        "INSERT INTO streams (account, region, grp, stream) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![
                        scope.account.as_str(),
                        scope.region.as_str(),
                        group.as_ref(),
                        stream.as_ref()
                    ])?;
                ids.push(transaction.last_insert_rowid());
            }
            transaction.commit()?;
            Ok(ids)
        };
        insert(&mut self.connection).map_err(StoreError::sqlite("add streams to", &self.path))
    }

    pub fn remove(&mut self, ids: &[StreamId]) -> Result<(), StoreError> {
        let delete = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for id in ids {
                transaction.prepare_cached("DELETE FROM streams WHERE id = ?1")?.execute([id])?;
            }
            transaction.commit()
        };
        delete(&mut self.connection).map_err(StoreError::sqlite("remove streams from", &self.path))
    }

    /// The first of `count` sequence numbers in a row.
    pub fn take_sequences(&mut self, count: u64) -> Result<u64, StoreError> {
        let first = self.next_sequence;
        let end = first + count;
        if end > self.reserved_until {
            let reserve = end + SEQUENCE_BLOCK;
            self.connection
                .execute("UPDATE meta SET value = ?1 WHERE name = 'next_sequence'", [reserve as i64])
                .map_err(StoreError::sqlite("write", &self.path))?;
            self.reserved_until = reserve;
        }
        self.next_sequence = end;
        Ok(first)
    }
}

impl Directory {
    pub fn insert(&mut self, key: LogStreamKey, id: StreamId) {
        self.by_group.entry(key.group.clone()).or_default().insert(key.stream.clone(), id);
        self.by_id.insert(id, key);
    }

    pub fn remove(&mut self, ids: &[StreamId]) {
        for key in ids.iter().filter_map(|id| self.by_id.remove(id)) {
            if let Some(streams) = self.by_group.get_mut(&key.group) {
                streams.remove(&key.stream);
                if streams.is_empty() {
                    self.by_group.remove(&key.group);
                }
            }
        }
    }

    pub fn id(&self, key: &LogStreamKey) -> Option<StreamId> {
        self.by_group.get(&key.group)?.get(&key.stream).copied()
    }

    pub fn groups(&self) -> impl Iterator<Item = &LogGroupKey> {
        self.by_group.keys()
    }

    pub fn key(&self, id: StreamId) -> Option<&LogStreamKey> {
        self.by_id.get(&id)
    }

    /// The selected streams of a group, by name.
    pub fn select(&self, group: &LogGroupKey, selection: &StreamSelection) -> Vec<(Arc<str>, StreamId)> {
        let Some(streams) = self.by_group.get(group) else { return Vec::new() };
        let entry = |(name, id): (&Arc<str>, &StreamId)| (name.clone(), *id);
        match selection {
            StreamSelection::Prefix(prefix) => streams
                .range(prefix.clone()..)
                .take_while(|(name, _)| name.starts_with(prefix.as_ref()))
                .map(entry)
                .collect(),
            StreamSelection::Names(names) => {
                let mut found: Vec<_> =
                    names.iter().filter_map(|name| streams.get_key_value(name)).map(entry).collect();
                found.sort();
                found.dedup();
                found
            }
            StreamSelection::All | StreamSelection::Prefixes(_) => {
                streams.iter().filter(|(name, _)| selection.contains(name)).map(entry).collect()
            }
        }
    }
}
