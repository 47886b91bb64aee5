//! Reading an object, or a part of it, as a stream: a few segments at a time, so that a slow client costs little memory.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, try_unfold};

use super::{
    ContentError, ContentStore, FileName, Inner, Piece,
    seal::{FileKey, SEGMENT_BYTES, TAG_BYTES, offset_of},
};

/// Segments that are read at once.
const SEGMENTS_AT_ONCE: u64 = 4;

/// An object's bytes, held against removal while this lives.
pub struct Content {
    store: Arc<Inner>,
    pieces: Vec<Piece>,
    _lease: Option<Lease>,
}

struct Lease {
    store: Arc<Inner>,
    name: FileName,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(doomed) = self.store.leases.give_back(&self.name) else { return };
        let (store, name) = (Arc::clone(&self.store), self.name.clone());
        let end = move || {
            store.unlink(&doomed);
            store.leases.gone(&name);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(end)),
            Err(_) => end(),
        }
    }
}

impl ContentStore {
    /// Holds the bytes of an object; none when they are being removed: the object has changed then, and is to be looked up anew.
    pub fn hold(&self, pieces: &[Piece]) -> Option<Content> {
        let lease = match pieces.first() {
            None => None,
            Some(Piece(name, _)) => {
                self.0.leases.take(name).then_some(())?;
                let lease = Lease { store: Arc::clone(&self.0), name: name.clone() };
                // Removed between the look at the record and this.
                self.0.path_of(name).exists().then_some(())?;
                Some(lease)
            }
        };
        Some(Content { store: Arc::clone(&self.0), pieces: pieces.to_vec(), _lease: lease })
    }
}

impl Content {
    /// The bytes in `range` of the whole.
    pub fn stream(self, range: Range<u64>) -> BoxStream<'static, Result<Bytes, ContentError>> {
        let reading = Reading { content: self, at: range.start, end: range.end, open: None };
        try_unfold(reading, |reading| async move {
            if reading.at >= reading.end {
                return Ok(None);
            }
            let work = tokio::task::spawn_blocking(move || reading.next());
            let outcome =
                work.await.map_err(|error| ContentError::Io("reading an object", io::Error::other(error)))?;
            outcome.map(Some)
        })
        .boxed()
    }
}

struct Reading {
    content: Content,
    at: u64,
    end: u64,
    /// The piece that is being read: its number, its file and key.
    open: Option<(usize, File, FileKey)>,
}

impl Reading {
    fn next(mut self) -> Result<(Bytes, Reading), ContentError> {
        let mut start = 0;
        let mut number = 0;
        for Piece(_, length) in &self.content.pieces {
            if self.at < start + length {
                break;
            }
            start += length;
            number += 1;
        }
        let Some(Piece(name, length)) = self.content.pieces.get(number).cloned() else {
            return Err(ContentError::Damaged("(none)".to_owned()));
        };
        let (_, file, key) = match self.open.take() {
            Some(open) if open.0 == number => self.open.insert(open),
            _ => {
                let file = File::open(self.content.store.path_of(&name))
                    .map_err(ContentError::io("opening an object's file"))?;
                let key = FileKey::of(&self.content.store.secret, &name);
                self.open.insert((number, file, key))
            }
        };
        let from = self.at - start;
        let to = (self.end - start).min(length);
        let first = from / SEGMENT_BYTES as u64;
        let last = ((to - 1) / SEGMENT_BYTES as u64).min(first + SEGMENTS_AT_ONCE - 1);
        let mut plain = Vec::with_capacity((last - first + 1) as usize * SEGMENT_BYTES);
        let mut sealed = vec![0; SEGMENT_BYTES + TAG_BYTES];
        for segment in first..=last {
            let begins = segment * SEGMENT_BYTES as u64;
            let size = (length - begins).min(SEGMENT_BYTES as u64) as usize;
            let sealed = &mut sealed[..size + TAG_BYTES];
            file.read_exact_at(sealed, offset_of(segment)).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => ContentError::Damaged(name.0.clone()),
                _ => ContentError::Io("reading an object", error),
            })?;
            let opened = key.open(segment, sealed).ok_or_else(|| ContentError::Damaged(name.0.clone()))?;
            let skip = from.saturating_sub(begins).min(size as u64) as usize;
            let stop = (to - begins).min(size as u64) as usize;
            plain.extend_from_slice(&opened[skip..stop]);
        }
        self.at += plain.len() as u64;
        Ok((plain.into(), self))
    }
}
