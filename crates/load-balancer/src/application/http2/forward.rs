//! A request of a client of HTTP/2 on its way to a target, and the answer back.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Request, Response, Uri, header, request::Parts};
use hyper::body::{Body, Incoming};
use routing::{config::ProtocolVersion, rules::CompiledOutcome, sticky};
use tokio::time::sleep_until;

use super::front::{Active, Front};
use super::{
    asked::Routed,
    back::{self, SendError},
    body::{AnyBody, AtEnd, Carried, Counted, whole},
};
use crate::application::{
    answer::Answer,
    clock::Clock,
    log::Entry,
    metrics::Counter,
    pick::{self},
    request::{host_to_pass, is_idempotent, split_query},
    snapshot::{Group, ListenerConfig},
    upstream::ConnectError,
};

/// How many targets a request is offered to.
const ATTEMPTS: usize = 3;

impl Front {
    #[expect(clippy::too_many_arguments, reason = "the parts of an exchange, each of its own kind")]
    pub(super) async fn forward(
        self: &Rc<Front>,
        listener: &Arc<ListenerConfig>,
        parts: Parts,
        authority: &str,
        headers: HeaderMap,
        body: Incoming,
        routed: Routed<'_>,
        mut log: Option<Box<Entry>>,
        began: Instant,
        mut active: Active,
    ) -> Response<AnyBody> {
        let Routed { group, mut picked, cookies, cookie, outcome } = routed;
        let worker = &self.worker;
        let idle = Duration::from_secs(listener.balancer.attributes.idle_timeout_seconds.into());
        let empty = body.is_end_stream();
        let received = Arc::new(AtomicU64::new(0));
        let fed = Rc::new(Cell::new(began));
        let mut body = Some(body);
        let mut tried = Vec::new();
        let (sent, result) = loop {
            let target = Arc::clone(picked.in_flight.target());
            if let Some(log) = &mut log {
                log.target = Some(target.address);
            }
            let connected = back::ready(worker, listener, &group, &target).await;
            let sent = Instant::now();
            let result = match connected {
                Err(error) => Err(Some(error)),
                Ok(ready) => {
                    let whole_body = match body.take() {
                        Some(body) if !empty => {
                            let (passed, last) = (Arc::clone(&received), Rc::clone(&fed));
                            Box::pin(Counted { body, passed, last }) as AnyBody
                        }
                        _ => whole(""),
                    };
                    let request =
                        outgoing(&parts, authority, &headers, listener, &group, outcome, whole_body);
                    let sending = back::send(worker, listener, &target, ready, request);
                    match patiently(sending, idle, &fed).await {
                        Some(Ok(response)) => Ok(response),
                        Some(Err(error)) => Err(Some(error)),
                        None => Err(None),
                    }
                }
            };
            let again = match &result {
                Err(Some(SendError::Connect(_))) => {
                    listener.balancer.metrics.one(worker.index, Counter::TargetConnectionErrors);
                    group.metrics.one(worker.index, Counter::TargetConnectionErrors);
                    true
                }
                // Nothing that was sent is lost: there was no body.
                Err(Some(SendError::Broken(_))) => empty && is_idempotent(parts.method.as_str().as_bytes()),
                _ => false,
            };
            tried.push(target.number);
            if !again || tried.len() >= ATTEMPTS {
                break (sent, result);
            }
            let cookies = |name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool| {
                _ = sticky::cookies(&cookie, name).any(wanted);
            };
            match pick::target(listener, &group, &cookies, &worker.clock, &tried) {
                Some(other) => picked = other,
                None => break (sent, result),
            }
        };
        let response = match result {
            Ok(response) => response,
            Err(error) => {
                let late = matches!(error, None | Some(SendError::Connect(ConnectError::TimedOut)));
                let answer = Answer::error(if late { 504 } else { 502 });
                return self.answer(listener, &parts.method, answer, log);
            }
        };
        let took = sent.elapsed();
        let status = response.status().as_u16();
        listener.balancer.metrics.target_answer(worker.index, status, took);
        group.metrics.target_answer(worker.index, status, took);
        let (head, body) = response.into_parts();
        let mut set: Vec<String> = std::mem::take(&mut picked.cookies);
        set.extend(cookies);
        let own = head.headers.get_all(header::SET_COOKIE);
        set.extend(pick::application_cookies(
            listener,
            &group,
            picked.in_flight.target(),
            &worker.clock,
            own.iter().map(HeaderValue::as_bytes),
        ));
        let taking = active.carry(idle);
        let at_end: AtEnd = {
            let (front, listener) = (Rc::clone(self), Arc::clone(listener));
            let log = RefCell::new(log);
            Box::new(move |passed, _complete| {
                let received = received.load(Ordering::Relaxed);
                let metrics = &listener.balancer.metrics;
                metrics.add(front.worker.index, Counter::ProcessedBytes, received + passed);
                let mut log = log.take();
                if let Some(log) = &mut log {
                    log.request_time = Some(sent.duration_since(began));
                    log.target_time = Some(took);
                    log.response_time = Some(sent.elapsed().saturating_sub(took));
                }
                front.end_log(&listener, log, status, Some(status), received, passed);
                drop(active);
            })
        };
        let carried = Carried::new(body, picked.in_flight, idle, at_end).noting(taking);
        let mut answer = Response::new(Box::pin(carried) as AnyBody);
        *answer.status_mut() = head.status;
        *answer.headers_mut() = answered(head.headers, listener, &set, &worker.clock);
        answer
    }
}

