//! Pushing, after the conformance suite's push cases.

use blob_store::{Algorithm, Digest};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde_json::json;

use super::{Fixture, Got, NAME, OTHER, fixture};
use crate::registry::manifest::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

async fn start(f: &Fixture) -> String {
    let got = f.send(f.request(Method::POST, &format!("/v2/{NAME}/blobs/uploads/")), Bytes::new()).await;
    let got = got.expect(StatusCode::ACCEPTED);
    assert_eq!(got.header("range"), "0-0");
    assert!(!got.header("docker-upload-uuid").is_empty());
    got.header("location").to_owned()
}

async fn patch(f: &Fixture, location: &str, range: Option<&str>, bytes: &[u8]) -> Got {
    let mut request = f.request(Method::PATCH, location);
    if let Some(range) = range {
        request = request.header(header::CONTENT_RANGE, range);
    }
    f.send(request, Bytes::copy_from_slice(bytes)).await
}

async fn put(f: &Fixture, location: &str, digest: &Digest, bytes: &[u8]) -> Got {
    let request = f.request(Method::PUT, &format!("{location}?digest={digest}"));
    f.send(request, Bytes::copy_from_slice(bytes)).await
}

async fn pulls_as(f: &Fixture, name: &str, digest: &Digest, bytes: &[u8]) {
    let got = f.get(&format!("/v2/{name}/blobs/{digest}")).await.expect(StatusCode::OK);
    assert_eq!(got.body, bytes);
    assert_eq!(got.header("docker-content-digest"), digest.to_string());
    let got = f.head(&format!("/v2/{name}/blobs/{digest}")).await.expect(StatusCode::OK);
    assert_eq!(got.header("content-length"), bytes.len().to_string());
}

#[tokio::test]
async fn a_blob_in_one_request() {
    let f = fixture().await;
    for algorithm in Algorithm::ALL {
        for bytes in [b"one request".as_slice(), b"", b"{}"] {
            let digest = Digest::of(algorithm, bytes);
            let request = f.request(Method::POST, &format!("/v2/{NAME}/blobs/uploads/?digest={digest}"));
            let got = f.send(request, bytes).await.expect(StatusCode::CREATED);
            assert_eq!(got.header("location"), format!("/v2/{NAME}/blobs/{digest}"));
            assert_eq!(got.header("docker-content-digest"), digest.to_string());
            pulls_as(&f, NAME, &digest, bytes).await;
        }
    }
}

#[tokio::test]
async fn a_blob_by_post_and_put() {
    let f = fixture().await;
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, b"post and put");
        let location = start(&f).await;
        put(&f, &location, &digest, b"post and put").await.expect(StatusCode::CREATED);
        pulls_as(&f, NAME, &digest, b"post and put").await;
        put(&f, &location, &digest, b"").await.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    }
}

#[tokio::test]
async fn a_blob_as_a_stream() {
    let f = fixture().await;
    let location = start(&f).await;
    let got = patch(&f, &location, None, b"streamed").await.expect(StatusCode::ACCEPTED);
    assert_eq!(got.header("range"), "0-7");
    let digest = Digest::sha256(b"streamed");
    put(&f, got.header("location"), &digest, b"").await.expect(StatusCode::CREATED);
    pulls_as(&f, NAME, &digest, b"streamed").await;
}

