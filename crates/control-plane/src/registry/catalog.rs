//! The account of repositories, images, tags and layers: every change is one transaction on the state store.
//!
//! A transaction reads all that its decision rests on (the repository, the children that an index names, the tag as it
//! points now), so that a conflicting change makes it decide anew: no tag is moved that was just made immutable.
//! An image's layers may be more than a transaction can compare, hence a fence a repository: taking a layer away writes it,
//! storing an image compares it.
//!
//! It knows neither HTTP nor the API: [`super::Registry`] and the ECR service both speak through it.

mod steps;

use std::sync::Arc;

use blob_store::Digest;
use state_store::State;
use vocabulary::{Scope, Timestamp};

use self::steps::{
    MOST_TAGS_AT_ONCE, Step, no_repository, put_image, remove_image, remove_repository, require_repository,
    untag,
};
use super::error::CatalogError;
use super::manifest::Manifest;
use super::records::{Image, Layer, LayerFence, Referrer, Repository, Tag, Template};

/// Repositories, images, tags and layers of all accounts. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    state: State,
}

/// An image about to be stored; its bytes are in the blob store already.
#[derive(Debug, Clone)]
pub struct NewImage<'a> {
    pub digest: Digest,
    pub manifest: &'a Manifest,
    pub manifest_bytes: u64,
    pub tag: Option<&'a str>,
    pub completeness: Completeness,
}

/// Whether an image is refused when the repository lacks some of its layers or children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    Required,
    /// Only where there are layers at all. To a repository that no client has ever pushed a layer to, the API's `PutImage` brings images of
    /// layers that are nowhere, as programs written against emulators expect of a local platform; pulling one fails at what is missing.
    WhereLayersAre,
}

/// What storing an image changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The image, the tag or both are new.
    Stored,
    /// The repository held exactly this already.
    Unchanged,
}

