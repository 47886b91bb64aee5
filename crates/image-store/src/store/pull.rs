//! A pull: reference → manifest → configuration → layers → image.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};

use super::{
    ImageStore, Inner, adjust,
    layer::{self, BytesFn},
    options::{Progress, PullOptions, PullPolicy},
    records::{ImageRecord, ReferenceRecord},
    resolve::{Resolved, fetch_config, resolve},
};
use crate::{
    digest::Digest,
    error::{PullError, RegistryError, StoreError},
    image::Image,
    manifest::{Descriptor, Manifest},
    platform::Platform,
    reference::Reference,
    registry::{Endpoint, Repository},
};

/// A pull joins at most so many downloads of others that then fail before it gives up on one layer.
const JOIN_ATTEMPTS: usize = 3;

impl ImageStore {
    /// Makes an image present: resolves the reference, downloads what is missing, verifies and unpacks it.
    ///
    /// Dropping the future stops the downloads that nobody else waits for and leaves nothing behind.
    pub async fn pull(&self, reference: &Reference, options: PullOptions) -> Result<Image, PullError> {
        if matches!(options.policy, PullPolicy::IfNotPresent | PullPolicy::Never)
            && let Some(image) = self.present(reference, &options)?
        {
            return Ok(image);
        }
        if options.policy == PullPolicy::Never {
            return Err(PullError::NotPresent { reference: reference.to_string() });
        }
        let repository = Arc::new(self.repository(reference, &options)?);
        match resolve(&repository, reference, &options.platform).await {
            Err(PullError::Resolve { cause, .. })
                if options.policy == PullPolicy::AlwaysOrPresent
                    && cause.is_transient()
                    && self.inspect(reference, &options.platform).is_some() =>
            {
                tracing::warn!(%reference, %cause, "registry out of reach, using the image that is present");
                self.present(reference, &options)?
                    .ok_or_else(|| PullError::NotPresent { reference: reference.to_string() })
            }
            Err(error) => Err(error),
            Ok(resolved) => self.fetch(reference, &options, repository, resolved).await,
        }
    }

    fn repository(&self, reference: &Reference, options: &PullOptions) -> Result<Repository, PullError> {
        let host = reference.registry();
        let rewritten = options.rewrite.as_ref().and_then(|rewrite| rewrite(host));
        let is_plain = options.plain_http_hosts.iter().any(|h| h == host);
        let endpoint = match rewritten {
            Some(endpoint) => Ok(endpoint),
            None if is_plain => Endpoint::parse(&format!("http://{host}")),
            None => Endpoint::of_registry(host),
        };
        let endpoint = endpoint.map_err(|e| PullError::Unsupported {
            reference: reference.to_string(),
            detail: e.to_string(),
        })?;
        let inner = &self.inner;
        Ok(Repository::new(
            inner.http.clone(),
            endpoint,
            reference,
            options.credentials.clone(),
            inner.options.retries.clone(),
        ))
    }

    /// The image as it is in the store, used and pinned as if it had been pulled.
    fn present(&self, reference: &Reference, options: &PullOptions) -> Result<Option<Image>, StoreError> {
        let Some(image) = self.inspect(reference, &options.platform) else { return Ok(None) };
        if !self.inner.used(&image.manifest_digest, options.pin_for.as_deref())? {
            return Ok(None);
        }
        Ok(Some(image))
    }

