//! Turns a layer's archive into a directory that overlayfs can stack, without trusting the archive.
//!
//! Runs as root on bytes that anyone may have written, so the rules are:
//! - every path is resolved by the kernel inside the layer's directory (`openat2` with `RESOLVE_IN_ROOT`): a symbolic
//!   link, absolute or with `..`, leads nowhere else; a name with a `..` component is refused outright;
//! - nothing is written through what is there already: files are created with `O_EXCL`, an earlier entry of the same
//!   name is moved away first;
//! - hard links reach only what the same layer holds;
//! - block and character devices are left out and counted. The runtime mounts its own `/dev`, the device controller
//!   would refuse them anyway, and old images carry a `/dev` full of them, so refusing such images would help nobody;
//! - attributes that overlayfs itself acts on (`trusted.*`, `user.overlay.*`) are dropped, or a layer could redirect
//!   a directory; capabilities, ACLs and user attributes are kept;
//! - numeric owners, modes with set-id bits, and times are kept;
//! - whiteouts become overlayfs's own: a character device 0/0, or `trusted.overlay.opaque` on the directory.
//!
//! What it does not do: decide where the directory goes, or make it durable (see `store`).

mod attributes;
mod entries;
mod input;
mod remove;
mod root;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, io, io::Read, path::Path, sync::Arc};

pub(crate) use input::{Chunk, ChunkReader};
pub(crate) use remove::remove_tree;

use crate::{
    digest::Digest,
    limits::Limits,
    tar::{Bounds, TarError, TarReader},
};

/// Why a layer could not be unpacked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UnpackError {
    #[error("{0}")]
    Archive(String),
    #[error("{}: {reason}", display(.path))]
    Entry { path: Vec<u8>, reason: &'static str },
    #[error("{what} is over the limit of {limit}")]
    OverLimit { what: &'static str, limit: u64 },
    #[error("{doing} {}: {source}", display(.path))]
    Io { doing: &'static str, path: Vec<u8>, source: Arc<io::Error> },
    #[error("no space left on device: {free} bytes are free and {keep} are to stay so")]
    NoSpace { free: u64, keep: u64 },
    #[error("wrong diff id calculated on extraction \"{actual}\", expected \"{expected}\"")]
    DiffId { expected: Digest, actual: Digest },
}

impl UnpackError {
    /// Whether the file system is full, by its own word or by our reserve.
    pub fn is_no_space(&self) -> bool {
        match self {
            UnpackError::NoSpace { .. } => true,
            UnpackError::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}

fn display(path: &[u8]) -> String {
    path.iter().take(300).copied().flat_map(std::ascii::escape_default).map(char::from).collect()
}

impl From<TarError> for UnpackError {
    fn from(error: TarError) -> UnpackError {
        match error {
            TarError::TooLong { what, limit } => UnpackError::OverLimit { what, limit },
            TarError::Io(e) => match e.downcast::<UnpackError>() {
                Ok(ours) => ours,
                Err(e) => UnpackError::Archive(match e.kind() {
                    io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
                    _ => e.to_string(),
                }),
            },
            malformed @ TarError::Malformed(_) => UnpackError::Archive(malformed.to_string()),
        }
    }
}

/// What came out of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unpacked {
    /// Digest of the uncompressed archive.
    pub(crate) diff_id: Digest,
    /// Length of the uncompressed archive.
    pub(crate) archive_bytes: u64,
    pub(crate) entries: u64,
    pub(crate) skipped_devices: u64,
    /// Directories that entries lie in but that the archive itself has no entry for, without a leading slash. What
    /// they should look like only a lower layer can say.
    pub(crate) implied_directories: BTreeSet<Vec<u8>>,
}

/// Unpacks `input`, compressed or not, into `root` (which exists and is empty), putting replaced directories into
/// `discard`, and checks the result against `expected`. On an error `root` holds a part; the caller removes it.
pub(crate) fn unpack(
    input: ChunkReader,
    root: &Path,
    discard: &Path,
    expected: &Digest,
    limits: &Limits,
) -> Result<Unpacked, UnpackError> {
    let bounds = Bounds {
        max_name_bytes: limits.max_path_bytes as u64,
        max_extended_header_bytes: limits.max_extended_header_bytes,
    };
    let input = input::Measured::new(input, expected.hasher(), limits).map_err(TarError::Io)?;
    let mut archive = TarReader::new(input, bounds);
    let mut unpacker = entries::Unpacker::open(root, discard, limits)?;
    while let Some(entry) = archive.next_entry()? {
        unpacker.apply(&entry, &mut archive)?;
    }
    let summary = unpacker.finish()?;
    let mut rest = archive.into_inner();
    drain(&mut rest).map_err(TarError::Io)?;
    let (actual, archive_bytes) = rest.finish().map_err(TarError::Io)?;
    if actual != *expected {
        return Err(UnpackError::DiffId { expected: expected.clone(), actual });
    }
    Ok(Unpacked {
        diff_id: actual,
        archive_bytes,
        entries: summary.entries,
        skipped_devices: summary.skipped_devices,
        implied_directories: summary.implied_directories,
    })
}

/// What follows the archive's end is still part of what the digest is of.
fn drain(input: &mut impl Read) -> io::Result<()> {
    io::copy(input, &mut io::sink()).map(drop)
}
