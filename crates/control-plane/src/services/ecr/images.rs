//! Images: put, list, describe, get and delete in batches, and what refers to them.

mod select;

use aws_shapes_ecr as ecr;
use aws_shapes_ecr::{
    BatchDeleteImageRequest, BatchDeleteImageResponse, BatchGetImageRequest, BatchGetImageResponse,
    DescribeImagesRequest, DescribeImagesResponse, ImageFailure, ImageFailureCode, ImageIdentifier,
    ImageStatusFilter, ListImageReferrersRequest, ListImageReferrersResponse, ListImagesRequest,
    ListImagesResponse, PutImageRequest, PutImageResponse, TagStatus, errors,
};
use blob_store::Digest;
use bytes::Bytes;

pub(super) use self::select::has_form;
use self::select::{Selected, failure, select};
use super::errors::invalid;
use super::{Target, catalog, page_size};
use crate::convert::time;
use crate::gateway::{ApiError, Call};
use crate::registry::catalog::{Completeness, NewImage, Put};
use crate::registry::error::CatalogError;
use crate::registry::manifest::{LARGEST_MANIFEST, Manifest, ManifestError};
use crate::registry::records::Image;
use crate::registry::route::is_tag;

pub async fn put(call: Call, input: PutImageRequest) -> Result<PutImageResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let text = input.image_manifest.unwrap_or_default();
    let tag = input.image_tag.as_deref();
    if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
        let what = "image tag should satisfy the regex '[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}'";
        return Err(invalid(format!(
            "Invalid parameter at 'imageTag' failed to satisfy constraint: '{what}' ({tag})"
        )));
    }
    // What the manifest itself says of its type counts before the parameter.
    let declared = input.image_manifest_media_type.as_deref();
    let manifest = match Manifest::parse(text.as_bytes(), None) {
        Err(ManifestError::NoMediaType) => Manifest::parse(text.as_bytes(), declared),
        parsed => parsed,
    };
    let manifest = manifest.map_err(CatalogError::from)?;
    let digest = Digest::sha256(text.as_bytes());
    if let Some(expected) = input.image_digest.filter(|expected| *expected != digest.to_string()) {
        let message =
            format!("The given digest '{expected}' does not match the manifest's digest '{digest}'");
        return Err(ApiError::new(&errors::IMAGE_DIGEST_DOES_NOT_MATCH_EXCEPTION, message));
    }
    let registry = &call.services.registry;
    let bytes = Bytes::from(text.clone().into_bytes());
    registry.blobs.put_bytes(&digest, bytes).await.map_err(CatalogError::from)?;
    let new = NewImage {
        digest: digest.clone(),
        manifest: &manifest,
        manifest_bytes: text.len() as u64,
        tag,
        completeness: Completeness::WhereLayersAre,
    };
    let put = registry.catalog.put_image(&target.scope, &target.name, new, call.now()).await?;
    if put == Put::Unchanged {
        return Err(CatalogError::ImageAlreadyExists {
            digest,
            tag: tag.unwrap_or("null").to_owned(),
            repository: target.name,
            registry: target.registry,
        }
        .into());
    }
    registry.replicate_pushed(&target.scope, &target.name, &digest, call.now());
    let image = ecr::Image {
        image_id: Some(identifier(&digest, tag)),
        image_manifest: Some(text),
        image_manifest_media_type: Some(manifest.media_type),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
    };
    Ok(PutImageResponse { image: Some(image) })
}

pub async fn list(call: Call, input: ListImagesRequest) -> Result<ListImagesResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let (tag_status, image_status) =
        input.filter.map_or((None, None), |filter| (filter.tag_status, filter.image_status));
    let mut entries = Vec::new();
    for image in catalog(&call).images(&target.scope, &target.name) {
        if !passes(&image, tag_status, image_status) {
            continue;
        }
        let order = sort_key(&image);
        match image.tags.as_slice() {
            [] => entries.push((order, identifier(&image.digest, None))),
            tags => {
                let tagged = tags.iter().enumerate();
                entries.extend(
                    tagged
                        .map(|(at, tag)| (format!("{order}/{at:04}"), identifier(&image.digest, Some(tag)))),
                );
            }
        }
    }
    let page = call.services.page_tokens.page(
        &format!("ecr images of {}", target.name),
        entries,
        |(order, _)| order.clone(),
        input.next_token.as_deref(),
        page_size(input.max_results),
    );
    let page = page.map_err(|_| bad_token())?;
    let image_ids = page.items.into_iter().map(|(_, id)| id).collect();
    Ok(ListImagesResponse { image_ids: Some(image_ids), next_token: page.next_token })
}

