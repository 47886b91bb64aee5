//! The container registry: the OCI distribution protocol, version 1.1, over the catalogue and the blob store.
//!
//! A request becomes a [`route::Route`], its password a [`token::Access`] (which account's registry in which region, and
//! who asks); then one handler per route. `upload.rs` and `download.rs` move bytes, `manifests.rs` pushes, pulls and deletes images,
//! `listing.rs` lists tags, repositories and referrers. `catalog.rs` keeps the account of it all, for the ECR API as well,
//! and `garbage.rs` removes blobs that nothing refers to.
//!
//! As in ECR a repository exists before it is pushed to, every request needs a password, and names are per account and
//! region. Other than in ECR the protocol's deletes are open too.

mod access;
mod answer;
pub mod catalog;
mod download;
pub mod error;
mod garbage;
mod listing;
pub mod manifest;
mod manifests;
pub mod permission;
pub(crate) mod public;
pub(crate) mod range;
mod record;
pub mod records;
mod replication;
mod request;
pub(crate) mod route;
pub mod token;
mod upload;

use std::fmt;
use std::sync::Arc;

use blob_store::BlobStore;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use vocabulary::{Timestamp, Transfers};

pub(crate) use self::access::registry_of_host;
use self::answer::{Answer, Refusal, empty, set, with_body};
use self::catalog::Catalog;
use self::error::CatalogError;
pub use self::garbage::Swept;
use self::record::Recorded;
use self::request::{BoxError, Incoming, Session};
use self::route::{RepositoryName, Route};
use self::token::{Access, TokenKey};
use crate::gateway::{Origin, body::Body};
use crate::services::cloudtrail::Trail;

const CONTENT_DIGEST: &str = "docker-content-digest";

/// Whether whoever holds a token may do something to a repository. The tokens themselves are checked before.
pub trait Authorize: Send + Sync + 'static {
    /// `action` is one of ECR's (`ecr:PutImage`), `resource` a repository's ARN.
    ///
    /// # Errors
    /// The refusal, for the one who asks.
    fn may(
        &self,
        access: &Access,
        action: &str,
        resource: &str,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), String>;
}

