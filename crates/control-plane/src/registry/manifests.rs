//! Pushing, pulling and deleting images and indexes.

use std::time::Duration;

use blob_store::{Algorithm, Digest};
use http::{StatusCode, header};
use state_store::View;
use vocabulary::{Scope, Timestamp};

use super::answer::{Answer, Refusal, empty, set, with_body};
use super::catalog::{Completeness, NewImage};
use super::error::CatalogError;
use super::manifest::{LARGEST_MANIFEST, Manifest, ManifestError};
use super::records::{Image, PullExclusion};
use super::request::{Incoming, Session, text};
use super::route::{Reference, RepositoryName};
use super::{CONTENT_DIGEST, Registry};

/// Pulls of one image closer together than this are recorded as one. ECR promises a day.
const PULL_RESOLUTION: Duration = Duration::from_secs(60);

impl Registry {
    /// `GET` and `HEAD /v2/NAME/manifests/REFERENCE`. `pulled`: the content is wanted, which counts as a pull.
    pub(super) async fn get_manifest(
        &self,
        session: &Session,
        name: &RepositoryName,
        reference: &Reference,
        pulled: bool,
    ) -> Result<Answer, Refusal> {
        let scope = &session.access.scope;
        self.catalog.repository(scope, name.as_str())?;
        let image = match reference {
            Reference::Tag(tag) => self.catalog.image_by_tag(scope, name.as_str(), tag),
            Reference::Digest(digest) => self.catalog.image_by_digest(scope, name.as_str(), digest),
            Reference::Invalid(_) => None,
        };
        let image = image.ok_or_else(Refusal::manifest_unknown)?;
        if !pulled {
            let mut answer = empty(StatusCode::OK);
            set(&mut answer, header::CONTENT_TYPE, &image.media_type);
            set(&mut answer, header::CONTENT_LENGTH, &image.manifest_bytes.to_string());
            name_content(&mut answer, &image.digest);
            return Ok(answer);
        }
        let reader = self.blobs.open(&image.digest).await?;
        let bytes = reader.read_all(LARGEST_MANIFEST as u64).await?;
        self.note_pull(&session.access.scope, &session.access.principal, &image, session.now);
        let mut answer = with_body(StatusCode::OK, &image.media_type, bytes);
        name_content(&mut answer, &image.digest);
        Ok(answer)
    }

    /// Records a pull, apart from the pull itself: it is not held up by it, nor does it fail with it.
    pub(crate) fn note_pull(&self, scope: &Scope, principal: &str, image: &Image, now: Timestamp) {
        let principal = role_of_session(principal);
        let excluded = |view: &View| view.get::<PullExclusion>(scope, &principal).is_some();
        let recent = image.last_pulled_at.is_some_and(|last| now.since(last) < PULL_RESOLUTION);
        if recent || self.catalog.state().read(excluded) {
            return;
        }
        let (catalog, scope) = (self.catalog.clone(), scope.clone());
        let (repository, digest) = (image.repository.clone(), image.digest.clone());
        tokio::spawn(async move {
            if let Err(error) = catalog.record_pull(&scope, &repository, &digest, now).await {
                tracing::warn!(%repository, %digest, %error, "could not record a pull");
            }
        });
    }

    /// `PUT /v2/NAME/manifests/REFERENCE`.
    pub(super) async fn put_manifest(
        &self,
        session: &Session,
        name: &RepositoryName,
        reference: &Reference,
        mut request: Incoming,
    ) -> Result<Answer, Refusal> {
        let (tag, expected) = match reference {
            Reference::Tag(tag) => (Some(tag.as_str()), None),
            Reference::Digest(digest) => (None, Some(digest)),
            Reference::Invalid(text) if text.contains(':') => {
                return Err(Refusal::digest_invalid(format!("invalid digest '{text}'")));
            }
            Reference::Invalid(text) => {
                return Err(Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "TAG_INVALID",
                    format!("invalid tag '{text}'"),
                ));
            }
        };
        self.repository_for_push(session, name).await?;
        let bytes = request.whole(LARGEST_MANIFEST).await?.ok_or(ManifestError::TooLarge)?;
        let declared = text(&request.headers, header::CONTENT_TYPE)
            .map(|text| text.split(';').next().unwrap_or(text).trim());
        let manifest = Manifest::parse(&bytes, declared)?;
        let algorithm = expected.map_or(Algorithm::Sha256, Digest::algorithm);
        let digest = Digest::of(algorithm, &bytes);
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(CatalogError::DigestMismatch { expected: expected.clone(), actual: digest }.into());
        }
        let manifest_bytes = bytes.len() as u64;
        self.blobs.put_bytes(&digest, bytes).await?;
        let new = NewImage {
            digest: digest.clone(),
            manifest: &manifest,
            manifest_bytes,
            tag,
            completeness: Completeness::Required,
        };
        let scope = &session.access.scope;
        self.catalog.put_image(scope, name.as_str(), new, session.now).await?;
        self.replicate_pushed(scope, name.as_str(), &digest, session.now);
        let mut answer = empty(StatusCode::CREATED);
        set(&mut answer, header::LOCATION, &format!("/v2/{name}/manifests/{digest}"));
        set(&mut answer, CONTENT_DIGEST, &digest.to_string());
        if let Some(subject) = &manifest.subject {
            set(&mut answer, "oci-subject", &subject.digest.to_string());
        }
        Ok(answer)
    }

    /// `DELETE /v2/NAME/manifests/REFERENCE`: of a digest the image with all its tags, of a tag the tag alone.
    pub(super) async fn delete_manifest(
        &self,
        session: &Session,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Answer, Refusal> {
        let (scope, name) = (&session.access.scope, name.as_str());
        let found = match reference {
            Reference::Digest(digest) => self.catalog.delete_image(scope, name, digest).await?.is_some(),
            Reference::Tag(tag) => self.catalog.delete_tag(scope, name, tag, false).await?.is_some(),
            Reference::Invalid(text) => {
                return Err(Refusal::digest_invalid(format!("invalid reference '{text}'")));
            }
        };
        if found { Ok(empty(StatusCode::ACCEPTED)) } else { Err(Refusal::manifest_unknown()) }
    }
}

/// The role behind a session's ARN (`arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`); any other ARN is itself.
fn role_of_session(principal: &str) -> String {
    let role = principal.strip_prefix("arn:aws:sts::").and_then(|rest| {
        let (account, session) = rest.split_once(":assumed-role/")?;
        let (role, _) = session.rsplit_once('/')?;
        Some(format!("arn:aws:iam::{account}:role/{role}"))
    });
    role.unwrap_or_else(|| principal.to_owned())
}

fn name_content(answer: &mut Answer, digest: &Digest) {
    set(answer, CONTENT_DIGEST, &digest.to_string());
    set(answer, header::ETAG, &format!("\"{digest}\""));
}
