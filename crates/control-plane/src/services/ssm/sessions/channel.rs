//! One side of a data channel: what is sent is kept until it is acknowledged, what comes is put in order.
//!
//! As the plugin and the SSM agent have it: data messages are numbered from 0 in each direction; each is acknowledged by itself; the oldest that
//! is not acknowledged is sent again after a time that follows the measured round trip (as TCP's, from 200 ms to 1 s). A receiver acknowledges
//! what it has kept, also out of order, and again what it had before. Both buffers are bounded: a side that has a full one sends no more, or does not
//! acknowledge, and the other sends again later.
//!
//! A pure state machine: it is told the time and the ids, and sends nothing itself.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::wire::{Acknowledgement, Kind, Message, Payload, uuid_text};

/// Messages that may wait for their acknowledgement: a quarter of a megabyte of output.
pub const MOST_UNACKNOWLEDGED: usize = 256;
/// Messages that may be kept for those before them, or for whoever takes them.
pub const MOST_WAITING: usize = 256;
/// How often a message is sent again before the other side counts as gone: five minutes, as the plugin has it.
const MOST_ATTEMPTS: u32 = 300;
const FIRST_TIMEOUT: Duration = Duration::from_millis(200);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
const GRANULARITY: Duration = Duration::from_millis(10);

/// The state. Times are since any moment that stays the same.
#[derive(Debug)]
pub struct Channel {
    /// What this side sends.
    kind: Kind,
    next: i64,
    unacknowledged: VecDeque<Sent>,
    expected: i64,
    waiting: BTreeMap<i64, Message>,
    round_trip: Duration,
    variation: Duration,
    timeout: Duration,
}

#[derive(Debug)]
struct Sent {
    sequence: i64,
    bytes: Vec<u8>,
    at: Duration,
    attempts: u32,
}

/// The other side does not acknowledge any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message was sent again for minutes without being acknowledged")]
pub struct Unheard;

impl Channel {
    /// `kind`: [`Kind::Output`] for the side of the session, [`Kind::Input`] for a client.
    pub fn new(kind: Kind) -> Channel {
        Channel {
            kind,
            next: 0,
            unacknowledged: VecDeque::new(),
            expected: 0,
            waiting: BTreeMap::new(),
            round_trip: FIRST_ROUND_TRIP,
            variation: Duration::ZERO,
            timeout: FIRST_TIMEOUT,
        }
    }

    /// Whether another message may be sent.
    pub fn has_room(&self) -> bool {
        self.unacknowledged.len() < MOST_UNACKNOWLEDGED
    }

    /// Everything that was sent has been acknowledged.
    pub fn is_settled(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// The bytes of a new data message, kept until it is acknowledged. `created`: milliseconds since 1970.
    pub fn send(
        &mut self,
        payload_kind: Payload,
        payload: Vec<u8>,
        id: [u8; 16],
        created: u64,
        now: Duration,
    ) -> Vec<u8> {
        let sequence = self.next;
        self.next += 1;
        // The first is marked, as the agent does.
        let flags = u64::from(sequence == 0);
        let message = Message { kind: self.kind, created, sequence, flags, id, payload_kind, payload };
        let bytes = message.encode();
        self.unacknowledged.push_back(Sent { sequence, bytes: bytes.clone(), at: now, attempts: 0 });
        bytes
    }

    /// The other side has this message.
    pub fn acknowledged(&mut self, sequence: i64, now: Duration) {
        let Some(at) = self.unacknowledged.iter().position(|sent| sent.sequence == sequence) else { return };
        let Some(sent) = self.unacknowledged.remove(at) else { return };
        // Which of several sendings was acknowledged cannot be told.
        if sent.attempts > 0 {
            return;
        }
        let measured = now.saturating_sub(sent.at);
        self.variation = (self.variation * 3 + self.round_trip.abs_diff(measured)) / 4;
        self.round_trip = (self.round_trip * 7 + measured) / 8;
        self.timeout = (self.round_trip + GRANULARITY.max(self.variation * 4)).min(LONGEST_TIMEOUT);
    }

    /// When something is to be sent again.
    pub fn next_due(&self) -> Option<Duration> {
        self.unacknowledged.front().map(|oldest| oldest.at + self.timeout)
    }

    /// What is to be sent again by now.
    ///
    /// # Errors
    /// When that was done too often.
    pub fn due(&mut self, now: Duration) -> Result<Option<Vec<u8>>, Unheard> {
        let timeout = self.timeout;
        let Some(oldest) = self.unacknowledged.front_mut().filter(|oldest| oldest.at + timeout <= now) else {
            return Ok(None);
        };
        if oldest.attempts >= MOST_ATTEMPTS {
            return Err(Unheard);
        }
        oldest.attempts += 1;
        oldest.at = now;
        Ok(Some(oldest.bytes.clone()))
    }

    /// Everything that was not acknowledged, for a connection that takes the place of another.
    pub fn again(&mut self, now: Duration) -> Vec<Vec<u8>> {
        let sent = self.unacknowledged.iter_mut();
        sent.map(|sent| {
            (sent.at, sent.attempts) = (now, sent.attempts.max(1));
            sent.bytes.clone()
        })
        .collect()
    }

    /// Keeps a data message of the other side. True when it is to be acknowledged.
    pub fn receive(&mut self, message: Message) -> bool {
        let sequence = message.sequence;
        if sequence < self.expected {
            // Its acknowledgement was lost.
            return sequence >= 0;
        }
        if self.waiting.contains_key(&sequence) {
            return true;
        }
        let near = sequence - self.expected < MOST_WAITING as i64;
        if near {
            self.waiting.insert(sequence, message);
        }
        near
    }

    /// The next message in order, if it is there.
    pub fn next_in_order(&mut self) -> Option<Message> {
        let message = self.waiting.remove(&self.expected)?;
        self.expected += 1;
        Some(message)
    }

    /// Whether [`Channel::next_in_order`] would give one.
    pub fn has_next(&self) -> bool {
        self.waiting.contains_key(&self.expected)
    }
}

/// The bytes that acknowledge a message.
pub fn acknowledge(message: &Message, id: [u8; 16], created: u64) -> Vec<u8> {
    let content = Acknowledgement {
        acknowledged_message_type: message.kind.name().to_owned(),
        acknowledged_message_id: uuid_text(&message.id),
        acknowledged_message_sequence_number: message.sequence,
        is_sequential_message: true,
    };
    let payload = serde_json::to_vec(&content).unwrap_or_default();
    let (kind, payload_kind) = (Kind::Acknowledge, Payload::None);
    Message { kind, created, sequence: 0, flags: 3, id, payload_kind, payload }.encode()
}
