//! Deleting objects, one or many: what is not there is deleted already.

use aws_shapes_s3 as s3;

use super::get::refuse_versions;
use crate::{
    gateway::{ApiError, Call},
    services::{
        Services,
        ec2::records::global,
        s3::{
            authorize_also, bucket,
            checks::names_etag,
            errors, names,
            records::{Bucket, Object, object_id},
            required,
        },
    },
};

/// Keys in one request.
const MOST_KEYS: usize = 1000;

pub async fn delete(call: Call, input: s3::DeleteObjectRequest) -> Result<s3::DeleteObjectOutput, ApiError> {
    let (name, key) = (required(input.bucket.clone())?, required(input.key.clone())?);
    refuse_versions(input.version_id.as_deref())?;
    if input.if_match_last_modified_time.is_some() || input.if_match_size.is_some() {
        return Err(errors::not_implemented("conditions of directory buckets"));
    }
    call.services.state.read(|view| bucket(view, &name, input.expected_bucket_owner.as_deref()).map(drop))?;
    remove(&call.services, &name, &key, input.if_match.as_deref()).await?;
    Ok(Default::default())
}

/// Takes an object away, record first.
async fn remove(services: &Services, name: &str, key: &str, if_match: Option<&str>) -> Result<(), ApiError> {
    let (scope, id) = (global(), object_id(name, key));
    let gone = services
        .state
        .transact(|tx| {
            tx.get::<Bucket>(&scope, name).ok_or_else(errors::no_such_bucket)?;
            let object = tx.get::<Object>(&scope, &id);
            match (if_match, &object) {
                (Some(_), None) => return Err(errors::no_such_key()),
                (Some(condition), Some(object)) if !names_etag(condition, &object.etag) => {
                    return Err(errors::precondition_failed());
                }
                _ => {}
            }
            if object.is_some() {
                tx.delete::<Object>(&scope, &id);
            }
            Ok::<_, ApiError>(object)
        })
        .await?;
    if let Some(object) = gone {
        services.objects.remove(&object.pieces).await;
    }
    Ok(())
}

/// Each key by itself: one that may not be deleted keeps no other from it.
pub async fn delete_many(
    call: Call,
    input: s3::DeleteObjectsRequest,
) -> Result<s3::DeleteObjectsOutput, ApiError> {
    let name = required(input.bucket.clone())?;
    let asked = input.delete.ok_or_else(errors::malformed_xml)?;
    let keys = asked.objects.unwrap_or_default();
    if keys.is_empty() || keys.len() > MOST_KEYS {
        return Err(errors::malformed_xml());
    }
    call.services.state.read(|view| bucket(view, &name, input.expected_bucket_owner.as_deref()).map(drop))?;
    let (mut deleted, mut failed) = (Vec::new(), Vec::new());
    for one in keys {
        let key = one.key.clone().unwrap_or_default();
        match delete_one(&call, &name, &key, &one).await {
            Ok(()) => deleted.push(s3::DeletedObject {
                key: Some(key),
                version_id: one.version_id,
                ..Default::default()
            }),
            Err(error) => {
                if let Some(cause) = &error.cause {
                    tracing::error!(bucket = name, %cause, "an object could not be deleted");
                }
                failed.push(s3::Error {
                    key: Some(key),
                    version_id: one.version_id,
                    code: Some(error.code.into_owned()),
                    message: Some(error.message),
                });
            }
        }
    }
    Ok(s3::DeleteObjectsOutput {
        deleted: (asked.quiet != Some(true) && !deleted.is_empty()).then_some(deleted),
        errors: (!failed.is_empty()).then_some(failed),
        ..Default::default()
    })
}

async fn delete_one(call: &Call, name: &str, key: &str, one: &s3::ObjectIdentifier) -> Result<(), ApiError> {
    if key.is_empty() {
        return Err(errors::invalid_argument("A key must not be empty."));
    }
    authorize_also(call, "s3:DeleteObject", &names::object_arn(name, key))?;
    refuse_versions(one.version_id.as_deref())?;
    if one.last_modified_time.is_some() || one.size.is_some() {
        return Err(errors::not_implemented("conditions of directory buckets"));
    }
    remove(&call.services, name, key, one.e_tag.as_deref()).await
}
