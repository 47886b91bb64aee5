//! One request of HTTP/1.1: which rule, which target, and the answer back.
//!
//! The head for the target is made once and kept until the target answers, so that it can be sent again: to another target when there is no
//! connection to the first, and on a new connection when one broke before a byte of the answer, if the method allows doing
//! things twice and the whole request is still at hand. While a target thinks, the client is watched: when it leaves, the target
//! is left too.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use routing::{
    config::{Action, ProtocolVersion},
    redirect::{Requested, location},
    rules::Request,
    sticky,
};
use tokio::io::AsyncWrite;

use super::{
    answer::Answer,
    buffer::{Buffer, give_line, take_line},
    connection::{Client, idle_ms},
    metrics::Counter,
    pick::{self, Picked},
    pump::{Framing, Pump},
    request::{Forwarding, Incoming, Mitigation, header, is_idempotent, mitigation, trace_id, write_head},
    response::{self, Shape},
    snapshot::{Group, ListenerConfig},
    stream::Stream,
    upstream::{ConnectError, connect},
    watch::Alarm,
};
use crate::http1::{
    body::Body,
    head::{Known, Refusal, RequestHead, ResponseHead, Version},
};

/// How many targets a request is offered to.
const ATTEMPTS: usize = 3;

/// What becomes of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Request,
    /// After an answer.
    Close,
    /// Nothing more can be said on it.
    Gone,
}

/// A request that goes to a target.
pub(crate) struct Job {
    pub group: Arc<Group>,
    pub picked: Picked,
    /// The head for the target, and what was there of the body.
    pub request: Vec<u8>,
    /// What is still to come of the body.
    pub rest: Body,
    pub facts: Facts,
    /// For choosing again.
    cookie: Vec<u8>,
}

/// What is remembered of a request for its answer.
pub(crate) struct Facts {
    pub to_head: bool,
    pub idempotent: bool,
    pub upgrade: bool,
    pub version: Version,
    pub keep_alive: bool,
    /// Both connections end with this request.
    pub isolate: bool,
    pub cookies: Vec<String>,
    pub began: Instant,
    pub received_bytes: u64,
    pub log: Option<Box<super::log::Entry>>,
}

/// How a request failed before its answer began.
#[derive(Debug)]
enum Failure {
    Connect(ConnectError),
    /// The target closed or broke the connection.
    Broken {
        any_answer: bool,
    },
    Answer(Refusal),
    Late,
    /// The target's time to drain is over.
    Cut,
    ClientGone,
    ClientBody,
}

enum Decided {
    Forward(Box<Job>),
    Answer(Answer, Facts),
}

impl Client {
    pub(crate) async fn exchange(
        &mut self,
        listener: &Arc<ListenerConfig>,
        head: RequestHead,
        began: Instant,
    ) -> Next {
        let metrics = &listener.balancer.metrics;
        metrics.one(self.worker.index, Counter::Requests);
        match self.decide(listener, &head, began) {
            Decided::Answer(answer, facts) => {
                let body_at_hand = self.skip_body(&head);
                self.answer(listener, answer, facts, body_at_hand).await
            }
            Decided::Forward(mut job) => {
                if self.take_body(&mut job, &head).is_err() {
                    metrics.one(self.worker.index, Counter::NonCompliant);
                    return self.answer(listener, Answer::error(400), job.facts, false).await;
                }
                if head.expect && !job.rest.is_over() {
                    let go_on = self.write(listener, b"HTTP/1.1 100 Continue\r\n\r\n").await;
                    if go_on.is_err() {
                        return Next::Gone;
                    }
                }
                if job.group.version != ProtocolVersion::Http1 {
                    return self.exchange_http2(listener, *job).await;
                }
                let next = self.forward(listener, *job).await;
                self.watch.set_target(None);
                next
            }
        }
    }

