//! Bodies in and out: what comes in is bounded in size, in time and in the sum over all requests.

use std::{
    convert::Infallible,
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The body of every answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The largest request body of an API call. ECR's `UploadLayerPart` carries up to 20 MiB in base64; nothing else
/// comes near.
pub const LARGEST_BODY: usize = 32 << 20;
/// The memory that all request bodies together may hold, so that many large requests are refused rather than
/// end the process.
const ALL_BODIES: usize = 256 << 20;
/// A client that sends nothing for this long has gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A body takes no longer than this as a whole: one that drips in would hold its share for as long as it likes.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(300);
const KIBIBYTE: usize = 1024;
/// The most that a compressed body may become. SDKs compress what goes into PutMetricData, which is 1 MiB at most.
const LARGEST_INFLATED: usize = 8 << 20;

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// The memory set aside for request bodies.
#[derive(Debug, Clone)]
pub struct BodyBudget(Arc<Semaphore>);

/// A request's body; its share of the budget is returned when this is dropped.
#[derive(Debug)]
pub struct Received {
    pub bytes: Bytes,
    _share: Vec<OwnedSemaphorePermit>,
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the request body is larger than {LARGEST_BODY} bytes")]
    TooLarge,
    #[error("too many request bodies are being received at once")]
    Busy,
    #[error("the request body did not come in time")]
    Idle,
    #[error("the request body ended early")]
    Truncated(#[source] hyper::Error),
    #[error("the request body is not compressed as its head says")]
    NotCompressed(#[source] io::Error),
}

impl BodyBudget {
    pub fn new() -> BodyBudget {
        BodyBudget(Arc::new(Semaphore::new(ALL_BODIES / KIBIBYTE)))
    }

    /// Reads `body` to its end.
    ///
    /// # Errors
    /// As [`BodyError`] says; nothing stays reserved.
    pub async fn read(&self, mut body: hyper::body::Incoming) -> Result<Received, BodyError> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > LARGEST_BODY {
            return Err(BodyError::TooLarge);
        }
        let mut bytes = BytesMut::with_capacity(announced.min(64 * KIBIBYTE));
        let mut share = Vec::new();
        let mut reserved = 0;
        let deadline = tokio::time::Instant::now() + WHOLE_TIMEOUT;
        while let Some(frame) =
            tokio::time::timeout_at(deadline.min(tokio::time::Instant::now() + IDLE_TIMEOUT), body.frame())
                .await
                .map_err(|_| BodyError::Idle)?
        {
            let Ok(data) = frame.map_err(BodyError::Truncated)?.into_data() else { continue };
            let size = bytes.len() + data.len();
            if size > LARGEST_BODY {
                return Err(BodyError::TooLarge);
            }
            if size > reserved {
                let kibibytes = u32::try_from((size - reserved).div_ceil(KIBIBYTE)).unwrap_or(u32::MAX);
                share.push(
                    Arc::clone(&self.0).try_acquire_many_owned(kibibytes).map_err(|_| BodyError::Busy)?,
                );
                reserved += kibibytes as usize * KIBIBYTE;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Received { bytes: bytes.freeze(), _share: share })
    }

    /// A body freed from `Content-Encoding: gzip`, which SDKs give to large requests of some operations. It has a share of its own.
    ///
    /// # Errors
    /// As [`BodyError`] says; nothing stays reserved.
    pub fn inflate(&self, compressed: &[u8]) -> Result<Received, BodyError> {
        let mut reader = flate2::read::GzDecoder::new(compressed);
        let (mut bytes, mut share) = (Vec::new(), Vec::new());
        let mut chunk = vec![0; 64 * KIBIBYTE];
        loop {
            let length = reader.read(&mut chunk).map_err(BodyError::NotCompressed)?;
            if length == 0 {
                return Ok(Received { bytes: bytes.into(), _share: share });
            }
            if bytes.len() + length > LARGEST_INFLATED {
                return Err(BodyError::TooLarge);
            }
            let kibibytes = u32::try_from(length.div_ceil(KIBIBYTE)).unwrap_or(u32::MAX);
            share.push(Arc::clone(&self.0).try_acquire_many_owned(kibibytes).map_err(|_| BodyError::Busy)?);
            bytes.extend_from_slice(&chunk[..length]);
        }
    }
}

impl Default for BodyBudget {
    fn default() -> Self {
        BodyBudget::new()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn compressed(plain: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn compressed_bodies_are_freed_within_bounds() {
        let budget = BodyBudget::new();
        let plain = b"Action=PutMetricData".repeat(10_000);
        assert_eq!(budget.inflate(&compressed(&plain)).unwrap().bytes, plain);
        let bomb = compressed(&vec![0; LARGEST_INFLATED + 1]);
        assert!(matches!(budget.inflate(&bomb), Err(BodyError::TooLarge)));
        assert!(matches!(budget.inflate(b"plain"), Err(BodyError::NotCompressed(_))));
        assert!(matches!(budget.inflate(&compressed(&plain)[..50]), Err(BodyError::NotCompressed(_))));
        assert_eq!(budget.0.available_permits(), ALL_BODIES / KIBIBYTE, "nothing stays reserved");
    }
}
