//! Tags of buckets and of objects.

use aws_schema::Unit;
use aws_shapes_s3 as s3;

use super::{
    bucket, errors, find_object,
    objects::refuse_versions,
    owned_as_expected,
    records::{Bucket, Object, object_id},
    required,
};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::records::global,
        tagging::{self, InvalidTags, Tags},
    },
};

const MOST_OF_AN_OBJECT: usize = 10;

fn invalid(error: InvalidTags) -> ApiError {
    match error {
        InvalidTags::KeyLength => errors::invalid_tag("The TagKey you have provided is invalid"),
        InvalidTags::ValueLength => errors::invalid_tag("The TagValue you have provided is invalid"),
        InvalidTags::Characters => errors::invalid_tag("The TagKey you have provided is invalid"),
        InvalidTags::Duplicate(_) => errors::invalid_tag("Cannot provide multiple Tags with the same key"),
        InvalidTags::Reserved => errors::invalid_tag("System tags cannot be added/updated by requester"),
        InvalidTags::TooMany => {
            ApiError::undeclared("BadRequest", 400, "Bucket tag count cannot be greater than 50")
        }
    }
}

/// # Errors
/// `InvalidTag`, `BadRequest`.
pub fn of_a_bucket(
    pairs: impl IntoIterator<Item = (Option<String>, Option<String>)>,
) -> Result<Tags, ApiError> {
    tagging::checked(pairs).map_err(invalid)
}

/// # Errors
/// `InvalidTag`, `BadRequest`.
pub fn of_an_object(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Tags, ApiError> {
    let tags = tagging::checked(pairs).map_err(invalid)?;
    if tags.len() > MOST_OF_AN_OBJECT {
        return Err(ApiError::undeclared("BadRequest", 400, "Object tags cannot be greater than 10"));
    }
    Ok(tags)
}

fn shown(tags: &Tags) -> Vec<s3::Tag> {
    tags.iter().map(|(key, value)| s3::Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect()
}

pub async fn put_of_bucket(call: Call, input: s3::PutBucketTaggingRequest) -> Result<Unit, ApiError> {
    let given = input.tagging.and_then(|tagging| tagging.tag_set).ok_or_else(errors::malformed_xml)?;
    let tags = of_a_bucket(given.into_iter().map(|tag| (tag.key, tag.value)))?;
    set_of_bucket(&call, required(input.bucket)?, input.expected_bucket_owner, tags).await
}

pub async fn delete_of_bucket(call: Call, input: s3::DeleteBucketTaggingRequest) -> Result<Unit, ApiError> {
    set_of_bucket(&call, required(input.bucket)?, input.expected_bucket_owner, Tags::new()).await
}

async fn set_of_bucket(
    call: &Call,
    name: String,
    expected_owner: Option<String>,
    tags: Tags,
) -> Result<Unit, ApiError> {
    call.services
        .state
        .transact(|tx| {
            let found = tx.get::<Bucket>(&global(), &name).ok_or_else(errors::no_such_bucket)?;
            owned_as_expected(&found, expected_owner.as_deref())?;
            tx.put(&global(), &name, Bucket { tags: tags.clone(), ..found.as_ref().clone() });
            Ok::<_, ApiError>(Unit)
        })
        .await
}

pub async fn of_bucket(
    call: Call,
    input: s3::GetBucketTaggingRequest,
) -> Result<s3::GetBucketTaggingOutput, ApiError> {
    let name = required(input.bucket)?;
    let found =
        call.services.state.read(|view| bucket(view, &name, input.expected_bucket_owner.as_deref()))?;
    if found.tags.is_empty() {
        return Err(errors::no_such_tag_set());
    }
    Ok(s3::GetBucketTaggingOutput { tag_set: Some(shown(&found.tags)) })
}

pub async fn put_of_object(
    call: Call,
    input: s3::PutObjectTaggingRequest,
) -> Result<s3::PutObjectTaggingOutput, ApiError> {
    refuse_versions(input.version_id.as_deref())?;
    let given = input.tagging.and_then(|tagging| tagging.tag_set).ok_or_else(errors::malformed_xml)?;
    let pairs = given.into_iter().map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()));
    let tags = of_an_object(pairs)?;
    set_of_object(&call, required(input.bucket)?, required(input.key)?, input.expected_bucket_owner, tags)
        .await?;
    Ok(Default::default())
}

pub async fn delete_of_object(
    call: Call,
    input: s3::DeleteObjectTaggingRequest,
) -> Result<s3::DeleteObjectTaggingOutput, ApiError> {
    refuse_versions(input.version_id.as_deref())?;
    let (name, key) = (required(input.bucket)?, required(input.key)?);
    set_of_object(&call, name, key, input.expected_bucket_owner, Tags::new()).await?;
    Ok(Default::default())
}

async fn set_of_object(
    call: &Call,
    name: String,
    key: String,
    expected_owner: Option<String>,
    tags: Tags,
) -> Result<(), ApiError> {
    let (scope, id) = (global(), object_id(&name, &key));
    call.services
        .state
        .transact(|tx| {
            let found = tx.get::<Bucket>(&scope, &name).ok_or_else(errors::no_such_bucket)?;
            owned_as_expected(&found, expected_owner.as_deref())?;
            let object = tx.get::<Object>(&scope, &id).ok_or_else(errors::no_such_key)?;
            tx.put(&scope, &id, Object { tags: tags.clone(), ..object.as_ref().clone() });
            Ok::<_, ApiError>(())
        })
        .await
}

pub async fn of_object(
    call: Call,
    input: s3::GetObjectTaggingRequest,
) -> Result<s3::GetObjectTaggingOutput, ApiError> {
    refuse_versions(input.version_id.as_deref())?;
    let (name, key) = (required(input.bucket)?, required(input.key)?);
    let object = call.services.state.read(|view| {
        bucket(view, &name, input.expected_bucket_owner.as_deref())?;
        find_object(view, &name, &key)
    })?;
    Ok(s3::GetObjectTaggingOutput { tag_set: Some(shown(&object.tags)), ..Default::default() })
}
