//! AWS's wire protocols, driven by the static tables of `aws-schema`: which operation a request means
//! ([`route`]), its input ([`decode`], [`validate`]), and the answer ([`encode_response`], [`encode_error`],
//! [`event_stream`]).
//!
//! One codec per protocol walks a [`Value`](aws_schema::Value) along its table; there is no code per operation.
//! The rules are Smithy's protocol definitions and, where services deviate, what botocore sends and accepts:
//! `tests/botocore.rs` holds every imported operation against botocore's own serializer and parser.
//!
//! Nothing here does I/O, authenticates, or knows what an operation means. Everything read from outside is
//! bounded ([`limits`]) and never panics. Bodies come whole: streaming payloads are for the caller to cut off.
//!
//! ```no_run
//! # fn example(request: http::Request<bytes::Bytes>) -> http::Response<bytes::Bytes> {
//! use aws_schema::Shape;
//! use aws_wire::{ErrorBody, RequestHead};
//!
//! let services = [aws_shapes_sts::SERVICE];
//! let (parts, body) = request.into_parts();
//! let head = RequestHead::from_parts(&parts);
//! let routed = match aws_wire::route(&services, &head, &body) {
//!     Ok(routed) => routed,
//!     Err(error) => return aws_wire::encode_error(error.protocol(), error.service(), &error.body(), "id"),
//! };
//! let answer = aws_wire::decode(&routed, &head, &body)
//!     .map_err(|error| error.body())
//!     .and_then(|input| match aws_wire::validate(routed.operation.input, &input) {
//!         Ok(()) => Ok(input),
//!         Err(violations) => Err(violations.body(routed.service)),
//!     })
//!     .map(|_input| aws_shapes_sts::GetCallerIdentityResponse::default().into_value());
//! match answer {
//!     Ok(output) => aws_wire::encode_response(routed.protocol, routed.service, routed.operation, &output, "id"),
//!     Err(error) => aws_wire::encode_error(routed.protocol, Some(routed.service), &error, "id"),
//! }
//! # }
//! ```

mod cbor;
mod decode;
pub mod document;
mod error;
pub mod event_stream;
mod form;
mod head;
mod json;
pub mod limits;
mod response;
mod rest;
mod route;
mod text;
mod uri;
mod validate;
mod xml;

pub use decode::{DecodeError, decode};
pub use error::{ErrorBody, encode_error};
pub use head::RequestHead;
pub use response::encode_response;
pub use route::{RouteError, Routed, route, route_within};
pub use validate::{Constraint, Violation, Violations, validate};

#[cfg(test)]
mod tests;
