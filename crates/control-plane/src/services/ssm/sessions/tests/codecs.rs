//! Messages, frames and plans.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::super::{
    board::IDLE_TIMEOUT,
    plan::{self, LogTo, Work},
    preferences::{self, Preferences},
    smux::{Frame, Frames, Unknown},
    wire::{Kind, MOST_PAYLOAD_BYTES, Message, Payload, WireError},
};
use crate::services::testing::refused;

fn message(payload: &[u8]) -> Message {
    Message {
        kind: Kind::Input,
        created: 1_503_434_274_948,
        sequence: 2,
        flags: 1,
        id: *b"\xdd\x01\xe5\x6b\xff\x48\x48\x3e\xa5\x08\xb5\xf0\x73\xf3\x1b\x16",
        payload_kind: Payload::Output,
        payload: payload.to_vec(),
    }
}

#[test]
fn a_message_has_the_plugins_bytes() {
    let bytes = message(b"payload").encode();
    assert_eq!(bytes.len(), 120 + 7);
    assert_eq!(bytes[..4], [0, 0, 0, 116]);
    assert_eq!(&bytes[4..36], b"input_stream_data               ");
    assert_eq!(bytes[36..40], [0, 0, 0, 1]);
    assert_eq!(bytes[40..48], 1_503_434_274_948u64.to_be_bytes());
    assert_eq!(bytes[48..56], [0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(bytes[56..64], [0, 0, 0, 0, 0, 0, 0, 1]);
    // The halves of dd01e56b-ff48-483e-a508-b5f073f31b16, the lower first.
    assert_eq!(hex::encode(&bytes[64..80]), "a508b5f073f31b16dd01e56bff48483e");
    assert_eq!(
        hex::encode(&bytes[80..112]),
        "239f59ed55e737c77147cf55ad0c1b030b6d7ee748a7426952f9b852d5a935e5"
    );
    assert_eq!(bytes[112..120], [0, 0, 0, 1, 0, 0, 0, 7]);
    assert_eq!(&bytes[120..], b"payload");
    assert_eq!(Message::decode(&bytes).unwrap(), message(b"payload"));
}

#[test]
fn names_filled_up_with_zeroes_are_known() {
    let mut bytes = message(b"x").encode();
    bytes[4 + 17..36].fill(0);
    assert_eq!(Message::decode(&bytes).unwrap().kind, Kind::Input);
}

#[test]
fn what_is_no_message_says_why() {
    let good = message(b"payload").encode();
    let altered = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Message::decode(&bytes).unwrap_err()
    };
    assert_eq!(altered(3, 117), WireError::Header(117));
    assert_eq!(altered(4, b'x'), WireError::Kind);
    assert_eq!(altered(115, 99), WireError::Payload(99));
    assert_eq!(altered(119, 8), WireError::PayloadLength { said: 8, is: 7 });
    assert_eq!(altered(126, b'X'), WireError::Digest);
    for cut in 0..120 {
        assert!(Message::decode(&good[..cut]).is_err(), "{cut}");
    }
    let long = message(&vec![0; MOST_PAYLOAD_BYTES + 1]).encode();
    assert!(matches!(Message::decode(&long), Err(WireError::Length(_))));
}

proptest! {
    #[test]
    fn messages_come_back(payload in proptest::collection::vec(any::<u8>(), 0..2000), sequence in any::<i64>(),
        created in any::<u64>(), flags in any::<u64>(), id in any::<[u8; 16]>()) {
        let sent = Message { sequence, created, flags, id, ..message(&payload) };
        prop_assert_eq!(Message::decode(&sent.encode()).unwrap(), sent);
    }

    /// Whatever comes, it is a message that encodes to itself, or none.
    #[test]
    fn hostile_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&message.encode()).unwrap(), message);
        }
    }

    #[test]
    fn altered_messages_are_survived(at in 0usize..127, byte in any::<u8>(), cut in 0usize..128) {
        let mut bytes = message(b"payload").encode();
        bytes[at] = byte;
        bytes.truncate(cut);
        if let Ok(read) = Message::decode(&bytes) {
            prop_assert_eq!(read.payload, b"payload".to_vec());
        }
    }

    #[test]
    fn frames_come_back_however_they_are_cut(
        data in proptest::collection::vec((0u8..4, any::<u32>(), proptest::collection::vec(any::<u8>(), 0..300)), 1..20),
        piece in 1usize..50,
    ) {
        let sent: Vec<Frame> = data.into_iter().map(|(kind, stream, data)| match kind {
            0 => Frame::Open(stream),
            1 => Frame::Close(stream),
            2 => Frame::Data(stream, data),
            _ => Frame::Nothing,
        }).collect();
        let bytes: Vec<u8> = sent.iter().flat_map(Frame::encode).collect();
        let (mut frames, mut read) = (Frames::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            frames.push(piece);
            while let Some(frame) = frames.take().unwrap() {
                read.push(frame);
            }
        }
        prop_assert_eq!(read, sent);
    }

    #[test]
    fn hostile_frames_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let mut frames = Frames::default();
        frames.push(&bytes);
        while let Ok(Some(_)) = frames.take() {}
    }
}

