use aws_shapes_s3 as s3;
use bytes::Bytes;

use super::{files, get, put, to_get, to_put, with_bucket};
use crate::{
    gateway::ApiError,
    services::{
        s3::{content::UNNAMED_KEPT, payload::Payload, upkeep, uploads},
        testing::{Fixture, refused, text},
    },
};

const PART: usize = 5 << 20;

async fn begin(fixture: &Fixture, algorithm: Option<s3::ChecksumAlgorithm>) -> String {
    let input = s3::CreateMultipartUploadRequest {
        bucket: text("bucket"),
        key: text("key"),
        checksum_algorithm: algorithm,
        ..Default::default()
    };
    uploads::create(fixture.call(), input).await.unwrap().upload_id.unwrap()
}

async fn send(
    fixture: &Fixture,
    id: &str,
    number: i32,
    content: &[u8],
) -> Result<s3::UploadPartOutput, ApiError> {
    let input = s3::UploadPartRequest {
        bucket: text("bucket"),
        key: text("key"),
        upload_id: text(id),
        part_number: Some(number),
        ..Default::default()
    };
    let payload = Payload::of(Bytes::copy_from_slice(content));
    uploads::part(fixture.call(), input, payload).await.map(|streamed| streamed.output)
}

async fn complete(
    fixture: &Fixture,
    id: &str,
    parts: Vec<s3::CompletedPart>,
) -> Result<s3::CompleteMultipartUploadOutput, ApiError> {
    let input = s3::CompleteMultipartUploadRequest {
        bucket: text("bucket"),
        key: text("key"),
        upload_id: text(id),
        multipart_upload: Some(s3::CompletedMultipartUpload { parts: Some(parts) }),
        ..Default::default()
    };
    uploads::complete(fixture.call(), input).await
}

fn named(number: i32, sent: &s3::UploadPartOutput) -> s3::CompletedPart {
    s3::CompletedPart {
        part_number: Some(number),
        e_tag: sent.e_tag.clone(),
        checksum_crc32: sent.checksum_crc32.clone(),
        ..Default::default()
    }
}

#[tokio::test]
async fn parts_become_one_object() {
    let fixture = with_bucket("bucket").await;
    let id = begin(&fixture, None).await;
    let first = vec![b'a'; PART];
    send(&fixture, &id, 1, b"sent again").await.unwrap();
    let two = send(&fixture, &id, 2, b"end").await.unwrap();
    let one = send(&fixture, &id, 1, &first).await.unwrap();
    send(&fixture, &id, 3, b"not named").await.unwrap();
    let answer = complete(&fixture, &id, vec![named(1, &one), named(2, &two)]).await.unwrap();
    assert!(answer.e_tag.unwrap().ends_with("-2\""));
    let (output, content, _) = get(&fixture, to_get("bucket", "key")).await.unwrap();
    assert_eq!(content, [first.as_slice(), b"end"].concat());
    assert_eq!(output.content_length, Some(PART as i64 + 3));
    let second = s3::GetObjectRequest { part_number: Some(2), ..to_get("bucket", "key") };
    let (output, content, status) = get(&fixture, second).await.unwrap();
    assert_eq!((content.as_slice(), status, output.parts_count), (b"end".as_slice(), Some(206), Some(2)));
    // The checksum of the whole follows from those of the parts.
    let whole =
        s3::GetObjectRequest { checksum_mode: Some(s3::ChecksumMode::Enabled), ..to_get("bucket", "key") };
    let joined = get(&fixture, whole.clone()).await.unwrap().0.checksum_crc64_nvme;
    put(&fixture, to_put("bucket", "key"), &[first.as_slice(), b"end"].concat()).await.unwrap();
    assert_eq!(get(&fixture, whole).await.unwrap().0.checksum_crc64_nvme, joined);
    assert_eq!(files(&fixture).await, 1, "parts go when they were not named, and when the object goes");
    refused(complete(&fixture, &id, vec![named(1, &one)]).await, "NoSuchUpload", "");
    refused(send(&fixture, &id, 4, b"late").await, "NoSuchUpload", "");
}

