//! Pulling blobs, whole or in parts.

use blob_store::Digest;
use futures_util::TryStreamExt;
use http::{HeaderMap, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::answer::{Answer, Refusal, empty, set};
use super::range::{self, Wanted};
use super::request::{Session, text};
use super::route::RepositoryName;
use super::{CONTENT_DIGEST, Registry};

impl Registry {
    /// `GET` and `HEAD /v2/NAME/blobs/DIGEST`.
    pub(super) async fn get_blob(
        &self,
        session: &Session,
        name: &RepositoryName,
        digest: &Digest,
        headers: &HeaderMap,
        head_only: bool,
    ) -> Result<Answer, Refusal> {
        let scope = &session.access.scope;
        self.catalog.repository(scope, name.as_str())?;
        if self.catalog.layer(scope, name.as_str(), digest).is_none() {
            return Err(Refusal::blob_unknown());
        }
        if head_only {
            // Who asks whether it is there is about to rely on it.
            return match self.blobs.touch(digest).await? {
                true => self.blob_head(digest).await,
                false => Err(Refusal::blob_unknown()),
            };
        }
        let reader = self.blobs.open(digest).await?;
        let length = reader.length();
        let (status, bytes) = match range::wanted(text(headers, header::RANGE), length) {
            Wanted::Whole => (StatusCode::OK, 0..length),
            Wanted::Part(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
            Wanted::Unsatisfiable => {
                let message = format!("the blob is {length} bytes long");
                return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message)
                    .with_header(header::CONTENT_RANGE, format!("bytes */{length}")));
            }
        };
        let content = reader.into_stream(bytes.clone()).map_ok(Frame::data);
        let mut answer = Response::new(StreamBody::new(content).boxed_unsync());
        *answer.status_mut() = status;
        describe(&mut answer, digest, bytes.end - bytes.start);
        if status == StatusCode::PARTIAL_CONTENT {
            let range = format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1);
            set(&mut answer, header::CONTENT_RANGE, &range);
        }
        Ok(answer)
    }

    async fn blob_head(&self, digest: &Digest) -> Result<Answer, Refusal> {
        let info = self.blobs.stat(digest).await?.ok_or_else(Refusal::blob_unknown)?;
        let mut answer = empty(StatusCode::OK);
        describe(&mut answer, digest, info.length);
        Ok(answer)
    }
}

fn describe(answer: &mut Answer, digest: &Digest, length: u64) {
    set(answer, header::CONTENT_TYPE, "application/octet-stream");
    set(answer, header::CONTENT_LENGTH, &length.to_string());
    set(answer, header::ACCEPT_RANGES, "bytes");
    set(answer, header::ETAG, &format!("\"{digest}\""));
    set(answer, CONTENT_DIGEST, &digest.to_string());
}
