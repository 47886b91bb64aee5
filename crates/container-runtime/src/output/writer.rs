//! The shim's side of the output: appends to the last segment, starts new ones, deletes what was acknowledged, knows when it is full.

use super::record::{self, LogPosition, LogStream};
use crate::config::OutputLimits;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use vocabulary::Timestamp;

#[derive(Debug)]
pub(crate) struct OutputWriter {
    dir: PathBuf,
    limits: OutputLimits,
    file: File,
    segment: u64,
    segment_bytes: u64,
    /// Finished segments that are still there, oldest first, with their sizes.
    kept: VecDeque<(u64, u64)>,
    acknowledged: LogPosition,
    batch: Vec<u8>,
    ended: bool,
}

impl OutputWriter {
    pub(crate) fn create(dir: &Path, limits: OutputLimits) -> std::io::Result<OutputWriter> {
        std::fs::create_dir_all(dir)?;
        Ok(OutputWriter {
            dir: dir.to_owned(),
            limits,
            file: File::create(record::segment_path(dir, 1))?,
            segment: 1,
            segment_bytes: 0,
            kept: VecDeque::new(),
            acknowledged: LogPosition::default(),
            batch: Vec::new(),
            ended: false,
        })
    }

    /// Adds a line to what the next [`OutputWriter::flush`] writes.
    pub(crate) fn line(&mut self, stream: LogStream, at: Timestamp, line: &[u8], partial: bool) {
        record::encode_line(&mut self.batch, stream, at, line, partial);
    }

    pub(crate) fn end(&mut self, at: Timestamp) {
        if !self.ended {
            self.ended = true;
            record::encode_end(&mut self.batch, at);
        }
    }

    /// Writes what was added; true when there was something. A failed write (disk full) keeps nothing of a record in part: the segment is cut
    /// back to where it was and the batch is kept for the next attempt.
    pub(crate) fn flush(&mut self) -> std::io::Result<bool> {
        if self.batch.is_empty() {
            return Ok(false);
        }
        if self.segment_bytes >= self.limits.segment_bytes {
            let file = File::create(record::segment_path(&self.dir, self.segment + 1))?;
            self.kept.push_back((self.segment, self.segment_bytes));
            self.file = file;
            self.segment += 1;
            self.segment_bytes = 0;
            self.delete_acknowledged();
        }
        if let Err(e) = self.file.write_all(&self.batch) {
            use std::io::Seek;
            self.file.set_len(self.segment_bytes)?;
            self.file.seek(std::io::SeekFrom::Start(self.segment_bytes))?;
            return Err(e);
        }
        self.segment_bytes += self.batch.len() as u64;
        self.batch.clear();
        Ok(true)
    }

    /// Bytes that somebody may yet want: whole finished segments, and what is not acknowledged of the last.
    pub(crate) fn held_bytes(&self) -> u64 {
        let finished = self.kept.iter().map(|(_, bytes)| bytes).sum::<u64>();
        let read = if self.acknowledged.segment == self.segment { self.acknowledged.offset } else { 0 };
        finished + self.segment_bytes.saturating_sub(read)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.held_bytes() >= self.limits.total_bytes || self.batch.len() as u64 >= self.limits.segment_bytes
    }

    /// Everything before `position` is kept elsewhere: the segments that lie wholly before it are deleted.
    pub(crate) fn acknowledge(&mut self, position: LogPosition) {
        self.acknowledged = self.acknowledged.max(position);
        self.delete_acknowledged();
    }

    fn delete_acknowledged(&mut self) {
        let done = self.acknowledged;
        while let Some((segment, bytes)) = self.kept.front() {
            if *segment > done.segment || (*segment == done.segment && done.offset < *bytes) {
                break;
            }
            // Already gone is as good; anything else leaves a file that goes with the container.
            let _ = std::fs::remove_file(record::segment_path(&self.dir, *segment));
            self.kept.pop_front();
        }
    }
}
