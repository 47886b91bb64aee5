//! A request as the handlers see it: what matters of its head, and a body whose errors and pauses are bounded.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use vocabulary::Timestamp;

use super::answer::Refusal;
use super::range;
use super::token::Access;
use crate::gateway::Origin;

/// A client that sends nothing for this long has gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Any error of a request's body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Who asks, and when.
#[derive(Debug, Clone)]
pub struct Session {
    pub access: Access,
    pub origin: Origin,
    pub now: Timestamp,
}

/// One request without its path, which has become a route.
pub struct Incoming {
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub content_length: Option<u64>,
    pub content_range: Option<Range<u64>>,
    body: UnsyncBoxBody<Bytes, BoxError>,
}

impl Incoming {
    pub fn new(parts: &http::request::Parts, body: UnsyncBoxBody<Bytes, BoxError>) -> Result<Self, Refusal> {
        let content_range = match text(&parts.headers, header::CONTENT_RANGE) {
            Some(header) => Some(range::chunk(header).ok_or_else(|| {
                let message = format!("Content-Range '{header}' is not FIRST-LAST");
                Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message)
            })?),
            None => None,
        };
        Ok(Self {
            query: parts.uri.query().map(str::to_owned),
            headers: parts.headers.clone(),
            content_length: text(&parts.headers, header::CONTENT_LENGTH)
                .and_then(|length| length.parse().ok()),
            content_range,
            body,
        })
    }

    /// The next bytes of the body, `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            let frame = tokio::time::timeout(IDLE_TIMEOUT, self.body.frame());
            match frame.await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Ok(Some(Err(error))) => {
                    return Err(cut_short(format!("the request body ended early: {error}")));
                }
                Err(_) => return Err(cut_short("the client sent nothing for too long".to_owned())),
            }
        }
    }

    /// The whole body; `None` when it is longer than `limit` bytes.
    pub async fn whole(&mut self, limit: usize) -> Result<Option<Bytes>, Refusal> {
        let announced = self.content_length.unwrap_or(0);
        if announced > limit as u64 {
            return Ok(None);
        }
        let mut whole = Vec::new();
        while let Some(bytes) = self.chunk().await? {
            if whole.len() + bytes.len() > limit {
                return Ok(None);
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(Some(whole.into()))
    }
}

fn cut_short(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", message)
}

/// A header's text, when it has one.
pub fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
