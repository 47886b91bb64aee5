//! Forwarding, against servers made here: order, times, what is believed, what is remembered.

use std::{sync::Arc, time::Duration};

use tokio::{
    net::UdpSocket,
    time::{self, Instant},
};

use super::{
    fixtures::{FakeUpstream, Lab, address_answer, loopback},
    name, query, question,
};
use crate::{
    Upstream,
    forward::{
        Answer, Forwarder, Key, Unanswered,
        cache::{Cache, lifetime},
    },
    message::{Code, Edns, Message},
    record::{Data, Record, RecordType, Soa},
};

fn key(text: &str) -> Key {
    Key { question: question(text, RecordType::A), dnssec_ok: false, checking_disabled: false }
}

fn soa(negative_ttl_seconds: u32) -> Record {
    Record::soa(&Soa { apex: &name("example.com"), serial: 1, negative_ttl_seconds })
}

/// A port of loopback where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    UdpSocket::bind(loopback()).await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn the_rest_is_asked_of_others_once() {
    let upstream = FakeUpstream::with_address([192, 0, 2, 1]).await;
    let lab = Lab::start(upstream.fixed()).await;
    let first = lab.ask("www.example.com", RecordType::A).await;
    assert_eq!((first.code, first.authoritative, first.recursion_available), (Code::NO_ERROR, false, true));
    assert_eq!((&*first.answers[0].data, first.answers[0].ttl_seconds), (&[192, 0, 2, 1][..], 300));
    assert_eq!(lab.ask("WWW.example.com", RecordType::A).await.answers, first.answers);
    assert_eq!(upstream.asked(), 1);
    lab.ask("www.example.com", RecordType::AAAA).await;
    assert_eq!(upstream.asked(), 2);
}

#[tokio::test]
async fn remembered_answers_grow_old() {
    let upstream = FakeUpstream::with_address([192, 0, 2, 1]).await;
    let lab = Lab::start(upstream.fixed()).await;
    lab.ask("www.example.com", RecordType::A).await;
    time::pause();
    time::advance(Duration::from_secs(100)).await;
    time::resume();
    let ttl = lab.ask("www.example.com", RecordType::A).await.answers[0].ttl_seconds;
    assert!((100..=200).contains(&ttl), "{ttl}");
    time::pause();
    time::advance(Duration::from_secs(201)).await;
    time::resume();
    assert_eq!(lab.ask("www.example.com", RecordType::A).await.answers[0].ttl_seconds, 300);
    assert_eq!(upstream.asked(), 2);
}

#[tokio::test]
async fn names_that_others_do_not_know_are_remembered_too() {
    let upstream = FakeUpstream::start(|query, _| {
        let mut reply = query.reply(Code::NO_NAME);
        reply.authorities.push(soa(60));
        vec![reply]
    })
    .await;
    let lab = Lab::start(upstream.fixed()).await;
    for _ in 0..2 {
        let answer = lab.ask("no.example.com", RecordType::A).await;
        assert_eq!((answer.code, answer.authorities.len()), (Code::NO_NAME, 1));
    }
    assert_eq!(upstream.asked(), 1);
}

