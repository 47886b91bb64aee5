//! A request's body on its way in: bounded in pauses and size, freed from its framing, held against what the signature says of it.

use std::{pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use request_auth::{AuthError, Unframing};

use super::errors;
use crate::gateway::ApiError;

/// A client that sends nothing for this long has gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Any error of a connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Source = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

/// The body of one request. Its bytes are not to be believed before [`Payload::next`] has answered that there are no more.
pub struct Payload {
    source: Source,
    framing: Option<Unframing>,
    ready: std::collections::VecDeque<Bytes>,
    ended: bool,
    received: u64,
    /// Bytes of the content, as the client announced them.
    pub length: Option<u64>,
    /// What the signature says that its SHA-256 is; for whoever takes the body to compare.
    pub sha256: Option<String>,
    /// The trailer that `x-amz-trailer` announces.
    pub announced: Option<String>,
    /// Checksums that came behind the content; known when it has ended.
    pub trailers: Vec<(String, String)>,
}

impl Payload {
    pub fn new(source: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Payload {
        Payload {
            source: Box::pin(source),
            framing: None,
            ready: Default::default(),
            ended: false,
            received: 0,
            length: None,
            sha256: None,
            announced: None,
            trailers: Vec::new(),
        }
    }

    /// A body that is there as a whole.
    pub fn of(bytes: impl Into<Bytes>) -> Payload {
        let bytes = bytes.into();
        let length = Some(bytes.len() as u64);
        let source = futures_util::stream::iter((!bytes.is_empty()).then_some(Ok(bytes)));
        Payload { length, ..Payload::new(source) }
    }

    pub fn none() -> Payload {
        Payload::of(Bytes::new())
    }

    /// With the framing that is to be taken off.
    pub fn framed(mut self, framing: Option<Unframing>) -> Payload {
        self.framing = framing;
        self
    }

    /// The next bytes of the content; none when it has ended as it was announced, and every signature in it holds.
    ///
    /// # Errors
    /// `RequestTimeout`, `IncompleteBody`, `SignatureDoesNotMatch`, `InvalidChunkSizeError`: what was given so far is void then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                self.received += bytes.len() as u64;
                if self.length.is_some_and(|length| self.received > length) {
                    return Err(errors::incomplete_body());
                }
                return Ok(Some(bytes));
            }
            if self.ended {
                return Ok(None);
            }
            match tokio::time::timeout(IDLE_TIMEOUT, self.source.next()).await {
                Err(_) => return Err(errors::request_timeout()),
                Ok(Some(Err(cause))) => return Err(errors::incomplete_body().caused_by(cause)),
                Ok(Some(Ok(bytes))) => self.take(bytes)?,
                Ok(None) => {
                    self.ended = true;
                    if let Some(framing) = self.framing.take() {
                        self.trailers = framing.finish().map_err(unframed)?;
                    }
                    if self.length.is_some_and(|length| self.received != length) {
                        return Err(errors::incomplete_body());
                    }
                }
            }
        }
    }

    fn take(&mut self, bytes: Bytes) -> Result<(), ApiError> {
        match &mut self.framing {
            None => self.ready.extend((!bytes.is_empty()).then_some(bytes)),
            Some(framing) => {
                let content = framing.push(&bytes).map_err(unframed)?;
                self.ready.extend(content.into_iter().map(|range| bytes.slice(range)));
            }
        }
        Ok(())
    }

    /// The whole content, which is at most `most` bytes long.
    ///
    /// # Errors
    /// Those of [`Payload::next`], and `MaxMessageLengthExceeded`.
    pub async fn whole(&mut self, most: usize) -> Result<Bytes, ApiError> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            if whole.len() + bytes.len() > most {
                return Err(errors::message_too_long());
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Payload").field("length", &self.length).finish_non_exhaustive()
    }
}

fn unframed(error: AuthError) -> ApiError {
    match error {
        AuthError::Mismatch => errors::signature_mismatch(),
        other => errors::invalid_request(other.to_string()),
    }
}
