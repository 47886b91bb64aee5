//! Reads a container's output from a remembered position and waits for more.
//!
//! Whoever knows that there is more says so through a watch channel (the connection to the shim does); nothing is polled.

use super::record::{self, Body, LogPosition, LogRecord};
use crate::error::RuntimeError;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, watch};

/// Read at once: a record is at most 256 KiB, so that one is always whole within two of these.
const CHUNK_BYTES: usize = 256 << 10;

/// A container's output, line by line, from a position on. Dropping it loses nothing.
#[derive(Debug)]
pub struct LogTail {
    name: String,
    dir: PathBuf,
    position: LogPosition,
    file: Option<File>,
    buffer: Vec<u8>,
    ready: VecDeque<LogRecord>,
    ended: bool,
    /// Bumped when there is more; closed (or absent) when nobody will write any more.
    more: Option<watch::Receiver<u64>>,
    acknowledge: Option<mpsc::UnboundedSender<(String, LogPosition)>>,
}

impl LogTail {
    pub(crate) fn live(
        name: String,
        dir: PathBuf,
        from: LogPosition,
        more: watch::Receiver<u64>,
        acknowledge: mpsc::UnboundedSender<(String, LogPosition)>,
    ) -> LogTail {
        LogTail { more: Some(more), acknowledge: Some(acknowledge), ..LogTail::finished(name, dir, from) }
    }

    /// For a container whose shim is gone: reads what there is, then ends.
    pub(crate) fn finished(name: String, dir: PathBuf, from: LogPosition) -> LogTail {
        LogTail {
            name,
            dir,
            position: from,
            file: None,
            buffer: Vec::new(),
            ready: VecDeque::new(),
            ended: false,
            more: None,
            acknowledge: None,
        }
    }

    /// The next line; `None` after the last. Cancel-safe.
    ///
    /// # Errors
    /// When a segment cannot be read or holds no records: the position is from another container, or the disk is broken.
    pub async fn next(&mut self) -> Result<Option<LogRecord>, RuntimeError> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            if !self.wait_for_more().await? {
                return Ok(None);
            }
        }
    }

    /// All lines that are there, at least one and at most `limit`; empty after the last. Cancel-safe.
    ///
    /// # Errors
    /// As [`LogTail::next`].
    pub async fn next_batch(&mut self, limit: usize) -> Result<Vec<LogRecord>, RuntimeError> {
        while self.ready.is_empty() {
            if !self.wait_for_more().await? {
                return Ok(Vec::new());
            }
        }
        let count = self.ready.len().min(limit.max(1));
        Ok(self.ready.drain(..count).collect())
    }

    /// Says that everything before `position` is kept elsewhere: the shim may delete it. Remember the position durably first.
    pub fn acknowledge(&self, position: LogPosition) {
        if let Some(sender) = &self.acknowledge {
            // No receiver: the shim is gone, and so will the files be.
            let _ = sender.send((self.name.clone(), position));
        }
    }

    /// True when `ready` has something; false at the end.
    async fn wait_for_more(&mut self) -> Result<bool, RuntimeError> {
        loop {
            // Marked seen before reading, so that what is written while reading wakes the wait below.
            let open = match &mut self.more {
                Some(more) => {
                    more.borrow_and_update();
                    more.has_changed().is_ok()
                }
                None => false,
            };
            if self.read_available()? {
                return Ok(true);
            }
            if self.ended || !open {
                return Ok(false);
            }
            if let Some(more) = &mut self.more {
                // Closed: one more look at the files, then the end.
                let _ = more.changed().await;
            }
        }
    }

    /// Decodes what is on disk into `ready`, a chunk at most.
    fn read_available(&mut self) -> Result<bool, RuntimeError> {
        while !self.ended {
            if self.file.is_none() && !self.open_segment()? {
                return Ok(false);
            }
            let Some(file) = &mut self.file else { return Ok(false) };
            let before = self.buffer.len();
            self.buffer.resize(before + CHUNK_BYTES, 0);
            let count = file.read(&mut self.buffer[before..]);
            self.buffer.truncate(before + *count.as_ref().unwrap_or(&0));
            let count = count.map_err(RuntimeError::io("read output in", &self.dir))?;
            self.decode()?;
            if !self.ready.is_empty() {
                return Ok(true);
            }
            if count == 0 && !self.next_segment()? {
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn decode(&mut self) -> Result<(), RuntimeError> {
        let mut used = 0;
        while let Some((body, length)) = record::decode(&self.buffer[used..]).map_err(|what| {
            RuntimeError::Protocol(format!("{what} at {:?} of {}", self.position, self.dir.display()))
        })? {
            used += length;
            self.position.offset += length as u64;
            match body {
                Body::End => self.ended = true,
                Body::Line { stream, at, line, partial } => {
                    self.ready.push_back(LogRecord { stream, at, line, partial, next: self.position });
                }
            }
        }
        self.buffer.drain(..used);
        Ok(())
    }

    /// Opens the segment of the position, or the first there is when it has been deleted.
    fn open_segment(&mut self) -> Result<bool, RuntimeError> {
        let numbers = record::segments(&self.dir).map_err(RuntimeError::io("list output in", &self.dir))?;
        let Some(&number) = numbers.iter().find(|n| **n >= self.position.segment) else { return Ok(false) };
        if number != self.position.segment {
            self.position = LogPosition { segment: number, offset: 0 };
        }
        self.file = open_at(&self.dir, self.position)?;
        self.buffer.clear();
        Ok(self.file.is_some())
    }

    /// Moves on when a later segment exists: the writer never returns to an earlier one, so one more look at this one has been taken
    /// by the caller or is taken here.
    fn next_segment(&mut self) -> Result<bool, RuntimeError> {
        let numbers = record::segments(&self.dir).map_err(RuntimeError::io("list output in", &self.dir))?;
        let Some(&number) = numbers.iter().find(|n| **n > self.position.segment) else { return Ok(false) };
        if let Some(file) = &mut self.file {
            let length = file.metadata().map_err(RuntimeError::io("examine output in", &self.dir))?.len();
            if length > self.position.offset + self.buffer.len() as u64 {
                return Ok(true);
            }
        }
        self.position = LogPosition { segment: number, offset: 0 };
        self.file = None;
        Ok(true)
    }
}

fn open_at(dir: &Path, position: LogPosition) -> Result<Option<File>, RuntimeError> {
    let path = record::segment_path(dir, position.segment);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(RuntimeError::io("open", path)(e)),
    };
    file.seek(SeekFrom::Start(position.offset)).map_err(RuntimeError::io("seek in", path))?;
    Ok(Some(file))
}
