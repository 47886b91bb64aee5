//! What single transactions on the catalogue do: enter an image, remove one, empty a repository.

use std::collections::BTreeSet;
use std::sync::Arc;

use blob_store::Digest;
use state_store::{Record, Tx};
use vocabulary::{Scope, Timestamp};

use super::{Completeness, NewImage, Put};
use crate::registry::error::CatalogError;
use crate::registry::manifest::Descriptor;
use crate::registry::records::{Image, Layer, LayerFence, Referrer, Repository, Tag};

/// What one transaction of an image's removal did.
pub(super) enum Step {
    Tags(Vec<String>),
    Image(Vec<String>),
    Nothing,
}

/// Tags that go together with their image in one transaction, which has room for 128 operations.
pub(super) const MOST_TAGS_AT_ONCE: usize = 50;

/// Records of one kind that one transaction of a repository's removal deletes; four kinds stay below the same limit.
const REMOVED_AT_ONCE: usize = 25;

fn delete_all<R: Record>(tx: &mut Tx, scope: &Scope, ids: &[String]) {
    for id in ids {
        tx.delete::<R>(scope, id);
    }
}

fn ids<R>(records: Vec<(String, R)>) -> Vec<String> {
    records.into_iter().map(|(id, _)| id).take(REMOVED_AT_ONCE).collect()
}

pub(super) fn no_repository(scope: &Scope, name: &str) -> CatalogError {
    CatalogError::RepositoryNotFound { repository: name.to_owned(), registry: scope.account.to_string() }
}

pub(super) fn require_repository(
    tx: &mut Tx,
    scope: &Scope,
    name: &str,
) -> Result<Arc<Repository>, CatalogError> {
    tx.get::<Repository>(scope, name).ok_or_else(|| no_repository(scope, name))
}

/// One step of a removal; `None` when more is to be emptied.
pub(super) fn remove_repository(
    tx: &mut Tx,
    scope: &Scope,
    name: &str,
    force: bool,
) -> Result<Option<Arc<Repository>>, CatalogError> {
    let repository = require_repository(tx, scope, name)?;
    let (at, colon) = (format!("{name}@"), format!("{name}:"));
    let images = ids(tx.scan_prefix::<Image>(scope, &at));
    let tags = ids(tx.scan_prefix::<Tag>(scope, &colon));
    let layers = ids(tx.scan_prefix::<Layer>(scope, &at));
    let referrers = ids(tx.scan_prefix::<Referrer>(scope, &at));
    if !force && !images.is_empty() {
        let registry = scope.account.to_string();
        return Err(CatalogError::RepositoryNotEmpty { repository: name.to_owned(), registry });
    }
    delete_all::<Image>(tx, scope, &images);
    delete_all::<Tag>(tx, scope, &tags);
    delete_all::<Layer>(tx, scope, &layers);
    delete_all::<Referrer>(tx, scope, &referrers);
    if [images, tags, layers, referrers].iter().any(|ids| ids.len() == REMOVED_AT_ONCE) {
        return Ok(None);
    }
    tx.delete::<LayerFence>(scope, name);
    tx.delete::<Repository>(scope, name);
    Ok(Some(repository))
}

/// Enters an image, a tag, or both, after every check that the repository's settings and the manifest ask for.
pub(super) fn put_image(
    tx: &mut Tx,
    scope: &Scope,
    repository: &str,
    new: &NewImage<'_>,
    now: Timestamp,
) -> Result<Put, CatalogError> {
    let settings = require_repository(tx, scope, repository)?;
    let id = Image::id(repository, &new.digest);
    let existing = tx.get::<Image>(scope, &id);
    let pointed = new.tag.and_then(|tag| tx.get::<Tag>(scope, &Tag::id(repository, tag)));
    let points_here = pointed.as_ref().is_some_and(|tag| tag.digest == new.digest);
    if existing.is_some() && (new.tag.is_none() || points_here) {
        return Ok(Put::Unchanged);
    }
    let mut image = match existing {
        Some(image) => Image::clone(&image),
        None => {
            require_layers(tx, scope, repository, new)?;
            add_image(tx, scope, repository, new, now)?
        }
    };
    if let Some(name) = new.tag {
        if let Some(pointed) = pointed {
            if settings.mutability.fixes(name) {
                let repository = repository.to_owned();
                return Err(CatalogError::TagImmutable { tag: name.to_owned(), repository });
            }
            let from = Image::id(repository, &pointed.digest);
            if let Some(previous) = tx.get::<Image>(scope, &from) {
                let mut previous = Image::clone(&previous);
                previous.tags.retain(|tag| tag != name);
                tx.put(scope, &from, previous);
            }
        }
        tx.put(scope, &Tag::id(repository, name), Tag { name: name.to_owned(), digest: new.digest.clone() });
        image.tags.push(name.to_owned());
    }
    tx.put(scope, &id, image);
    Ok(Put::Stored)
}

fn complete(tx: &Tx, scope: &Scope, repository: &str, new: &NewImage<'_>) -> bool {
    match new.completeness {
        Completeness::Required => true,
        Completeness::WhereLayersAre => {
            tx.view().scan_prefix::<Layer>(scope, &format!("{repository}@")).next().is_some()
        }
    }
}

