//! Clients of HTTP/2 that mean no good: frames by hand. Each is sent away or held within bounds, and others go on being served.

use std::time::Duration;

use http::Request as HttpRequest;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

type Encrypted = tokio_rustls::client::TlsStream<TcpStream>;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET https://a/` from HPACK's static table, the authority literally.
const HEAD: &[u8] = &[0x82, 0x87, 0x84, 0x41, 1, b'a'];

/// A setting: a window of nothing for every stream.
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A connection that has been greeted, with these settings.
async fn greeted(bench: &Bench, settings: &[u8]) -> Encrypted {
    let mut stream = bench.encrypted(b"h2").await;
    soon(stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).await.expect("sent");
    soon(stream.write_all(&frame(SETTINGS, 0, 0, settings))).await.expect("sent");
    stream
}

/// Sends until nobody takes it any more; how many were taken. At most `most`.
async fn flood(stream: &mut Encrypted, most: usize, piece: impl Fn(u32) -> Vec<u8>) -> usize {
    let mut got = vec![0; 16384];
    for sent in 0..most {
        let piece = piece(u32::try_from(sent).expect("few"));
        let (mut reading, mut writing) = tokio::io::split(&mut *stream);
        let alive = soon(async {
            let mut write = std::pin::pin!(async {
                writing.write_all(&piece).await?;
                writing.flush().await
            });
            // What comes is read, so that neither side waits for the other.
            loop {
                tokio::select! {
                    done = &mut write => return done.is_ok(),
                    read = reading.read(&mut got) => if !matches!(read, Ok(1..)) { return false },
                }
            }
        })
        .await;
        if !alive {
            return sent;
        }
    }
    most
}

/// Keeps a connection from being quiet, until the load balancer ends it.
async fn until_sent_away(stream: &mut Encrypted, piece: impl Fn(u32) -> Vec<u8>) {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let busy = async {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        for number in 0.. {
            if writing.write_all(&piece(number)).await.is_err() || writing.flush().await.is_err() {
                return;
            }
            pace.tick().await;
        }
    };
    let ended = async {
        let mut got = vec![0; 4096];
        while matches!(reading.read(&mut got).await, Ok(1..)) {}
    };
    soon(async {
        tokio::select! {
            () = busy => {}
            () = ended => {}
        }
    })
    .await;
}

/// The kinds of frames that come until the connection ends.
async fn until_end(stream: &mut Encrypted) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset is an end as well.
    let _ = soon(stream.read_to_end(&mut all)).await;
    let (mut kinds, mut rest) = (Vec::new(), all.as_slice());
    while let [a, b, c, kind, ..] = *rest {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        kinds.push(kind);
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    kinds
}

async fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.encrypt();
    bench.add(Origin::new().await.serve("served"));
    bench.apply().await;
    bench
}

async fn others_are_served(bench: &Bench) {
    let stream = bench.encrypted(b"h2").await;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = soon(handshake).await.expect("HTTP/2");
    let running = tokio::spawn(connection);
    let request = HttpRequest::get("https://web.example/").body(Empty::<bytes::Bytes>::new());
    let answer = soon(sender.send_request(request.expect("a request"))).await.expect("answered");
    assert_eq!(answer.status(), 200);
    assert_eq!(soon(answer.into_body().collect()).await.expect("whole").to_bytes(), "served");
    running.abort();
}

#[tokio::test]
async fn who_takes_requests_back_by_the_hundreds_is_sent_away() {
    let mut bench = bench().await;
    // Nobody answers: each is on its way to a target when it is taken back.
    let silent = Origin::new().await;
    bench.group().targets.clear();
    bench.add(silent.address);
    bench.apply().await;
    let mut stream = greeted(&bench, &[]).await;
    let taken = flood(&mut stream, 200_000, |number| {
        let id = 2 * number + 1;
        let mut piece = frame(HEADERS, END_STREAM | END_HEADERS, id, HEAD);
        piece.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
        piece
    })
    .await;
    assert!(taken < 200_000, "nobody objected");
    bench.group().targets.clear();
    bench.add(Origin::new().await.serve("served"));
    bench.apply().await;
    others_are_served(&bench).await;
}

#[tokio::test]
async fn heads_without_an_end_are_cut_off() {
    let bench = bench().await;
    let mut stream = greeted(&bench, &[]).await;
    soon(stream.write_all(&frame(HEADERS, END_STREAM, 1, HEAD))).await.expect("sent");
    // A header that is not indexed, again and again; and frames with nothing in them.
    let filler: Vec<u8> = std::iter::repeat_n([0, 1, b'x', 1, b'y'], 3000).flatten().collect();
    let taken = flood(&mut stream, 10_000, |_| frame(CONTINUATION, 0, 1, &filler)).await;
    // Far less than what was there to send; how much lay in sockets' buffers is the kernel's matter.
    assert!(taken < 10_000, "nobody objected to 150 MB");
    let mut stream = greeted(&bench, &[]).await;
    soon(stream.write_all(&frame(HEADERS, END_STREAM, 1, HEAD))).await.expect("sent");
    let taken = flood(&mut stream, 100_000, |_| frame(CONTINUATION, 0, 1, &[])).await;
    assert!(taken < 100_000, "nobody objected to empty ones");
    others_are_served(&bench).await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused_and_the_connection_goes_on() {
    let bench = bench().await;
    let stream = bench.encrypted(b"h2").await;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = soon(handshake).await.expect("HTTP/2");
    let running = tokio::spawn(connection);
    let ask = |size: usize| {
        let request = HttpRequest::get("https://web.example/").header("x-large", "x".repeat(size));
        request.body(Empty::<bytes::Bytes>::new()).expect("a request")
    };
    let answer = soon(sender.send_request(ask(100_000))).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 431));
    running.abort();
    others_are_served(&bench).await;
}

