//! Blobs in local files: `blobs/ALGORITHM/HH/HEX` once verified, `uploads/ID` before that.
//!
//! An upload becomes a blob by: all bytes hashed while written, digest compared, file synced, renamed, directory
//! synced. A crash before the rename leaves an upload, which its client may continue (the hash is then computed anew
//! from the file) or [`BlobStore::expire_uploads`] removes. While a large upload arrives, what has been written is already pushed to
//! the disk in steps (`writeback.rs`), so that the final sync finds little left to do.
//!
//! A lock per store makes "is it idle? then delete" one step against "keep it, I need it". It is held for metadata
//! calls only, never while bytes move.

mod append;
mod upload;
mod writeback;

use std::collections::HashMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::digest::{Algorithm, Digest};
use crate::error::BlobError;
use crate::reader::{BlobReader, blocking};
use crate::store::{Append, BlobInfo, BlobStore, BoxFuture, UploadId};
use upload::Upload;

/// The memory that all uploads together may have queued for the disk, in KiB.
const QUEUED_KIBIBYTES: usize = 128 * 1024;

/// How much the store takes, and how well it keeps it.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Longest blob. The default is ECR's largest layer.
    pub blob_bytes: u64,
    /// Open uploads; each is a file, a hash state and an entry in memory.
    pub open_uploads: usize,
    /// Whether blobs are on the disk before they are acknowledged. Off only where nothing is to survive.
    pub durable: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { blob_bytes: 52_000 * 1024 * 1024, open_uploads: 10_000, durable: true }
    }
}

/// [`BlobStore`] on a local file system. Cheap to clone.
#[derive(Clone)]
pub struct FileBlobStore {
    shared: Arc<Shared>,
}

struct Shared {
    blobs: PathBuf,
    uploads: PathBuf,
    limits: Limits,
    /// Uploads touched since the start; others are read back from their files when they are next named.
    open: Mutex<HashMap<UploadId, Arc<Upload>>>,
    /// The memory that chunks on their way to the disk may take, in KiB.
    queued: Arc<Semaphore>,
    /// Held while a blob appears, is touched, or is checked and deleted.
    keep: Mutex<()>,
}

impl FileBlobStore {
    /// Opens or creates the store under `root`, whose file system must be able to rename between its folders.
    pub fn open(root: impl AsRef<Path>, limits: Limits) -> Result<Self, BlobError> {
        let root = root.as_ref();
        let blobs = root.join("blobs");
        let uploads = root.join("uploads");
        for algorithm in Algorithm::ALL {
            fs::create_dir_all(blobs.join(algorithm.name()))
                .map_err(BlobError::io("creating the blob folder"))?;
        }
        fs::create_dir_all(&uploads).map_err(BlobError::io("creating the upload folder"))?;
        let queued = Arc::new(Semaphore::new(QUEUED_KIBIBYTES));
        let shared =
            Shared { blobs, uploads, limits, open: Mutex::default(), queued, keep: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Where the blob is, or would be. For readers on the same machine; the file must not be changed.
    pub fn path_of(&self, digest: &Digest) -> PathBuf {
        self.shared.path_of(digest)
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> Result<T, BlobError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, BlobError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(blocking(move || work(&shared)))
    }
}

impl BlobStore for FileBlobStore {
    fn begin_upload(&self, algorithm: Algorithm) -> BoxFuture<'_, Result<UploadId, BlobError>> {
        self.run(move |shared| shared.begin(algorithm))
    }

    fn upload_length<'a>(&'a self, id: &'a UploadId) -> BoxFuture<'a, Result<u64, BlobError>> {
        let id = id.clone();
        self.run(move |shared| shared.upload_length(&id))
    }

    fn append<'a>(
        &'a self,
        id: &'a UploadId,
        offset: Option<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Append>, BlobError>> {
        let id = id.clone();
        self.run(move |shared| append::start(shared, id, offset))
    }

    fn finish<'a>(&'a self, id: &'a UploadId, expected: &'a Digest) -> BoxFuture<'a, Result<u64, BlobError>> {
        let (id, expected) = (id.clone(), expected.clone());
        self.run(move |shared| shared.finish(&id, &expected))
    }

    fn cancel<'a>(&'a self, id: &'a UploadId) -> BoxFuture<'a, Result<(), BlobError>> {
        let id = id.clone();
        self.run(move |shared| {
            let upload = shared.upload(&id)?;
            let _claim = upload.claim()?;
            shared.discard(&id);
            Ok(())
        })
    }

    fn put_bytes<'a>(&'a self, expected: &'a Digest, bytes: Bytes) -> BoxFuture<'a, Result<(), BlobError>> {
        let expected = expected.clone();
        self.run(move |shared| shared.put_bytes(&expected, &bytes))
    }

    fn open<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<BlobReader, BlobError>> {
        let digest = digest.clone();
        self.run(move |shared| shared.open_blob(digest))
    }

    fn stat<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Option<BlobInfo>, BlobError>> {
        let digest = digest.clone();
        self.run(move |shared| shared.stat(digest))
    }

    fn touch<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<bool, BlobError>> {
        let digest = digest.clone();
        self.run(move |shared| {
            let _keep = shared.keep();
            shared.touch(&digest)
        })
    }

    fn delete<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<bool, BlobError>> {
        let digest = digest.clone();
        self.run(move |shared| {
            let _keep = shared.keep();
            shared.remove(&digest)
        })
    }

    fn delete_if_idle<'a>(
        &'a self,
        digest: &'a Digest,
        cutoff: SystemTime,
    ) -> BoxFuture<'a, Result<bool, BlobError>> {
        let digest = digest.clone();
        self.run(move |shared| {
            let _keep = shared.keep();
            match shared.stat(digest.clone())? {
                Some(info) if info.touched < cutoff => shared.remove(&digest),
                _ => Ok(false),
            }
        })
    }

    fn list<'a>(
        &'a self,
        after: Option<&'a Digest>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobInfo>, BlobError>> {
        let after = after.cloned();
        self.run(move |shared| shared.list(after.as_ref(), limit))
    }

    fn expire_uploads(&self, idle: Duration) -> BoxFuture<'_, Result<usize, BlobError>> {
        self.run(move |shared| shared.expire(idle))
    }
}

