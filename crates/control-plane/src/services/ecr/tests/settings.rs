//! Settings: mutability, tags, policies, lifecycle, scanning, account.

use serde_json::{Value, json};

use super::{ACCOUNT, fixture};

#[tokio::test]
async fn tag_mutability() {
    let f = fixture().await;
    f.create("app").await;
    let set = |mode: &str, filters: Value| {
        let mut input = json!({ "repositoryName": "app", "imageTagMutability": mode });
        if !filters.is_null() {
            input["imageTagMutabilityExclusionFilters"] = filters;
        }
        input
    };
    let filters = json!([{ "filterType": "WILDCARD", "filter": "dev-*" }]);
    let answer = f.call("PutImageTagMutability", set("IMMUTABLE_WITH_EXCLUSION", filters.clone())).await;
    assert_eq!(answer["imageTagMutabilityExclusionFilters"], filters);
    let described = f.call("DescribeRepositories", json!({ "repositoryNames": ["app"] })).await;
    assert_eq!(described["repositories"][0]["imageTagMutabilityExclusionFilters"], filters);
    f.refused("PutImageTagMutability", set("IMMUTABLE", filters), "InvalidParameterException").await;
    f.refused(
        "PutImageTagMutability",
        set("MUTABLE_WITH_EXCLUSION", Value::Null),
        "InvalidParameterException",
    )
    .await;
    f.refused("PutImageTagMutability", set("SOMETIMES", Value::Null), "InvalidParameterException").await;
    f.call("PutImageTagMutability", set("MUTABLE", Value::Null)).await;
}

#[tokio::test]
async fn tags() {
    let f = fixture().await;
    let tag = |key: &str, value: &str| json!({ "Key": key, "Value": value });
    let created =
        f.call("CreateRepository", json!({ "repositoryName": "app", "tags": [tag("a", "1")] })).await;
    let arn = created["repository"]["repositoryArn"].clone();
    f.call("TagResource", json!({ "resourceArn": arn, "tags": [tag("b", "2"), tag("a", "3")] })).await;
    f.call("UntagResource", json!({ "resourceArn": arn, "tagKeys": ["b"] })).await;
    let listed = f.call("ListTagsForResource", json!({ "resourceArn": arn })).await;
    assert_eq!(listed["tags"], json!([tag("a", "3")]));
    let text =
        f.message("ListTagsForResource", json!({ "resourceArn": "x" }), "InvalidParameterException").await;
    assert_eq!(text, "Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'");
    let many = (0..51).map(|at| tag(&format!("k{at}"), "v")).collect::<Vec<_>>();
    f.refused("TagResource", json!({ "resourceArn": arn, "tags": many }), "TooManyTagsException").await;
}

#[tokio::test]
async fn policies() {
    let f = fixture().await;
    f.create("app").await;
    let name = json!({ "repositoryName": "app" });
    f.refused("GetRepositoryPolicy", name.clone(), "RepositoryPolicyNotFoundException").await;
    let policy = |actions: Value| {
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": "*", "Action": actions }] })
            .to_string()
    };
    let text = policy(json!(["ecr:BatchGetImage"]));
    f.call("SetRepositoryPolicy", json!({ "repositoryName": "app", "policyText": text })).await;
    assert_eq!(f.call("GetRepositoryPolicy", name.clone()).await["policyText"], text);
    assert_eq!(f.call("DeleteRepositoryPolicy", name.clone()).await["policyText"], text);
    f.refused("DeleteRepositoryPolicy", name, "RepositoryPolicyNotFoundException").await;
    for bad in ["{}".to_owned(), "x".to_owned(), policy(json!([])), policy(json!("s3:GetObject"))] {
        let input = json!({ "repositoryName": "app", "policyText": bad });
        let text = f.message("SetRepositoryPolicy", input, "InvalidParameterException").await;
        assert_eq!(
            text,
            "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"
        );
    }

    f.refused("GetRegistryPolicy", json!({}), "RegistryPolicyNotFoundException").await;
    let text = policy(json!("ecr:ReplicateImage"));
    f.call("PutRegistryPolicy", json!({ "policyText": text })).await;
    assert_eq!(f.call("GetRegistryPolicy", json!({})).await["policyText"], text);
    // Of the second scope, the default, a registry's policy is about every action; of the first about three.
    let wide = policy(json!("ecr:DescribeRepositories"));
    f.call("PutRegistryPolicy", json!({ "policyText": wide })).await;
    f.call("PutAccountSetting", json!({ "name": "REGISTRY_POLICY_SCOPE", "value": "V1" })).await;
    f.refused("PutRegistryPolicy", json!({ "policyText": wide }), "InvalidParameterException").await;
    f.call("DeleteRegistryPolicy", json!({})).await;
    f.refused("DeleteRegistryPolicy", json!({}), "RegistryPolicyNotFoundException").await;
}

