//! Makes log events of lines.
//!
//! A line is an event, unless a multiline pattern says which lines begin one. A line that came in pieces is put together up
//! to the largest event there is. Standard output and error are one stream of events, each put together by itself.
//! An event without text is none: PutLogEvents refuses it.

use agent_protocol::LogEvent;
use container_runtime::{LogPosition, LogRecord, LogStream};
use regex::Regex;
use vocabulary::Timestamp;

/// CloudWatch Logs' largest event, less the 26 bytes that it counts beside the text.
const MAX_EVENT_BYTES: usize = (256 << 10) - 26;

/// Puts records together to events.
#[derive(Debug)]
pub struct Assembler {
    begins_event: Option<Regex>,
    stdout: Pending,
    stderr: Pending,
}

#[derive(Debug, Default)]
struct Pending {
    /// Pieces of a line whose end has not come.
    line: Vec<u8>,
    line_at: Option<Timestamp>,
    /// Lines of an event that may go on.
    event: String,
    event_at: Option<Timestamp>,
}

impl Assembler {
    /// `begins_event`: matches the first line of every event.
    pub fn new(begins_event: Option<Regex>) -> Assembler {
        Assembler { begins_event, stdout: Pending::default(), stderr: Pending::default() }
    }

    /// Takes a record and gives the events that are complete with it.
    pub fn push(&mut self, record: LogRecord) -> Vec<LogEvent> {
        let pending = match record.stream {
            LogStream::Stdout => &mut self.stdout,
            LogStream::Stderr => &mut self.stderr,
        };
        let mut events = Vec::new();
        pending.line_at.get_or_insert(record.at);
        pending.line.extend_from_slice(&record.line);
        while pending.line.len() > MAX_EVENT_BYTES {
            let rest = pending.line.split_off(text_boundary(&pending.line, MAX_EVENT_BYTES));
            let line = std::mem::replace(&mut pending.line, rest);
            pending.end_line(&line, record.at, self.begins_event.as_ref(), &mut events);
        }
        if !record.partial {
            let line = std::mem::take(&mut pending.line);
            let at = pending.line_at.take().unwrap_or(record.at);
            pending.end_line(&line, at, self.begins_event.as_ref(), &mut events);
        }
        events
    }

    /// Nothing more comes for now (or at all, when `all`): what may be sent of the pending.
    pub fn flush(&mut self, all: bool) -> Vec<LogEvent> {
        let mut events = Vec::new();
        for pending in [&mut self.stdout, &mut self.stderr] {
            if all && !pending.line.is_empty() {
                let line = std::mem::take(&mut pending.line);
                let at = pending.line_at.take().unwrap_or_default();
                pending.end_line(&line, at, self.begins_event.as_ref(), &mut events);
            }
            pending.end_event(&mut events);
        }
        events
    }

    /// Whether [`Assembler::flush`] would give anything (`all` or not).
    pub fn has_open_event(&self) -> bool {
        self.stdout.event_at.is_some() || self.stderr.event_at.is_some()
    }

    /// Whether everything taken so far was given out: then, and only then, may its position be remembered.
    pub fn is_empty(&self) -> bool {
        !self.has_open_event() && self.stdout.line.is_empty() && self.stderr.line.is_empty()
    }
}

impl Pending {
    fn end_line(
        &mut self,
        line: &[u8],
        at: Timestamp,
        begins_event: Option<&Regex>,
        events: &mut Vec<LogEvent>,
    ) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(line);
        let Some(pattern) = begins_event else {
            if !line.is_empty() {
                events.push(LogEvent { timestamp: at, message: line.into_owned() });
            }
            return;
        };
        if pattern.is_match(&line) || self.event.len() + line.len() >= MAX_EVENT_BYTES {
            self.end_event(events);
        }
        self.event_at.get_or_insert(at);
        self.event.push_str(&line);
        self.event.push('\n');
    }

    fn end_event(&mut self, events: &mut Vec<LogEvent>) {
        let message = std::mem::take(&mut self.event);
        if let Some(timestamp) = self.event_at.take()
            && !message.trim_end().is_empty()
        {
            events.push(LogEvent { timestamp, message });
        }
    }
}

