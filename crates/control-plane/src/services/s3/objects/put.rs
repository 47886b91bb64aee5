//! Putting an object: the body to the disk, then one transaction that makes it the object.

use std::collections::BTreeMap;

use aws_shapes_s3 as s3;
use bytes::Bytes;
use vocabulary::Timestamp;

use crate::{
    gateway::{ApiError, Call, Streamed},
    services::{
        Services,
        ec2::records::global,
        s3::{
            authorize_also, bucket,
            checks::{Said, Unless, checksums, refuse_what_is_not_here, show_checksum},
            content::{Piece, Written},
            digests::{Algorithm, Checksum, Extent},
            errors,
            names::{self, check_key, object_arn},
            payload::Payload,
            records::{Bucket, Description, Object, object_id},
            required, tags,
        },
        tagging::Tags,
    },
};

/// The longest body that is put at once: 5 GiB, as on AWS.
pub const LARGEST_BODY_BYTES: u64 = 5 << 30;
/// Of a user's metadata, keys and values together.
const MOST_METADATA_BYTES: usize = 2048;

pub async fn put(
    call: Call,
    input: s3::PutObjectRequest,
    mut payload: Payload,
) -> Result<Streamed<s3::PutObjectOutput>, ApiError> {
    let name = required(input.bucket.clone())?;
    let key = required(input.key.clone())?;
    check_key(&key)?;
    refuse_what_is_not_here!(input)?;
    if input.write_offset_bytes.is_some() {
        return Err(errors::not_implemented("appending to objects"));
    }
    let given = checksums!(input)?;
    let named = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str());
    let said = Said::of(input.content_md5.as_deref(), named, given, &payload, Algorithm::Crc64Nvme)?;
    let tags = tags_of_header(&call, &name, &key, input.tagging.as_deref())?;
    let unless = Unless { if_match: input.if_match.clone(), if_none_match: input.if_none_match.clone() };
    call.services.state.read(|view| {
        bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        // Better before the body has come than after; the transaction looks again.
        unless.check(view.get::<Object>(&global(), &object_id(&name, &key)).as_deref())
    })?;
    let description = described!(input)?;
    let written = receive(&call.services, &mut payload, &said, LARGEST_BODY_BYTES).await?;
    let outcome = written.outcome.clone();
    let (etag, size) = (outcome.etag(), written.length());
    let new = NewObject {
        object: Object {
            length: size,
            pieces: pieces_of(&written),
            in_parts: false,
            etag: etag.clone(),
            checksum: Checksum {
                algorithm: outcome.algorithm,
                extent: Extent::Full,
                value: outcome.checksum.clone(),
            },
            modified_at: call.now(),
            description,
            tags,
        },
        unless,
    };
    commit(&call.services, &name, &key, new, Some(written)).await?;
    let mut output = s3::PutObjectOutput {
        e_tag: Some(format!("\"{etag}\"")),
        server_side_encryption: Some(s3::ServerSideEncryption::Aes256),
        checksum_type: Some(s3::ChecksumType::FullObject),
        ..Default::default()
    };
    show_checksum!(output, outcome.algorithm, outcome.checksum);
    Ok(Streamed::of(output))
}

/// An object as a request describes it.
macro_rules! described {
    ($input:expr) => {{
        let input = &$input;
        $crate::services::s3::objects::put::description(
            $crate::services::s3::records::Description {
                content_type: input.content_type.clone(),
                content_encoding: input.content_encoding.clone(),
                content_language: input.content_language.clone(),
                content_disposition: input.content_disposition.clone(),
                cache_control: input.cache_control.clone(),
                expires: input.expires.clone(),
                metadata: Default::default(),
            },
            input.metadata.clone(),
        )
    }};
}
pub(in crate::services::s3) use described;

/// # Errors
/// `MetadataTooLarge`.
pub fn description(
    mut description: Description,
    metadata: Option<BTreeMap<String, String>>,
) -> Result<Description, ApiError> {
    let metadata = metadata.unwrap_or_default();
    if metadata.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > MOST_METADATA_BYTES {
        return Err(errors::metadata_too_large());
    }
    description.metadata = metadata;
    // The framing of the transfer is none of the object.
    let encodings = description.content_encoding.take();
    description.content_encoding = encodings.and_then(|encodings| {
        let own: Vec<&str> = encodings
            .split(',')
            .map(str::trim)
            .filter(|one| !one.eq_ignore_ascii_case("aws-chunked") && !one.is_empty())
            .collect();
        (!own.is_empty()).then(|| own.join(","))
    });
    Ok(description)
}

