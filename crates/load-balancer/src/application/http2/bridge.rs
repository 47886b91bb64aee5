//! A client of HTTP/1.1 before a target of HTTP/2.
//!
//! The head that was written for the target is read again, so that both versions say the same. The client's body is taken out of its
//! framing and fed into a stream; the answer gets chunks, unless its length is known.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io::Write,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{io::AsyncWrite, sync::mpsc, time::timeout};

use super::{
    back::{self, SendError},
    body::{AnyBody, Carried, Fed, whole},
    forward::answered,
};
use crate::{
    application::{
        answer::{Answer, reason},
        buffer::{Buffer, give_line, take_line},
        connection::{Client, idle_ms},
        exchange::{Job, Next},
        metrics::Counter,
        snapshot::{Group, ListenerConfig},
        stream::Stream,
        target::InFlight,
        upstream::ConnectError,
        worker::Worker,
    },
    http1::{
        body::Body,
        head::{Known, Reader, Version},
    },
};

/// Pieces of a body between the client and the target.
const FED: usize = 4;

impl Client {
    pub(crate) async fn exchange_http2(&mut self, listener: &Arc<ListenerConfig>, mut job: Job) -> Next {
        let idle = Duration::from_millis(idle_ms(listener));
        let target = Arc::clone(job.picked.in_flight.target());
        if let Some(log) = &mut job.facts.log {
            log.target = Some(target.address);
        }
        let line = std::mem::take(&mut job.request);
        let Some((request, first)) = read_again(&line, &job.group) else {
            return self.answer(listener, Answer::error(400), job.facts, job.rest.is_over()).await;
        };
        give_line(line);
        let worker = Rc::clone(&self.worker);
        let connected = back::ready(&worker, listener, &job.group, &target).await;
        let ready = match connected {
            Ok(ready) => ready,
            Err(error) => {
                listener.balancer.metrics.one(worker.index, Counter::TargetConnectionErrors);
                let late = matches!(error, SendError::Connect(ConnectError::TimedOut));
                let answer = Answer::error(if late { 504 } else { 502 });
                return self.answer(listener, answer, job.facts, job.rest.is_over()).await;
            }
        };
        // Time is kept by each step itself.
        self.watch.until(u64::MAX);
        let began = job.facts.began;
        let sent = Instant::now();
        let mut rest = job.rest.clone();
        let mut excess = Buffer::default();
        let (ended, uploaded) = {
            let stream = RefCell::new(&mut self.stream);
            let (feed, receiver) = mpsc::channel(FED);
            let over = rest.is_over();
            let body: AnyBody =
                if over { whole(first.clone()) } else { Box::pin(Fed { receiver, ended: false }) };
            let uploaded = Cell::new(over);
            let upload = async {
                if !over && upload(&stream, first, &mut rest, &mut excess, feed).await {
                    uploaded.set(true);
                }
            };
            let download = async {
                let sending = back::send(&worker, listener, &target, ready, request.map(|()| body));
                let response = match timeout(idle, sending).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(_)) => return Ended::Failed(502),
                    Err(_) => return Ended::Failed(504),
                };
                answer(listener, &worker, &stream, &mut job, response, idle, sent, &uploaded).await
            };
            let (mut upload, mut download) = (pin!(upload), pin!(download));
            let mut finished = false;
            let ended = poll_fn(|cx| {
                if !finished {
                    finished = upload.as_mut().poll(cx).is_ready();
                }
                download.as_mut().poll(cx)
            })
            .await;
            (ended, uploaded.get())
        };
        if !excess.is_empty() {
            self.input = excess;
        }
        match ended {
            Ended::Failed(status) => self.answer(listener, Answer::error(status), job.facts, uploaded).await,
            Ended::Answered { status, took, written, complete, keep_alive } => {
                let received = job.facts.received_bytes;
                self.count_bytes(listener, received + written);
                if let Some(mut log) = job.facts.log.take() {
                    let ended = Instant::now();
                    log.request_time = Some(sent.duration_since(began));
                    log.target_time = Some(took);
                    log.response_time = Some(ended.duration_since(sent).saturating_sub(took));
                    self.end_log(listener, log, status, Some(status), received, written, Some(ended));
                }
                match (complete, keep_alive) {
                    (false, _) => Next::Gone,
                    (true, true) => Next::Request,
                    (true, false) => Next::Close,
                }
            }
        }
    }
}

enum Ended {
    /// Before anything was said to the client.
    Failed(u16),
    Answered {
        status: u16,
        took: Duration,
        written: u64,
        complete: bool,
        keep_alive: bool,
    },
}

