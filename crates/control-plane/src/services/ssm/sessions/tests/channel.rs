//! The channel's rules, and two sides over a line that loses and reorders.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{
    channel::{Channel, MOST_UNACKNOWLEDGED, MOST_WAITING, Unheard, acknowledge},
    wire::{Acknowledgement, Kind, Message, Payload},
};

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn send(channel: &mut Channel, text: &str, now: Duration) -> Message {
    let bytes = channel.send(Payload::Output, text.as_bytes().to_vec(), [1; 16], 0, now);
    Message::decode(&bytes).unwrap()
}

fn taken(channel: &mut Channel) -> Vec<String> {
    std::iter::from_fn(|| channel.next_in_order())
        .map(|message| String::from_utf8(message.payload).unwrap())
        .collect()
}

#[test]
fn messages_are_put_in_order_and_taken_once() {
    let (mut sender, mut receiver) = (Channel::new(Kind::Output), Channel::new(Kind::Input));
    let sent: Vec<Message> = ["a", "b", "c"].iter().map(|text| send(&mut sender, text, at(0))).collect();
    assert_eq!(sent.iter().map(|message| message.sequence).collect::<Vec<_>>(), [0, 1, 2]);
    for index in [2, 0, 0, 2] {
        assert!(receiver.receive(sent[index].clone()));
    }
    assert_eq!(taken(&mut receiver), ["a"]);
    assert!(receiver.receive(sent[1].clone()));
    assert_eq!(taken(&mut receiver), ["b", "c"]);
    // An old one is acknowledged again, and not taken again; nonsense is neither.
    assert!(receiver.receive(sent[1].clone()));
    assert!(!receiver.receive(Message { sequence: -1, ..sent[1].clone() }));
    assert!(!receiver.receive(Message { sequence: 3 + MOST_WAITING as i64, ..sent[1].clone() }));
    assert!(!receiver.receive(Message { sequence: i64::MAX, ..sent[1].clone() }));
    assert_eq!(taken(&mut receiver), Vec::<String>::new());
}

#[test]
fn what_is_not_acknowledged_is_sent_again() {
    let mut channel = Channel::new(Kind::Output);
    send(&mut channel, "a", at(0));
    send(&mut channel, "b", at(10));
    assert_eq!(channel.next_due(), Some(at(200)));
    assert_eq!(channel.due(at(199)), Ok(None));
    let again = Message::decode(&channel.due(at(200)).unwrap().unwrap()).unwrap();
    assert_eq!((again.sequence, again.payload.as_slice()), (0, &b"a"[..]));
    channel.acknowledged(0, at(210));
    channel.acknowledged(7, at(210));
    // What was sent once tells how long the way is.
    channel.acknowledged(1, at(260));
    assert!(channel.is_settled() && channel.next_due().is_none());
    send(&mut channel, "c", at(300));
    assert!(channel.next_due().unwrap() > at(500), "{:?}", channel.next_due());
    assert_eq!(channel.again(at(400)).len(), 1);
}

#[test]
fn the_other_side_counts_as_gone_in_the_end() {
    let mut channel = Channel::new(Kind::Output);
    send(&mut channel, "a", at(0));
    let mut now = at(0);
    let sent = std::iter::from_fn(|| {
        now += at(1000);
        channel.due(now).transpose()
    });
    let outcomes: Vec<_> = sent.take(1000).collect::<Vec<_>>();
    assert_eq!(outcomes.iter().position(|outcome| *outcome == Err(Unheard)), Some(300));
}

#[test]
fn an_acknowledgement_names_its_message() {
    let mut channel = Channel::new(Kind::Output);
    let message = Message {
        id: *b"\xdd\x01\xe5\x6b\xff\x48\x48\x3e\xa5\x08\xb5\xf0\x73\xf3\x1b\x16",
        ..send(&mut channel, "a", at(0))
    };
    let bytes = acknowledge(&message, [2; 16], 5);
    let read = Message::decode(&bytes).unwrap();
    assert_eq!((read.kind, read.flags, read.sequence), (Kind::Acknowledge, 3, 0));
    let text = String::from_utf8(read.payload.clone()).unwrap();
    let expected = r#"{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"dd01e56b-ff48-483e-a508-b5f073f31b16","AcknowledgedMessageSequenceNumber":0,"IsSequentialMessage":true}"#;
    assert_eq!(text, expected);
    assert!(serde_json::from_slice::<Acknowledgement>(&read.payload).is_ok());
}

proptest! {
    /// Over a line that loses, repeats and reorders, everything arrives once and in order, and neither side keeps more than it may.
    #[test]
    fn everything_arrives_once_and_in_order(count in 1usize..400, seed in proptest::collection::vec(any::<u8>(), 64)) {
        let (mut sender, mut receiver) = (Channel::new(Kind::Output), Channel::new(Kind::Input));
        let mut dice = seed.iter().cycle().enumerate().map(|(turn, byte)| usize::from(*byte).wrapping_mul(31).wrapping_add(turn));
        let (mut line, mut back) = (Vec::<Vec<u8>>::new(), Vec::<i64>::new());
        let (mut now, mut next, mut arrived) = (Duration::ZERO, 0, Vec::new());
        for _ in 0..200_000 {
            if arrived.len() == count && sender.is_settled() {
                break;
            }
            now += Duration::from_millis(20);
            while next < count && sender.has_room() {
                line.push(sender.send(Payload::Output, next.to_string().into_bytes(), [3; 16], 0, now));
                next += 1;
            }
            prop_assert!(next - arrived.len() <= MOST_UNACKNOWLEDGED + MOST_WAITING);
            if let Some(again) = sender.due(now).unwrap() {
                line.push(again);
            }
            for _ in 0..8 {
                if line.is_empty() {
                    break;
                }
                let roll = dice.next().unwrap();
                let bytes = line.swap_remove(roll % line.len());
                if roll % 5 == 0 {
                    continue;
                }
                let message = Message::decode(&bytes).unwrap();
                let sequence = message.sequence;
                if receiver.receive(message) && roll % 7 != 0 {
                    back.push(sequence);
                }
            }
            arrived.extend(taken(&mut receiver));
            back.drain(..).for_each(|sequence| sender.acknowledged(sequence, now));
        }
        let expected: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        prop_assert_eq!(arrived, expected);
    }
}