    /// Everything that is decided about a request; nothing waits here.
    fn decide(&self, listener: &Arc<ListenerConfig>, head: &RequestHead, began: Instant) -> Decided {
        let worker = &self.worker;
        let metrics = &listener.balancer.metrics;
        let attributes = &listener.balancer.attributes;
        let buffer = self.input.filled();
        let method = head.method.of(buffer);
        let mitigation = mitigation(head, attributes.desync_mitigation);
        let age_ms = worker.clock.now_ms() - self.opened_ms;
        let mut facts = Facts {
            to_head: method == b"HEAD",
            idempotent: is_idempotent(method),
            upgrade: head.upgrade,
            version: head.version,
            keep_alive: head.keep_alive && age_ms < u64::from(attributes.client_keep_alive_seconds) * 1000,
            isolate: mitigation == Mitigation::Isolate,
            cookies: Vec::new(),
            began,
            received_bytes: head.length as u64,
            log: None,
        };
        if mitigation != Mitigation::Pass {
            metrics.one(worker.index, Counter::NonCompliant);
        }
        let Some(incoming) = Incoming::new(buffer, head, self.reader.fields(), self.peer) else {
            return Decided::Answer(Answer::error(400), facts);
        };
        if mitigation == Mitigation::Refuse {
            return Decided::Answer(Answer::error(400), facts);
        }
        if incoming.is_forwarded_too_often() {
            return Decided::Answer(Answer::error(463), facts);
        }
        let trace_id = trace_id(incoming.values(Known::TraceId).next(), &worker.clock);
        let rule = listener.rules.decide_index(&incoming);
        let outcome = listener.rules.outcome(rule);
        facts.log = self.begin_log(listener, &incoming, outcome, &trace_id, began);
        let forward = match &outcome.outcome.action {
            Action::FixedResponse(fixed) => {
                metrics.one(worker.index, Counter::FixedResponses);
                return Decided::Answer(Answer::fixed(fixed), facts);
            }
            Action::Redirect(redirect) => {
                metrics.one(worker.index, Counter::Redirects);
                let text = |bytes| String::from_utf8_lossy(bytes);
                let (host, path, query) =
                    (text(incoming.host()), text(incoming.path()), text(incoming.query()));
                let to = location(
                    redirect,
                    &Requested {
                        encrypted: listener.encrypted,
                        host: &host,
                        port: listener.address.port(),
                        path: &path,
                        query: &query,
                    },
                );
                if let Some(log) = &mut facts.log {
                    log.redirect.clone_from(&to);
                }
                return Decided::Answer(Answer::redirect(redirect.code.status(), to), facts);
            }
            Action::Forward(forward) => forward,
        };
        let cookie: Vec<u8> = incoming.values(Known::Cookie).collect::<Vec<_>>().join(&b"; "[..]);
        let chosen = pick::group(
            listener,
            listener.shares(rule),
            forward,
            &|name, wanted| _ = sticky::cookies(&cookie, name).any(wanted),
            &worker.clock,
        );
        let Some((group, group_cookies)) = chosen else {
            return Decided::Answer(Answer::error(503), facts);
        };
        if let Some(log) = &mut facts.log {
            log.target_group_arn.clone_from(&group.arn);
        }
        if group.version == ProtocolVersion::Grpc {
            return Decided::Answer(Answer::error(464), facts);
        }
        group.metrics.one(worker.index, Counter::Requests);
        let Some(picked) = self.pick(listener, &group, &cookie, &[]) else {
            return Decided::Answer(Answer::error(503), facts);
        };
        if picked.unbound {
            metrics.one(worker.index, Counter::NonSticky);
        }
        let forwarding =
            Forwarding { listener, peer: self.peer, tls: self.tls.as_deref(), trace_id: &trace_id };
        let mut request = take_line();
        let dropped = write_head(&mut request, &incoming, outcome, &forwarding);
        if dropped > 0 {
            metrics.one(worker.index, Counter::DroppedHeaders);
        }
        facts.cookies = group_cookies;
        Decided::Forward(Box::new(Job { group, picked, request, rest: head.body.clone(), facts, cookie }))
    }

    fn pick(
        &self,
        listener: &ListenerConfig,
        group: &Arc<Group>,
        cookie: &[u8],
        tried: &[u64],
    ) -> Option<Picked> {
        let cookies = |name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool| {
            _ = sticky::cookies(cookie, name).any(wanted);
        };
        pick::target(listener, group, &cookies, &self.worker.clock, tried)
    }

    /// What is there of the body goes with the head.
    fn take_body(&mut self, job: &mut Job, head: &RequestHead) -> Result<(), ()> {
        self.input.consume(head.length);
        let used = job.rest.advance(self.input.filled()).map_err(|_| ())?;
        job.request.extend_from_slice(&self.input.filled()[..used]);
        job.facts.received_bytes += used as u64;
        self.input.consume(used);
        Ok(())
    }

    /// Whether all of the body was there, so that the next request can be read.
    fn skip_body(&mut self, head: &RequestHead) -> bool {
        self.input.consume(head.length);
        let mut body = head.body.clone();
        match body.advance(self.input.filled()) {
            Ok(used) => {
                self.input.consume(used);
                body.is_over()
            }
            Err(_) => false,
        }
    }

