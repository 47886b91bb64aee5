//! Layers through the API: upload in parts, check, and a link to download one.

use std::time::Duration;

use aws_schema::{Shape, Value};
use aws_shapes_ecr as ecr;
use aws_shapes_ecr::{
    BatchCheckLayerAvailabilityRequest, BatchCheckLayerAvailabilityResponse, CompleteLayerUploadRequest,
    CompleteLayerUploadResponse, GetDownloadUrlForLayerRequest, GetDownloadUrlForLayerResponse,
    InitiateLayerUploadRequest, InitiateLayerUploadResponse, UploadLayerPartRequest, UploadLayerPartResponse,
    errors,
};
use blob_store::{Algorithm, BlobError, Digest, UploadId};
use bytes::Bytes;

use super::images::has_form as has_digest_form;
use super::{Target, catalog};
use crate::gateway::{ApiError, Call};
use crate::registry::error::CatalogError;
use crate::registry::records::Layer;

/// The part size that clients are told, ECR's own.
const PART_BYTES: i64 = 20 * 1024 * 1024;

/// How long a download link works.
const LINK_LIFETIME: Duration = Duration::from_secs(60 * 60);

pub async fn initiate(
    call: Call,
    input: InitiateLayerUploadRequest,
) -> Result<InitiateLayerUploadResponse, ApiError> {
    Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let id =
        call.services.registry.blobs.begin_upload(Algorithm::Sha256).await.map_err(CatalogError::from)?;
    Ok(InitiateLayerUploadResponse { part_size: Some(PART_BYTES), upload_id: Some(id.to_string()) })
}

pub async fn upload_part(
    call: Call,
    input: UploadLayerPartRequest,
) -> Result<UploadLayerPartResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let id = upload_id(&target, input.upload_id)?;
    let blobs = &call.services.registry.blobs;
    let part = input.layer_part_blob.unwrap_or_default();
    let (first, last) = (input.part_first_byte.unwrap_or(0), input.part_last_byte.unwrap_or(-1));
    let held = blobs.upload_length(&id).await.map_err(|error| of_upload(&target, &id, error))?;
    let continues = u64::try_from(first) == Ok(held) && last - first + 1 == part.len() as i64;
    if !continues || part.is_empty() {
        return Err(invalid_part(&target, &id, held));
    }
    let mut append = blobs.append(&id, Some(held)).await.map_err(|error| of_upload(&target, &id, error))?;
    append.write(Bytes::from(part)).await.map_err(|error| of_upload(&target, &id, error))?;
    let length = append.close().await.map_err(|error| of_upload(&target, &id, error))?;
    Ok(UploadLayerPartResponse {
        last_byte_received: Some(length as i64 - 1),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
        upload_id: Some(id.to_string()),
    })
}

pub async fn complete(
    call: Call,
    input: CompleteLayerUploadRequest,
) -> Result<CompleteLayerUploadResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let id = upload_id(&target, input.upload_id)?;
    let blobs = &call.services.registry.blobs;
    let held = blobs.upload_length(&id).await.map_err(|error| of_upload(&target, &id, error))?;
    if held == 0 {
        let message = format!("The upload with id '{id}' contains no data {}", target.in_registry());
        return Err(ApiError::new(&errors::EMPTY_UPLOAD_EXCEPTION, message));
    }
    let digests = input.layer_digests.unwrap_or_default();
    let digest = digests.iter().find_map(|digest| digest.parse::<Digest>().ok());
    let digest = digest.ok_or_else(|| {
        let message = format!("None of the given layer digests {digests:?} is a sha256 or sha512 digest");
        ApiError::new(&errors::INVALID_LAYER_EXCEPTION, message)
    })?;
    if catalog(&call).layer(&target.scope, &target.name, &digest).is_some() {
        blobs.cancel(&id).await.map_err(|error| of_upload(&target, &id, error))?;
        let message = format!("The layer with digest '{digest}' already exists {}", target.in_registry());
        return Err(ApiError::new(&errors::LAYER_ALREADY_EXISTS_EXCEPTION, message));
    }
    let length = blobs.finish(&id, &digest).await.map_err(|error| of_upload(&target, &id, error))?;
    let layer = Layer {
        repository: target.name.clone(),
        digest: digest.clone(),
        size_bytes: length,
        pushed_at: call.now(),
    };
    catalog(&call).add_layer(&target.scope, layer).await?;
    Ok(CompleteLayerUploadResponse {
        layer_digest: Some(digest.to_string()),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
        upload_id: Some(id.to_string()),
    })
}

