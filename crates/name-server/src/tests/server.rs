//! A server on loopback: transports, refusals, sizes, and what it never answers.

use std::sync::Arc;

use proptest::{collection::vec, prelude::*};
use tokio::{io::AsyncWriteExt, net::UdpSocket, sync::watch};

use super::{
    fixtures::{Lab, table, tcp_receive, tcp_send},
    query, question,
};
use crate::{
    NameServer, NameServerConfig, StartError, Upstream, View, ZoneTable,
    forward::Forwarder,
    message::{Code, Edns, Message},
    record::RecordType,
    respond::{Responder, Step, Transport},
};

const PRIVATE: &str = "ip-172-31-0-9.ec2.internal";

#[tokio::test]
async fn private_names_are_answered_over_both_transports() {
    let lab = Lab::start(Upstream::None).await;
    let answer = lab.ask(PRIVATE, RecordType::A).await;
    assert_eq!((answer.code, answer.authoritative, answer.recursion_available), (Code::NO_ERROR, true, true));
    assert_eq!(&*answer.answers[0].data, [172, 31, 0, 9]);
    assert_eq!(answer.edns, None);
    let mut stream = lab.connect().await;
    // Two questions before the first answer is read.
    tcp_send(&mut stream, &query(1, PRIVATE, RecordType::A)).await;
    tcp_send(&mut stream, &query(2, "9.0.31.172.in-addr.arpa", RecordType::PTR)).await;
    assert_eq!(tcp_receive(&mut stream).await.unwrap().answers, answer.answers);
    let second = tcp_receive(&mut stream).await.unwrap();
    assert_eq!((second.id, second.answers[0].target()), (2, Some(super::name(PRIVATE))));
}

#[tokio::test]
async fn what_does_not_exist_is_said_with_a_time_to_remember_it() {
    let lab = Lab::start(Upstream::None).await;
    let absent = lab.ask("web.ec2.internal", RecordType::A).await;
    assert_eq!((absent.code, absent.authorities[0].kind), (Code::NO_NAME, RecordType::SOA));
    let no_data = lab.ask(PRIVATE, RecordType::AAAA).await;
    assert_eq!((no_data.code, no_data.answers.len()), (Code::NO_ERROR, 0));
    assert_eq!(no_data.authorities[0].kind, RecordType::SOA);
}

#[tokio::test]
async fn what_is_not_served_is_refused() {
    let lab = Lab::start(Upstream::None).await;
    for kind in [RecordType::ANY, RecordType::AXFR, RecordType::IXFR] {
        assert_eq!(lab.ask(PRIVATE, kind).await.code, Code::REFUSED);
        assert_eq!(lab.ask("example.com", kind).await.code, Code::REFUSED);
    }
    let base = query(5, PRIVATE, RecordType::A);
    let mut chaos = base.clone();
    chaos.questions[0].class = 3;
    let update = Message { opcode: 5, ..base.clone() };
    let two = Message {
        questions: vec![question("a.b", RecordType::A), question("b.c", RecordType::A)],
        ..base.clone()
    };
    let none = Message { questions: vec![], ..base.clone() };
    let later =
        Message { edns: Some(Edns { udp_bytes: 1232, version: 1, dnssec_ok: false }), ..base.clone() };
    let not_ours = Message { recursion_desired: false, ..query(5, "example.com", RecordType::A) };
    for (message, code) in [
        (chaos, Code::REFUSED),
        (update, Code::NOT_IMPLEMENTED),
        (two, Code::FORMAT_ERROR),
        (none, Code::FORMAT_ERROR),
        (later, Code::BAD_VERSION),
        (not_ours, Code::REFUSED),
    ] {
        let answer = lab.ask_message(&message).await;
        assert_eq!((answer.code, answer.answers.len()), (code, 0));
    }
}

#[tokio::test]
async fn what_is_no_question_gets_no_answer() {
    let lab = Lab::start(Upstream::None).await;
    let real = query(3, PRIVATE, RecordType::A);
    let response = Message { response: true, ..query(4, PRIVATE, RecordType::A) };
    for bytes in [&b""[..], b"\x00", &[0xff; 40], &[1; 4096], &real.write(512)[..30], &response.write(512)] {
        lab.send(bytes).await;
    }
    // Datagrams on loopback keep their order: nothing was answered before this.
    assert_eq!(lab.ask_message(&real).await.code, Code::NO_ERROR);
}

#[tokio::test]
async fn a_connection_that_says_what_is_no_question_is_closed() {
    let lab = Lab::start(Upstream::None).await;
    for bytes in [&[0, 5, 1, 2, 3, 4, 5][..], &[0xff, 0xff, 0], &[0, 0]] {
        let mut stream = lab.connect().await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(tcp_receive(&mut stream).await, None);
    }
}

