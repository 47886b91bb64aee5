//! An upload's life: begun, claimed by one writer at a time, finished, cancelled or expired.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Shared, names_in};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::BlobError;
use crate::store::UploadId;

/// Bytes read at once when a hash is computed anew.
const REHASH_BYTES: usize = 1024 * 1024;

/// One open upload.
pub(super) struct Upload {
    id: UploadId,
    /// `None` once the upload is gone, so that a request which still holds it does not write to a removed file.
    /// Holding the lock is the right to write.
    state: Arc<tokio::sync::Mutex<Option<State>>>,
    /// A copy of the length that can be read while somebody writes.
    length: Arc<Mutex<u64>>,
}

/// What a writer works on.
pub(super) struct State {
    /// Open from the first chunk on: an upload that is only begun costs no file descriptor.
    pub file: Option<File>,
    pub hasher: Hasher,
    pub length: u64,
}

/// The exclusive right to an upload.
pub(super) type Claim = tokio::sync::OwnedMutexGuard<Option<State>>;

impl Upload {
    fn new(id: UploadId, state: State) -> Arc<Self> {
        let length = Arc::new(Mutex::new(state.length));
        Arc::new(Self { id, state: Arc::new(tokio::sync::Mutex::new(Some(state))), length })
    }

    /// Takes the right to write, or says that somebody has it.
    pub(super) fn claim(&self) -> Result<Claim, BlobError> {
        match Arc::clone(&self.state).try_lock_owned() {
            Ok(claim) if claim.is_some() => Ok(claim),
            Ok(_) => Err(BlobError::NoSuchUpload(self.id.clone())),
            Err(_) => Err(BlobError::UploadBusy(self.id.clone())),
        }
    }

    pub(super) fn set_length(&self, length: u64) {
        *self.length.lock().unwrap_or_else(PoisonError::into_inner) = length;
    }

    fn length(&self) -> u64 {
        *self.length.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn open_uploads(&self) -> MutexGuard<'_, std::collections::HashMap<UploadId, Arc<Upload>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, algorithm: Algorithm) -> Result<UploadId, BlobError> {
        let limit = self.limits.open_uploads;
        if self.open_uploads().len() >= limit {
            return Err(BlobError::TooManyUploads { limit });
        }
        let id = UploadId::fresh()?;
        File::create_new(self.uploads.join(id.as_str())).map_err(BlobError::io("creating an upload"))?;
        let upload = Upload::new(id.clone(), State { file: None, hasher: Hasher::new(algorithm), length: 0 });
        self.open_uploads().insert(id.clone(), upload);
        Ok(id)
    }

    /// Finds an upload; one from before a restart is read back from its file.
    pub(super) fn upload(&self, id: &UploadId) -> Result<Arc<Upload>, BlobError> {
        if let Some(upload) = self.open_uploads().get(id) {
            return Ok(Arc::clone(upload));
        }
        let file = self.open_file(id)?;
        let (hasher, length) = rehash(&file, Algorithm::Sha256)?;
        let upload = Upload::new(id.clone(), State { file: Some(file), hasher, length });
        // Two requests may have read the file back at once: the first entry counts for both.
        Ok(Arc::clone(self.open_uploads().entry(id.clone()).or_insert(upload)))
    }

    /// Opens an upload's file to read it and to add to it.
    pub(super) fn open_file(&self, id: &UploadId) -> Result<File, BlobError> {
        match OpenOptions::new().read(true).append(true).open(self.uploads.join(id.as_str())) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(BlobError::NoSuchUpload(id.clone())),
            Err(error) => Err(BlobError::io("opening an upload")(error)),
        }
    }

    pub(super) fn upload_length(&self, id: &UploadId) -> Result<u64, BlobError> {
        Ok(self.upload(id)?.length())
    }

    /// Removes an upload whose claim the caller holds.
    pub(super) fn discard(&self, id: &UploadId) {
        self.open_uploads().remove(id);
        if let Err(error) = fs::remove_file(self.uploads.join(id.as_str())) {
            tracing::warn!(upload = %id, %error, "could not remove an upload's file");
        }
    }

    pub(super) fn finish(&self, id: &UploadId, expected: &Digest) -> Result<u64, BlobError> {
        let upload = self.upload(id)?;
        let mut claim = upload.claim()?;
        let Some(state) = claim.take() else { return Err(BlobError::NoSuchUpload(id.clone())) };
        let outcome = self.verify_and_publish(id, expected, state);
        match &outcome {
            Ok(_) => {
                self.open_uploads().remove(id);
            }
            // Whatever failed, half a blob is of no use: the client starts again.
            Err(_) => self.discard(id),
        }
        outcome
    }

    fn verify_and_publish(&self, id: &UploadId, expected: &Digest, state: State) -> Result<u64, BlobError> {
        let State { file, hasher, length } = state;
        let file = file.map_or_else(|| self.open_file(id), Ok)?;
        let hasher = if hasher.algorithm() == expected.algorithm() {
            hasher
        } else {
            rehash(&file, expected.algorithm())?.0
        };
        let actual = hasher.finish();
        if actual != *expected {
            return Err(BlobError::DigestMismatch { expected: expected.clone(), actual });
        }
        if self.limits.durable {
            file.sync_data().map_err(BlobError::io("syncing a blob"))?;
        }
        self.publish(&self.uploads.join(id.as_str()), expected)?;
        Ok(length)
    }

    pub(super) fn expire(&self, idle: Duration) -> Result<usize, BlobError> {
        let Some(cutoff) = SystemTime::now().checked_sub(idle) else { return Ok(0) };
        let mut removed = 0;
        for name in names_in(&self.uploads)? {
            let Ok(id) = name.parse::<UploadId>() else { continue };
            // Gone meanwhile, or just written to: not ours to remove.
            let modified = fs::metadata(self.uploads.join(&name)).and_then(|found| found.modified());
            if !modified.is_ok_and(|modified| modified <= cutoff) {
                continue;
            }
            let open = self.open_uploads().get(&id).cloned();
            let claim = match &open {
                Some(upload) => match upload.claim() {
                    Ok(claim) => Some(claim),
                    Err(_) => continue,
                },
                None => None,
            };
            self.discard(&id);
            if let Some(mut claim) = claim {
                *claim = None;
            }
            removed += 1;
        }
        Ok(removed)
    }
}

/// Hashes a file from its start.
fn rehash(file: &File, algorithm: Algorithm) -> Result<(Hasher, u64), BlobError> {
    use std::io::{Seek, SeekFrom};
    let mut reader = file;
    reader.seek(SeekFrom::Start(0)).map_err(BlobError::io("reading an upload back"))?;
    let mut hasher = Hasher::new(algorithm);
    let mut buffer = vec![0_u8; REHASH_BYTES];
    let mut length = 0;
    loop {
        match reader.read(&mut buffer).map_err(BlobError::io("reading an upload back"))? {
            0 => return Ok((hasher, length)),
            n => {
                hasher.update(&buffer[..n]);
                length += n as u64;
            }
        }
    }
}
