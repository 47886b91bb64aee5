//! Garbage: blobs that nothing refers to go, a grace period after they were last stored or asked for.
//!
//! Mark and sweep over all registries at once, since they share the blobs. A layer that no image of its repository consists of
//! leaves the repository first; a blob goes once no layer and no image names it. Both steps are safe against pushes at
//! the same time: the catalogue's fence refuses an image whose layer has just gone, and the blob store does not remove what was touched
//! after the cut-off.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, SystemTime};

use blob_store::Digest;
use vocabulary::Timestamp;

use super::Registry;
use super::error::CatalogError;
use super::records::{Image, Layer, Repository};

/// Blobs looked at in one step, so that their names never fill the memory.
const PAGE: usize = 1_000;

/// Layers taken out of their repositories in one run; the rest goes with the next.
const MOST_LAYERS: usize = 1_000;

/// What one run removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub uploads: usize,
    pub layers: usize,
    pub blobs: usize,
}

impl Registry {
    /// One run: uploads idle for `upload_idle`, and unreferenced content untouched for `grace`.
    pub async fn collect_garbage(
        &self,
        upload_idle: Duration,
        grace: Duration,
    ) -> Result<Swept, CatalogError> {
        let now = SystemTime::now();
        let cutoff = now.checked_sub(grace).unwrap_or(SystemTime::UNIX_EPOCH);
        let uploads = self.blobs.expire_uploads(upload_idle).await?;
        let mut swept = Swept { uploads, ..Swept::default() };
        swept.layers = self.release_layers(Timestamp::from(cutoff)).await?;
        let referenced = self.referenced();
        let mut after: Option<Digest> = None;
        loop {
            let page = self.blobs.list(after.as_ref(), PAGE).await?;
            for info in page.iter().filter(|info| info.touched < cutoff && !referenced.contains(&info.digest))
            {
                swept.blobs += usize::from(self.blobs.delete_if_idle(&info.digest, cutoff).await?);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.digest.clone()),
                _ => return Ok(swept),
            }
        }
    }

    /// Takes old layers that no image needs out of their repositories.
    async fn release_layers(&self, cutoff: Timestamp) -> Result<usize, CatalogError> {
        let view = self.catalog.state().view();
        let mut used = BTreeSet::new();
        for image in view.scan_all::<Image>() {
            for digest in &image.value.blobs {
                used.insert((image.scope.clone(), image.value.repository.clone(), digest.clone()));
            }
        }
        let candidates = view
            .scan_all::<Layer>()
            .filter(|layer| layer.value.pushed_at < cutoff)
            .filter(|layer| {
                let place = (layer.scope.clone(), layer.value.repository.clone(), layer.value.digest.clone());
                !used.contains(&place)
            })
            .take(MOST_LAYERS)
            .collect::<Vec<_>>();
        let mut released = 0;
        for layer in candidates {
            let (scope, record) = (&layer.scope, &layer.value);
            // Asked for a moment ago: somebody is about to push an image made of it.
            let touched = self.blobs.stat(&record.digest).await?.map(|info| Timestamp::from(info.touched));
            if touched.is_some_and(|touched| touched >= cutoff) {
                continue;
            }
            if view.get::<Repository>(scope, &record.repository).is_none() {
                self.catalog.forget_layer(scope, record).await?;
                released += 1;
                continue;
            }
            match self.catalog.delete_layer(scope, &record.repository, &record.digest).await {
                Ok(removed) => released += usize::from(removed),
                Err(CatalogError::LayerInUse { .. } | CatalogError::RepositoryNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(released)
    }

    /// Every digest that an image or a layer names.
    fn referenced(&self) -> HashSet<Digest> {
        let view = self.catalog.state().view();
        let mut referenced = HashSet::new();
        for image in view.scan_all::<Image>() {
            referenced.insert(image.value.digest.clone());
            referenced.extend(image.value.blobs.iter().cloned());
        }
        referenced.extend(view.scan_all::<Layer>().map(|layer| layer.value.digest.clone()));
        referenced
    }
}
