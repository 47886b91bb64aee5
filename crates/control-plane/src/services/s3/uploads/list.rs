//! What has been uploaded of an object, and which uploads of a bucket have not ended.

use std::sync::Arc;

use aws_schema::Timestamp as ShapeTime;
use aws_shapes_s3 as s3;

use super::{find, parts_of};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::records::global,
        s3::{
            bucket,
            buckets::owner_of,
            checks::show_checksum,
            errors,
            listing::{self, Asked},
            names::encoded,
            objects::extent,
            records::{Part, Upload},
            required,
        },
    },
};

const MOST: usize = 1000;

fn most(asked: Option<i32>, argument: &str) -> Result<usize, ApiError> {
    match asked {
        None => Ok(MOST),
        Some(number) => usize::try_from(number).map(|number| number.min(MOST)).map_err(|_| {
            errors::invalid_argument(format!(
                "Argument {argument} must be an integer between 0 and 2147483647"
            ))
        }),
    }
}

fn initiator(upload: &Upload) -> s3::Initiator {
    s3::Initiator { id: Some(upload.initiator.clone()), ..Default::default() }
}

pub async fn list_parts(call: Call, input: s3::ListPartsRequest) -> Result<s3::ListPartsOutput, ApiError> {
    let (name, key) = (required(input.bucket)?, required(input.key)?);
    let most = most(input.max_parts, "max-parts")?;
    let id = input.upload_id.unwrap_or_default();
    let (found, upload, parts) = call.services.state.read(|view| {
        let found = bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        let upload = find(view, &name, &key, &id)?;
        let parts = parts_of(view, &upload);
        Ok::<_, ApiError>((found, upload, parts))
    })?;
    let after = match input.part_number_marker {
        None => 0,
        Some(marker) => u32::try_from(marker).map_err(|_| {
            errors::invalid_argument(
                "Argument part-number-marker must be an integer between 0 and 2147483647",
            )
        })?,
    };
    let mut rest = parts.iter().filter(|part| part.number > after);
    let page: Vec<&Arc<Part>> = rest.by_ref().take(most).collect();
    let truncated = rest.next().is_some() && most > 0;
    let show = |part: &&Arc<Part>| {
        let mut shown = s3::Part {
            part_number: i32::try_from(part.number).ok(),
            last_modified: Some(ShapeTime::from_millis(part.modified_at.as_millis())),
            e_tag: Some(format!("\"{}\"", part.etag)),
            size: i64::try_from(part.piece.1).ok(),
            ..Default::default()
        };
        show_checksum!(shown, upload.algorithm, part.checksum);
        shown
    };
    let last = page.last().map_or(0, |part| part.number);
    Ok(s3::ListPartsOutput {
        bucket: Some(name),
        key: Some(key),
        upload_id: Some(upload.id.clone()),
        part_number_marker: i32::try_from(after).ok(),
        next_part_number_marker: i32::try_from(last).ok(),
        max_parts: i32::try_from(most).ok(),
        is_truncated: Some(truncated),
        parts: (!page.is_empty()).then(|| page.iter().map(show).collect()),
        initiator: Some(initiator(&upload)),
        owner: Some(owner_of(&found.owner)),
        storage_class: Some(s3::StorageClass::Standard),
        checksum_algorithm: upload
            .chosen
            .then(|| s3::ChecksumAlgorithm::parse(upload.algorithm.name()))
            .flatten(),
        checksum_type: upload.chosen.then(|| extent(upload.extent)),
        ..Default::default()
    })
}

