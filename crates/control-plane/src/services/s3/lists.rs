//! The lists of a bucket's objects: both versions of ListObjects, and the one of versions, of which there is one each.

use std::sync::Arc;

use aws_schema::Timestamp as ShapeTime;
use aws_shapes_s3 as s3;
use state_store::View;

use super::{
    bucket,
    buckets::owner_of,
    errors,
    listing::{self, Asked, Page},
    names::encoded,
    objects::extent,
    records::{Bucket, Object, object_id},
    required,
};
use crate::{
    gateway::{ApiError, Call},
    services::ec2::records::global,
};

/// Of one page, as on AWS.
const MOST_KEYS: usize = 1000;

/// What both have in common.
struct Common {
    name: String,
    prefix: String,
    delimiter: Option<String>,
    most: usize,
    /// Whether keys are percent-encoded in the answer.
    encode: bool,
}

impl Common {
    fn of(
        name: Option<String>,
        prefix: Option<String>,
        delimiter: Option<String>,
        most: Option<i32>,
        encode: bool,
    ) -> Result<Common, ApiError> {
        let most = match most {
            None => MOST_KEYS,
            Some(number) => usize::try_from(number)
                .map_err(|_| {
                    errors::invalid_argument("Argument maxKeys must be an integer between 0 and 2147483647")
                })?
                .min(MOST_KEYS),
        };
        let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty());
        Ok(Common { name: required(name)?, prefix: prefix.unwrap_or_default(), delimiter, most, encode })
    }

    fn page(&self, view: &View, from: String) -> Page<Arc<Object>> {
        let asked =
            Asked { prefix: &self.prefix, delimiter: self.delimiter.as_deref(), from, most: self.most };
        listing::page(&asked, |from| seek(view, &self.name, from))
    }

    fn text(&self, text: &str) -> String {
        if self.encode { encoded(text) } else { text.to_owned() }
    }

    fn optional(&self, text: Option<String>) -> Option<String> {
        text.map(|text| self.text(&text))
    }

    fn encoding(&self) -> Option<s3::EncodingType> {
        self.encode.then_some(s3::EncodingType::Url)
    }

    fn prefixes(&self, page: &Page<Arc<Object>>) -> Option<Vec<s3::CommonPrefix>> {
        let shown =
            page.common_prefixes.iter().map(|prefix| s3::CommonPrefix { prefix: Some(self.text(prefix)) });
        (!page.common_prefixes.is_empty()).then(|| shown.collect())
    }

    fn objects(&self, page: &Page<Arc<Object>>, owner: Option<&s3::Owner>) -> Option<Vec<s3::Object>> {
        let shown = page.keys.iter().map(|(key, object)| s3::Object {
            key: Some(self.text(key)),
            last_modified: Some(ShapeTime::from_millis(object.modified_at.as_millis())),
            e_tag: Some(format!("\"{}\"", object.etag)),
            checksum_algorithm: s3::ChecksumAlgorithm::parse(object.checksum.algorithm.name())
                .map(|algorithm| vec![algorithm]),
            checksum_type: Some(extent(object.checksum.extent)),
            size: i64::try_from(object.length).ok(),
            storage_class: Some(s3::ObjectStorageClass::Standard),
            owner: owner.cloned(),
            ..Default::default()
        });
        (!page.keys.is_empty()).then(|| shown.collect())
    }
}

/// The first object of a bucket at or behind a key.
fn seek(view: &View, bucket: &str, from: &str) -> Option<(String, Arc<Object>)> {
    let (scope, id) = (global(), object_id(bucket, from));
    if let Some(object) = view.get::<Object>(&scope, &id) {
        return Some((from.to_owned(), object));
    }
    let (id, object) = view.scan_from::<Object>(&scope, Some(&id), 1).next()?;
    let key = id.strip_prefix(bucket)?.strip_prefix('/')?;
    Some((key.to_owned(), object))
}

pub async fn first_version(
    call: Call,
    input: s3::ListObjectsRequest,
) -> Result<s3::ListObjectsOutput, ApiError> {
    let encode = input.encoding_type.is_some();
    let common =
        Common::of(input.bucket, input.prefix.clone(), input.delimiter.clone(), input.max_keys, encode)?;
    let marker = input.marker.unwrap_or_default();
    let from = match marker.as_str() {
        "" => String::new(),
        marker => listing::behind(marker, &common.prefix, common.delimiter.as_deref()),
    };
    let (page, found) = read(&call, &common, input.expected_bucket_owner.as_deref(), from)?;
    // Only where keys are folded: else the last key is the next marker.
    let next = page.next.as_ref().filter(|_| common.delimiter.is_some());
    Ok(s3::ListObjectsOutput {
        is_truncated: Some(page.next.is_some()),
        next_marker: next.map(|next| common.text(&next.last_shown)),
        contents: common.objects(&page, Some(&owner_of(&found.owner))),
        common_prefixes: common.prefixes(&page),
        name: Some(common.name.clone()),
        prefix: Some(common.text(&common.prefix)),
        delimiter: common.optional(input.delimiter),
        marker: Some(common.text(&marker)),
        max_keys: i32::try_from(common.most).ok(),
        encoding_type: common.encoding(),
        ..Default::default()
    })
}