#[tokio::test]
async fn floods_of_settings_and_pings_hold_nothing() {
    let bench = bench().await;
    for piece in [frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0].repeat(10)), frame(PING, 0, 0, &[7; 8])] {
        // Nobody reads the answers: then nothing more is taken either, rather than answers piling up.
        let mut stream = greeted(&bench, &[]).await;
        let (_reading, mut writing) = tokio::io::split(&mut stream);
        let flooding = async {
            let block = piece.repeat(1000);
            loop {
                if writing.write_all(&block).await.is_err() {
                    return;
                }
            }
        };
        // The condition is that others are served while it goes on.
        tokio::select! {
            () = flooding => {}
            () = async {
                for _ in 0..20 {
                    others_are_served(&bench).await;
                }
            } => {}
        }
    }
    others_are_served(&bench).await;
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_sent_away() {
    let mut bench = bench().await;
    bench.balancer().attributes.idle_timeout_seconds = 1;
    bench.apply().await;
    let mut stream = greeted(&bench, NO_WINDOW).await;
    soon(stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, HEAD))).await.expect("sent");
    until_sent_away(&mut stream, |_| frame(PING, 0, 0, &[7; 8])).await;
    others_are_served(&bench).await;
}

#[tokio::test]
async fn an_upload_is_no_excuse_for_taking_nothing_of_an_answer() {
    let mut bench = bench().await;
    bench.balancer().attributes.idle_timeout_seconds = 1;
    let origin = Origin::new().await;
    bench.group().targets.clear();
    bench.add(origin.address);
    bench.apply().await;
    let mut stream = greeted(&bench, NO_WINDOW).await;
    soon(stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, HEAD))).await.expect("sent");
    let mut target = origin.accept().await;
    target.head().await;
    target.send(OK).await;
    // One that is never answered, since it never ends.
    let upload = [&[0x83], &HEAD[1..]].concat();
    soon(stream.write_all(&frame(HEADERS, END_HEADERS, 3, &upload))).await.expect("sent");
    until_sent_away(&mut stream, |_| frame(DATA, 0, 3, b"x")).await;
    bench.group().targets.clear();
    bench.add(Origin::new().await.serve("served"));
    bench.apply().await;
    others_are_served(&bench).await;
}

#[tokio::test]
async fn other_answers_are_no_excuse_for_taking_nothing_of_one() {
    let mut bench = bench().await;
    bench.balancer().attributes.idle_timeout_seconds = 1;
    bench.apply().await;
    let mut stream = greeted(&bench, NO_WINDOW).await;
    soon(stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 1, HEAD))).await.expect("sent");
    // Others come and go, of which nothing is taken either.
    until_sent_away(&mut stream, |number| {
        let id = 2 * number + 3;
        let mut piece = frame(HEADERS, END_STREAM | END_HEADERS, id, HEAD);
        if number >= 5 {
            piece.extend(frame(RST_STREAM, 0, id - 10, &8_u32.to_be_bytes()));
        }
        piece
    })
    .await;
    others_are_served(&bench).await;
}

#[tokio::test]
async fn a_slow_upload_is_not_an_idle_one() {
    let mut bench = Bench::new();
    bench.encrypt();
    bench.balancer().attributes.idle_timeout_seconds = 1;
    let origin = Origin::new().await;
    bench.add(origin.address);
    bench.apply().await;
    let stream = bench.encrypted(b"h2").await;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = soon(handshake).await.expect("HTTP/2");
    let running = tokio::spawn(connection);
    let (pieces, body) = tokio::sync::mpsc::channel::<Result<_, std::convert::Infallible>>(1);
    let body = http_body_util::StreamBody::new(futures_util::stream::unfold(body, |mut body| async move {
        body.recv().await.map(|piece| (piece, body))
    }));
    let request = HttpRequest::put("https://web.example/").body(Box::pin(body)).expect("a request");
    let answer = tokio::spawn(sender.send_request(request));
    tokio::spawn(async move {
        // Three times the idle timeout in all, with less than that between two pieces.
        let mut pace = tokio::time::interval(Duration::from_millis(250));
        for _ in 0..12 {
            pace.tick().await;
            let piece = hyper::body::Frame::data(bytes::Bytes::from_static(b"piece"));
            if pieces.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    });
    let mut target = origin.accept().await;
    let got = String::from_utf8(target.until(b"\r\n0\r\n\r\n").await).expect("text");
    assert_eq!(got.matches("piece").count(), 12, "{got}");
    target.send(OK).await;
    assert_eq!(soon(answer).await.expect("not aborted").expect("answered").status(), 200);
    running.abort();
}

#[tokio::test]
async fn frames_that_are_none_end_the_connection_with_a_reason() {
    let bench = bench().await;
    for piece in [
        // Settings of a wrong length, a stream of the server's own, a head on no stream, and more than a frame may hold.
        frame(SETTINGS, 0, 0, &[0; 5]),
        frame(HEADERS, END_STREAM | END_HEADERS, 2, HEAD),
        frame(HEADERS, END_STREAM | END_HEADERS, 0, HEAD),
        frame(HEADERS, END_STREAM | END_HEADERS, 1, &vec![0x82; 20_000]),
        frame(CONTINUATION, END_HEADERS, 1, HEAD),
    ] {
        let mut stream = greeted(&bench, &[]).await;
        soon(stream.write_all(&piece)).await.expect("sent");
        let kinds = until_end(&mut stream).await;
        assert_eq!(kinds.last(), Some(&GOAWAY), "{:?}", &piece[..9]);
    }
    others_are_served(&bench).await;
}