/// The tags in `x-amz-tagging`, which need a permission of their own.
pub fn tags_of_header(call: &Call, bucket: &str, key: &str, header: Option<&str>) -> Result<Tags, ApiError> {
    let Some(header) = header else { return Ok(Tags::new()) };
    let pairs = names::tag_pairs(header)
        .ok_or_else(|| errors::invalid_argument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."))?;
    let tags = tags::of_an_object(pairs)?;
    if !tags.is_empty() {
        authorize_also(call, "s3:PutObjectTagging", &object_arn(bucket, key))?;
    }
    Ok(tags)
}

/// Takes a body to the disk, and holds what was said of it against what came.
pub async fn receive(
    services: &Services,
    payload: &mut Payload,
    said: &Said,
    most: u64,
) -> Result<Written, ApiError> {
    match payload.length {
        None => return Err(errors::missing_length()),
        Some(length) if length > most => return Err(errors::entity_too_large()),
        Some(_) => {}
    }
    let mut writer = services.objects.begin(said.wanted()).await?;
    while let Some(bytes) = payload.next().await? {
        writer.write(bytes).await?;
    }
    let written = writer.finish().await?;
    said.check(&written.outcome, payload)?;
    Ok(written)
}

/// Nothing needs no file.
pub fn pieces_of(written: &Written) -> Vec<Piece> {
    (written.length() > 0).then(|| written.piece()).into_iter().collect()
}

/// What is to become the object under a key.
pub struct NewObject {
    pub object: Object,
    pub unless: Unless,
}

/// Makes it the object, and removes the bytes of the one before.
pub async fn commit(
    services: &Services,
    bucket: &str,
    key: &str,
    new: NewObject,
    written: Option<Written>,
) -> Result<(), ApiError> {
    let (scope, id) = (global(), object_id(bucket, key));
    let object = std::sync::Arc::new(new.object);
    let outcome = services
        .state
        .transact(|tx| {
            tx.get::<Bucket>(&scope, bucket).ok_or_else(errors::no_such_bucket)?;
            let before = tx.get::<Object>(&scope, &id);
            new.unless.check(before.as_deref())?;
            tx.put::<Object>(&scope, &id, object.clone());
            Ok::<_, ApiError>(before)
        })
        .await;
    settle(services, outcome, written).await
}

/// Ends what a transaction has decided: keeps the file that the new record names, removes those that the old one named.
pub async fn settle(
    services: &Services,
    outcome: Result<Option<std::sync::Arc<Object>>, ApiError>,
    written: Option<Written>,
) -> Result<(), ApiError> {
    match outcome {
        Ok(before) => {
            if let Some(written) = written.filter(|written| written.length() > 0) {
                written.keep();
            }
            if let Some(before) = before {
                services.objects.remove(&before.pieces).await;
            }
            Ok(())
        }
        Err(error) => {
            // A store that failed may have committed all the same: the sweep finds out.
            if let Some(written) = written.filter(|_| error.status >= 500) {
                written.keep();
            }
            Err(error)
        }
    }
}

/// Puts what the platform itself has to say.
pub async fn write(
    services: &Services,
    bucket_name: &str,
    key: &str,
    content_type: &str,
    content: Bytes,
    now: Timestamp,
) -> Result<String, ApiError> {
    check_key(key)?;
    services.state.read(|view| bucket(view, bucket_name, None).map(drop))?;
    let mut payload = Payload::of(content);
    let said = Said::of(None, None, [], &payload, Algorithm::Crc64Nvme)?;
    let written = receive(services, &mut payload, &said, LARGEST_BODY_BYTES).await?;
    let etag = written.outcome.etag();
    let object = Object {
        length: written.length(),
        pieces: pieces_of(&written),
        in_parts: false,
        etag: etag.clone(),
        checksum: Checksum {
            algorithm: written.outcome.algorithm,
            extent: Extent::Full,
            value: written.outcome.checksum.clone(),
        },
        modified_at: now,
        description: Description { content_type: Some(content_type.to_owned()), ..Description::default() },
        tags: Tags::new(),
    };
    commit(services, bucket_name, key, NewObject { object, unless: Unless::default() }, Some(written))
        .await?;
    Ok(etag)
}