/// Every layer that the manifest names is in the repository, and still is when the transaction commits.
fn require_layers(
    tx: &mut Tx,
    scope: &Scope,
    repository: &str,
    new: &NewImage<'_>,
) -> Result<(), CatalogError> {
    if !complete(tx, scope, repository, new) {
        return Ok(());
    }
    tx.get::<LayerFence>(scope, repository);
    let view = tx.view();
    let missing = (new.manifest.blobs())
        .filter(|blob| blob.urls.is_empty())
        .filter(|blob| view.get::<Layer>(scope, &Layer::id(repository, &blob.digest)).is_none())
        .map(|blob| blob.digest.to_string())
        .collect::<Vec<_>>();
    if missing.is_empty() {
        return Ok(());
    }
    Err(CatalogError::LayersNotFound {
        missing: format!("[{}]", missing.join(", ")),
        repository: repository.to_owned(),
        registry: scope.account.to_string(),
    })
}

/// Checks what a new image refers to and enters it with its relations; the caller writes the record itself.
fn add_image(
    tx: &mut Tx,
    scope: &Scope,
    repository: &str,
    new: &NewImage<'_>,
    now: Timestamp,
) -> Result<Image, CatalogError> {
    let manifest = new.manifest;
    let blobs = distinct(manifest.blobs());
    let children = distinct(manifest.children());
    let mut missing = Vec::new();
    for digest in &children {
        let child_id = Image::id(repository, digest);
        match tx.get::<Image>(scope, &child_id) {
            Some(child) => {
                let mut child = Image::clone(&child);
                child.parents.insert(new.digest.clone());
                tx.put(scope, &child_id, child);
            }
            None => missing.push(digest.to_string()),
        }
    }
    if !missing.is_empty() && complete(tx, scope, repository, new) {
        return Err(CatalogError::ReferencedImagesNotFound {
            missing: format!("[{}]", missing.join(", ")),
            repository: repository.to_owned(),
            registry: scope.account.to_string(),
        });
    }
    if let Some(subject) = &manifest.subject {
        let descriptor = Descriptor {
            media_type: manifest.media_type.clone(),
            digest: new.digest.clone(),
            size: new.manifest_bytes,
            urls: Vec::new(),
        };
        let referrer = Referrer {
            subject: subject.digest.clone(),
            descriptor,
            artifact_type: manifest.artifact_type.clone(),
            annotations: manifest.annotations.clone(),
        };
        tx.put(scope, &Referrer::id(repository, &subject.digest, &new.digest), referrer);
    }
    Ok(Image {
        repository: repository.to_owned(),
        digest: new.digest.clone(),
        media_type: manifest.media_type.clone(),
        artifact_type: manifest.artifact_type.clone(),
        manifest_bytes: new.manifest_bytes,
        size_bytes: manifest.size_bytes(),
        pushed_at: now,
        last_pulled_at: None,
        tags: Vec::new(),
        blobs,
        children,
        parents: BTreeSet::new(),
        subject: manifest.subject.as_ref().map(|subject| subject.digest.clone()),
    })
}

/// Takes the first of many tags off an image that is about to go, unless it may not.
pub(super) fn untag(tx: &mut Tx, scope: &Scope, image: &Image) -> Result<Vec<String>, CatalogError> {
    require_no_parents(image)?;
    let mut rest = image.clone();
    let removed = rest.tags.drain(..MOST_TAGS_AT_ONCE).collect::<Vec<_>>();
    for tag in &removed {
        tx.delete::<Tag>(scope, &Tag::id(&image.repository, tag));
    }
    tx.put(scope, &Image::id(&image.repository, &image.digest), rest);
    Ok(removed)
}

fn require_no_parents(image: &Image) -> Result<(), CatalogError> {
    if image.parents.is_empty() {
        return Ok(());
    }
    let parents = image.parents.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Err(CatalogError::ReferencedByIndex { parents })
}

/// Takes an image out of the account, unless an index of the repository needs it.
pub(super) fn remove_image(tx: &mut Tx, scope: &Scope, image: &Image) -> Result<(), CatalogError> {
    require_no_parents(image)?;
    let repository = &image.repository;
    for digest in &image.children {
        let child_id = Image::id(repository, digest);
        if let Some(child) = tx.get::<Image>(scope, &child_id) {
            let mut child = Image::clone(&child);
            child.parents.remove(&image.digest);
            tx.put(scope, &child_id, child);
        }
    }
    for tag in &image.tags {
        tx.delete::<Tag>(scope, &Tag::id(repository, tag));
    }
    if let Some(subject) = &image.subject {
        tx.delete::<Referrer>(scope, &Referrer::id(repository, subject, &image.digest));
    }
    tx.delete::<Image>(scope, &Image::id(repository, &image.digest));
    Ok(())
}

/// The digests in order, each once.
fn distinct<'a>(descriptors: impl Iterator<Item = &'a Descriptor>) -> Vec<Digest> {
    let mut seen = BTreeSet::new();
    descriptors.map(|descriptor| &descriptor.digest).filter(|digest| seen.insert(*digest)).cloned().collect()
}
