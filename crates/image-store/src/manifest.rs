//! Manifests and indexes, OCI's and Docker's schema 2, and the choice of a platform's manifest in an index.
//!
//! What a document is follows from its `mediaType` member, then from the response's content type, then from its
//! members. Docker's schema 1 is refused by name: it was deprecated in 2019 and has no configuration to verify.

use serde::Deserialize;

use crate::{digest::Digest, platform::Platform};

/// What a client offers to accept, manifests before indexes having no meaning here: the registry answers with
/// what the tag points at.
pub(crate) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Longest manifest read. The distribution specification asks registries to take 4 MiB.
pub(crate) const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// Longest configuration read; history and labels can make it large, but not this large.
pub(crate) const MAX_CONFIG_BYTES: u64 = 8 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    Manifest(Manifest),
    Index(Index),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    /// Lowest layer first.
    pub(crate) layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    platform: Option<WirePlatform>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct WirePlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDocument {
    #[serde(default)]
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

impl Descriptor {
    pub(crate) fn platform(&self) -> Option<Platform> {
        self.platform
            .as_ref()
            .filter(|p| !p.os.is_empty() || !p.architecture.is_empty())
            .map(|p| Platform::new(&p.os, &p.architecture, p.variant.as_deref()))
    }
}

/// Reads a manifest or an index. The error says what is wrong with it.
pub(crate) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Document, String> {
    let wire: WireDocument = serde_json::from_slice(bytes).map_err(|e| format!("malformed manifest: {e}"))?;
    let declared = wire.media_type.as_deref().or(content_type).unwrap_or("");
    if declared.starts_with("application/vnd.docker.distribution.manifest.v1") || wire.schema_version == 1 {
        return Err("media type \"application/vnd.docker.distribution.manifest.v1+prettyjws\" is no longer \
                    supported, rebuild the image in a newer format"
            .to_owned());
    }
    if wire.schema_version != 2 {
        return Err(format!("malformed manifest: unsupported schemaVersion {}", wire.schema_version));
    }
    match wire {
        // Both at once would let two readers see two different images in one document.
        WireDocument { manifests: Some(_), layers: Some(_), .. }
        | WireDocument { manifests: Some(_), config: Some(_), .. } => {
            Err("malformed manifest: it is a manifest and an index at once".to_owned())
        }
        WireDocument { manifests: Some(manifests), .. } => Ok(Document::Index(Index { manifests })),
        WireDocument { config: Some(config), layers: Some(layers), .. } => {
            layers.iter().try_for_each(check_layer_type)?;
            Ok(Document::Manifest(Manifest { config, layers }))
        }
        _ => Err(format!("malformed manifest: neither layers nor manifests (media type {declared:?})")),
    }
}

/// The member of `index` that runs best on `platform`: the fittest by variant, the first among equals, and a member
/// that names no platform only when none that does fits.
pub(crate) fn select<'a>(index: &'a Index, platform: &Platform) -> Option<&'a Descriptor> {
    let is_document = |d: &&Descriptor| {
        d.media_type.is_empty() || d.media_type.contains(".manifest.") || d.media_type.contains(".index.")
    };
    let candidates = || index.manifests.iter().filter(is_document);
    let mut best: Option<(u32, &Descriptor)> = None;
    for descriptor in candidates() {
        let fitness = descriptor.platform().and_then(|offered| platform.fitness(&offered));
        if let Some(fitness) = fitness
            && best.is_none_or(|(so_far, _)| fitness > so_far)
        {
            best = Some((fitness, descriptor));
        }
    }
    best.map(|(_, d)| d).or_else(|| candidates().find(|d| d.platform.is_none()))
}

/// The compression is told from the bytes; here only what is no file-system layer at all is refused.
fn check_layer_type(layer: &Descriptor) -> Result<(), String> {
    let known = layer.media_type.starts_with("application/vnd.oci.image.layer.")
        || layer.media_type.starts_with("application/vnd.docker.image.rootfs.");
    if !known || layer.media_type.ends_with("+encrypted") {
        return Err(format!("layer {} has the unsupported media type {:?}", layer.digest, layer.media_type));
    }
    Ok(())
}
