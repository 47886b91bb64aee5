//! Asks targets how they do. What follows from the answers is `routing::health`'s.
//!
//! Each target has a task that asks at once and then in the interval of its group, from an interface of the load balancer: a target whose
//! security groups keep the load balancer out is unhealthy, as it has to be. Each check is a connection of its own.

use std::{net::SocketAddrV4, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use routing::{
    config::{CheckPort, HealthCheck, Protocol, ProtocolVersion},
    health::CheckResult,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::TlsConnector;

use crate::{Sockets, network::Place};

/// What application load balancers call themselves when they ask.
const USER_AGENT: &str = "ELB-HealthChecker/2.0";
/// How long after a check could not have a socket it tries again.
const SOCKET_RETRY: Duration = Duration::from_millis(100);
/// The message of a call without content: not compressed, no bytes (gRPC over HTTP/2, "Length-Prefixed-Message").
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// What is asked, and from where. A different question begins anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    pub check: HealthCheck,
    pub version: ProtocolVersion,
    /// The target's own port, whichever is asked at.
    pub target: SocketAddrV4,
    /// The interface to ask from.
    pub interface: String,
    /// Which registration of the target: another may be another's.
    pub registration: u64,
}

/// An answer to the question that was asked of `place`.
#[derive(Debug)]
pub(crate) struct Answer {
    pub place: Place,
    /// Tells answers to an earlier question from those to this.
    pub asked: u64,
    pub result: CheckResult,
}

/// What checks are made with.
#[derive(Clone)]
pub(crate) struct Checker {
    pub sockets: Arc<dyn Sockets>,
    pub tls: Arc<rustls::ClientConfig>,
    pub answers: mpsc::Sender<Answer>,
}

impl Checker {
    /// Asks until it is dropped, or nobody wants to hear any more.
    pub(crate) async fn run(self, place: Place, asked: u64, question: Question) {
        let mut ticks = interval(Duration::from_secs(question.check.interval_seconds.max(1).into()));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // An interface that is not there yet says nothing about the target.
            while let Err(error) = self.sockets.stream(&question.interface).await {
                tracing::debug!(%error, interface = question.interface, "a health check has no socket");
                tokio::time::sleep(SOCKET_RETRY).await;
            }
            let limit = Duration::from_secs(question.check.timeout_seconds.max(1).into());
            let result = timeout(limit, self.ask(&question))
                .await
                .unwrap_or(Ok(CheckResult::TimedOut))
                .unwrap_or_else(|error| {
                    tracing::debug!(%error, target = %question.target, "a health check failed");
                    CheckResult::Failed
                });
            if self.answers.send(Answer { place: place.clone(), asked, result }).await.is_err() {
                return;
            }
        }
    }

    async fn ask(&self, question: &Question) -> Result<CheckResult, Error> {
        let port = match question.check.port {
            CheckPort::Traffic => question.target.port(),
            CheckPort::Fixed(port) => port,
        };
        let address = SocketAddrV4::new(*question.target.ip(), port);
        let stream = self.sockets.stream(&question.interface).await?.connect(address.into()).await?;
        match question.check.protocol {
            Protocol::Http => asked(stream, address, question).await,
            Protocol::Https => {
                asked(self.encrypted(stream, address, question.version).await?, address, question).await
            }
            Protocol::Tls => {
                self.encrypted(stream, address, question.version).await.map(|_| CheckResult::Good)
            }
            Protocol::Tcp | Protocol::Udp | Protocol::TcpUdp => Ok(CheckResult::Good),
        }
    }

    async fn encrypted(
        &self,
        stream: TcpStream,
        address: SocketAddrV4,
        version: ProtocolVersion,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Error> {
        let mut config = rustls::ClientConfig::clone(&self.tls);
        if version != ProtocolVersion::Http1 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        let name = ServerName::IpAddress((*address.ip()).into());
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn asked(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddrV4,
    question: &Question,
) -> Result<CheckResult, Error> {
    let path = if question.check.path.is_empty() { "/" } else { &question.check.path };
    let matcher = &question.check.matcher;
    let code = match question.version {
        ProtocolVersion::Http1 => {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let request = Request::get(path)
                .header(header::HOST, address.to_string())
                .header(header::USER_AGENT, USER_AGENT)
                .header(header::CONNECTION, "close")
                .body(Empty::<Bytes>::new())?;
            while_driven(connection, sender.send_request(request)).await?.status().as_u16()
        }
        ProtocolVersion::Http2 => {
            let request = Request::get(format!("http://{address}{path}"))
                .header(header::USER_AGENT, USER_AGENT)
                .body(Empty::<Bytes>::new())?;
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            while_driven(connection, sender.send_request(request)).await?.status().as_u16()
        }
        ProtocolVersion::Grpc => {
            let request = Request::post(format!("http://{address}{path}"))
                .header(header::USER_AGENT, USER_AGENT)
                .header(header::CONTENT_TYPE, "application/grpc")
                .header(header::TE, "trailers")
                .body(Full::new(Bytes::from_static(&EMPTY_MESSAGE)))?;
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            let status = async {
                let answer = sender.send_request(request).await?;
                grpc_status(answer).await
            };
            while_driven(connection, status).await?.ok_or("no status of gRPC")?
        }
    };
    Ok(if matcher.accepts(code) { CheckResult::Good } else { CheckResult::Mismatch { code } })
}

/// Drives the connection for as long as the answer takes; the answer counts.
async fn while_driven<T, E: Into<Error>>(
    connection: impl Future<Output = Result<(), hyper::Error>>,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let (mut connection, mut answer) = (std::pin::pin!(connection), std::pin::pin!(answer));
    tokio::select! {
        biased;
        answer = &mut answer => answer.map_err(Into::into),
        ended = &mut connection => {
            // What was answered before the end is there.
            let late = timeout(Duration::ZERO, answer).await;
            match (late, ended) {
                (Ok(answer), _) => answer.map_err(Into::into),
                (Err(_), Err(error)) => Err(error.into()),
                (Err(_), Ok(())) => Err("the connection ended before the answer".into()),
            }
        }
    }
}

/// In the trailers, or in the head of an answer that has no body.
async fn grpc_status(answer: Response<Incoming>) -> Result<Option<u16>, hyper::Error> {
    let of = |headers: &http::HeaderMap| headers.get("grpc-status")?.to_str().ok()?.parse().ok();
    if let Some(status) = of(answer.headers()) {
        return Ok(Some(status));
    }
    let mut body = answer.into_body();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await.transpose()? else { break };
        if let Some(trailers) = frame.trailers_ref() {
            return Ok(of(trailers));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
