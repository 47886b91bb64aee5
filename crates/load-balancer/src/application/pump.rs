//! Moves one body from one connection to another, and knows where it ends.
//!
//! What is read is written at once, from the thread's scratch space; only what the other side does not take is set aside, and until it
//! is taken nothing more is read. So a slow side slows the other one down, and memory stays bounded.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    buffer::{Buffer, SCRATCH, with_scratch},
    stream::Stream,
};
use crate::http1::body::{Body, BrokenBody};

/// What is read in one turn, before others have theirs. Counted in bytes, not reads: pairs that read little at once, because their writer is
/// slow, would otherwise need several times the turns of others for the same body, and theirs would be the longest times. As much as one
/// read may bring: with hundreds of pairs a round of larger turns takes as long as a small body.
const TURN_BYTES: usize = SCRATCH;

/// What is read at once when the writer is slow: with many slow ones, less memory that is touched in turn.
const LEAST_ROOM: usize = 16 << 10;

/// How the body's framing changes on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Not at all.
    Kept,
    /// It had none, or another protocol's, and gets chunks.
    IntoChunks,
    /// It had chunks and gets none: the connection ends with it.
    OutOfChunks,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PumpError {
    #[error("reading: {0}")]
    Read(#[source] io::Error),
    #[error("the body ended before its end")]
    Truncated,
    #[error(transparent)]
    Broken(#[from] BrokenBody),
    #[error("writing: {0}")]
    Write(#[source] io::Error),
}

impl PumpError {
    /// Whether the side that was written to is at fault.
    pub(crate) fn is_writers(&self) -> bool {
        matches!(self, PumpError::Write(_))
    }
}

#[derive(Debug)]
pub(crate) struct Pump {
    body: Body,
    framing: Framing,
    /// To be written before anything else.
    pending: Buffer,
    /// What was read behind the end of the body.
    pub excess: Buffer,
    /// All that was written.
    pub written: u64,
    unflushed: bool,
    over: bool,
    /// How much is read at once: less while the writer does not take it all.
    room: usize,
}

impl Pump {
    pub(crate) fn new(body: Body, framing: Framing) -> Pump {
        let over = body.is_over();
        Pump {
            body,
            framing,
            pending: Buffer::default(),
            excess: Buffer::default(),
            written: 0,
            unflushed: false,
            over,
            room: SCRATCH,
        }
    }

    /// To be written first: a head, say.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.pending.push(bytes);
    }

    /// Bytes of the body that have been read already. What is behind its end goes to `excess`.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), BrokenBody> {
        let used = self.frame(bytes)?;
        self.excess.push(&bytes[used..]);
        self.over |= self.body.is_over();
        Ok(())
    }

    /// Nothing is left to be read.
    pub(crate) fn is_read(&self) -> bool {
        self.over
    }

    /// Ready when the whole body has been written.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut Stream,
        writer: &mut Stream,
    ) -> Poll<Result<(), PumpError>> {
        let mut read = 0;
        loop {
            while !self.pending.is_empty() {
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, self.pending.filled()))
                    .map_err(PumpError::Write)?;
                self.wrote(written)?;
                self.pending.consume(written);
            }
            if self.over {
                return self.poll_flush(cx, writer);
            }
            if read >= TURN_BYTES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.pass(cx, reader, writer)? {
                Poll::Ready(length) => read += length,
                Poll::Pending => {
                    ready!(self.poll_flush(cx, writer))?;
                    return Poll::Pending;
                }
            }
        }
    }

    fn wrote(&mut self, written: usize) -> Result<(), PumpError> {
        if written == 0 {
            return Err(PumpError::Write(io::ErrorKind::WriteZero.into()));
        }
        self.written += written as u64;
        self.unflushed = true;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, writer: &mut Stream) -> Poll<Result<(), PumpError>> {
        if self.unflushed {
            ready!(Pin::new(writer).poll_flush(cx)).map_err(PumpError::Write)?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// One read, and a write of as much as is taken at once. Answers how much was read.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut Stream,
        writer: &mut Stream,
    ) -> Result<Poll<usize>, PumpError> {
        with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(&mut scratch[..self.room]);
            match Pin::new(reader).poll_read(cx, &mut buffer).map_err(PumpError::Read)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(()) => {}
            }
            let read = buffer.filled();
            if read.is_empty() {
                if self.body != Body::UntilClose {
                    return Err(PumpError::Truncated);
                }
                self.over = true;
                if self.framing == Framing::IntoChunks {
                    self.pending.push(b"0\r\n\r\n");
                }
                return Ok(Poll::Ready(0));
            }
            if self.framing != Framing::Kept {
                self.take(read)?;
                return Ok(Poll::Ready(read.len()));
            }
            let (length, used) = (read.len(), self.body.advance(read)?);
            self.over = self.body.is_over();
            if used < read.len() {
                self.excess.push(&read[used..]);
            }
            match Pin::new(writer).poll_write(cx, &read[..used]).map_err(PumpError::Write)? {
                Poll::Ready(written) => {
                    self.wrote(written)?;
                    self.pending.push(&read[written..used]);
                }
                Poll::Pending => self.pending.push(&read[..used]),
            }
            self.room = if self.pending.is_empty() {
                (self.room * 2).min(SCRATCH)
            } else {
                (self.room / 2).max(LEAST_ROOM)
            };
            Ok(Poll::Ready(length))
        })
    }

    /// Puts what belongs to the body into `pending`, in its new framing: how much that was.
    fn frame(&mut self, bytes: &[u8]) -> Result<usize, BrokenBody> {
        match self.framing {
            Framing::Kept => {
                let used = self.body.advance(bytes)?;
                self.pending.push(&bytes[..used]);
                Ok(used)
            }
            Framing::IntoChunks => {
                let used = self.body.advance(bytes)?;
                if used > 0 {
                    self.pending.push(format!("{used:x}\r\n").as_bytes());
                    self.pending.push(&bytes[..used]);
                    self.pending.push(b"\r\n");
                }
                Ok(used)
            }
            Framing::OutOfChunks => {
                let mut used = 0;
                while used < bytes.len() && !self.body.is_over() {
                    let piece = self.body.piece(&bytes[used..])?;
                    if piece.content {
                        self.pending.push(&bytes[used..used + piece.length]);
                    }
                    used += piece.length;
                }
                Ok(used)
            }
        }
    }
}