#[test]
fn a_frame_is_as_smux_has_it() {
    assert_eq!(Frame::Data(3, b"ab".to_vec()).encode(), [1, 2, 2, 0, 3, 0, 0, 0, b'a', b'b']);
    let mut frames = Frames::default();
    frames.push(&[2, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(frames.take(), Err(Unknown { version: 2, command: 0 }));
}

fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect()
}

#[test]
fn documents_say_what_is_done() {
    let of = |name, pairs: &[(&str, &str)]| {
        plan::of_document(name, &parameters(pairs), &Preferences::default(), IDLE_TIMEOUT)
    };
    let shell = of(None, &[]).unwrap();
    assert_eq!(
        (shell.work.session_type(), shell.idle_timeout),
        ("Standard_Stream", Duration::from_secs(1200))
    );
    assert!(matches!(&shell.work, Work::Terminal { args, .. } if args == &["sh"]), "{shell:?}");
    let interactive = of(Some("AWS-StartInteractiveCommand"), &[("command", "sh -c 'ls /'")]).unwrap();
    assert!(matches!(&interactive.work, Work::Terminal { args, .. } if args == &["sh", "-c", "ls /"]));
    let command = [("command", "ls /"), ("separateOutputStream", "true")];
    let plain = of(Some("AWS-StartNonInteractiveCommand"), &command).unwrap();
    assert_eq!(plain.work, Work::Command { args: vec!["ls".into(), "/".into()], separate: true });
    let port = of(Some("AWS-StartPortForwardingSession"), &[("portNumber", "8080")]).unwrap();
    assert_eq!(port.work.session_type(), "Port");
    assert_eq!(
        port.work.properties(),
        serde_json::json!({"portNumber": "8080", "localPortNumber": "0", "type": "LocalPortForwarding"})
    );
    let to_host = [("portNumber", "5432"), ("host", "db.internal"), ("localPortNumber", "5433")];
    let to_host = of(Some("AWS-StartPortForwardingSessionToRemoteHost"), &to_host).unwrap();
    assert!(
        matches!(&to_host.work, Work::Port { host: Some(host), port: 5432, .. } if host == "db.internal")
    );

    refused(of(Some("AWS-RunShellScript"), &[]), "InvalidDocument", "does not exist");
    refused(of(None, &[("command", "ls")]), "InvalidParameters", "is not defined");
    refused(of(Some("AWS-StartInteractiveCommand"), &[]), "InvalidParameters", "requires a value");
    refused(of(Some("AWS-StartInteractiveCommand"), &[("command", "'")]), "InvalidParameters", "quotation");
    let zero = [("portNumber", "0")];
    refused(of(Some("AWS-StartPortForwardingSession"), &zero), "InvalidParameters", "no port");
    let without = [("portNumber", "80")];
    refused(of(Some("AWS-StartPortForwardingSessionToRemoteHost"), &without), "InvalidParameters", "host");
}

#[test]
fn preferences_are_read_or_refused() {
    let of = |inputs: &str| {
        let text =
            format!(r#"{{"schemaVersion": "1.0", "sessionType": "Standard_Stream", "inputs": {inputs}}}"#);
        preferences::parse(&text)
    };
    assert_eq!(of("{}").unwrap(), Preferences::default());
    let all =
        of(r#"{"idleSessionTimeout": "5", "maxSessionDuration": "60", "cloudWatchLogGroupName": "/sessions",
        "cloudWatchEncryptionEnabled": false, "s3BucketName": "", "kmsKeyId": "",
        "shellProfile": {"linux": "cd /tmp"}}"#)
        .unwrap();
    assert_eq!((all.idle_timeout.unwrap().as_secs(), all.longest.unwrap().as_secs()), (300, 3600));
    assert_eq!(all.log, LogTo::of(Some("/sessions".to_owned()), None));
    assert_eq!(all.key, None);
    assert_eq!(all.shell(), "'sh' '-c' 'cd /tmp\nexec sh'");
    let bucket = of(r#"{"s3BucketName": "logs", "s3KeyPrefix": "a/b/", "s3EncryptionEnabled": true,
        "kmsKeyId": "alias/x", "runAsEnabled": true, "runAsDefaultUser": "web"}"#)
    .unwrap();
    let to = bucket.log.unwrap().bucket.unwrap();
    assert_eq!((to.name.as_str(), to.key("root-1").as_str(), to.encrypted), ("logs", "a/b/root-1.log", true));
    assert_eq!(bucket.key.as_deref(), Some("alias/x"));
    for (inputs, fragment) in [
        (r#"{"idleSessionTimeout": "0"}"#, "from 1 to 60"),
        (r#"{"idleSessionTimeout": "61"}"#, "from 1 to 60"),
        (r#"{"maxSessionDuration": "1441"}"#, "from 1 to 1440"),
        (r#"{"cloudWatchLogGroupName": "/a", "cloudWatchEncryptionEnabled": true}"#, "not implemented"),
        (r#"{"runAsEnabled": "yes"}"#, "not true or false"),
        (r#"{"cloudWatchLogGroupName": 3}"#, "no text"),
        ("[]", "no object"),
    ] {
        let reason = of(inputs).unwrap_err();
        assert!(reason.contains(fragment), "{inputs}: {reason}");
    }
    assert!(preferences::parse("nonsense").is_err());
    assert!(preferences::parse(r#"{"schemaVersion": "2.2"}"#).is_err());
}
