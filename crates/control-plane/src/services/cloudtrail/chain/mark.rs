//! The mark: how far the chain has come, kept beside it, so that a chain that is gone is missed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::Key;

/// Of a link that is on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The number of the link.
    pub mark: u64,
    /// When it was written, in milliseconds since 1970.
    pub at: i64,
    /// Its code.
    pub code: String,
}

/// What is found of a mark.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// None is there: of a chain from before there were marks, of none, or of one whose mark was removed.
    Nothing,
    /// This key did not make it.
    Forged,
    Mark(Mark),
}

/// Where the mark of the chain in `directory` lies.
pub fn path_of(directory: &Path) -> PathBuf {
    directory.with_extension("mark")
}

/// The mark of the chain in `directory`.
///
/// # Errors
/// What the disk says.
pub fn read(directory: &Path, key: &Key) -> io::Result<Found> {
    let text = match fs::read(path_of(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        other => String::from_utf8(other?).unwrap_or_default(),
    };
    // A link's line is no mark: it has no member of that name.
    Ok(key.read::<Mark>(text.trim_end()).map_or(Found::Forged, |(mark, _)| Found::Mark(mark)))
}

/// Sets the mark, whole or not at all. On the disk when this answers.
///
/// # Errors
/// What the disk says.
pub fn set(directory: &Path, key: &Key, mark: &Mark) -> io::Result<()> {
    let path = path_of(directory);
    let fresh = path.with_extension("mark.new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&fresh)?;
    file.write_all(format!("{}\n", key.line(mark).0).as_bytes())?;
    file.sync_data()?;
    fs::rename(fresh, &path)?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}
