//! Reading a blob: as a stream of large chunks, or whole when it is small.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};

use crate::error::BlobError;

/// One read from disk. Large enough that the hop to a blocking thread is lost in the copy itself.
const CHUNK_BYTES: usize = 512 * 1024;

/// An open blob. It stays readable when the blob is deleted meanwhile.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    length: u64,
}

impl BlobReader {
    pub(crate) fn from_file(file: File, length: u64) -> Self {
        Self { file, length }
    }

    /// The blob's whole length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The open file and its length, for callers that read on a thread of their own.
    pub fn into_file(self) -> (File, u64) {
        (self.file, self.length)
    }

    /// The whole blob, refused when it is longer than `limit_bytes`.
    pub async fn read_all(self, limit_bytes: u64) -> Result<Bytes, BlobError> {
        if self.length > limit_bytes {
            return Err(BlobError::TooLarge { limit_bytes });
        }
        let Self { mut file, length } = self;
        blocking(move || {
            let mut bytes = Vec::with_capacity(length as usize);
            file.by_ref().take(length).read_to_end(&mut bytes).map_err(BlobError::io("reading a blob"))?;
            Ok(Bytes::from(bytes))
        })
        .await
    }

    /// The bytes of `range` (clamped to the blob), one disk read ahead of the consumer's need.
    pub fn into_stream(self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let end = range.end.min(self.length);
        let state = Position { file: self.file, at: range.start.min(end), end, sought: false };
        stream::try_unfold(state, |state| async move {
            if state.at >= state.end {
                return Ok(None);
            }
            tokio::task::spawn_blocking(move || state.next_chunk())
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
                .map(Some)
        })
    }
}

struct Position {
    file: File,
    at: u64,
    end: u64,
    sought: bool,
}

impl Position {
    fn next_chunk(mut self) -> io::Result<(Bytes, Self)> {
        if !self.sought {
            self.file.seek(SeekFrom::Start(self.at))?;
            self.sought = true;
        }
        let wanted = (self.end - self.at).min(CHUNK_BYTES as u64) as usize;
        let mut buffer = BytesMut::zeroed(wanted);
        let mut filled = 0;
        while filled < wanted {
            match self.file.read(&mut buffer[filled..])? {
                0 => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the blob's file is too short"));
                }
                n => filled += n,
            }
        }
        self.at += wanted as u64;
        Ok((buffer.freeze(), self))
    }
}

/// Runs disk work on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(BlobError::Io { context: "a blocking task", source: io::Error::other(error) })
    })
}
