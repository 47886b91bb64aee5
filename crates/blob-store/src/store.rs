//! The contract every blob storage fulfils.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::digest::{Algorithm, Digest};
use crate::error::BlobError;
use crate::reader::BlobReader;

/// A future behind a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Names an upload across requests and restarts: 32 random hexadecimal digits in the form of a UUID, so that nobody can
/// guess another client's, and no file outside the upload folder can be named.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(Box<str>);

impl UploadId {
    /// A fresh id from the operating system's randomness.
    pub(crate) fn fresh() -> Result<Self, BlobError> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| BlobError::Io {
            context: "random bytes for an upload id",
            source: std::io::Error::other(error.to_string()),
        })?;
        let hex = hex::encode(bytes);
        let text = format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for UploadId {
    type Err = ();

    /// Accepts only the form that [`BlobStore::begin_upload`] gives out.
    fn from_str(text: &str) -> Result<Self, ()> {
        let dashes = [8, 13, 18, 23];
        let formed = text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match dashes.contains(&at) {
                true => byte == b'-',
                false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        if formed { Ok(Self(text.into())) } else { Err(()) }
    }
}

/// What is known of a stored blob without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    pub digest: Digest,
    pub length: u64,
    /// When it was stored, or last asked to stay ([`BlobStore::touch`], or an upload of the same content).
    pub touched: SystemTime,
}

/// Bytes being added to one upload, in order. Dropping it instead of closing it may lose the last of them.
pub trait Append: Send {
    /// Adds bytes. Waits while the disk is behind, so that memory stays bounded.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] and [`BlobError::StorageFull`]; the upload is gone after either.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), BlobError>>;

    /// Waits until everything given is hashed and written, and returns the upload's length in bytes.
    fn close(self: Box<Self>) -> BoxFuture<'static, Result<u64, BlobError>>;
}

/// Content-addressed storage with resumable uploads.
pub trait BlobStore: Send + Sync + 'static {
    /// Opens an empty upload. `algorithm` is the one the content will probably be named by; another costs a second
    /// pass over the bytes when the upload is finished.
    fn begin_upload(&self, algorithm: Algorithm) -> BoxFuture<'_, Result<UploadId, BlobError>>;

    /// The upload's length in bytes: where the next chunk has to start.
    fn upload_length<'a>(&'a self, id: &'a UploadId) -> BoxFuture<'a, Result<u64, BlobError>>;

    /// Starts adding bytes at `offset`, which has to be the upload's length (`None`: wherever it ends).
    fn append<'a>(
        &'a self,
        id: &'a UploadId,
        offset: Option<u64>,
    ) -> BoxFuture<'a, Result<Box<dyn Append>, BlobError>>;

    /// Makes the upload a blob, durably, and returns its length. On a mismatch the upload is gone.
    fn finish<'a>(&'a self, id: &'a UploadId, expected: &'a Digest) -> BoxFuture<'a, Result<u64, BlobError>>;

    /// Forgets an upload and its bytes.
    fn cancel<'a>(&'a self, id: &'a UploadId) -> BoxFuture<'a, Result<(), BlobError>>;

    /// Stores a small blob that is already in memory.
    fn put_bytes<'a>(&'a self, expected: &'a Digest, bytes: Bytes) -> BoxFuture<'a, Result<(), BlobError>>;

    /// Opens a blob for reading.
    fn open<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<BlobReader, BlobError>>;

    /// What is known of a blob, `None` when there is none.
    fn stat<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<Option<BlobInfo>, BlobError>>;

    /// Restarts the blob's grace period, `false` when there is no such blob.
    fn touch<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<bool, BlobError>>;

    /// Removes a blob, `false` when there was none.
    fn delete<'a>(&'a self, digest: &'a Digest) -> BoxFuture<'a, Result<bool, BlobError>>;

    /// Removes a blob unless it was stored or touched at or after `cutoff`. The check and the removal are one step as seen
    /// from [`BlobStore::touch`] and [`BlobStore::finish`].
    fn delete_if_idle<'a>(
        &'a self,
        digest: &'a Digest,
        cutoff: SystemTime,
    ) -> BoxFuture<'a, Result<bool, BlobError>>;

    /// The blobs after `after` in digest order, at most `limit`. A page shorter than `limit` is the last.
    fn list<'a>(
        &'a self,
        after: Option<&'a Digest>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobInfo>, BlobError>>;

    /// Removes uploads to which nothing was added for `idle`, and returns how many.
    fn expire_uploads(&self, idle: Duration) -> BoxFuture<'_, Result<usize, BlobError>>;
}
