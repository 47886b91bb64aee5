//! DNS messages: what is read is written and read again as the same; what is written fits where it has to.
#![no_main]
#![allow(dead_code)]

#[path = "../../crates/name-server/src/message.rs"]
mod message;
#[path = "../../crates/name-server/src/name.rs"]
mod name;
#[path = "../../crates/name-server/src/record.rs"]
mod record;

use libfuzzer_sys::fuzz_target;
use message::{Code, Message, PLAIN_UDP_BYTES};
use name::Name;

const MOST: usize = 65_535;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(name) = Name::parse(text)
    {
        assert_eq!(
            Name::read(name.wire(), 0).map(|(name, end)| (name, end)),
            Ok((name.clone(), name.wire().len()))
        );
        assert!(name.parent().is_none_or(|parent| name.is_within(&parent)));
    }
    let Ok(message) = Message::read(data) else { return };
    for question in &message.questions {
        assert_eq!(Name::read(question.name.wire(), 0).map(|(name, _)| name).as_ref(), Ok(&question.name));
        _ = question.name.to_string();
    }
    let written = message.write(MOST);
    assert!(written.len() <= MOST, "{} bytes", written.len());
    let again = Message::read(&written).expect("what was written is read");
    if !again.truncated || message.truncated {
        assert_eq!(again, message);
    }
    // What a client is answered with, over UDP and TCP.
    for limit in [PLAIN_UDP_BYTES, 1232, MOST] {
        for code in [Code::FORMAT_ERROR, Code::NOT_IMPLEMENTED, Code::REFUSED] {
            let reply = message.reply(code).write(limit);
            assert!(reply.len() <= limit, "{} bytes where {limit} fit", reply.len());
            assert!(Message::read(&reply).is_ok_and(|reply| reply.response && reply.id == message.id));
        }
        let mut reply = message.reply(Code::NO_ERROR);
        (reply.answers, reply.authorities) = (message.answers.clone(), message.authorities.clone());
        reply.additionals = message.additionals.clone();
        let bytes = reply.write(limit);
        assert!(bytes.len() <= limit, "{} bytes where {limit} fit", bytes.len());
        let read = Message::read(&bytes).expect("what was written is read");
        assert!(reply.answers.starts_with(&read.answers));
        assert!(read.truncated || read.answers.len() == reply.answers.len());
    }
});
