//! Manifests and indexes: what a pushed document refers to, checked before anything is stored.
//!
//! The bytes themselves are kept as they came, since their digest is their name; this reads from them what the registry
//! has to know. Unknown members are left alone, as the image specification asks.

use std::collections::BTreeMap;

use blob_store::Digest;
use serde::{Deserialize, Serialize};

/// The largest manifest taken, the least that the distribution specification asks of a registry.
pub const LARGEST_MANIFEST: usize = 4 * 1024 * 1024;

/// Blobs in one image, whose digests have to fit into one record of the store. Docker's own limit is 127.
const MOST_BLOBS: usize = 4_000;

/// Manifests in one index: each is written when the index is stored, and a transaction of the store has room for 128 changes.
const MOST_CHILDREN: usize = 100;

/// Bytes of annotations, which the referrers list repeats: they have to fit into one record beside the rest.
const LARGEST_ANNOTATIONS: usize = 512 * 1024;

pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Something a manifest refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    #[serde(rename = "mediaType", default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    /// Content that lies elsewhere (foreign layers) and need not be in the repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// A manifest's content, as far as the registry is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub media_type: String,
    pub content: Content,
    pub subject: Option<Descriptor>,
    /// Its own `artifactType`, or its configuration's media type for want of one.
    pub artifact_type: Option<String>,
    pub annotations: BTreeMap<String, String>,
}

/// The two kinds of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Image { config: Descriptor, layers: Vec<Descriptor> },
    Index { manifests: Vec<Descriptor> },
}

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("manifest invalid: the manifest is larger than {LARGEST_MANIFEST} bytes")]
    TooLarge,
    #[error("manifest invalid: {0}")]
    Malformed(String),
    #[error("manifest invalid: media type '{0}' is not supported")]
    UnsupportedMediaType(String),
    #[error("manifest invalid: it says it is '{inside}', but was sent as '{outside}'")]
    MediaTypeMismatch { inside: String, outside: String },
    #[error("image manifest mediatype not provided in manifest or parameter")]
    NoMediaType,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Manifest {
    /// Reads a document. `declared` is the media type it was sent under, if any.
    pub fn parse(bytes: &[u8], declared: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() > LARGEST_MANIFEST {
            return Err(ManifestError::TooLarge);
        }
        let document = serde_json::from_slice::<Document>(bytes)
            .map_err(|error| ManifestError::Malformed(error.to_string()))?;
        let media_type = match (&document.media_type, declared) {
            (Some(inside), Some(outside)) if inside != outside => {
                return Err(ManifestError::MediaTypeMismatch {
                    inside: inside.clone(),
                    outside: outside.to_owned(),
                });
            }
            (Some(media_type), _) => media_type.clone(),
            (None, Some(declared)) => declared.to_owned(),
            (None, None) => return Err(ManifestError::NoMediaType),
        };
        let malformed = |text: &str| ManifestError::Malformed(text.to_owned());
        if document.schema_version != 2 {
            return Err(malformed("schemaVersion must be 2"));
        }
        let (content, config_type) = match media_type.as_str() {
            OCI_MANIFEST | DOCKER_MANIFEST => {
                let config = document.config.ok_or_else(|| malformed("config is missing"))?;
                let layers = document.layers.ok_or_else(|| malformed("layers is missing"))?;
                if document.manifests.is_some() {
                    return Err(malformed("an image manifest has no manifests"));
                }
                let config_type = config.media_type.clone();
                (Content::Image { config, layers }, Some(config_type))
            }
            OCI_INDEX | DOCKER_LIST => {
                let manifests = document.manifests.ok_or_else(|| malformed("manifests is missing"))?;
                if document.layers.is_some() || document.config.is_some() {
                    return Err(malformed("an image index has no config and no layers"));
                }
                (Content::Index { manifests }, None)
            }
            _ => return Err(ManifestError::UnsupportedMediaType(media_type)),
        };
        let manifest = Self {
            media_type,
            content,
            subject: document.subject,
            artifact_type: document.artifact_type.or(config_type).filter(|text| !text.is_empty()),
            annotations: document.annotations.unwrap_or_default(),
        };
        manifest.within_bounds()?;
        Ok(manifest)
    }

    fn within_bounds(&self) -> Result<(), ManifestError> {
        let refuse = |what: String| Err(ManifestError::Malformed(what));
        if self.blobs().count() > MOST_BLOBS {
            return refuse(format!("it refers to more than {MOST_BLOBS} layers"));
        }
        if self.children().count() > MOST_CHILDREN {
            return refuse(format!("it refers to more than {MOST_CHILDREN} manifests"));
        }
        if self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
            > LARGEST_ANNOTATIONS
        {
            return refuse(format!("its annotations are longer than {LARGEST_ANNOTATIONS} bytes"));
        }
        Ok(())
    }

    /// The blobs it consists of: configuration and layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, layers) = match &self.content {
            Content::Image { config, layers } => (Some(config), layers.as_slice()),
            Content::Index { .. } => (None, [].as_slice()),
        };
        config.into_iter().chain(layers)
    }

    /// The manifests it refers to.
    pub fn children(&self) -> impl Iterator<Item = &Descriptor> {
        match &self.content {
            Content::Image { .. } => [].iter(),
            Content::Index { manifests } => manifests.iter(),
        }
    }

    /// The sum of its blobs' sizes, which is what ECR reports of an image. An index has none of its own.
    pub fn size_bytes(&self) -> Option<u64> {
        match &self.content {
            Content::Image { .. } => {
                Some(self.blobs().fold(0, |sum: u64, blob| sum.saturating_add(blob.size)))
            }
            Content::Index { .. } => None,
        }
    }
}
