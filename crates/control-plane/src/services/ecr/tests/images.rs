//! Repositories and images.

use blob_store::Digest;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{ACCOUNT, Fixture, fixture};

/// The text of a manifest whose layers are nowhere.
fn manifest(seed: &str) -> String {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "size": 10,
            "digest": Digest::sha256(b"config") },
        "layers": [{ "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 32,
            "digest": Digest::sha256(seed.as_bytes()) }],
    })
    .to_string()
}

async fn put(f: &Fixture, seed: &str, tag: Option<&str>) -> String {
    let mut input = json!({ "repositoryName": "app", "imageManifest": manifest(seed) });
    if let Some(tag) = tag {
        input["imageTag"] = json!(tag);
    }
    let image = f.call("PutImage", input).await["image"].clone();
    assert_eq!(image["imageManifest"], manifest(seed));
    image["imageId"]["imageDigest"].as_str().expect("a digest").to_owned()
}

async fn described(f: &Fixture) -> Vec<Value> {
    let answer = f.call("DescribeImages", json!({ "repositoryName": "app" })).await;
    answer["imageDetails"].as_array().expect("details").clone()
}

#[tokio::test]
async fn repositories_come_and_go() {
    let f = fixture().await;
    let created = f.create("team/app").await;
    assert_eq!(created["repositoryArn"], format!("arn:aws:ecr:us-east-1:{ACCOUNT}:repository/team/app"));
    assert_eq!(created["repositoryUri"], format!("{}/team/app", f.host()));
    assert_eq!(created["imageTagMutability"], "MUTABLE");
    assert_eq!(created["encryptionConfiguration"], json!({ "encryptionType": "AES256" }));
    let name = json!({ "repositoryName": "team/app" });
    let text = f.message("CreateRepository", name.clone(), "RepositoryAlreadyExistsException").await;
    let expected =
        format!("The repository with name 'team/app' already exists in the registry with id '{ACCOUNT}'");
    assert_eq!(text, expected);
    f.refused("CreateRepository", json!({ "repositoryName": "Team" }), "InvalidParameterException").await;

    f.create("a-first").await;
    let page = f.call("DescribeRepositories", json!({ "maxResults": 1 })).await;
    assert_eq!(page["repositories"][0]["repositoryName"], "a-first");
    let rest = f.call("DescribeRepositories", json!({ "nextToken": page["nextToken"] })).await;
    assert_eq!(rest["repositories"][0]["repositoryName"], "team/app");
    assert_eq!(rest.get("nextToken"), None);
    f.refused("DescribeRepositories", json!({ "nextToken": "made-up" }), "InvalidParameterException").await;
    let foreign = json!({ "registryId": "999999999999" });
    f.refused("DescribeRepositories", foreign, "AccessDeniedException").await;

    f.call("DeleteRepository", name.clone()).await;
    let text = f.message("DeleteRepository", name, "RepositoryNotFoundException").await;
    let expected =
        format!("The repository with name 'team/app' does not exist in the registry with id '{ACCOUNT}'");
    assert_eq!(text, expected);
}

#[tokio::test]
async fn images_by_tag_and_digest() {
    let f = fixture().await;
    f.create("app").await;
    let one = put(&f, "one", Some("v1")).await;
    assert_eq!(put(&f, "one", Some("latest")).await, one);
    let two = put(&f, "two", None).await;

    let all = described(&f).await;
    assert_eq!(all.len(), 2);
    let detail = all.iter().find(|image| image["imageDigest"] == one.as_str()).expect("the first");
    assert_eq!(detail["imageTags"], json!(["v1", "latest"]));
    assert_eq!(detail["imageSizeInBytes"], 42);
    assert_eq!(detail["artifactMediaType"], "application/vnd.docker.container.image.v1+json");
    assert_eq!(all.iter().filter(|image| image.get("imageTags").is_none()).count(), 1);

    let listed = f.call("ListImages", json!({ "repositoryName": "app" })).await;
    assert_eq!(listed["imageIds"].as_array().expect("ids").len(), 3);
    let untagged =
        f.call("ListImages", json!({ "repositoryName": "app", "filter": { "tagStatus": "UNTAGGED" } })).await;
    assert_eq!(untagged["imageIds"], json!([{ "imageDigest": two }]));

    let ids = json!([{ "imageTag": "v1" }, { "imageDigest": two }, { "imageTag": "none" }, { "imageDigest": "x" }, {}]);
    let got = f.call("BatchGetImage", json!({ "repositoryName": "app", "imageIds": ids })).await;
    assert_eq!(got["images"][0]["imageManifest"], manifest("one"));
    assert_eq!(got["images"][1]["imageId"], json!({ "imageDigest": two }));
    let codes =
        got["failures"].as_array().expect("failures").iter().map(|failure| failure["failureCode"].clone());
    assert_eq!(codes.collect::<Vec<_>>(), ["ImageNotFound", "InvalidImageDigest", "MissingDigestAndTag"]);

    let missing = json!({ "repositoryName": "app", "imageIds": [{ "imageTag": "none" }] });
    let text = f.message("DescribeImages", missing, "ImageNotFoundException").await;
    let expected = format!(
        "The image with imageId {{imageDigest:'null', imageTag:'none'}} does not exist within the repository with name 'app' in the registry with id '{ACCOUNT}'"
    );
    assert_eq!(text, expected);
    let again = json!({ "repositoryName": "app", "imageManifest": manifest("one"), "imageTag": "v1" });
    f.refused("PutImage", again, "ImageAlreadyExistsException").await;
}

