//! Bytes both ways between a client and a target, until both have said all they have to say.
//!
//! Each direction ends by itself: a side that has finished sending may still receive (RFC 9293 §3.6), so the end of one is
//! passed on as an end of sending and nothing more. A connection that breaks is broken on the other side too: a
//! response that was cut off must not look like one that is complete.
//!
//! A quiet connection holds no buffer. Each thread has one to read into; only what the other side does not take at once
//! is set aside, and until it is taken nothing more is read: memory is bounded by one buffer per direction.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

/// What is read at once: large enough that a bulk transfer is not made of system calls.
const BUFFER: usize = 64 << 10;
/// What is read in one turn, before other connections have theirs: a fast pair must not keep the thread to itself.
const TURN_BYTES: u64 = 128 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER].into_boxed_slice());
}

/// A connection that can be relayed.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {
    /// Closing it from now on tells the other side that it was broken off (RST).
    fn break_off(&self);
}

impl Connection for TcpStream {
    fn break_off(&self) {
        // Refused only where the connection has ended already.
        let _ = self.set_zero_linger();
    }
}

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Both sides have finished.
    Finished,
    /// Nothing came from either side for too long.
    Idle,
    /// One side broke it off.
    Broken,
}

/// Counted while it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    pub from_client_bytes: u64,
    pub from_target_bytes: u64,
    /// When the first byte went to the target; and when the first came from it, and went on to the client.
    pub to_target: Option<Instant>,
    pub from_target: Option<Instant>,
    pub to_client: Option<Instant>,
}

/// Relays until both sides have finished, one breaks off, or nothing came for `idle`. Dropped earlier, it leaves both connections
/// to its caller, and `volume` as it was then.
pub(crate) async fn relay(
    client: &mut impl Connection,
    target: &mut impl Connection,
    idle: Duration,
    volume: &mut Volume,
) -> Ended {
    let (mut inward, mut outward) = (Direction::default(), Direction::default());
    let mut last = Instant::now();
    let ended = loop {
        let both = poll_fn(|cx| {
            let before = inward.copied + outward.copied;
            // Both are polled each time: either may have become ready.
            let first = inward.poll(cx, client, target);
            let second = outward.poll(cx, target, client);
            if inward.copied + outward.copied != before {
                last = Instant::now();
            }
            // With every turn: who drops this early has what went through until then.
            *volume = Volume {
                from_client_bytes: inward.copied,
                from_target_bytes: outward.copied,
                to_target: inward.first_written,
                from_target: outward.first_read,
                to_client: outward.first_written,
            };
            match (first, second) {
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(Ended::Broken),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ended::Finished),
                _ => Poll::Pending,
            }
        });
        // The time limit is looked at when it may be over, not with every byte.
        match tokio::time::timeout(idle, both).await {
            Ok(ended) => break ended,
            Err(_) if last.elapsed() >= idle => break Ended::Idle,
            Err(_) => {}
        }
    };
    if ended != Ended::Finished {
        client.break_off();
        target.break_off();
    }
    ended
}

#[derive(Default)]
struct Direction {
    /// What was read and not yet taken, from `taken` on.
    pending: Vec<u8>,
    taken: usize,
    /// The reader has finished.
    end: bool,
    /// The writer knows.
    over: bool,
    unflushed: bool,
    copied: u64,
    first_read: Option<Instant>,
    first_written: Option<Instant>,
}

impl Direction {
    /// Ready when the reader has finished and the writer was told.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let turn_ends_at = self.copied + TURN_BYTES;
        loop {
            while self.taken < self.pending.len() {
                let written = ready!(Pin::new(&mut *writer).poll_write(cx, &self.pending[self.taken..]))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.taken += written;
                self.unflushed = true;
                self.first_written.get_or_insert_with(Instant::now);
            }
            if !self.pending.is_empty() {
                (self.pending, self.taken) = (Vec::new(), 0);
            }
            if self.over {
                return Poll::Ready(Ok(()));
            }
            if self.end {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx))?;
                self.over = true;
                continue;
            }
            if self.copied >= turn_ends_at {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match self.pass(cx, reader, writer)? {
                Poll::Ready(()) => {}
                Poll::Pending => {
                    if self.unflushed {
                        // TLS holds records back until it is told to send them.
                        ready!(Pin::new(&mut *writer).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// One read, and a write of as much as is taken at once.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin),
        writer: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<Poll<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(reader).poll_read(cx, &mut buffer)? {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(()) => {}
            }
            let read = buffer.filled();
            if read.is_empty() {
                self.end = true;
                return Ok(Poll::Ready(()));
            }
            self.copied += read.len() as u64;
            self.first_read.get_or_insert_with(Instant::now);
            let written = match Pin::new(writer).poll_write(cx, read)? {
                Poll::Ready(written) => written,
                Poll::Pending => 0,
            };
            if written > 0 {
                self.unflushed = true;
                self.first_written.get_or_insert_with(Instant::now);
            }
            self.pending.extend_from_slice(&read[written..]);
            Ok(Poll::Ready(()))
        })
    }
}