pub async fn second_version(
    call: Call,
    input: s3::ListObjectsV2Request,
) -> Result<s3::ListObjectsV2Output, ApiError> {
    let encode = input.encoding_type.is_some();
    let common =
        Common::of(input.bucket, input.prefix.clone(), input.delimiter.clone(), input.max_keys, encode)?;
    let list = format!("s3 objects of {}", common.name);
    let from = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => call
            .services
            .page_tokens
            .open(&list, token)
            .map_err(|_| errors::invalid_argument("The continuation token provided is incorrect"))?,
        (None, Some(start)) if !start.is_empty() => {
            listing::behind(start, &common.prefix, common.delimiter.as_deref())
        }
        (None, _) => String::new(),
    };
    let (page, found) = read(&call, &common, input.expected_bucket_owner.as_deref(), from)?;
    let owner = (input.fetch_owner == Some(true)).then(|| owner_of(&found.owner));
    Ok(s3::ListObjectsV2Output {
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page
            .next
            .as_ref()
            .map(|next| call.services.page_tokens.seal(&list, &next.from)),
        key_count: i32::try_from(page.keys.len() + page.common_prefixes.len()).ok(),
        contents: common.objects(&page, owner.as_ref()),
        common_prefixes: common.prefixes(&page),
        name: Some(common.name.clone()),
        prefix: Some(common.text(&common.prefix)),
        delimiter: common.optional(input.delimiter),
        continuation_token: input.continuation_token,
        start_after: common.optional(input.start_after),
        max_keys: i32::try_from(common.most).ok(),
        encoding_type: common.encoding(),
        ..Default::default()
    })
}

/// Without versioning every object is its one version, called `null`.
pub async fn versions(
    call: Call,
    input: s3::ListObjectVersionsRequest,
) -> Result<s3::ListObjectVersionsOutput, ApiError> {
    let encode = input.encoding_type.is_some();
    let common =
        Common::of(input.bucket, input.prefix.clone(), input.delimiter.clone(), input.max_keys, encode)?;
    let from = match input.key_marker.as_deref() {
        None | Some("") => String::new(),
        Some(marker) => listing::behind(marker, &common.prefix, common.delimiter.as_deref()),
    };
    let (page, found) = read(&call, &common, input.expected_bucket_owner.as_deref(), from)?;
    let owner = owner_of(&found.owner);
    let shown = page.keys.iter().map(|(key, object)| s3::ObjectVersion {
        key: Some(common.text(key)),
        version_id: Some("null".to_owned()),
        is_latest: Some(true),
        last_modified: Some(ShapeTime::from_millis(object.modified_at.as_millis())),
        e_tag: Some(format!("\"{}\"", object.etag)),
        size: i64::try_from(object.length).ok(),
        storage_class: Some(s3::ObjectVersionStorageClass::Standard),
        owner: Some(owner.clone()),
        ..Default::default()
    });
    Ok(s3::ListObjectVersionsOutput {
        is_truncated: Some(page.next.is_some()),
        next_key_marker: page.next.as_ref().map(|next| common.text(&next.last_shown)),
        next_version_id_marker: page.next.as_ref().map(|_| "null".to_owned()),
        versions: Some(shown.collect()),
        common_prefixes: common.prefixes(&page),
        name: Some(common.name.clone()),
        prefix: Some(common.text(&common.prefix)),
        delimiter: common.optional(input.delimiter),
        key_marker: Some(common.text(&input.key_marker.unwrap_or_default())),
        version_id_marker: input.version_id_marker,
        max_keys: i32::try_from(common.most).ok(),
        encoding_type: common.encoding(),
        ..Default::default()
    })
}

fn read(
    call: &Call,
    common: &Common,
    expected_owner: Option<&str>,
    from: String,
) -> Result<(Page<Arc<Object>>, Arc<Bucket>), ApiError> {
    call.services.state.read(|view| {
        let found = bucket(view, &common.name, expected_owner)?;
        Ok((common.page(view, from), found))
    })
}