    async fn fetch(
        &self,
        reference: &Reference,
        options: &PullOptions,
        repository: Arc<Repository>,
        resolved: Resolved,
    ) -> Result<Image, PullError> {
        let Resolved { resolved_digest, manifest_digest, manifest } = resolved;
        let known = self.inner.state().images.get(&manifest_digest).cloned();
        let record = match known {
            Some(record) => record,
            None => fetch_config(&repository, reference, &manifest_digest, &manifest).await?,
        };
        check_platform(&record, &options.platform)?;
        let mut to_hold = record.parsed.diff_ids.clone();
        to_hold.push(adjust::id_of(&manifest_digest));
        let held = Held::take(&self.inner, to_hold);
        self.fetch_layers(reference, options, &repository, &manifest, &record).await?;
        let record = {
            let inner = self.inner.clone();
            super::blocking(move || {
                let adjustment = adjust::build(&inner, &record)?;
                Ok(ImageRecord { adjustment, ..record })
            })
            .await?
        };
        let image = {
            let state = self.inner.state();
            self.assemble(&state, &record, reference.clone(), resolved_digest.clone())
        };
        let image = image
            .ok_or_else(|| PullError::Store(StoreError::UnknownImage { name: reference.to_string() }))?;
        let limit = self.inner.options.limits.max_image_bytes;
        if image.size_bytes > limit {
            drop(held);
            self.remove_unneeded_layers().await?;
            return Err(over(reference, "the uncompressed size of its layers", limit));
        }
        let entry = ReferenceRecord {
            reference: reference.to_string(),
            platform: options.platform.to_string(),
            resolved_digest,
            manifest_digest,
        };
        let (inner, pin_for) = (self.inner.clone(), options.pin_for.clone());
        super::blocking(move || inner.register(record, entry, pin_for.as_deref())).await?;
        drop(held);
        self.sync_in_background();
        Ok(image)
    }

    /// Downloads what is missing, all layers at once as far as there are slots. The first failure stops the rest.
    async fn fetch_layers(
        &self,
        reference: &Reference,
        options: &PullOptions,
        repository: &Arc<Repository>,
        manifest: &Manifest,
        record: &ImageRecord,
    ) -> Result<(), PullError> {
        let limits = &self.inner.options.limits;
        let diff_ids = &record.parsed.diff_ids;
        if diff_ids.len() > limits.max_layers {
            return Err(over(reference, "the number of its layers", limits.max_layers as u64));
        }
        // One download per distinct layer; an image may list the same one twice.
        let layers: BTreeMap<&Digest, &Descriptor> = diff_ids.iter().zip(&manifest.layers).collect();
        let missing: BTreeMap<&Digest, &Descriptor> = {
            let state = self.inner.state();
            layers
                .iter()
                .filter(|(id, _)| !state.layers.contains_key(**id))
                .map(|(id, d)| (*id, *d))
                .collect()
        };
        let download_bytes = missing.values().fold(0_u64, |sum, d| sum.saturating_add(d.size));
        self.check_space(download_bytes)?;
        let report = options.progress.clone().unwrap_or_else(|| Arc::new(|_| ()));
        report(Progress::Resolved {
            manifest_digest: record.manifest_digest.clone(),
            layers: layers.len(),
            download_bytes,
        });
        let arrived: BytesFn = {
            let (report, total) = (report.clone(), AtomicU64::new(0));
            Arc::new(move |bytes| {
                let bytes = total.fetch_add(bytes, Ordering::Relaxed) + bytes;
                report(Progress::Downloaded { bytes });
            })
        };
        for id in layers.keys().filter(|id| !missing.contains_key(**id)) {
            report(Progress::LayerReady { diff_id: (*id).clone(), was_present: true });
        }
        let mut downloads: FuturesUnordered<_> = missing
            .into_iter()
            .map(|(id, descriptor)| self.fetch_layer(repository, descriptor, id, &arrived))
            .collect();
        while let Some(done) = downloads.next().await {
            let (diff_id, was_present) = done?;
            report(Progress::LayerReady { diff_id, was_present });
        }
        Ok(())
    }

