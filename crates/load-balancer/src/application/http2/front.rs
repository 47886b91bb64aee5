//! Clients of HTTP/2.
//!
//! A connection lives until nothing was asked on it for the idle timeout, its time is over or its listener is gone; then the client is told to
//! ask elsewhere, and what it has asked is finished. Source of the limits: the guide, and RFC 9113.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use routing::{
    config::{Action, ProtocolVersion},
    redirect::{Requested, location},
    rules::{self, CompiledOutcome},
    sticky,
};
use tokio::time::{interval, timeout};

use super::{
    Local,
    back::{self, SendError},
    body::{AnyBody, AtEnd, Carried, Counted, whole},
};
use crate::application::{
    answer::Answer,
    clock::Clock,
    log::Entry,
    metrics::Counter,
    pick::{self, Picked},
    request::{Forwarding, TlsFacts, host_to_pass, is_idempotent, split_port, split_query, trace_id},
    snapshot::{Group, ListenerConfig, Slot},
    stream::Stream,
    upstream::ConnectError,
    worker::Worker,
};

/// As documented for application load balancers.
const STREAMS: u32 = 128;
const HEAD_LIMIT_BYTES: u32 = 64 << 10;
const ATTEMPTS: usize = 3;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

struct Front {
    worker: Rc<Worker>,
    slot: Rc<Slot>,
    peer: SocketAddr,
    tls: Option<TlsFacts>,
    active: Cell<u32>,
    last: Cell<Instant>,
}

pub(crate) async fn serve(
    worker: &Rc<Worker>,
    slot: Rc<Slot>,
    stream: Stream,
    peer: SocketAddr,
    tls: Option<TlsFacts>,
) {
    let opened = Instant::now();
    let front = Rc::new(Front {
        worker: Rc::clone(worker),
        slot,
        peer,
        tls,
        active: Cell::new(0),
        last: Cell::new(opened),
    });
    let service = {
        let front = Rc::clone(&front);
        service_fn(move |request| {
            let front = Rc::clone(&front);
            async move { Ok::<_, Infallible>(front.handle(request).await) }
        })
    };
    let connection = hyper::server::conn::http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_LIMIT_BYTES)
        .adaptive_window(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut looks = interval(LOOK_INTERVAL);
    let mut leaving = false;
    loop {
        tokio::select! {
            // However it ended: nobody is left to be told.
            _ = &mut connection => return,
            _ = looks.tick() => {
                let over = front.slot.current().is_none_or(|listener| {
                    let attributes = &listener.balancer.attributes;
                    let idle = Duration::from_secs(attributes.idle_timeout_seconds.into());
                    let life = Duration::from_secs(attributes.client_keep_alive_seconds.into());
                    let quiet = front.active.get() == 0 && front.last.get().elapsed() >= idle;
                    quiet || opened.elapsed() >= life
                });
                if over && !leaving {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                } else if leaving && front.active.get() == 0 && front.last.get().elapsed() >= LOOK_INTERVAL {
                    return;
                }
            }
        }
    }
}

/// A request of HTTP/2, as rules see it.
struct View<'a> {
    parts: &'a Parts,
    authority: &'a str,
    peer: IpAddr,
}

impl rules::Request for View<'_> {
    fn method(&self) -> &[u8] {
        self.parts.method.as_str().as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.parts.uri.path().as_bytes()
    }

    fn query(&self) -> &[u8] {
        self.parts.uri.query().unwrap_or_default().as_bytes()
    }

    fn host(&self) -> &[u8] {
        split_port(self.authority.as_bytes()).0
    }

    fn any_header(&self, name: &str, holds: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        if name == "host" {
            return holds(self.authority.as_bytes());
        }
        self.parts.headers.get_all(name).iter().any(|value| holds(value.as_bytes()))
    }

    fn source(&self) -> IpAddr {
        self.peer
    }
}

/// Counts requests that are being answered.
struct Active(Rc<Front>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.last.set(Instant::now());
    }
}

struct Routed<'a> {
    group: Arc<Group>,
    picked: Picked,
    cookies: Vec<String>,
    cookie: Vec<u8>,
    outcome: &'a CompiledOutcome,
}

impl Front {
    async fn handle(self: Rc<Front>, request: Request<Incoming>) -> Response<AnyBody> {
        let began = self.worker.clock.tick();
        self.active.set(self.active.get() + 1);
        let active = Active(Rc::clone(&self));
        let Some(listener) = self.slot.current() else {
            return Response::builder()
                .status(StatusCode::SERVICE_UNAVAILABLE)
                .body(whole(""))
                .unwrap_or_else(|_| Response::new(whole("")));
        };
        listener.balancer.metrics.one(self.worker.index, Counter::Requests);
        let (parts, body) = request.into_parts();
        let authority = authority(&parts);
        let trace_id =
            trace_id(parts.headers.get("x-amzn-trace-id").map(HeaderValue::as_bytes), &self.worker.clock);
        let mut log = None;
        let routed = match self.route(&listener, &parts, &authority, &trace_id, began, &mut log) {
            Ok(routed) => routed,
            Err(answer) => return self.answer(&listener, &parts.method, answer, log),
        };
        let headers = self.headers_to_pass(&listener, &parts, &trace_id);
        self.forward(&listener, parts, &authority, headers, body, routed, log, began, active).await
    }

