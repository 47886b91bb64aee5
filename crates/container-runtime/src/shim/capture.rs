//! Reads what a container writes, cuts it into stamped lines and puts them on disk.

use crate::output::lines::LineCutter;
use crate::output::record::LogStream;
use crate::output::writer::OutputWriter;
use crate::status::now;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// A line whose end is this slow to come is passed on in pieces: a prompt or a progress bar is worth seeing.
const PARTIAL_LINE_DELAY: Duration = Duration::from_millis(250);
/// Read at once from one pipe before others get their turn: a pipe's whole default capacity.
const CHUNK_BYTES: usize = 64 << 10;
/// When the disk takes no more, the next attempt.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Both streams of one container.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) writer: OutputWriter,
    stdout: Source,
    stderr: Source,
    /// After a failed write.
    retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Source {
    stream: LogStream,
    pipe: Option<File>,
    cutter: LineCutter,
    /// When what is pending is passed on as it is.
    flush_at: Option<Instant>,
}

impl Capture {
    pub(super) fn new(writer: OutputWriter, stdout: Option<File>, stderr: Option<File>) -> Capture {
        let source = |stream, pipe| Source { stream, pipe, cutter: LineCutter::default(), flush_at: None };
        let (stdout, stderr) = (source(LogStream::Stdout, stdout), source(LogStream::Stderr, stderr));
        Capture { writer, stdout, stderr, retry_at: None }
    }

    /// What to wait for: nothing while the disk holds as much as it may, so that the container waits.
    pub(super) fn wanted(&self, ended: bool) -> impl Iterator<Item = (LogStream, BorrowedFd<'_>)> {
        let open = self.retry_at.is_none() && (ended || !self.writer.is_full());
        [&self.stdout, &self.stderr]
            .into_iter()
            .filter(move |_| open)
            .filter_map(|source| Some((source.stream, source.pipe.as_ref()?.as_fd())))
    }

    pub(super) fn use_terminal(&mut self, pipe: File) {
        self.stdout.pipe = Some(pipe);
    }

    /// Reads one stream once; true when lines were written to disk.
    pub(super) fn read(&mut self, stream: LogStream, buffer: &mut Vec<u8>) -> bool {
        let Capture { writer, stdout, stderr, .. } = self;
        let source = match stream {
            LogStream::Stdout => stdout,
            LogStream::Stderr => stderr,
        };
        let Some(pipe) = &mut source.pipe else { return false };
        buffer.resize(CHUNK_BYTES, 0);
        match pipe.read(buffer) {
            Ok(0) => source.close(writer),
            Ok(count) => {
                let at = now();
                source.cutter.push(&buffer[..count], |line, partial| writer.line(stream, at, line, partial));
                source.flush_at = (!source.cutter.is_empty()).then(|| Instant::now() + PARTIAL_LINE_DELAY);
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return false,
            // A terminal says so when its last user is gone.
            Err(_) => source.close(writer),
        }
        self.flush()
    }

    /// Passes on what has waited long enough; true when lines were written to disk.
    pub(super) fn tick(&mut self, now_is: Instant) -> bool {
        let at = now();
        for source in [&mut self.stdout, &mut self.stderr] {
            if source.flush_at.is_some_and(|due| due <= now_is) {
                source.flush_at = None;
                let stream = source.stream;
                source.cutter.flush(true, |line, partial| self.writer.line(stream, at, line, partial));
            }
        }
        if self.retry_at.is_some_and(|due| due > now_is) {
            return false;
        }
        self.flush()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.stdout.flush_at, self.stderr.flush_at, self.retry_at].into_iter().flatten().min()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none()
    }

    /// The end: what is pending is passed on, and the end is marked. True when lines were written.
    pub(super) fn finish(&mut self) -> bool {
        for source in [&mut self.stdout, &mut self.stderr] {
            source.close(&mut self.writer);
        }
        self.writer.end(now());
        self.flush()
    }

    fn flush(&mut self) -> bool {
        match self.writer.flush() {
            Ok(written) => {
                self.retry_at = None;
                written
            }
            Err(_) => {
                self.retry_at = Some(Instant::now() + RETRY_DELAY);
                false
            }
        }
    }
}

impl Source {
    fn close(&mut self, writer: &mut OutputWriter) {
        let (stream, at) = (self.stream, now());
        self.cutter.flush(false, |line, partial| writer.line(stream, at, line, partial));
        self.pipe = None;
        self.flush_at = None;
    }
}
