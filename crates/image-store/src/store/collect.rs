//! What stays and what goes: pins, removal, garbage collection, and the background sync.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use super::{
    ImageStore, Inner, State, blocking,
    files::{Paths, TempDirectory},
    records::PinRecord,
};
use crate::{digest::Digest, error::StoreError, reference::Reference};

/// What garbage collection may remove. Pinned images and images being pulled are never removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcPolicy {
    /// Images not used for longer go; none keeps them whatever their age.
    pub max_unused: Option<Duration>,
    /// While all layers take more than this (uncompressed), the least recently used image goes; none sets no bound.
    pub max_bytes: Option<u64>,
    /// While the file system has less than this free, the least recently used image goes; none sets no bound.
    pub min_free_bytes: Option<u64>,
    /// Images used more recently stay whatever the other members say: a task may be about to start.
    pub min_unused: Duration,
}

impl Default for GcPolicy {
    /// As the container agent's image cleanup: unused for more than an hour and out of use. Here the disk decides
    /// first: below 10 GiB free.
    fn default() -> GcPolicy {
        GcPolicy {
            max_unused: None,
            max_bytes: None,
            min_free_bytes: Some(10 << 30),
            min_unused: Duration::from_secs(3600),
        }
    }
}

/// What garbage collection did, and why it left the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Manifest digests, in the order they went.
    pub removed_images: Vec<Digest>,
    pub removed_layers: usize,
    /// Uncompressed length of the removed layers.
    pub freed_bytes: u64,
    /// Images that stay because somebody pinned them.
    pub pinned_images: usize,
    /// Uncompressed length of the layers that stay.
    pub kept_bytes: u64,
}

impl ImageStore {
    /// Holds a present image for `holder` (a task, say) until [`unpin`](Self::unpin). Survives a restart.
    pub async fn pin(&self, holder: &str, manifest_digest: &Digest) -> Result<(), StoreError> {
        let (inner, holder, digest) = (self.inner.clone(), holder.to_owned(), manifest_digest.clone());
        blocking(move || match inner.add_pin(&holder, &digest)? {
            true => Ok(()),
            false => Err(StoreError::UnknownImage { name: digest.to_string() }),
        })
        .await
    }