impl Catalog {
    pub fn new(state: State) -> Self {
        Self { state }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// The repository of that name.
    pub fn repository(&self, scope: &Scope, name: &str) -> Result<Arc<Repository>, CatalogError> {
        self.state.read(|view| view.get::<Repository>(scope, name)).ok_or_else(|| no_repository(scope, name))
    }

    /// All repositories of a registry, by name.
    pub fn repositories(&self, scope: &Scope) -> Vec<Arc<Repository>> {
        self.state.read(|view| view.scan::<Repository>(scope).map(|(_, record)| record).collect())
    }

    /// The template for a repository of that name: the one of the longest prefix.
    pub fn template_for(&self, scope: &Scope, name: &str) -> Option<Arc<Template>> {
        self.state.read(|view| {
            let templates = view.scan::<Template>(scope).map(|(_, template)| template);
            let length = |template: &Arc<Template>| match template.prefix.as_str() {
                Template::ROOT => 0,
                prefix => prefix.len(),
            };
            templates.filter(|template| template.is_for(name)).max_by_key(length)
        })
    }

    /// Adds a repository.
    pub async fn create_repository(&self, scope: &Scope, repository: Repository) -> Result<(), CatalogError> {
        self.state
            .transact(|tx| {
                if tx.get::<Repository>(scope, &repository.name).is_some() {
                    return Err(CatalogError::RepositoryAlreadyExists {
                        repository: repository.name.clone(),
                        registry: scope.account.to_string(),
                    });
                }
                tx.put(scope, &repository.name, repository.clone());
                Ok(())
            })
            .await
    }

    /// Changes a repository's settings and returns it as it is then.
    pub async fn update_repository<T>(
        &self,
        scope: &Scope,
        name: &str,
        change: impl Fn(&mut Repository) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        self.state
            .transact(|tx| {
                let current = tx.get::<Repository>(scope, name).ok_or_else(|| no_repository(scope, name))?;
                let mut repository = Repository::clone(&current);
                let out = change(&mut repository)?;
                if repository != *current {
                    tx.put(scope, name, repository);
                }
                Ok(out)
            })
            .await
    }

    /// Removes a repository and, when `force` is set, all that it holds: in one step when that is little, otherwise emptying it
    /// first, so that whatever interrupts leaves a repository that can be removed again.
    pub async fn delete_repository(
        &self,
        scope: &Scope,
        name: &str,
        force: bool,
    ) -> Result<Arc<Repository>, CatalogError> {
        loop {
            let removed = self.state.transact(|tx| remove_repository(tx, scope, name, force)).await?;
            if let Some(repository) = removed {
                return Ok(repository);
            }
        }
    }

    /// The layer, when the repository holds it.
    pub fn layer(&self, scope: &Scope, repository: &str, digest: &Digest) -> Option<Arc<Layer>> {
        self.state.read(|view| view.get::<Layer>(scope, &Layer::id(repository, digest)))
    }

    /// Notes that a repository holds a blob from now on.
    pub async fn add_layer(&self, scope: &Scope, layer: Layer) -> Result<(), CatalogError> {
        self.state
            .transact(|tx| {
                require_repository(tx, scope, &layer.repository)?;
                tx.put(scope, &Layer::id(&layer.repository, &layer.digest), layer.clone());
                Ok(())
            })
            .await
    }

    /// Takes a layer out of a repository, unless an image there consists of it. `false` when it was not there.
    pub async fn delete_layer(
        &self,
        scope: &Scope,
        repository: &str,
        digest: &Digest,
    ) -> Result<bool, CatalogError> {
        let id = Layer::id(repository, digest);
        self.state
            .transact(|tx| {
                require_repository(tx, scope, repository)?;
                if tx.delete::<Layer>(scope, &id).is_none() {
                    return Ok(false);
                }
                let images = tx.scan_prefix::<Image>(scope, &format!("{repository}@"));
                if images.iter().any(|(_, image)| image.blobs.contains(digest)) {
                    let repository = repository.to_owned();
                    return Err(CatalogError::LayerInUse { digest: digest.clone(), repository });
                }
                tx.put(scope, repository, LayerFence { removed: digest.clone() });
                Ok(true)
            })
            .await
    }

    /// Drops a layer whose repository is gone.
    pub(super) async fn forget_layer(&self, scope: &Scope, layer: &Layer) -> Result<(), CatalogError> {
        self.state
            .transact(|tx| {
                if tx.get::<Repository>(scope, &layer.repository).is_none() {
                    tx.delete::<Layer>(scope, &Layer::id(&layer.repository, &layer.digest));
                }
                Ok(())
            })
            .await
    }

    /// The images of a repository, the earliest pushed first.
    pub fn images(&self, scope: &Scope, repository: &str) -> Vec<Arc<Image>> {
        let prefix = format!("{repository}@");
        let mut images = self.state.read(|view| {
            view.scan_prefix::<Image>(scope, &prefix).map(|(_, record)| record).collect::<Vec<_>>()
        });
        images.sort_by(|a, b| (a.pushed_at, &a.digest).cmp(&(b.pushed_at, &b.digest)));
        images
    }

    pub fn image_by_digest(&self, scope: &Scope, repository: &str, digest: &Digest) -> Option<Arc<Image>> {
        self.state.read(|view| view.get::<Image>(scope, &Image::id(repository, digest)))
    }

    pub fn image_by_tag(&self, scope: &Scope, repository: &str, tag: &str) -> Option<Arc<Image>> {
        self.state.read(|view| {
            let tag = view.get::<Tag>(scope, &Tag::id(repository, tag))?;
            view.get::<Image>(scope, &Image::id(repository, &tag.digest))
        })
    }

    /// The tags after `after`, in byte order, at most `limit`.
    pub fn tags(&self, scope: &Scope, repository: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let prefix = Tag::id(repository, "");
        self.state.read(|view| {
            view.scan_prefix::<Tag>(scope, &prefix)
                .map(|(_, record)| record.name.clone())
                .filter(|name| after.is_none_or(|after| name.as_str() > after))
                .take(limit)
                .collect()
        })
    }

    /// What refers to `subject`, in digest order.
    pub fn referrers(&self, scope: &Scope, repository: &str, subject: &Digest) -> Vec<Arc<Referrer>> {
        let prefix = format!("{repository}@{subject}@");
        self.state
            .read(|view| view.scan_prefix::<Referrer>(scope, &prefix).map(|(_, record)| record).collect())
    }

    /// Stores an image, a tag for it, or both.
    pub async fn put_image(
        &self,
        scope: &Scope,
        repository: &str,
        new: NewImage<'_>,
        now: Timestamp,
    ) -> Result<Put, CatalogError> {
        self.state.transact(|tx| put_image(tx, scope, repository, &new, now)).await
    }

    /// Removes an image with all its tags, and returns these. `None` when there is no such image.
    pub async fn delete_image(
        &self,
        scope: &Scope,
        repository: &str,
        digest: &Digest,
    ) -> Result<Option<Vec<String>>, CatalogError> {
        let mut removed = Vec::new();
        loop {
            let step = self
                .state
                .transact(|tx| {
                    require_repository(tx, scope, repository)?;
                    match tx.get::<Image>(scope, &Image::id(repository, digest)) {
                        Some(image) if image.tags.len() > MOST_TAGS_AT_ONCE => {
                            untag(tx, scope, &image).map(Step::Tags)
                        }
                        Some(image) => {
                            remove_image(tx, scope, &image)?;
                            Ok(Step::Image(image.tags.clone()))
                        }
                        None => Ok(Step::Nothing),
                    }
                })
                .await?;
            match step {
                Step::Tags(tags) => removed.extend(tags),
                Step::Image(tags) => {
                    removed.extend(tags);
                    return Ok(Some(removed));
                }
                Step::Nothing => return Ok(None),
            }
        }
    }

    /// Removes a tag and returns the digest it pointed at. `with_last`: the image goes with its last tag, as in ECR's API.
    pub async fn delete_tag(
        &self,
        scope: &Scope,
        repository: &str,
        tag: &str,
        with_last: bool,
    ) -> Result<Option<Digest>, CatalogError> {
        self.state
            .transact(|tx| {
                require_repository(tx, scope, repository)?;
                let id = Tag::id(repository, tag);
                let Some(record) = tx.get::<Tag>(scope, &id) else { return Ok(None) };
                let image_id = Image::id(repository, &record.digest);
                match tx.get::<Image>(scope, &image_id) {
                    Some(image) if with_last && image.tags.len() == 1 => remove_image(tx, scope, &image)?,
                    Some(image) => {
                        let mut image = Image::clone(&image);
                        image.tags.retain(|name| name != tag);
                        tx.put(scope, &image_id, image);
                        tx.delete::<Tag>(scope, &id);
                    }
                    None => {
                        tx.delete::<Tag>(scope, &id);
                    }
                }
                Ok(Some(record.digest.clone()))
            })
            .await
    }

    /// Notes that an image was pulled.
    pub async fn record_pull(
        &self,
        scope: &Scope,
        repository: &str,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let id = Image::id(repository, digest);
        self.state
            .transact(|tx| {
                if let Some(image) = tx.get::<Image>(scope, &id) {
                    let mut image = Image::clone(&image);
                    image.last_pulled_at = image.last_pulled_at.max(Some(now));
                    tx.put(scope, &id, image);
                }
                Ok(())
            })
            .await
    }
}
