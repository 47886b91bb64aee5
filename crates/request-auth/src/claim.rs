//! What a request says about its signer, before any of it is believed.

use std::time::Duration;

use time::{PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};
use vocabulary::Timestamp;

use crate::{AuthError, Head, canonical::decoded_query};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const TIME_FORMAT: &[BorrowedFormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");
/// Seven days, the longest life of a presigned URL.
const LONGEST_PRESIGNED: u64 = 604_800;
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Where the claim stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Header,
    Query,
}

/// The digest of the body that the signer vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// `UNSIGNED-PAYLOAD`: the body is not covered.
    Unsigned,
    /// No `x-amz-content-sha256`: the digest of the body as received is used.
    OfBody,
    /// Lower-case hexadecimal SHA-256.
    Sha256(String),
    /// `STREAMING-…`: the body comes in pieces, each `signed` by itself or not, with a `trailer` or not.
    Streaming { signed: bool, trailer: bool },
}

impl Payload {
    /// What `x-amz-content-sha256` says.
    fn named(text: &str) -> Result<Payload, AuthError> {
        Ok(match text {
            UNSIGNED => Payload::Unsigned,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Payload::Streaming { signed: true, trailer: false },
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                Payload::Streaming { signed: true, trailer: true }
            }
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Payload::Streaming { signed: false, trailer: true },
            other if other.starts_with("STREAMING-") => {
                return Err(incomplete(format!(
                    "x-amz-content-sha256 names an unknown form of payload: '{other}'."
                )));
            }
            digest => Payload::Sha256(digest.to_ascii_lowercase()),
        })
    }

    /// The word that stands for the digest where the payload has none.
    pub(crate) fn word(&self) -> Option<&'static str> {
        match self {
            Payload::Unsigned => Some(UNSIGNED),
            Payload::Streaming { signed: true, trailer: false } => Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
            Payload::Streaming { signed: true, trailer: true } => {
                Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
            }
            Payload::Streaming { signed: false, .. } => Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
            Payload::OfBody | Payload::Sha256(_) => None,
        }
    }
}

/// A claim: this access key signed this request at this time for this region and service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    pub source: Source,
    pub access_key: String,
    pub session_token: Option<String>,
    pub signed_at: Timestamp,
    /// The literal `YYYYMMDDTHHMMSSZ`, part of what is signed.
    pub(crate) signed_at_text: String,
    /// The scope's date, `YYYYMMDD`.
    pub(crate) date: String,
    pub region: String,
    pub service: String,
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: String,
    pub(crate) payload: Payload,
    /// How long a presigned URL holds.
    pub(crate) expires: Option<Duration>,
}

/// The claim of a request, or `None` for a request that makes none.
///
/// # Errors
/// [`AuthError::Incomplete`] when there is a claim with parts missing or malformed.
pub fn parse(head: &Head<'_>) -> Result<Option<Presented>, AuthError> {
    if let Some(value) = head.headers.get(http::header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| incomplete("Authorization header is not text."))?;
        return match text.strip_prefix(ALGORITHM) {
            Some(rest) => from_header(head, rest).map(Some),
            None if text.starts_with("AWS4-") || text.starts_with("AWS ") => Err(incomplete(format!(
                "Unsupported AWS 'algorithm': '{}'.",
                text.split(' ').next().unwrap_or("")
            ))),
            None => Ok(None),
        };
    }
    if head.query.contains("X-Amz-Signature=") || head.query.contains("X-Amz-Algorithm=") {
        return from_query(head).map(Some);
    }
    Ok(None)
}

fn from_header(head: &Head<'_>, rest: &str) -> Result<Presented, AuthError> {
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',') {
        match part.trim().split_once('=') {
            Some(("Credential", value)) => credential = Some(value),
            Some(("SignedHeaders", value)) => signed_headers = Some(value),
            Some(("Signature", value)) => signature = Some(value),
            _ => return Err(incomplete("Authorization header has a part that is not 'key=value'.")),
        }
    }
    let missing = |name: &str| incomplete(format!("Authorization header requires '{name}' parameter."));
    let text_header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let time = text_header("x-amz-date").ok_or_else(|| {
        incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    })?;
    let payload = match text_header("x-amz-content-sha256") {
        None => Payload::OfBody,
        Some(said) => Payload::named(said)?,
    };
    build(Claim {
        headers: head.headers,
        source: Source::Header,
        credential: credential.ok_or_else(|| missing("Credential"))?,
        signed_headers: signed_headers.ok_or_else(|| missing("SignedHeaders"))?,
        signature: signature.ok_or_else(|| missing("Signature"))?,
        time,
        token: text_header("x-amz-security-token").map(str::to_owned),
        payload,
        expires: None,
    })
}

