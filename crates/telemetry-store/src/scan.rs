//! Reading a whole store from outside, also while its process has it open: for whoever checks what lies on the disk.
//!
//! Nothing is held in memory but one row, and nothing of the store's own state is believed but its files. What the catalog no longer
//! names (a deleted stream's rows) is passed over.

use std::{collections::HashMap, fs, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};
use vocabulary::{Scope, Timestamp};

use crate::{LogGroupKey, LogStreamKey, StoreError, segments};

/// What is found.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A file, by the first millisecond of its window; its events come next.
    Window(Timestamp),
    Event {
        key: &'a LogStreamKey,
        timestamp: Timestamp,
        message: &'a str,
    },
}

/// Shows every event of the store in `dir`, one file after another by event time. A file that is removed meanwhile is passed over.
///
/// # Errors
/// When a file cannot be read.
pub fn scan(dir: &Path, mut visit: impl FnMut(Seen<'_>)) -> Result<(), StoreError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
        let path = entry.map_err(StoreError::io("list", dir))?.path();
        files.extend(segments::start_of(&path).map(|start| (start, path)));
    }
    files.sort();
    let streams = streams(&dir.join("catalog.sqlite"))?;
    for (start, path) in files {
        if !path.exists() {
            continue;
        }
        visit(Seen::Window(Timestamp::from_millis(start)));
        let mut show = || -> rusqlite::Result<()> {
            let connection = open(&path)?;
            let mut statement = connection.prepare("SELECT stream, ts, message FROM events")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let Some(key) = streams.get(&row.get(0)?) else { continue };
                let timestamp = Timestamp::from_millis(row.get(1)?);
                let message = row.get_ref(2)?.as_str()?;
                visit(Seen::Event { key, timestamp, message });
            }
            Ok(())
        };
        match show() {
            Err(_) if !path.exists() => {}
            other => other.map_err(StoreError::sqlite("read", &path))?,
        }
    }
    Ok(())
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// The streams by their numbers.
fn streams(path: &Path) -> Result<HashMap<i64, LogStreamKey>, StoreError> {
    let read = || -> rusqlite::Result<HashMap<i64, LogStreamKey>> {
        let connection = open(path)?;
        let mut statement = connection.prepare("SELECT id, account, region, grp, stream FROM streams")?;
        let mut rows = statement.query([])?;
        let mut found = HashMap::new();
        while let Some(row) = rows.next()? {
            let [account, region, group, stream]: [String; 4] =
                [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
            // Only such are written.
            if let (Ok(account), Ok(region)) = (account.parse(), region.parse()) {
                let group = LogGroupKey::new(Scope::new(account, region), group);
                found.insert(row.get(0)?, group.stream(stream));
            }
        }
        Ok(found)
    };
    read().map_err(StoreError::sqlite("read", path))
}
