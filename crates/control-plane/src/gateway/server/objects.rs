//! S3 at the front door: the same way as every other API call, but for the bodies, which are streams both ways and of any length.
//!
//! A request is S3's when it is signed for S3, in a header or in its query, or when its host's name is a bucket's (`BUCKET.s3.localhost`,
//! `BUCKET.localhost` where it is signed); without a signature, when its path names a bucket that exists. Who does not sign is nobody here, at
//! every door: such a request is let in by a bucket's policy alone, so that a page which somebody opens cannot read what is not public.
//!
//! The signature is verified over the head, and what it says of the body is held against the body as it passes; a handler writes nothing that
//! can be seen before that. A request that changes something is carried to its end, or its clean-up, also when the client goes away.

mod addressed;

use std::sync::Arc;

use aws_schema::{Protocol, ServiceTable, Value};
use aws_shapes_s3 as s3;
use aws_wire::{RequestHead, RouteError, Routed};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, StatusCode, header, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::Incoming;
use request_auth::{Head, Presented, Unframing};
use vocabulary::{AccountId, Ids, Region, Scope, Timestamp};

use super::{Gateway, answers::Chain};
pub(super) use addressed::{Addressed, addressed, public};

use crate::{
    authorization,
    gateway::{
        Answer, ApiError, Principal, Trust,
        body::{Body, full},
        credentials, origin,
    },
    services::{
        Services,
        cloudtrail::Recording,
        iam::{
            access_keys::{self, Lookup},
            names as iam_names,
        },
        s3::{digests, errors, payload::Payload, restrict},
    },
};

/// The largest body that is read as a whole: the names of 10,000 parts, or of 1,000 objects.
const LARGEST_DOCUMENT: usize = 8 << 20;
const CONTENT_SHA256: &str = "x-amz-content-sha256";

/// Who asks, and what is said of the body.
struct Signer {
    scope: Scope,
    /// None: nobody, without a signature.
    principal: Option<Principal>,
    unframing: Option<Unframing>,
    sha256: Option<String>,
}

impl Gateway {
    /// Answers a request of S3.
    pub(super) async fn objects(
        self: &Arc<Self>,
        request: Request<Incoming>,
        addressed: Addressed,
        trust: Trust,
        now: Timestamp,
    ) -> Response<Body> {
        let request_id = self.services.ids().uuid();
        let (parts, body) = request.into_parts();
        let head_only = parts.method == Method::HEAD;
        let changes = !matches!(parts.method, Method::HEAD | Method::GET);
        let gateway = Arc::clone(self);
        let work = async move { gateway.object_call(parts, body, addressed, trust, now, &request_id).await };
        let mut answer = if changes {
            tokio::spawn(work).await.unwrap_or_else(|error| {
                let error = ApiError::internal(error);
                tracing::error!(cause = ?error.cause, "a call of S3 failed");
                encoded_error(&error, "")
            })
        } else {
            Box::pin(work).await
        };
        if head_only {
            // The length stays that of what is not sent.
            *answer.body_mut() = full(Bytes::new());
        }
        answer
    }

