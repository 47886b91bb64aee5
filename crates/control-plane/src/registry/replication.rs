//! Replication: what is pushed to one region's registry appears in others of the same account.
//!
//! All registries share the blobs, so that an image is replicated by entering it in the other registry's account of things, its
//! children first. That happens right after a push, apart from it; whatever a crash or an error left out is made up for by
//! [`Registry::replicate_missing`]. Only images pushed since the rules were set are replicated, as in ECR.

use blob_store::Digest;
use vocabulary::{Scope, Timestamp};

use super::Registry;
use super::catalog::{Completeness, NewImage};
use super::error::CatalogError;
use super::manifest::{LARGEST_MANIFEST, Manifest};
use super::records::{Encryption, Image, Layer, Mutability, Replication, Repository};

/// Indexes within indexes that are followed.
const DEEPEST: usize = 4;

/// Images replicated in one run of [`Registry::replicate_missing`]; the rest follows with the next.
const MOST_IMAGES: usize = 1_000;

impl Registry {
    /// Where images of a repository are to appear as well.
    pub fn destinations(&self, scope: &Scope, repository: &str) -> Vec<Scope> {
        let rules = self.catalog.state().read(|view| view.get::<Replication>(scope, Replication::ID));
        rules.map(|rules| rules.destinations(repository)).unwrap_or_default()
    }

    /// Replicates an image that was just pushed, apart from the push.
    pub(crate) fn replicate_pushed(&self, scope: &Scope, repository: &str, digest: &Digest, now: Timestamp) {
        let destinations = self.destinations(scope, repository);
        if destinations.is_empty() {
            return;
        }
        let registry = self.clone();
        let (scope, repository, digest) = (scope.clone(), repository.to_owned(), digest.clone());
        tokio::spawn(async move {
            for to in destinations {
                registry.replicate_logged(&scope, &to, &repository, &digest, now).await;
            }
        });
    }

    /// Replicates what should have been and is not there yet; returns how many images it tried.
    pub async fn replicate_missing(&self, now: Timestamp) -> usize {
        let view = self.catalog.state().view();
        let mut missing = Vec::new();
        for found in view.scan_all::<Replication>() {
            for (_, image) in
                view.scan::<Image>(&found.scope).filter(|(_, image)| image.pushed_at >= found.value.since)
            {
                for to in found.value.destinations(&image.repository) {
                    if self.catalog.image_by_digest(&to, &image.repository, &image.digest).is_none() {
                        missing.push((
                            found.scope.clone(),
                            to,
                            image.repository.clone(),
                            image.digest.clone(),
                        ));
                    }
                }
            }
        }
        missing.truncate(MOST_IMAGES);
        for (from, to, repository, digest) in &missing {
            self.replicate_logged(from, to, repository, digest, now).await;
        }
        missing.len()
    }

    async fn replicate_logged(
        &self,
        from: &Scope,
        to: &Scope,
        repository: &str,
        digest: &Digest,
        now: Timestamp,
    ) {
        if let Err(error) = self.replicate(from, to, repository, digest, now, DEEPEST).await {
            tracing::warn!(%repository, %digest, %from, %to, %error, "an image was not replicated");
        }
    }

    async fn replicate(
        &self,
        from: &Scope,
        to: &Scope,
        repository: &str,
        digest: &Digest,
        now: Timestamp,
        depth: usize,
    ) -> Result<(), CatalogError> {
        let Some(image) = self.catalog.image_by_digest(from, repository, digest) else { return Ok(()) };
        let bytes = self.blobs.open(digest).await?.read_all(LARGEST_MANIFEST as u64).await?;
        let manifest = Manifest::parse(&bytes, Some(&image.media_type))?;
        self.repository_for_replica(to, repository, now).await?;
        if depth > 0 {
            for child in &image.children {
                Box::pin(self.replicate(from, to, repository, child, now, depth - 1)).await?;
            }
        }
        for blob in &image.blobs {
            if let Some(layer) = self.catalog.layer(from, repository, blob) {
                self.catalog.add_layer(to, Layer { pushed_at: now, ..Layer::clone(&layer) }).await?;
            }
        }
        let untagged = image.tags.is_empty().then_some(None);
        for tag in image.tags.iter().map(|tag| Some(tag.as_str())).chain(untagged) {
            let new = NewImage {
                digest: digest.clone(),
                manifest: &manifest,
                manifest_bytes: image.manifest_bytes,
                tag,
                completeness: Completeness::Required,
            };
            self.catalog.put_image(to, repository, new, now).await?;
        }
        Ok(())
    }

    /// The repository on the other side, made by a template or with default settings when it is not there: settings are not
    /// replicated.
    async fn repository_for_replica(
        &self,
        to: &Scope,
        name: &str,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        if self.catalog.repository(to, name).is_ok() {
            return Ok(());
        }
        let template = self.catalog.template_for(to, name).filter(|template| template.on_replication());
        let repository =
            template.map(|template| template.repository(name, now)).unwrap_or_else(|| Repository {
                name: name.to_owned(),
                created_at: now,
                mutability: Mutability::mutable(),
                scan_on_push: false,
                encryption: Encryption { kind: "AES256".to_owned(), key: None },
                policy: None,
                lifecycle: None,
                preview: None,
                tags: Default::default(),
            });
        match self.catalog.create_repository(to, repository).await {
            Ok(()) | Err(CatalogError::RepositoryAlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