#[tokio::test]
async fn clients_outside_all_views_get_no_answer() {
    let lab = Lab::start(Upstream::None).await;
    lab.publish.send_replace(Arc::new(ZoneTable::new(2, vec![])));
    lab.send(&query(1, PRIVATE, RecordType::A).write(512)).await;
    let mut stream = lab.connect().await;
    tcp_send(&mut stream, &query(1, PRIVATE, RecordType::A)).await;
    assert_eq!(tcp_receive(&mut stream).await, None);
    lab.publish.send_replace(Arc::new(table(3)));
    assert_eq!(lab.ask_message(&query(2, PRIVATE, RecordType::A)).await.id, 2);
}

#[tokio::test]
async fn a_vpc_without_dns_support_is_refused() {
    let lab = Lab::start(Upstream::None).await;
    let view = View { sources: vec!["127.0.0.0/8".parse().unwrap()], ..View::default() };
    lab.publish.send_replace(Arc::new(ZoneTable::new(2, vec![view])));
    assert_eq!(lab.ask(PRIVATE, RecordType::A).await.code, Code::REFUSED);
}

#[tokio::test]
async fn long_answers_are_cut_to_what_the_client_takes() {
    let lab = Lab::start(Upstream::None).await;
    let plain = lab.ask("many.shop.local", RecordType::A).await;
    assert!(plain.truncated && plain.answers.len() < 32);
    let with = |udp_bytes| Message {
        edns: Some(Edns { udp_bytes, version: 0, dnssec_ok: false }),
        ..query(5, "many.shop.local", RecordType::A)
    };
    let larger = lab.ask_message(&with(4096)).await;
    assert!(larger.truncated && larger.answers.len() > 60 && larger.answers.len() < 80);
    assert_eq!(larger.edns, Some(Edns { udp_bytes: 1232, version: 0, dnssec_ok: false }));
    assert!(lab.ask_message(&with(0)).await.answers.len() < 32);
    let mut stream = lab.connect().await;
    tcp_send(&mut stream, &query(6, "many.shop.local", RecordType::A)).await;
    let whole = tcp_receive(&mut stream).await.unwrap();
    assert!(!whole.truncated && whole.answers.len() == 100);
    // The order turns with the question's id.
    assert_eq!(&*whole.answers[0].data, [172, 31, 1, 6]);
}

#[tokio::test]
async fn it_stops_and_its_addresses_are_free_again() {
    let lab = Lab::start(Upstream::None).await;
    let address = lab.server.addresses()[0];
    let (_publish, tables) = watch::channel(Arc::new(table(1)));
    let config = NameServerConfig { listen: vec![address], upstream: Upstream::None };
    let taken = NameServer::start(config.clone(), tables.clone()).await;
    assert!(matches!(taken, Err(StartError::Listen { address: which, .. }) if which == address));
    lab.server.shutdown().await;
    drop(UdpSocket::bind(address).await.unwrap());
    NameServer::start(config, tables.clone()).await.unwrap().shutdown().await;
    let nowhere = NameServerConfig { listen: vec![], upstream: Upstream::None };
    assert!(matches!(NameServer::start(nowhere, tables).await, Err(StartError::NoAddress)));
}

fn responder() -> Responder {
    let (_, tables) = watch::channel(Arc::new(table(1)));
    Responder::new(tables, Forwarder::new(Upstream::None, vec![]))
}

fn answered_in_form(packet: &[u8], transport: Transport) -> Result<(), TestCaseError> {
    let step = responder().begin(packet, [127, 0, 0, 1].into(), transport);
    let reply = match step {
        Step::Drop => return Ok(()),
        Step::Reply(reply) => reply,
        Step::Forward(pending) => pending.failure(),
    };
    let (asked, answer) = (Message::read(packet).unwrap(), Message::read(&reply).unwrap());
    prop_assert!(!asked.response && answer.response);
    prop_assert_eq!(answer.id, asked.id);
    prop_assert_eq!(answer.questions, asked.questions);
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_dropped_or_answered_in_form(packet in vec(any::<u8>(), 0..300)) {
        answered_in_form(&packet, Transport::Udp)?;
    }

    /// Headers and names that a question could have, and all else at random.
    #[test]
    fn odd_questions_are_dropped_or_answered_in_form(
        start in any::<[u8; 4]>(),
        tail in vec(any::<u8>(), 0..40),
        kind in any::<u16>(),
        text in "(ip-[0-9-]{1,12}|many|[a-z]{1,9}|[0-9]{1,3}(\\.[0-9]{1,3}){0,4})\\.(ec2\\.internal|shop\\.local|in-addr\\.arpa|localhost|com)",
    ) {
        let mut packet = query(0, &text, RecordType(kind)).write(512);
        packet[..2].copy_from_slice(&start[..2]);
        packet[2] = start[2] & 0x7f;
        packet[3] = start[3];
        packet[11] = u8::from(!tail.is_empty());
        packet.extend_from_slice(&tail);
        answered_in_form(&packet, Transport::Tcp)?;
    }
}
