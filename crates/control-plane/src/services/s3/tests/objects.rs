use std::collections::BTreeMap;

use aws_schema::Timestamp as ShapeTime;
use aws_shapes_s3 as s3;
use bytes::Bytes;

use super::{create, delete, files, get, put, to_get, to_put, with_bucket};
use crate::{
    gateway::Principal,
    services::{
        s3::{buckets, objects as handlers, payload::Payload, tags},
        testing::{NOW, refused, text},
    },
};

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    let fixture = with_bucket("bucket").await;
    let metadata = BTreeMap::from([("colour".to_owned(), "blue".to_owned())]);
    let input = s3::PutObjectRequest {
        content_type: text("text/plain"),
        content_encoding: text("aws-chunked, gzip"),
        metadata: Some(metadata.clone()),
        tagging: text("a=b"),
        ..to_put("bucket", "dir/key")
    };
    let answer = put(&fixture, input, b"hello").await.unwrap();
    assert_eq!(answer.e_tag.as_deref(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert!(answer.checksum_crc64_nvme.is_some());
    let (output, content, status) = get(&fixture, to_get("bucket", "dir/key")).await.unwrap();
    assert_eq!((content.as_slice(), status), (b"hello".as_slice(), None));
    assert_eq!(output.content_type.as_deref(), Some("text/plain"));
    assert_eq!(output.content_encoding.as_deref(), Some("gzip"));
    assert_eq!((output.metadata, output.tag_count), (Some(metadata), Some(1)));
    assert_eq!(output.last_modified, Some(ShapeTime::from_millis(NOW)));
    assert_eq!(output.content_length, Some(5));
    refused(get(&fixture, to_get("bucket", "dir")).await.map(drop), "NoSuchKey", "");
    refused(get(&fixture, to_get("other", "dir")).await.map(drop), "NoSuchBucket", "");
}

#[tokio::test]
async fn parts_of_it_come_as_they_are_asked_for() {
    let fixture = with_bucket("bucket").await;
    put(&fixture, to_put("bucket", "key"), b"0123456789").await.unwrap();
    for (range, expected, header) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=0-100", "0123456789", "bytes 0-9/10"),
    ] {
        let input = s3::GetObjectRequest { range: text(range), ..to_get("bucket", "key") };
        let (output, content, status) = get(&fixture, input).await.unwrap();
        assert_eq!((content.as_slice(), status), (expected.as_bytes(), Some(206)), "{range}");
        assert_eq!(output.content_range.as_deref(), Some(header));
    }
    let beyond = s3::GetObjectRequest { range: text("bytes=10-"), ..to_get("bucket", "key") };
    refused(get(&fixture, beyond).await.map(drop), "InvalidRange", "");
    let second = s3::GetObjectRequest { part_number: Some(2), ..to_get("bucket", "key") };
    refused(get(&fixture, second).await.map(drop), "InvalidPartNumber", "");
}

#[tokio::test]
async fn what_is_said_of_a_body_has_to_hold() {
    let fixture = with_bucket("bucket").await;
    let base = || to_put("bucket", "key");
    let crc = s3::ChecksumAlgorithm::Crc32;
    for (input, code) in [
        (s3::PutObjectRequest { content_md5: text("XUFAKrxLKna5cZ2REBfFkg=="), ..base() }, None),
        (s3::PutObjectRequest { content_md5: text("AAFAKrxLKna5cZ2REBfFkg=="), ..base() }, Some("BadDigest")),
        (s3::PutObjectRequest { content_md5: text("short"), ..base() }, Some("InvalidDigest")),
        (s3::PutObjectRequest { checksum_crc32: text("NhCmhg=="), ..base() }, None),
        (s3::PutObjectRequest { checksum_crc32: text("AhCmhg=="), ..base() }, Some("BadDigest")),
        (s3::PutObjectRequest { checksum_crc32: text("NhCm"), ..base() }, Some("InvalidRequest")),
        (s3::PutObjectRequest { checksum_sha1: text("qvTGHdzF6KLavt4PO0gs2a6pQ00="), ..base() }, None),
        (
            s3::PutObjectRequest { checksum_crc32: text("NhCmhg=="), checksum_sha1: text("x"), ..base() },
            Some("InvalidRequest"),
        ),
        (s3::PutObjectRequest { checksum_algorithm: Some(crc), ..base() }, Some("InvalidRequest")),
        (s3::PutObjectRequest { checksum_sha512: text("x"), ..base() }, Some("NotImplemented")),
    ] {
        let outcome = put(&fixture, input.clone(), b"hello").await;
        assert_eq!(outcome.map_err(|error| error.code.into_owned()).err().as_deref(), code, "{input:?}");
    }
    let mut signed = Payload::of(Bytes::from_static(b"hello"));
    signed.sha256 = Some("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".to_owned());
    handlers::put(fixture.call(), base(), signed).await.unwrap();
    let mut altered = Payload::of(Bytes::from_static(b"Hello"));
    altered.sha256 = Some("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824".to_owned());
    let outcome = handlers::put(fixture.call(), base(), altered).await;
    refused(outcome.map(|_| ()), "XAmzContentSHA256Mismatch", "");
    let mut short = Payload::of(Bytes::from_static(b"hello"));
    short.length = Some(6);
    refused(handlers::put(fixture.call(), base(), short).await.map(|_| ()), "IncompleteBody", "");
    let mut huge = Payload::of(Bytes::from_static(b"hello"));
    huge.length = Some((5 << 30) + 1);
    refused(handlers::put(fixture.call(), base(), huge).await.map(|_| ()), "EntityTooLarge", "");
    let (_, content, _) = get(&fixture, to_get("bucket", "key")).await.unwrap();
    assert_eq!(content, b"hello", "a refused body changes nothing");
    assert_eq!(files(&fixture).await, 1);
}

