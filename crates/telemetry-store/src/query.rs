//! Reading in order: one stream or many, forward or backward, a bounded step at a time.
//!
//! Per file the selected streams are merged by position. A stream's rows are fetched in small pages, and a stream
//! is opened only when the merge reaches the time of its first event there, so a group with thousands of
//! short streams costs what its overlapping streams cost.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    sync::Arc,
};

use rusqlite::{Connection, params};
use vocabulary::Timestamp;

use crate::{
    catalog::StreamId,
    error::StoreError,
    model::{LogGroupKey, Position, StoredEvent, StreamSelection},
    segment::Segment,
};

/// Rows fetched from one stream at a time.
const PAGE_ROWS: usize = 256;
/// Bytes that the fetched pages of all open streams may hold together, and what one of them gets at most. A page holds at
/// least one event.
const PAGES_BYTES: usize = 8 << 20;
const PAGE_BYTES: usize = 256 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Decides whether an event belongs in the answer.
pub type Predicate = Box<dyn FnMut(&StoredEvent) -> bool + Send>;

/// One step of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuery {
    pub group: LogGroupKey,
    pub streams: StreamSelection,
    /// The earliest timestamp that is part of the answer.
    pub from: Option<Timestamp>,
    /// The earliest timestamp that is no longer part of it.
    pub until: Option<Timestamp>,
    pub direction: Direction,
    /// Start strictly beyond this position, seen in reading direction.
    pub after: Option<Position>,
    /// Stop after this many events in the answer.
    pub limit: usize,
    /// Stop after looking at this many events, matching or not.
    pub scan_limit: usize,
    /// Stop before the messages of the answer exceed this many bytes (one event always fits).
    pub byte_limit: usize,
}

impl LogQuery {
    /// Everything in a group, oldest first, in steps of `limit`.
    pub fn all(group: LogGroupKey, limit: usize) -> LogQuery {
        LogQuery {
            group,
            streams: StreamSelection::All,
            from: None,
            until: None,
            direction: Direction::Forward,
            after: None,
            limit,
            scan_limit: usize::MAX,
            byte_limit: usize::MAX,
        }
    }
}

/// The answer to one step, in reading direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryPage {
    pub events: Vec<StoredEvent>,
    /// The last position looked at, when a limit ended the step: more may lie beyond it. `None` when the range
    /// is exhausted.
    pub next: Option<Position>,
    /// Events looked at.
    pub scanned: usize,
}

/// The bounds of a query as integers: positions strictly beyond `start`, timestamps short of `stop`.
struct Bounds {
    direction: Direction,
    start: (i64, i64),
    stop: i64,
}

/// How much of a stream is fetched at a time.
#[derive(Clone, Copy)]
struct PageSize {
    rows: usize,
    bytes: usize,
}

/// A stream opened in one file.
struct Feed {
    stream: StreamId,
    name: Arc<str>,
    page: VecDeque<StoredEvent>,
    /// Where the next page starts; `None` when there is none.
    resume: Option<(i64, i64)>,
}

pub(crate) fn run(
    segments: &[Arc<Segment>],
    streams: &[(Arc<str>, StreamId)],
    query: &LogQuery,
    predicate: &mut dyn FnMut(&StoredEvent) -> bool,
    mut used: impl FnMut(&Segment),
) -> Result<QueryPage, StoreError> {
    let bounds = Bounds::of(query);
    let mut page = QueryPage::default();
    let mut bytes = 0;
    let names: HashMap<StreamId, &Arc<str>> = streams.iter().map(|(name, id)| (*id, name)).collect();
    let ordered: Box<dyn Iterator<Item = &Arc<Segment>>> = match query.direction {
        Direction::Forward => Box::new(segments.iter()),
        Direction::Backward => Box::new(segments.iter().rev()),
    };
    for segment in ordered.filter(|segment| bounds.touches(segment.start, segment.end)) {
        let mut waiting = match candidates(segment, &names, &bounds) {
            Ok(waiting) => waiting,
            Err(_) if segment.is_gone() => continue,
            Err(error) => return Err(error),
        };
        if waiting.is_empty() {
            continue;
        }
        used(segment);
        let size = PageSize {
            rows: query.limit.saturating_add(1).min(PAGE_ROWS),
            bytes: (PAGES_BYTES / waiting.len()).min(PAGE_BYTES),
        };
        let reading = match segment.read() {
            Ok(reading) => reading,
            // Retention removed the file after the list was taken.
            Err(_) if segment.is_gone() => continue,
            Err(error) => return Err(error),
        };
        let failed = StoreError::sqlite("read", segment.label());
        let mut merge = || -> rusqlite::Result<bool> {
            let connection = reading.connection();
            let mut feeds: Vec<Feed> = Vec::new();
            let mut heads: BinaryHeap<Reverse<((i64, i64), usize)>> = BinaryHeap::new();
            loop {
                while let Some((bound, stream)) = waiting.last().copied()
                    && heads.peek().is_none_or(|Reverse(((ts, _), _))| bound <= *ts)
                {
                    waiting.pop();
                    let name = names[&stream].clone();
                    let mut feed = Feed { stream, name, page: VecDeque::new(), resume: Some(bounds.start) };
                    feed.fetch(connection, &bounds, size)?;
                    if let Some(head) = feed.page.front() {
                        heads.push(Reverse((bounds.key(head), feeds.len())));
                        feeds.push(feed);
                    }
                }
                let Some(Reverse((_, index))) = heads.pop() else { return Ok(false) };
                let feed = &mut feeds[index];
                let event = feed.page.pop_front().expect("a stream on the heap has an event");
                if feed.page.is_empty() {
                    feed.fetch(connection, &bounds, size)?;
                }
                if let Some(head) = feed.page.front() {
                    heads.push(Reverse((bounds.key(head), index)));
                }
                let position = event.position();
                if predicate(&event) {
                    if !page.events.is_empty() && bytes + event.message.len() > query.byte_limit {
                        return Ok(true);
                    }
                    bytes += event.message.len();
                    page.events.push(event);
                }
                page.scanned += 1;
                page.next = Some(position);
                if page.events.len() >= query.limit || page.scanned >= query.scan_limit {
                    return Ok(true);
                }
            }
        };
        if merge().map_err(failed)? {
            return Ok(page);
        }
    }
    page.next = None;
    Ok(page)
}

