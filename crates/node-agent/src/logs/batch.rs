//! Collects events until they are a batch for PutLogEvents.
//!
//! Limits are the API's: 10,000 events, 1 MiB counted as every message's length plus 26, and no more than 24 hours
//! between the first and the last event.

use std::collections::VecDeque;

use agent_protocol::LogEvent;
use container_runtime::LogPosition;

pub const MAX_BATCH_EVENTS: usize = 10_000;
pub const MAX_BATCH_BYTES: usize = 1 << 20;
/// What an event counts beyond its message.
const EVENT_OVERHEAD_BYTES: usize = 26;
const MAX_SPAN_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Events that wait to be sent, with the position that each leads up to.
#[derive(Debug, Default)]
pub struct Batch {
    waiting: VecDeque<(LogEvent, LogPosition)>,
    bytes: usize,
}

impl Batch {
    pub fn push(&mut self, event: LogEvent, position: LogPosition) {
        self.bytes += cost(&event);
        self.waiting.push_back((event, position));
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Size of all that waits, as the API counts it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is as much as fits into one call.
    pub fn is_full(&self) -> bool {
        self.bytes >= MAX_BATCH_BYTES || self.waiting.len() >= MAX_BATCH_EVENTS
    }

    /// Takes as many events as fit into one call, oldest first, and the position up to which everything is in it
    /// or in an earlier one.
    pub fn take(&mut self) -> Option<(Vec<LogEvent>, LogPosition)> {
        let first = self.waiting.front()?.0.timestamp.as_millis();
        let (mut events, mut bytes, mut position) = (Vec::new(), 0, LogPosition::default());
        let (mut earliest, mut latest) = (first, first);
        while let Some((event, _)) = self.waiting.front() {
            let time = event.timestamp.as_millis();
            (earliest, latest) = (earliest.min(time), latest.max(time));
            let fits = events.is_empty()
                || (bytes + cost(event) <= MAX_BATCH_BYTES
                    && events.len() < MAX_BATCH_EVENTS
                    && latest - earliest < MAX_SPAN_MILLIS);
            if !fits {
                break;
            }
            bytes += cost(event);
            if let Some((event, up_to)) = self.waiting.pop_front() {
                events.push(event);
                position = up_to;
            }
        }
        self.bytes -= bytes;
        // Clocks may step back between lines; the sort is stable, so lines of one millisecond keep their order.
        events.sort_by_key(|event| event.timestamp);
        Some((events, position))
    }
}

fn cost(event: &LogEvent) -> usize {
    event.message.len() + EVENT_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use vocabulary::Timestamp;

    use super::*;

    fn push(batch: &mut Batch, at: i64, length: usize) {
        let offset = batch.waiting.len() as u64 + 1;
        let event = LogEvent { timestamp: Timestamp::from_millis(at), message: "x".repeat(length) };
        batch.push(event, LogPosition { segment: 1, offset });
    }

    #[test]
    fn nothing_is_no_batch() {
        assert!(Batch::default().take().is_none());
    }

    #[test]
    fn a_batch_holds_at_most_ten_thousand_events() {
        let mut batch = Batch::default();
        (0..10_001).for_each(|at| push(&mut batch, at, 1));
        assert!(batch.is_full());
        let (events, position) = batch.take().unwrap();
        assert_eq!((events.len(), position.offset), (10_000, 10_000));
        assert_eq!(batch.take().unwrap().0.len(), 1);
        assert_eq!((batch.bytes(), batch.is_empty()), (0, true));
    }

    #[test]
    fn a_batch_holds_at_most_a_mebibyte_counted_as_the_api_does() {
        let mut batch = Batch::default();
        let half = MAX_BATCH_BYTES / 2 - EVENT_OVERHEAD_BYTES;
        (0..3).for_each(|at| push(&mut batch, at, half));
        assert_eq!(batch.take().unwrap().0.len(), 2);
        assert_eq!(batch.take().unwrap().0.len(), 1);
    }

    #[test]
    fn a_batch_spans_less_than_a_day() {
        let mut batch = Batch::default();
        push(&mut batch, 0, 1);
        push(&mut batch, MAX_SPAN_MILLIS, 1);
        assert_eq!(batch.take().unwrap().0.len(), 1);
    }

    #[test]
    fn events_are_in_order_of_time_and_the_position_is_that_of_the_last_read() {
        let mut batch = Batch::default();
        for at in [5, 3, 3, 4] {
            push(&mut batch, at, at as usize);
        }
        let (events, position) = batch.take().unwrap();
        assert_eq!(events.iter().map(|event| event.timestamp.as_millis()).collect::<Vec<_>>(), [3, 3, 4, 5]);
        assert_eq!(position.offset, 4);
    }
}
