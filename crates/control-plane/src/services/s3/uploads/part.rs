//! A part: from the client, or out of another object.

use std::ops::Range;

use aws_schema::Timestamp as ShapeTime;
use aws_shapes_s3 as s3;
use futures_util::TryStreamExt;

use super::{MOST_PARTS, find};
use crate::{
    gateway::{ApiError, Call, Streamed},
    services::{
        ec2::records::global,
        s3::{
            authorize_also, bucket,
            checks::{Said, checksums, show_checksum},
            content::Written,
            digests::Wanted,
            errors,
            names::{copy_source, object_arn},
            objects::{Reading, check_reading, hold, receive},
            payload::Payload,
            records::{Part, Upload, part_id, upload_id},
            required,
        },
    },
};

/// 5 GiB, as on AWS.
const LARGEST_PART_BYTES: u64 = 5 << 30;

fn number_of(number: Option<i32>) -> Result<u32, ApiError> {
    number
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (1..=MOST_PARTS).contains(number))
        .ok_or_else(|| {
            errors::invalid_argument("Part number must be an integer between 1 and 10000, inclusive")
        })
}

pub async fn part(
    call: Call,
    input: s3::UploadPartRequest,
    mut payload: Payload,
) -> Result<Streamed<s3::UploadPartOutput>, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    let number = number_of(input.part_number)?;
    if input.sse_customer_algorithm.is_some() {
        return Err(errors::not_implemented("encryption with keys of clients"));
    }
    let given = checksums!(input)?;
    let id = input.upload_id.clone().unwrap_or_default();
    let upload = call.services.state.read(|view| {
        bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        find(view, &name, &key, &id)
    })?;
    let named = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str());
    let mut said = Said::of(input.content_md5.as_deref(), named, given, &payload, upload.algorithm)?;
    if said.algorithm != upload.algorithm {
        if upload.chosen {
            return Err(errors::invalid_request(format!(
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                upload.algorithm.name().to_ascii_lowercase(),
                said.algorithm.name().to_ascii_lowercase()
            )));
        }
        // The client checks its transfer with one kind; the object is kept with the platform's.
        said.beside = Some(upload.algorithm);
    }
    let written = receive(&call.services, &mut payload, &said, LARGEST_PART_BYTES).await?;
    let outcome = written.outcome.clone();
    store(&call, &upload, number, written).await?;
    let mut output = s3::UploadPartOutput {
        e_tag: Some(format!("\"{}\"", outcome.etag())),
        server_side_encryption: Some(s3::ServerSideEncryption::Aes256),
        ..Default::default()
    };
    show_checksum!(output, outcome.algorithm, outcome.checksum);
    Ok(Streamed::of(output))
}

pub async fn part_copy(
    call: Call,
    input: s3::UploadPartCopyRequest,
) -> Result<s3::UploadPartCopyOutput, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    let number = number_of(input.part_number)?;
    if input.sse_customer_algorithm.is_some() || input.copy_source_sse_customer_algorithm.is_some() {
        return Err(errors::not_implemented("encryption with keys of clients"));
    }
    let id = input.upload_id.clone().unwrap_or_default();
    let (from_bucket, from_key) = copy_source(input.copy_source.as_deref().unwrap_or_default())?;
    authorize_also(&call, "s3:GetObject", &object_arn(&from_bucket, &from_key))?;
    let upload = call.services.state.read(|view| {
        bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        bucket(view, &from_bucket, input.expected_source_bucket_owner.as_deref())?;
        find(view, &name, &key, &id)
    })?;
    let (source, content) = hold(&call.services, &from_bucket, &from_key)?;
    check_reading(
        &Reading {
            if_match: input.copy_source_if_match.as_deref(),
            if_none_match: input.copy_source_if_none_match.as_deref(),
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        },
        &source,
    )
    .map_err(|_| errors::precondition_failed())?;
    let range = match input.copy_source_range.as_deref() {
        None => 0..source.length,
        Some(text) => range_of(text, source.length)?,
    };
    if range.end - range.start > LARGEST_PART_BYTES {
        return Err(errors::entity_too_large());
    }
    let wanted = Wanted { sha256: false, checksum: upload.algorithm, second: None };
    let mut writer = call.services.objects.begin(wanted).await?;
    let mut stream = content.stream(range);
    while let Some(bytes) = stream.try_next().await? {
        writer.write(bytes).await?;
    }
    let written = writer.finish().await?;
    let outcome = written.outcome.clone();
    store(&call, &upload, number, written).await?;
    let mut result = s3::CopyPartResult {
        e_tag: Some(format!("\"{}\"", outcome.etag())),
        last_modified: Some(ShapeTime::from_millis(call.now().as_millis())),
        ..Default::default()
    };
    show_checksum!(result, outcome.algorithm, outcome.checksum);
    Ok(s3::UploadPartCopyOutput {
        copy_part_result: Some(result),
        server_side_encryption: Some(s3::ServerSideEncryption::Aes256),
        ..Default::default()
    })
}

/// `bytes=FIRST-LAST`, both inclusive and within the source.
fn range_of(text: &str, length: u64) -> Result<Range<u64>, ApiError> {
    let bounds = text.trim().strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let parsed =
        bounds.and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    let (first, last) = parsed.filter(|(first, last)| first <= last).ok_or_else(|| {
        errors::invalid_argument("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
    })?;
    if last >= length {
        return Err(errors::invalid_argument(format!(
            "Range specified is not valid for source object of size: {length}"
        )));
    }
    Ok(first..last + 1)
}

/// Makes it the part of this number, unless the upload has ended meanwhile.
async fn store(call: &Call, upload: &Upload, number: u32, written: Written) -> Result<(), ApiError> {
    let outcome = &written.outcome;
    let part = Part {
        number,
        piece: written.piece(),
        etag: outcome.etag(),
        checksum: outcome.second.clone().unwrap_or_else(|| outcome.checksum.clone()),
        given: outcome.second.is_some().then(|| (outcome.algorithm, outcome.checksum.clone())),
        modified_at: call.now(),
    };
    let scope = global();
    let outcome = call
        .services
        .state
        .transact(|tx| {
            let at = upload_id(&upload.bucket, &upload.id);
            let found = tx.get::<Upload>(&scope, &at).ok_or_else(errors::no_such_upload)?;
            let before = tx.get::<Part>(&scope, &part_id(&upload.id, number));
            if before.is_some() {
                tx.put(&scope, &at, Upload { replaced: found.replaced + 1, ..found.as_ref().clone() });
            }
            tx.put(&scope, &part_id(&upload.id, number), part.clone());
            Ok::<_, ApiError>(before)
        })
        .await;
    match outcome {
        Ok(before) => {
            written.keep();
            if let Some(before) = before {
                call.services.objects.remove(std::slice::from_ref(&before.piece)).await;
            }
            Ok(())
        }
        Err(error) => {
            // A store that failed may have committed all the same: the sweep finds out.
            if error.status >= 500 {
                written.keep();
            }
            Err(error)
        }
    }
}