    /// Lets go of everything that `holder` holds; fine when that is nothing. Use counts from now.
    pub async fn unpin(&self, holder: &str) -> Result<(), StoreError> {
        let (inner, holder) = (self.inner.clone(), holder.to_owned());
        blocking(move || {
            let mut state = inner.state();
            if let Some(pin) = state.pins.remove(&holder) {
                Paths::remove_file(&inner.paths.pin(&holder))?;
                let now = SystemTime::now();
                for digest in pin.manifest_digests {
                    if state.images.contains_key(&digest) {
                        state.last_used.insert(digest, now);
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// Everyone who holds an image, with the manifest digests of what they hold.
    pub fn pins(&self) -> Vec<(String, Vec<Digest>)> {
        let state = self.state();
        state
            .pins
            .values()
            .map(|p| (p.holder.clone(), p.manifest_digests.iter().cloned().collect()))
            .collect()
    }

    /// Forgets a reference, on every platform, and removes the images that have no other name. An image that is
    /// pinned, or being pulled, is an error and stays.
    pub async fn remove(&self, reference: &Reference) -> Result<GcReport, StoreError> {
        let (inner, name) = (self.inner.clone(), reference.to_string());
        blocking(move || inner.remove(&name)).await
    }

    /// Removes images by `policy`, then the layers that no image has.
    pub async fn collect_garbage(&self, policy: &GcPolicy) -> Result<GcReport, StoreError> {
        let (inner, policy) = (self.inner.clone(), policy.clone());
        blocking(move || inner.collect_garbage(&policy, SystemTime::now())).await
    }

    /// Removes the layers of an image that was refused as a whole.
    pub(super) async fn remove_unneeded_layers(&self) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        blocking(move || {
            let doomed = inner.detach_layers(&mut inner.state(), &mut GcReport::default())?;
            drop(doomed);
            Ok(())
        })
        .await
    }

    /// Writes everything to disk and notes it; `open` then trusts it after a crash of the machine as well.
    pub async fn sync(&self) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        blocking(move || inner.sync()).await
    }

    pub(super) fn sync_in_background(&self) {
        if !self.inner.options.durable {
            return;
        }
        let inner = self.inner.clone();
        let job = inner.background.job();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = inner.sync() {
                tracing::warn!(%error, "image store could not be synced");
            }
            // The lock goes with the store: whoever waits for the job may open it next.
            drop(inner);
            drop(job);
        });
    }
}

impl Inner {
    /// False when the image is not there.
    pub(super) fn add_pin(&self, holder: &str, manifest_digest: &Digest) -> Result<bool, StoreError> {
        let mut state = self.state();
        if !state.images.contains_key(manifest_digest) {
            return Ok(false);
        }
        let mut pin = state
            .pins
            .get(holder)
            .cloned()
            .unwrap_or_else(|| PinRecord { holder: holder.to_owned(), manifest_digests: BTreeSet::new() });
        if pin.manifest_digests.insert(manifest_digest.clone()) {
            self.paths.write_record(&self.paths.pin(holder), &pin)?;
            state.pins.insert(holder.to_owned(), pin);
        }
        Ok(true)
    }

    fn remove(&self, name: &str) -> Result<GcReport, StoreError> {
        let mut state = self.state();
        let keys: Vec<_> = state.references.keys().filter(|(r, _)| r == name).cloned().collect();
        if keys.is_empty() {
            return Err(StoreError::UnknownImage { name: name.to_owned() });
        }
        let digests: BTreeSet<Digest> =
            keys.iter().filter_map(|k| state.references.get(k)).map(|r| r.manifest_digest.clone()).collect();
        let orphans: Vec<Digest> = digests
            .into_iter()
            .filter(|d| !state.references.values().any(|r| r.manifest_digest == *d && r.reference != name))
            .collect();
        for digest in &orphans {
            if let Some(user) = state.user_of(digest) {
                return Err(StoreError::InUse { name: name.to_owned(), user });
            }
        }
        for key in keys {
            Paths::remove_file(&self.paths.reference(&key.0, &key.1))?;
            state.references.remove(&key);
        }
        let mut report = GcReport::default();
        for digest in orphans {
            self.remove_image(&mut state, &digest, &mut report)?;
        }
        let doomed = self.detach_layers(&mut state, &mut report)?;
        state.fill(&mut report);
        drop(state);
        drop(doomed);
        Ok(report)
    }

    pub(super) fn collect_garbage(&self, policy: &GcPolicy, now: SystemTime) -> Result<GcReport, StoreError> {
        let mut report = GcReport::default();
        let mut state = self.state();
        let mut doomed = self.detach_layers(&mut state, &mut report)?;
        let mut candidates: Vec<(SystemTime, Digest)> = state
            .images
            .keys()
            .filter(|digest| state.user_of(digest).is_none())
            .map(|d| (state.last_used.get(d).copied().unwrap_or(SystemTime::UNIX_EPOCH), d.clone()))
            .collect();
        candidates.sort();
        drop(state);
        for (last_used, digest) in candidates {
            let unused = now.duration_since(last_used).unwrap_or_default();
            if unused < policy.min_unused {
                break;
            }
            let is_old = policy.max_unused.is_some_and(|max| unused > max);
            if !is_old && !self.is_over(policy, &mut doomed)? {
                break;
            }
            let mut state = self.state();
            // A pull may have taken it up since the candidates were listed.
            let is_still_unused =
                state.user_of(&digest).is_none() && state.last_used.get(&digest) == Some(&last_used);
            if is_still_unused {
                self.remove_image(&mut state, &digest, &mut report)?;
                doomed.extend(self.detach_layers(&mut state, &mut report)?);
            }
        }
        self.state().fill(&mut report);
        Ok(report)
    }

    /// Whether the bounds on space are exceeded. What was detached is deleted first, or free space would not show.
    fn is_over(&self, policy: &GcPolicy, doomed: &mut Vec<TempDirectory>) -> Result<bool, StoreError> {
        if let Some(max) = policy.max_bytes
            && self.state().layers.values().map(|l| l.archive_bytes).sum::<u64>() > max
        {
            return Ok(true);
        }
        let Some(min_free) = policy.min_free_bytes else { return Ok(false) };
        doomed.clear();
        let root = &self.paths.root;
        let stat = rustix::fs::statvfs(root)
            .map_err(|e| StoreError::io("asking for the space of", root)(e.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize) < min_free)
    }

    fn remove_image(
        &self,
        state: &mut State,
        digest: &Digest,
        report: &mut GcReport,
    ) -> Result<(), StoreError> {
        let keys: Vec<_> = state
            .references
            .iter()
            .filter(|(_, r)| r.manifest_digest == *digest)
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            Paths::remove_file(&self.paths.reference(&key.0, &key.1))?;
            state.references.remove(&key);
        }
        Paths::remove_file(&self.paths.image(digest))?;
        state.images.remove(digest);
        state.last_used.remove(digest);
        report.removed_images.push(digest.clone());
        Ok(())
    }

    /// Takes the layers that nothing needs out of the store. Their content goes when the result is dropped, which
    /// can take long and needs no lock.
    fn detach_layers(
        &self,
        state: &mut State,
        report: &mut GcReport,
    ) -> Result<Vec<TempDirectory>, StoreError> {
        let needed: BTreeSet<&Digest> =
            state.images.values().flat_map(|image| image.needed_layers()).collect();
        let unneeded: Vec<Digest> = state
            .layers
            .keys()
            .filter(|id| !needed.contains(id) && !state.busy.contains_key(*id))
            .cloned()
            .collect();
        let mut doomed = Vec::new();
        for id in unneeded {
            doomed.extend(self.paths.discard(&self.paths.layer(&id))?);
            if let Some(layer) = state.layers.remove(&id) {
                Paths::remove_file(&self.paths.root.join("l").join(&layer.link))?;
                report.removed_layers += 1;
                report.freed_bytes += layer.archive_bytes;
            }
        }
        Ok(doomed)
    }

    /// `syncfs`, then the layers that were there before it lose their mark.
    fn sync(&self) -> Result<(), StoreError> {
        let unsynced: Vec<Digest> = self
            .state()
            .layers
            .values()
            .filter(|l| l.unsynced_since_boot.is_some())
            .map(|l| l.diff_id.clone())
            .collect();
        if unsynced.is_empty() {
            return Ok(());
        }
        self.paths.sync()?;
        let mut state = self.state();
        for id in unsynced {
            if let Some(layer) = state.layers.get_mut(&id) {
                layer.unsynced_since_boot = None;
                self.paths.write_record(&self.paths.layer(&id).join("layer.json"), &*layer)?;
            }
        }
        Ok(())
    }
}

impl State {
    /// Who needs the image: a pin's holder, or a pull that is under way with one of its layers.
    fn user_of(&self, digest: &Digest) -> Option<String> {
        if let Some(pin) = self.pins.values().find(|p| p.manifest_digests.contains(digest)) {
            return Some(pin.holder.clone());
        }
        let image = self.images.get(digest)?;
        let is_busy = image.needed_layers().any(|id| self.busy.contains_key(id));
        is_busy.then(|| "a pull".to_owned())
    }

    fn fill(&self, report: &mut GcReport) {
        report.pinned_images = self
            .images
            .keys()
            .filter(|digest| self.pins.values().any(|p| p.manifest_digests.contains(digest)))
            .count();
        report.kept_bytes = self.layers.values().map(|l| l.archive_bytes).sum();
    }
}