/// The last place at or before `at` that does not cut a UTF-8 character.
fn text_boundary(text: &[u8], at: usize) -> usize {
    (at.saturating_sub(3)..=at).rev().find(|&place| text[place] & 0xc0 != 0x80).unwrap_or(at)
}

/// The position to remember is that of the last record when nothing of it or before it is still pending.
pub(crate) fn position_after(assembler: &Assembler, record: LogPosition, before: LogPosition) -> LogPosition {
    if assembler.is_empty() { record } else { before }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stream: LogStream, at: i64, line: &str, partial: bool) -> LogRecord {
        let at = Timestamp::from_millis(at);
        LogRecord { stream, at, line: line.as_bytes().to_vec(), partial, next: LogPosition::default() }
    }

    fn texts(events: Vec<LogEvent>) -> Vec<(i64, String)> {
        events.into_iter().map(|event| (event.timestamp.as_millis(), event.message)).collect()
    }

    use LogStream::{Stderr, Stdout};

    #[test]
    fn a_line_is_an_event_and_an_empty_one_is_none() {
        let mut assembler = Assembler::new(None);
        assert_eq!(texts(assembler.push(record(Stdout, 1, "hello\r", false))), [(1, "hello".to_owned())]);
        assert_eq!(texts(assembler.push(record(Stdout, 2, "", false))), []);
        assert!(assembler.is_empty());
    }

    #[test]
    fn pieces_are_put_together_for_each_stream_by_itself() {
        let mut assembler = Assembler::new(None);
        assert_eq!(texts(assembler.push(record(Stdout, 1, "a", true))), []);
        assert!(!assembler.is_empty());
        assert_eq!(texts(assembler.push(record(Stderr, 2, "err", false))), [(2, "err".to_owned())]);
        assert_eq!(texts(assembler.push(record(Stdout, 3, "b", false))), [(1, "ab".to_owned())]);
        assembler.push(record(Stdout, 4, "prompt> ", true));
        assert_eq!(texts(assembler.flush(false)), []);
        assert_eq!(texts(assembler.flush(true)), [(4, "prompt> ".to_owned())]);
        assert!(assembler.is_empty());
    }

    #[test]
    fn a_line_longer_than_an_event_becomes_several_without_cutting_a_character() {
        let mut assembler = Assembler::new(None);
        let long = "é".repeat(MAX_EVENT_BYTES / 2 + 10);
        let mut given: Vec<String> = Vec::new();
        for piece in long.as_bytes().chunks(100_001) {
            let record = LogRecord { line: piece.to_vec(), ..record(Stdout, 1, "", true) };
            given.extend(assembler.push(record).into_iter().map(|event| event.message));
        }
        given.extend(assembler.push(record(Stdout, 1, "", false)).into_iter().map(|event| event.message));
        assert_eq!(given.len(), 2);
        assert!(given.iter().all(|message| message.len() <= MAX_EVENT_BYTES));
        assert_eq!(given.concat(), long);
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced() {
        let mut assembler = Assembler::new(None);
        let record = LogRecord { line: vec![b'a', 0xff], ..record(Stdout, 1, "", false) };
        assert_eq!(texts(assembler.push(record)), [(1, "a\u{fffd}".to_owned())]);
    }

    #[test]
    fn a_pattern_says_which_lines_begin_an_event() {
        let mut assembler = Assembler::new(Some(Regex::new("^ERROR").unwrap()));
        assert_eq!(texts(assembler.push(record(Stdout, 1, "ERROR one", false))), []);
        assert_eq!(texts(assembler.push(record(Stdout, 2, "  at f()", false))), []);
        assert!(assembler.has_open_event() && !assembler.is_empty());
        assert_eq!(
            texts(assembler.push(record(Stdout, 3, "ERROR two", false))),
            [(1, "ERROR one\n  at f()\n".to_owned())]
        );
        assert_eq!(texts(assembler.flush(false)), [(3, "ERROR two\n".to_owned())]);
        assert!(assembler.is_empty());
    }
}
