//! Removes trees of any shape.
//!
//! Links within a layer can nest directories far deeper than any path is long, which makes a recursive removal run
//! out of descriptors or stack. Here every directory is first moved up to one level, so depth never matters.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Removes `path` and everything in it; fine when it does not exist. Its parent directory is used as the place where
/// inner directories are moved to, under names that start with `path`'s own.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
        Ok(metadata) if !metadata.is_dir() => return fs::remove_file(path),
        Ok(_) => {}
    }
    let mut counter = 0_u64;
    let mut pending: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            if fs::remove_dir(entry.path()).is_ok() {
                continue;
            }
            let lifted = loop {
                counter += 1;
                let candidate = sibling(path, counter);
                // One may be left of a removal that was killed.
                if fs::symlink_metadata(&candidate).is_err() {
                    break candidate;
                }
            };
            fs::rename(entry.path(), &lifted)?;
            pending.push(lifted);
        }
        fs::remove_dir(&directory)?;
    }
    Ok(())
}

fn sibling(path: &Path, counter: u64) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{counter}"));
    path.with_file_name(name)
}
