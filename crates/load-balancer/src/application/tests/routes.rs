//! Where requests go, and what is answered when there is nowhere to go.

use std::time::Duration;

use routing::config::{
    Condition, FixedResponse, Pattern, Redirect, RedirectCode, RedirectProtocol, Rewrite, Stickiness,
    Transform,
};

use super::*;

fn path(pattern: &str) -> Condition {
    Condition::Path(vec![Pattern::Wildcard(pattern.into())])
}

fn rule(priority: u32, condition: Condition, outcome: Outcome) -> Rule {
    Rule { arn: format!("rule-{priority}"), priority, conditions: vec![condition], outcome }
}

#[tokio::test]
async fn rules_decide_what_is_done() {
    let mut bench = Bench::new();
    bench.add(Origin::new().await.serve("first {}"));
    bench.configuration.target_groups.push(group("other"));
    let other = Origin::new().await.serve("other {}");
    bench.configuration.target_groups[1].targets.push(target(other));
    bench.rule(rule(
        10,
        path("/fixed*"),
        outcome(Action::FixedResponse(FixedResponse {
            status: 418,
            content_type: Some("text/plain".into()),
            body: "no coffee".into(),
        })),
    ));
    bench.rule(rule(
        20,
        path("/old/*"),
        outcome(Action::Redirect(Redirect {
            protocol: RedirectProtocol::Https,
            host: "#{host}".into(),
            port: "443".into(),
            path: "/new/#{path}".into(),
            query: "#{query}".into(),
            code: RedirectCode::Permanent,
        })),
    ));
    bench.rule(rule(
        30,
        Condition::Host(vec![Pattern::Wildcard("*.other.example".into())]),
        Outcome {
            transforms: vec![Transform::Url(Rewrite { regex: "^/v1/(.*)$".into(), replace: "/$1".into() })],
            action: forward(&[("other", 1)]),
        },
    ));
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send("GET /fixed/1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("Content-Type")),
        (418, "no coffee", Some("text/plain"))
    );
    assert_eq!(answer.header("Server"), Some("awselb/2.0"));
    client.send("GET /old/x?y=z HTTP/1.1\r\nHost: a.example:7000\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.header("Location"), Some("https://a.example:443/new/old/x?y=z"));
    client.send("GET /v1/users HTTP/1.1\r\nHost: X.OTHER.example\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "other GET /users HTTP/1.1");
    client.send("GET /else HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "first GET /else HTTP/1.1");
    assert_eq!(bench.count(Counter::Redirects), 1);
    assert_eq!(bench.count(Counter::FixedResponses), 1);
}

#[tokio::test]
async fn targets_take_turns() {
    let mut bench = Bench::new();
    for name in ["a", "b", "c"] {
        bench.add(Origin::new().await.serve(name));
    }
    bench.apply().await;
    let mut client = bench.connect().await;
    let mut seen = String::new();
    for _ in 0..9 {
        client.send(GET).await;
        seen.push_str(client.answer().await.text());
    }
    let (first, all) = (&seen[..3], ["abc", "bca", "cab"]);
    assert!(all.contains(&first), "{seen}");
    assert_eq!(seen, first.repeat(3));
}

#[tokio::test]
async fn cookies_bind_a_client_to_its_target_and_group() {
    let mut bench = Bench::new();
    for name in ["a", "b"] {
        bench.add(Origin::new().await.serve(name));
    }
    bench.group().attributes.stickiness = Stickiness::LoadBalancerCookie { seconds: 600 };
    bench.apply().await;
    let answer = bench.ask(GET).await;
    let cookie = answer.header("Set-Cookie").expect("set").to_owned();
    assert!(cookie.starts_with("AWSALB=") && cookie.contains("; Expires=") && cookie.ends_with("; Path=/"));
    assert!(answer.head.contains("Set-Cookie: AWSALBCORS="));
    let pair = cookie.split(';').next().expect("a pair");
    for _ in 0..6 {
        let again = bench.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y; {pair}\r\n\r\n")).await;
        assert_eq!(again.text(), answer.text());
    }
    // A weighted action binds to the group.
    bench.configuration.target_groups.push(group("other"));
    let other = Origin::new().await.serve("other");
    bench.configuration.target_groups[1].targets.push(target(other));
    bench.group().attributes.stickiness = Stickiness::Off;
    let Action::Forward(mut weighted) = forward(&[("group", 1), ("other", 1)]) else { unreachable!() };
    weighted.stickiness_seconds = Some(60);
    bench.listener().default = outcome(Action::Forward(weighted));
    bench.apply().await;
    let answer = bench.ask(GET).await;
    let pair = answer.header("Set-Cookie").expect("set").split(';').next().expect("a pair").to_owned();
    assert!(pair.starts_with("AWSALBTG="));
    let of_other = answer.text() == "other";
    for _ in 0..6 {
        let again = bench.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {pair}\r\n\r\n")).await;
        assert_eq!(again.text() == "other", of_other);
    }
}

#[tokio::test]
async fn an_applications_cookie_binds_too() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.group().attributes.stickiness =
        Stickiness::ApplicationCookie { name: "SESSION".into(), seconds: 60 };
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send(GET).await;
    let mut target = origin.accept().await;
    target.head().await;
    target.send(OK).await;
    assert_eq!(client.answer().await.header("Set-Cookie"), None);
    client.send(GET).await;
    target.head().await;
    target.send("HTTP/1.1 200 OK\r\nSet-Cookie: SESSION=1\r\nContent-Length: 0\r\n\r\n").await;
    let answer = client.answer().await;
    assert!(
        answer.head.contains("Set-Cookie: SESSION=1\r\n") && answer.head.contains("Set-Cookie: AWSALBAPP-0=")
    );
}

#[tokio::test]
async fn errors_are_the_load_balancers_own() {
    let mut bench = Bench::new();
    bench.balancer().attributes.idle_timeout_seconds = 1;
    bench.apply().await;
    let answer = bench.ask(GET).await;
    assert_eq!((answer.status, answer.header("Server")), (503, Some("awselb/2.0")));
    assert!(answer.text().contains("<h1>503 Service Unavailable</h1>"));
    let nobody = Origin::new().await.address;
    bench.add(nobody);
    bench.apply().await;
    assert_eq!(bench.ask(GET).await.status, 502);
    let origin = Origin::new().await;
    bench.group().targets = vec![target(origin.address)];
    bench.apply().await;
    for (said, expected) in [
        ("HTP/1.1 200 OK\r\n\r\n", 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 502),
        ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", 502),
        ("", 504),
    ] {
        let mut client = bench.connect().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut target = origin.accept().await;
        target.head().await;
        target.send(said).await;
        assert_eq!(client.answer().await.status, expected, "{said:?}");
    }
    assert_eq!(bench.count(Counter::Elb502), 4);
    assert_eq!(bench.count(Counter::Elb503), 1);
    assert_eq!(bench.count(Counter::Elb504), 1);
    assert_eq!(bench.count(Counter::TargetConnectionErrors), 1);
    // Longer than any address list may be.
    let many = vec!["10.0.0.1"; 31].join(",");
    let answer = bench.ask(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {many}\r\n\r\n")).await;
    assert_eq!(answer.status, 463);
    bench.group().version = ProtocolVersion::Grpc;
    bench.apply().await;
    assert_eq!(bench.ask(GET).await.status, 464);
}

#[tokio::test]
async fn what_cannot_do_harm_is_tried_again() {
    let mut bench = Bench::new();
    let (gone, good) = (Origin::new().await.address, Origin::new().await.serve("good"));
    bench.add(gone);
    bench.add(good);
    bench.apply().await;
    for _ in 0..4 {
        // No connection: nothing was sent, so any method may go elsewhere.
        assert_eq!(bench.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await.text(), "good");
    }
    // A target that breaks off without a word: only what may be done twice is.
    let breaking = Origin::new().await;
    bench.group().targets = vec![target(breaking.address), target(good)];
    bench.apply().await;
    tokio::spawn(async move {
        loop {
            let mut connection = breaking.accept().await;
            connection.head().await;
        }
    });
    let mut statuses = Vec::new();
    for method in ["GET", "GET", "POST", "POST"] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        statuses.push(bench.ask(&request).await.status);
    }
    statuses[2..].sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 502]);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send(GET).await;
    let mut target = origin.accept().await;
    target.head().await;
    drop(client);
    assert_eq!(target.rest().await, b"");
    bench.counted(Counter::Elb4xx, 1).await;
}

#[tokio::test]
async fn least_outstanding_requests_go_around_who_is_busy() {
    let (mut bench, slow) = (Bench::new(), Origin::new().await);
    bench.add(slow.address);
    bench.group().attributes.algorithm = routing::config::Algorithm::LeastOutstandingRequests;
    bench.apply().await;
    let mut waiting = bench.connect().await;
    waiting.send(GET).await;
    let mut busy = slow.accept().await;
    busy.head().await;
    let quick = Origin::new().await.serve("quick");
    bench.add(quick);
    bench.apply().await;
    for _ in 0..5 {
        assert_eq!(bench.ask(GET).await.text(), "quick");
    }
    busy.send(OK).await;
    assert_eq!(waiting.answer().await.text(), "ok");
    assert!(bench.count(Counter::ResponseTimeMicroseconds) < Duration::from_secs(60).as_micros() as u64);
}
