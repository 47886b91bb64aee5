//! Where a message's body ends.
//!
//! Bodies are passed on as they come, chunks with their framing, so that nothing is copied; but every byte of the framing is read
//! here, and what is not exactly as RFC 9112 §7.1 has it breaks the message off.

/// Digits of a chunk's size: 15 cannot overflow.
const SIZE_DIGITS: u32 = 15;
/// Of what may follow a size, and of all trailers: nobody uses much of either.
const EXTENSION_LIMIT_BYTES: u32 = 256;
const TRAILER_LIMIT_BYTES: u32 = 8 << 10;

/// What is still to come of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Length(u64),
    Chunked(Chunked),
    /// Until the other side closes; of responses only.
    UntilClose,
}

/// The framing is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a body with broken framing")]
pub(crate) struct BrokenBody;

/// The next piece of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub length: usize,
    /// It is content; otherwise framing.
    pub content: bool,
}

impl Body {
    pub(crate) fn chunked() -> Body {
        Body::Chunked(Chunked { state: State::Size { digits: 0 }, left: 0, count: 0 })
    }

    /// Nothing more belongs to it.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunked) => chunked.state == State::Over,
            Body::UntilClose => false,
        }
    }

    /// How much of the buffer belongs to the body; the rest is the next message's.
    pub(crate) fn advance(&mut self, buffer: &[u8]) -> Result<usize, BrokenBody> {
        let mut taken = 0;
        while taken < buffer.len() && !self.is_over() {
            taken += self.piece(&buffer[taken..])?.length;
        }
        Ok(taken)
    }

    /// The next piece of a buffer that is not empty, of a body that is not over.
    pub(crate) fn piece(&mut self, buffer: &[u8]) -> Result<Piece, BrokenBody> {
        match self {
            Body::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= length as u64;
                Ok(Piece { length, content: true })
            }
            Body::Chunked(chunked) => chunked.piece(buffer),
            Body::UntilClose => Ok(Piece { length: buffer.len(), content: true }),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunked {
    state: State,
    /// Of the chunk.
    left: u64,
    /// Bytes of extension or trailers so far.
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size {
        digits: u32,
    },
    Extension,
    SizeEnd,
    Content,
    ContentCr,
    ContentLf,
    /// At the beginning of a line after the last chunk.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Over,
}

impl Chunked {
    fn piece(&mut self, buffer: &[u8]) -> Result<Piece, BrokenBody> {
        if self.state == State::Content {
            let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
            self.left -= length as u64;
            if self.left == 0 {
                self.state = State::ContentCr;
            }
            return Ok(Piece { length, content: true });
        }
        for (at, byte) in buffer.iter().enumerate() {
            self.state = self.next(*byte)?;
            if matches!(self.state, State::Content | State::Over) {
                return Ok(Piece { length: at + 1, content: false });
            }
        }
        Ok(Piece { length: buffer.len(), content: false })
    }

    fn next(&mut self, byte: u8) -> Result<State, BrokenBody> {
        Ok(match (self.state, byte) {
            (State::Size { digits }, _) if byte.is_ascii_hexdigit() && digits < SIZE_DIGITS => {
                let digit = (byte as char).to_digit(16).ok_or(BrokenBody)?;
                self.left = self.left * 16 + u64::from(digit);
                State::Size { digits: digits + 1 }
            }
            (State::Size { digits: 1.. }, b';') => {
                self.count = 0;
                State::Extension
            }
            (State::Size { digits: 1.. } | State::Extension, b'\r') => State::SizeEnd,
            (State::Extension, b'\t' | 0x20..=0x7e) => {
                self.counted(EXTENSION_LIMIT_BYTES, State::Extension)?
            }
            (State::SizeEnd, b'\n') if self.left == 0 => {
                self.count = 0;
                State::Trailer
            }
            (State::SizeEnd, b'\n') => State::Content,
            (State::ContentCr, b'\r') => State::ContentLf,
            (State::ContentLf, b'\n') => State::Size { digits: 0 },
            (State::Trailer, b'\r') => State::EndLf,
            (State::Trailer | State::TrailerName, _) if super::syntax::is_token(&[byte]) => {
                self.counted(TRAILER_LIMIT_BYTES, State::TrailerName)?
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, _) if super::syntax::is_field_value(&[byte]) => {
                self.counted(TRAILER_LIMIT_BYTES, State::TrailerValue)?
            }
            (State::TrailerLf, b'\n') => State::Trailer,
            (State::EndLf, b'\n') => State::Over,
            _ => return Err(BrokenBody),
        })
    }

    fn counted(&mut self, limit: u32, state: State) -> Result<State, BrokenBody> {
        self.count += 1;
        if self.count > limit { Err(BrokenBody) } else { Ok(state) }
    }
}