/// The selected streams with events in range in this file, the one to open first at the end.
fn candidates(
    segment: &Segment,
    names: &HashMap<StreamId, &Arc<str>>,
    bounds: &Bounds,
) -> Result<Vec<(i64, StreamId)>, StoreError> {
    let mut found: Vec<(i64, StreamId)> = segment.with_summaries(|summaries| {
        let entry = |id: &StreamId| {
            let summary = summaries.get(id)?;
            let (first, last) = (summary.first_event.as_millis(), summary.last_event.as_millis());
            bounds.touches(first, last.saturating_add(1)).then(|| (bounds.entry(first, last), *id))
        };
        // Walk the smaller side.
        if names.len() <= summaries.len() {
            names.keys().filter_map(entry).collect()
        } else {
            summaries.keys().filter(|id| names.contains_key(id)).filter_map(entry).collect()
        }
    })?;
    found.sort_unstable_by_key(|entry| Reverse(*entry));
    Ok(found)
}

impl Bounds {
    fn of(query: &LogQuery) -> Bounds {
        let from = query.from.map_or(i64::MIN, Timestamp::as_millis);
        let until = query.until.map_or(i64::MAX, Timestamp::as_millis);
        let after = query.after.map(|at| (at.timestamp.as_millis(), at.sequence as i64));
        match query.direction {
            Direction::Forward => {
                let start = (from, i64::MIN);
                Bounds {
                    direction: query.direction,
                    start: after.map_or(start, |at| at.max(start)),
                    stop: until,
                }
            }
            Direction::Backward => {
                let start = (until, i64::MIN);
                Bounds {
                    direction: query.direction,
                    start: after.map_or(start, |at| at.min(start)),
                    stop: from,
                }
            }
        }
    }

    /// Whether the times from `first` up to before `end` can hold anything in range.
    fn touches(&self, first: i64, end: i64) -> bool {
        match self.direction {
            Direction::Forward => end > self.start.0 && first < self.stop,
            Direction::Backward => first <= self.start.0 && end > self.stop,
        }
    }

    /// Where a stream enters the merge, ascending in reading direction.
    fn entry(&self, first: i64, last: i64) -> i64 {
        match self.direction {
            Direction::Forward => first,
            Direction::Backward => last.saturating_neg(),
        }
    }

    /// An event's place in the merge, ascending in reading direction.
    fn key(&self, event: &StoredEvent) -> (i64, i64) {
        let (ts, seq) = (event.timestamp.as_millis(), event.sequence as i64);
        match self.direction {
            Direction::Forward => (ts, seq),
            Direction::Backward => (ts.saturating_neg(), -seq),
        }
    }
}

impl Feed {
    fn fetch(&mut self, connection: &Connection, bounds: &Bounds, size: PageSize) -> rusqlite::Result<()> {
        let Some(start) = self.resume.take() else { return Ok(()) };
        let mut statement = connection.prepare_cached(match bounds.direction {
            Direction::Forward => {
                "SELECT ts, seq, ingested, message FROM events
                 WHERE stream = ?1 AND (ts, seq) > (?2, ?3) AND ts < ?4 ORDER BY ts, seq LIMIT ?5"
            }
            Direction::Backward => {
                "SELECT ts, seq, ingested, message FROM events
                 WHERE stream = ?1 AND (ts, seq) < (?2, ?3) AND ts >= ?4 ORDER BY ts DESC, seq DESC LIMIT ?5"
            }
        })?;
        let mut rows =
            statement.query(params![self.stream, start.0, start.1, bounds.stop, size.rows as i64])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let (ts, seq): (i64, i64) = (row.get(0)?, row.get(1)?);
            let message: String = row.get(3)?;
            bytes += message.len();
            self.page.push_back(StoredEvent {
                stream: self.name.clone(),
                timestamp: Timestamp::from_millis(ts),
                ingestion: Timestamp::from_millis(row.get(2)?),
                sequence: seq as u64,
                message,
            });
            if bytes >= size.bytes || self.page.len() == size.rows {
                self.resume = Some((ts, seq));
                break;
            }
        }
        Ok(())
    }
}
