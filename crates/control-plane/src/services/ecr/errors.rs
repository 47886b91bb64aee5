//! From the catalogue's refusals to ECR's errors: the one place where their codes are chosen.

use aws_shapes_ecr::errors;

use crate::gateway::ApiError;
use crate::registry::error::CatalogError;
use crate::services::tagging::InvalidTags;
use blob_store::BlobError;

impl From<CatalogError> for ApiError {
    fn from(error: CatalogError) -> Self {
        let table = match &error {
            CatalogError::RepositoryNotFound { .. } => &errors::REPOSITORY_NOT_FOUND_EXCEPTION,
            CatalogError::RepositoryAlreadyExists { .. } => &errors::REPOSITORY_ALREADY_EXISTS_EXCEPTION,
            CatalogError::RepositoryNotEmpty { .. } => &errors::REPOSITORY_NOT_EMPTY_EXCEPTION,
            CatalogError::ImageNotFound => &errors::IMAGE_NOT_FOUND_EXCEPTION,
            CatalogError::ImageAlreadyExists { .. } => &errors::IMAGE_ALREADY_EXISTS_EXCEPTION,
            CatalogError::TagImmutable { .. } => &errors::IMAGE_TAG_ALREADY_EXISTS_EXCEPTION,
            CatalogError::LayersNotFound { .. } => &errors::LAYERS_NOT_FOUND_EXCEPTION,
            CatalogError::ReferencedImagesNotFound { .. } => &errors::REFERENCED_IMAGES_NOT_FOUND_EXCEPTION,
            CatalogError::DigestMismatch { .. } => &errors::IMAGE_DIGEST_DOES_NOT_MATCH_EXCEPTION,
            CatalogError::ReferencedByIndex { .. }
            | CatalogError::LayerInUse { .. }
            | CatalogError::Manifest(_)
            | CatalogError::Blob(BlobError::TooLarge { .. }) => &errors::INVALID_PARAMETER_EXCEPTION,
            CatalogError::Blob(BlobError::TooManyUploads { .. }) => &errors::LIMIT_EXCEEDED_EXCEPTION,
            CatalogError::Blob(_) | CatalogError::State(_) => return Self::internal(error),
        };
        Self::new(table, error.to_string())
    }
}

/// `InvalidParameterException` with that text.
pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_PARAMETER_EXCEPTION, message)
}

/// What a set of tags did wrong.
pub(super) fn invalid_tags(error: InvalidTags) -> ApiError {
    let table = match error {
        InvalidTags::TooMany => &errors::TOO_MANY_TAGS_EXCEPTION,
        _ => &errors::INVALID_TAG_PARAMETER_EXCEPTION,
    };
    ApiError::new(table, error.to_string())
}
