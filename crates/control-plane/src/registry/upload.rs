//! Pushing blobs: in one request, in a session of one stream, or in chunks; by mounting what another repository holds; cancelled.
//!
//! A chunk whose connection breaks leaves the session at the bytes that arrived, for the client to go on from. A request that
//! was to finish a blob and did not leaves nothing.

use blob_store::{Algorithm, Append, Digest, UploadId};
use http::{StatusCode, header};
use vocabulary::{Direction, Timestamp, Transfer};

use super::answer::{Answer, Refusal, empty, set};
use super::records::Layer;
use super::request::{Incoming, Session};
use super::route::{RepositoryName, parameter};
use super::{Registry, range};

const UPLOAD_UUID: &str = "docker-upload-uuid";

impl Registry {
    /// `POST /v2/NAME/blobs/uploads/`.
    pub(super) async fn start_upload(
        &self,
        session: &Session,
        name: &RepositoryName,
        request: Incoming,
    ) -> Result<Answer, Refusal> {
        self.repository_for_push(session, name).await?;
        if let (Some(digest), Some(from)) = (request.parameter("mount"), request.parameter("from"))
            && let Some(answer) = self.mount(session, name, &digest, &from).await?
        {
            return Ok(answer);
        }
        match request.parameter("digest") {
            Some(digest) => {
                let digest = digest_of(&digest)?;
                let id = self.blobs.begin_upload(digest.algorithm()).await?;
                self.receive_and_finish(session, name, &id, request, digest).await
            }
            None => {
                let hint = request.parameter("digest-algorithm");
                let algorithm =
                    hint.and_then(|name| Algorithm::from_name(&name)).unwrap_or(Algorithm::Sha256);
                let id = self.blobs.begin_upload(algorithm).await?;
                Ok(in_progress(StatusCode::ACCEPTED, name, &id, 0))
            }
        }
    }

    /// Takes over a layer of another repository of the same registry. `None` when there is nothing to take: the client
    /// then uploads.
    async fn mount(
        &self,
        session: &Session,
        name: &RepositoryName,
        digest: &str,
        from: &str,
    ) -> Result<Option<Answer>, Refusal> {
        let (Ok(digest), Ok(from)) = (digest.parse::<Digest>(), from.parse::<RepositoryName>()) else {
            return Ok(None);
        };
        let scope = &session.access.scope;
        let Some(layer) = self.catalog.layer(scope, from.as_str(), &digest) else { return Ok(None) };
        if self.may(session, "ecr:GetDownloadUrlForLayer", from.as_str()).is_err()
            || !self.blobs.touch(&digest).await?
        {
            return Ok(None);
        }
        self.hold_layer(session, name, &digest, layer.size_bytes).await?;
        Ok(Some(created(name, &digest)))
    }

    /// `PATCH /v2/NAME/blobs/uploads/ID`.
    pub(super) async fn append_upload(
        &self,
        session: &Session,
        name: &RepositoryName,
        id: &UploadId,
        request: Incoming,
    ) -> Result<Answer, Refusal> {
        self.catalog.repository(&session.access.scope, name.as_str())?;
        let append =
            self.blobs.append(id, first_byte(&request)?).await.map_err(|error| at(error.into(), name, id))?;
        let length = receive(append, request, self.transfer(name)).await?;
        Ok(in_progress(StatusCode::ACCEPTED, name, id, length))
    }

    /// `PUT /v2/NAME/blobs/uploads/ID?digest=`.
    pub(super) async fn finish_upload(
        &self,
        session: &Session,
        name: &RepositoryName,
        id: &UploadId,
        request: Incoming,
    ) -> Result<Answer, Refusal> {
        self.catalog.repository(&session.access.scope, name.as_str())?;
        let Some(digest) = request.parameter("digest") else {
            return Err(Refusal::digest_invalid("the parameter 'digest' is missing"));
        };
        let digest = digest_of(&digest)?;
        self.receive_and_finish(session, name, id, request, digest).await
    }