/// Sorted by key, and the uploads of one key by when they were begun.
pub async fn list(
    call: Call,
    input: s3::ListMultipartUploadsRequest,
) -> Result<s3::ListMultipartUploadsOutput, ApiError> {
    let name = required(input.bucket)?;
    let most = most(input.max_uploads, "max-uploads")?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let delimiter = input.delimiter.clone().filter(|delimiter| !delimiter.is_empty());
    let encode = input.encoding_type.is_some();
    let text = |text: &str| if encode { encoded(text) } else { text.to_owned() };
    let (found, mut uploads) = call.services.state.read(|view| {
        let found = bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        let of_it = view.scan_prefix::<Upload>(&global(), &format!("{name}/"));
        Ok::<_, ApiError>((found, of_it.map(|(_, upload)| upload).collect::<Vec<_>>()))
    })?;
    // Each has a place of its own in the order of keys: a blank that no key sorts between, its time, its id.
    let place = |upload: &Upload| {
        let behind = format!("{:020}{}", upload.initiated_at.as_millis(), upload.id);
        format!("{}\0{}", upload.key, veiled(&behind))
    };
    uploads.sort_by_key(|upload| place(upload));
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let upload_marker = input.upload_id_marker.clone().filter(|_| !key_marker.is_empty()).unwrap_or_default();
    let marked = uploads.iter().find(|upload| upload.key == key_marker && upload.id == upload_marker);
    let from = match (key_marker.as_str(), marked) {
        ("", _) => String::new(),
        (_, Some(upload)) => format!("{}\0", place(upload)),
        // Behind every upload of that key.
        (marker, None) => match listing::behind(marker, &prefix, delimiter.as_deref()) {
            from if from.ends_with('\0') => format!("{marker}\u{1}"),
            from => from,
        },
    };
    let asked = Asked { prefix: &prefix, delimiter: delimiter.as_deref(), from, most };
    let page = listing::page(&asked, |from| {
        let at = uploads.partition_point(|upload| place(upload).as_str() < from);
        uploads.get(at).map(|upload| (place(upload), Arc::clone(upload)))
    });
    let show = |upload: &Arc<Upload>| s3::MultipartUpload {
        upload_id: Some(upload.id.clone()),
        key: Some(text(&upload.key)),
        initiated: Some(ShapeTime::from_millis(upload.initiated_at.as_millis())),
        storage_class: Some(s3::StorageClass::Standard),
        owner: Some(owner_of(&found.owner)),
        initiator: Some(initiator(upload)),
        checksum_algorithm: upload
            .chosen
            .then(|| s3::ChecksumAlgorithm::parse(upload.algorithm.name()))
            .flatten(),
        checksum_type: upload.chosen.then(|| extent(upload.extent)),
        ..Default::default()
    };
    let next = page.next.as_ref();
    let last = page.keys.last().map(|(_, upload)| upload);
    let last_is_key = next.is_some_and(|next| last.is_some_and(|upload| place(upload) == next.last_shown));
    Ok(s3::ListMultipartUploadsOutput {
        bucket: Some(name),
        key_marker: Some(text(&key_marker)),
        upload_id_marker: Some(upload_marker),
        next_key_marker: next.map(|next| match last.filter(|_| last_is_key) {
            Some(upload) => text(&upload.key),
            None => text(&next.last_shown),
        }),
        next_upload_id_marker: last.filter(|_| last_is_key).map(|upload| upload.id.clone()),
        prefix: Some(text(&prefix)),
        delimiter: input.delimiter.as_deref().map(text),
        max_uploads: i32::try_from(most).ok(),
        is_truncated: Some(next.is_some()),
        uploads: (!page.keys.is_empty()).then(|| page.keys.iter().map(|(_, upload)| show(upload)).collect()),
        common_prefixes: (!page.common_prefixes.is_empty()).then(|| {
            page.common_prefixes
                .iter()
                .map(|prefix| s3::CommonPrefix { prefix: Some(text(prefix)) })
                .collect()
        }),
        encoding_type: input.encoding_type,
        ..Default::default()
    })
}

/// The same text in letters that no delimiter is made of, in the same order.
fn veiled(text: &str) -> String {
    text.chars().filter_map(|letter| char::from_u32(0xF_0000 + u32::from(letter))).collect()
}
