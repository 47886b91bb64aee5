//! The bytes of objects: files of this machine's disk, each under a random name, none of them readable without the installation's
//! secret.
//!
//! Not in the blob store, for three reasons. What users put here may be secret, so every file is encrypted with a key of its own
//! (`seal.rs`), and content-addressed names would tell who has the same content. A file belongs to exactly one object or part, so that it
//! goes at once when that does, without a collection that has to know who else needs it. And an object made of parts is the list
//! of its parts' files: completing an upload copies nothing.
//!
//! A file is written, synced and named in its folder before a record speaks of it; a record that speaks of it no longer is committed before it
//! is removed. So a crash leaves files that no record names and never the other way round; `sweep.rs` removes those.
//! Who reads holds a lease on what is read, and removal waits for it.

mod leases;
mod read;
mod seal;
mod sweep;
mod write;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use vocabulary::Ids;

use crate::services::SystemIds;
use leases::Leases;
pub use read::Content;
pub use sweep::UNNAMED_KEPT;
pub use write::{Writer, Written};

/// The memory that all uploads together may have queued for the disk, in KiB.
const QUEUED_KIBIBYTES: usize = 64 * 1024;

/// A file's name: 32 random hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileName(String);

impl FileName {
    fn fresh() -> FileName {
        let mut bytes = [0; 16];
        SystemIds.fill(&mut bytes);
        FileName(hex::encode(bytes))
    }

    /// Only what [`FileName::fresh`] makes.
    fn parse(text: &str) -> Option<FileName> {
        let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(digits)).then(|| FileName(text.to_owned()))
    }
}

/// A part of an object's bytes: a file and how many bytes it holds, not counting what encryption adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece(pub FileName, pub u64);

/// What went wrong with the bytes.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("there is no space left for objects: {0}")]
    Full(#[source] io::Error),
    #[error("{0}")]
    Io(&'static str, #[source] io::Error),
    /// The file is not what was written: damaged, cut off, or of another installation.
    #[error("the file {0} cannot be decrypted")]
    Damaged(String),
}

impl ContentError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> ContentError {
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ContentError::Full(error),
            _ => ContentError::Io(what, error),
        }
    }
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct ContentStore(Arc<Inner>);

struct Inner {
    root: PathBuf,
    /// From which each file's key is derived.
    secret: [u8; 32],
    /// Whether bytes are on the disk before they are acknowledged. Off only where nothing is to survive.
    durable: bool,
    queued: Arc<Semaphore>,
    /// Files that are being written, or written and not yet named by a record.
    writing: Mutex<BTreeSet<FileName>>,
    leases: Leases,
}

impl fmt::Debug for ContentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentStore")
    }
}

impl ContentStore {
    /// Opens or creates the store under `root`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(root: &Path, secret: [u8; 32], durable: bool) -> io::Result<ContentStore> {
        fs::create_dir_all(root)?;
        Ok(ContentStore(Arc::new(Inner {
            root: root.to_owned(),
            secret,
            durable,
            queued: Arc::new(Semaphore::new(QUEUED_KIBIBYTES)),
            writing: Mutex::default(),
            leases: Leases::default(),
        })))
    }

    /// Removes files that no record names any more, as soon as nobody reads them. Failures are logged: the sweep takes what is left.
    pub async fn remove(&self, pieces: &[Piece]) {
        let Some(first) = pieces.first() else { return };
        if !self.0.leases.doom(&first.0, pieces) {
            return;
        }
        let (store, pieces) = (self.clone(), pieces.to_vec());
        let work = tokio::task::spawn_blocking(move || {
            store.0.unlink(&pieces);
            store.0.leases.gone(&pieces[0].0);
        });
        if let Err(error) = work.await {
            tracing::error!(%error, "removing an object's files failed");
        }
    }
}

impl Inner {
    fn folder_of(&self, name: &FileName) -> PathBuf {
        self.root.join(&name.0[..2])
    }

    fn path_of(&self, name: &FileName) -> PathBuf {
        self.folder_of(name).join(&name.0)
    }

    fn writing(&self) -> std::sync::MutexGuard<'_, BTreeSet<FileName>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unlink(&self, pieces: &[Piece]) {
        for Piece(name, _) in pieces {
            match fs::remove_file(self.path_of(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = name.0, %error, "an object's file could not be removed");
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
impl ContentStore {
    /// Waits until what is going has gone.
    pub async fn settled(&self) {
        for _ in 0..10_000 {
            if self.0.writing().is_empty() && self.0.leases.awaited().is_empty() && !self.0.leases.any_going()
            {
                return;
            }
            tokio::task::spawn_blocking(|| ()).await.unwrap();
        }
        panic!("files of objects do not go");
    }

    pub fn number_of_files(&self) -> usize {
        let folders = fs::read_dir(&self.0.root).unwrap().map(|entry| entry.unwrap().path());
        folders.map(|folder| fs::read_dir(folder).unwrap().count()).sum()
    }
}
