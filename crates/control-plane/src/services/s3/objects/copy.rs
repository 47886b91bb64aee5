//! Copying an object: its bytes through the disk, or, onto itself, its description alone.

use aws_schema::Timestamp as ShapeTime;
use aws_shapes_s3 as s3;
use futures_util::TryStreamExt;

use super::{
    NewObject, Reading, check_reading, commit, described, hold,
    put::{LARGEST_BODY_BYTES, pieces_of, tags_of_header},
};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::records::global,
        s3::{
            authorize_also, bucket,
            checks::{Unless, refuse_what_is_not_here, show_checksum},
            digests::{Algorithm, Checksum, Extent, Wanted},
            errors,
            names::{check_key, copy_source, object_arn},
            records::{Bucket, Description, Object, object_id},
            required,
        },
        tagging::Tags,
    },
};

pub async fn copy(call: Call, input: s3::CopyObjectRequest) -> Result<s3::CopyObjectOutput, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    check_key(&key)?;
    refuse_what_is_not_here!(input)?;
    if input.copy_source_sse_customer_algorithm.is_some() {
        return Err(errors::not_implemented("encryption with keys of clients"));
    }
    let (from_bucket, from_key) = copy_source(input.copy_source.as_deref().unwrap_or_default())?;
    authorize_also(&call, "s3:GetObject", &object_arn(&from_bucket, &from_key))?;
    let services = &call.services;
    services.state.read(|view| {
        bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        bucket(view, &from_bucket, input.expected_source_bucket_owner.as_deref()).map(drop)
    })?;
    let (source, content) = hold(services, &from_bucket, &from_key)?;
    check_reading(
        &Reading {
            if_match: input.copy_source_if_match.as_deref(),
            if_none_match: input.copy_source_if_none_match.as_deref(),
            if_modified_since: input.copy_source_if_modified_since,
            if_unmodified_since: input.copy_source_if_unmodified_since,
        },
        &source,
    )
    // A copy that is not made is no page that is not modified.
    .map_err(|_| errors::precondition_failed())?;
    if source.length > LARGEST_BODY_BYTES {
        return Err(errors::invalid_request(format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {LARGEST_BODY_BYTES}"
        )));
    }
    let replaces = input.metadata_directive.as_ref().is_some_and(|directive| directive.as_str() == "REPLACE");
    let replaces_tags =
        input.tagging_directive.as_ref().is_some_and(|directive| directive.as_str() == "REPLACE");
    let onto_itself = from_bucket == name && from_key == key;
    if onto_itself && !replaces && !replaces_tags {
        return Err(errors::invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
        ));
    }
    let description = if replaces { Some(described!(input)?) } else { None };
    let tags = if replaces_tags {
        Some(tags_of_header(&call, &name, &key, input.tagging.as_deref())?)
    } else {
        None
    };
    let algorithm = input.checksum_algorithm.as_ref().map(|algorithm| {
        Algorithm::of_name(algorithm.as_str())
            .ok_or_else(|| errors::not_implemented(&format!("the checksum {}", algorithm.as_str())))
    });
    let algorithm = algorithm.transpose()?.unwrap_or(source.checksum.algorithm);
    let unless = Unless { if_match: input.if_match.clone(), if_none_match: input.if_none_match.clone() };

    // The very bytes stay, unless another checksum of them is asked for.
    if onto_itself && algorithm == source.checksum.algorithm {
        drop(content);
        let object = describe_anew(&call, &name, &key, &source.etag, description, tags, &unless).await?;
        return Ok(answer(&object));
    }
    let mut writer =
        services.objects.begin(Wanted { sha256: false, checksum: algorithm, second: None }).await?;
    let mut stream = content.stream(0..source.length);
    while let Some(bytes) = stream.try_next().await? {
        writer.write(bytes).await?;
    }
    let written = writer.finish().await?;
    let object = Object {
        length: written.length(),
        pieces: pieces_of(&written),
        in_parts: false,
        etag: written.outcome.etag(),
        checksum: Checksum { algorithm, extent: Extent::Full, value: written.outcome.checksum.clone() },
        modified_at: call.now(),
        description: description.unwrap_or_else(|| source.description.clone()),
        tags: tags.unwrap_or_else(|| source.tags.clone()),
    };
    commit(services, &name, &key, NewObject { object: object.clone(), unless }, Some(written)).await?;
    Ok(answer(&object))
}

/// The same object with another description, unless it has become another object meanwhile.
async fn describe_anew(
    call: &Call,
    name: &str,
    key: &str,
    etag: &str,
    description: Option<Description>,
    tags: Option<Tags>,
    unless: &Unless,
) -> Result<Object, ApiError> {
    let (scope, id) = (global(), object_id(name, key));
    let now = call.now();
    call.services
        .state
        .transact(|tx| {
            tx.get::<Bucket>(&scope, name).ok_or_else(errors::no_such_bucket)?;
            let before = tx.get::<Object>(&scope, &id).filter(|object| object.etag == etag);
            let before = before.ok_or_else(errors::precondition_failed)?;
            unless.check(Some(&before))?;
            let mut object = before.as_ref().clone();
            object.modified_at = now;
            if let Some(description) = &description {
                object.description = description.clone();
            }
            if let Some(tags) = &tags {
                object.tags = tags.clone();
            }
            tx.put(&scope, &id, object.clone());
            Ok(object)
        })
        .await
}

fn answer(object: &Object) -> s3::CopyObjectOutput {
    let mut result = s3::CopyObjectResult {
        e_tag: Some(format!("\"{}\"", object.etag)),
        last_modified: Some(ShapeTime::from_millis(object.modified_at.as_millis())),
        checksum_type: Some(super::get::extent(object.checksum.extent)),
        ..Default::default()
    };
    show_checksum!(result, object.checksum.algorithm, object.checksum.value);
    s3::CopyObjectOutput {
        copy_object_result: Some(result),
        server_side_encryption: Some(s3::ServerSideEncryption::Aes256),
        ..Default::default()
    }
}
