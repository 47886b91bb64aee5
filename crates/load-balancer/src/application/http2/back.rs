//! Targets, spoken to through hyper: those of HTTP/2 and gRPC, and those of HTTP/1.1 behind a client of HTTP/2.

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use routing::config::ProtocolVersion;
use tokio::task::spawn_local;

use super::{Local, body::AnyBody};
use crate::application::{
    snapshot::{Group, ListenerConfig},
    target::TargetState,
    upstream::{ConnectError, connect},
    worker::Worker,
};

/// Of one target, unused, kept by one thread.
const IDLE_LIMIT: usize = 256;
/// A connection on which nothing comes is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

type Key = (Arc<str>, u64);
type Http1 = (http1::SendRequest<AnyBody>, Arc<TargetState>);
type Http2 = (http2::SendRequest<AnyBody>, Arc<TargetState>);

/// Connections of a thread to targets.
#[derive(Default)]
pub(crate) struct Pool {
    http1: RefCell<HashMap<Key, Vec<Http1>>>,
    http2: RefCell<HashMap<Key, Http2>>,
}

impl Pool {
    /// Lets go of what is closed, or leads to a target that is leaving: what is in flight on it ends by itself.
    pub(crate) fn sweep(&self, _now_ms: u64) {
        let stays = |target: &TargetState| {
            !target.draining.load(Ordering::Relaxed) && !target.cut.load(Ordering::Relaxed)
        };
        self.http1.borrow_mut().retain(|_, waiting| {
            waiting.retain(|(sender, target)| !sender.is_closed() && stays(target));
            !waiting.is_empty()
        });
        self.http2.borrow_mut().retain(|_, (sender, target)| !sender.is_closed() && stays(target));
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the target broke off: {0}")]
    Broken(#[from] hyper::Error),
}

/// A connection to a target, ready for a request.
pub(super) enum Ready {
    Http1(http1::SendRequest<AnyBody>),
    Http2(http2::SendRequest<AnyBody>),
}

/// One that waits, or a new one.
pub(super) async fn ready(
    worker: &Rc<Worker>,
    listener: &ListenerConfig,
    group: &Group,
    target: &Arc<TargetState>,
) -> Result<Ready, SendError> {
    let key = (Arc::clone(&listener.interface), target.number);
    if group.version == ProtocolVersion::Http1 {
        while let Some((mut sender, _)) = worker.http2.waiting(&key) {
            if sender.ready().await.is_ok() {
                return Ok(Ready::Http1(sender));
            }
        }
        let stream = connect(worker, listener, group, target, false).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        return Ok(Ready::Http1(sender));
    }
    let shared = worker.http2.http2.borrow().get(&key).map(|(sender, _)| sender.clone());
    if let Some(mut sender) = shared
        && !sender.is_closed()
        && sender.ready().await.is_ok()
    {
        return Ok(Ready::Http2(sender));
    }
    let stream = connect(worker, listener, group, target, true).await?;
    let (sender, connection) = http2::Builder::new(Local)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .adaptive_window(true)
        .handshake(TokioIo::new(stream))
        .await?;
    spawn_local(connection);
    worker.http2.http2.borrow_mut().insert(key, (sender.clone(), Arc::clone(target)));
    Ok(Ready::Http2(sender))
}

impl Pool {
    fn waiting(&self, key: &Key) -> Option<Http1> {
        self.http1.borrow_mut().get_mut(key)?.pop()
    }
}

/// Sends a request on a connection; it is kept for the next when the answer has been read.
pub(super) async fn send(
    worker: &Rc<Worker>,
    listener: &ListenerConfig,
    target: &Arc<TargetState>,
    ready: Ready,
    request: Request<AnyBody>,
) -> Result<Response<Incoming>, SendError> {
    match ready {
        Ready::Http2(mut sender) => Ok(sender.send_request(request).await?),
        Ready::Http1(mut sender) => {
            let response = sender.send_request(request).await?;
            let key = (Arc::clone(&listener.interface), target.number);
            let (worker, target) = (Rc::clone(worker), Arc::clone(target));
            spawn_local(async move {
                if sender.ready().await.is_ok() && !target.draining.load(Ordering::Relaxed) {
                    let mut pool = worker.http2.http1.borrow_mut();
                    let waiting = pool.entry(key).or_default();
                    if waiting.len() < IDLE_LIMIT {
                        waiting.push((sender, target));
                    }
                }
            });
            Ok(response)
        }
    }
}
