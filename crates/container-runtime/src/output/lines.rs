//! Cuts a byte stream into lines: whole ones as their newline comes, pieces when a line is too long or its end is slow.

use super::record::MAX_LINE_BYTES;

/// What has been read of a line that has not ended.
#[derive(Debug, Default)]
pub(crate) struct LineCutter {
    pending: Vec<u8>,
}

impl LineCutter {
    /// Calls `emit(line, partial)` for everything that `bytes` completes.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - self.pending.len();
            let window = &bytes[..bytes.len().min(room + 1)];
            match window.iter().position(|b| *b == b'\n') {
                Some(end) if self.pending.is_empty() => {
                    emit(&bytes[..end], false);
                    bytes = &bytes[end + 1..];
                }
                Some(end) => {
                    self.pending.extend_from_slice(&bytes[..end]);
                    emit(&self.pending, false);
                    self.pending.clear();
                    bytes = &bytes[end + 1..];
                }
                None if window.len() > room => {
                    self.pending.extend_from_slice(&bytes[..room]);
                    emit(&self.pending, true);
                    self.pending.clear();
                    bytes = &bytes[room..];
                }
                None => {
                    self.pending.extend_from_slice(bytes);
                    return;
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// What is pending, marked partial when the line may go on.
    pub(crate) fn flush(&mut self, may_go_on: bool, mut emit: impl FnMut(&[u8], bool)) {
        if !self.pending.is_empty() {
            emit(&self.pending, may_go_on);
            self.pending.clear();
        }
    }
}
