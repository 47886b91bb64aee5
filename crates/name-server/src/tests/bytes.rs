//! Messages as bytes: round trips, known packets, and arbitrary bytes.

use proptest::{collection::vec, prelude::*};

use super::{name, query};
use crate::{
    message::{Code, Edns, Malformed, Message, Question},
    name::Name,
    record::{Data, Record, RecordType, Soa},
};

/// An answer of a public server for `www.example.com`, taken apart in RFC 1035's terms: an alias, its address, compressed.
const ANSWER: &[u8] = &[
    0x12, 0x34, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 1, // header
    3, b'w', b'w', b'w', 7, b'e', b'x', b'a', b'm', b'p', b'l', b'e', 3, b'c', b'o', b'm', 0, 0, 1, 0,
    1, // question
    0xc0, 0x0c, 0, 5, 0, 1, 0, 0, 0x0e, 0x10, 0, 6, 3, b'c', b'd', b'n', 0xc0,
    0x10, // CNAME cdn.example.com
    0xc0, 0x2d, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7, // A
    0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0, // OPT, 1232 bytes, DNSSEC OK
];

#[test]
fn a_compressed_answer_is_understood_and_written_as_it_was() {
    let message = Message::read(ANSWER).unwrap();
    assert_eq!(message.id, 0x1234);
    assert!(message.response && message.recursion_desired && message.recursion_available);
    assert_eq!(message.questions[0].name, name("WWW.example.com"));
    assert_eq!(message.answers[0].target(), Some(name("cdn.example.com")));
    assert_eq!((message.answers[0].ttl_seconds, message.answers[1].ttl_seconds), (3600, 60));
    assert_eq!(message.answers[1].name, name("cdn.example.com"));
    assert_eq!(&*message.answers[1].data, [192, 0, 2, 7]);
    assert_eq!(message.edns, Some(Edns { udp_bytes: 1232, version: 0, dnssec_ok: true }));
    assert_eq!(message.write(512), ANSWER);
}

#[test]
fn many_questions_are_not_repeated() {
    let questions = |count: usize| -> Vec<Question> {
        let all = (0..count).map(|number| query(1, &format!("n{number}.example"), RecordType::A));
        all.flat_map(|query| query.questions).collect()
    };
    let asked = |count| Message { questions: questions(count), ..query(7, "a", RecordType::A) };
    assert_eq!(asked(1).reply(Code::NO_ERROR).questions, questions(1));
    let refused = asked(200).reply(Code::FORMAT_ERROR).write(512);
    assert!(refused.len() <= 512);
    assert_eq!(
        Message::read(&refused).map(|message| (message.id, message.code)),
        Ok((7, Code::FORMAT_ERROR))
    );
}

#[test]
fn every_cut_of_it_is_malformed() {
    for length in 0..ANSWER.len() {
        assert_eq!(Message::read(&ANSWER[..length]), Err(Malformed), "{length} bytes");
    }
}

#[test]
fn names_that_go_in_circles_or_too_far_are_malformed() {
    let header = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let asks = |name: &[u8]| Message::read(&[&header[..], name, &[0, 1, 0, 1]].concat());
    assert!(asks(&[1, b'a', 0]).is_ok());
    // To itself, forward, into the middle of itself, reserved kinds of labels, past the end.
    for bad in
        [&[0xc0, 12][..], &[0xc0, 14], &[1, b'a', 0xc0, 12], &[0x40, 0], &[0x80, 0], &[63, 0], &[0xff, 0xff]]
    {
        assert_eq!(asks(bad), Err(Malformed), "{bad:x?}");
    }
    let long: Vec<u8> = [[63].as_slice(), &[b'x'; 63]].concat().repeat(4);
    assert_eq!(asks(&[&long[..], &[0]].concat()), Err(Malformed));
    assert!(asks(&[&long[..3 * 64 + 1 - 1], &[61], &[b'y'; 61], &[0]].concat()).is_ok());
}