impl Shared {
    fn path_of(&self, digest: &Digest) -> PathBuf {
        self.shard_of(digest).join(digest.hex())
    }

    fn shard_of(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.algorithm().name()).join(&digest.hex()[..2])
    }

    fn keep(&self) -> MutexGuard<'_, ()> {
        self.keep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_blob(&self, digest: Digest) -> Result<BlobReader, BlobError> {
        match File::open(self.path_of(&digest)) {
            Ok(file) => {
                let length = file.metadata().map_err(BlobError::io("reading a blob's length"))?.len();
                Ok(BlobReader::from_file(file, length))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::NoSuchBlob(digest)),
            Err(error) => Err(BlobError::io("opening a blob")(error)),
        }
    }

    fn stat(&self, digest: Digest) -> Result<Option<BlobInfo>, BlobError> {
        match fs::metadata(self.path_of(&digest)) {
            Ok(found) => {
                let touched = found.modified().map_err(BlobError::io("reading a blob's time"))?;
                Ok(Some(BlobInfo { digest, length: found.len(), touched }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BlobError::io("looking a blob up")(error)),
        }
    }

    fn touch(&self, digest: &Digest) -> Result<bool, BlobError> {
        match File::open(self.path_of(digest)) {
            Ok(file) => {
                let now = FileTimes::new().set_modified(SystemTime::now());
                file.set_times(now).map_err(BlobError::io("touching a blob"))?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(BlobError::io("touching a blob")(error)),
        }
    }

    fn remove(&self, digest: &Digest) -> Result<bool, BlobError> {
        match fs::remove_file(self.path_of(digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(BlobError::io("deleting a blob")(error)),
        }
    }

    /// Gives a verified and synced file its name. When the blob is there already, the new copy is dropped.
    fn publish(&self, from: &Path, digest: &Digest) -> Result<(), BlobError> {
        let shard = self.shard_of(digest);
        let to = shard.join(digest.hex());
        {
            let _keep = self.keep();
            if self.touch(digest)? {
                return fs::remove_file(from).map_err(BlobError::io("dropping a second copy"));
            }
            if !shard.exists() {
                fs::create_dir_all(&shard).map_err(BlobError::io("creating a blob folder"))?;
                self.sync_directory(&self.blobs.join(digest.algorithm().name()))?;
            }
            fs::rename(from, &to).map_err(BlobError::io("naming a blob"))?;
            // The grace period counts from the moment the blob exists, not from the upload's last byte.
            self.touch(digest)?;
        }
        self.sync_directory(&shard)
    }

    fn sync_directory(&self, path: &Path) -> Result<(), BlobError> {
        if !self.limits.durable {
            return Ok(());
        }
        File::open(path).and_then(|folder| folder.sync_all()).map_err(BlobError::io("syncing a folder"))
    }

    fn put_bytes(&self, expected: &Digest, bytes: &[u8]) -> Result<(), BlobError> {
        if bytes.len() as u64 > self.limits.blob_bytes {
            return Err(BlobError::TooLarge { limit_bytes: self.limits.blob_bytes });
        }
        let actual = Digest::of(expected.algorithm(), bytes);
        if actual != *expected {
            return Err(BlobError::DigestMismatch { expected: expected.clone(), actual });
        }
        {
            let _keep = self.keep();
            if self.touch(expected)? {
                return Ok(());
            }
        }
        let temporary = self.uploads.join(UploadId::fresh()?.as_str());
        let written = File::create_new(&temporary)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                if self.limits.durable { file.sync_data() } else { Ok(()) }
            })
            .map_err(BlobError::io("writing a blob"))
            .and_then(|()| self.publish(&temporary, expected));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Walks the folders in digest order. One folder's names are in memory at a time: a 256th of all.
    fn list(&self, after: Option<&Digest>, limit: usize) -> Result<Vec<BlobInfo>, BlobError> {
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL {
            if after.is_some_and(|after| after.algorithm() > algorithm) {
                continue;
            }
            for shard in 0..=u8::MAX {
                let name = format!("{shard:02x}");
                let after = after.filter(|after| after.algorithm() == algorithm);
                if after.is_some_and(|after| after.hex()[..2] > *name) {
                    continue;
                }
                let mut digests = names_in(&self.blobs.join(algorithm.name()).join(name))?
                    .into_iter()
                    .filter_map(|hex| format!("{}:{hex}", algorithm.name()).parse::<Digest>().ok())
                    .filter(|digest| after.is_none_or(|after| digest > after))
                    .collect::<Vec<_>>();
                digests.sort_unstable();
                for digest in digests {
                    if found.len() == limit {
                        return Ok(found);
                    }
                    // Deleted since the folder was read: skip it.
                    found.extend(self.stat(digest)?);
                }
            }
        }
        Ok(found)
    }
}

/// The names in a folder, none when it does not exist.
fn names_in(folder: &Path) -> Result<Vec<String>, BlobError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BlobError::io("listing a blob folder")(error)),
    };
    entries
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()
        .map_err(BlobError::io("listing a blob folder"))
}
