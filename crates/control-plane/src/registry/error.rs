//! What the catalogue refuses, in ECR's words. The protocol and the API each map it to their own codes, in one place.

use blob_store::{BlobError, Digest};

use super::manifest::ManifestError;

/// A refused or failed operation on repositories and images.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("The repository with name '{repository}' does not exist in the registry with id '{registry}'")]
    RepositoryNotFound { repository: String, registry: String },
    #[error("The repository with name '{repository}' already exists in the registry with id '{registry}'")]
    RepositoryAlreadyExists { repository: String, registry: String },
    #[error(
        "The repository with name '{repository}' in registry with id '{registry}' cannot be deleted because it still contains images"
    )]
    RepositoryNotEmpty { repository: String, registry: String },
    #[error("Requested image not found")]
    ImageNotFound,
    #[error(
        "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{repository}' in registry with id '{registry}'"
    )]
    ImageAlreadyExists { digest: Digest, tag: String, repository: String, registry: String },
    #[error(
        "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten because the tag is immutable."
    )]
    TagImmutable { tag: String, repository: String },
    #[error(
        "Layers with digests '{missing}' required for pushing image into repository with name '{repository}' in the registry with id '{registry}' do not exist"
    )]
    LayersNotFound { missing: String, repository: String, registry: String },
    #[error(
        "Images with digests '{missing}' required for pushing image into repository with name '{repository}' in the registry with id '{registry}' do not exist"
    )]
    ReferencedImagesNotFound { missing: String, repository: String, registry: String },
    #[error("Requested image referenced by manifest list: [{parents}]")]
    ReferencedByIndex { parents: String },
    #[error(
        "The layer with digest '{digest}' is used by an image of the repository with name '{repository}'"
    )]
    LayerInUse { digest: Digest, repository: String },
    #[error("The digest '{expected}' does not match the manifest's digest '{actual}'")]
    DigestMismatch { expected: Digest, actual: Digest },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    State(#[from] state_store::StateError),
}
