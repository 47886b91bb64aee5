//! The rows on disk: one table that is a log of every change, in the order of revisions.
//!
//! `log(id, key, value, create_revision, version, lease)`: the id is revision and position within it, so a write appends
//! to the end of one B-tree; version 0 marks a deletion. `lease(id, ttl_seconds)`: deadlines are not stored, a lease starts
//! its time anew when the store is opened, as etcd's do after a change of leader. `meta(name, value)`: the format, the
//! compacted revision, and the head revision (which the log alone does not tell once a deletion was compacted away).

use std::{path::Path, time::Duration};

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::{
    SqliteOptions,
    index::{Index, RowId, Version},
};
use crate::{Event, KeyValue, LeaseId, Revision, StoreError};

/// The layout that this version writes, in `PRAGMA user_version`.
const FORMAT: i64 = 1;

/// Marks the file as ours in `PRAGMA application_id` ("LSST").
const APPLICATION_ID: i64 = 0x4c53_5354;

/// WAL pages before a commit also moves them into the database file: 16 MiB, so that it happens about once in a
/// thousand commits, and a restart has little to read.
const CHECKPOINT_PAGES: i64 = 4096;

/// SQLite's default, which new databases get.
const PAGE_BYTES: u64 = 4096;

/// What the file knows that is not in the log.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub index: Index,
    pub head: Revision,
    pub compacted: Revision,
    /// Leases with their time to live in seconds.
    pub leases: Vec<(LeaseId, i64)>,
}

/// Opens the connection that writes, making the tables when the file is new.
pub(super) fn open_writer(path: Option<&Path>, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let connection = match path {
        Some(path) => Connection::open(path),
        None => Connection::open_in_memory(),
    }
    .map_err(opening)?;
    prepare_writer(&connection, path, options)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(opening)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(opening)?;
    Ok(connection)
}

fn prepare_writer(
    connection: &Connection,
    path: Option<&Path>,
    options: &SqliteOptions,
) -> Result<(), StoreError> {
    let pragma = |name: &str, value: &dyn rusqlite::ToSql| connection.pragma_update(None, name, value);
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(opening)?;
    if version > FORMAT {
        let path = path.unwrap_or(Path::new(":memory:")).to_owned();
        return Err(StoreError::NewerFormat { path, found: version, known: FORMAT });
    }
    connection.busy_timeout(Duration::from_secs(5)).map_err(opening)?;
    if path.is_some() {
        // Answers with the mode that it chose, hence a query.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).map_err(opening)?;
    }
    pragma("synchronous", &if options.fsync { "FULL" } else { "OFF" }).map_err(opening)?;
    pragma("wal_autocheckpoint", &CHECKPOINT_PAGES).map_err(opening)?;
    if let Some(bytes) = options.quota_bytes {
        let pages = i64::try_from(bytes / PAGE_BYTES).unwrap_or(i64::MAX).max(1);
        // Answers with what it made of it.
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).map_err(opening)?;
    }
    connection.set_prepared_statement_cache_capacity(16);
    if version < FORMAT {
        let create = format!(
            "BEGIN IMMEDIATE;
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {FORMAT};
             CREATE TABLE log (id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL,
                 create_revision INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL);
             CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_seconds INTEGER NOT NULL);
             CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
             INSERT INTO meta VALUES ('head', 1), ('compacted', 0);
             COMMIT;"
        );
        connection.execute_batch(&create).map_err(opening)?;
    }
    Ok(())
}

/// Reads what has to be in memory.
pub(super) fn load(connection: &Connection) -> Result<Loaded, StoreError> {
    read_all(connection).map_err(|source| StoreError::backend("reading the state database", source))
}

fn read_all(connection: &Connection) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let meta = |name: &str| {
        connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get::<_, i64>(0))
    };
    loaded.head = meta("head")?;
    loaded.compacted = meta("compacted")?;
    let mut statement =
        connection.prepare("SELECT id, key, create_revision, version, lease FROM log ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key = Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?);
        let version = Version {
            row: RowId(row.get(0)?),
            create_revision: row.get(2)?,
            version: row.get(3)?,
            lease: LeaseId(row.get(4)?),
        };
        loaded.head = loaded.head.max(version.row.revision());
        loaded.index.push(key, version);
    }
    let mut statement = connection.prepare("SELECT id, ttl_seconds FROM lease")?;
    let leases = statement.query_map([], |row| Ok((LeaseId(row.get(0)?), row.get(1)?)))?;
    loaded.leases = leases.collect::<Result<_, _>>()?;
    Ok(loaded)
}

pub(super) fn insert(
    connection: &Connection,
    key: &[u8],
    value: &[u8],
    version: &Version,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO log (id, key, value, create_revision, version, lease) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            version.row.0,
            key,
            value,
            version.create_revision,
            version.version,
            version.lease.0
        ])?;
    Ok(())
}

/// The value of a row; none when compaction has removed it.
pub(super) fn value(connection: &Connection, row: RowId) -> rusqlite::Result<Option<Bytes>> {
    connection
        .prepare_cached("SELECT value FROM log WHERE id = ?1")?
        .query_row([row.0], |found| Ok(Bytes::copy_from_slice(found.get_ref(0)?.as_blob()?)))
        .optional()
}

pub(super) fn remove(connection: &Connection, row: RowId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM log WHERE id = ?1")?.execute([row.0])?;
    Ok(())
}

pub(super) fn set_meta(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?.execute(params![name, value])?;
    Ok(())
}

pub(super) fn insert_lease(connection: &Connection, id: LeaseId, ttl_seconds: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO lease (id, ttl_seconds) VALUES (?1, ?2)")?
        .execute([id.0, ttl_seconds])?;
    Ok(())
}

pub(super) fn remove_lease(connection: &Connection, id: LeaseId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM lease WHERE id = ?1")?.execute([id.0])?;
    Ok(())
}

/// Changes from revision `from` to `to` in order, whole revisions, about `limit` of them. The second value is the last
/// revision that was read in full.
pub(super) fn events(
    connection: &Connection,
    from: Revision,
    to: Revision,
    limit: usize,
) -> rusqlite::Result<(Vec<Event>, Revision)> {
    let mut statement = connection.prepare_cached(
        "SELECT id, key, value, create_revision, version, lease FROM log WHERE id >= ?1 AND id < ?2 ORDER BY id",
    )?;
    let mut rows = statement.query([RowId::first_of(from).0, RowId::first_of(to + 1).0])?;
    let mut events: Vec<Event> = Vec::new();
    while let Some(row) = rows.next()? {
        let revision = RowId(row.get(0)?).revision();
        if events.len() >= limit && events.last().is_some_and(|last| last.revision() != revision) {
            return Ok((events, revision - 1));
        }
        let key = Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?);
        let version: i64 = row.get(4)?;
        events.push(if version == 0 {
            Event::Delete { key, revision }
        } else {
            Event::Put(KeyValue {
                key,
                value: Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?),
                create_revision: row.get(3)?,
                mod_revision: revision,
                version,
                lease: LeaseId(row.get(5)?),
            })
        });
    }
    Ok((events, to))
}

fn opening(source: rusqlite::Error) -> StoreError {
    if is_disk_full(&source) {
        return StoreError::DiskFull { place: "the state database".to_owned() };
    }
    StoreError::backend("opening the state database", source)
}

/// Whether the operation failed for want of room.
pub(super) fn is_disk_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

/// Whether the disk itself failed, so that it is unknown what it holds.
pub(super) fn is_io_failure(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt))
}