pub async fn describe(call: Call, input: DescribeImagesRequest) -> Result<DescribeImagesResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let detail = |image: &Image| detail(&target, image);
    if let Some(ids) = input.image_ids.filter(|ids| !ids.is_empty()) {
        let mut details: Vec<ecr::ImageDetail> = Vec::new();
        for id in ids {
            let image = match select(catalog(&call), &target, &id) {
                Selected::Found(image) => image,
                Selected::Refused(_) => return Err(not_found(&target, &id)),
            };
            let digest = image.digest.to_string();
            if !details.iter().any(|known| known.image_digest.as_ref() == Some(&digest)) {
                details.push(detail(&image));
            }
        }
        return Ok(DescribeImagesResponse { image_details: Some(details), next_token: None });
    }
    let (tag_status, image_status) =
        input.filter.map_or((None, None), |filter| (filter.tag_status, filter.image_status));
    let images = catalog(&call).images(&target.scope, &target.name);
    let page = call.services.page_tokens.page(
        &format!("ecr image details of {}", target.name),
        images.into_iter().filter(|image| passes(image, tag_status, image_status)),
        |image| sort_key(image),
        input.next_token.as_deref(),
        page_size(input.max_results),
    );
    let page = page.map_err(|_| bad_token())?;
    let details = page.items.iter().map(|image| detail(image)).collect();
    Ok(DescribeImagesResponse { image_details: Some(details), next_token: page.next_token })
}

pub async fn batch_get(call: Call, input: BatchGetImageRequest) -> Result<BatchGetImageResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let registry = &call.services.registry;
    let (mut images, mut failures) = (Vec::new(), Vec::new());
    for id in input.image_ids.unwrap_or_default() {
        let image = match select(&registry.catalog, &target, &id) {
            Selected::Found(image) => image,
            Selected::Refused(failure) => {
                failures.push(failure);
                continue;
            }
        };
        let reader = registry.blobs.open(&image.digest).await.map_err(CatalogError::from)?;
        let bytes = reader.read_all(LARGEST_MANIFEST as u64).await.map_err(CatalogError::from)?;
        registry.note_pull(&target.scope, &call.principal.arn, &image, call.now());
        images.push(ecr::Image {
            image_id: Some(identifier(&image.digest, id.image_tag.as_deref())),
            image_manifest: Some(String::from_utf8_lossy(&bytes).into_owned()),
            image_manifest_media_type: Some(image.media_type.clone()),
            registry_id: Some(target.registry.clone()),
            repository_name: Some(target.name.clone()),
        });
    }
    Ok(BatchGetImageResponse { failures: Some(failures), images: Some(images) })
}

pub async fn batch_delete(
    call: Call,
    input: BatchDeleteImageRequest,
) -> Result<BatchDeleteImageResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let (mut image_ids, mut failures) = (Vec::new(), Vec::new());
    for id in input.image_ids.unwrap_or_default() {
        match delete_one(&call, &target, &id).await? {
            Ok(deleted) => image_ids.extend(deleted),
            Err(failure) => failures.push(failure),
        }
    }
    Ok(BatchDeleteImageResponse { failures: Some(failures), image_ids: Some(image_ids) })
}

/// Deletes by digest an image with all its tags, by tag the tag and, with its last one, the image.
async fn delete_one(
    call: &Call,
    target: &Target,
    id: &ImageIdentifier,
) -> Result<Result<Vec<ImageIdentifier>, ImageFailure>, ApiError> {
    let image = match select(catalog(call), target, id) {
        Selected::Found(image) => image,
        Selected::Refused(failure) => return Ok(Err(failure)),
    };
    let deleted = match (&id.image_digest, &id.image_tag) {
        (None, Some(tag)) => {
            let removed = catalog(call).delete_tag(&target.scope, &target.name, tag, true).await;
            removed.map(|digest| digest.map(|digest| vec![identifier(&digest, Some(tag))]))
        }
        _ => {
            let removed = catalog(call).delete_image(&target.scope, &target.name, &image.digest).await;
            removed.map(|tags| tags.map(|tags| identifiers(&image.digest, &tags)))
        }
    };
    match deleted {
        Ok(Some(deleted)) => Ok(Ok(deleted)),
        Ok(None) => Ok(Err(failure(id, ImageFailureCode::ImageNotFound, "Requested image not found"))),
        Err(error @ CatalogError::ReferencedByIndex { .. }) => {
            Ok(Err(failure(id, ImageFailureCode::ImageReferencedByManifestList, &error.to_string())))
        }
        Err(error) => Err(error.into()),
    }
}