    async fn object_call(
        &self,
        parts: Parts,
        body: Incoming,
        addressed: Addressed,
        trust: Trust,
        now: Timestamp,
        request_id: &str,
    ) -> Response<Body> {
        if let Err(foreign) = origin::check(&parts.uri, &parts.headers, &self.services.settings.public_name) {
            tracing::warn!(%foreign, "a request was not let in");
            return closing(encoded_error(
                &ApiError::undeclared("AccessDenied", 403, foreign.to_string()),
                request_id,
            ));
        }
        let head = RequestHead { path: &addressed.path, ..RequestHead::from_parts(&parts) };
        let routed = match aws_wire::route_within(s3::SERVICE, &head) {
            Ok(routed) => routed,
            Err(error) => return closing(encoded_error(&unrouted(&error), request_id)),
        };
        let operation = routed.operation.name;
        let mut recording =
            Recording::begin(&self.services, (routed.service, routed.operation), &parts, now, request_id);
        let result = self
            .object_operation(&parts, &head, &routed, body, trust, now, request_id, &mut recording)
            .await
            .map_err(|error| credentials::in_words_of(Protocol::RestXml, error));
        recording.end(&self.services, &result);
        let (output, status, content) = match result {
            Ok(Answer::Value(output)) => (output, None, None),
            Ok(Answer::Content { output, status, content }) => (output, status, Some(content)),
            Ok(Answer::Events(_)) => (Value::Structure(Vec::new()), None, None),
            Err(error) => {
                let (code, status) = (error.code.as_ref(), error.status);
                tracing::info!(target: "longshore::api", service = "s3", operation, request_id, status, code);
                if let Some(cause) = &error.cause {
                    tracing::error!(service = "s3", operation, request_id, cause = %Chain(cause.as_ref()), "call failed");
                }
                let answer = encoded_error(&error, request_id);
                // A body that was not read to its end would be taken for the next request.
                return if parts.method == Method::GET || parts.method == Method::HEAD {
                    answer
                } else {
                    closing(answer)
                };
            }
        };
        tracing::info!(target: "longshore::api", service = "s3", operation, request_id, status = status.unwrap_or(200));
        let answer =
            aws_wire::encode_response(Protocol::RestXml, s3::SERVICE, routed.operation, &output, request_id);
        let mut answer = match content {
            None => answer.map(full),
            Some(content) => {
                answer.map(|_| StreamBody::new(content.map(|bytes| bytes.map(Frame::data))).boxed_unsync())
            }
        };
        if let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) {
            *answer.status_mut() = status;
        }
        answer
    }

    #[expect(clippy::too_many_arguments, reason = "each is one fact about the request")]
    async fn object_operation(
        &self,
        parts: &Parts,
        head: &RequestHead<'_>,
        routed: &Routed,
        body: Incoming,
        trust: Trust,
        now: Timestamp,
        request_id: &str,
        recording: &mut Recording,
    ) -> Result<Answer, ApiError> {
        let signer = signer(&self.services, trust, s3::SERVICE, parts, now)?;
        if let Some(principal) = &signer.principal {
            recording.caller(principal, &signer.scope.region);
        }
        if trust == Trust::Agents {
            let message = "This door is for the agents of container instances.";
            return Err(ApiError::undeclared("AccessDenied", 403, message));
        }
        if !self.operations.implements(routed.service, routed.operation.name) {
            return Err(ApiError::not_implemented(routed.service.service_id, routed.operation.name));
        }
        let mut payload = payload(parts, body, signer.unframing, signer.sha256)?;
        let streamed = self.operations.takes_a_stream(routed.service, routed.operation.name);
        let input = if streamed {
            aws_wire::decode(routed, head, b"")
        } else {
            let document = payload.whole(LARGEST_DOCUMENT).await?;
            check_document(parts, routed, &payload, &document)?;
            aws_wire::decode(routed, head, &document)
        };
        let input = input.map_err(|error| error.body())?;
        recording.asked(&input);
        aws_wire::validate(routed.operation.input, &input)
            .map_err(|violations| errors::invalid_argument(violations.body(routed.service).message))?;
        if let Some((_, bucket)) = routed.labels.iter().find(|(name, _)| *name == "Bucket") {
            self.services.state.read(|view| restrict(view, bucket, signer.principal.as_ref()))?;
        }
        let principal = signer.principal.unwrap_or_else(Principal::nobody);
        let call = self.call(parts, (signer.scope, principal), request_id, now);
        authorization::authorize(&call, routed.service, routed.operation, &input)?;
        recording.take_place(&self.services).await?;
        self.operations.answer_streamed(routed.service, routed.operation, call, input, payload).await
    }
}

/// Who signed the head, if anybody.
fn signer(
    services: &Services,
    trust: Trust,
    service: &ServiceTable,
    parts: &Parts,
    now: Timestamp,
) -> Result<Signer, ApiError> {
    let settings = &services.settings;
    let query = parts.uri.query().unwrap_or("");
    let head = Head { method: &parts.method, path: parts.uri.path(), query, headers: &parts.headers };
    let claim = request_auth::parse(&head).map_err(credentials::auth_error)?;
    let Some(claim) = claim else {
        if parts.headers.contains_key(header::AUTHORIZATION) || query.contains("AWSAccessKeyId=") {
            return Err(errors::invalid_request(
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            ));
        }
        let scope = Scope::new(settings.account.clone(), settings.region.clone());
        return Ok(Signer { scope, principal: None, unframing: None, sha256: None });
    };
    let region: Region = claim.region.parse().map_err(|_| {
        ApiError::undeclared(
            "AuthorizationHeaderMalformed",
            400,
            "The credential scope names no valid region.",
        )
    })?;
    let known = |principal: Principal, claim: &Presented, secret: Option<&str>| {
        let scope = Scope::new(principal.account.clone(), region.clone());
        Signer {
            scope,
            principal: Some(principal),
            unframing: claim.unframing(secret),
            sha256: claim.claimed_sha256(),
        }
    };
    match access_keys::look_up(services, &claim.access_key, now) {
        Lookup::Signs(key) => {
            credentials::verify_session(&claim, key.session_token.as_deref())?;
            claim.verify_head(&head, &key.secret, now).map_err(credentials::auth_error)?;
            if claim.service != service.signing_name {
                return Err(errors::signature_mismatch());
            }
            access_keys::note_use(services, &key.principal, &claim.service, region.as_str(), now);
            Ok(known(key.principal, &claim, Some(key.secret.as_str())))
        }
        Lookup::Unknown if trust == Trust::Open && !iam_names::is_issued_key(&claim.access_key) => {
            let account: AccountId = claim.access_key.parse().unwrap_or_else(|_| settings.account.clone());
            Ok(known(Principal::root(&account, &claim.access_key), &claim, None))
        }
        // A key that was issued here is never a stranger's, also when it no longer signs.
        Lookup::Unknown | Lookup::Inactive => Err(ApiError::undeclared(
            "InvalidAccessKeyId",
            403,
            "The AWS Access Key Id you provided does not exist in our records.",
        )),
        Lookup::Expired => Err(ApiError::undeclared("ExpiredToken", 400, "The provided token has expired.")),
    }
}

