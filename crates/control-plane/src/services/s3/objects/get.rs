//! Reading an object, whole or in part, and reading about it.

use std::{io, ops::Range, sync::Arc};

use aws_schema::Timestamp as ShapeTime;
use aws_shapes_s3 as s3;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::{Reading, check_reading};
use crate::{
    gateway::{ApiError, Call, Streamed},
    registry::range::{self, Wanted},
    services::{
        Services,
        s3::{
            bucket, buckets::owner_of, checks::show_checksum, content::Content, digests::Extent, errors,
            find_object, records::Object, required,
        },
    },
};

/// An object changes between the look at its record and at its bytes only when somebody writes it again and again.
const MOST_LOOKS: usize = 8;

/// The object and its bytes, held.
pub fn hold(services: &Services, bucket_name: &str, key: &str) -> Result<(Arc<Object>, Content), ApiError> {
    for _ in 0..MOST_LOOKS {
        let object = services.state.read(|view| find_object(view, bucket_name, key))?;
        if let Some(content) = services.objects.hold(&object.pieces) {
            return Ok((object, content));
        }
    }
    Err(ApiError::internal(io::Error::other(format!("the bytes of {bucket_name}/{key} are not there"))))
}

/// For the platform itself: the whole content.
pub async fn read(services: &Services, bucket_name: &str, key: &str, most: u64) -> Result<Bytes, ApiError> {
    services.state.read(|view| bucket(view, bucket_name, None).map(drop))?;
    let (object, content) = hold(services, bucket_name, key)?;
    if object.length > most {
        return Err(errors::entity_too_large());
    }
    let mut whole = Vec::with_capacity(usize::try_from(object.length).unwrap_or_default());
    let mut stream = content.stream(0..object.length);
    while let Some(bytes) = stream.try_next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.into())
}

/// Which part of an object a request is for, and what is said of it: GetObject and HeadObject have the same members in different types.
macro_rules! described {
    ($Output:ident, $input:ident, $object:ident) => {{
        check_reading(
            &Reading {
                if_match: $input.if_match.as_deref(),
                if_none_match: $input.if_none_match.as_deref(),
                if_modified_since: $input.if_modified_since,
                if_unmodified_since: $input.if_unmodified_since,
            },
            &$object,
        )?;
        let part = part_of(&$object, $input.range.as_deref(), $input.part_number)?;
        let description = $object.description.clone();
        let mut output = s3::$Output {
            accept_ranges: Some("bytes".to_owned()),
            last_modified: Some(ShapeTime::from_millis($object.modified_at.as_millis())),
            content_length: Some(length(&part.range)),
            content_range: part.header(&$object),
            e_tag: Some(format!("\"{}\"", $object.etag)),
            cache_control: $input.response_cache_control.or(description.cache_control),
            content_disposition: $input.response_content_disposition.or(description.content_disposition),
            content_encoding: $input.response_content_encoding.or(description.content_encoding),
            content_language: $input.response_content_language.or(description.content_language),
            content_type: $input.response_content_type.or(description.content_type).or_else(default_type),
            expires: $input.response_expires.map(http_date).or(description.expires),
            server_side_encryption: Some(s3::ServerSideEncryption::Aes256),
            metadata: (!description.metadata.is_empty()).then_some(description.metadata),
            tag_count: tag_count(&$object),
            parts_count: part.parts_count,
            ..Default::default()
        };
        // A checksum is of the whole; of a part it would be wrong.
        if $input.checksum_mode.is_some() && part.is_whole {
            show_checksum!(output, $object.checksum.algorithm, $object.checksum.value);
            output.checksum_type = Some(extent($object.checksum.extent));
        }
        (part, output)
    }};
}

pub async fn get(
    call: Call,
    input: s3::GetObjectRequest,
    _: crate::services::s3::payload::Payload,
) -> Result<Streamed<s3::GetObjectOutput>, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    refuse_versions(input.version_id.as_deref())?;
    refuse_own_keys(input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some())?;
    call.services.state.read(|view| bucket(view, &name, input.expected_bucket_owner.as_deref()).map(drop))?;
    let (object, content) = hold(&call.services, &name, &key)?;
    let (part, output) = described!(GetObjectOutput, input, object);
    let bytes = content.stream(part.range).map_err(io::Error::other).boxed();
    Ok(Streamed { output, status: part.is_partial.then_some(206), content: Some(bytes) })
}

pub async fn head(call: Call, input: s3::HeadObjectRequest) -> Result<s3::HeadObjectOutput, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    refuse_versions(input.version_id.as_deref())?;
    refuse_own_keys(input.sse_customer_algorithm.is_some() || input.sse_customer_key.is_some())?;
    let object = call.services.state.read(|view| {
        bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        find_object(view, &name, &key)
    })?;
    let (_, output) = described!(HeadObjectOutput, input, object);
    Ok(output)
}

