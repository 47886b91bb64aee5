//! Uploads in parts: begun, given parts in any order and as often as one likes, listed, completed or aborted.
//!
//! A part's record depends on its upload's: completing or aborting takes that away, and a part that comes too late is refused. A part that is sent
//! again takes the place of the one before, and changes the upload's record, so that whoever is completing it with the one before looks again.

mod complete;
mod list;
mod part;

pub use complete::complete;
pub use list::{list, list_parts};
pub use part::{part, part_copy};

use std::sync::Arc;

use aws_shapes_s3 as s3;
use state_store::View;
use vocabulary::Ids;

use super::{
    bucket,
    checks::refuse_what_is_not_here,
    content::Piece,
    digests::{Algorithm, Extent},
    errors,
    names::check_key,
    objects::{described, tags_of_header},
    records::{Bucket, Part, Upload, part_id, upload_id},
    required,
};
use crate::{
    gateway::{ApiError, Call},
    services::{Services, SystemIds, ec2::records::global},
};

/// Of one upload, and the greatest number of one.
pub const MOST_PARTS: u32 = 10_000;
/// Records deleted in one transaction, which holds 128 operations at most.
const BATCH: usize = 100;

pub async fn create(
    call: Call,
    input: s3::CreateMultipartUploadRequest,
) -> Result<s3::CreateMultipartUploadOutput, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    check_key(&key)?;
    refuse_what_is_not_here!(input)?;
    let named = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str());
    let algorithm = match named {
        None => Algorithm::Crc64Nvme,
        Some(named) => Algorithm::of_name(named)
            .ok_or_else(|| errors::not_implemented(&format!("the checksum {named}")))?,
    };
    let extent =
        extent_of(algorithm, input.checksum_type.as_ref().map(|kind| kind.as_str()), named.is_some())?;
    let tags = tags_of_header(&call, &name, &key, input.tagging.as_deref())?;
    let description = described!(input)?;
    let mut id = [0; 24];
    SystemIds.fill(&mut id);
    let upload = Upload {
        id: hex::encode(id),
        bucket: name.clone(),
        key: key.clone(),
        initiated_at: call.now(),
        initiator: call.principal.arn.clone(),
        description,
        tags,
        algorithm,
        extent,
        replaced: 0,
        chosen: named.is_some(),
    };
    let expected_owner = input.expected_bucket_owner.as_deref();
    call.services
        .state
        .transact(|tx| {
            let found = tx.get::<Bucket>(&global(), &name).ok_or_else(errors::no_such_bucket)?;
            super::owned_as_expected(&found, expected_owner)?;
            tx.put(&global(), &upload_id(&name, &upload.id), upload.clone());
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(s3::CreateMultipartUploadOutput {
        bucket: Some(name),
        key: Some(key),
        upload_id: Some(upload.id),
        server_side_encryption: Some(s3::ServerSideEncryption::Aes256),
        checksum_algorithm: upload.chosen.then(|| s3::ChecksumAlgorithm::parse(algorithm.name())).flatten(),
        checksum_type: upload.chosen.then(|| super::objects::extent(extent)),
        ..Default::default()
    })
}

/// What the checksum of the whole will be of: a kind that joins can be of all bytes, a digest only of the parts' digests.
fn extent_of(algorithm: Algorithm, asked: Option<&str>, named: bool) -> Result<Extent, ApiError> {
    let composite_only = !algorithm.joins();
    let full_only = algorithm == Algorithm::Crc64Nvme;
    match asked {
        Some(_) if !named => Err(errors::invalid_request(
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )),
        Some("COMPOSITE") if !full_only => Ok(Extent::Composite),
        Some("FULL_OBJECT") if !composite_only => Ok(Extent::Full),
        Some(other) => Err(errors::invalid_request(format!(
            "The {other} checksum type cannot be used with the {} checksum algorithm.",
            algorithm.name().to_ascii_lowercase()
        ))),
        None if full_only => Ok(Extent::Full),
        None => Ok(Extent::Composite),
    }
}

/// The upload of this id, for this key.
fn find(view: &View, name: &str, key: &str, id: &str) -> Result<Arc<Upload>, ApiError> {
    let found = view.get::<Upload>(&global(), &upload_id(name, id));
    found.filter(|upload| upload.key == key).ok_or_else(errors::no_such_upload)
}

fn parts_of(view: &View, upload: &Upload) -> Vec<Arc<Part>> {
    view.scan_prefix::<Part>(&global(), &format!("{}/", upload.id)).map(|(_, part)| part).collect()
}

pub async fn abort(
    call: Call,
    input: s3::AbortMultipartUploadRequest,
) -> Result<s3::AbortMultipartUploadOutput, ApiError> {
    let (name, key) = (required(input.bucket)?, required(input.key)?);
    let id = input.upload_id.unwrap_or_default();
    let upload = call.services.state.read(|view| {
        bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        find(view, &name, &key, &id)
    })?;
    forget(&call.services, &upload).await?;
    Ok(Default::default())
}

/// Takes an upload away, with its parts and their bytes.
///
/// # Errors
/// `NoSuchUpload` when somebody else was faster.
pub async fn forget(services: &Services, upload: &Upload) -> Result<(), ApiError> {
    let id = upload_id(&upload.bucket, &upload.id);
    services
        .state
        .transact(|tx| tx.delete::<Upload>(&global(), &id).map(drop).ok_or_else(errors::no_such_upload))
        .await?;
    forget_parts(services, &upload.id, &[]).await
}

/// Takes the parts of an upload away that has ended, and the bytes of those that the object is not made of.
pub async fn forget_parts(services: &Services, id: &str, kept: &[Piece]) -> Result<(), ApiError> {
    loop {
        let parts: Vec<Arc<Part>> = services.state.read(|view| {
            view.scan_prefix::<Part>(&global(), &format!("{id}/")).map(|(_, part)| part).take(BATCH).collect()
        });
        if parts.is_empty() {
            return Ok(());
        }
        services
            .state
            .transact(|tx| {
                for part in &parts {
                    tx.delete::<Part>(&global(), &part_id(id, part.number));
                }
                Ok::<_, ApiError>(())
            })
            .await?;
        for part in parts {
            if !kept.contains(&part.piece) {
                services.objects.remove(std::slice::from_ref(&part.piece)).await;
            }
        }
    }
}
