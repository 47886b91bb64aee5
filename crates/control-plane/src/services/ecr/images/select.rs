//! Finding the image that an identifier means, or saying in ECR's words why there is none.

use std::sync::Arc;

use aws_shapes_ecr::{ImageFailure, ImageFailureCode, ImageIdentifier};
use blob_store::Digest;

use crate::registry::catalog::Catalog;
use crate::registry::records::Image;
use crate::services::ecr::Target;

pub enum Selected {
    Found(Arc<Image>),
    Refused(ImageFailure),
}

/// By digest, by tag, or by both when they mean the same image.
pub fn select(catalog: &Catalog, target: &Target, id: &ImageIdentifier) -> Selected {
    let (scope, name) = (&target.scope, target.name.as_str());
    let refused = |code, reason: &str| Selected::Refused(failure(id, code, reason));
    let not_found = || refused(ImageFailureCode::ImageNotFound, "Requested image not found");
    let by_tag = id.image_tag.as_ref().map(|tag| catalog.image_by_tag(scope, name, tag));
    let Some(digest) = &id.image_digest else {
        return match by_tag {
            Some(Some(image)) => Selected::Found(image),
            Some(None) => not_found(),
            None => refused(
                ImageFailureCode::MissingDigestAndTag,
                "Invalid request parameters: both tag and digest cannot be null",
            ),
        };
    };
    if !has_form(digest) {
        return refused(
            ImageFailureCode::InvalidImageDigest,
            "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'",
        );
    }
    let by_digest =
        digest.parse::<Digest>().ok().and_then(|digest| catalog.image_by_digest(scope, name, &digest));
    match (by_digest, by_tag) {
        (Some(image), None) => Selected::Found(image),
        (Some(image), Some(Some(tagged))) if tagged.digest == image.digest => Selected::Found(image),
        _ => not_found(),
    }
}

pub fn failure(id: &ImageIdentifier, code: ImageFailureCode, reason: &str) -> ImageFailure {
    ImageFailure {
        failure_code: Some(code),
        failure_reason: Some(reason.to_owned()),
        image_id: Some(id.clone()),
    }
}

/// The form of a digest of any algorithm, which the API checks apart from whether we know it.
pub fn has_form(digest: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_+.".contains(&byte);
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty()
            && algorithm.bytes().all(name)
            && !hex.is_empty()
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
