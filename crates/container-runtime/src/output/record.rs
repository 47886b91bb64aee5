//! One record of a segment: `u32` payload length, `u8` kind, `u8` flags, `i64` milliseconds, payload; numbers little-endian.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use vocabulary::Timestamp;

pub(crate) const HEADER_BYTES: usize = 14;
/// Longest line kept whole; a longer one is cut into several records marked partial. CloudWatch's own limit for an event.
pub(crate) const MAX_LINE_BYTES: usize = 256 << 10;

const KIND_STDOUT: u8 = 1;
const KIND_STDERR: u8 = 2;
const KIND_END: u8 = 3;
const FLAG_PARTIAL: u8 = 1;

/// A place between two records. Ordered; what is before it has been read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogPosition {
    /// Segments count from 1; 0 is the beginning of whatever is kept.
    pub segment: u64,
    pub offset: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    Stdout,
    Stderr,
}

/// One line of output, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub stream: LogStream,
    /// When the shim read the line's end (or, for a piece, its last byte).
    pub at: Timestamp,
    /// Without the newline. At most 256 KiB.
    pub line: Vec<u8>,
    /// The line goes on in this stream's next record (it was too long, or its end was slow to come).
    pub partial: bool,
    /// The position after this record: remember it, and later acknowledge it.
    pub next: LogPosition,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Line { stream: LogStream, at: Timestamp, line: Vec<u8>, partial: bool },
    End,
}

pub(crate) fn encode_line(out: &mut Vec<u8>, stream: LogStream, at: Timestamp, line: &[u8], partial: bool) {
    let kind = match stream {
        LogStream::Stdout => KIND_STDOUT,
        LogStream::Stderr => KIND_STDERR,
    };
    encode(out, kind, if partial { FLAG_PARTIAL } else { 0 }, at, line);
}

pub(crate) fn encode_end(out: &mut Vec<u8>, at: Timestamp) {
    encode(out, KIND_END, 0, at, &[]);
}

fn encode(out: &mut Vec<u8>, kind: u8, flags: u8, at: Timestamp, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.push(kind);
    out.push(flags);
    out.extend_from_slice(&at.as_millis().to_le_bytes());
    out.extend_from_slice(payload);
}

/// The record at the front of `bytes` and its length; `None` when it is not whole yet; an error when this is no record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Body, usize)>, String> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [l0, l1, l2, l3, kind, flags, time @ ..] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_LINE_BYTES {
        return Err(format!("a record of {length} bytes"));
    }
    let Some(payload) = bytes.get(HEADER_BYTES..HEADER_BYTES + length) else { return Ok(None) };
    let at = Timestamp::from_millis(i64::from_le_bytes(time));
    let line = |stream| Body::Line { stream, at, line: payload.to_vec(), partial: flags & FLAG_PARTIAL != 0 };
    let body = match kind {
        KIND_STDOUT => line(LogStream::Stdout),
        KIND_STDERR => line(LogStream::Stderr),
        KIND_END => Body::End,
        other => return Err(format!("a record of kind {other}")),
    };
    Ok(Some((body, HEADER_BYTES + length)))
}

pub(crate) fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:010}.seg"))
}

/// The numbers of the segments in `dir`, ascending; none when there is no directory.
pub(crate) fn segments(dir: &Path) -> std::io::Result<Vec<u64>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|n| n.strip_suffix(".seg")).and_then(|n| n.parse().ok())
        {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}