#[tokio::test]
async fn without_anybody_to_ask_the_question_fails() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    for upstream in [
        Upstream::None,
        Upstream::Fixed(vec![]),
        Upstream::Fixed(vec![nobody().await]),
        Upstream::FromResolvConf(empty.path().into()),
        Upstream::FromResolvConf("/nonexistent/resolv.conf".into()),
    ] {
        let lab = Lab::start(upstream).await;
        assert_eq!(lab.ask("www.example.com", RecordType::A).await.code, Code::SERVER_FAILURE);
        assert_eq!(lab.ask("far.shop.local", RecordType::A).await.code, Code::SERVER_FAILURE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_twice_and_the_client_told_in_time() {
    let upstream = FakeUpstream::start(|_, _| vec![]).await;
    let forwarder = Forwarder::new(upstream.fixed(), vec![]);
    let began = Instant::now();
    assert_eq!(forwarder.resolve(key("www.example.com")).await.unwrap_err(), Unanswered);
    assert!(began.elapsed() <= Duration::from_secs(2));
    assert_eq!(upstream.asked(), 2);
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_silent_or_fails() {
    let silent = FakeUpstream::start(|_, _| vec![]).await;
    let failing = FakeUpstream::start(|query, _| vec![query.reply(Code::SERVER_FAILURE)]).await;
    let good = FakeUpstream::with_address([192, 0, 2, 1]).await;
    let servers = vec![nobody().await, failing.address, silent.address, good.address];
    let lab = Lab::start(Upstream::Fixed(servers)).await;
    assert_eq!(&*lab.ask("www.example.com", RecordType::A).await.answers[0].data, [192, 0, 2, 1]);
    assert_eq!((failing.asked(), silent.asked(), good.asked()), (1, 1, 1));
}

#[tokio::test]
async fn answers_to_other_questions_are_not_believed() {
    let upstream = FakeUpstream::start(|query, _| {
        let forged = address_answer(query, 300, [6, 6, 6, 6]);
        let mut other = forged.clone();
        other.questions = vec![question("other.example.com", RecordType::A)];
        vec![
            Message { id: query.id.wrapping_add(1), ..forged.clone() },
            Message { response: false, ..forged.clone() },
            Message { questions: vec![], ..forged },
            other,
            address_answer(query, 300, [192, 0, 2, 1]),
        ]
    })
    .await;
    let lab = Lab::start(upstream.fixed()).await;
    assert_eq!(&*lab.ask("www.example.com", RecordType::A).await.answers[0].data, [192, 0, 2, 1]);
}

#[tokio::test]
async fn what_was_cut_short_is_asked_again_over_tcp() {
    let upstream = FakeUpstream::start(|query, tcp| match tcp {
        true => vec![address_answer(query, 300, [192, 0, 2, 2])],
        false => vec![Message { truncated: true, ..address_answer(query, 300, [192, 0, 2, 1]) }],
    })
    .await;
    let lab = Lab::start(upstream.fixed()).await;
    let answer = lab.ask("www.example.com", RecordType::A).await;
    assert_eq!((answer.truncated, &*answer.answers[0].data), (false, &[192, 0, 2, 2][..]));
}

#[tokio::test]
async fn a_part_is_passed_on_as_such_and_not_remembered() {
    let upstream = FakeUpstream::start(|query, tcp| match tcp {
        true => vec![],
        false => vec![Message { truncated: true, ..address_answer(query, 300, [192, 0, 2, 1]) }],
    })
    .await;
    let lab = Lab::start(upstream.fixed()).await;
    for asked in [2, 4] {
        let answer = lab.ask("www.example.com", RecordType::A).await;
        assert_eq!((answer.truncated, answer.answers.len()), (true, 1));
        assert_eq!(upstream.asked(), asked);
    }
}

#[tokio::test]
async fn old_servers_are_asked_without_extensions() {
    let upstream = FakeUpstream::start(|query, _| match query.edns {
        Some(_) => vec![Message { edns: None, ..query.reply(Code::FORMAT_ERROR) }],
        None => vec![address_answer(query, 300, [192, 0, 2, 1])],
    })
    .await;
    let lab = Lab::start(upstream.fixed()).await;
    assert_eq!(lab.ask("www.example.com", RecordType::A).await.answers.len(), 1);
}

#[tokio::test]
async fn the_wish_for_signatures_is_passed_on() {
    let upstream = FakeUpstream::start(|query, _| {
        let last = u8::from(query.edns.is_some_and(|edns| edns.dnssec_ok));
        vec![address_answer(query, 300, [192, 0, 2, last])]
    })
    .await;
    let lab = Lab::start(upstream.fixed()).await;
    let plain = query(1, "www.example.com", RecordType::A);
    let edns = Some(Edns { udp_bytes: 1232, version: 0, dnssec_ok: true });
    let signed = Message { edns, ..query(2, "www.example.com", RecordType::A) };
    assert_eq!(&*lab.ask_message(&plain).await.answers[0].data, [192, 0, 2, 0]);
    assert_eq!(&*lab.ask_message(&signed).await.answers[0].data, [192, 0, 2, 1]);
}

#[tokio::test]
async fn an_alias_of_ours_may_lead_outside() {
    let upstream = FakeUpstream::with_address([192, 0, 2, 1]).await;
    let lab = Lab::start(upstream.fixed()).await;
    let answer = lab.ask("far.shop.local", RecordType::A).await;
    assert_eq!(answer.answers[0].target(), Some(name("www.example.com")));
    assert_eq!((&answer.answers[1].name, answer.answers.len()), (&name("www.example.com"), 2));
}

#[tokio::test]
async fn equal_questions_at_a_time_are_one() {
    let upstream = FakeUpstream::with_address([192, 0, 2, 1]).await;
    let forwarder = Forwarder::new(upstream.fixed(), vec![]);
    let ask = || forwarder.resolve(key("www.example.com"));
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    assert!(Arc::ptr_eq(&one.unwrap(), &two.unwrap()));
    assert!(three.is_ok());
    assert_eq!(upstream.asked(), 1);
}

/// The machine's resolver may have been told to ask us. Its question must not start another round.
#[tokio::test]
async fn a_loop_through_another_server_ends() {
    let (us, told) = tokio::sync::watch::channel(None);
    let asking_us = UdpSocket::bind(loopback()).await.unwrap();
    let asking_us = Arc::new(asking_us);
    let upstream = FakeUpstream::start({
        let asking_us = Arc::clone(&asking_us);
        move |query, _| {
            let us: std::net::SocketAddr = told.borrow().unwrap();
            asking_us.try_send_to(&query.write(512), us).unwrap();
            vec![]
        }
    })
    .await;
    let lab = Lab::start(upstream.fixed()).await;
    us.send_replace(Some(lab.server.addresses()[0]));
    assert_eq!(lab.ask("www.example.com", RecordType::A).await.code, Code::SERVER_FAILURE);
    assert_eq!(upstream.asked(), 2);
}

#[tokio::test]
async fn we_do_not_ask_ourselves() {
    let upstream = FakeUpstream::with_address([192, 0, 2, 1]).await;
    let forwarder = Forwarder::new(upstream.fixed(), vec![upstream.address]);
    assert_eq!(forwarder.resolve(key("www.example.com")).await.unwrap_err(), Unanswered);
    assert_eq!(upstream.asked(), 0);
}

fn answer(ttl_seconds: u32, text: &str) -> Arc<Answer> {
    let record = Record::new(name(text), ttl_seconds, &Data::A([192, 0, 2, 1].into())).unwrap();
    Arc::new(Answer {
        question: question(text, RecordType::A),
        code: Code::NO_ERROR,
        truncated: false,
        answers: vec![record],
        authorities: vec![],
        additionals: vec![],
        received: Instant::now(),
    })
}

#[test]
fn answers_say_how_long_they_may_be_kept() {
    let check = |change: &dyn Fn(&mut Answer), expected: Option<u64>| {
        let mut answer = Arc::into_inner(answer(300, "www.example.com")).unwrap();
        change(&mut answer);
        assert_eq!(lifetime(&answer), expected.map(Duration::from_secs));
    };
    let record = |ttl, data| Record::new(name("www.example.com"), ttl, &data).unwrap();
    check(&|_| {}, Some(300));
    check(&|answer| answer.truncated = true, None);
    check(&|answer| answer.answers[0].ttl_seconds = 0, None);
    check(&|answer| answer.answers[0].ttl_seconds = 1_000_000, Some(86_400));
    check(&|answer| answer.answers.insert(0, record(20, Data::Cname(name("a.example.com")))), Some(20));
    check(&|answer| answer.code = Code::SERVER_FAILURE, None);
    // Negative: a name without records of the type, a name that does not exist, an alias that leads nowhere.
    check(&|answer| answer.answers.clear(), None);
    check(&|answer| (answer.answers, answer.authorities) = (vec![], vec![soa(60)]), Some(60));
    check(&|answer| (answer.answers, answer.authorities) = (vec![], vec![soa(90_000)]), Some(3600));
    check(
        &|answer| {
            answer.code = Code::NO_NAME;
            answer.answers = vec![record(20, Data::Cname(name("a.example.com")))];
            answer.authorities = vec![soa(60)];
        },
        Some(20),
    );
}

#[tokio::test(start_paused = true)]
async fn the_cache_forgets_in_time() {
    let mut cache = Cache::default();
    let now = Instant::now();
    cache.put(key("www.example.com"), &answer(300, "www.example.com"));
    let mut there =
        |seconds| cache.get(&key("WWW.example.com"), now + Duration::from_secs(seconds)).is_some();
    assert_eq!([there(0), there(299), there(300)], [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_bounded() {
    let mut cache = Cache::default();
    let now = Instant::now();
    for number in 0..100_000 {
        let text = format!("{number}.example.com");
        cache.put(key(&text), &answer(300, &text));
        // In use all the time.
        if number > 0 {
            assert!(cache.get(&key("0.example.com"), now).is_some());
        }
    }
    assert!(cache.len() > 5_000 && cache.len() < 40_000, "{}", cache.len());
    assert!(cache.get(&key("1.example.com"), now).is_none());
    assert!(cache.get(&key("99999.example.com"), now).is_some());
}