#[tokio::test]
async fn conditions_of_writing() {
    let fixture = with_bucket("bucket").await;
    let if_new = || s3::PutObjectRequest { if_none_match: text("*"), ..to_put("bucket", "key") };
    let etag = put(&fixture, if_new(), b"one").await.unwrap().e_tag;
    refused(put(&fixture, if_new(), b"two").await, "PreconditionFailed", "");
    let if_same = s3::PutObjectRequest { if_match: etag.clone(), ..to_put("bucket", "key") };
    put(&fixture, if_same.clone(), b"two").await.unwrap();
    refused(put(&fixture, if_same, b"three").await, "PreconditionFailed", "");
    let elsewhere = s3::PutObjectRequest { if_match: etag, ..to_put("bucket", "none") };
    refused(put(&fixture, elsewhere, b"x").await, "NoSuchKey", "");
}

#[tokio::test]
async fn what_is_replaced_or_deleted_leaves_nothing() {
    let fixture = with_bucket("bucket").await;
    for content in ["one", "two", ""] {
        put(&fixture, to_put("bucket", "key"), content.as_bytes()).await.unwrap();
        assert_eq!(files(&fixture).await, usize::from(!content.is_empty()));
    }
    put(&fixture, to_put("bucket", "key"), b"three").await.unwrap();
    let again = buckets::delete(
        fixture.call(),
        s3::DeleteBucketRequest { bucket: text("bucket"), ..Default::default() },
    );
    refused(again.await, "BucketNotEmpty", "");
    delete(&fixture, "bucket", "key").await.unwrap();
    delete(&fixture, "bucket", "key").await.unwrap();
    assert_eq!(files(&fixture).await, 0);
    let empty = s3::DeleteBucketRequest { bucket: text("bucket"), ..Default::default() };
    buckets::delete(fixture.call(), empty).await.unwrap();
    refused(delete(&fixture, "bucket", "key").await, "NoSuchBucket", "");
}

#[tokio::test]
async fn many_are_deleted_each_by_itself() {
    let fixture = with_bucket("bucket").await;
    put(&fixture, to_put("bucket", "a"), b"x").await.unwrap();
    let identifier = |key: &str| s3::ObjectIdentifier { key: text(key), ..Default::default() };
    let stale = s3::ObjectIdentifier { e_tag: text("other"), ..identifier("a") };
    let ask = |objects: Vec<s3::ObjectIdentifier>| {
        let input = s3::DeleteObjectsRequest {
            bucket: text("bucket"),
            delete: Some(s3::Delete { objects: Some(objects), quiet: None }),
            ..Default::default()
        };
        handlers::delete_many(fixture.call(), input)
    };
    let answer = ask(vec![stale, identifier("b"), identifier("a")]).await.unwrap();
    let deleted: Vec<_> = answer.deleted.unwrap().into_iter().filter_map(|one| one.key).collect();
    assert_eq!(deleted, ["b", "a"]);
    let failed = answer.errors.unwrap();
    assert_eq!((failed.len(), failed[0].code.as_deref()), (1, Some("PreconditionFailed")));
    refused(ask(Vec::new()).await, "MalformedXML", "");
    refused(ask(vec![identifier("x"); 1001]).await, "MalformedXML", "");
}

