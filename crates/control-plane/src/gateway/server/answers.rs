//! Answers beside those of the codecs: errors of requests that went no further, streams of events, plain text.

use std::io;

use aws_schema::{Protocol, Value};
use aws_wire::{ErrorBody, Routed, event_stream};
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use http::{Response, StatusCode, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use crate::gateway::{
    ApiError,
    body::{Body, BodyError, full},
};

/// An answer that goes on for as long as its events come.
pub(super) fn event_answer(
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
            Err(error) => Some(event_stream::encode_exception(protocol, service, operation, &error.body())),
        };
        std::future::ready(frame)
    });
    let frames =
        futures_util::stream::iter(first).chain(rest).map(|bytes| Ok::<_, io::Error>(Frame::data(bytes)));
    event_stream::response_head(protocol, operation, &output, request_id)
        .map(|()| StreamBody::new(frames).boxed_unsync())
}

/// A body that was not read gets an error in the JSON form unless the request is a form.
pub(super) fn refuse_body(parts: &Parts, error: &BodyError, request_id: &str) -> Response<Body> {
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
pub(super) fn refuse(parts: &Parts, error: &ErrorBody, request_id: &str) -> Response<Body> {
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

pub(super) fn plain(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let mut answer = Response::new(full(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    answer
}

/// An error with everything beneath it, in one line.
pub(super) struct Chain<'a>(pub(super) &'a (dyn std::error::Error + Send + Sync));

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