/// The registry of all accounts and regions. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub catalog: Catalog,
    pub blobs: Arc<dyn BlobStore>,
    pub key: TokenKey,
    /// Blobs that clients are sending.
    pub transfers: Transfers,
    policies: Arc<dyn Authorize>,
    trail: Option<Trail>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    pub fn new(
        catalog: Catalog,
        blobs: Arc<dyn BlobStore>,
        key: TokenKey,
        authorize: Arc<dyn Authorize>,
    ) -> Self {
        let transfers = Transfers::default();
        Self { catalog, blobs, key, transfers, policies: authorize, trail: None }
    }

    /// Records transfers in `trail`.
    pub fn recording(mut self, trail: Trail) -> Self {
        self.trail = Some(trail);
        self
    }

    /// Answers one request whose path begins with `/v2`. Never fails: what goes wrong is an answer as well.
    pub async fn handle<B>(&self, request: Request<B>, now: Timestamp) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let head_only = parts.method == http::Method::HEAD;
        let body = body.map_err(Into::into).boxed_unsync();
        let reads = matches!(parts.method, http::Method::GET | http::Method::HEAD);
        let registry = self.clone();
        let work = async move { registry.answer(&parts, body, now).await };
        // A change is carried through to its end, or its clean-up, also when the client goes away meanwhile.
        let answered = match reads {
            true => Box::pin(work).await,
            false => tokio::spawn(work).await.unwrap_or_else(|error| Err(Refusal::internal(error))),
        };
        let mut answer = answered.unwrap_or_else(Refusal::into_answer);
        set(&mut answer, "docker-distribution-api-version", "registry/2.0");
        if head_only {
            *answer.body_mut() = crate::gateway::body::full(Bytes::new());
        }
        answer
    }

    async fn answer(
        &self,
        parts: &http::request::Parts,
        body: http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>,
        now: Timestamp,
    ) -> Result<Answer, Refusal> {
        if let Some(answer) = self.answer_link(parts, now).await? {
            return Ok(answer);
        }
        let route = Route::parse(&parts.method, parts.uri.path());
        let session = self.session(parts, route.as_ref().ok(), now)?;
        let route = route?;
        let recorded = Recorded::begin(self.trail.as_ref(), parts, &session, &route).await?;
        let answered = match self.authorize(&session, &route, parts) {
            Ok(()) => Box::pin(self.carry_out(parts, body, &session, &route)).await,
            Err(refusal) => Err(refusal),
        };
        if let Some(recorded) = recorded {
            recorded.end(self.trail.as_ref(), answered.as_ref().err());
        }
        answered
    }

    async fn carry_out(
        &self,
        parts: &http::request::Parts,
        body: http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>,
        session: &Session,
        route: &Route,
    ) -> Result<Answer, Refusal> {
        let request = Incoming::new(parts, body)?;
        match route {
            Route::Base => Ok(with_body(StatusCode::OK, "application/json", "{}")),
            Route::Token => {
                let presented =
                    request::text(&parts.headers, http::header::AUTHORIZATION).and_then(token::presented);
                Ok(self.bearer_token(session, presented))
            }
            Route::Catalog => self.list_repositories(session, &request),
            Route::Tags(name) => self.list_tags(session, name, &request),
            Route::Referrers(name, subject) => self.list_referrers(session, name, subject, &request),
            Route::GetManifest(name, reference) => {
                let pulled = parts.method == http::Method::GET;
                self.get_manifest(session, name, reference, pulled).await
            }
            Route::PutManifest(name, reference) => self.put_manifest(session, name, reference, request).await,
            Route::DeleteManifest(name, reference) => self.delete_manifest(session, name, reference).await,
            Route::GetBlob(name, digest) => {
                let head_only = parts.method == http::Method::HEAD;
                self.get_blob(session, name, digest, &parts.headers, head_only).await
            }
            Route::DeleteBlob(name, digest) => self.delete_blob(session, name, digest).await,
            Route::StartUpload(name) => self.start_upload(session, name, request).await,
            Route::UploadStatus(name, id) => self.upload_status(session, name, id).await,
            Route::AppendUpload(name, id) => self.append_upload(session, name, id, request).await,
            Route::FinishUpload(name, id) => self.finish_upload(session, name, id, request).await,
            Route::CancelUpload(name, id) => self.cancel_upload(session, name, id).await,
        }
    }

    /// The password that was presented, as the token that it is: asking for a token makes it last no longer. Who may come
    /// without a password gets one for what he may.
    fn bearer_token(&self, session: &Session, presented: Option<String>) -> Answer {
        let presented =
            presented.and_then(|token| Some((self.key.expires(&token, session.now).ok()?, token)));
        let (token, expires) = match presented {
            Some((expires, token)) => (token, expires),
            None => self.key.issue(&session.access, session.now),
        };
        let seconds = expires.since(session.now).as_secs();
        let body = serde_json::json!({ "token": token, "access_token": token, "expires_in": seconds });
        with_body(StatusCode::OK, "application/json", body.to_string())
    }

    /// The repository that is pushed to has to exist, or to be made by a template.
    async fn repository_for_push(&self, session: &Session, name: &RepositoryName) -> Result<(), Refusal> {
        let (scope, name) = (&session.access.scope, name.as_str());
        let missing = match self.catalog.repository(scope, name) {
            Ok(_) => return Ok(()),
            Err(missing) => missing,
        };
        let Some(template) = self.catalog.template_for(scope, name).filter(|template| template.on_push)
        else {
            return Err(missing.into());
        };
        if self.may(session, "ecr:CreateRepository", name).is_err() {
            return Err(missing.into());
        }
        match self.catalog.create_repository(scope, template.repository(name, session.now)).await {
            // Another push of the same name was faster.
            Ok(()) | Err(CatalogError::RepositoryAlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete_blob(
        &self,
        session: &Session,
        name: &RepositoryName,
        digest: &blob_store::Digest,
    ) -> Result<Answer, Refusal> {
        match self.catalog.delete_layer(&session.access.scope, name.as_str(), digest).await? {
            true => Ok(empty(StatusCode::ACCEPTED)),
            false => Err(Refusal::blob_unknown()),
        }
    }
}

#[cfg(test)]
mod tests;
