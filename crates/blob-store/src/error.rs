//! What can go wrong with a blob or an upload, in the words a caller branches on.

use std::io;

use crate::digest::Digest;
use crate::store::UploadId;

/// A failed operation on the store.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("no blob {0}")]
    NoSuchBlob(Digest),
    #[error("no upload {0}")]
    NoSuchUpload(UploadId),
    /// Another request is writing to this upload right now.
    #[error("upload {0} is being written to by another request")]
    UploadBusy(UploadId),
    /// Bytes may only be added where the upload ends.
    #[error("upload {id} is {length} bytes long, a chunk at offset {offset} does not continue it")]
    WrongOffset { id: UploadId, offset: u64, length: u64 },
    /// The bytes do not hash to the digest they were announced under; the upload is gone.
    #[error("the content hashes to {actual}, not to {expected}")]
    DigestMismatch { expected: Digest, actual: Digest },
    #[error("a blob may be at most {limit_bytes} bytes")]
    TooLarge { limit_bytes: u64 },
    #[error("at most {limit} uploads may be open at once")]
    TooManyUploads { limit: usize },
    /// No space, or the quota is used up. What was being written has been removed.
    #[error("no space left for blobs: {context}")]
    StorageFull { context: &'static str, source: io::Error },
    #[error("{context}")]
    Io { context: &'static str, source: io::Error },
}

impl BlobError {
    /// Sorts an operating-system error: a full disk is its own kind, because what was written must then go.
    pub(crate) fn io(context: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::StorageFull { context, source }
            }
            _ => Self::Io { context, source },
        }
    }
}
