//! The bytes of a layer on their way from the download to the archive reader: chunks, decompression, measuring.

use std::{
    io::{self, BufRead, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use tokio::sync::mpsc;

use super::UnpackError;
use crate::{
    digest::{Digest, Hasher},
    limits::Limits,
};

/// What the download sends. Without `End` the stream was cut, whatever came before.
#[derive(Debug)]
pub(crate) enum Chunk {
    Data(Bytes),
    End,
}

/// Reads chunks as one stream. Blocks: for a thread of its own, not for the async one.
pub(crate) struct ChunkReader {
    chunks: mpsc::Receiver<Chunk>,
    current: Bytes,
    ended: bool,
    received: Arc<AtomicU64>,
}

impl ChunkReader {
    pub(crate) fn new(chunks: mpsc::Receiver<Chunk>) -> ChunkReader {
        ChunkReader { chunks, current: Bytes::new(), ended: false, received: Arc::default() }
    }

    fn receive(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            match self.chunks.blocking_recv() {
                Some(Chunk::Data(bytes)) if bytes.is_empty() => {}
                Some(Chunk::Data(bytes)) => {
                    self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    return Ok(Some(bytes));
                }
                Some(Chunk::End) => {
                    self.ended = true;
                    return Ok(None);
                }
                None => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the download was cut")),
            }
        }
    }

    /// The first bytes without consuming them; fewer than `count` only when the stream is shorter.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.current.len() < count && !self.ended {
            if let Some(more) = self.receive()? {
                let mut joined = BytesMut::with_capacity(self.current.len() + more.len());
                joined.extend_from_slice(&self.current);
                joined.extend_from_slice(&more);
                self.current = joined.freeze();
            }
        }
        Ok(&self.current[..count.min(self.current.len())])
    }
}

impl BufRead for ChunkReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty()
            && !self.ended
            && let Some(bytes) = self.receive()?
        {
            self.current = bytes;
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        drop(self.current.split_to(amount));
    }
}

impl Read for ChunkReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Decompressed bytes, by what the first bytes say: gzip, zstd or neither.
enum Decoder {
    Plain(ChunkReader),
    Gzip(Box<MultiGzDecoder<ChunkReader>>),
    Zstd(Box<ZstdFrames>),
}

impl Decoder {
    fn new(mut input: ChunkReader) -> io::Result<Decoder> {
        Ok(match input.peek(4)? {
            [0x1f, 0x8b, ..] => Decoder::Gzip(Box::new(MultiGzDecoder::new(input))),
            // A zstd frame, or one of the skippable frames that may come first.
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                Decoder::Zstd(Box::new(ZstdFrames::new(input)))
            }
            _ => Decoder::Plain(input),
        })
    }

    /// Nothing may follow the compressed stream, and the download must have ended well.
    fn finish(self) -> io::Result<()> {
        let mut input = match self {
            Decoder::Plain(input) => input,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(frames) => frames.input,
        };
        if input.fill_buf()?.is_empty() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the end of the compressed stream"))
    }
}

impl Read for Decoder {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Plain(inner) => inner.read(buffer),
            Decoder::Gzip(inner) => inner.read(buffer),
            Decoder::Zstd(inner) => inner.read(buffer),
        }
    }
}

/// A sequence of zstd frames, as parallel compressors write; skippable frames (seek tables) are passed over.
struct ZstdFrames {
    input: ChunkReader,
    frame: FrameDecoder,
    is_within_frame: bool,
}

impl ZstdFrames {
    fn new(input: ChunkReader) -> ZstdFrames {
        ZstdFrames { input, frame: FrameDecoder::new(), is_within_frame: false }
    }

    /// Starts the next frame; false at the end of the input.
    fn advance(&mut self) -> io::Result<bool> {
        loop {
            if self.input.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.frame.init(&mut self.input) {
                Ok(()) => {
                    self.is_within_frame = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.input).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(e) => return Err(invalid(&e)),
            }
        }
    }
}

impl Read for ZstdFrames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within_frame && !self.advance()? {
                return Ok(0);
            }
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                self.frame
                    .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|e| invalid(&e))?;
            }
            match self.frame.read(buffer)? {
                0 if self.frame.is_finished() => self.is_within_frame = false,
                got => return Ok(got),
            }
        }
    }
}

fn invalid(error: &FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("zstd: {error}"))
}

/// The decoded archive: hashed, counted and held against the limits on its way to the archive reader.
pub(super) struct Measured {
    decoder: Decoder,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    hasher: Hasher,
    produced: u64,
    received: Arc<AtomicU64>,
    limits: Limits,
}

/// Large enough that hashing and reading cost per byte, small enough to stay in the second-level cache.
const BUFFER_BYTES: usize = 128 << 10;

impl Measured {
    pub(super) fn new(input: ChunkReader, hasher: Hasher, limits: &Limits) -> io::Result<Measured> {
        let received = input.received.clone();
        Ok(Measured {
            decoder: Decoder::new(input)?,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            hasher,
            produced: 0,
            received,
            limits: limits.clone(),
        })
    }

    /// The digest and length of everything that was read. Call at the end of the stream.
    pub(super) fn finish(self) -> io::Result<(Digest, u64)> {
        self.decoder.finish()?;
        Ok((self.hasher.finish(), self.produced))
    }

    fn refill(&mut self) -> io::Result<()> {
        self.start = 0;
        self.end = 0;
        self.end = loop {
            match self.decoder.read(&mut self.buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.hasher.update(&self.buffer[..self.end]);
        self.produced += self.end as u64;
        self.check().map_err(io::Error::other)
    }

    fn check(&self) -> Result<(), UnpackError> {
        let limits = &self.limits;
        if self.produced > limits.max_layer_bytes {
            return Err(UnpackError::OverLimit {
                what: "the uncompressed size of the layer",
                limit: limits.max_layer_bytes,
            });
        }
        let received = self.received.load(Ordering::Relaxed).max(1);
        if self.produced > limits.ratio_free_bytes && self.produced / received > limits.max_compression_ratio
        {
            return Err(UnpackError::OverLimit {
                what: "the compression ratio of the layer",
                limit: limits.max_compression_ratio,
            });
        }
        Ok(())
    }
}

impl Read for Measured {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.start == self.end {
            self.refill()?;
        }
        let count = buffer.len().min(self.end - self.start);
        buffer[..count].copy_from_slice(&self.buffer[self.start..self.start + count]);
        self.start += count;
        Ok(count)
    }
}