#[tokio::test]
async fn a_blob_in_chunks() {
    let f = fixture().await;
    let (first, second, last) = (b"hello, ".as_slice(), b"chunked ".as_slice(), b"world".as_slice());
    let digest = Digest::sha256(b"hello, chunked world");
    let location = start(&f).await;

    let early = patch(&f, &location, Some("7-14"), second).await;
    let early = early.refused(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID");
    assert_eq!(early.header("location"), location);

    patch(&f, &location, Some("0-6"), first).await.expect(StatusCode::ACCEPTED);
    let status = f.get(&location).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(status.header("range"), "0-6");
    let again = patch(&f, &location, Some("0-6"), first).await.expect(StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(again.header("range"), "0-6", "the client learns where to go on");

    patch(&f, &location, Some("7-14"), second).await.expect(StatusCode::ACCEPTED);
    let request = f.request(Method::PUT, &format!("{location}?digest={digest}"));
    let got = f.send(request.header(header::CONTENT_RANGE, "15-19"), last).await.expect(StatusCode::CREATED);
    assert!(!got.header("location").is_empty());
    pulls_as(&f, NAME, &digest, b"hello, chunked world").await;
}

#[tokio::test]
async fn a_cancelled_upload_is_gone() {
    let f = fixture().await;
    let location = start(&f).await;
    patch(&f, &location, None, b"not wanted after all").await.expect(StatusCode::ACCEPTED);
    f.delete(&location).await.expect(StatusCode::NO_CONTENT);
    f.get(&location).await.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    f.delete(&location).await.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
}

#[tokio::test]
async fn mounting() {
    let f = fixture().await;
    let digest = f.push_blob(OTHER, b"shared").await;
    f.get(&format!("/v2/{NAME}/blobs/{digest}")).await.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");

    let mount = |query: String| f.request(Method::POST, &format!("/v2/{NAME}/blobs/uploads/?{query}"));
    // From nowhere in particular, from where it is not, of what does not exist: an upload begins instead.
    let missing = Digest::sha256(b"never pushed");
    for query in [
        format!("mount={digest}"),
        format!("mount={digest}&from=team/unknown"),
        format!("mount={missing}&from={OTHER}"),
        "mount=nonsense&from=team/other".to_owned(),
    ] {
        let got = f.send(mount(query), Bytes::new()).await.expect(StatusCode::ACCEPTED);
        assert!(got.header("location").contains("/blobs/uploads/"));
    }
    let got = f.send(mount(format!("mount={digest}&from={OTHER}")), Bytes::new()).await;
    let got = got.expect(StatusCode::CREATED);
    assert_eq!(got.header("location"), format!("/v2/{NAME}/blobs/{digest}"));
    pulls_as(&f, NAME, &digest, b"shared").await;
}

#[tokio::test]
async fn bad_digests_are_refused() {
    let f = fixture().await;
    let wrong = Digest::sha256(b"something else");
    let request = f.request(Method::POST, &format!("/v2/{NAME}/blobs/uploads/?digest={wrong}"));
    f.send(request, "content").await.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");

    let location = start(&f).await;
    put(&f, &location, &wrong, b"content").await.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    f.get(&location).await.refused(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");

    let location = start(&f).await;
    patch(&f, &location, None, b"content").await.expect(StatusCode::ACCEPTED);
    put(&f, &location, &wrong, b"").await.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");

    let location = start(&f).await;
    for query in ["", "?digest=sha256:baddigeststring", "?digest=md5:0"] {
        let request = f.request(Method::PUT, &format!("{location}{query}"));
        f.send(request, "content").await.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
    }
    f.get(&format!("/v2/{NAME}/blobs/{wrong}")).await.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
}

#[tokio::test]
async fn manifests_by_tag_and_digest() {
    let f = fixture().await;
    let manifest = f.image(NAME, "layer").await;
    let digest = Digest::sha256(manifest.to_string().as_bytes());
    for tag in ["test0", "test1", "_", "V1.2-rc_3"] {
        let got = f.put_manifest(NAME, tag, OCI_MANIFEST, &manifest).await.expect(StatusCode::CREATED);
        assert_eq!(got.header("location"), format!("/v2/{NAME}/manifests/{digest}"));
        assert_eq!(got.header("docker-content-digest"), digest.to_string());
    }
    let untagged = f.image(NAME, "untagged").await;
    let by = Digest::sha256(untagged.to_string().as_bytes());
    f.put_manifest(NAME, &by.to_string(), OCI_MANIFEST, &untagged).await.expect(StatusCode::CREATED);
    let by = Digest::of(Algorithm::Sha512, untagged.to_string().as_bytes());
    f.put_manifest(NAME, &by.to_string(), OCI_MANIFEST, &untagged).await.expect(StatusCode::CREATED);
    let got = f.get(&format!("/v2/{NAME}/manifests/{by}")).await.expect(StatusCode::OK);
    assert_eq!(got.header("docker-content-digest"), by.to_string());
}

#[tokio::test]
async fn manifests_are_checked() {
    let f = fixture().await;
    let good = f.image(NAME, "layer").await;
    let digest = Digest::sha256(good.to_string().as_bytes());
    let refused =
        async |reference: &str, media_type: &str, manifest: &serde_json::Value, status, code: &str| {
            f.put_manifest(NAME, reference, media_type, manifest).await.refused(status, code);
        };
    let bad = StatusCode::BAD_REQUEST;
    refused("t", DOCKER_MANIFEST, &good, bad, "MANIFEST_INVALID").await;
    refused("t", "text/plain", &good, bad, "MANIFEST_INVALID").await;
    refused("t", OCI_MANIFEST, &json!("a string"), bad, "MANIFEST_INVALID").await;
    refused("t", OCI_MANIFEST, &json!({ "schemaVersion": 1 }), bad, "MANIFEST_INVALID").await;
    refused("t", OCI_MANIFEST, &json!({ "schemaVersion": 2 }), bad, "MANIFEST_INVALID").await;
    refused("-t", OCI_MANIFEST, &good, bad, "TAG_INVALID").await;
    refused(&"t".repeat(129), OCI_MANIFEST, &good, bad, "TAG_INVALID").await;
    refused("sha256:baddigeststring", OCI_MANIFEST, &good, bad, "DIGEST_INVALID").await;
    let other = Digest::sha256(b"other");
    refused(&other.to_string(), OCI_MANIFEST, &good, bad, "DIGEST_INVALID").await;

    let mut missing = good.clone();
    missing["layers"][0]["digest"] = json!(other);
    refused("t", OCI_MANIFEST, &missing, StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN").await;
    missing["layers"][0]["urls"] = json!(["https://elsewhere.example/layer"]);
    f.put_manifest(NAME, "foreign", OCI_MANIFEST, &missing).await.expect(StatusCode::CREATED);

    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        { "mediaType": OCI_MANIFEST, "digest": digest, "size": good.to_string().len() } ] });
    refused("i", OCI_INDEX, &index, StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN").await;
    f.get(&format!("/v2/{NAME}/manifests/t")).await.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");

    let request = f.request(Method::PUT, &format!("/v2/{NAME}/manifests/big"));
    let big = format!("{{\"schemaVersion\":2,\"padding\":\"{}\"}}", "x".repeat(4 << 20));
    let got = f.send(request.header(header::CONTENT_TYPE, OCI_MANIFEST), big).await;
    got.refused(StatusCode::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID");
}

#[tokio::test]
async fn indexes_hold_their_images() {
    let f = fixture().await;
    for media_type in [OCI_INDEX, DOCKER_LIST] {
        let child = f.push_image(NAME, "child", media_type).await;
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [
            { "mediaType": OCI_MANIFEST, "digest": child, "size": 1 } ] });
        f.put_manifest(NAME, "index", media_type, &index).await.expect(StatusCode::CREATED);
        let outer = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [
            { "mediaType": media_type, "digest": Digest::sha256(index.to_string().as_bytes()), "size": 1 } ] });
        f.put_manifest(NAME, "outer", media_type, &outer).await.expect(StatusCode::CREATED);

        let (outer, index) = (outer.to_string(), index.to_string());
        let image = |of: &str| format!("/v2/{NAME}/manifests/{}", Digest::sha256(of.as_bytes()));
        let got = f.delete(&format!("/v2/{NAME}/manifests/{child}")).await;
        got.refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
        f.delete(&image(&index)).await.refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
        f.delete(&image(&outer)).await.expect(StatusCode::ACCEPTED);
        f.delete(&image(&index)).await.expect(StatusCode::ACCEPTED);
        f.delete(&format!("/v2/{NAME}/manifests/{child}")).await.expect(StatusCode::ACCEPTED);
    }
}