/// What comes of it, unless nothing happens for so long: neither an end, nor that a piece of the client's body passes.
async fn patiently<T>(what: impl Future<Output = T>, idle: Duration, fed: &Cell<Instant>) -> Option<T> {
    let mut what = pin!(what);
    let mut until = Instant::now() + idle;
    loop {
        tokio::select! {
            done = &mut what => return Some(done),
            () = sleep_until(until.into()) => {
                let later = fed.get() + idle;
                if later <= until {
                    return None;
                }
                until = later;
            }
        }
    }
}

/// The request for a target.
fn outgoing(
    parts: &Parts,
    authority: &str,
    headers: &HeaderMap,
    listener: &ListenerConfig,
    group: &Group,
    outcome: &CompiledOutcome,
    body: AnyBody,
) -> Request<AnyBody> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = outcome.rewritten_url(path).unwrap_or_else(|| path.to_owned());
    let host = outcome.rewritten_host(authority).unwrap_or_else(|| {
        String::from_utf8_lossy(&host_to_pass(authority.as_bytes(), listener)).into_owned()
    });
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.headers_mut() = headers.clone();
    if group.version == ProtocolVersion::Http1 {
        *request.uri_mut() = path.parse().unwrap_or_else(|_| parts.uri.clone());
        if let Ok(host) = HeaderValue::from_str(&host) {
            request.headers_mut().insert(header::HOST, host);
        }
        request.headers_mut().remove(header::TE);
    } else {
        *request.version_mut() = http::Version::HTTP_2;
        let scheme = if group.encrypted { "https" } else { "http" };
        let (path_only, _) = split_query(path.as_bytes());
        debug_assert!(!path_only.is_empty());
        let whole = Uri::builder().scheme(scheme).authority(host.as_str()).path_and_query(path.as_str());
        *request.uri_mut() = whole.build().unwrap_or_else(|_| parts.uri.clone());
    }
    request
}

/// A target's headers as the client gets them.
pub(super) fn answered(
    mut headers: HeaderMap,
    listener: &ListenerConfig,
    cookies: &[String],
    clock: &Clock,
) -> HeaderMap {
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        headers.remove(name);
    }
    if !listener.attributes.server_header {
        headers.remove(header::SERVER);
    }
    if !headers.contains_key(header::DATE)
        && let Ok(date) = HeaderValue::from_bytes(&clock.date())
    {
        headers.insert(header::DATE, date);
    }
    for own in &listener.attributes.response_headers {
        let name = http::HeaderName::from_bytes(own.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&own.value)) {
            headers.insert(name, value);
        }
    }
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            headers.append(header::SET_COOKIE, value);
        }
    }
    headers
}