#[tokio::test]
async fn lifecycle() {
    let f = fixture().await;
    f.create("app").await;
    let name = json!({ "repositoryName": "app" });
    f.refused("GetLifecyclePolicy", name.clone(), "LifecyclePolicyNotFoundException").await;
    f.refused("GetLifecyclePolicyPreview", name.clone(), "LifecyclePolicyPreviewNotFoundException").await;
    let policy = json!({ "rules": [{ "rulePriority": 1, "description": "one image is enough for anybody",
        "selection": { "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1 },
        "action": { "type": "expire" } }] });
    let policy = policy.to_string();
    for layer in ["one", "two"] {
        let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "size": 1,
                "digest": blob_store::Digest::sha256(layer.as_bytes()) }, "layers": [] });
        let input =
            json!({ "repositoryName": "app", "imageTag": layer, "imageManifest": manifest.to_string() });
        f.call("PutImage", input).await;
    }
    let started = f.call(
        "StartLifecyclePolicyPreview",
        json!({ "repositoryName": "app", "lifecyclePolicyText": policy }),
    );
    assert_eq!(started.await["status"], "IN_PROGRESS");
    let preview = f.call("GetLifecyclePolicyPreview", name.clone()).await;
    assert_eq!(preview["status"], "COMPLETE");
    assert_eq!(preview["summary"]["expiringImageTotalCount"], 1);
    assert_eq!(preview["previewResults"][0]["action"]["type"], "EXPIRE");
    assert_eq!(preview["previewResults"][0]["appliedRulePriority"], 1);
    let count = async || {
        let images = f.call("DescribeImages", name.clone()).await;
        images["imageDetails"].as_array().expect("details").len()
    };
    assert_eq!(count().await, 2, "a preview removes nothing");

    f.call("PutLifecyclePolicy", json!({ "repositoryName": "app", "lifecyclePolicyText": policy })).await;
    let kept = f.call("GetLifecyclePolicy", name.clone()).await;
    assert_eq!(kept["lifecyclePolicyText"], policy);
    let bad = json!({ "repositoryName": "app", "lifecyclePolicyText": "x".repeat(100) });
    f.refused("PutLifecyclePolicy", bad, "InvalidParameterException").await;
    f.call("DeleteLifecyclePolicy", name.clone()).await;
    f.refused("DeleteLifecyclePolicy", name.clone(), "LifecyclePolicyNotFoundException").await;
}

