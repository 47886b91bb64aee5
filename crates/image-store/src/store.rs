//! The store: what is present, kept in files and mirrored in memory.
//!
//! One process at a time has the store open (a lock file says so), so the mirror in memory is the judge of races
//! within it: an image is taken out of the mirror before its files go, a layer enters it after its files are there.

mod adjust;
mod background;
mod collect;
mod files;
mod flight;
mod layer;
mod options;
mod pull;
mod records;
mod resolve;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::Semaphore;

pub use collect::{GcPolicy, GcReport};
pub(crate) use files::EMPTY_LAYER;
pub use options::{Progress, ProgressFn, PullOptions, PullPolicy, RewriteFn};

use crate::{
    digest::Digest,
    error::StoreError,
    image::Image,
    limits::Limits,
    platform::Platform,
    reference::Reference,
    registry::{Http, Retries, Timeouts},
};
use background::Background;
use files::Paths;
use flight::Flights;
use records::{ImageRecord, LayerRecord, PinRecord, ReferenceRecord};

/// How a store behaves; the defaults suit a node.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub limits: Limits,
    pub retries: Retries,
    pub timeouts: Timeouts,
    /// Layers downloaded and unpacked at the same time, over all pulls of the store.
    pub max_parallel_layers: usize,
    /// Writes fresh layers to disk in the background after a pull, so that they are trusted after the machine
    /// crashed. Off for a store that is not meant to outlive the process.
    pub durable: bool,
    /// Certificates, in PEM, that are trusted beside the machine's own: of a registry whose authority nobody else knows.
    pub authority: Option<String>,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        // Unpacking is bound by the processor and downloading by the network: a few more than processors serve both.
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        StoreOptions {
            limits: Limits::default(),
            retries: Retries::default(),
            timeouts: Timeouts::default(),
            max_parallel_layers: (processors + 2).min(16),
            durable: true,
            authority: None,
        }
    }
}

/// The images of one node. Cheap to clone; the clones are the same store.
#[derive(Clone)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

struct Inner {
    paths: Paths,
    options: StoreOptions,
    http: Http,
    state: Mutex<State>,
    flights: Flights,
    layer_slots: Semaphore,
    background: Background,
    /// Held for as long as the store is open.
    _lock: File,
}

/// What is present. Keys are file names where a digest is the name.
#[derive(Default)]
struct State {
    layers: HashMap<Digest, LayerRecord>,
    images: BTreeMap<Digest, ImageRecord>,
    /// By reference and platform, as printed.
    references: BTreeMap<(String, String), ReferenceRecord>,
    /// By the name of who holds the pin.
    pins: BTreeMap<String, PinRecord>,
    /// Layers that a pull has found or made and no image holds yet.
    busy: HashMap<Digest, usize>,
    /// Images that were pulled and whose pull has not returned yet.
    last_used: HashMap<Digest, SystemTime>,
}

/// A line of [`ImageStore::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// Every name by which the image was pulled, sorted.
    pub references: Vec<String>,
    pub manifest_digest: Digest,
    pub config_digest: Digest,
    pub platform: Platform,
    pub size_bytes: u64,
    pub last_used: SystemTime,
    /// Who holds it (see [`ImageStore::pin`]), sorted.
    pub pinned_by: Vec<String>,
}

impl ImageStore {
    /// Opens or creates the store in `directory`, locks it, and removes what an earlier process left unfinished.
    ///
    /// The file system must take `trusted.*` attributes and device nodes (any Linux one does for root).
    pub async fn open(directory: impl AsRef<Path>, options: StoreOptions) -> Result<ImageStore, StoreError> {
        let directory = directory.as_ref().to_owned();
        blocking(move || {
            let (paths, lock) = Paths::create(&directory)?;
            paths.sweep();
            let state = records::load(&paths)?;
            let http = Http::new(options.timeouts.clone(), options.authority.clone());
            let layer_slots = Semaphore::new(options.max_parallel_layers.max(1));
            let inner = Inner {
                paths,
                http,
                state: Mutex::new(state),
                flights: Flights::default(),
                layer_slots,
                background: Background::default(),
                options,
                _lock: lock,
            };
            Ok(ImageStore { inner: Arc::new(inner) })
        })
        .await
    }

