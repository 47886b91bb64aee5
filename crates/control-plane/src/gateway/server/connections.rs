//! Connections: accepted up to a bound, with TLS or not, of either version of HTTP, and let go without a loss when the door closes.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::{Gateway, OverTls};
use crate::gateway::{Trust, balancers};

/// Connections beyond this are closed at once: each costs memory that a flood must not take. The tasks' door has its own, so
/// that no task can keep the operator out.
const MOST_CONNECTIONS: usize = 10_000;
const MOST_TASK_CONNECTIONS: usize = 2_000;
/// How long a client may take for its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers in progress may take when the door closes.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);

/// An open listener; closing it lets answers in progress finish.
#[derive(Debug)]
pub struct Listening {
    pub address: SocketAddr,
    close: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Listening {
    /// Stops accepting, and waits a bounded time for answers in progress.
    pub async fn close(self) {
        let _ = self.close.send(true);
        if tokio::time::timeout(CLOSING_TIMEOUT, self.accepting).await.is_err() {
            tracing::debug!(address = %self.address, "connections were still open when the front door closed");
        }
    }
}

impl Gateway {
    /// Serves `listener` until it is closed, over TLS where there is an acceptor.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        trust: Trust,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Listening> {
        let address = listener.local_addr()?;
        let (close, closed) = watch::channel(false);
        let accepting = tokio::spawn(self.accept(listener, trust, tls, closed));
        Ok(Listening { address, close, accepting })
    }

    async fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        trust: Trust,
        tls: Option<TlsAcceptor>,
        mut closed: watch::Receiver<bool>,
    ) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).pipeline_flush(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(200)
            .keep_alive_interval(Some(HEAD_TIMEOUT))
            .keep_alive_timeout(HEAD_TIMEOUT);
        let graceful = GracefulShutdown::new();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = closed.changed() => break,
            };
            let (stream, client) = match stream {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors or a connection that vanished: wait a little rather than spin.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            // The front door is the open one, or the one with TLS.
            let most = match trust {
                Trust::Open => MOST_CONNECTIONS,
                Trust::Strict if tls.is_some() => MOST_CONNECTIONS,
                Trust::Strict | Trust::Agents => MOST_TASK_CONNECTIONS,
            };
            let Some(guard) = ConnectionGuard::new(&self, most) else { continue };
            let _ = stream.set_nodelay(true);
            let gateway = Arc::clone(&self);
            let encrypted = tls.is_some();
            let service = service_fn(move |mut request: Request<Incoming>| {
                let gateway = Arc::clone(&gateway);
                if encrypted {
                    request.extensions_mut().insert(OverTls);
                }
                async move { Ok::<_, Infallible>(gateway.answer(request, trust, client).await) }
            });
            let (builder, watcher, mut closed) = (builder.clone(), graceful.watcher(), closed.clone());
            let tls = tls.clone();
            let by_name = trust == Trust::Open && tls.is_none();
            let services = Arc::clone(&self.services);
            tokio::spawn(async move {
                // Which version a client speaks is waited for without a limit below; one that says nothing is let go here.
                let speaks = tokio::select! {
                    first = tokio::time::timeout(HEAD_TIMEOUT, stream.readable()) => matches!(first, Ok(Ok(()))),
                    _ = closed.changed() => false,
                };
                if speaks && by_name && balancers::encrypted::is_tls(&stream).await {
                    let find = |name: &str| services.state.read(|view| balancers::encrypted_door(view, name));
                    tokio::select! {
                        () = balancers::encrypted::pass(stream, find) => {}
                        _ = closed.changed() => {}
                    }
                } else if speaks {
                    let stream: Box<dyn Duplex> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(stream)).await {
                            Ok(Ok(stream)) => Box::new(stream),
                            Ok(Err(error)) => return tracing::debug!(%error, %client, "no TLS came about"),
                            Err(_) => return,
                        },
                    };
                    let connection =
                        builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
                    if let Err(error) = watcher.watch(connection).await {
                        tracing::debug!(error = %error, "connection ended");
                    }
                }
                drop(guard);
            });
        }
        self.console.close();
        graceful.shutdown().await;
    }
}

/// A connection, with TLS around it or not.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Counts a connection while it lives.
struct ConnectionGuard(Arc<Gateway>);

impl ConnectionGuard {
    fn new(gateway: &Arc<Gateway>, most: usize) -> Option<ConnectionGuard> {
        let before = gateway.connections.fetch_add(1, Ordering::Relaxed);
        let guard = ConnectionGuard(Arc::clone(gateway));
        (before < most).then_some(guard)
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
