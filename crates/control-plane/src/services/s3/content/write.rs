//! Writing a file: chunks gather into batches, blocking tasks digest, encrypt and write them in order.
//!
//! One batch is being written while the next gathers. All writers together have a bounded amount of memory, so that clients faster
//! than the disk are held back by their own connections. A file that does not become an object's goes away with its writer.

use std::{
    fs::{self, File},
    io::Write,
    sync::Arc,
};

use bytes::Bytes;
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};

use super::{
    ContentError, ContentStore, FileName, Inner, Piece, QUEUED_KIBIBYTES,
    seal::{FileKey, SEGMENT_BYTES},
};
use crate::services::s3::digests::{Digests, Outcome, Wanted};

/// Bytes gathered before they are written: enough that the hop to another thread is lost in the hashing.
const BATCH_BYTES: usize = 1024 * 1024;

/// Writes one file.
pub struct Writer {
    file: Unnamed,
    batch: Vec<(Bytes, OwnedSemaphorePermit)>,
    batch_bytes: usize,
    length: u64,
    state: State,
}

enum State {
    Idle(Box<Worker>),
    Busy(JoinHandle<Result<Box<Worker>, ContentError>>),
    Failed,
}

/// A whole file on the disk. It goes away again with this, unless a record names it and [`Written::keep`] was called.
pub struct Written {
    file: Unnamed,
    length: u64,
    pub outcome: Outcome,
}

/// A file that no record names.
struct Unnamed {
    store: Arc<Inner>,
    name: FileName,
    /// What happens to it when this goes.
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Remove,
    Keep,
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        let remove = self.then == Then::Remove;
        let (store, name) = (Arc::clone(&self.store), self.name.clone());
        let end = move || {
            if remove {
                store.unlink(&[Piece(name.clone(), 0)]);
            }
            store.writing().remove(&name);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if remove => drop(runtime.spawn_blocking(end)),
            _ => end(),
        }
    }
}

impl ContentStore {
    /// Begins a file, digesting what is `wanted`.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn begin(&self, wanted: Wanted) -> Result<Writer, ContentError> {
        let store = Arc::clone(&self.0);
        let begin = move || {
            let name = FileName::fresh();
            store.writing().insert(name.clone());
            let file = Unnamed { store: Arc::clone(&store), name: name.clone(), then: Then::Remove };
            let folder = store.folder_of(&name);
            if !folder.exists() {
                fs::create_dir_all(&folder).map_err(ContentError::io("making a folder for objects"))?;
                store.sync(&store.root)?;
            }
            let opened = File::create_new(store.path_of(&name))
                .map_err(ContentError::io("making an object's file"))?;
            let worker = Worker {
                file: opened,
                key: FileKey::of(&store.secret, &name),
                digests: Digests::new(wanted),
                segment: Vec::new(),
                number: 0,
            };
            let state = State::Idle(Box::new(worker));
            Ok(Writer { file, batch: Vec::new(), batch_bytes: 0, length: 0, state })
        };
        blocking(begin).await
    }
}

impl Writer {
    /// Bytes given so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes. Waits while the disk is behind.
    ///
    /// # Errors
    /// What the disk says; the writer is of no use then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), ContentError> {
        let share = bytes.len().div_ceil(1024).clamp(1, QUEUED_KIBIBYTES);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let memory = Arc::clone(&self.file.store.queued);
        let share = match Arc::clone(&memory).try_acquire_many_owned(share) {
            Ok(share) => share,
            Err(_) => {
                // Memory is short: what this writer holds goes to the disk before it waits for more.
                self.flush().await?;
                memory.acquire_many_owned(share).await.map_err(|_| gone())?
            }
        };
        self.length += bytes.len() as u64;
        self.batch_bytes += bytes.len();
        self.batch.push((bytes, share));
        if self.batch_bytes >= BATCH_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn idle(&mut self) -> Result<Box<Worker>, ContentError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(worker) => Ok(worker),
            State::Busy(running) => running.await.unwrap_or_else(|_| Err(gone())),
            State::Failed => Err(gone()),
        }
    }

    /// Sends what has gathered on its way to the disk, and lets go of its memory.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub async fn flush(&mut self) -> Result<(), ContentError> {
        let mut worker = self.idle().await?;
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.state = State::Busy(tokio::task::spawn_blocking(move || {
            for (chunk, _share) in batch {
                worker.take(&chunk)?;
            }
            Ok(worker)
        }));
        Ok(())
    }

    /// Puts everything on the disk, the name included.
    ///
    /// # Errors
    /// What the disk says; then nothing is left.
    pub async fn finish(mut self) -> Result<Written, ContentError> {
        self.flush().await?;
        let mut worker = self.idle().await?;
        let (store, name) = (Arc::clone(&self.file.store), self.file.name.clone());
        let outcome = blocking(move || {
            worker.end()?;
            if store.durable {
                worker.file.sync_all().map_err(ContentError::io("syncing an object"))?;
                store.sync(&store.folder_of(&name))?;
            }
            Ok(worker.digests.finish())
        })
        .await?;
        Ok(Written { file: self.file, length: self.length, outcome })
    }
}

impl Written {
    /// The bytes as a record has them.
    pub fn piece(&self) -> Piece {
        Piece(self.file.name.clone(), self.length)
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// A record names the file now, or it may: only the sweep can tell.
    pub fn keep(mut self) {
        self.file.then = Then::Keep;
    }
}

struct Worker {
    file: File,
    key: FileKey,
    digests: Digests,
    /// Plain bytes of the segment that is not full yet.
    segment: Vec<u8>,
    number: u64,
}

impl Worker {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), ContentError> {
        self.digests.update(bytes);
        while !bytes.is_empty() {
            let room = SEGMENT_BYTES - self.segment.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.segment.extend_from_slice(now);
            bytes = later;
            if self.segment.len() == SEGMENT_BYTES {
                self.put()?;
            }
        }
        Ok(())
    }

    fn put(&mut self) -> Result<(), ContentError> {
        self.key.seal(self.number, &mut self.segment);
        self.file.write_all(&self.segment).map_err(ContentError::io("writing an object"))?;
        self.segment.clear();
        self.number += 1;
        Ok(())
    }

    fn end(&mut self) -> Result<(), ContentError> {
        if self.segment.is_empty() { Ok(()) } else { self.put() }
    }
}

impl Inner {
    fn sync(&self, folder: &std::path::Path) -> Result<(), ContentError> {
        if !self.durable {
            return Ok(());
        }
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(ContentError::io("syncing a folder of objects"))
    }
}

fn gone() -> ContentError {
    ContentError::Io("writing an object", std::io::Error::other("an earlier write has failed already"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ContentError> + Send + 'static,
) -> Result<T, ContentError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ContentError::Io("working on an object", std::io::Error::other(error))))
}