#[tokio::test]
async fn what_is_named_has_to_be_there_in_order_and_large_enough() {
    let fixture = with_bucket("bucket").await;
    let id = begin(&fixture, None).await;
    let small = send(&fixture, &id, 1, b"small").await.unwrap();
    let last = send(&fixture, &id, 2, b"last").await.unwrap();
    let wrong = s3::CompletedPart { e_tag: text("\"other\""), ..named(1, &small) };
    for (parts, code) in [
        (vec![named(1, &small), named(2, &last)], "EntityTooSmall"),
        (vec![named(2, &last), named(1, &small)], "InvalidPartOrder"),
        (vec![named(1, &small), named(3, &last)], "InvalidPart"),
        (vec![wrong], "InvalidPart"),
        (vec![], "MalformedXML"),
    ] {
        refused(complete(&fixture, &id, parts).await, code, "");
    }
    refused(send(&fixture, &id, 0, b"x").await, "InvalidArgument", "Part number");
    refused(send(&fixture, &id, 10_001, b"x").await, "InvalidArgument", "Part number");
    complete(&fixture, &id, vec![named(2, &last)]).await.unwrap();
}

#[tokio::test]
async fn composite_checksums_are_of_the_parts_checksums() {
    let fixture = with_bucket("bucket").await;
    let id = begin(&fixture, Some(s3::ChecksumAlgorithm::Crc32)).await;
    let only = send(&fixture, &id, 1, b"hello").await.unwrap();
    assert_eq!(only.checksum_crc32.as_deref(), Some("NhCmhg=="));
    let bare = s3::CompletedPart { checksum_crc32: None, ..named(1, &only) };
    refused(complete(&fixture, &id, vec![bare]).await, "InvalidRequest", "missing for part 1");
    let answer = complete(&fixture, &id, vec![named(1, &only)]).await.unwrap();
    assert_eq!(answer.checksum_type, Some(s3::ChecksumType::Composite));
    assert!(answer.checksum_crc32.unwrap().ends_with("-1"));
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let fixture = with_bucket("bucket").await;
    let id = begin(&fixture, None).await;
    for number in 1..4 {
        send(&fixture, &id, number, b"x").await.unwrap();
    }
    let listed = s3::ListPartsRequest {
        bucket: text("bucket"),
        key: text("key"),
        upload_id: text(&id),
        max_parts: Some(2),
        ..Default::default()
    };
    let page = uploads::list_parts(fixture.call(), listed).await.unwrap();
    assert_eq!((page.parts.unwrap().len(), page.next_part_number_marker), (2, Some(2)));
    let all = s3::ListMultipartUploadsRequest { bucket: text("bucket"), ..Default::default() };
    let all = uploads::list(fixture.call(), all).await.unwrap().uploads.unwrap();
    assert_eq!((all.len(), all[0].upload_id.as_deref()), (1, Some(id.as_str())));
    let input = s3::AbortMultipartUploadRequest {
        bucket: text("bucket"),
        key: text("key"),
        upload_id: text(&id),
        ..Default::default()
    };
    uploads::abort(fixture.call(), input.clone()).await.unwrap();
    assert_eq!(files(&fixture).await, 0);
    refused(uploads::abort(fixture.call(), input).await, "NoSuchUpload", "");
}

#[tokio::test]
async fn uploads_of_one_key_are_listed_page_by_page() {
    let fixture = with_bucket("bucket").await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(begin(&fixture, None).await);
        fixture.pass(1);
    }
    let (mut seen, mut key, mut id) = (Vec::new(), None, None);
    for _ in 0..5 {
        let input = s3::ListMultipartUploadsRequest {
            bucket: text("bucket"),
            max_uploads: Some(1),
            key_marker: key,
            upload_id_marker: id,
            ..Default::default()
        };
        let page = uploads::list(fixture.call(), input).await.unwrap();
        seen.extend(page.uploads.into_iter().flatten().filter_map(|upload| upload.upload_id));
        (key, id) = (page.next_key_marker, page.next_upload_id_marker);
        if page.is_truncated == Some(false) {
            break;
        }
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn the_sweep_keeps_what_is_named() {
    let fixture = with_bucket("bucket").await;
    put(&fixture, to_put("bucket", "whole"), b"x").await.unwrap();
    let id = begin(&fixture, None).await;
    let part = send(&fixture, &id, 1, b"part").await.unwrap();
    upkeep::sweep(&fixture.services, std::time::Duration::ZERO).await.unwrap();
    assert_eq!(files(&fixture).await, 2);
    complete(&fixture, &id, vec![named(1, &part)]).await.unwrap();
    upkeep::sweep(&fixture.services, UNNAMED_KEPT).await.unwrap();
    assert_eq!(get(&fixture, to_get("bucket", "key")).await.unwrap().1, b"part");
}