/// Passes an answer on.
#[expect(clippy::too_many_arguments, reason = "the parts of an exchange, each of its own kind")]
async fn answer(
    listener: &ListenerConfig,
    worker: &Worker,
    stream: &RefCell<&mut Stream>,
    job: &mut Job,
    response: Response<Incoming>,
    idle: Duration,
    sent: Instant,
    uploaded: &Cell<bool>,
) -> Ended {
    let took = sent.elapsed();
    let status = response.status().as_u16();
    listener.balancer.metrics.target_answer(worker.index, status, took);
    job.group.metrics.target_answer(worker.index, status, took);
    let (head, body) = response.into_parts();
    let mut cookies = std::mem::take(&mut job.picked.cookies);
    cookies.append(&mut job.facts.cookies);
    let headers = answered(head.headers, listener, &cookies, &worker.clock);
    let bodiless = job.facts.to_head || status == 204 || status == 304;
    let sized = bodiless || headers.contains_key(header::CONTENT_LENGTH);
    let chunked = !sized && job.facts.version == Version::Http11;
    let keep_alive = job.facts.keep_alive && !job.facts.isolate && uploaded.get() && (sized || chunked);
    let mut line = take_line();
    let _ = write!(line, "HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in &headers {
        crate::application::request::header(&mut line, name.as_str().as_bytes(), value.as_bytes());
    }
    if chunked {
        line.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    let connection: &[u8] =
        if keep_alive { b"Connection: keep-alive\r\n\r\n" } else { b"Connection: close\r\n\r\n" };
    line.extend_from_slice(connection);
    let in_flight = InFlight::begin(job.picked.in_flight.target());
    let mut body = Carried::new(body, in_flight, idle, Box::new(|_, _| {}));
    let mut written = 0;
    let complete = loop {
        let frame = if bodiless { None } else { body.frame().await };
        let last = frame.is_none();
        match frame {
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) else { continue };
                if chunked {
                    let _ = write!(line, "{:x}\r\n", data.len());
                }
                line.extend_from_slice(data);
                if chunked {
                    line.extend_from_slice(b"\r\n");
                }
            }
            Some(Err(_)) => break false,
            None if chunked => line.extend_from_slice(b"0\r\n\r\n"),
            None => {}
        }
        if !matches!(timeout(idle, write_all(stream, &line)).await, Ok(Ok(()))) {
            break false;
        }
        written += line.len() as u64;
        line.clear();
        if last {
            break true;
        }
    };
    give_line(line);
    Ended::Answered { status, took, written, complete, keep_alive }
}

async fn write_all(stream: &RefCell<&mut Stream>, bytes: &[u8]) -> std::io::Result<()> {
    let mut written = 0;
    poll_fn(|cx| {
        let mut stream = stream.borrow_mut();
        while written < bytes.len() {
            match ready!(Pin::new(&mut **stream).poll_write(cx, &bytes[written..]))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                length => written += length,
            }
        }
        Pin::new(&mut **stream).poll_flush(cx)
    })
    .await
}

/// Feeds what the client sends, out of its framing: whether all of it came.
async fn upload(
    stream: &RefCell<&mut Stream>,
    first: Bytes,
    rest: &mut Body,
    excess: &mut Buffer,
    feed: mpsc::Sender<Option<Bytes>>,
) -> bool {
    if !first.is_empty() && feed.send(Some(first)).await.is_err() {
        return false;
    }
    let mut buffer = Buffer::default();
    while !rest.is_over() {
        let read = poll_fn(|cx| stream.borrow_mut().poll_fill(cx, &mut buffer)).await;
        if !matches!(read, Ok(1..)) {
            return false;
        }
        let mut used = 0;
        while used < buffer.len() && !rest.is_over() {
            let Ok(piece) = rest.piece(&buffer.filled()[used..]) else { return false };
            if piece.content {
                let bytes = Bytes::copy_from_slice(&buffer.filled()[used..used + piece.length]);
                if feed.send(Some(bytes)).await.is_err() {
                    return false;
                }
            }
            used += piece.length;
        }
        buffer.consume(used);
    }
    excess.push(buffer.filled());
    // Nobody reads it any more when the target has answered already.
    let _ = feed.send(None).await;
    true
}

/// The head that was written for a target, as a request of HTTP/2; and what there was of its content.
fn read_again(line: &[u8], group: &Group) -> Option<(Request<()>, Bytes)> {
    let mut reader = Reader::default();
    let head = reader.request(line).ok()??;
    let host = head.host.map(|host| host.of(line)).filter(|host| !host.is_empty())?;
    let target = head.target.of(line);
    let uri = Uri::builder()
        .scheme(if group.encrypted { "https" } else { "http" })
        .authority(host)
        .path_and_query(target)
        .build()
        .ok()?;
    let mut request = Request::builder().method(head.method.of(line)).uri(uri).version(http::Version::HTTP_2);
    for field in reader.fields() {
        let kept = match field.known {
            Known::Host | Known::Connection | Known::TransferEncoding | Known::Upgrade => false,
            Known::ContentLength => matches!(head.body, Body::Length(_)),
            _ => true,
        };
        if kept {
            request = request.header(
                HeaderName::from_bytes(field.name.of(line)).ok()?,
                HeaderValue::from_bytes(field.value.of(line)).ok()?,
            );
        }
    }
    let (mut body, mut raw, mut content) = (head.body.clone(), &line[head.length..], Vec::new());
    while !raw.is_empty() && !body.is_over() {
        let piece = body.piece(raw).ok()?;
        if piece.content {
            content.extend_from_slice(&raw[..piece.length]);
        }
        raw = &raw[piece.length..];
    }
    Some((request.body(()).ok()?, content.into()))
}
