//! What reaches targets and clients of each message.

use super::*;

#[tokio::test]
async fn a_target_is_told_who_asks_and_the_client_gets_its_answer() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    let mut client = bench.connect().await;
    client
        .send("GET /a/b?c=d HTTP/1.1\r\nHost: web.example\r\nX-Forwarded-For: 203.0.113.9\r\nX-Own: 1\r\nConnection: X-Hop\r\nX-Hop: 2\r\nTE: gzip\r\n\r\n")
        .await;
    let mut target = origin.accept().await;
    let head = target.head().await;
    assert!(head.starts_with("GET /a/b?c=d HTTP/1.1\r\nHost: web.example:7000\r\n"), "{head}");
    assert_eq!(header(&head, "X-Own"), Some("1"));
    assert_eq!(header(&head, "X-Hop"), None);
    assert_eq!(header(&head, "TE"), None);
    assert_eq!(header(&head, "Connection"), None);
    assert_eq!(header(&head, "X-Forwarded-For"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(header(&head, "X-Forwarded-Proto"), Some("http"));
    assert_eq!(header(&head, "X-Forwarded-Port"), Some("7000"));
    let trace = header(&head, "X-Amzn-Trace-Id").expect("there");
    assert!(trace.starts_with("Root=1-") && trace.len() == "Root=1-".len() + 8 + 1 + 24, "{trace}");
    target
        .send("HTTP/1.1 418 I'm a teapot\r\nServer: tea/1\r\nContent-Length: 3\r\nKeep-Alive: timeout=5\r\n\r\ntea")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (418, "tea"));
    assert_eq!(answer.header("Server"), Some("tea/1"));
    assert_eq!(answer.header("Connection"), Some("keep-alive"));
    assert_eq!(answer.header("Keep-Alive"), None);
    assert!(answer.header("Date").is_some_and(|date| date.ends_with(" GMT")));
    // Both connections serve the next request.
    client.send(GET).await;
    target.head().await;
    target.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
    assert_eq!(bench.count(Counter::Target4xx), 1);
    assert_eq!(bench.count(Counter::Target2xx), 1);
    assert_eq!(bench.count(Counter::Requests), 2);
}

#[tokio::test]
async fn attributes_change_what_targets_are_told() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    let attributes = &mut bench.balancer().attributes;
    attributes.preserve_host_header = true;
    attributes.drop_invalid_header_fields = true;
    attributes.forwarded_for = routing::config::ClientAddressHeader::Preserve;
    bench.listener().attributes.server_header = false;
    bench.listener().attributes.response_headers =
        vec![routing::config::ResponseHeader { name: "X-Frame-Options".into(), value: "DENY".into() }];
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: a.b\r\nX_Bad: 1\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n").await;
    let mut target = origin.accept().await;
    let head = target.head().await;
    assert_eq!(header(&head, "Host"), Some("a.b"));
    assert_eq!(header(&head, "X_Bad"), None);
    assert_eq!(header(&head, "X-Forwarded-For"), Some("1.2.3.4"));
    target.send("HTTP/1.1 200 OK\r\nServer: x\r\nX-Frame-Options: ALLOW\r\nContent-Length: 0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.header("Server"), None);
    assert_eq!(answer.header("X-Frame-Options"), Some("DENY"));
    assert_eq!(answer.head.matches("X-Frame-Options").count(), 1);
    assert_eq!(bench.count(Counter::DroppedHeaders), 1);
}

#[tokio::test]
async fn large_bodies_pass_both_ways_whole() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let expected = body.clone();
    let serving = tokio::spawn(async move {
        let mut target = origin.accept().await;
        let head = target.head().await;
        assert_eq!(header(&head, "Content-Length"), Some("3000000"));
        let received = target.exactly(3_000_000).await;
        target.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for piece in received.chunks(70_001) {
            target.send(format!("{:x}\r\n", piece.len())).await;
            target.send(piece).await;
            target.send("\r\n").await;
        }
        target.send("0\r\n\r\n").await;
    });
    let (mut reading, mut writing) =
        soon(TcpStream::connect(bench.address)).await.expect("connected").into_split();
    let sending = tokio::spawn(async move {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\nConnection: close\r\n\r\n";
        writing.write_all(head.as_bytes()).await.expect("sent");
        writing.write_all(&body).await.expect("sent");
        writing
    });
    let mut received = Vec::new();
    soon(reading.read_to_end(&mut received)).await.expect("read");
    soon(sending).await.expect("sent");
    soon(serving).await.expect("served");
    let start = memchr::memmem::find(&received, b"\r\n\r\n").expect("a head") + 4;
    let mut chunks = crate::http1::body::Body::chunked();
    let (mut content, mut rest) = (Vec::new(), &received[start..]);
    while !rest.is_empty() {
        let piece = chunks.piece(rest).expect("well-formed");
        if piece.content {
            content.extend_from_slice(&rest[..piece.length]);
        }
        rest = &rest[piece.length..];
    }
    assert!(chunks.is_over() && content == expected);
}

#[tokio::test]
async fn framing_is_fitted_to_what_the_client_speaks() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    // The end of the connection is the end of the body: chunks for who knows them.
    let mut client = bench.connect().await;
    client.send(GET).await;
    let mut target = origin.accept().await;
    target.head().await;
    target.send("HTTP/1.1 200 OK\r\n\r\nto the end").await;
    drop(target);
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.header("Transfer-Encoding")), ("to the end", Some("chunked")));
    // Chunks for who does not know them: the connection ends with the body.
    let mut client = bench.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let mut target = origin.accept().await;
    target.head().await;
    target
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.header("Transfer-Encoding")), ("abcde", None));
    // No body at all, whatever the head says.
    let mut client = bench.connect().await;
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut target = origin.accept().await;
    target.head().await;
    target.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
    assert_eq!(header(&client.head().await, "Content-Length"), Some("10"));
    client.send(GET).await;
    target.head().await;
    target.send("HTTP/1.1 304 Not Modified\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 304);
}