#[tokio::test]
async fn scanning_is_configured_and_honest() {
    let f = fixture().await;
    f.create("app").await;
    let default = f.call("GetRegistryScanningConfiguration", json!({})).await;
    assert_eq!(default["scanningConfiguration"], json!({ "scanType": "BASIC", "rules": [] }));
    let rules = json!([{ "scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{ "filter": "a*", "filterType": "WILDCARD" }] }]);
    f.call("PutRegistryScanningConfiguration", json!({ "scanType": "BASIC", "rules": rules })).await;
    let kept = f.call("GetRegistryScanningConfiguration", json!({})).await;
    assert_eq!(kept["scanningConfiguration"], json!({ "scanType": "BASIC", "rules": rules }));
    let names = json!({ "repositoryNames": ["app", "none"] });
    let answer = f.call("BatchGetRepositoryScanningConfiguration", names).await;
    assert_eq!(answer["scanningConfigurations"][0]["scanFrequency"], "SCAN_ON_PUSH");
    assert_eq!(answer["failures"][0]["failureCode"], "REPOSITORY_NOT_FOUND");

    let image = json!({ "repositoryName": "app", "imageId": { "imageTag": "none" } });
    f.refused("StartImageScan", image.clone(), "ImageNotFoundException").await;
    f.refused("DescribeImageScanFindings", image, "ImageNotFoundException").await;
}

#[tokio::test]
async fn the_registry_itself() {
    let f = fixture().await;
    let described = f.call("DescribeRegistry", json!({})).await;
    assert_eq!(described, json!({ "registryId": ACCOUNT, "replicationConfiguration": { "rules": [] } }));
    let name = json!({ "name": "BASIC_SCAN_TYPE_VERSION" });
    assert_eq!(f.call("GetAccountSetting", name.clone()).await["value"], "AWS_NATIVE");
    f.call("PutAccountSetting", json!({ "name": "BASIC_SCAN_TYPE_VERSION", "value": "CLAIR" })).await;
    assert_eq!(f.call("GetAccountSetting", name).await["value"], "CLAIR");
    f.refused("PutAccountSetting", json!({ "name": "X", "value": "Y" }), "InvalidParameterException").await;
}

#[tokio::test]
async fn templates_make_repositories_on_push() {
    let f = fixture().await;
    let login = f.login().await;
    let push = async |name: &str| {
        let url = format!("http://{}/v2/{name}/blobs/uploads/", f.host());
        f.http(http::Method::POST, &url, Some(&login), b"").await.0
    };
    assert_eq!(push("team/app").await, http::StatusCode::NOT_FOUND);
    let template = json!({ "prefix": "team", "appliedFor": ["CREATE_ON_PUSH"], "imageTagMutability": "IMMUTABLE",
        "resourceTags": [{ "Key": "k", "Value": "v" }] });
    let created = f.call("CreateRepositoryCreationTemplate", template.clone()).await;
    assert_eq!(created["repositoryCreationTemplate"]["prefix"], "team");
    f.refused("CreateRepositoryCreationTemplate", template, "TemplateAlreadyExistsException").await;
    let other = json!({ "prefix": "ROOT", "appliedFor": ["REPLICATION"] });
    f.call("CreateRepositoryCreationTemplate", other).await;

    assert_eq!(push("team/app").await, http::StatusCode::ACCEPTED);
    for name in ["teams/app", "team", "other"] {
        assert_eq!(push(name).await, http::StatusCode::NOT_FOUND, "{name}");
    }
    let made = f.call("DescribeRepositories", json!({})).await["repositories"].clone();
    assert_eq!(
        (&made[0]["repositoryName"], &made[0]["imageTagMutability"]),
        (&json!("team/app"), &json!("IMMUTABLE"))
    );

    let update = json!({ "prefix": "team", "appliedFor": [], "description": "off" });
    f.call("UpdateRepositoryCreationTemplate", update).await;
    assert_eq!(push("team/second").await, http::StatusCode::NOT_FOUND);
    let described = f.call("DescribeRepositoryCreationTemplates", json!({ "prefixes": ["team"] })).await;
    assert_eq!(described["repositoryCreationTemplates"][0]["description"], "off");
    assert_eq!(described["repositoryCreationTemplates"][0]["imageTagMutability"], "IMMUTABLE");
    f.call("DeleteRepositoryCreationTemplate", json!({ "prefix": "team" })).await;
    f.refused("DeleteRepositoryCreationTemplate", json!({ "prefix": "team" }), "TemplateNotFoundException")
        .await;
}

#[tokio::test]
async fn replication_rules() {
    let f = fixture().await;
    let rules = |region: &str, account: &str| {
        json!({ "replicationConfiguration": { "rules": [{ "destinations": [{ "region": region, "registryId": account }],
            "repositoryFilters": [{ "filter": "ap", "filterType": "PREFIX_MATCH" }] }] } })
    };
    f.refused("PutReplicationConfiguration", rules("us-east-1", ACCOUNT), "InvalidParameterException").await;
    f.refused("PutReplicationConfiguration", rules("eu-west-1", "999999999999"), "ValidationException").await;
    let put = f.call("PutReplicationConfiguration", rules("eu-west-1", ACCOUNT)).await;
    let described = f.call("DescribeRegistry", json!({})).await;
    assert_eq!(described["replicationConfiguration"], put["replicationConfiguration"]);
    assert_eq!(put, rules("eu-west-1", ACCOUNT));

    f.create("app").await;
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [] });
    f.call(
        "PutImage",
        json!({ "repositoryName": "app", "imageTag": "v1", "imageManifest": manifest.to_string() }),
    )
    .await;
    let image = json!({ "repositoryName": "app", "imageId": { "imageTag": "v1" } });
    let status = f.call("DescribeImageReplicationStatus", image).await["replicationStatuses"][0].clone();
    assert_eq!((&status["region"], &status["registryId"]), (&json!("eu-west-1"), &json!(ACCOUNT)));
}

#[tokio::test]
async fn pull_time_exclusions() {
    let f = fixture().await;
    let role = json!({ "principalArn": format!("arn:aws:iam::{ACCOUNT}:role/scanner") });
    f.call("RegisterPullTimeUpdateExclusion", role.clone()).await;
    f.refused("RegisterPullTimeUpdateExclusion", role.clone(), "ExclusionAlreadyExistsException").await;
    let listed = f.call("ListPullTimeUpdateExclusions", json!({})).await;
    assert_eq!(listed["pullTimeUpdateExclusions"], json!([role["principalArn"]]));
    f.call("DeregisterPullTimeUpdateExclusion", role.clone()).await;
    f.refused("DeregisterPullTimeUpdateExclusion", role, "ExclusionNotFoundException").await;
}
