//! Connections to targets, kept for the next request.
//!
//! Each thread has its own: no lock, and a connection never changes threads. A connection belongs to one interface and one target; the one
//! used last is used next, so that those that are too many grow old and are closed.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{
    snapshot::{Group, ListenerConfig},
    stream::Stream,
    target::TargetState,
    worker::Worker,
};

/// As documented for application load balancers.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Kept of one target by one thread: more than a busy target has in flight.
const IDLE_LIMIT: usize = 1024;
/// Unused for so long, a connection is closed. Below the time after which usual servers close theirs would be better still; they
/// differ, so a request that finds its connection closed is sent again where that is safe.
const IDLE_MS: u64 = 60_000;

type Key = (Arc<str>, u64);

#[derive(Debug)]
struct Idle {
    stream: Stream,
    target: Arc<TargetState>,
    since_ms: u64,
}

/// The connections of a thread that wait for a request.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Key, Vec<Idle>>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no connection: {0}")]
    Refused(#[source] io::Error),
    #[error("no connection in time")]
    TimedOut,
    #[error("no TLS: {0}")]
    Tls(#[source] io::Error),
}

impl Pool {
    /// One that waits, and has not been closed as far as is known.
    pub(crate) fn take(&self, interface: &Arc<str>, target: &Arc<TargetState>) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        let waiting = idle.get_mut(&(Arc::clone(interface), target.number))?;
        while let Some(Idle { stream, .. }) = waiting.pop() {
            if !stream.has_ended() {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps one after a request that has ended cleanly.
    pub(crate) fn keep(&self, interface: &Arc<str>, target: &Arc<TargetState>, stream: Stream, now_ms: u64) {
        if target.draining.load(Ordering::Relaxed) || target.cut.load(Ordering::Relaxed) {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let waiting = idle.entry((Arc::clone(interface), target.number)).or_default();
        if waiting.len() < IDLE_LIMIT {
            waiting.push(Idle { stream, target: Arc::clone(target), since_ms: now_ms });
        }
    }

    /// Closes what is too old, closed by the other side, or leads to a target that is leaving.
    pub(crate) fn sweep(&self, now_ms: u64) {
        self.idle.borrow_mut().retain(|_, waiting| {
            waiting.retain(|idle| {
                let leaving =
                    idle.target.draining.load(Ordering::Relaxed) || idle.target.cut.load(Ordering::Relaxed);
                !leaving && idle.since_ms + IDLE_MS > now_ms && !idle.stream.has_ended()
            });
            !waiting.is_empty()
        });
    }
}

/// A new connection to a target, from the listener's interface.
pub(crate) async fn connect(
    worker: &Worker,
    listener: &ListenerConfig,
    group: &Group,
    target: &TargetState,
    http2: bool,
) -> Result<Stream, ConnectError> {
    let connecting = async {
        let socket = worker.sockets.stream(&listener.interface).await.map_err(ConnectError::Refused)?;
        let stream = socket.connect(target.address).await.map_err(ConnectError::Refused)?;
        let _ = stream.set_nodelay(true);
        if !group.encrypted {
            return Ok(Stream::Plain(stream));
        }
        let config = if http2 { &worker.to_targets_http2 } else { &worker.to_targets };
        let name = ServerName::IpAddress(target.address.ip().into());
        let stream =
            TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(ConnectError::Tls)?;
        Ok(Stream::ToTarget(Box::new(stream)))
    };
    timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or(Err(ConnectError::TimedOut))
}
