//! The HTTP side of the front door.

mod answers;
mod connections;
mod objects;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
};

use aws_schema::{Auth, Protocol};
use aws_wire::{ErrorBody, RequestHead, Routed};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts,
};
use hyper::body::Incoming;
use request_auth::{Head, Unframed};
use vocabulary::{Ids, Scope, Timestamp};

pub use connections::Listening;

use super::{
    Answer, ApiError, Call, Context, Operations, Origin, Principal, Trust, balancers,
    body::{Body, BodyBudget, full},
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
use answers::{Chain, event_answer, plain, refuse, refuse_body};

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
                    refuse(&parts, &error.body(), &self.services.ids().uuid())
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
                refuse(&parts, &error.body(), &self.services.ids().uuid())
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
                refuse(parts, &error.body(), request_id)
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
        let inflated = match parts.headers.get(header::CONTENT_ENCODING) {
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
                aws_wire::encode_error(routed.protocol, Some(routed.service), &error.body(), request_id)
                    .map(full)
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
        let input = input.map_err(|error| error.body())?;
        recording.asked(&input);
        if trust == Trust::Agents && !door::offers(routed.service.service_id, routed.operation.name) {
            let message = "This door is for the agents of container instances.";
            return Err(ApiError::undeclared("AccessDeniedException", 403, message));
        }
        if !self.operations.implements(routed.service, routed.operation.name) {
            return Err(ApiError::not_implemented(routed.service.service_id, routed.operation.name));
        }
        aws_wire::validate(routed.operation.input, &input)
            .map_err(|violations| violations.body(routed.service))?;
        let call = self.call(parts, (caller.scope, caller.principal), request_id, now);
        authorization::authorize(&call, routed.service, routed.operation, &input)?;
        recording.take_place(&self.services).await?;
        self.operations.answer(routed.service, routed.operation, call, input).await
    }

    /// What a handler gets of the request beside its input.
    fn call(
        &self,
        parts: &Parts,
        (scope, principal): (Scope, Principal),
        request_id: &str,
        now: Timestamp,
    ) -> Call {
        let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let origin = Origin {
            address: parts.extensions.get::<SocketAddr>().map(SocketAddr::ip),
            user_agent: text(header::USER_AGENT).map(str::to_owned),
            secure: parts.extensions.get::<OverTls>().is_some(),
        };
        let host = text(header::HOST).unwrap_or(&self.services.settings.public_name).to_owned();
        let request_id = request_id.to_owned();
        Call {
            services: Arc::clone(&self.services),
            context: Arc::new(Context { scope, principal, request_id, now, host, origin }),
        }
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
    let encoding = all.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    if let Some(encoding) = encoding {
        let rest: Vec<&str> = encoding
            .split(',')
            .map(str::trim)
            .filter(|one| *one != "aws-chunked" && !one.is_empty())
            .collect();
        match HeaderValue::from_str(&rest.join(",")) {
            Ok(rest) if !rest.is_empty() => all.insert(header::CONTENT_ENCODING, rest),
            _ => all.remove(header::CONTENT_ENCODING),
        };
    }
    all
}
