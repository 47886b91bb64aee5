//! Completing an upload: the parts that the client names become the object, without a byte being copied.

use std::{collections::HashMap, sync::Arc};

use aws_shapes_s3 as s3;

use vocabulary::Timestamp;

use super::{MOST_PARTS, find, forget_parts, parts_of};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::records::global,
        s3::{
            bucket,
            checks::{Unless, checksums, show_checksum},
            digests::{Algorithm, Checksum, Extent, etag_of_parts},
            errors,
            objects::extent,
            records::{Bucket, Object, Part, Upload, object_id, upload_id},
            required,
        },
    },
};

/// Every part but the last has at least 5 MiB, as on AWS.
const SMALLEST_PART_BYTES: u64 = 5 << 20;
/// Of the whole: 50 TB, as on AWS.
const LARGEST_OBJECT_BYTES: u64 = 50 * 1000 * 1000 * 1000 * 1000;

pub async fn complete(
    call: Call,
    input: s3::CompleteMultipartUploadRequest,
) -> Result<s3::CompleteMultipartUploadOutput, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    let id = input.upload_id.clone().unwrap_or_default();
    let given = checksums!(input)?;
    let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    if named.is_empty() || named.len() > MOST_PARTS as usize {
        return Err(errors::malformed_xml());
    }
    let services = &call.services;
    let upload = services.state.read(|view| {
        bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        find(view, &name, &key, &id)
    })?;
    let unless = Unless { if_match: input.if_match, if_none_match: input.if_none_match };
    let (scope, at) = (global(), object_id(&name, &key));
    let now = call.now();
    let (object, before) = services
        .state
        .transact(|tx| {
            tx.get::<Bucket>(&scope, &name).ok_or_else(errors::no_such_bucket)?;
            // Depends on the upload's record, which every part changes that takes another's place.
            tx.delete::<Upload>(&scope, &upload_id(&name, &upload.id)).ok_or_else(errors::no_such_upload)?;
            let parts = chosen(&upload, &parts_of(tx.view(), &upload), &named)?;
            let object = assembled(&upload, &parts, &given, input.mpu_object_size, now)?;
            let before = tx.get::<Object>(&scope, &at);
            unless.check(before.as_deref())?;
            tx.put(&scope, &at, object.clone());
            Ok::<_, ApiError>((object, before))
        })
        .await?;
    if let Some(before) = before {
        services.objects.remove(&before.pieces).await;
    }
    if let Err(error) = forget_parts(services, &upload.id, &object.pieces).await {
        // The object is there; what is left of the upload is swept.
        tracing::warn!(%error, bucket = name, "parts of a completed upload are left for later");
    }
    let (etag, checksum) = (&object.etag, &object.checksum);
    let mut output = s3::CompleteMultipartUploadOutput {
        location: Some(format!("http://{}/{name}/{key}", call.host)),
        bucket: Some(name),
        key: Some(key),
        e_tag: Some(format!("\"{etag}\"")),
        checksum_type: Some(extent(checksum.extent)),
        server_side_encryption: Some(s3::ServerSideEncryption::Aes256),
        ..Default::default()
    };
    show_checksum!(output, checksum.algorithm, checksum.value);
    Ok(output)
}

/// The object that the parts are, if it is what the client says of it.
fn assembled(
    upload: &Upload,
    parts: &[Arc<Part>],
    given: &[(Algorithm, Option<String>)],
    size: Option<i64>,
    now: Timestamp,
) -> Result<Object, ApiError> {
    let length = parts.iter().map(|part| part.piece.1).sum::<u64>();
    if length > LARGEST_OBJECT_BYTES {
        return Err(errors::entity_too_large());
    }
    if size.is_some_and(|size| u64::try_from(size).ok() != Some(length)) {
        return Err(errors::invalid_request(
            "The provided 'x-amz-mp-object-size' header value does not match the size of the completed object.",
        ));
    }
    let etag = etag_of_parts(parts.iter().map(|part| part.etag.as_str())).ok_or_else(errors::invalid_part)?;
    let checksum = checksum_of(upload, parts)?;
    for (algorithm, value) in given {
        let Some(value) = value else { continue };
        // A composite one may come without the number of parts.
        let plain = checksum.value.split('-').next().unwrap_or_default();
        if *algorithm != checksum.algorithm || (*value != checksum.value && value != plain) {
            return Err(errors::bad_checksum(algorithm.name()));
        }
    }
    Ok(Object {
        length,
        // A part of nothing has a file, which the object names as well: it goes when the object goes.
        pieces: parts.iter().map(|part| part.piece.clone()).collect(),
        in_parts: true,
        etag,
        checksum,
        modified_at: now,
        description: upload.description.clone(),
        tags: upload.tags.clone(),
    })
}

/// The parts that are named, in order, each as it is there.
fn chosen(
    upload: &Upload,
    there: &[Arc<Part>],
    named: &[s3::CompletedPart],
) -> Result<Vec<Arc<Part>>, ApiError> {
    let by_number: HashMap<u32, &Arc<Part>> = there.iter().map(|part| (part.number, part)).collect();
    let mut parts: Vec<Arc<Part>> = Vec::with_capacity(named.len());
    for one in named {
        let number = one
            .part_number
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(errors::malformed_xml)?;
        if parts.last().is_some_and(|before| before.number >= number) {
            return Err(errors::invalid_part_order());
        }
        let part = by_number.get(&number).ok_or_else(errors::invalid_part)?;
        let etag = one.e_tag.as_deref().ok_or_else(errors::malformed_xml)?;
        if etag.trim_matches('"') != part.etag {
            return Err(errors::invalid_part());
        }
        let checksums = checksums!(one)?;
        let mut given = checksums.iter().filter_map(|(algorithm, value)| Some((*algorithm, value.as_ref()?)));
        match given.next() {
            Some((algorithm, value)) if !is_its(upload, part, algorithm, value) => {
                return Err(errors::invalid_part());
            }
            Some(_) => {}
            None if upload.chosen && upload.extent == Extent::Composite => {
                return Err(errors::invalid_request(format!(
                    "The upload was created using a {} checksum. The complete request must include the checksum for each part. It was missing for part {number} in the request.",
                    upload.algorithm.name().to_ascii_lowercase()
                )));
            }
            None => {}
        }
        parts.push(Arc::clone(part));
    }
    let before_last = &parts[..parts.len() - 1];
    if before_last.iter().any(|part| part.piece.1 < SMALLEST_PART_BYTES) {
        return Err(errors::entity_too_small());
    }
    Ok(parts)
}

/// Whether a checksum is the part's, of the upload's kind or of the one that it was checked with.
fn is_its(upload: &Upload, part: &Part, algorithm: Algorithm, value: &str) -> bool {
    let given = part.given.as_ref().is_some_and(|(kind, own)| *kind == algorithm && own == value);
    given || (algorithm == upload.algorithm && value == part.checksum)
}

fn checksum_of(upload: &Upload, parts: &[Arc<Part>]) -> Result<Checksum, ApiError> {
    let algorithm: Algorithm = upload.algorithm;
    let value = match upload.extent {
        Extent::Full => algorithm.joined(parts.iter().map(|part| (part.checksum.as_str(), part.piece.1))),
        Extent::Composite => algorithm.composite(parts.iter().map(|part| part.checksum.as_str())),
    };
    let value = value.ok_or_else(errors::invalid_part)?;
    Ok(Checksum { algorithm, extent: upload.extent, value })
}
