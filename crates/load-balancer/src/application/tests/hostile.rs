//! Clients that mean no good, or know no better: bounded memory, a correct refusal, and nothing of it reaches a target.

use routing::config::DesyncMitigation;

use super::*;

/// Answered by the load balancer, which then closes.
async fn refused(bench: &Bench, sent: &[u8], status: u16) {
    let mut client = bench.connect().await;
    client.send(sent).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.header("Connection"), answer.header("Server")),
        (status, Some("close"), Some("awselb/2.0")),
        "{:?}",
        String::from_utf8_lossy(&sent[..sent.len().min(200)])
    );
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn smuggled_requests_are_refused_and_reach_nobody() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    for (fields, body, status) in [
        ("Content-Length: 6\r\nTransfer-Encoding: chunked", "0\r\n\r\nX", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 6", "0\r\n\r\nX", 400),
        ("Content-Length: 0\r\nContent-Length: 35", hidden, 400),
        ("Content-Length: 0, 35", hidden, 400),
        ("Content-Length: +35", hidden, 400),
        ("Transfer-Encoding: chunked, identity", "0\r\n\r\n", 501),
        ("Transfer-Encoding: identity, chunked", "0\r\n\r\n", 501),
        ("Transfer-Encoding: \u{b}chunked", "0\r\n\r\n", 400),
        ("Transfer-Encoding : chunked", "0\r\n\r\n", 400),
        (" Transfer-Encoding: chunked", "0\r\n\r\n", 400),
        ("X: a\r\n Transfer-Encoding: chunked", "0\r\n\r\n", 400),
        ("X: a\nTransfer-Encoding: chunked", "0\r\n\r\n", 400),
        ("X: a\rTransfer-Encoding: chunked", "0\r\n\r\n", 400),
        ("X: a\0b", "", 400),
        ("Host: b", "", 400),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
        refused(&bench, request.as_bytes(), status).await;
    }
    refused(&bench, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400).await;
    refused(&bench, b"GET / HTTP/1.1\r\n\r\n", 400).await;
    refused(&bench, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505).await;
    refused(&bench, b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405).await;
    refused(&bench, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505).await;
    let nobody = tokio::time::timeout(std::time::Duration::ZERO, origin.listener.accept()).await;
    assert!(nobody.is_err(), "a target was reached");
    assert_eq!(bench.count(Counter::NonCompliant), 20);
}

#[tokio::test]
async fn chunks_that_are_none_break_the_request_off() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    for body in ["x\r\n", "5\nhello", "5\r\nhelloX", "-1\r\n", "ffffffffffffffffff\r\n", "5;\u{1}\r\n"] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        refused(&bench, request.as_bytes(), 400).await;
    }
    // When it is found out later, the target's connection ends without the end of the body.
    let mut client = bench.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    let mut target = origin.accept().await;
    target.until(b"hello\r\n").await;
    client.send("zz\r\n").await;
    assert_eq!(client.answer().await.status, 400);
    assert!(!target.rest().await.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_before_they_end() {
    let mut bench = Bench::new();
    bench.apply().await;
    refused(&bench, format!("GET /{}", "a".repeat(20_000)).as_bytes(), 414).await;
    refused(&bench, format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(20_000)).as_bytes(), 400).await;
    let line = format!("X: {}\r\n", "a".repeat(10_000));
    refused(&bench, format!("GET / HTTP/1.1\r\nHost: a\r\n{}", line.repeat(7)).as_bytes(), 400).await;
    refused(&bench, format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "a:b\r\n".repeat(1100)).as_bytes(), 400).await;
}

#[tokio::test]
async fn who_drips_a_head_is_sent_away() {
    let mut bench = Bench::new();
    bench.balancer().attributes.idle_timeout_seconds = 1;
    bench.apply().await;
    let mut client = bench.connect().await;
    let (mut reading, mut writing) = client.stream.into_split();
    let dripping = tokio::spawn(async move {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
        let mut alive = writing.write_all(b"GET / HTTP/1.1\r\nX: ").await.is_ok();
        // Ends when the load balancer closes.
        while alive {
            pace.tick().await;
            alive = writing.write_all(b"a").await.is_ok();
        }
    });
    let mut answer = Vec::new();
    // Reset once it goes on dripping after the end.
    let _ = soon(reading.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&answer));
    dripping.abort();
    // Who says nothing at all gets nothing.
    client = bench.connect().await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_flood_is_turned_away_and_others_go_on() {
    let mut bench = Bench::with(Options { most_connections: 20, ..Options::default() });
    bench.add(Origin::new().await.serve("a"));
    bench.apply().await;
    let mut first = bench.connect().await;
    first.send(GET).await;
    assert_eq!(first.answer().await.status, 200);
    let mut flood = Vec::new();
    for _ in 0..60 {
        flood.push(bench.connect().await);
    }
    bench.counted(Counter::RejectedConnections, 41).await;
    first.send(GET).await;
    assert_eq!(first.answer().await.status, 200);
    drop(flood);
    // Room again.
    soon(async {
        while bench.count(Counter::ActiveConnections) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(bench.ask(GET).await.text(), "a");
}

#[tokio::test]
async fn ambiguous_requests_are_treated_as_the_mode_says() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    let ambiguous = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx";
    // Defensive: passed on with one length, and both connections end.
    let mut client = bench.connect().await;
    client.send(ambiguous).await;
    let mut target = origin.accept().await;
    assert_eq!(target.head().await.matches("Content-Length: 1\r\n").count(), 1);
    target.exactly(1).await;
    target.send(OK).await;
    assert_eq!(client.answer().await.header("Connection"), Some("close"));
    assert_eq!(target.rest().await, b"");
    bench.balancer().attributes.desync_mitigation = DesyncMitigation::Strictest;
    bench.apply().await;
    assert_eq!(bench.ask(ambiguous).await.status, 400);
    bench.balancer().attributes.desync_mitigation = DesyncMitigation::Monitor;
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send(ambiguous).await;
    let mut target = origin.accept().await;
    target.head().await;
    target.exactly(1).await;
    target.send(OK).await;
    assert_eq!(client.answer().await.header("Connection"), Some("keep-alive"));
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_seen_to_be() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send(GET).await;
    let mut target = origin.accept().await;
    target.head().await;
    target.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    drop(target);
    client.head().await;
    assert_eq!(client.rest().await, b"abc");
}
