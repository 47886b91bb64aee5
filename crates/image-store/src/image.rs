//! A present image, and its layers as overlayfs wants them.

use std::{ffi::OsString, path::PathBuf};

use crate::{config::ImageConfig, digest::Digest, platform::Platform, reference::Reference};

/// An image whose layers are all unpacked in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// As it was asked for, in full.
    pub reference: Reference,
    pub platform: Platform,
    /// What the reference resolves to in the registry: the index's digest when there is one, else the manifest's.
    pub resolved_digest: Digest,
    pub manifest_digest: Digest,
    /// Docker's "image id".
    pub config_digest: Digest,
    pub config: ImageConfig,
    /// Lowest first, one per entry of the configuration's `diff_ids`.
    pub layers: Vec<Layer>,
    /// Uncompressed length of all layers.
    pub size_bytes: u64,
    /// Compressed length of all layers.
    pub download_bytes: u64,
    pub(crate) store: PathBuf,
    /// Corrections on top of the layers (see `store::adjust`).
    pub(crate) adjustment: Option<Layer>,
}

/// One unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub diff_id: Digest,
    /// The directory to stack, absolute. Never write to it.
    pub path: PathBuf,
    /// Uncompressed length of its archive.
    pub size_bytes: u64,
    /// Path of the short symbolic link to `path`, relative to the store.
    pub(crate) link: String,
    /// No entries at all: not worth stacking.
    pub(crate) is_empty: bool,
}

/// The lower directories of an image, topmost first, as overlayfs's `lowerdir` has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayLowers {
    /// The store: the directory that `relative` starts from.
    pub base: PathBuf,
    /// Short links to the layers, relative to `base`, topmost first. Never empty.
    pub relative: Vec<String>,
}

/// An image whose layers do not fit into mount options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{layers} layers do not fit into the {limit} bytes of mount options")]
pub struct OverlayError {
    pub layers: usize,
    pub limit: usize,
}

/// mount(2) copies one page of options.
const MOUNT_OPTIONS_BYTES: usize = 4096;

impl Image {
    /// What to stack, topmost first. A layer that occurs twice is stacked once, at its upper place, because overlayfs
    /// refuses the same directory twice and the upper one decides everything; empty layers are left out.
    pub fn overlay_lowers(&self) -> OverlayLowers {
        let mut relative: Vec<String> = Vec::with_capacity(self.layers.len() + 1);
        for layer in self.adjustment.iter().chain(self.layers.iter().rev()) {
            if !layer.is_empty && !relative.contains(&layer.link) {
                relative.push(layer.link.clone());
            }
        }
        if relative.is_empty() {
            relative.push(crate::store::EMPTY_LAYER.to_owned());
        }
        OverlayLowers { base: self.store.clone(), relative }
    }
}

impl OverlayLowers {
    /// The same directories as absolute paths, topmost first: for `fsconfig(2)`'s `lowerdir+`, which takes one each.
    pub fn absolute(&self) -> Vec<PathBuf> {
        self.relative.iter().map(|link| self.base.join(link)).collect()
    }

    /// The value of `lowerdir=`, and the directory that the mounting process must be in; none when any will do.
    /// `reserved_bytes` is what the other options (`upperdir=`, `workdir=`, names, commas) take of the page.
    ///
    /// With absolute paths, about a hundred layers fit; relative ones carry 127 and more.
    pub fn mount_option(&self, reserved_bytes: usize) -> Result<(OsString, Option<PathBuf>), OverlayError> {
        let limit = MOUNT_OPTIONS_BYTES.saturating_sub(reserved_bytes + 1);
        let joined = |paths: &mut dyn Iterator<Item = OsString>| {
            paths.reduce(|mut all, one| {
                all.push(":");
                all.push(one);
                all
            })
        };
        let escaped = |path: PathBuf| OsString::from(path);
        let has_separator =
            self.base.as_os_str().as_encoded_bytes().iter().any(|b| matches!(b, b':' | b',' | b'\\'));
        let absolute = joined(&mut self.absolute().into_iter().map(escaped)).unwrap_or_default();
        if absolute.len() <= limit && !has_separator {
            return Ok((absolute, None));
        }
        let relative = OsString::from(self.relative.join(":"));
        if relative.len() > limit {
            return Err(OverlayError { layers: self.relative.len(), limit });
        }
        Ok((relative, Some(self.base.clone())))
    }
}
