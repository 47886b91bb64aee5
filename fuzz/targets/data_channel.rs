//! The data channel of sessions: messages and the frames of the multiplexer there and back, and a channel that is told anything keeps
//! its bounds and its order.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/control-plane/src/services/ssm/sessions/channel.rs"]
mod channel;
#[path = "../../crates/control-plane/src/services/ssm/sessions/smux.rs"]
mod smux;
#[path = "../../crates/control-plane/src/services/ssm/sessions/wire.rs"]
mod wire;

use std::time::Duration;

use channel::{Channel, MOST_UNACKNOWLEDGED, MOST_WAITING};
use libfuzzer_sys::fuzz_target;
use smux::{Frame, Frames};
use wire::{Kind, Message, Payload};

fn message(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        let written = message.encode();
        assert_eq!(Message::decode(&written).as_ref(), Ok(&message));
        _ = channel::acknowledge(&message, [0; 16], 0);
        // One byte of the payload is never lost or altered unseen.
        if let Some(last) = written.len().checked_sub(1).filter(|_| !message.payload.is_empty()) {
            let mut altered = written;
            altered[last] ^= 1;
            assert!(Message::decode(&altered).is_err());
        }
    }
}

fn frames(data: &[u8], part: usize) -> (Vec<Frame>, bool) {
    let (mut frames, mut found) = (Frames::default(), Vec::new());
    for part in data.chunks(part.max(1)) {
        frames.push(part);
        loop {
            match frames.take() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(_) => return (found, false),
            }
        }
    }
    (found, true)
}

fn conversation(data: &[u8]) {
    let mut channel = Channel::new(Kind::Output);
    let (mut now, mut expected) = (Duration::ZERO, 0);
    let mut sent = 0;
    for step in data.chunks_exact(4) {
        let [what, a, b, c] = *step else { return };
        now += Duration::from_millis(u64::from(c) * 8);
        let number = i64::from(i16::from_be_bytes([a, b]));
        match what % 5 {
            0 if channel.has_room() => {
                channel.send(Payload::Output, vec![a, b], [0; 16], 0, now);
                sent += 1;
            }
            1 => channel.acknowledged(number, now),
            2 => {
                // Also numbers at the ends of what there is.
                let sequence = match c {
                    0 => i64::MAX - number.abs(),
                    1 => i64::MIN + number.abs(),
                    _ => number,
                };
                let payload = sequence.to_be_bytes().to_vec();
                let (kind, payload_kind) = (Kind::Input, Payload::Output);
                let message =
                    Message { kind, created: 0, sequence, flags: 0, id: [0; 16], payload_kind, payload };
                if channel.receive(message) {
                    assert!(sequence >= 0 && sequence < expected + MOST_WAITING as i64);
                }
            }
            3 => {
                let there = channel.has_next();
                let next = channel.next_in_order();
                assert_eq!(next.is_some(), there);
                if let Some(next) = next {
                    assert_eq!(next.sequence, expected);
                    expected += 1;
                }
            }
            _ => {
                if let Ok(Some(bytes)) = channel.due(now) {
                    assert!(Message::decode(&bytes).is_ok());
                }
                let again = channel.again(now).len();
                assert!(again <= MOST_UNACKNOWLEDGED.min(sent));
                assert_eq!(channel.is_settled(), again == 0);
                assert_eq!(channel.next_due().is_none(), again == 0);
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [kind, rest @ ..] = data else { return };
    match kind % 3 {
        0 => message(rest),
        1 => {
            let (whole, good) = frames(rest, rest.len());
            assert_eq!(frames(rest, usize::from(*kind)), (whole.clone(), good));
            if good {
                let written: Vec<u8> = whole.iter().flat_map(Frame::encode).collect();
                assert_eq!(frames(&written, written.len()).0.len(), whole.len());
            }
        }
        _ => conversation(rest),
    }
});