    /// Waits for what goes on in threads of its own: unpacking that was broken off and removes its leftovers, and the
    /// background sync. After it, with no pull running, the directory can be removed or opened anew.
    pub async fn quiesce(&self) {
        self.inner.background.idle().await;
    }

    pub fn directory(&self) -> &Path {
        &self.inner.paths.root
    }

    /// Every image, by its first reference.
    pub fn list(&self) -> Vec<ImageSummary> {
        let state = self.state();
        let mut all: Vec<ImageSummary> = state.images.values().map(|image| state.summary(image)).collect();
        all.sort_by(|a, b| (&a.references, &a.manifest_digest).cmp(&(&b.references, &b.manifest_digest)));
        all
    }

    /// A present image by reference and platform; none when it is not there, or not whole.
    pub fn inspect(&self, reference: &Reference, platform: &Platform) -> Option<Image> {
        let state = self.state();
        let record = state
            .references
            .get(&(reference.to_string(), platform.to_string()))
            .or_else(|| state.same_by_digest(reference, platform))?;
        let image = state.images.get(&record.manifest_digest)?;
        self.assemble(&state, image, reference.clone(), record.resolved_digest.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state()
    }

    /// The image as callers see it; none when a layer is missing.
    fn assemble(
        &self,
        state: &State,
        record: &ImageRecord,
        reference: Reference,
        resolved_digest: Digest,
    ) -> Option<Image> {
        let layers = record
            .parsed
            .diff_ids
            .iter()
            .map(|id| state.layers.get(id).map(|l| l.layer(&self.inner.paths)))
            .collect::<Option<Vec<_>>>()?;
        let adjustment = match &record.adjustment {
            None => None,
            Some(id) => Some(state.layers.get(id)?.layer(&self.inner.paths)),
        };
        Some(Image {
            reference,
            platform: record.platform(),
            resolved_digest,
            manifest_digest: record.manifest_digest.clone(),
            config_digest: record.config_digest.clone(),
            config: record.parsed.config.clone(),
            size_bytes: layers.iter().map(|l| l.size_bytes).sum(),
            download_bytes: record.download_bytes,
            layers,
            store: self.inner.paths.root.clone(),
            adjustment,
        })
    }
}

impl Inner {
    /// The mirror is changed in single steps that cannot fail half-way: a panic elsewhere leaves it usable.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What a reference with a digest means is known when its repository gave that digest under any name.
    fn same_by_digest(&self, reference: &Reference, platform: &Platform) -> Option<&ReferenceRecord> {
        let digest = reference.digest()?;
        let platform = platform.to_string();
        self.references.values().find(|record| {
            let is_same_repository = Reference::parse(&record.reference).is_ok_and(|other| {
                other.registry() == reference.registry() && other.repository() == reference.repository()
            });
            is_same_repository
                && record.platform == platform
                && (record.resolved_digest == *digest || record.manifest_digest == *digest)
        })
    }

    fn summary(&self, image: &ImageRecord) -> ImageSummary {
        let digest = &image.manifest_digest;
        let references: BTreeSet<String> = self
            .references
            .values()
            .filter(|r| r.manifest_digest == *digest)
            .map(|r| r.reference.clone())
            .collect();
        ImageSummary {
            references: references.into_iter().collect(),
            manifest_digest: digest.clone(),
            config_digest: image.config_digest.clone(),
            platform: image.platform(),
            size_bytes: image
                .parsed
                .diff_ids
                .iter()
                .filter_map(|id| self.layers.get(id))
                .map(|layer| layer.archive_bytes)
                .sum(),
            last_used: self.last_used.get(digest).copied().unwrap_or(SystemTime::UNIX_EPOCH),
            pinned_by: self
                .pins
                .values()
                .filter(|p| p.manifest_digests.contains(digest))
                .map(|p| p.holder.clone())
                .collect(),
        }
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| StoreError::Task { detail: e.to_string() }).flatten()
}

/// A path shown in errors about the store as a whole.
fn shown(path: &Path) -> PathBuf {
    path.to_owned()
}
