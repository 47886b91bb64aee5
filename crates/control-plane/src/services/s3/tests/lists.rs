use aws_shapes_s3 as s3;

use super::{put, to_put, with_bucket};
use crate::services::{
    s3::lists,
    testing::{Fixture, refused, text},
};

async fn filled() -> Fixture {
    let fixture = with_bucket("bucket").await;
    super::create(fixture.call(), "bucket-2").await.unwrap();
    for key in ["a", "b/1", "b/2", "c d", "é"] {
        put(&fixture, to_put("bucket", key), b"x").await.unwrap();
    }
    put(&fixture, to_put("bucket-2", "other"), b"x").await.unwrap();
    fixture
}

fn base() -> s3::ListObjectsV2Request {
    s3::ListObjectsV2Request { bucket: text("bucket"), ..Default::default() }
}

fn keys(output: &s3::ListObjectsV2Output) -> Vec<String> {
    output.contents.iter().flatten().filter_map(|object| object.key.clone()).collect()
}

#[tokio::test]
async fn a_bucket_shows_its_own_keys_in_order() {
    let fixture = filled().await;
    let all = lists::second_version(fixture.call(), base()).await.unwrap();
    assert_eq!(keys(&all), ["a", "b/1", "b/2", "c d", "é"]);
    assert_eq!((all.key_count, all.is_truncated), (Some(5), Some(false)));
    let encoding_type = Some(s3::EncodingType::Url);
    let encoded = s3::ListObjectsV2Request { encoding_type, start_after: text("b/2"), ..base() };
    let encoded = lists::second_version(fixture.call(), encoded).await.unwrap();
    assert_eq!(keys(&encoded), ["c+d", "%C3%A9"]);
}

#[tokio::test]
async fn pages_follow_each_other() {
    let fixture = filled().await;
    let (mut seen, mut token) = (Vec::new(), None);
    for _ in 0..5 {
        let input = s3::ListObjectsV2Request {
            max_keys: Some(2),
            delimiter: text("/"),
            continuation_token: token.clone(),
            ..base()
        };
        let page = lists::second_version(fixture.call(), input).await.unwrap();
        seen.extend(keys(&page));
        seen.extend(page.common_prefixes.into_iter().flatten().filter_map(|one| one.prefix));
        token = page.next_continuation_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b/", "c d", "é"]);
    let forged = s3::ListObjectsV2Request { continuation_token: text("forged"), ..base() };
    refused(lists::second_version(fixture.call(), forged).await, "InvalidArgument", "continuation token");
}

#[tokio::test]
async fn the_first_version_has_markers() {
    let fixture = filled().await;
    let ask = |marker: Option<String>| {
        let input = s3::ListObjectsRequest {
            bucket: text("bucket"),
            marker,
            delimiter: text("/"),
            max_keys: Some(2),
            ..Default::default()
        };
        lists::first_version(fixture.call(), input)
    };
    let first = ask(None).await.unwrap();
    assert_eq!((first.is_truncated, first.next_marker.as_deref()), (Some(true), Some("b/")));
    let second = ask(first.next_marker).await.unwrap();
    let keys: Vec<_> = second.contents.into_iter().flatten().filter_map(|object| object.key).collect();
    assert_eq!((keys, second.is_truncated), (vec!["c d".to_owned(), "é".to_owned()], Some(false)));
}

#[tokio::test]
async fn each_object_is_its_one_version() {
    let fixture = filled().await;
    let input =
        s3::ListObjectVersionsRequest { bucket: text("bucket"), max_keys: Some(1), ..Default::default() };
    let page = lists::versions(fixture.call(), input).await.unwrap();
    let version = &page.versions.unwrap()[0];
    assert_eq!((version.version_id.as_deref(), version.is_latest), (Some("null"), Some(true)));
    assert_eq!(page.next_key_marker.as_deref(), Some("a"));
}
