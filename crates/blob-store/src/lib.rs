//! Content-addressed blobs: bytes go in under an upload id, come out under the digest that names them.
//!
//! What it decides: a blob exists only under its verified digest, only whole, and only after its bytes and its
//! directory entry are on disk; everything before that is an upload, which can be continued at its exact length,
//! cancelled, or left to expire. Hashing and writing happen on blocking threads, never on the async ones.
//!
//! [`BlobStore`] is the contract, [`FileBlobStore`] keeps blobs in local files. The trait speaks of uploads and
//! digests only, so that object storage can stand behind it as well.
//!
//! What it does not do: know which blobs are still needed. Callers keep that account and ask for
//! [`BlobStore::delete_if_idle`] with a cut-off, which cannot remove a blob that was asked for meanwhile.
#![forbid(unsafe_code)]

mod digest;
mod error;
mod files;
mod reader;
mod store;

pub use digest::{Algorithm, Digest, Hasher, InvalidDigest};
pub use error::BlobError;
pub use files::{FileBlobStore, Limits};
pub use reader::BlobReader;
pub use store::{Append, BlobInfo, BlobStore, BoxFuture, UploadId};

#[cfg(test)]
mod tests;