    /// `GET /v2/NAME/blobs/uploads/ID`.
    pub(super) async fn upload_status(
        &self,
        session: &Session,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<Answer, Refusal> {
        self.catalog.repository(&session.access.scope, name.as_str())?;
        let length = self.blobs.upload_length(id).await?;
        Ok(in_progress(StatusCode::NO_CONTENT, name, id, length))
    }

    /// `DELETE /v2/NAME/blobs/uploads/ID`.
    pub(super) async fn cancel_upload(
        &self,
        session: &Session,
        name: &RepositoryName,
        id: &UploadId,
    ) -> Result<Answer, Refusal> {
        self.catalog.repository(&session.access.scope, name.as_str())?;
        self.blobs.cancel(id).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    async fn receive_and_finish(
        &self,
        session: &Session,
        name: &RepositoryName,
        id: &UploadId,
        request: Incoming,
        digest: Digest,
    ) -> Result<Answer, Refusal> {
        let append =
            self.blobs.append(id, first_byte(&request)?).await.map_err(|error| at(error.into(), name, id))?;
        let finished = match receive(append, request, self.transfer(name)).await {
            Ok(_) => self.blobs.finish(id, &digest).await.map_err(Refusal::from),
            Err(refusal) => Err(refusal),
        };
        match finished {
            Ok(length) => {
                self.hold_layer(session, name, &digest, length).await?;
                Ok(created(name, &digest))
            }
            Err(refusal) => {
                // Gone already when the store gave up on it itself.
                let _ = self.blobs.cancel(id).await;
                Err(refusal)
            }
        }
    }

    fn transfer(&self, name: &RepositoryName) -> Transfer {
        self.transfers.begin(Direction::Push, name.as_str(), None)
    }

    async fn hold_layer(
        &self,
        session: &Session,
        name: &RepositoryName,
        digest: &Digest,
        size_bytes: u64,
    ) -> Result<(), Refusal> {
        let layer = Layer {
            repository: name.to_string(),
            digest: digest.clone(),
            size_bytes,
            pushed_at: Timestamp::from(std::time::SystemTime::now()).max(session.now),
        };
        Ok(self.catalog.add_layer(&session.access.scope, layer).await?)
    }
}

/// Moves a body into an upload and returns the upload's length.
async fn receive(
    mut append: Box<dyn Append>,
    mut request: Incoming,
    transfer: Transfer,
) -> Result<u64, Refusal> {
    if let Some(length) = request.content_length {
        transfer.set_total(length);
    }
    let expected = request.content_range.as_ref().map(|range| range.end - range.start);
    let mut received = 0;
    loop {
        match request.chunk().await {
            Ok(Some(bytes)) => {
                received += bytes.len() as u64;
                transfer.add(bytes.len() as u64);
                append.write(bytes).await?;
            }
            Ok(None) => break,
            Err(refusal) => {
                append.close().await?;
                return Err(refusal);
            }
        }
    }
    let length = append.close().await?;
    match expected {
        Some(expected) if expected != received => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "SIZE_INVALID",
            format!("the chunk has {received} bytes, its Content-Range says {expected}"),
        )),
        _ => Ok(length),
    }
}

/// Where the chunk says it begins; checked against its announced length before a byte is read.
fn first_byte(request: &Incoming) -> Result<Option<u64>, Refusal> {
    let Some(range) = &request.content_range else { return Ok(None) };
    match request.content_length {
        Some(length) if length != range.end - range.start => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "SIZE_INVALID",
            "Content-Length and Content-Range do not agree",
        )),
        _ => Ok(Some(range.start)),
    }
}

fn digest_of(text: &str) -> Result<Digest, Refusal> {
    text.parse().map_err(|error: blob_store::InvalidDigest| Refusal::digest_invalid(error.to_string()))
}

fn location(name: &RepositoryName, id: &UploadId) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// A client whose chunk was refused needs to find its session again.
fn at(refusal: Refusal, name: &RepositoryName, id: &UploadId) -> Refusal {
    match refusal.status {
        StatusCode::RANGE_NOT_SATISFIABLE => refusal.with_header(header::LOCATION, location(name, id)),
        _ => refusal,
    }
}

fn in_progress(status: StatusCode, name: &RepositoryName, id: &UploadId, length: u64) -> Answer {
    let mut answer = empty(status);
    set(&mut answer, header::LOCATION, &location(name, id));
    set(&mut answer, header::RANGE, &range::held(length));
    set(&mut answer, UPLOAD_UUID, id.as_str());
    answer
}

fn created(name: &RepositoryName, digest: &Digest) -> Answer {
    let mut answer = empty(StatusCode::CREATED);
    set(&mut answer, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(&mut answer, super::CONTENT_DIGEST, &digest.to_string());
    answer
}

impl Incoming {
    fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.query.as_deref(), name)
    }
}
