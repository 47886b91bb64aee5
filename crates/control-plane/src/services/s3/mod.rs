//! Objects: buckets, what is in them, and who may. The part of S3 that container workloads use: objects with metadata, tags and checksums, lists,
//! uploads in parts, bucket policies, presigned URLs.
//!
//! Records of buckets and objects lie in the state store (`records.rs`), bytes in encrypted files beside it (`content/`). What a request
//! is and how its body comes in is the gateway's (`gateway/objects.rs`); it hands a [`payload::Payload`] on, which the handlers here stream to the
//! disk. Nothing is answered before bytes and record are durable.
//!
//! There are no versions, locks, life cycles, replication, access lists or storage classes: operations about them answer 501, or what is true of every
//! bucket here (its versioning is off, its owner owns all). A bucket answers under every region's signature.

mod access;
pub mod asked;
mod buckets;
pub mod checks;
pub mod content;
mod crc;
pub mod digests;
pub mod errors;
mod facts;
mod listing;
mod lists;
pub mod names;
mod objects;
pub mod payload;
mod policies;
pub mod records;
mod tags;
pub mod upkeep;
mod uploads;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_shapes_s3 as s3;
use bytes::Bytes;
use state_store::{Tables, View};
use vocabulary::Scope;

use super::{Services, ec2::records::global};
use crate::{
    authorization::{self, Holder, Wish},
    gateway::{ApiError, Call, Operations},
};
pub use access::restrict;
#[cfg(test)]
pub use buckets::create as create_bucket;
pub use facts::facts;
pub use objects::Draft;
#[cfg(test)]
pub use policies::put as put_policy;
use records::{Bucket, Object, Part, Upload, object_id};

/// The largest object that is read into memory for the platform itself.
const LARGEST_READ_BYTES: u64 = 16 << 20;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(s3::SERVICE)
        .on::<s3::CreateBucket, _, _>(buckets::create)
        .on::<s3::HeadBucket, _, _>(buckets::head)
        .on::<s3::ListBuckets, _, _>(buckets::list)
        .on::<s3::DeleteBucket, _, _>(buckets::delete)
        .on::<s3::GetBucketLocation, _, _>(buckets::location)
        .on::<s3::GetBucketVersioning, _, _>(buckets::versioning)
        .on::<s3::GetBucketEncryption, _, _>(buckets::encryption)
        .on::<s3::GetBucketOwnershipControls, _, _>(buckets::ownership)
        .on::<s3::GetBucketAcl, _, _>(buckets::access_list)
        .on::<s3::PutBucketTagging, _, _>(tags::put_of_bucket)
        .on::<s3::GetBucketTagging, _, _>(tags::of_bucket)
        .on::<s3::DeleteBucketTagging, _, _>(tags::delete_of_bucket)
        .on::<s3::PutBucketPolicy, _, _>(policies::put)
        .on::<s3::GetBucketPolicy, _, _>(policies::get)
        .on::<s3::DeleteBucketPolicy, _, _>(policies::delete)
        .on::<s3::GetBucketPolicyStatus, _, _>(policies::status)
        .on::<s3::PutPublicAccessBlock, _, _>(policies::put_block)
        .on::<s3::GetPublicAccessBlock, _, _>(policies::get_block)
        .on::<s3::DeletePublicAccessBlock, _, _>(policies::delete_block)
        .on_streamed::<s3::PutObject, _, _>(objects::put)
        .on_streamed::<s3::GetObject, _, _>(objects::get)
        .on::<s3::HeadObject, _, _>(objects::head)
        .on::<s3::GetObjectAttributes, _, _>(objects::attributes)
        .on::<s3::GetObjectAcl, _, _>(objects::access_list)
        .on::<s3::DeleteObject, _, _>(objects::delete)
        .on::<s3::DeleteObjects, _, _>(objects::delete_many)
        .on::<s3::CopyObject, _, _>(objects::copy)
        .on::<s3::ListObjects, _, _>(lists::first_version)
        .on::<s3::ListObjectsV2, _, _>(lists::second_version)
        .on::<s3::ListObjectVersions, _, _>(lists::versions)
        .on::<s3::PutObjectTagging, _, _>(tags::put_of_object)
        .on::<s3::GetObjectTagging, _, _>(tags::of_object)
        .on::<s3::DeleteObjectTagging, _, _>(tags::delete_of_object)
        .on::<s3::CreateMultipartUpload, _, _>(uploads::create)
        .on_streamed::<s3::UploadPart, _, _>(uploads::part)
        .on::<s3::UploadPartCopy, _, _>(uploads::part_copy)
        .on::<s3::CompleteMultipartUpload, _, _>(uploads::complete)
        .on::<s3::AbortMultipartUpload, _, _>(uploads::abort)
        .on::<s3::ListParts, _, _>(uploads::list_parts)
        .on::<s3::ListMultipartUploads, _, _>(uploads::list);
}

