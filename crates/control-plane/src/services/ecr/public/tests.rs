//! Public repositories through their API, and read by anyone.

use blob_store::Digest;
use http::{Method, StatusCode};
use serde_json::json;

use crate::services::ecr::tests::{ACCOUNT, fixture};

#[tokio::test]
async fn a_public_repository_is_written_by_its_owner_and_read_by_all() {
    let f = fixture().await.of_ecr_public();
    let created = f
        .call(
            "CreateRepository",
            json!({ "repositoryName": "app", "catalogData": { "description": "An app" } }),
        )
        .await;
    let repository = &created["repository"];
    assert_eq!(repository["repositoryName"], "app");
    assert_eq!(repository["repositoryArn"], format!("arn:aws:ecr-public::{ACCOUNT}:repository/app"));
    assert_eq!(repository["repositoryUri"], format!("{}/public/a{ACCOUNT}/app", f.host()));
    assert_eq!(created["catalogData"]["description"], "An app");
    let text = f
        .message("CreateRepository", json!({ "repositoryName": "app" }), "RepositoryAlreadyExistsException")
        .await;
    assert_eq!(
        text,
        format!("The repository with name 'app' already exists in the registry with id '{ACCOUNT}'")
    );

    let token = f.call("GetAuthorizationToken", json!({})).await;
    let login =
        format!("Basic {}", token["authorizationData"]["authorizationToken"].as_str().expect("a token"));
    let base = format!("http://{}/v2/public/a{ACCOUNT}/app", f.host());
    let (config, layer) = (Digest::sha256(b"{}"), Digest::sha256(b"layer"));
    for (digest, bytes) in [(&config, b"{}".as_slice()), (&layer, b"layer")] {
        let url = format!("{base}/blobs/uploads/?digest={digest}");
        assert_eq!(f.http(Method::POST, &url, None, bytes).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(f.http(Method::POST, &url, Some(&login), bytes).await.0, StatusCode::CREATED);
    }
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 5 }] });
    let put = json!({ "repositoryName": "app", "imageTag": "v1", "imageManifest": manifest.to_string() });
    assert_eq!(f.call("PutImage", put).await["image"]["repositoryName"], "app");

    let (status, body) = f.http(Method::GET, &format!("{base}/manifests/v1"), None, b"").await;
    assert_eq!((status, body.as_ref()), (StatusCode::OK, manifest.to_string().as_bytes()));
    assert_eq!(f.http(Method::GET, &format!("{base}/blobs/{layer}"), None, b"").await.1, "layer");
    assert_eq!(
        f.http(Method::DELETE, &format!("{base}/manifests/v1"), None, b"").await.0,
        StatusCode::UNAUTHORIZED
    );
    let private = format!("http://{}/v2/app/manifests/v1", f.host());
    assert_eq!(f.http(Method::GET, &private, Some(&login), b"").await.0, StatusCode::NOT_FOUND);

    let tags = f.call("DescribeImageTags", json!({ "repositoryName": "app" })).await;
    assert_eq!(tags["imageTagDetails"][0]["imageTag"], "v1");
    assert_eq!(tags["imageTagDetails"][0]["imageDetail"]["imageSizeInBytes"], 7);
    let images = f.call("DescribeImages", json!({ "repositoryName": "app" })).await;
    assert_eq!(images["imageDetails"][0]["imageTags"], json!(["v1"]));
    f.refused("DeleteRepository", json!({ "repositoryName": "app" }), "RepositoryNotEmptyException").await;
    f.call("DeleteRepository", json!({ "repositoryName": "app", "force": true })).await;
    let none =
        f.message("DescribeImages", json!({ "repositoryName": "app" }), "RepositoryNotFoundException").await;
    assert_eq!(
        none,
        format!("The repository with name 'app' does not exist in the registry with id '{ACCOUNT}'")
    );
}

#[tokio::test]
async fn registries_tags_and_catalogue_data() {
    let f = fixture().await.of_ecr_public();
    let registry = f.call("DescribeRegistries", json!({})).await["registries"][0].clone();
    assert_eq!(registry["aliases"][0]["name"], format!("a{ACCOUNT}"));
    let created = f.call("CreateRepository", json!({ "repositoryName": "app" })).await;
    let arn = created["repository"]["repositoryArn"].clone();
    f.call("TagResource", json!({ "resourceArn": arn, "tags": [{ "Key": "k", "Value": "v" }] })).await;
    let listed = f.call("ListTagsForResource", json!({ "resourceArn": arn })).await;
    assert_eq!(listed["tags"], json!([{ "Key": "k", "Value": "v" }]));

    let name = json!({ "repositoryName": "app" });
    f.refused("GetRepositoryCatalogData", name.clone(), "RepositoryCatalogDataNotFoundException").await;
    let put = json!({ "repositoryName": "app", "catalogData": { "aboutText": "About" } });
    f.call("PutRepositoryCatalogData", put).await;
    assert_eq!(f.call("GetRepositoryCatalogData", name).await["catalogData"]["aboutText"], "About");
    f.call("PutRegistryCatalogData", json!({ "displayName": "Us" })).await;
    let data = f.call("GetRegistryCatalogData", json!({})).await;
    assert_eq!(data["registryCatalogData"]["displayName"], "Us");
    let described = f.call("DescribeRepositories", json!({ "repositoryNames": ["app"] })).await;
    assert_eq!(described["repositories"][0]["repositoryName"], "app");
}