/// The body, with what head and signature say of it.
fn payload(
    parts: &Parts,
    body: Incoming,
    unframing: Option<Unframing>,
    sha256: Option<String>,
) -> Result<Payload, ApiError> {
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |name: &str| text(name).and_then(|length| length.parse::<u64>().ok());
    let is_framed = || {
        text("content-encoding")
            .is_some_and(|encodings| encodings.split(',').any(|one| one.trim() == "aws-chunked"))
    };
    let said_streaming = || text(CONTENT_SHA256).is_some_and(|said| said.starts_with("STREAMING-"));
    let unframing = unframing.or_else(|| (is_framed() || said_streaming()).then(Unframing::unsigned));
    let length = match &unframing {
        None => number("content-length"),
        Some(_) => Some(number("x-amz-decoded-content-length").ok_or_else(errors::missing_length)?),
    };
    // Nothing in a body of no length that was not announced otherwise.
    let length = length.or_else(|| {
        (!parts.headers.contains_key("transfer-encoding") && hyper::body::Body::is_end_stream(&body))
            .then_some(0)
    });
    let frames = BodyStream::new(body).filter_map(|frame| {
        let data = match frame {
            Ok(frame) => frame.into_data().ok().map(Ok),
            Err(error) => Some(Err(error.into())),
        };
        std::future::ready(data)
    });
    let mut payload = Payload::new(frames).framed(unframing);
    payload.length = length;
    payload.sha256 = sha256;
    payload.announced = text("x-amz-trailer").map(str::to_owned);
    Ok(payload)
}

/// Holds a document against what head and signature say of it.
fn check_document(
    parts: &Parts,
    routed: &Routed,
    payload: &Payload,
    document: &Bytes,
) -> Result<(), ApiError> {
    use crate::services::s3::checks::Said;
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let given = digests::Algorithm::ALL.map(|algorithm| {
        let name = format!("x-amz-checksum-{}", algorithm.name().to_ascii_lowercase());
        (algorithm, text(&name))
    });
    // The checksum of a completed upload is its object's, not the document's.
    let given = given.into_iter().filter(|_| routed.operation.name != "CompleteMultipartUpload");
    let md5 = text("content-md5");
    let said = Said::of(md5.as_deref(), None, given, payload, digests::Algorithm::Crc32)?;
    if routed.operation.name == "DeleteObjects" && !said.has_digest() {
        return Err(errors::invalid_request("Missing required header for this request: Content-MD5"));
    }
    said.check(&digests::of(document, said.wanted()), payload)
}

fn unrouted(error: &RouteError) -> ApiError {
    match error {
        RouteError::NotImported { name, .. } => ApiError::not_implemented(s3::SERVICE.service_id, name),
        _ => ApiError::undeclared(
            "MethodNotAllowed",
            405,
            "The specified method is not allowed against this resource.",
        ),
    }
}

fn encoded_error(error: &ApiError, request_id: &str) -> Response<Body> {
    let mut answer =
        aws_wire::encode_error(Protocol::RestXml, Some(s3::SERVICE), &error.body(), request_id).map(full);
    if answer.status() == StatusCode::NOT_MODIFIED {
        answer.headers_mut().remove(header::CONTENT_TYPE);
        *answer.body_mut() = full(Bytes::new());
    }
    answer
}

/// What is left of the body would be read as the next request.
fn closing(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    answer
}