pub async fn list_referrers(
    call: Call,
    input: ListImageReferrersRequest,
) -> Result<ListImageReferrersResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let subject = input.subject_id.and_then(|subject| subject.image_digest).unwrap_or_default();
    let subject = subject.parse::<Digest>().map_err(|error| {
        invalid(format!("Invalid parameter at 'subjectId' failed to satisfy constraint: '{error}'"))
    })?;
    let types = input.filter.and_then(|filter| filter.artifact_types).unwrap_or_default();
    let referrers = catalog(&call).referrers(&target.scope, &target.name, &subject);
    let wanted = referrers.into_iter().filter(|referrer| {
        types.is_empty() || referrer.artifact_type.as_ref().is_some_and(|found| types.contains(found))
    });
    let page = call.services.page_tokens.page(
        &format!("ecr referrers of {}@{subject}", target.name),
        wanted,
        |referrer| referrer.descriptor.digest.to_string(),
        input.next_token.as_deref(),
        input.max_results.map_or(20, |asked| usize::try_from(asked).unwrap_or(20).clamp(1, 50)),
    );
    let page = page.map_err(|_| bad_token())?;
    let referrers = page.items.into_iter().map(|referrer| ecr::ImageReferrer {
        annotations: Some(referrer.annotations.clone()),
        artifact_status: Some(ecr::ArtifactStatus::Active),
        artifact_type: referrer.artifact_type.clone(),
        digest: Some(referrer.descriptor.digest.to_string()),
        media_type: Some(referrer.descriptor.media_type.clone()),
        size: i64::try_from(referrer.descriptor.size).ok(),
    });
    Ok(ListImageReferrersResponse { next_token: page.next_token, referrers: Some(referrers.collect()) })
}

fn detail(target: &Target, image: &Image) -> ecr::ImageDetail {
    ecr::ImageDetail {
        artifact_media_type: image.artifact_type.clone(),
        image_digest: Some(image.digest.to_string()),
        image_manifest_media_type: Some(image.media_type.clone()),
        image_pushed_at: Some(time(image.pushed_at)),
        image_size_in_bytes: image.size_bytes.and_then(|size| i64::try_from(size).ok()),
        image_status: Some(ecr::ImageStatus::Active),
        image_tags: if image.tags.is_empty() { None } else { Some(image.tags.clone()) },
        last_recorded_pull_time: image.last_pulled_at.map(time),
        registry_id: Some(target.registry.clone()),
        repository_name: Some(target.name.clone()),
        subject_manifest_digest: image.subject.as_ref().map(ToString::to_string),
        ..ecr::ImageDetail::default()
    }
}

/// Whether an image is to be listed. None is ever archived.
fn passes(image: &Image, tags: Option<TagStatus>, status: Option<ImageStatusFilter>) -> bool {
    let by_tags = match tags {
        None | Some(TagStatus::Any) => true,
        Some(TagStatus::Tagged) => !image.tags.is_empty(),
        Some(TagStatus::Untagged) => image.tags.is_empty(),
    };
    by_tags && matches!(status, None | Some(ImageStatusFilter::Active | ImageStatusFilter::Any))
}

/// The order of lists: when an image was pushed. Negative times, before 1970, do not occur.
fn sort_key(image: &Image) -> String {
    format!("{:020}/{}", image.pushed_at.as_millis(), image.digest)
}

pub(super) fn identifier(digest: &Digest, tag: Option<&str>) -> ImageIdentifier {
    ImageIdentifier { image_digest: Some(digest.to_string()), image_tag: tag.map(str::to_owned) }
}

/// One identifier a tag, or one without.
fn identifiers(digest: &Digest, tags: &[String]) -> Vec<ImageIdentifier> {
    match tags {
        [] => vec![identifier(digest, None)],
        tags => tags.iter().map(|tag| identifier(digest, Some(tag))).collect(),
    }
}

/// The image that a call needs, or ECR's error.
pub(super) fn required(
    call: &Call,
    target: &Target,
    id: &ImageIdentifier,
) -> Result<std::sync::Arc<Image>, ApiError> {
    match select(catalog(call), target, id) {
        Selected::Found(image) => Ok(image),
        Selected::Refused(_) => Err(not_found(target, id)),
    }
}

/// How AWS writes an identifier into its texts.
pub(super) fn written(id: &ImageIdentifier) -> String {
    let or_null = |text: &Option<String>| text.clone().unwrap_or_else(|| "null".to_owned());
    format!("{{imageDigest:'{}', imageTag:'{}'}}", or_null(&id.image_digest), or_null(&id.image_tag))
}

fn not_found(target: &Target, id: &ImageIdentifier) -> ApiError {
    let message = format!(
        "The image with imageId {} does not exist within the repository with name '{}' in the registry with id '{}'",
        written(id),
        target.name,
        target.registry,
    );
    ApiError::new(&errors::IMAGE_NOT_FOUND_EXCEPTION, message)
}

pub(super) fn bad_token() -> ApiError {
    invalid("Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")
}