    fn route<'a>(
        &self,
        listener: &'a Arc<ListenerConfig>,
        parts: &Parts,
        authority: &str,
        trace_id: &str,
        began: Instant,
        log: &mut Option<Box<Entry>>,
    ) -> Result<Routed<'a>, Answer> {
        let metrics = &listener.balancer.metrics;
        if parts.method == Method::TRACE || parts.method == Method::CONNECT {
            return Err(Answer::error(405));
        }
        let forwarded = parts.headers.get_all("x-forwarded-for");
        if forwarded.iter().map(|value| value.as_bytes().split(|b| *b == b',').count()).sum::<usize>() > 30 {
            return Err(Answer::error(463));
        }
        let view = View { parts, authority, peer: self.peer.ip() };
        let rule = listener.rules.decide_index(&view);
        let outcome = listener.rules.outcome(rule);
        *log = self.begin_log(listener, parts, authority, outcome, trace_id, began);
        let forward = match &outcome.outcome.action {
            Action::FixedResponse(fixed) => {
                metrics.one(self.worker.index, Counter::FixedResponses);
                return Err(Answer::fixed(fixed));
            }
            Action::Redirect(redirect) => {
                metrics.one(self.worker.index, Counter::Redirects);
                let host = String::from_utf8_lossy(split_port(authority.as_bytes()).0);
                let to = location(
                    redirect,
                    &Requested {
                        encrypted: listener.encrypted,
                        host: &host,
                        port: listener.address.port(),
                        path: parts.uri.path(),
                        query: parts.uri.query().unwrap_or_default(),
                    },
                );
                if let Some(log) = log {
                    log.redirect.clone_from(&to);
                }
                return Err(Answer::redirect(redirect.code.status(), to));
            }
            Action::Forward(forward) => forward,
        };
        let cookie = cookie(&parts.headers);
        let cookies = |name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool| {
            _ = sticky::cookies(&cookie, name).any(wanted);
        };
        let (group, group_cookies) =
            pick::group(listener, listener.shares(rule), forward, &cookies, &self.worker.clock)
                .ok_or_else(|| Answer::error(503))?;
        if let Some(log) = log {
            log.target_group_arn.clone_from(&group.arn);
        }
        group.metrics.one(self.worker.index, Counter::Requests);
        if group.version == ProtocolVersion::Grpc {
            metrics.one(self.worker.index, Counter::GrpcRequests);
            if parts.method != Method::POST {
                return Err(Answer::error(464));
            }
        }
        let picked = pick::target(listener, &group, &cookies, &self.worker.clock, &[])
            .ok_or_else(|| Answer::error(503))?;
        if picked.unbound {
            metrics.one(self.worker.index, Counter::NonSticky);
        }
        Ok(Routed { group, picked, cookies: group_cookies, cookie, outcome })
    }

    fn answer(
        &self,
        listener: &Arc<ListenerConfig>,
        method: &Method,
        answer: Answer,
        log: Option<Box<Entry>>,
    ) -> Response<AnyBody> {
        let worker = &self.worker;
        listener.balancer.metrics.own_answer(worker.index, answer.status);
        let mut response = Response::builder().status(answer.status);
        for (name, value) in answer.headers(listener, &worker.clock) {
            response = response.header(name, value);
        }
        self.end_log(listener, log, answer.status, None, 0, answer.body.len() as u64);
        let body = if *method == Method::HEAD { Vec::new() } else { answer.body };
        response.body(whole(body)).unwrap_or_else(|error| {
            // A configured header that is none: the answer goes without.
            tracing::debug!(%error, "an answer could not be made");
            Response::new(whole(""))
        })
    }

    /// The client's headers with ours, without those that belong to its connection.
    fn headers_to_pass(&self, listener: &ListenerConfig, parts: &Parts, trace_id: &str) -> HeaderMap {
        let attributes = &listener.balancer.attributes;
        let mut headers = parts.headers.clone();
        let trailers = headers.get(header::TE).is_some_and(|te| te.as_bytes() == b"trailers");
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "upgrade",
            "te",
            "host",
            "expect",
        ] {
            headers.remove(name);
        }
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if attributes.drop_invalid_header_fields {
            let plain = |name: &str| crate::http1::syntax::is_plain_name(name.as_bytes());
            let invalid: Vec<_> = headers.keys().filter(|name| !plain(name.as_str())).cloned().collect();
            for name in &invalid {
                headers.remove(name);
            }
            if !invalid.is_empty() {
                listener.balancer.metrics.one(self.worker.index, Counter::DroppedHeaders);
            }
        }
        // Clients of HTTP/2 may split it.
        let cookie = cookie(&parts.headers);
        if let (false, Ok(value)) = (cookie.is_empty(), HeaderValue::from_bytes(&cookie)) {
            headers.insert(header::COOKIE, value);
        }
        let forwarding = Forwarding { listener, peer: self.peer, tls: self.tls.as_ref(), trace_id };
        let received = parts.headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
        let addresses = forwarding.forwarded_for(received);
        headers.remove("x-forwarded-for");
        if let Some(Ok(value)) = addresses.map(|value| HeaderValue::from_bytes(&value)) {
            headers.insert("x-forwarded-for", value);
        }
        for (name, value) in crate::application::request::forwarded(&forwarding) {
            let name = http::HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
        headers
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of an exchange, each of its own kind")]
    async fn forward(
        self: &Rc<Front>,
        listener: &Arc<ListenerConfig>,
        parts: Parts,
        authority: &str,
        headers: HeaderMap,
        body: Incoming,
        routed: Routed<'_>,
        mut log: Option<Box<Entry>>,
        began: Instant,
        active: Active,
    ) -> Response<AnyBody> {
        let Routed { group, mut picked, cookies, cookie, outcome } = routed;
        let worker = &self.worker;
        let idle = Duration::from_secs(listener.balancer.attributes.idle_timeout_seconds.into());
        let empty = body.is_end_stream();
        let received = Arc::new(AtomicU64::new(0));
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
                            Box::pin(Counted { body, passed: Arc::clone(&received) }) as AnyBody
                        }
                        _ => whole(""),
                    };
                    let request =
                        outgoing(&parts, authority, &headers, listener, &group, outcome, whole_body);
                    match timeout(idle, back::send(worker, listener, &target, ready, request)).await {
                        Ok(Ok(response)) => Ok(response),
                        Ok(Err(error)) => Err(Some(error)),
                        Err(_) => Err(None),
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
        let mut answer =
            Response::new(Box::pin(Carried::new(body, picked.in_flight, idle, at_end)) as AnyBody);
        *answer.status_mut() = head.status;
        *answer.headers_mut() = answered(head.headers, listener, &set, &worker.clock);
        answer
    }

    fn begin_log(
        &self,
        listener: &ListenerConfig,
        parts: &Parts,
        authority: &str,
        outcome: &CompiledOutcome,
        trace_id: &str,
        began: Instant,
    ) -> Option<Box<Entry>> {
        self.worker.log.as_ref()?;
        listener.balancer.attributes.access_logs.as_ref()?;
        let tls = self.tls.as_ref();
        let host = String::from_utf8_lossy(split_port(authority.as_bytes()).0);
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let agent = parts.headers.get(header::USER_AGENT);
        Some(Box::new(Entry {
            kind: "h2",
            began_unix: self.worker.clock.unix(began),
            load_balancer: listener.balancer.log_name.clone(),
            client: Some(self.peer),
            request: format!("{} https://{host}:{}{path} HTTP/2.0", parts.method, listener.address.port()),
            user_agent: agent
                .map_or_else(String::new, |agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
            tls_cipher: tls.map_or_else(String::new, |tls| tls.cipher.clone()),
            tls_version: tls.map_or("", |tls| tls.version),
            server_name: tls.and_then(|tls| tls.server_name.clone()).unwrap_or_default(),
            trace_id: trace_id.to_owned(),
            rule_priority: Some(outcome.priority),
            actions: match outcome.outcome.action {
                Action::Forward(_) => "forward",
                Action::Redirect(_) => "redirect",
                Action::FixedResponse(_) => "fixed-response",
            },
            ..Entry::default()
        }))
    }

    fn end_log(
        &self,
        listener: &ListenerConfig,
        entry: Option<Box<Entry>>,
        status: u16,
        target_status: Option<u16>,
        received_bytes: u64,
        sent_bytes: u64,
    ) {
        let (Some(log), Some(mut entry)) = (&self.worker.log, entry) else { return };
        entry.ended_unix = self.worker.clock.unix(Instant::now());
        entry.status = status;
        entry.target_status = target_status;
        entry.received_bytes = received_bytes;
        entry.sent_bytes = sent_bytes;
        log.record(&listener.balancer.arn, entry.to_string());
    }
}

fn authority(parts: &Parts) -> String {
    match parts.uri.authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => {
            let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
            host.unwrap_or_default().to_owned()
        }
    }
}

fn cookie(headers: &HeaderMap) -> Vec<u8> {
    let values: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    values.join(&b"; "[..])
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
