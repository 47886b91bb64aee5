//! What the files say, and reading them all when the store is opened.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    State,
    files::{EMPTY_LAYER, Paths},
};
use crate::{
    config::{self, ParsedConfig},
    digest::Digest,
    error::StoreError,
    image::Layer,
    platform::Platform,
    unpack::Unpacked,
};

/// `layers/DIFFID/layer.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    pub(super) diff_id: Digest,
    pub(super) archive_bytes: u64,
    pub(super) entries: u64,
    pub(super) skipped_devices: u64,
    /// Paths in hexadecimal: they need not be UTF-8.
    pub(super) implied_directories: Vec<String>,
    /// Name of the short link under `l/`.
    pub(super) link: String,
    /// The boot in which the layer was written, until it is known to be on disk.
    pub(super) unsynced_since_boot: Option<String>,
}

impl LayerRecord {
    pub(super) fn new(unpacked: &Unpacked, link: String) -> LayerRecord {
        LayerRecord {
            diff_id: unpacked.diff_id.clone(),
            archive_bytes: unpacked.archive_bytes,
            entries: unpacked.entries,
            skipped_devices: unpacked.skipped_devices,
            implied_directories: unpacked.implied_directories.iter().map(hex::encode).collect(),
            link,
            unsynced_since_boot: Some(boot_id()),
        }
    }

    pub(super) fn layer(&self, paths: &Paths) -> Layer {
        Layer {
            diff_id: self.diff_id.clone(),
            path: paths.layer(&self.diff_id).join("root"),
            size_bytes: self.archive_bytes,
            link: format!("l/{}", self.link),
            is_empty: self.entries == 0,
        }
    }
}

/// `images/MANIFEST.json`: the documents as the registry gave them, so that they can be verified again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct StoredImage {
    manifest_digest: Digest,
    config_digest: Digest,
    config: String,
    download_bytes: u64,
    adjustment: Option<Digest>,
}

/// An image as kept in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageRecord {
    pub(super) manifest_digest: Digest,
    pub(super) config_digest: Digest,
    /// The configuration, verbatim.
    pub(super) config_text: String,
    pub(super) parsed: ParsedConfig,
    pub(super) download_bytes: u64,
    /// Corrections stacked on top, among the layers (see `adjust`).
    pub(super) adjustment: Option<Digest>,
}

impl ImageRecord {
    /// Everything that must be present for the image to be.
    pub(super) fn needed_layers(&self) -> impl Iterator<Item = &Digest> {
        self.parsed.diff_ids.iter().chain(&self.adjustment)
    }

    pub(super) fn platform(&self) -> Platform {
        self.parsed.config.platform().unwrap_or_default()
    }

    pub(super) fn write(&self, paths: &Paths) -> Result<(), StoreError> {
        let stored = StoredImage {
            manifest_digest: self.manifest_digest.clone(),
            config_digest: self.config_digest.clone(),
            config: self.config_text.clone(),
            download_bytes: self.download_bytes,
            adjustment: self.adjustment.clone(),
        };
        paths.write_record(&paths.image(&self.manifest_digest), &stored)
    }

    fn from_stored(stored: StoredImage) -> Option<ImageRecord> {
        let is_intact = stored.config_digest.recompute(stored.config.as_bytes()) == stored.config_digest;
        let parsed = config::parse(stored.config.as_bytes()).ok().filter(|_| is_intact)?;
        Some(ImageRecord {
            manifest_digest: stored.manifest_digest,
            config_digest: stored.config_digest,
            config_text: stored.config,
            parsed,
            download_bytes: stored.download_bytes,
            adjustment: stored.adjustment,
        })
    }
}

/// `references/HASH.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReferenceRecord {
    pub(super) reference: String,
    /// The platform that was asked for, as printed.
    pub(super) platform: String,
    pub(super) resolved_digest: Digest,
    pub(super) manifest_digest: Digest,
}

/// `pins/HASH.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PinRecord {
    pub(super) holder: String,
    pub(super) manifest_digests: BTreeSet<Digest>,
}

