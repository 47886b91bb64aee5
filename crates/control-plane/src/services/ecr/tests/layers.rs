//! Layers through the API, and the registry's own view of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blob_store::Digest;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Fixture, fixture};

async fn initiate(f: &Fixture) -> String {
    let answer = f.call("InitiateLayerUpload", json!({ "repositoryName": "app" })).await;
    assert!(answer["partSize"].as_i64().is_some_and(|size| size > 0));
    answer["uploadId"].as_str().expect("an id").to_owned()
}

fn part(id: &str, first: usize, bytes: &[u8]) -> Value {
    json!({ "repositoryName": "app", "uploadId": id, "partFirstByte": first, "partLastByte": first + bytes.len() - 1,
        "layerPartBlob": STANDARD.encode(bytes) })
}

fn complete(id: &str, digest: &Digest) -> Value {
    json!({ "repositoryName": "app", "uploadId": id, "layerDigests": [digest] })
}

#[tokio::test]
async fn a_layer_in_parts() {
    let f = fixture().await;
    f.create("app").await;
    let id = initiate(&f).await;
    let digest = Digest::sha256(b"first second");
    f.refused("CompleteLayerUpload", complete(&id, &digest), "EmptyUploadException").await;
    let received = f.call("UploadLayerPart", part(&id, 0, b"first ")).await;
    assert_eq!(received["lastByteReceived"], 5);
    let error = f.refused("UploadLayerPart", part(&id, 8, b"second"), "InvalidLayerPartException").await;
    assert_eq!(error["lastValidByteReceived"], 5);
    let mut short = part(&id, 6, b"second");
    short["partLastByte"] = json!(20);
    f.refused("UploadLayerPart", short, "InvalidLayerPartException").await;
    f.call("UploadLayerPart", part(&id, 6, b"second")).await;
    let done = f.call("CompleteLayerUpload", complete(&id, &digest)).await;
    assert_eq!(done["layerDigest"], json!(digest));
    f.refused("CompleteLayerUpload", complete(&id, &digest), "UploadNotFoundException").await;

    let wanted =
        json!({ "repositoryName": "app", "layerDigests": [digest, Digest::sha256(b"none"), "nonsense"] });
    let checked = f.call("BatchCheckLayerAvailability", wanted).await;
    assert_eq!(checked["layers"][0]["layerAvailability"], "AVAILABLE");
    assert_eq!(checked["layers"][0]["layerSize"], 12);
    let codes = checked["failures"]
        .as_array()
        .expect("failures")
        .iter()
        .map(|failure| failure["failureCode"].clone());
    assert_eq!(codes.collect::<Vec<_>>(), ["MissingLayerDigest", "InvalidLayerDigest"]);

    let again = initiate(&f).await;
    f.call("UploadLayerPart", part(&again, 0, b"first second")).await;
    f.refused("CompleteLayerUpload", complete(&again, &digest), "LayerAlreadyExistsException").await;
    let wrong = initiate(&f).await;
    f.call("UploadLayerPart", part(&wrong, 0, b"something")).await;
    f.refused("CompleteLayerUpload", complete(&wrong, &Digest::sha256(b"else")), "InvalidLayerException")
        .await;
}

#[tokio::test]
async fn links_and_passwords_open_what_they_name() {
    let f = fixture().await;
    f.create("app").await;
    let login = f.login().await;
    let url = |path: &str| format!("http://{}{path}", f.host());
    let pushed = Digest::sha256(b"pushed");
    let upload = url(&format!("/v2/app/blobs/uploads/?digest={pushed}"));
    assert_eq!(f.http(Method::POST, &upload, Some(&login), b"pushed").await.0, StatusCode::CREATED);
    assert_eq!(f.http(Method::GET, &url("/v2/"), None, b"").await.0, StatusCode::UNAUTHORIZED);

    let wanted = json!({ "repositoryName": "app", "layerDigest": pushed });
    let answer = f.call("GetDownloadUrlForLayer", wanted).await;
    let link = answer["downloadUrl"].as_str().expect("a link");
    let (status, body) = f.http(Method::GET, link, None, b"").await;
    assert_eq!((status, body.as_ref()), (StatusCode::OK, b"pushed".as_slice()));
    for changed in [
        link.replace("expires=1", "expires=2"),
        link.replace("region=us-east-1", "region=us-east-2"),
        link.replace(&pushed.to_string(), &Digest::sha256(b"other").to_string()),
        link.replace("/blobs/", "/manifests/"),
    ] {
        assert_eq!(f.http(Method::GET, &changed, None, b"").await.0, StatusCode::UNAUTHORIZED, "{changed}");
    }
    assert_eq!(f.http(Method::DELETE, link, None, b"").await.0, StatusCode::UNAUTHORIZED);
    let none = json!({ "repositoryName": "app", "layerDigest": Digest::sha256(b"none") });
    f.refused("GetDownloadUrlForLayer", none, "LayersNotFoundException").await;
}