#[test]
fn two_extension_records_are_malformed() {
    let mut bytes = query(1, "example.com", RecordType::A).write(512);
    bytes[11] = 2;
    for _ in 0..2 {
        bytes.extend_from_slice(&[0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
    }
    assert_eq!(Message::read(&bytes), Err(Malformed));
}

#[test]
fn names_in_text() {
    assert_eq!(name("Example.COM."), name("example.com"));
    assert!(name("a.b.example.com").is_within(&name("EXAMPLE.com")));
    assert!(!name("notexample.com").is_within(&name("example.com")));
    assert!(name("example.com").is_within(&Name::root()));
    assert_eq!(name("example.com").parent(), Some(name("com")));
    assert_eq!(name("com").parent(), Some(Name::root()));
    assert_eq!(Name::root().parent(), None);
    assert_eq!(name("com").child("example").unwrap().to_string(), "example.com");
    for bad in ["", ".", "a..b", ".a", "a b", "ä", &"x".repeat(64), &"abc.".repeat(64)] {
        assert!(Name::parse(bad).is_err(), "{bad}");
    }
    assert!(name("com").child("a.b").is_err());
}

#[test]
fn what_does_not_fit_is_cut_at_a_record_and_said_so() {
    let mut reply = query(9, "many.example.com", RecordType::A).reply(Code::NO_ERROR);
    for last in 0..100 {
        let data = Data::A([192, 0, 2, last].into());
        reply.answers.push(Record::new(name("many.example.com"), 60, &data).unwrap());
    }
    let bytes = reply.write(512);
    let cut = Message::read(&bytes).unwrap();
    assert!(bytes.len() <= 512 && cut.truncated);
    // 12 header, 22 question, 16 each.
    assert_eq!(cut.answers.len(), (512 - 12 - 22) / 16);
    assert_eq!(cut.answers[..], reply.answers[..cut.answers.len()]);
    let whole = Message::read(&reply.write(65535)).unwrap();
    assert!(!whole.truncated && whole.answers.len() == 100);
}

/// Few labels, so that names share endings and compression has something to do.
fn names() -> impl Strategy<Value = Name> {
    let label = prop_oneof![Just("a".to_owned()), Just("B".to_owned()), "[a-z0-9_-]{1,20}"];
    vec(label, 1..6).prop_map(|labels| Name::parse(&labels.join(".")).unwrap())
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Data::A(octets.into())),
        names().prop_map(Data::Cname),
        names().prop_map(Data::Ptr),
        (any::<(u16, u16, u16)>(), names()).prop_map(|((priority, weight, port), target)| Data::Srv {
            priority,
            weight,
            port,
            target
        }),
        vec(vec(any::<u8>(), 0..40), 1..4).prop_map(Data::Txt),
    ]
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let published = (names(), 0..=i32::MAX as u32, data())
        .prop_map(|(name, ttl, data)| Record::new(name, ttl, &data).unwrap());
    let soa = (names(), any::<u32>(), 0..1000_u32).prop_map(|(apex, serial, negative_ttl_seconds)| {
        Record::soa(&Soa { apex: &apex, serial, negative_ttl_seconds })
    });
    vec(prop_oneof![4 => published, 1 => soa], 0..12)
}

prop_compose! {
    fn messages()(
        id in any::<u16>(),
        flags in any::<[bool; 6]>(),
        asked in (names(), 1..40_u16),
        (answers, authorities, additionals) in (records(), records(), records()),
        edns in proptest::option::of((any::<u16>(), any::<u8>(), any::<bool>())),
        code in 0..16_u16,
    ) -> Message {
        Message {
            id,
            response: flags[0],
            opcode: 0,
            authoritative: flags[1],
            truncated: flags[2],
            recursion_desired: flags[3],
            recursion_available: flags[4],
            checking_disabled: flags[5],
            code: Code(code),
            questions: vec![Question { name: asked.0, kind: RecordType(asked.1), class: 1 }],
            answers, authorities, additionals,
            edns: edns.map(|(udp_bytes, version, dnssec_ok)| Edns { udp_bytes, version, dnssec_ok }),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(message in messages()) {
        prop_assert_eq!(Message::read(&message.write(65535)), Ok(message));
    }

    #[test]
    fn nothing_written_exceeds_its_limit(message in messages(), limit in 512..2000_usize) {
        let bytes = message.write(limit);
        prop_assert!(bytes.len() <= limit);
        let cut = Message::read(&bytes).unwrap();
        prop_assert!(message.answers.starts_with(&cut.answers));
        prop_assert!(message.authorities.starts_with(&cut.authorities));
        prop_assert_eq!(cut.edns, message.edns);
        let whole = cut.answers.len() == message.answers.len() && cut.authorities.len() == message.authorities.len();
        prop_assert_eq!(cut.truncated, message.truncated || !whole);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..600)) {
        let _ = Message::read(&bytes);
    }

    /// Real messages with some bytes changed get further into the reader. What is read then can be written and read again,
    /// unless it has grown beyond what a message holds.
    #[test]
    fn damaged_messages_do_no_harm(message in messages(), damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = message.write(65535);
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        if let Ok(read) = Message::read(&bytes) {
            let again = Message::read(&read.write(usize::MAX));
            prop_assert_eq!(again, Ok(read));
        }
    }
}