pub async fn attributes(
    call: Call,
    input: s3::GetObjectAttributesRequest,
) -> Result<s3::GetObjectAttributesOutput, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    refuse_versions(input.version_id.as_deref())?;
    let object = call.services.state.read(|view| {
        bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        find_object(view, &name, &key)
    })?;
    let asked = input.object_attributes.unwrap_or_default();
    let wants = |name: &str| asked.iter().any(|one| one.as_str() == name);
    let mut checksum =
        s3::Checksum { checksum_type: Some(extent(object.checksum.extent)), ..Default::default() };
    show_checksum!(checksum, object.checksum.algorithm, object.checksum.value);
    // The checksums of single parts are not kept, and AWS shows parts only with them.
    let parts = (object.in_parts && wants("ObjectParts")).then(|| s3::GetObjectAttributesParts {
        total_parts_count: i32::try_from(object.pieces.len()).ok(),
        ..Default::default()
    });
    Ok(s3::GetObjectAttributesOutput {
        last_modified: Some(ShapeTime::from_millis(object.modified_at.as_millis())),
        e_tag: wants("ETag").then(|| object.etag.clone()),
        checksum: wants("Checksum").then_some(checksum),
        object_parts: parts,
        storage_class: wants("StorageClass").then_some(s3::StorageClass::Standard),
        object_size: wants("ObjectSize").then(|| i64::try_from(object.length).unwrap_or(i64::MAX)),
        ..Default::default()
    })
}

/// The owner has everything, and nobody has anything by a list of access.
pub async fn access_list(
    call: Call,
    input: s3::GetObjectAclRequest,
) -> Result<s3::GetObjectAclOutput, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    refuse_versions(input.version_id.as_deref())?;
    let found = call.services.state.read(|view| {
        let found = bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        find_object(view, &name, &key).map(|_| found)
    })?;
    let owner = owner_of(&found.owner);
    Ok(s3::GetObjectAclOutput {
        grants: Some(vec![crate::services::s3::buckets::full_control(&owner)]),
        owner: Some(owner),
        ..Default::default()
    })
}

/// What of an object is to be shown.
struct Shown {
    range: Range<u64>,
    /// Whether the answer is a partial one.
    is_partial: bool,
    is_whole: bool,
    parts_count: Option<i32>,
}

impl Shown {
    fn header(&self, object: &Object) -> Option<String> {
        let shown = self.is_partial && self.range.end > self.range.start;
        shown.then(|| format!("bytes {}-{}/{}", self.range.start, self.range.end - 1, object.length))
    }
}

fn part_of(object: &Object, header: Option<&str>, number: Option<i32>) -> Result<Shown, ApiError> {
    if let Some(number) = number {
        if header.is_some() {
            return Err(errors::invalid_request(
                "Cannot specify both Range header and partNumber query parameter",
            ));
        }
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let at = at.ok_or_else(|| {
            errors::invalid_argument("Part number must be an integer between 1 and 10000, inclusive")
        })?;
        if !object.in_parts {
            return match at {
                0 => {
                    Ok(Shown { range: 0..object.length, is_partial: true, is_whole: true, parts_count: None })
                }
                _ => Err(errors::invalid_part_number()),
            };
        }
        let piece = object.pieces.get(at).ok_or_else(errors::invalid_part_number)?;
        let start: u64 = object.pieces[..at].iter().map(|piece| piece.1).sum();
        let parts_count = i32::try_from(object.pieces.len()).ok();
        return Ok(Shown { range: start..start + piece.1, is_partial: true, is_whole: false, parts_count });
    }
    match range::wanted(header, object.length) {
        Wanted::Whole => {
            Ok(Shown { range: 0..object.length, is_partial: false, is_whole: true, parts_count: None })
        }
        Wanted::Part(range) => {
            let is_whole = range == (0..object.length);
            Ok(Shown { range, is_partial: true, is_whole, parts_count: None })
        }
        Wanted::Unsatisfiable => Err(errors::invalid_range()),
    }
}

/// # Errors
/// There is one version of everything, called `null`.
pub fn refuse_versions(version: Option<&str>) -> Result<(), ApiError> {
    match version {
        None | Some("null") => Ok(()),
        Some(_) => Err(errors::no_such_version()),
    }
}

fn refuse_own_keys(given: bool) -> Result<(), ApiError> {
    match given {
        true => Err(errors::invalid_request("The encryption parameters are not applicable to this object.")),
        false => Ok(()),
    }
}

fn length(range: &Range<u64>) -> i64 {
    i64::try_from(range.end - range.start).unwrap_or(i64::MAX)
}

fn tag_count(object: &Object) -> Option<i32> {
    (!object.tags.is_empty()).then(|| i32::try_from(object.tags.len()).unwrap_or(i32::MAX))
}

fn default_type() -> Option<String> {
    Some("binary/octet-stream".to_owned())
}

pub fn extent(extent: Extent) -> s3::ChecksumType {
    match extent {
        Extent::Full => s3::ChecksumType::FullObject,
        Extent::Composite => s3::ChecksumType::Composite,
    }
}

fn http_date(time: ShapeTime) -> String {
    use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
    const FORMAT: &[BorrowedFormatItem<'static>] = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let at = OffsetDateTime::from_unix_timestamp(time.as_millis().div_euclid(1000)).ok();
    at.and_then(|at| at.format(FORMAT).ok()).unwrap_or_default()
}
