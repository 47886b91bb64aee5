//! The HTTP side of the front door.

mod objects;

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_schema::{Auth, Protocol, Value};
use aws_wire::{ErrorBody, RequestHead, Routed, event_stream};
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use request_auth::{Head, Unframed};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::watch,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use vocabulary::{Ids, Timestamp};

use super::{
    Answer, ApiError, Call, Context, Operations, Origin, Trust, balancers,
    body::{Body, BodyBudget, BodyError, full},
    console::{self, Console},
    credentials, origin,
};
use crate::{
    agents::door,
    authorization,
    services::{
        Services, cloudtrail::Recording, elbv2::trust_stores, now, ssm::sessions::door as data_channel,
    },
};

/// Connections beyond this are closed at once: each costs memory that a flood must not take. The tasks' door has its own, so
/// that no task can keep the operator out.
const MOST_CONNECTIONS: usize = 10_000;
const MOST_TASK_CONNECTIONS: usize = 2_000;
/// How long a client may take for its request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers in progress may take when the door closes.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers requests.
pub struct Gateway {
    services: Arc<Services>,
    operations: Operations,
    bodies: BodyBudget,
    connections: AtomicUsize,
    console: Console,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gateway")
    }
}

/// Marks requests that came over TLS.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

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
    pub fn new(services: Arc<Services>, operations: Operations) -> Gateway {
        Gateway {
            services,
            operations,
            bodies: BodyBudget::new(),
            connections: AtomicUsize::new(0),
            console: Console::new(),
        }
    }

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

    async fn answer(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        trust: Trust,
        client: SocketAddr,
    ) -> Response<Body> {
        let now = now();
        request.extensions_mut().insert(client);
        if trust == Trust::Open
            && let Some(name) = balancers::name_of(&request)
        {
            let door = self.services.state.read(|view| balancers::door(view, &name));
            return Box::pin(balancers::pass(request, &name, door, client)).await;
        }
        if let Some(addressed) = objects::addressed(&request, &self.services.settings.public_name) {
            return self.objects(request, addressed, trust, now).await;
        }
        let path = request.uri().path();
        if path == "/health" {
            return plain(StatusCode::OK, "application/json", "{\"status\":\"ok\"}\n");
        }
        if path == door::PATH {
            return match door::upgrade(&self.services, trust, &mut request, now) {
                Ok(answer) => answer,
                Err(error) => {
                    let (parts, _) = request.into_parts();
                    let error = credentials::in_words_of(Protocol::AwsJson11, error);
                    let error = ErrorBody::new(error.code, error.status, error.message);
                    refuse(&parts, &error, &self.services.ids().uuid())
                }
            };
        }
        let own_name = &self.services.settings.public_name;
        if trust != Trust::Agents
            && let Some(page) = Console::page(&request)
            && origin::check_host(request.uri(), request.headers(), own_name).is_ok()
        {
            return page;
        }
        if let Err(foreign) = origin::check(request.uri(), request.headers(), own_name) {
            tracing::warn!(%foreign, "a request was not let in");
            let (parts, _) = request.into_parts();
            return refuse(
                &parts,
                &ErrorBody::new("AccessDeniedException", 403, foreign.to_string()),
                &self.services.ids().uuid(),
            );
        }
        if trust != Trust::Agents && data_channel::session_of(path).is_some() {
            return data_channel::upgrade(&self.services, &mut request).unwrap_or_else(|error| {
                let (parts, _) = request.into_parts();
                let error = ErrorBody::new(error.code, error.status, error.message);
                refuse(&parts, &error, &self.services.ids().uuid())
            });
        }
        if path.starts_with(trust_stores::CONTENT_PATH) {
            let found = trust_stores::fetch(&self.services, path, request.uri().query(), now);
            return match found {
                Some(text) => plain(StatusCode::OK, "application/x-pem-file", text),
                None => {
                    plain(StatusCode::FORBIDDEN, "text/plain", "This link does not hold, or not any more.\n")
                }
            };
        }
        if path == "/v2" || path.starts_with("/v2/") {
            return self.services.registry.handle(request, now).await;
        }
        if let Some(addressed) = objects::public(&self.services, &request) {
            return self.objects(request, addressed, trust, now).await;
        }
        let request_id = self.services.ids().uuid();
        let (parts, body) = request.into_parts();
        let body = match self.bodies.read(body).await {
            Ok(body) => body,
            Err(error) => return refuse_body(&parts, &error, &request_id),
        };
        if parts.uri.path() == console::CHANGES && parts.method == Method::GET && trust != Trust::Agents {
            return self.changes(&parts, &body.bytes, trust, now, &request_id);
        }
        let answer = Box::pin(self.api(&parts, &body.bytes, trust, now, &request_id)).await;
        drop(body);
        answer
    }

    /// The console's stream of changes, for whoever may call the APIs.
    fn changes(
        &self,
        parts: &Parts,
        body: &[u8],
        trust: Trust,
        now: Timestamp,
        request_id: &str,
    ) -> Response<Body> {
        let head = RequestHead::from_parts(parts);
        let signed =
            Head { method: &parts.method, path: head.path, query: head.query, headers: &parts.headers };
        credentials::establish(&self.services, trust, None, &signed, body, now)
            .and_then(|caller| self.console.changes(&self.services, caller.scope))
            .unwrap_or_else(|error| {
                let error = credentials::in_words_of(Protocol::AwsJson11, error);
                refuse(parts, &ErrorBody::new(error.code, error.status, error.message), request_id)
            })
    }

    /// An API call.
    async fn api(
        &self,
        parts: &Parts,
        body: &[u8],
        trust: Trust,
        now: Timestamp,
        request_id: &str,
    ) -> Response<Body> {
        let head = RequestHead::from_parts(parts);
        // The signature is over the body as it came.
        let inflated = match parts.headers.get(http::header::CONTENT_ENCODING) {
            Some(encoding) if encoding == "gzip" => match self.bodies.inflate(body) {
                Ok(inflated) => Some(inflated),
                Err(error) => return refuse_body(parts, &error, request_id),
            },
            _ => None,
        };
        let content = inflated.as_ref().map_or(body, |inflated| &inflated.bytes);
        // S3 was asked before; an unsigned path that fits its patterns, and much does, is not its own.
        let others: Vec<_> =
            self.operations.services().iter().copied().filter(|service| service.name != "s3").collect();
        let routed = match aws_wire::route(&others, &head, content) {
            Ok(routed) => routed,
            Err(error) => {
                tracing::debug!(%error, "no such operation");
                return aws_wire::encode_error(error.protocol(), error.service(), &error.body(), request_id)
                    .map(full);
            }
        };
        let mut recording =
            Recording::begin(&self.services, (routed.service, routed.operation), parts, now, request_id);
        let result = self
            .operate(parts, &head, &routed, (body, content), trust, now, request_id, &mut recording)
            .await;
        let result = result.map_err(|error| credentials::in_words_of(routed.protocol, error));
        recording.end(&self.services, &result);
        let (service, operation) = (routed.service.name, routed.operation.name);
        match result {
            Ok(Answer::Value(output)) => {
                tracing::info!(target: "longshore::api", service, operation, request_id, status = 200);
                aws_wire::encode_response(
                    routed.protocol,
                    routed.service,
                    routed.operation,
                    &output,
                    request_id,
                )
                .map(full)
            }
            Ok(Answer::Content { .. }) => {
                let error =
                    ErrorBody::new("InternalFailure", 500, "The answer is a stream, and nobody takes it.");
                aws_wire::encode_error(routed.protocol, Some(routed.service), &error, request_id).map(full)
            }
            Ok(Answer::Events(events)) => {
                tracing::info!(target: "longshore::api", service, operation, request_id, status = 200, events = true);
                event_answer(&routed, events, request_id)
            }
            Err(error) => {
                let (code, status) = (error.code.as_ref(), error.status);
                tracing::info!(target: "longshore::api", service, operation, request_id, status, code);
                if let Some(cause) = &error.cause {
                    tracing::error!(service, operation, request_id, cause = %Chain(cause.as_ref()), "call failed");
                }
                let error = ErrorBody {
                    fields: error.fields,
                    ..ErrorBody::new(error.code, error.status, error.message)
                };
                aws_wire::encode_error(routed.protocol, Some(routed.service), &error, request_id).map(full)
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "each is one fact about the request, and only `api` calls this"
    )]
    async fn operate(
        &self,
        parts: &Parts,
        head: &RequestHead<'_>,
        routed: &Routed,
        (body, content): (&[u8], &[u8]),
        trust: Trust,
        now: Timestamp,
        request_id: &str,
        recording: &mut Recording,
    ) -> Result<Answer, ApiError> {
        let signed =
            Head { method: &parts.method, path: head.path, query: head.query, headers: &parts.headers };
        let caller =
            match credentials::establish(&self.services, trust, Some(routed.service), &signed, body, now) {
                // What such an operation is given proves who asks, as a web identity's token does.
                Err(error) if routed.operation.auth == Auth::None && error.code == credentials::UNSIGNED => {
                    credentials::nobody(&self.services)
                }
                established => established?,
            };
        recording.caller(&caller.principal, &caller.scope.region);
        let input = match &caller.unframed {
            None => aws_wire::decode(routed, head, content),
            // Its trailers say what its headers could have said.
            Some(unframed) => {
                let headers = with_trailers(&parts.headers, unframed);
                aws_wire::decode(routed, &RequestHead { headers: &headers, ..*head }, &unframed.body)
            }
        };
        let input = input.map_err(|error| declared(error.body()))?;
        recording.asked(&input);
        if trust == Trust::Agents && !door::offers(routed.service.service_id, routed.operation.name) {
            let message = "This door is for the agents of container instances.";
            return Err(ApiError::undeclared("AccessDeniedException", 403, message));
        }
        if !self.operations.implements(routed.service, routed.operation.name) {
            return Err(ApiError::not_implemented(routed.service.service_id, routed.operation.name));
        }
        aws_wire::validate(routed.operation.input, &input)
            .map_err(|violations| declared(violations.body(routed.service)))?;
        let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let user_agent = parts.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let origin = Origin {
            address: parts.extensions.get::<SocketAddr>().map(SocketAddr::ip),
            user_agent: user_agent.map(str::to_owned),
            secure: parts.extensions.get::<OverTls>().is_some(),
        };
        let call = Call {
            services: Arc::clone(&self.services),
            context: Arc::new(Context {
                scope: caller.scope,
                principal: caller.principal,
                request_id: request_id.to_owned(),
                now,
                host: host.unwrap_or(&self.services.settings.public_name).to_owned(),
                origin,
            }),
        };
        authorization::authorize(&call, routed.service, routed.operation, &input)?;
        recording.take_place(&self.services).await?;
        self.operations.answer(routed.service, routed.operation, call, input).await
    }
}

