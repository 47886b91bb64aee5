//! One request of HTTP/1.1: which rule, which target, and the answer back.
//!
//! The head for the target is made once and kept until the target answers, so that it can be sent again: to another target when there is no
//! connection to the first, and on a new connection when one broke before a byte of the answer, if the method allows doing
//! things twice and the whole request is still at hand. While a target thinks, the client is watched: when it leaves, the target
//! is left too.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use routing::config::ProtocolVersion;

use super::{
    answer::Answer,
    buffer::{Buffer, give_line, take_line},
    connection::{Client, idle_ms},
    metrics::Counter,
    pick::Picked,
    pump::{Framing, Pump},
    snapshot::{Group, ListenerConfig},
    stream::Stream,
    upstream::{ConnectError, connect},
    watch::Alarm,
};
use crate::http1::{
    body::Body,
    head::{Refusal, RequestHead, ResponseHead, Version},
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
    pub(super) cookie: Vec<u8>,
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

pub(super) enum Decided {
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
        if let Some(mut log) = facts.log.take() {
            let body = if facts.to_head { 0 } else { answer.body.len() };
            log.sent_head_bytes = line.len().saturating_sub(body) as u64;
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

    pub(crate) fn count_bytes(&self, listener: &ListenerConfig, bytes: u64) {
        listener.balancer.metrics.add(self.worker.index, Counter::ProcessedBytes, bytes);
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