fn from_query(head: &Head<'_>) -> Result<Presented, AuthError> {
    let query = decoded_query(head.query);
    let find = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let need = |name: &str| {
        find(name).ok_or_else(|| incomplete(format!("AWS query-string parameters must include '{name}'.")))
    };
    if need("X-Amz-Algorithm")? != ALGORITHM {
        return Err(incomplete("Unsupported AWS 'algorithm' in the query string."));
    }
    let expires: u64 = need("X-Amz-Expires")?
        .parse()
        .ok()
        .filter(|seconds| (1..=LONGEST_PRESIGNED).contains(seconds))
        .ok_or_else(|| incomplete("X-Amz-Expires must be a number between 1 and 604800."))?;
    // A presigned URL of S3 leaves its body out; every other service signs the body that it is sent with.
    let payload = match (find("X-Amz-Content-Sha256"), head.headers.get("x-amz-content-sha256")) {
        (Some(said), _) => Payload::named(said)?,
        (None, Some(value)) if value == UNSIGNED => Payload::Unsigned,
        _ if need("X-Amz-Credential")?.contains("/s3/") => Payload::Unsigned,
        _ => Payload::OfBody,
    };
    build(Claim {
        headers: head.headers,
        source: Source::Query,
        credential: need("X-Amz-Credential")?,
        signed_headers: need("X-Amz-SignedHeaders")?,
        signature: need("X-Amz-Signature")?,
        time: need("X-Amz-Date")?,
        token: find("X-Amz-Security-Token").map(str::to_owned),
        payload,
        expires: Some(Duration::from_secs(expires)),
    })
}

struct Claim<'a> {
    headers: &'a http::HeaderMap,
    source: Source,
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
    time: &'a str,
    token: Option<String>,
    payload: Payload,
    expires: Option<Duration>,
}

fn build(claim: Claim<'_>) -> Result<Presented, AuthError> {
    let malformed = || {
        incomplete(format!(
            "Credential must have at least 5 slash-separated elements (e.g. keyid/date/region/service/term), got '{}'.",
            claim.credential
        ))
    };
    let mut parts = claim.credential.rsplitn(5, '/');
    let terminator = parts.next().ok_or_else(malformed)?;
    let service = parts.next().ok_or_else(malformed)?;
    let region = parts.next().ok_or_else(malformed)?;
    let date = parts.next().ok_or_else(malformed)?;
    let access_key = parts.next().filter(|key| !key.is_empty()).ok_or_else(malformed)?;
    if terminator != "aws4_request" {
        return Err(incomplete("Credential should be scoped with a valid terminator: 'aws4_request'."));
    }
    if !claim.time.starts_with(date) || date.len() != 8 {
        return Err(incomplete(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.",
        ));
    }
    let signed_at = PrimitiveDateTime::parse(claim.time, TIME_FORMAT)
        .map_err(|_| incomplete(format!("Date must be in ISO-8601 'basic format'. Got '{}'.", claim.time)))?
        .assume_utc();
    let signed_headers: Vec<String> = claim.signed_headers.split(';').map(str::to_ascii_lowercase).collect();
    if !signed_headers.iter().any(|name| name == "host") {
        return Err(incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization."));
    }
    // What says what is meant has to be covered: nobody on the way may add to it.
    let uncovered = claim.headers.keys().map(http::HeaderName::as_str);
    let uncovered = uncovered
        .filter(|name| name.starts_with("x-amz-"))
        .find(|name| !signed_headers.iter().any(|signed| signed == name));
    if let Some(name) = uncovered {
        return Err(AuthError::Uncovered(name.to_owned()));
    }
    // Only S3 leaves bodies out of signatures, or signs them in pieces.
    let payload = match claim.payload.word() {
        Some(_) if service != "s3" => Payload::OfBody,
        _ => claim.payload,
    };
    Ok(Presented {
        source: claim.source,
        access_key: access_key.to_owned(),
        session_token: claim.token,
        signed_at: Timestamp::from_millis(signed_at.unix_timestamp() * 1000),
        signed_at_text: claim.time.to_owned(),
        date: date.to_owned(),
        region: region.to_owned(),
        service: service.to_owned(),
        signed_headers,
        signature: claim.signature.to_owned(),
        payload,
        expires: claim.expires,
    })
}

fn incomplete(text: impl Into<String>) -> AuthError {
    AuthError::Incomplete(text.into())
}
