//! Clients of HTTP/2.
//!
//! A connection lives until nothing was asked on it for the idle timeout, its time is over or its listener is gone; then the client is told to
//! ask elsewhere, and what it has asked is finished. Source of the limits: the guide, and RFC 9113.
//!
//! Two kinds of clients are sent away at once. Who takes back requests by the hundreds each second, before they are answered, makes the load
//! balancer and its targets work for nothing. Who takes nothing of a target's answer for longer than the idle timeout holds that target for
//! nothing, however busy it keeps the connection otherwise.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use routing::{config::Action, rules::CompiledOutcome};
use tokio::{sync::Notify, time::interval};

use super::{
    Local,
    asked::authority,
    body::{AnyBody, Taking, whole},
};
use crate::application::{
    answer::Answer,
    log::Entry,
    metrics::Counter,
    request::{TlsFacts, split_port, trace_id},
    snapshot::{ListenerConfig, Slot},
    stream::Stream,
    worker::Worker,
};

/// As documented for application load balancers.
const STREAMS: u32 = 128;
const HEAD_LIMIT_BYTES: u32 = 64 << 10;
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Requests that a client may take back between two looks: several times all that it may have at once.
const MOST_TAKEN_BACK: u32 = 4 * STREAMS;

pub(super) struct Front {
    pub(super) worker: Rc<Worker>,
    slot: Rc<Slot>,
    pub(super) peer: SocketAddr,
    pub(super) tls: Option<TlsFacts>,
    active: Cell<u32>,
    /// Answers of targets that have begun, and not ended.
    carried: RefCell<Vec<Rc<Taking>>>,
    last: Cell<Instant>,
    /// Requests that were taken back before they were answered, since the last look.
    taken_back: Cell<u32>,
    /// There were too many.
    enough: Notify,
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
        carried: RefCell::default(),
        last: Cell::new(opened),
        taken_back: Cell::new(0),
        enough: Notify::new(),
    });
    let service = {
        let front = Rc::clone(&front);
        service_fn(move |request| {
            let front = Rc::clone(&front);
            async move {
                let mut wanted = Wanted { front: Rc::clone(&front), answered: false };
                let answer = front.handle(request).await;
                wanted.answered = true;
                Ok::<_, Infallible>(answer)
            }
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
            () = front.enough.notified() => {
                tracing::debug!(client = %front.peer, "a client took too many requests back");
                return;
            }
            _ = looks.tick() => {
                front.taken_back.set(0);
                if front.is_stuck() {
                    tracing::debug!(client = %front.peer, "a client took nothing of an answer");
                    return;
                }
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

/// A request that is waited for. It is dropped unanswered when the client takes it back.
struct Wanted {
    front: Rc<Front>,
    answered: bool,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        if !self.answered {
            let count = self.front.taken_back.get() + 1;
            self.front.taken_back.set(count);
            if count > MOST_TAKEN_BACK {
                self.front.enough.notify_one();
            }
        }
    }
}

/// Counts requests that are being answered.
pub(super) struct Active {
    front: Rc<Front>,
    carried: Option<Rc<Taking>>,
}

impl Active {
    /// Its answer has begun; where to note what the client takes of it.
    pub(super) fn carry(&mut self, idle: Duration) -> Rc<Taking> {
        let taking = Rc::new(Taking::new(idle));
        self.front.carried.borrow_mut().push(Rc::clone(&taking));
        self.carried = Some(Rc::clone(&taking));
        taking
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let front = &self.front;
        front.active.set(front.active.get() - 1);
        if let Some(own) = &self.carried {
            front.carried.borrow_mut().retain(|one| !Rc::ptr_eq(one, own));
        }
        front.last.set(Instant::now());
    }
}

impl Front {
    /// Whether the client has taken nothing of an answer for longer than its target is waited for. What else it does is no matter: each
    /// answer that lies there holds a target.
    fn is_stuck(&self) -> bool {
        self.carried.borrow().iter().any(|answer| answer.overdue() >= 2 * LOOK_INTERVAL)
    }

    async fn handle(self: Rc<Front>, request: Request<Incoming>) -> Response<AnyBody> {
        let began = self.worker.clock.tick();
        self.active.set(self.active.get() + 1);
        let active = Active { front: Rc::clone(&self), carried: None };
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

    pub(super) fn answer(
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

    pub(super) fn begin_log(
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

    pub(super) fn end_log(
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