/// The headers with the trailers of a body in pieces, as far as they say something of S3, and without the framing.
fn with_trailers(headers: &HeaderMap, unframed: &Unframed) -> HeaderMap {
    let mut all = headers.clone();
    for (name, value) in unframed.trailers.iter().filter(|(name, _)| name.starts_with("x-amz-checksum-")) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            all.insert(name, value);
        }
    }
    let encoding = all.get(http::header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if let Some(encoding) = encoding {
        let rest: Vec<&str> = encoding
            .split(',')
            .map(str::trim)
            .filter(|one| *one != "aws-chunked" && !one.is_empty())
            .collect();
        match HeaderValue::from_str(&rest.join(",")) {
            Ok(rest) if !rest.is_empty() => all.insert(http::header::CONTENT_ENCODING, rest),
            _ => all.remove(http::header::CONTENT_ENCODING),
        };
    }
    all
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

fn declared(body: ErrorBody) -> ApiError {
    ApiError {
        code: body.code,
        status: body.status,
        message: body.message,
        fields: body.fields,
        table: None,
        cause: None,
    }
}

/// An answer that goes on for as long as its events come.
fn event_answer(
    routed: &Routed,
    events: BoxStream<'static, Result<(&'static str, Value), ApiError>>,
    request_id: &str,
) -> Response<Body> {
    let (protocol, service, operation) = (routed.protocol, routed.service, routed.operation);
    let output = Value::Structure(Vec::new());
    let first = event_stream::encode_initial_response(protocol, operation, &output);
    let rest = events.filter_map(move |event| {
        let frame = match event {
            Ok((name, value)) => event_stream::encode_event(protocol, operation, name, &value),
            Err(error) => {
                let body = ErrorBody {
                    fields: error.fields,
                    ..ErrorBody::new(error.code, error.status, error.message)
                };
                Some(event_stream::encode_exception(protocol, service, operation, &body))
            }
        };
        std::future::ready(frame)
    });
    let frames =
        futures_util::stream::iter(first).chain(rest).map(|bytes| Ok::<_, io::Error>(Frame::data(bytes)));
    event_stream::response_head(protocol, operation, &output, request_id)
        .map(|()| StreamBody::new(frames).boxed_unsync())
}

/// A body that was not read gets an error in the JSON form unless the request is a form.
fn refuse_body(parts: &Parts, error: &BodyError, request_id: &str) -> Response<Body> {
    let (code, status) = match error {
        BodyError::TooLarge => ("RequestEntityTooLargeException", 413),
        BodyError::Busy => ("ServiceUnavailable", 503),
        BodyError::Idle => ("RequestTimeout", 408),
        BodyError::Truncated(_) => ("IncompleteBody", 400),
        BodyError::NotCompressed(_) => ("SerializationException", 400),
    };
    refuse(parts, &ErrorBody::new(code, status, error.to_string()), request_id)
}

/// An error for a request that goes no further.
fn refuse(parts: &Parts, error: &ErrorBody, request_id: &str) -> Response<Body> {
    let form = parts
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form"));
    let protocol = if form { Protocol::Query } else { Protocol::AwsJson11 };
    let mut answer = aws_wire::encode_error(protocol, None, error, request_id).map(full);
    // What is left of the body would be read as the next request.
    answer.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    answer
}

fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(full(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    answer
}

/// An error with everything beneath it, in one line.
struct Chain<'a>(&'a (dyn std::error::Error + Send + Sync));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
