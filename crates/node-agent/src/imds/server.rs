//! The HTTP side: who may ask, and the way to the documents.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, SERVER},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle, time::Instant};
use vocabulary::Timestamp;

use super::{
    ImdsConfig, documents,
    role::Role,
    tokens::{LONGEST_SECONDS, Tokens},
};

/// Requests answered at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 128;
/// A client that says nothing for so long is let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_SECONDS: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The service; it ends when it is dropped.
#[derive(Debug)]
pub struct Imds {
    pub address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Imds {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Imds {
    /// Listens and serves.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(config: ImdsConfig) -> io::Result<Imds> {
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service {
            role: Role::new(config.role.clone()),
            tokens: Tokens::default(),
            own: address,
            config,
        });
        Ok(Imds { address, accepting: tokio::spawn(accept(listener, service)) })
    }
}

pub(super) struct Service {
    pub(super) config: ImdsConfig,
    pub(super) role: Role,
    pub(super) tokens: Tokens,
    /// What the machine's own programs come from as well.
    pub(super) own: SocketAddr,
}

async fn accept(listener: TcpListener, service: Arc<Service>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(connection) => connection,
            Err(error) => {
                // Out of descriptors, most likely: what is open has to end first.
                tracing::warn!(%error, "the instance metadata service could not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            let answering = service_fn(|request: Request<Incoming>| {
                let service = Arc::clone(&service);
                async move {
                    let now = Timestamp::from(std::time::SystemTime::now());
                    let (method, path) = (request.method(), request.uri().path());
                    let answer = service.answer(method, path, request.headers(), peer, now).await;
                    Ok::<_, Infallible>(response(answer))
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                // Simple clients end what they say before they listen.
                .half_close(true)
                .serve_connection(TokioIo::new(stream), answering);
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "a connection to the instance metadata service broke");
            }
            drop(place);
        });
    }
}

/// Status, body, and for how many seconds a token holds.
pub(super) type Answer = (StatusCode, String, Option<u64>);

fn response((status, body, token_seconds): Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    headers.insert(SERVER, http::HeaderValue::from_static("EC2ws"));
    if let Some(seconds) = token_seconds {
        headers.insert(TOKEN_SECONDS, http::HeaderValue::from(seconds));
    }
    response
}

impl Service {
    pub(super) async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        peer: SocketAddr,
        now: Timestamp,
    ) -> Answer {
        let refuse =
            |status: StatusCode| (status, status.canonical_reason().unwrap_or_default().to_owned(), None);
        let Some(rest) = path.strip_prefix("/latest").filter(|rest| rest.is_empty() || rest.starts_with('/'))
        else {
            return refuse(StatusCode::NOT_FOUND);
        };
        if rest == "/api/token" {
            return match *method {
                Method::PUT => self.begin(headers, peer),
                _ => refuse(StatusCode::METHOD_NOT_ALLOWED),
            };
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return refuse(StatusCode::METHOD_NOT_ALLOWED);
        }
        let token = headers.get(TOKEN).and_then(|token| token.to_str().ok());
        if !token.is_some_and(|token| self.tokens.holds(token, Instant::now())) {
            return refuse(StatusCode::UNAUTHORIZED);
        }
        let role = match rest.starts_with("/meta-data") {
            true => self.role.current(now).await,
            false => Ok(None),
        };
        let role = match role {
            Ok(role) => role,
            Err(error) if rest.contains("/iam") => {
                tracing::warn!(%error, "the credentials of the instance's role are not at hand");
                return refuse(StatusCode::SERVICE_UNAVAILABLE);
            }
            Err(_) => None,
        };
        match documents::at(rest, &self.config.identity, role.as_ref()) {
            Some(document) => (StatusCode::OK, document, None),
            None => refuse(StatusCode::NOT_FOUND),
        }
    }

    /// A new session.
    fn begin(&self, headers: &HeaderMap, peer: SocketAddr) -> Answer {
        let refuse =
            |status: StatusCode| (status, status.canonical_reason().unwrap_or_default().to_owned(), None);
        // Whoever can make a proxy send a request here must not have what the proxy's machine has.
        if headers.contains_key("x-forwarded-for") {
            return refuse(StatusCode::FORBIDDEN);
        }
        if self.config.hop_limit < 2 && peer.ip() != self.own.ip() {
            return refuse(StatusCode::FORBIDDEN);
        }
        let seconds = headers.get(TOKEN_SECONDS).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let Some(seconds) = seconds.filter(|seconds| (1..=LONGEST_SECONDS).contains(seconds)) else {
            return refuse(StatusCode::BAD_REQUEST);
        };
        match self.tokens.issue(seconds, Instant::now()) {
            Some(token) => (StatusCode::OK, token, Some(seconds)),
            None => refuse(StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}