    /// Answers by itself.
    pub(crate) async fn answer(
        &mut self,
        listener: &Arc<ListenerConfig>,
        answer: Answer,
        mut facts: Facts,
        body_at_hand: bool,
    ) -> Next {
        let keep_alive = facts.keep_alive && !facts.isolate && body_at_hand && answer.status != 408;
        listener.balancer.metrics.own_answer(self.worker.index, answer.status);
        let mut line = take_line();
        answer.write(&mut line, listener, &self.worker.clock, facts.to_head, keep_alive);
        let sent = self.write(listener, &line).await;
        self.count_bytes(listener, facts.received_bytes + line.len() as u64);
        if let Some(log) = facts.log.take() {
            self.end_log(listener, log, answer.status, None, facts.received_bytes, line.len() as u64, None);
        }
        give_line(line);
        match (sent, keep_alive) {
            (Err(_), _) => Next::Gone,
            (Ok(()), true) => Next::Request,
            (Ok(()), false) => Next::Close,
        }
    }

    async fn forward(&mut self, listener: &Arc<ListenerConfig>, mut job: Job) -> Next {
        let mut tried = Vec::new();
        let failure = loop {
            let target = Arc::clone(job.picked.in_flight.target());
            self.watch.set_target(Some(Arc::clone(&target)));
            if let Some(log) = &mut job.facts.log {
                log.target = Some(target.address);
            }
            let mut answer = Buffer::default();
            let mut upload = Pump::new(job.rest.clone(), Framing::Kept);
            upload.push(&job.request);
            let at_hand = job.rest.is_over();
            let reused = self.worker.pool.take(&listener.interface, &target);
            let was_reused = reused.is_some();
            let failure = match self.connected(listener, &job.group, &target, reused).await {
                Err(failure) => failure,
                Ok(mut stream) => {
                    let sent = Instant::now();
                    let head =
                        self.ask(listener, &mut stream, &mut upload, &mut answer, job.facts.to_head).await;
                    match head {
                        Ok(head) => {
                            let took = sent.elapsed();
                            return self
                                .respond(listener, job, stream, upload, answer, head, sent, took)
                                .await;
                        }
                        Err(failure) => failure,
                    }
                }
            };
            let again = match &failure {
                Failure::Connect(_) => {
                    self.count_connect(listener, &job.group, &failure);
                    tried.push(target.number);
                    true
                }
                Failure::Broken { any_answer: false } if at_hand && job.facts.idempotent => {
                    // Its connection was old: the target itself may be well.
                    if !was_reused {
                        tried.push(target.number);
                    }
                    true
                }
                _ => false,
            };
            if !again || tried.len() >= ATTEMPTS {
                break failure;
            }
            // The old connections of a target that has restarted are all broken; the last attempt is a new one.
            match self.pick(listener, &job.group, &job.cookie, &tried) {
                Some(picked) => job.picked = picked,
                None => break failure,
            }
        };
        let status = match failure {
            Failure::Connect(ConnectError::TimedOut) | Failure::Late => 504,
            Failure::Answer(refusal) => {
                tracing::debug!(%refusal, group = job.group.arn, "a target's answer is not taken");
                502
            }
            Failure::Connect(_) | Failure::Broken { .. } | Failure::Cut => 502,
            Failure::ClientBody => 400,
            Failure::ClientGone => 460,
        };
        give_line(std::mem::take(&mut job.request));
        self.watch.set_target(None);
        if status == 460 {
            listener.balancer.metrics.own_answer(self.worker.index, 460);
            if let Some(log) = job.facts.log.take() {
                self.end_log(listener, log, 460, None, job.facts.received_bytes, 0, None);
            }
            return Next::Gone;
        }
        let at_hand = job.rest.is_over();
        self.answer(listener, Answer::error(status), job.facts, at_hand).await
    }

    async fn connected(
        &self,
        listener: &ListenerConfig,
        group: &Group,
        target: &super::target::TargetState,
        reused: Option<Stream>,
    ) -> Result<Stream, Failure> {
        match reused {
            Some(stream) => Ok(stream),
            None => connect(&self.worker, listener, group, target, false).await.map_err(Failure::Connect),
        }
    }

    fn count_connect(&self, listener: &ListenerConfig, group: &Group, failure: &Failure) {
        let counter = match failure {
            Failure::Connect(ConnectError::Tls(_)) => Counter::TargetTlsErrors,
            _ => Counter::TargetConnectionErrors,
        };
        listener.balancer.metrics.one(self.worker.index, counter);
        group.metrics.one(self.worker.index, counter);
    }

