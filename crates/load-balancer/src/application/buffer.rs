//! Memory for bytes on their way, shared by the connections of a thread.
//!
//! A connection holds a buffer only while it has bytes in it: thousands of quiet connections hold none.

use std::cell::RefCell;

/// What most heads and small bodies fit in.
const SMALL: usize = 16 << 10;
/// What is left of a read that the other side did not take.
const LARGE: usize = SCRATCH;
/// Kept for the next one who needs it, per thread: so many of each size.
const KEPT_SMALL: usize = 256;
const KEPT_LARGE: usize = 64;
/// One read of a large body.
pub(crate) const SCRATCH: usize = 128 << 10;

thread_local! {
    static FREE_SMALL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static FREE_LARGE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static LINES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static SCRATCHED: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// Lends the thread's scratch space: for a read whose bytes are passed on at once.
pub(crate) fn with_scratch<T>(body: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCHED.with_borrow_mut(|scratch| body(scratch))
}

/// Bytes that came and have not been used yet.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    /// Empty, or as long as it is large.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room to read into; at least some.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        self.hold(SMALL);
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                let larger =
                    if self.bytes.len() < LARGE { taken(LARGE) } else { vec![0; self.bytes.len() * 2] };
                let smaller = std::mem::replace(&mut self.bytes, larger);
                self.bytes[..self.end].copy_from_slice(&smaller[..self.end]);
                given_back(smaller);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// So much was read into the room.
    pub(crate) fn advance(&mut self, length: usize) {
        self.end += length;
        debug_assert!(self.end <= self.bytes.len());
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.hold(if bytes.len() > SMALL { LARGE } else { SMALL });
        while !bytes.is_empty() {
            let spare = self.spare();
            let length = spare.len().min(bytes.len());
            spare[..length].copy_from_slice(&bytes[..length]);
            self.advance(length);
            bytes = &bytes[length..];
        }
    }

    /// So much was used.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start += length;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            self.release();
        }
    }

    /// Gives the memory back when there is nothing in it.
    pub(crate) fn release(&mut self) {
        if self.start != self.end {
            return;
        }
        (self.start, self.end) = (0, 0);
        given_back(std::mem::take(&mut self.bytes));
    }

    /// Has memory, at least so much if it had none.
    fn hold(&mut self, size: usize) {
        if self.bytes.is_empty() {
            self.bytes = taken(size);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        given_back(std::mem::take(&mut self.bytes));
    }
}

fn taken(size: usize) -> Vec<u8> {
    let free = if size == SMALL { &FREE_SMALL } else { &FREE_LARGE };
    free.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; size])
}

fn given_back(bytes: Vec<u8>) {
    let (free, kept) = match bytes.len() {
        SMALL => (&FREE_SMALL, KEPT_SMALL),
        LARGE => (&FREE_LARGE, KEPT_LARGE),
        _ => return,
    };
    // The thread may be ending, and its spare memory gone before.
    let _ = free.try_with(|free| {
        if let Ok(mut free) = free.try_borrow_mut()
            && free.len() < kept
        {
            free.push(bytes);
        }
    });
}

/// A message being written.
pub(crate) fn take_line() -> Vec<u8> {
    LINES.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(SMALL))
}

/// Its memory, for the next.
pub(crate) fn give_line(mut line: Vec<u8>) {
    line.clear();
    if line.capacity() <= 2 * SMALL {
        LINES.with_borrow_mut(|lines| {
            if lines.len() < KEPT_SMALL {
                lines.push(line);
            }
        });
    }
}