#[tokio::test]
async fn batches_of_deletes() {
    let f = fixture().await;
    f.create("app").await;
    let one = put(&f, "one", Some("v1")).await;
    put(&f, "one", Some("v2")).await;
    let delete = async |ids: Value| {
        f.call("BatchDeleteImage", json!({ "repositoryName": "app", "imageIds": ids })).await
    };

    let answer = delete(json!([{ "imageTag": "v1" }, { "imageTag": "v9" }])).await;
    assert_eq!(answer["imageIds"], json!([{ "imageDigest": one, "imageTag": "v1" }]));
    assert_eq!(answer["failures"][0]["failureCode"], "ImageNotFound");
    assert_eq!(described(&f).await[0]["imageTags"], json!(["v2"]));
    delete(json!([{ "imageTag": "v2" }])).await;
    assert_eq!(described(&f).await, Vec::<Value>::new(), "the image goes with its last tag");

    let one = put(&f, "one", Some("v1")).await;
    put(&f, "one", Some("v2")).await;
    let answer = delete(json!([{ "imageDigest": one }])).await;
    let both = json!([{ "imageDigest": one, "imageTag": "v1" }, { "imageDigest": one, "imageTag": "v2" }]);
    assert_eq!(answer["imageIds"], both);

    let child = put(&f, "child", None).await;
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": "application/vnd.docker.distribution.manifest.v2+json", "digest": child,
            "size": manifest("child").len() }] });
    f.call(
        "PutImage",
        json!({ "repositoryName": "app", "imageTag": "multi", "imageManifest": index.to_string() }),
    )
    .await;
    let answer = delete(json!([{ "imageDigest": child }])).await;
    assert_eq!(answer["failures"][0]["failureCode"], "ImageReferencedByManifestList");
    let refused = json!({ "repositoryName": "app" });
    f.refused("DeleteRepository", refused, "RepositoryNotEmptyException").await;
    f.call("DeleteRepository", json!({ "repositoryName": "app", "force": true })).await;
}

#[tokio::test]
async fn incomplete_images_are_refused_where_layers_are() {
    let f = fixture().await;
    f.create("app").await;
    let login = f.login().await;
    let layer = Digest::sha256(b"a layer");
    let url = format!("http://{}/v2/app/blobs/uploads/?digest={layer}", f.host());
    let (status, _) = f.http(Method::POST, &url, Some(&login), b"a layer").await;
    assert_eq!(status, StatusCode::CREATED);
    let input = json!({ "repositoryName": "app", "imageManifest": manifest("one") });
    f.refused("PutImage", input, "LayersNotFoundException").await;
}

#[tokio::test]
async fn bad_manifests() {
    let f = fixture().await;
    f.create("app").await;
    let put = |manifest: String| json!({ "repositoryName": "app", "imageManifest": manifest });
    let mut untyped: Value = serde_json::from_str(&manifest("one")).expect("JSON");
    untyped.as_object_mut().expect("an object").remove("mediaType");
    let text = f.message("PutImage", put(untyped.to_string()), "InvalidParameterException").await;
    assert_eq!(text, "image manifest mediatype not provided in manifest or parameter");
    let mut typed = put(untyped.to_string());
    typed["imageManifestMediaType"] = json!("application/vnd.docker.distribution.manifest.v2+json");
    f.call("PutImage", typed).await;
    f.refused("PutImage", put("not JSON".to_owned()), "InvalidParameterException").await;
    let mut wrong = put(manifest("one"));
    wrong["imageDigest"] = json!(Digest::sha256(b"other"));
    f.refused("PutImage", wrong, "ImageDigestDoesNotMatchException").await;
    let mut tagged = put(manifest("one"));
    tagged["imageTag"] = json!("not/a/tag");
    f.refused("PutImage", tagged, "InvalidParameterException").await;
}