pub async fn check(
    call: Call,
    input: BatchCheckLayerAvailabilityRequest,
) -> Result<BatchCheckLayerAvailabilityResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let (mut layers, mut failures) = (Vec::new(), Vec::new());
    for text in input.layer_digests.unwrap_or_default() {
        let found = text.parse::<Digest>().ok();
        let found = found.and_then(|digest| catalog(&call).layer(&target.scope, &target.name, &digest));
        match found {
            Some(layer) => layers.push(ecr::Layer {
                layer_availability: Some(ecr::LayerAvailability::Available),
                layer_digest: Some(text),
                layer_size: i64::try_from(layer.size_bytes).ok(),
                media_type: Some("application/vnd.docker.image.rootfs.diff.tar.gzip".to_owned()),
            }),
            None if has_digest_form(&text) => failures.push(ecr::LayerFailure {
                failure_code: Some(ecr::LayerFailureCode::MissingLayerDigest),
                failure_reason: Some(format!("The layer with digest '{text}' does not exist {}", target.in_registry())),
                layer_digest: Some(text),
            }),
            None => failures.push(ecr::LayerFailure {
                failure_code: Some(ecr::LayerFailureCode::InvalidLayerDigest),
                failure_reason: Some(
                    "Invalid request parameters: layer digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
                        .to_owned(),
                ),
                layer_digest: Some(text),
            }),
        }
    }
    Ok(BatchCheckLayerAvailabilityResponse { failures: Some(failures), layers: Some(layers) })
}

pub async fn download_url(
    call: Call,
    input: GetDownloadUrlForLayerRequest,
) -> Result<GetDownloadUrlForLayerResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let text = input.layer_digest.unwrap_or_default();
    let layer = text
        .parse::<Digest>()
        .ok()
        .and_then(|digest| catalog(&call).layer(&target.scope, &target.name, &digest));
    let layer = layer.ok_or_else(|| {
        let message = format!("The layer with digest '{text}' does not exist {}", target.in_registry());
        ApiError::new(&errors::LAYERS_NOT_FOUND_EXCEPTION, message)
    })?;
    let path = format!("/v2/{}/blobs/{}", target.name, layer.digest);
    let query = call.services.registry.key.sign_link(&target.scope, &path, call.now() + LINK_LIFETIME);
    Ok(GetDownloadUrlForLayerResponse {
        download_url: Some(format!("{}{path}?{query}", call.services.settings.url())),
        layer_digest: Some(text),
    })
}

fn upload_id(target: &Target, text: Option<String>) -> Result<UploadId, ApiError> {
    let text = text.unwrap_or_default();
    text.parse().map_err(|()| no_upload(target, &text))
}

fn no_upload(target: &Target, id: &str) -> ApiError {
    let message = format!("The upload with id '{id}' does not exist {}", target.in_registry());
    ApiError::new(&errors::UPLOAD_NOT_FOUND_EXCEPTION, message)
}

fn of_upload(target: &Target, id: &UploadId, error: BlobError) -> ApiError {
    match error {
        BlobError::NoSuchUpload(_) => no_upload(target, id.as_str()),
        BlobError::WrongOffset { length, .. } => invalid_part(target, id, length),
        BlobError::UploadBusy(_) => ApiError::new(&errors::INVALID_PARAMETER_EXCEPTION, error.to_string()),
        BlobError::DigestMismatch { .. } => {
            ApiError::new(&errors::INVALID_LAYER_EXCEPTION, error.to_string())
        }
        other => CatalogError::from(other).into(),
    }
}

/// The part does not continue what is held; the error says where that ends.
fn invalid_part(target: &Target, id: &UploadId, held: u64) -> ApiError {
    let fields = ecr::InvalidLayerPartException {
        last_valid_byte_received: Some(held as i64 - 1),
        message: None,
        registry_id: Some(target.registry.clone()),
        repository_name: Some(target.name.clone()),
        upload_id: Some(id.to_string()),
    };
    let fields: Value = fields.into_value();
    let message = format!("The layer part does not begin where the upload with id '{id}' ends");
    ApiError::new(&errors::INVALID_LAYER_PART_EXCEPTION, message).with_fields(fields)
}