    /// Sends the request and waits for the head of the answer.
    async fn ask(
        &mut self,
        listener: &ListenerConfig,
        target: &mut Stream,
        upload: &mut Pump,
        answer: &mut Buffer,
        to_head: bool,
    ) -> Result<ResponseHead, Failure> {
        let Client { watch, stream: client, worker, answers, .. } = self;
        let idle_ms = idle_ms(listener);
        answers.reset();
        watch.until(worker.clock.now_ms() + idle_ms);
        let (mut uploaded, mut watching, mut moved) = (false, true, 0);
        std::future::poll_fn(|cx| {
            match watch.check(cx) {
                Ok(()) => {}
                Err(Alarm::Cut) => return Poll::Ready(Err(Failure::Cut)),
                Err(Alarm::Deadline | Alarm::Gone) => return Poll::Ready(Err(Failure::Late)),
            }
            if !uploaded {
                match upload.poll(cx, client, target) {
                    Poll::Ready(Ok(())) => uploaded = true,
                    // It may have answered before it stopped listening.
                    Poll::Ready(Err(error)) if error.is_writers() => uploaded = true,
                    Poll::Ready(Err(super::pump::PumpError::Broken(_))) => {
                        return Poll::Ready(Err(Failure::ClientBody));
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientGone)),
                    Poll::Pending => {}
                }
                if upload.written > moved {
                    moved = upload.written;
                    watch.until(worker.clock.now_ms() + idle_ms);
                }
            }
            loop {
                match target.poll_fill(cx, answer) {
                    Poll::Ready(Ok(length)) if length > 0 => {}
                    Poll::Ready(_) => {
                        let any_answer = !answer.is_empty();
                        return Poll::Ready(Err(Failure::Broken { any_answer }));
                    }
                    Poll::Pending => break,
                }
                loop {
                    match answers.response(answer.filled(), to_head) {
                        Ok(None) => break,
                        // Interim answers say nothing that a client could not do without.
                        Ok(Some(head)) if head.status < 200 && head.status != 101 => {
                            answer.consume(head.length);
                            answers.reset();
                        }
                        Ok(Some(head)) => return Poll::Ready(Ok(head)),
                        Err(refusal) => return Poll::Ready(Err(Failure::Answer(refusal))),
                    }
                }
            }
            if uploaded && watching {
                match poll_leaves(cx, client) {
                    Poll::Ready(true) => return Poll::Ready(Err(Failure::ClientGone)),
                    Poll::Ready(false) => watching = false,
                    Poll::Pending => {}
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Passes the answer on.
    #[expect(clippy::too_many_arguments, reason = "the parts of an exchange, each of its own kind")]
    async fn respond(
        &mut self,
        listener: &Arc<ListenerConfig>,
        mut job: Job,
        mut target: Stream,
        mut upload: Pump,
        mut answer: Buffer,
        head: ResponseHead,
        sent: Instant,
        took: Duration,
    ) -> Next {
        give_line(std::mem::take(&mut job.request));
        let worker = std::rc::Rc::clone(&self.worker);
        listener.balancer.metrics.target_answer(worker.index, head.status, took);
        job.group.metrics.target_answer(worker.index, head.status, took);
        let switched = head.status == 101;
        if switched && !job.facts.upgrade {
            return self.answer(listener, Answer::error(502), job.facts, false).await;
        }
        let shape = Shape::of(&head, &job.facts, upload.is_read());
        let mut download =
            Pump::new(if switched { Body::UntilClose } else { head.body.clone() }, shape.framing);
        {
            let mut cookies = std::mem::take(&mut job.picked.cookies);
            cookies.append(&mut job.facts.cookies);
            let buffer = answer.filled();
            let set = self
                .answers
                .fields()
                .iter()
                .filter(|field| field.known == Known::SetCookie)
                .map(|field| field.value.of(buffer));
            cookies.extend(pick::application_cookies(
                listener,
                &job.group,
                job.picked.in_flight.target(),
                &worker.clock,
                set,
            ));
            let mut line = take_line();
            response::write_head(
                &mut line,
                buffer,
                &head,
                self.answers.fields(),
                listener,
                &shape,
                &worker.clock,
            );
            for cookie in &cookies {
                // Before the empty line at the end.
                line.truncate(line.len() - 2);
                header(&mut line, b"Set-Cookie", cookie.as_bytes());
                line.extend_from_slice(b"\r\n");
            }
            download.push(&line);
            give_line(line);
        }
        let body = download.take(&answer.filled()[head.length..]);
        answer.consume(answer.len());
        if body.is_err() {
            return self.answer(listener, Answer::error(502), job.facts, upload.is_read()).await;
        }
        let finished = if switched {
            self.tunnel(listener, &mut target, &mut download).await
        } else {
            self.relay(listener, &mut target, &mut upload, &mut download).await
        };
        let ended = Instant::now();
        if !upload.excess.is_empty() {
            self.input = std::mem::take(&mut upload.excess);
        }
        let received = job.facts.received_bytes + upload.written;
        self.count_bytes(listener, received + download.written);
        if let Some(mut log) = job.facts.log.take() {
            log.request_time = Some(sent.duration_since(job.facts.began));
            log.target_time = Some(took);
            log.response_time = Some(ended.duration_since(sent).saturating_sub(took));
            if switched {
                log.kind = if listener.encrypted { "wss" } else { "ws" };
            }
            self.end_log(
                listener,
                log,
                head.status,
                Some(head.status),
                received,
                download.written,
                Some(ended),
            );
        }
        if !finished {
            return Next::Gone;
        }
        if head.keep_alive
            && !job.facts.isolate
            && !switched
            && upload.is_read()
            && download.excess.is_empty()
        {
            let (target_state, now) = (job.picked.in_flight.target(), worker.clock.now_ms());
            worker.pool.keep(&listener.interface, target_state, target, now);
        }
        if shape.keep_alive && !switched { Next::Request } else { Next::Close }
    }

    /// Whether the whole answer reached the client.
    async fn relay(
        &mut self,
        listener: &ListenerConfig,
        target: &mut Stream,
        upload: &mut Pump,
        download: &mut Pump,
    ) -> bool {
        let Client { watch, stream: client, worker, .. } = self;
        let idle_ms = idle_ms(listener);
        watch.until(worker.clock.now_ms() + idle_ms);
        let mut uploaded = upload.is_read();
        let mut moved = 0;
        std::future::poll_fn(|cx| {
            if watch.check(cx).is_err() {
                return Poll::Ready(false);
            }
            if !uploaded {
                uploaded = upload.poll(cx, client, target).is_ready();
            }
            let done = download.poll(cx, target, client);
            if upload.written + download.written > moved {
                moved = upload.written + download.written;
                watch.until(worker.clock.now_ms() + idle_ms);
            }
            match done {
                Poll::Ready(result) => Poll::Ready(result.is_ok()),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Another protocol from here on: bytes both ways until both sides have finished, one breaks off or nothing comes any more.
    async fn tunnel(&mut self, listener: &ListenerConfig, target: &mut Stream, download: &mut Pump) -> bool {
        let Client { watch, stream: client, worker, input, .. } = self;
        let idle_ms = idle_ms(listener);
        let mut upload = Pump::new(Body::UntilClose, Framing::Kept);
        if upload.take(input.filled()).is_err() {
            return false;
        }
        input.consume(input.len());
        watch.until(worker.clock.now_ms() + idle_ms);
        let (mut moved, mut up, mut down) = (0, false, false);
        std::future::poll_fn(|cx| {
            if watch.check(cx).is_err() {
                return Poll::Ready(false);
            }
            if poll_direction(cx, &mut upload, client, target, &mut up).is_err()
                || poll_direction(cx, download, target, client, &mut down).is_err()
            {
                return Poll::Ready(false);
            }
            if upload.written + download.written > moved {
                moved = upload.written + download.written;
                watch.until(worker.clock.now_ms() + idle_ms);
            }
            if up && down { Poll::Ready(true) } else { Poll::Pending }
        })
        .await
    }

    pub(crate) fn count_bytes(&self, listener: &ListenerConfig, bytes: u64) {
        listener.balancer.metrics.add(self.worker.index, Counter::ProcessedBytes, bytes);
    }
}

/// One direction of a tunnel, its end passed on.
fn poll_direction(
    cx: &mut Context<'_>,
    pump: &mut Pump,
    reader: &mut Stream,
    writer: &mut Stream,
    over: &mut bool,
) -> Result<(), io::Error> {
    if *over {
        return Ok(());
    }
    match pump.poll(cx, reader, writer) {
        Poll::Ready(Ok(())) => {
            if let Poll::Ready(shut) = Pin::new(writer).poll_shutdown(cx) {
                *over = true;
                shut?;
            }
            Ok(())
        }
        Poll::Ready(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        Poll::Pending => Ok(()),
    }
}

/// Ready when something comes from a client that waits for an answer: whether it is its end, or the next request. Costs nothing until
/// something comes.
fn poll_leaves(cx: &mut Context<'_>, client: &Stream) -> Poll<bool> {
    let mut byte = [0];
    let mut buffer = tokio::io::ReadBuf::new(&mut byte);
    match client.tcp().poll_peek(cx, &mut buffer) {
        Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(true),
        Poll::Ready(Ok(_)) => Poll::Ready(false),
        Poll::Pending => Poll::Pending,
    }
}