#[tokio::test]
async fn requests_in_one_go_are_answered_in_order() {
    let mut bench = Bench::new();
    bench.add(Origin::new().await.serve("{}"));
    bench.apply().await;
    let mut client = bench.connect().await;
    let requests: String = (0..20).map(|at| format!("GET /{at} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests).await;
    for at in 0..20 {
        assert_eq!(client.answer().await.text(), format!("GET /{at} HTTP/1.1"));
    }
}

#[tokio::test]
async fn who_waits_for_a_word_gets_it_at_once() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc").await;
    let mut target = origin.accept().await;
    assert_eq!(header(&target.head().await, "Expect"), None);
    assert_eq!(target.exactly(3).await, b"abc");
    target.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    target.send(OK).await;
    assert_eq!(client.answer().await.text(), "ok");
}

#[tokio::test]
async fn another_protocol_passes_both_ways() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    let mut client = bench.connect().await;
    client
        .send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
        .await;
    let mut target = origin.accept().await;
    let head = target.head().await;
    assert_eq!(header(&head, "Upgrade"), Some("websocket"));
    assert_eq!(header(&head, "Connection"), Some("Upgrade"));
    target
        .send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("Upgrade")), (101, Some("websocket")));
    assert_eq!(client.exactly(5).await, b"hello");
    client.send(b"\x81\x02hi").await;
    assert_eq!(target.exactly(4).await, b"\x81\x02hi");
    // Each side ends by itself.
    soon(client.stream.shutdown()).await.expect("shut");
    assert_eq!(target.rest().await, b"");
    target.send("bye").await;
    drop(target);
    assert_eq!(client.rest().await, b"bye");
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_whole() {
    let (mut bench, origin) = (Bench::new(), Origin::new().await);
    bench.add(origin.address);
    bench.apply().await;
    let mut client = bench.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome").await;
    let mut target = origin.accept().await;
    target.until(b"some").await;
    target.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text(), answer.header("Connection")), (413, "much", Some("close")));
    // Streams in both directions at once.
    let mut client = bench.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n").await;
    let mut target = origin.accept().await;
    target.until(b"1\r\na\r\n").await;
    target.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n").await;
    client.until(b"1\r\nA\r\n").await;
    client.send("1\r\nb\r\n0\r\n\r\n").await;
    target.until(b"1\r\nb\r\n0\r\n\r\n").await;
    target.send("1\r\nB\r\n0\r\n\r\n").await;
    client.until(b"1\r\nB\r\n0\r\n\r\n").await;
}

#[tokio::test]
async fn a_line_is_written_about_each_request() {
    let mut bench = Bench::new();
    let origin = Origin::new().await.serve("{}");
    bench.add(origin);
    bench.balancer().attributes.access_logs = Some(routing::config::AccessLogs {
        bucket: "logs".into(),
        prefix: String::new(),
        interval_minutes: 5,
    });
    bench.apply().await;
    let request = "POST /a\"b?c HTTP/1.1\r\nHost: web.example\r\nUser-Agent: test/1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    let answer = bench.ask(request).await;
    let line = first_line(&bench).await;
    let fields: Vec<&str> = line.split(' ').collect();
    assert_eq!((fields[0], fields[2]), ("http", "app/web/0123456789abcdef"));
    assert_eq!(fields[4], origin.to_string());
    assert_eq!((fields[8], fields[9]), ("200", "200"));
    assert_eq!(fields[10], request.len().to_string());
    assert!(
        fields[11].parse::<usize>().is_ok_and(|sent| sent >= answer.head.len() + answer.body.len()),
        "{line}"
    );
    assert!(
        line.contains("\"POST http://web.example:7000/a\\x22b?c HTTP/1.1\" \"test/1\" - - group \"Root=1-"),
        "{line}"
    );
    assert!(
        line.contains(&format!("\"forward\" \"-\" \"-\" \"{origin}\" \"200\" \"-\" \"-\" TID_")),
        "{line}"
    );
    assert!(line.ends_with(" \"-\" \"-\" \"-\""), "{line}");
}

async fn first_line(bench: &Bench) -> String {
    soon(async {
        loop {
            if let Some(line) = bench.lines.0.lock().expect("not poisoned").first() {
                break line.clone();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_classic_load_balancer_has_lines_of_its_own() {
    let mut bench = Bench::new();
    let origin = Origin::new().await.serve("{}");
    bench.add(origin);
    let balancer = bench.balancer();
    balancer.kind = routing::config::LoadBalancerKind::Classic;
    balancer.arn = CLASSIC.into();
    balancer.attributes.access_logs = Some(routing::config::AccessLogs {
        bucket: "logs".into(),
        prefix: String::new(),
        interval_minutes: 60,
    });
    bench.apply().await;
    let answer = bench
        .ask("POST /a HTTP/1.1\r\nHost: web.example\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    let answer = answer.await;
    let line = first_line(&bench).await;
    let fields: Vec<&str> = line.split(' ').collect();
    assert_eq!((fields[1], fields[3]), ("web", &*origin.to_string()), "{line}");
    assert!(fields[4..7].iter().all(|time| time.parse::<f64>().is_ok_and(|time| time >= 0.0)), "{line}");
    assert_eq!(fields[7..11], ["200", "200", "3", &*answer.body.len().to_string()], "{line}");
    assert!(line.ends_with(" \"POST http://web.example:7000/a HTTP/1.1\" \"-\" - -"), "{line}");
}