    /// Gets one layer, by an own download or somebody else's.
    async fn fetch_layer(
        &self,
        repository: &Arc<Repository>,
        descriptor: &Descriptor,
        diff_id: &Digest,
        arrived: &BytesFn,
    ) -> Result<(Digest, bool), PullError> {
        let inner = &self.inner;
        let mut joined = 0;
        loop {
            let is_present = || inner.state().layers.contains_key(diff_id);
            let seat = inner.flights.board(diff_id, is_present, || {
                layer::fetch(
                    inner.clone(),
                    repository.clone(),
                    descriptor.clone(),
                    diff_id.clone(),
                    arrived.clone(),
                )
            });
            let Some(seat) = seat else { return Ok((diff_id.clone(), true)) };
            match seat.outcome().await {
                Ok(()) => return Ok((diff_id.clone(), !seat.is_leader)),
                // Somebody else's credentials or registry failed; ours may not.
                Err(_) if !seat.is_leader && joined < JOIN_ATTEMPTS => joined += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Unpacked layers are larger than what is downloaded, so this finds only what cannot end well.
    fn check_space(&self, download_bytes: u64) -> Result<(), PullError> {
        let root = &self.inner.paths.root;
        let stat = rustix::fs::statvfs(root)
            .map_err(|e| StoreError::io("asking for the space of", root)(e.into()))?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        let keep = self.inner.options.limits.keep_free_bytes;
        if download_bytes > 0 && download_bytes.saturating_add(keep) > free {
            return Err(PullError::NoSpace {
                path: super::shown(root),
                detail: format!(
                    " (the image needs more than {download_bytes} bytes, {free} are free, {keep} are kept free)"
                ),
            });
        }
        Ok(())
    }
}

impl Inner {
    /// Enters a pulled image; from here on it is what the reference means.
    fn register(
        &self,
        record: ImageRecord,
        reference: ReferenceRecord,
        pin_for: Option<&str>,
    ) -> Result<(), StoreError> {
        let digest = record.manifest_digest.clone();
        let mut state = self.state();
        if !state.images.contains_key(&digest) {
            record.write(&self.paths)?;
            state.images.insert(digest.clone(), record);
        }
        let key = (reference.reference.clone(), reference.platform.clone());
        if state.references.get(&key) != Some(&reference) {
            let path = self.paths.reference(&reference.reference, &reference.platform);
            self.paths.write_record(&path, &reference)?;
            state.references.insert(key, reference);
        }
        drop(state);
        self.used(&digest, pin_for).map(drop)
    }

    /// Notes that an image is used now, and by whom it is pinned. False when it is no longer there.
    fn used(&self, manifest_digest: &Digest, pin_for: Option<&str>) -> Result<bool, StoreError> {
        if let Some(holder) = pin_for
            && !self.add_pin(holder, manifest_digest)?
        {
            return Ok(false);
        }
        let now = SystemTime::now();
        let mut state = self.state();
        if !state.images.contains_key(manifest_digest) {
            return Ok(false);
        }
        state.last_used.insert(manifest_digest.clone(), now);
        let path = self.paths.image(manifest_digest);
        std::fs::File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(now))
            .map_err(StoreError::io("touching", &path))?;
        Ok(true)
    }
}

/// Keeps a pull's layers from garbage collection until the image holds them.
struct Held {
    inner: Arc<Inner>,
    diff_ids: Vec<Digest>,
}

impl Held {
    fn take(inner: &Arc<Inner>, diff_ids: Vec<Digest>) -> Held {
        let mut state = inner.state();
        for id in &diff_ids {
            *state.busy.entry(id.clone()).or_default() += 1;
        }
        drop(state);
        Held { inner: inner.clone(), diff_ids }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        for id in &self.diff_ids {
            if let Some(count) = state.busy.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    state.busy.remove(id);
                }
            }
        }
    }
}

/// An image without an index says what it is for in its configuration; one that says nothing is taken at its word.
fn check_platform(record: &ImageRecord, wanted: &Platform) -> Result<(), PullError> {
    let is_fit = record.parsed.config.platform().is_none_or(|mut offered| {
        // Builders mostly leave the variant to the index, which has been asked.
        offered.variant = offered.variant.or_else(|| wanted.variant.clone());
        wanted.fitness(&offered).is_some()
    });
    if is_fit { Ok(()) } else { Err(PullError::Platform { platform: wanted.clone() }) }
}

fn over(reference: &Reference, what: &str, limit: u64) -> PullError {
    PullError::OverLimit { reference: reference.to_string(), what: what.to_owned(), limit }
}

impl From<RegistryError> for PullError {
    fn from(cause: RegistryError) -> PullError {
        PullError::Copy { attempts: 1, cause }
    }
}