/// Reads everything. A record that is damaged, or refers to what is not there, is removed: it can be pulled again.
pub(super) fn load(paths: &Paths) -> Result<State, StoreError> {
    let mut state = State::default();
    load_layers(paths, &mut state)?;
    for (path, record) in read_all::<StoredImage>(&paths.root.join("images"))? {
        let image = record.and_then(ImageRecord::from_stored).filter(|image| {
            path == paths.image(&image.manifest_digest)
                && image.needed_layers().all(|id| state.layers.contains_key(id))
        });
        let Some(image) = image else {
            remove_damaged(&path)?;
            continue;
        };
        let used = fs::metadata(&path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        state.last_used.insert(image.manifest_digest.clone(), used);
        state.images.insert(image.manifest_digest.clone(), image);
    }
    for (path, record) in read_all::<ReferenceRecord>(&paths.root.join("references"))? {
        match record {
            Some(r) if state.images.contains_key(&r.manifest_digest) => {
                state.references.insert((r.reference.clone(), r.platform.clone()), r);
            }
            _ => remove_damaged(&path)?,
        }
    }
    for (path, record) in read_all::<PinRecord>(&paths.root.join("pins"))? {
        match record {
            Some(pin) => drop(state.pins.insert(pin.holder.clone(), pin)),
            None => remove_damaged(&path)?,
        }
    }
    Ok(state)
}

fn load_layers(paths: &Paths, state: &mut State) -> Result<(), StoreError> {
    let boot = boot_id();
    for path in members(&paths.root.join("layers"))? {
        let record = read::<LayerRecord>(&path.join("layer.json"));
        let is_good = record.as_ref().is_some_and(|r| {
            paths.layer(&r.diff_id) == path
                && r.unsynced_since_boot.as_ref().is_none_or(|written_in| *written_in == boot)
                && path.join("root").is_dir()
        });
        match record {
            Some(record) if is_good => {
                ensure_link(paths, &record)?;
                state.layers.insert(record.diff_id.clone(), record);
            }
            _ => {
                tracing::info!(path = %path.display(), "incomplete layer removed");
                drop(paths.discard(&path)?);
            }
        }
    }
    let links: BTreeSet<PathBuf> =
        state.layers.values().map(|l| paths.root.join("l").join(&l.link)).collect();
    for path in members(&paths.root.join("l"))? {
        if !links.contains(&path) && path != paths.root.join(EMPTY_LAYER) {
            Paths::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Makes the short link of a layer if it is not there.
pub(super) fn ensure_link(paths: &Paths, record: &LayerRecord) -> Result<(), StoreError> {
    let path = paths.root.join("l").join(&record.link);
    let target = Path::new("../layers").join(record.diff_id.file_name()).join("root");
    match fs::read_link(&path) {
        Ok(found) if found == target => return Ok(()),
        Ok(_) => Paths::remove_file(&path)?,
        Err(_) => {}
    }
    std::os::unix::fs::symlink(&target, &path).map_err(StoreError::io("linking", &path))
}

/// A short name for a layer that no other layer has: the first digits of its digest, more of them when taken.
pub(super) fn short_name<'a>(diff_id: &Digest, others: impl Iterator<Item = &'a str> + Clone) -> String {
    let hex = diff_id.hex();
    // Nine digits: 127 of them with `l/` and a colon take 1,524 of the 4,096 bytes of mount options.
    (9..hex.len())
        .map(|length| &hex[..length])
        .find(|name| !others.clone().any(|other| other == *name))
        .unwrap_or(hex)
        .to_owned()
}

fn boot_id() -> String {
    // Without the file, every start counts as the same boot: only the protection against power loss is weaker.
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

fn remove_damaged(path: &Path) -> Result<(), StoreError> {
    tracing::info!(path = %path.display(), "record without its content removed");
    Paths::remove_file(path)
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn read_all<T: DeserializeOwned>(directory: &Path) -> Result<Vec<(PathBuf, Option<T>)>, StoreError> {
    Ok(members(directory)?.into_iter().map(|path| (path.clone(), read(&path))).collect())
}

fn members(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = fs::read_dir(directory)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<io::Result<Vec<_>>>())
        .map_err(StoreError::io("listing", directory))?;
    paths.sort();
    Ok(paths)
}