#[tokio::test]
async fn copies_have_the_bytes_and_what_is_said_of_them() {
    let fixture = with_bucket("bucket").await;
    create(fixture.call(), "second").await.unwrap();
    let input = s3::PutObjectRequest {
        content_type: text("text/x"),
        tagging: text("a=b"),
        ..to_put("bucket", "a b")
    };
    put(&fixture, input, b"content").await.unwrap();
    let copy = |source: &str, bucket: &str, key: &str| s3::CopyObjectRequest {
        copy_source: text(source),
        bucket: text(bucket),
        key: text(key),
        ..Default::default()
    };
    handlers::copy(fixture.call(), copy("bucket/a%20b", "second", "c")).await.unwrap();
    let (output, content, _) = get(&fixture, to_get("second", "c")).await.unwrap();
    assert_eq!((content.as_slice(), output.content_type.as_deref()), (b"content".as_slice(), Some("text/x")));
    assert_eq!(output.tag_count, Some(1));
    delete(&fixture, "bucket", "a b").await.unwrap();
    let (_, content, _) = get(&fixture, to_get("second", "c")).await.unwrap();
    assert_eq!(content, b"content", "it has bytes of its own");
    refused(
        handlers::copy(fixture.call(), copy("second/c", "second", "c")).await,
        "InvalidRequest",
        "to itself",
    );
    let anew = s3::CopyObjectRequest {
        metadata_directive: Some(s3::MetadataDirective::Replace),
        content_type: text("text/y"),
        ..copy("second/c", "second", "c")
    };
    handlers::copy(fixture.call(), anew).await.unwrap();
    let (output, content, _) = get(&fixture, to_get("second", "c")).await.unwrap();
    assert_eq!((content.as_slice(), output.content_type.as_deref()), (b"content".as_slice(), Some("text/y")));
    assert_eq!(files(&fixture).await, 1);
    refused(handlers::copy(fixture.call(), copy("second/x", "second", "d")).await, "NoSuchKey", "");
}

#[tokio::test]
async fn what_is_not_here_is_refused() {
    let fixture = with_bucket("bucket").await;
    let base = || to_put("bucket", "key");
    for (input, code) in [
        (
            s3::PutObjectRequest { acl: Some(s3::ObjectCannedACL::PublicRead), ..base() },
            "AccessControlListNotSupported",
        ),
        (
            s3::PutObjectRequest { server_side_encryption: Some(s3::ServerSideEncryption::AwsKms), ..base() },
            "NotImplemented",
        ),
        (
            s3::PutObjectRequest { storage_class: Some(s3::StorageClass::Glacier), ..base() },
            "InvalidStorageClass",
        ),
        (s3::PutObjectRequest { website_redirect_location: text("/x"), ..base() }, "NotImplemented"),
        (s3::PutObjectRequest { expected_bucket_owner: text("111111111111"), ..base() }, "AccessDenied"),
        (s3::PutObjectRequest { key: text(&"k".repeat(1025)), ..base() }, "KeyTooLongError"),
        (
            s3::PutObjectRequest {
                metadata: Some(BTreeMap::from([("a".to_owned(), "b".repeat(2048))])),
                ..base()
            },
            "MetadataTooLarge",
        ),
    ] {
        refused(put(&fixture, input, b"x").await, code, "");
    }
    assert_eq!(files(&fixture).await, 0);
}

#[tokio::test]
async fn buckets_are_one_accounts_and_nobody_elses() {
    let fixture = with_bucket("bucket").await;
    create(fixture.call(), "bucket").await.unwrap();
    let other = "111111111111".parse().unwrap();
    let here = fixture.call_as(Principal::root(&other, "x"));
    let context = crate::gateway::Context {
        scope: vocabulary::Scope::new(other, "us-east-1".parse().unwrap()),
        principal: here.principal.clone(),
        request_id: "r".to_owned(),
        now: here.now(),
        host: "h".to_owned(),
        origin: Default::default(),
    };
    let elsewhere = crate::gateway::Call { context: std::sync::Arc::new(context), ..here };
    refused(create(elsewhere, "bucket").await, "BucketAlreadyExists", "");
    refused(create(fixture.call(), "Bad_Name").await, "InvalidBucketName", "");
    let listed = buckets::list(fixture.call(), Default::default()).await.unwrap();
    assert_eq!(listed.buckets.unwrap().len(), 1);
}

#[tokio::test]
async fn tags_of_objects() {
    let fixture = with_bucket("bucket").await;
    put(&fixture, to_put("bucket", "key"), b"x").await.unwrap();
    let set = |number: usize| {
        let tag = |at| s3::Tag { key: Some(format!("k{at}")), value: text("v") };
        let input = s3::PutObjectTaggingRequest {
            bucket: text("bucket"),
            key: text("key"),
            tagging: Some(s3::Tagging { tag_set: Some((0..number).map(tag).collect()) }),
            ..Default::default()
        };
        tags::put_of_object(fixture.call(), input)
    };
    set(10).await.unwrap();
    refused(set(11).await, "BadRequest", "greater than 10");
    let input =
        s3::GetObjectTaggingRequest { bucket: text("bucket"), key: text("key"), ..Default::default() };
    assert_eq!(tags::of_object(fixture.call(), input).await.unwrap().tag_set.unwrap().len(), 10);
}