/// Declares the service's records.
pub fn tables(tables: Tables) -> Tables {
    tables.with::<Bucket>().with::<Object>().with::<Upload>().with::<Part>()
}

/// The bucket of this name, and of the owner that the caller expects, where it says one.
///
/// # Errors
/// `NoSuchBucket`, `AccessDenied`.
fn bucket(view: &View, name: &str, expected_owner: Option<&str>) -> Result<Arc<Bucket>, ApiError> {
    let found = view.get::<Bucket>(&global(), name).ok_or_else(errors::no_such_bucket)?;
    owned_as_expected(&found, expected_owner)?;
    Ok(found)
}

fn owned_as_expected(bucket: &Bucket, expected_owner: Option<&str>) -> Result<(), ApiError> {
    match expected_owner {
        Some(expected) if expected != bucket.owner.as_str() => Err(errors::access_denied()),
        _ => Ok(()),
    }
}

/// A member that is in the path, and so is always there.
fn required(member: Option<String>) -> Result<String, ApiError> {
    member.ok_or_else(|| errors::invalid_request("The request names no bucket or no key."))
}

/// # Errors
/// `NoSuchBucket`.
pub fn expect_bucket(services: &Services, name: &str) -> Result<(), ApiError> {
    services.state.read(|view| bucket(view, name, None).map(drop))
}

/// The content of an object for the platform itself, in the name of `holder`.
///
/// # Errors
/// Those of GetObject; `EntityTooLarge` beyond 16 MiB.
pub async fn object(
    services: &Services,
    scope: &Scope,
    holder: &Holder,
    bucket: &str,
    key: &str,
) -> Result<Bytes, ApiError> {
    let arn = names::object_arn(bucket, key);
    let context = holder.context(&scope.region, services.now());
    authorization::authorize_with_resource_policy(
        services,
        holder,
        &context,
        s3::SERVICE,
        &Wish::new("s3:GetObject", &arn),
    )?;
    objects::read(services, bucket, key, LARGEST_READ_BYTES).await
}

/// Puts an object for the platform itself, in the name of `holder`, and returns its entity tag.
///
/// # Errors
/// Those of PutObject.
pub async fn put(
    services: &Services,
    scope: &Scope,
    holder: &Holder,
    bucket: &str,
    key: &str,
    content_type: &str,
    content: Bytes,
) -> Result<String, ApiError> {
    let arn = names::object_arn(bucket, key);
    let now = services.now();
    let context = holder.context(&scope.region, now);
    authorization::authorize_with_resource_policy(
        services,
        holder,
        &context,
        s3::SERVICE,
        &Wish::new("s3:PutObject", &arn),
    )?;
    objects::write(services, bucket, key, content_type, content, now).await
}

/// Puts what the platform has to say in its own name: whoever calls this has seen to it that it may.
///
/// # Errors
/// Those of PutObject.
pub async fn write_for_the_platform(
    services: &Services,
    bucket: &str,
    key: &str,
    content_type: &str,
    content: Bytes,
    now: vocabulary::Timestamp,
) -> Result<String, ApiError> {
    objects::write(services, bucket, key, content_type, content, now).await
}

/// What is in an object, for the platform's own needs: whoever calls this has seen to it that it may.
///
/// # Errors
/// Those of GetObject; `EntityTooLarge` beyond 16 MiB.
#[cfg(test)]
pub async fn read_for_the_platform(services: &Services, bucket: &str, key: &str) -> Result<Bytes, ApiError> {
    objects::read(services, bucket, key, LARGEST_READ_BYTES).await
}

/// The caller, and whether `action` on `resource` is its to do, beyond what its operation asked for.
fn authorize_also(call: &Call, action: &str, resource: &str) -> Result<(), ApiError> {
    authorization::authorize_action(call, s3::SERVICE, action, resource)
}

fn find_object(view: &View, bucket: &str, key: &str) -> Result<Arc<Object>, ApiError> {
    view.get::<Object>(&global(), &object_id(bucket, key)).ok_or_else(errors::no_such_key)
}
