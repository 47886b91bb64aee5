//! Removes files that no record names: what a crash left of uploads that were never acknowledged, and of objects that were deleted.

use std::{
    collections::BTreeSet,
    fs, io,
    time::{Duration, SystemTime},
};

use super::{ContentStore, FileName, Piece};

/// A file that was just written may be about to be named by a record whose commit's outcome is not known yet.
pub const UNNAMED_KEPT: Duration = Duration::from_secs(60 * 60);

impl ContentStore {
    /// Removes files that are older than `age` and not among those that `named` gives, and returns how many.
    ///
    /// `named` is asked after the folders were read and after it is known which files are being written: a file that was named by then is among
    /// what it gives, and any other is either being written or nobody's.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn sweep<F>(&self, age: Duration, named: F) -> io::Result<usize>
    where
        F: FnOnce() -> BTreeSet<FileName> + Send + 'static,
    {
        let store = self.clone();
        let work = move || {
            let cutoff = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
            let found = store.old_files(cutoff)?;
            let mut writing = store.0.writing().clone();
            writing.extend(store.0.leases.awaited());
            let named = named();
            let unnamed = |name: &FileName| !writing.contains(name) && !named.contains(name);
            let mut removed = 0;
            for name in found.into_iter().filter(unnamed) {
                store.0.unlink(&[Piece(name, 0)]);
                removed += 1;
            }
            Ok(removed)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    fn old_files(&self, cutoff: SystemTime) -> io::Result<Vec<FileName>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.0.root)? {
            let folder = folder?.path();
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let Some(name) = entry.file_name().to_str().and_then(FileName::parse) else { continue };
                let old =
                    entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|at| at <= cutoff);
                found.extend(old.then_some(name));
            }
        }
        Ok(found)
    }
}
