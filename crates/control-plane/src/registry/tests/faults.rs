//! What goes wrong on the way: broken connections, lies about lengths, full stores, garbage.

use std::time::{Duration, SystemTime};

use blob_store::{Digest, Limits};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;

use super::{Fixture, Got, NAME, OTHER, fixture, fixture_with};
use crate::registry::Swept;

/// Sends a body that breaks off after `sent`.
async fn send_broken(f: &Fixture, method: Method, path: &str, sent: &'static [u8]) -> Got {
    let frames = [Ok(Frame::data(Bytes::from_static(sent))), Err(std::io::Error::other("connection reset"))];
    let request = f.request(method, path).body(StreamBody::new(stream::iter(frames))).expect("a request");
    f.send_body(request).await
}

fn files(f: &Fixture, folder: &str) -> usize {
    let walk = |path: &std::path::Path| std::fs::read_dir(path).expect("a folder").count();
    walk(&f.folder.path().join(folder))
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing() {
    let f = fixture().await;
    let digest = Digest::sha256(b"the whole");
    let path = format!("/v2/{NAME}/blobs/uploads/?digest={digest}");
    send_broken(&f, Method::POST, &path, b"the wh").await.refused(StatusCode::BAD_REQUEST, "SIZE_INVALID");
    assert_eq!(files(&f, "uploads"), 0);

    let started = f.send(f.request(Method::POST, &format!("/v2/{NAME}/blobs/uploads/")), "").await;
    let location = started.header("location").to_owned();
    let path = format!("{location}?digest={digest}");
    send_broken(&f, Method::PUT, &path, b"the wh").await.refused(StatusCode::BAD_REQUEST, "SIZE_INVALID");
    assert_eq!(files(&f, "uploads"), 0);
    f.get(&format!("/v2/{NAME}/blobs/{digest}")).await.expect(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_broken_chunk_can_be_continued() {
    let f = fixture().await;
    let started = f.send(f.request(Method::POST, &format!("/v2/{NAME}/blobs/uploads/")), "").await;
    let location = started.header("location").to_owned();
    send_broken(&f, Method::PATCH, &location, b"the wh").await.expect(StatusCode::BAD_REQUEST);
    let status = f.get(&location).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(status.header("range"), "0-5");
    let rest = f.request(Method::PATCH, &location).header(header::CONTENT_RANGE, "6-8");
    f.send(rest, "ole").await.expect(StatusCode::ACCEPTED);
    let path = format!("{location}?digest={}", Digest::sha256(b"the whole"));
    f.send(f.request(Method::PUT, &path), "").await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn lengths_and_ranges_have_to_agree() {
    let f = fixture().await;
    let started = f.send(f.request(Method::POST, &format!("/v2/{NAME}/blobs/uploads/")), "").await;
    let location = started.header("location").to_owned();
    for (range, status, code) in [
        ("0-9", StatusCode::BAD_REQUEST, "SIZE_INVALID"),
        ("4-0", StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
        ("nonsense", StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
        ("0-18446744073709551615", StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
    ] {
        let request = f.request(Method::PATCH, &location).header(header::CONTENT_RANGE, range);
        f.send(request, "1234").await.refused(status, code);
    }
    assert_eq!(f.get(&location).await.header("range"), "0-0");
}

#[tokio::test]
async fn too_large_a_blob() {
    let f = fixture_with(Limits { blob_bytes: 8, ..Limits::default() }).await;
    let digest = Digest::sha256(b"123456789");
    let request = f.request(Method::POST, &format!("/v2/{NAME}/blobs/uploads/?digest={digest}"));
    f.send(request, "123456789").await.refused(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID");
    assert_eq!(files(&f, "uploads"), 0);
}

/// Makes every blob look as old as the store's garbage has to be.
fn age(f: &Fixture) {
    let old = std::fs::FileTimes::new().set_modified(SystemTime::now() - Duration::from_secs(7200));
    for shard in std::fs::read_dir(f.folder.path().join("blobs/sha256")).expect("a folder") {
        for file in std::fs::read_dir(shard.expect("a shard").path()).expect("a folder") {
            let file = std::fs::File::open(file.expect("a file").path()).expect("opened");
            file.set_times(old).expect("aged");
        }
    }
}

#[tokio::test]
async fn garbage_goes_and_only_garbage() {
    let mut f = fixture().await;
    let hour = Duration::from_secs(3600);
    f.now = f.now - 3 * hour;
    let image = f.push_image(NAME, "kept", "kept layer").await;
    let lost = f.push_image(OTHER, "lost", "lost layer").await;
    assert_eq!(
        f.registry.collect_garbage(hour, hour).await.expect("a run"),
        Swept::default(),
        "all too young"
    );

    f.delete(&format!("/v2/{OTHER}/manifests/{lost}")).await.expect(StatusCode::ACCEPTED);
    age_layers(&f).await;
    age(&f);
    let touched = Digest::sha256(b"lost layer");
    f.head(&format!("/v2/{OTHER}/blobs/{touched}")).await.expect(StatusCode::OK);
    let swept = f.registry.collect_garbage(hour, hour).await.expect("a run");
    assert_eq!(
        swept,
        Swept { uploads: 0, layers: 1, blobs: 2 },
        "manifest and configuration of the deleted image"
    );
    f.get(&format!("/v2/{OTHER}/blobs/{touched}")).await.expect(StatusCode::OK);

    age(&f);
    let swept = f.registry.collect_garbage(hour, hour).await.expect("a run");
    assert_eq!(swept, Swept { uploads: 0, layers: 1, blobs: 1 });
    f.get(&format!("/v2/{OTHER}/blobs/{touched}")).await.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    assert_eq!(f.registry.collect_garbage(hour, hour).await.expect("a run"), Swept::default());

    f.get(&format!("/v2/{NAME}/manifests/{image}")).await.expect(StatusCode::OK);
    let layer = Digest::sha256(b"kept layer");
    assert_eq!(f.get(&format!("/v2/{NAME}/blobs/{layer}")).await.body, "kept layer");
}

/// Dates the layers' records back.
async fn age_layers(f: &Fixture) {
    use crate::registry::records::Layer;
    let layers = f.registry.catalog.state().view().scan_all::<Layer>().collect::<Vec<_>>();
    for found in layers {
        let mut layer = Layer::clone(&found.value);
        layer.pushed_at = layer.pushed_at - Duration::from_secs(7200);
        f.registry.catalog.add_layer(&found.scope, layer).await.expect("dated back");
    }
}
