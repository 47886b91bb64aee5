//! Reading a blob: as a stream of large chunks, or whole when it is small.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tokio::task::JoinHandle;

use crate::error::BlobError;

/// One read from disk. Large enough that the hop to a blocking thread is lost in the copy itself, small enough that what
/// was read is still in the processor's cache when it is sent.
const CHUNK_BYTES: usize = 256 * 1024;
/// Buffers that a stream keeps: one being read, one being sent, one on the way back.
const KEPT_BUFFERS: usize = 3;

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

    /// The bytes of `range` (clamped to the blob). The next chunk is read while the consumer has the last one.
    pub fn into_stream(self, range: Range<u64>) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let end = range.end.min(self.length);
        let position = Position {
            file: self.file,
            at: range.start.min(end),
            end,
            sought: false,
            buffers: Buffers::default(),
        };
        stream::try_unfold(Ahead::Not(position), |ahead| async move {
            let reading = match ahead {
                Ahead::Not(position) => position.read_ahead(),
                Ahead::Reading(reading) => Some(reading),
                Ahead::End => None,
            };
            let Some(reading) = reading else { return Ok(None) };
            let (bytes, position) = reading.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
            let next = position.read_ahead().map_or(Ahead::End, Ahead::Reading);
            Ok(Some((bytes, next)))
        })
    }
}

type Reading = JoinHandle<io::Result<(Bytes, Position)>>;

/// How far the reading is ahead of the consumer.
enum Ahead {
    Not(Position),
    Reading(Reading),
    End,
}

struct Position {
    file: File,
    at: u64,
    end: u64,
    sought: bool,
    buffers: Buffers,
}

/// A stream's buffers, used again as the chunks in them are dropped: fresh memory for each chunk would cost more page
/// faults than the reading itself.
#[derive(Clone, Default)]
struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A chunk in a buffer that goes back.
struct Lent {
    buffer: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_BUFFERS {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.clear();
            kept.push(buffer);
        }
    }
}

impl Position {
    /// Begins to read the next chunk; `None` at the end.
    fn read_ahead(self) -> Option<Reading> {
        if self.at >= self.end {
            return None;
        }
        Some(tokio::task::spawn_blocking(move || self.next_chunk()))
    }

    fn next_chunk(mut self) -> io::Result<(Bytes, Self)> {
        if !self.sought {
            self.file.seek(SeekFrom::Start(self.at))?;
            self.sought = true;
        }
        let wanted = (self.end - self.at).min(CHUNK_BYTES as u64);
        let kept = self.buffers.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut chunk = kept.unwrap_or_default();
        chunk.reserve_exact(wanted as usize);
        self.file.by_ref().take(wanted).read_to_end(&mut chunk)?;
        if (chunk.len() as u64) < wanted {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the blob's file is too short"));
        }
        self.at += wanted;
        let chunk = Lent { buffer: chunk, home: self.buffers.clone() };
        Ok((Bytes::from_owner(chunk), self))
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
