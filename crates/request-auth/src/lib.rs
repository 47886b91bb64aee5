//! Signature Version 4: who signed this request, and is the signature theirs? And, for agents, signing one ([`sign_request`]).
//!
//! [`parse`] takes the claim out of the `Authorization` header or the query of a presigned URL; the caller looks
//! the access key's secret up and calls [`Presented::verify`] with it, the body's digest and the time. Neither
//! reads a clock or a key store. Bodies in signed pieces are put together by [`Presented::unframe`]. Source of the rules: the SigV4 chapter of
//! the IAM user guide.
//!
//! A request may be sent a second time within the time that its signature counts, as on AWS: nothing here remembers signatures.

mod canonical;
mod claim;
mod signer;
mod unframing;
mod verify;

pub use claim::{Payload, Presented, Source, parse};
pub use signer::{Credentials, Unsigned, sign_request};
pub use unframing::{Unframed, Unframing};
pub use verify::{derive_key, sign};

use http::{HeaderMap, Method};

/// The parts of a request that a signature covers, as they came over the wire.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub method: &'a Method,
    /// The path, still percent-encoded.
    pub path: &'a str,
    /// The query without `?`, still percent-encoded; empty when there is none.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
}

/// Why a request's claim does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The header or query is there but not of SigV4's form; the text says which part.
    #[error("{0}")]
    Incomplete(String),
    /// A header that says what is meant is not among those that are signed.
    #[error("There were headers present in the request which were not signed: {0}")]
    Uncovered(String),
    /// The digests differ, or the body is not the one that was signed.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// The signing time is too far from now.
    #[error("{0}")]
    Skewed(String),
    /// The presigned URL's time is over.
    #[error("{0}")]
    Expired(String),
    /// A body in pieces whose framing cannot be read.
    #[error("{0}")]
    Malformed(String),
}

#[cfg(test)]
mod tests;
