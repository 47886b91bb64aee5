//! What a reference means: its manifest for a platform, and the configuration that this names.

use bytes::Bytes;

use super::records::ImageRecord;
use crate::{
    config,
    digest::Digest,
    error::PullError,
    manifest::{self, Document, Manifest},
    platform::Platform,
    reference::Reference,
    registry::Repository,
};

/// Indexes within indexes are legal; more than this is a loop or a joke.
const MAX_INDEX_DEPTH: usize = 4;

/// What the registry said an image is.
pub(super) struct Resolved {
    pub(super) resolved_digest: Digest,
    pub(super) manifest_digest: Digest,
    pub(super) manifest: Manifest,
}

pub(super) async fn resolve(
    repository: &Repository,
    reference: &Reference,
    platform: &Platform,
) -> Result<Resolved, PullError> {
    let failed = |f: crate::registry::Failed| PullError::Resolve {
        reference: reference.to_string(),
        attempts: f.attempts,
        cause: f.cause,
    };
    let mut raw = repository.manifest(reference.manifest_key(), reference.digest()).await.map_err(failed)?;
    let resolved_digest = raw.digest.clone();
    for _ in 0..MAX_INDEX_DEPTH {
        let document = manifest::parse(&raw.bytes, raw.content_type.as_deref())
            .map_err(|detail| PullError::Unsupported { reference: reference.to_string(), detail })?;
        match document {
            Document::Manifest(manifest) => {
                return Ok(Resolved { resolved_digest, manifest_digest: raw.digest, manifest });
            }
            Document::Index(index) => {
                let chosen = manifest::select(&index, platform)
                    .ok_or_else(|| PullError::Platform { platform: platform.clone() })?;
                let key = chosen.digest.to_string();
                raw = repository.manifest(&key, Some(&chosen.digest)).await.map_err(failed)?;
            }
        }
    }
    Err(PullError::Unsupported {
        reference: reference.to_string(),
        detail: format!("more than {MAX_INDEX_DEPTH} indexes within each other"),
    })
}

pub(super) async fn fetch_config(
    repository: &Repository,
    reference: &Reference,
    manifest_digest: &Digest,
    manifest: &Manifest,
) -> Result<ImageRecord, PullError> {
    let unsupported = |detail: String| PullError::Unsupported { reference: reference.to_string(), detail };
    let bytes: Bytes = repository
        .small_blob(&manifest.config, manifest::MAX_CONFIG_BYTES)
        .await
        .map_err(|f| PullError::Copy { attempts: f.attempts, cause: f.cause })?;
    let config_text = String::from_utf8(bytes.to_vec())
        .map_err(|_| unsupported("the image config is not UTF-8".to_owned()))?;
    let parsed = config::parse(&bytes).map_err(unsupported)?;
    if parsed.diff_ids.len() != manifest.layers.len() {
        return Err(unsupported(format!(
            "mismatched image rootfs and manifest layers: {} and {}",
            parsed.diff_ids.len(),
            manifest.layers.len()
        )));
    }
    Ok(ImageRecord {
        manifest_digest: manifest_digest.clone(),
        config_digest: manifest.config.digest.clone(),
        config_text,
        parsed,
        download_bytes: manifest.layers.iter().fold(0, |sum, l| sum.saturating_add(l.size)),
        adjustment: None,
    })
}
