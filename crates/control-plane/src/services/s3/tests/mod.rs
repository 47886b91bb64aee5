//! The handlers, as clients meet them.

mod access;
mod lists;
mod objects;
mod uploads;

use aws_shapes_s3 as s3;
use bytes::Bytes;
use futures_util::TryStreamExt;

use super::{buckets, objects as handlers, payload::Payload};
use crate::{
    gateway::{ApiError, Call},
    services::testing::{Fixture, text},
};

/// Services with a bucket.
async fn with_bucket(name: &str) -> Fixture {
    let fixture = Fixture::new().await;
    create(fixture.call(), name).await.unwrap();
    fixture
}

async fn create(call: Call, name: &str) -> Result<s3::CreateBucketOutput, ApiError> {
    buckets::create(call, s3::CreateBucketRequest { bucket: text(name), ..Default::default() }).await
}

fn to_put(bucket: &str, key: &str) -> s3::PutObjectRequest {
    s3::PutObjectRequest { bucket: text(bucket), key: text(key), ..Default::default() }
}

async fn put(
    fixture: &Fixture,
    input: s3::PutObjectRequest,
    content: &[u8],
) -> Result<s3::PutObjectOutput, ApiError> {
    let payload = Payload::of(Bytes::copy_from_slice(content));
    handlers::put(fixture.call(), input, payload).await.map(|streamed| streamed.output)
}

fn to_get(bucket: &str, key: &str) -> s3::GetObjectRequest {
    s3::GetObjectRequest { bucket: text(bucket), key: text(key), ..Default::default() }
}

async fn get(
    fixture: &Fixture,
    input: s3::GetObjectRequest,
) -> Result<(s3::GetObjectOutput, Vec<u8>, Option<u16>), ApiError> {
    let answer = handlers::get(fixture.call(), input, Payload::none()).await?;
    let parts: Vec<Bytes> = answer.content.unwrap().try_collect().await.unwrap();
    Ok((answer.output, parts.concat(), answer.status))
}

async fn delete(fixture: &Fixture, bucket: &str, key: &str) -> Result<s3::DeleteObjectOutput, ApiError> {
    let input = s3::DeleteObjectRequest { bucket: text(bucket), key: text(key), ..Default::default() };
    handlers::delete(fixture.call(), input).await
}

/// Files of objects on the disk, when those that are going have gone.
async fn files(fixture: &Fixture) -> usize {
    fixture.services.objects.settled().await;
    fixture.services.objects.number_of_files()
}
