//! The layout on disk, and how files get there.
//!
//! ```text
//! lock  version
//! tmp/N/                  work in progress; swept at open
//! layers/DIFFID/root/     a layer; layer.json beside it
//! l/SHORT                 symbolic link to ../layers/DIFFID/root
//! images/MANIFEST.json    manifest and configuration, verbatim; its modification time is the last use
//! references/HASH.json    what a reference resolved to
//! pins/HASH.json          which images somebody holds
//! ```
//!
//! Records are written under a temporary name and renamed. They are not fsynced one by one: each is either verified
//! when it is read (images) or can be had again (references), and the background `syncfs` follows soon.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use rustix::fs::FlockOperation;
use serde::Serialize;

use crate::{digest::Digest, error::StoreError, unpack::remove_tree};

const LAYOUT_VERSION: u32 = 1;

/// Stacked where an image has nothing to stack, relative to the store.
pub(crate) const EMPTY_LAYER: &str = "l/empty";

pub(super) struct Paths {
    pub(super) root: PathBuf,
    /// Names of this opening's temporary files start with this, and end in the counter.
    session: String,
    counter: AtomicU64,
}

/// A directory under `tmp/`, removed with everything in it unless it is renamed away.
pub(super) struct TempDirectory {
    pub(super) path: PathBuf,
}

impl Drop for TempDirectory {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "temporary directory could not be removed");
        }
    }
}

impl Paths {
    /// Makes the directories that are missing and takes the lock.
    pub(super) fn create(root: &Path) -> Result<(Paths, File), StoreError> {
        fs::create_dir_all(root).map_err(StoreError::io("creating", root))?;
        // Layers hold programs with set-id bits, which are no business of the machine's other users.
        fs::set_permissions(root, fs::Permissions::from_mode(0o700))
            .map_err(StoreError::io("closing off", root))?;
        let root = root.canonicalize().map_err(StoreError::io("opening", root))?;
        let lock_path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(StoreError::io("opening", &lock_path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked { path: root }),
            Err(e) => return Err(StoreError::io("locking", &lock_path)(e.into())),
        }
        // The lock makes openings follow each other: the time tells them apart.
        let opened_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let paths =
            Paths { root, session: format!("{:x}", opened_at.as_nanos()), counter: AtomicU64::new(0) };
        paths.check_version()?;
        for directory in ["tmp", "layers", "l", "images", "references", "pins", EMPTY_LAYER] {
            let path = paths.root.join(directory);
            fs::create_dir_all(&path).map_err(StoreError::io("creating", &path))?;
        }
        Ok((paths, lock))
    }

    fn check_version(&self) -> Result<(), StoreError> {
        let path = self.root.join("version");
        match fs::read_to_string(&path) {
            Ok(found) if found.trim() == LAYOUT_VERSION.to_string() => Ok(()),
            Ok(found) => Err(StoreError::Layout {
                path: self.root.clone(),
                found: found.trim().chars().take(40).collect(),
                known: LAYOUT_VERSION,
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                fs::write(&path, format!("{LAYOUT_VERSION}\n")).map_err(StoreError::io("writing", &path))
            }
            Err(e) => Err(StoreError::io("reading", &path)(e)),
        }
    }

    /// Empties `tmp/`. What cannot be removed is logged and tried again at the next open.
    pub(super) fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("tmp")) else { return };
        for entry in entries.flatten() {
            if let Err(error) = remove_tree(&entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "leftover could not be removed");
            }
        }
    }

    pub(super) fn temp_directory(&self) -> Result<TempDirectory, StoreError> {
        let path = self.temp_name();
        fs::create_dir(&path).map_err(StoreError::io("creating", &path))?;
        Ok(TempDirectory { path })
    }

    fn temp_name(&self) -> PathBuf {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        self.root.join("tmp").join(format!("{}-{number}", self.session))
    }

    pub(super) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.file_name())
    }

    pub(super) fn image(&self, manifest_digest: &Digest) -> PathBuf {
        self.root.join("images").join(format!("{}.json", manifest_digest.file_name()))
    }

    pub(super) fn reference(&self, reference: &str, platform: &str) -> PathBuf {
        let key = Digest::of(format!("{reference} {platform}").as_bytes());
        self.root.join("references").join(format!("{}.json", key.hex()))
    }

    pub(super) fn pin(&self, holder: &str) -> PathBuf {
        self.root.join("pins").join(format!("{}.json", Digest::of(holder.as_bytes()).hex()))
    }

    /// Writes a record so that readers see it whole or not at all.
    pub(super) fn write_record(&self, path: &Path, record: &impl Serialize) -> Result<(), StoreError> {
        let bytes =
            serde_json::to_vec(record).map_err(|e| StoreError::io("encoding", path)(io::Error::other(e)))?;
        let temporary = self.temp_name();
        let written = File::create(&temporary)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&temporary, path));
        written.map_err(|e| {
            // Best effort: the sweep at the next open finds what is left.
            let _ = fs::remove_file(&temporary);
            StoreError::io("writing", path)(e)
        })
    }

    /// Moves a directory out of sight in one step, to be removed by the caller at leisure.
    pub(super) fn discard(&self, path: &Path) -> Result<Option<TempDirectory>, StoreError> {
        let target = self.temp_name();
        match fs::rename(path, &target) {
            Ok(()) => Ok(Some(TempDirectory { path: target })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io("removing", path)(e)),
        }
    }

    /// Removes a file that may be gone already.
    pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("removing", path)(e)),
            _ => Ok(()),
        }
    }

    /// Writes everything of the store's file system to disk.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        File::open(&self.root)
            .and_then(|file| Ok(rustix::fs::syncfs(file)?))
            .map_err(StoreError::io("syncing", &self.root))
    }
}
