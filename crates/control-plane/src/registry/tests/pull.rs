//! Pulling, listing and deleting, after the conformance suite's cases; and who is let in.

use base64::Engine as _;
use blob_store::Digest;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde_json::json;

use super::{Fixture, NAME, OTHER, fixture};
use crate::registry::manifest::OCI_MANIFEST;
use crate::registry::token::{Access, LIFETIME};

#[tokio::test]
async fn credentials() {
    let f = fixture().await;
    let with = async |f: &Fixture, path: &str, authorization: Option<&str>, host: Option<&str>| {
        let mut request = Request::builder().uri(path);
        for (name, value) in [(header::AUTHORIZATION, authorization), (header::HOST, host)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        f.send(request, Bytes::new()).await
    };
    for path in ["/v2/", "/v2", &format!("/v2/{NAME}/tags/list"), "/v2/_catalog", "/v2/nothing/here"] {
        let got = with(&f, path, None, None).await.refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
        assert!(got.header("www-authenticate").starts_with("Basic realm="));
        assert_eq!(got.header("docker-distribution-api-version"), "registry/2.0");
    }
    let wrong = base64::engine::general_purpose::STANDARD.encode("AWS:password");
    for wrong in
        [format!("Basic {wrong}"), "Basic %".to_owned(), "Bearer a.b".to_owned(), format!("{}x", f.basic())]
    {
        with(&f, "/v2/", Some(&wrong), None).await.refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    }
    with(&f, "/v2/", Some(&f.basic()), None).await.expect(StatusCode::OK);
    let got = with(&f, "/v2/token?scope=repository:team/app:pull&service=x", Some(&f.basic()), None).await;
    let bearer = format!("Bearer {}", got.expect(StatusCode::OK).json()["token"].as_str().expect("a token"));
    with(&f, &format!("/v2/{NAME}/tags/list"), Some(&bearer), None).await.expect(StatusCode::OK);

    let own = "000000000000.dkr.ecr.us-east-1.amazonaws.com:4566";
    with(&f, &format!("/v2/{NAME}/tags/list"), Some(&f.basic()), Some(own)).await.expect(StatusCode::OK);
    let region = "000000000000.dkr.ecr.eu-west-1.amazonaws.com";
    let got = with(&f, &format!("/v2/{NAME}/tags/list"), Some(&f.basic()), Some(region)).await;
    got.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    let foreign = "111111111111.dkr.ecr.us-east-1.amazonaws.com";
    // Another account's registry is spoken to under its own name; what may be done there is for policies to say.
    with(&f, "/v2/", Some(&f.basic()), Some(foreign)).await.expect(StatusCode::OK);
    let got = with(&f, &format!("/v2/{NAME}/tags/list"), Some(&f.basic()), Some(foreign)).await;
    got.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    // What an agent is given opens one repository, and lists nothing.
    let (narrow, _) = f.registry.key.issue(&Access::pulling(f.scope.clone(), NAME), f.now);
    let narrow = format!("Bearer {narrow}");
    let ask = async |path: &str| with(&f, path, Some(&narrow), None).await;
    ask(&format!("/v2/{NAME}/manifests/none")).await.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    for path in
        [format!("/v2/{OTHER}/manifests/none"), format!("/v2/{NAME}/tags/list"), "/v2/_catalog".to_owned()]
    {
        ask(&path).await.refused(StatusCode::FORBIDDEN, "DENIED");
    }

    let mut late = f;
    late.now = late.now + LIFETIME;
    with(&late, "/v2/", Some(&late.basic()), None).await.refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
}

#[tokio::test]
async fn what_is_not_there() {
    let f = fixture().await;
    let digest = Digest::sha256(b"nothing");
    f.get(&format!("/v2/{NAME}/blobs/{digest}")).await.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    f.head(&format!("/v2/{NAME}/blobs/{digest}")).await.expect(StatusCode::NOT_FOUND);
    for reference in [".INVALID_MANIFEST_NAME", "sha256:baddigeststring", "missing", &digest.to_string()] {
        let path = format!("/v2/{NAME}/manifests/{reference}");
        f.get(&path).await.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
        f.head(&path).await.expect(StatusCode::NOT_FOUND);
    }
    for path in [
        "/v2/team/none/tags/list".to_owned(),
        format!("/v2/team/none/manifests/{digest}"),
        format!("/v2/team/none/blobs/{digest}"),
        format!("/v2/team/none/referrers/{digest}"),
    ] {
        let got = f.get(&path).await.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
        let text =
            "The repository with name 'team/none' does not exist in the registry with id '000000000000'";
        assert_eq!(got.json()["errors"][0]["message"], text);
    }
    let uploads = |name: &str| f.request(Method::POST, &format!("/v2/{name}/blobs/uploads/"));
    f.send(uploads("team/none"), "").await.refused(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    for name in ["Upper", "a", "-x", "x//y", "x/.y", "x/../y", "a___b"] {
        f.send(uploads(name), "").await.refused(StatusCode::BAD_REQUEST, "NAME_INVALID");
    }
    for path in ["/v2/x", "/v2/team/app/unknown/thing", "/v2x", "/v2/%zz/tags/list"] {
        f.get(path).await.expect(StatusCode::NOT_FOUND);
    }
    let request = f.request(Method::POST, &format!("/v2/{NAME}/manifests/x"));
    f.send(request, "").await.refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
}

#[tokio::test]
async fn manifests_come_back_as_they_were() {
    let f = fixture().await;
    let manifest = f.image(NAME, "layer").await;
    f.put_manifest(NAME, "v1", OCI_MANIFEST, &manifest).await.expect(StatusCode::CREATED);
    let digest = Digest::sha256(manifest.to_string().as_bytes()).to_string();
    for reference in ["v1", &digest, &digest.replace(':', "%3A")] {
        let path = format!("/v2/{NAME}/manifests/{reference}");
        let got = f.get(&path).await.expect(StatusCode::OK);
        assert_eq!(got.body, manifest.to_string());
        let head = f.head(&path).await.expect(StatusCode::OK);
        for got in [got, head] {
            assert_eq!(got.header("content-type"), OCI_MANIFEST);
            assert_eq!(got.header("docker-content-digest"), digest);
            assert_eq!(got.header("content-length"), manifest.to_string().len().to_string());
        }
    }
}

#[tokio::test]
async fn pulls_are_recorded_but_not_of_excluded_roles() {
    use crate::registry::records::PullExclusion;
    let mut f = fixture().await;
    let digest = f.push_image(NAME, "v1", "layer").await;
    let role = "arn:aws:iam::000000000000:role/scanner";
    let access = Access {
        scope: f.scope.clone(),
        account: f.scope.account.clone(),
        principal: "arn:aws:sts::000000000000:assumed-role/scanner/session".to_owned(),
        user_id: String::new(),
        access_key: String::new(),
        only: None,
    };
    (f.token, _) = f.registry.key.issue(&access, f.now);
    let state = f.registry.catalog.state().clone();
    let set = async |excluded: bool| {
        let set = state.transact(|tx| {
            let exclusion = PullExclusion { principal: role.to_owned(), created_at: f.now };
            match excluded {
                true => tx.put(&f.scope, role, exclusion),
                false => drop(tx.delete::<PullExclusion>(&f.scope, role)),
            }
            Ok::<_, crate::registry::error::CatalogError>(())
        });
        set.await.expect("set");
    };
    set(true).await;
    f.get(&format!("/v2/{NAME}/manifests/v1")).await.expect(StatusCode::OK);
    set(false).await;
    // Were the first pull recorded, this one, so shortly after, would not be.
    let second = f.now + std::time::Duration::from_secs(1);
    let f = super::Fixture { now: second, ..f };
    f.get(&format!("/v2/{NAME}/manifests/v1")).await.expect(StatusCode::OK);
    let pulled =
        || f.registry.catalog.image_by_digest(&f.scope, NAME, &digest).expect("the image").last_pulled_at;
    let mut changes = state.watch::<crate::registry::records::Image>();
    while pulled().is_none() {
        let bound = std::time::Duration::from_secs(10);
        tokio::time::timeout(bound, changes.next()).await.expect("the pull is recorded").expect("a change");
    }
    assert_eq!(pulled(), Some(second));
}

#[tokio::test]
async fn parts_of_blobs() {
    let f = fixture().await;
    let digest = f.push_blob(NAME, b"0123456789").await;
    let path = format!("/v2/{NAME}/blobs/{digest}");
    for (range, expected, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-5", "2345", "bytes 2-5/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-30", "0123456789", "bytes 0-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ] {
        let got = f.send(f.request(Method::GET, &path).header(header::RANGE, range), "").await;
        let got = got.expect(StatusCode::PARTIAL_CONTENT);
        assert_eq!(got.body, expected, "{range}");
        assert_eq!(got.header("content-range"), content_range);
        assert_eq!(got.header("content-length"), expected.len().to_string());
    }
    for range in ["bytes=5-2", "lines=1-2", "bytes=a-b", "bytes=0-1,3-4"] {
        let got = f.send(f.request(Method::GET, &path).header(header::RANGE, range), "").await;
        assert_eq!(got.expect(StatusCode::OK).body, "0123456789", "{range}");
    }
    for range in ["bytes=10-", "bytes=10-11", "bytes=-0"] {
        let got = f.send(f.request(Method::GET, &path).header(header::RANGE, range), "").await;
        assert_eq!(got.expect(StatusCode::RANGE_NOT_SATISFIABLE).header("content-range"), "bytes */10");
    }
}

#[tokio::test]
async fn tags_in_pages() {
    let f = fixture().await;
    let manifest = f.image(NAME, "layer").await;
    let path = format!("/v2/{NAME}/tags/list");
    assert_eq!(f.get(&path).await.expect(StatusCode::OK).json(), json!({ "name": NAME, "tags": [] }));
    for tag in ["test2", "Test3", "test0", "test1"] {
        f.put_manifest(NAME, tag, OCI_MANIFEST, &manifest).await.expect(StatusCode::CREATED);
    }
    let all = json!(["Test3", "test0", "test1", "test2"]);
    assert_eq!(f.get(&path).await.json()["tags"], all);
    assert_eq!(f.get(&format!("{path}?n=4")).await.header("link"), "");
    assert_eq!(f.get(&format!("{path}?n=0")).await.expect(StatusCode::OK).json()["tags"], json!([]));
    f.get(&format!("{path}?n=x")).await.refused(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID");

    let mut seen = Vec::new();
    let mut next = format!("{path}?n=3");
    for _ in 0..2 {
        let got = f.get(&next).await.expect(StatusCode::OK);
        seen.extend(got.json()["tags"].as_array().expect("tags").clone());
        next = got.header("link").trim_start_matches('<').split('>').next().expect("a link").to_owned();
    }
    assert_eq!((json!(seen), next.as_str()), (all, ""));
    assert_eq!(f.get(&format!("{path}?last=test1")).await.json()["tags"], json!(["test2"]));

    let catalog = f.get("/v2/_catalog").await.expect(StatusCode::OK).json();
    assert_eq!(catalog, json!({ "repositories": [NAME, OTHER] }));
    let page = f.get("/v2/_catalog?n=1").await;
    assert_eq!(page.header("link"), format!("</v2/_catalog?n=1&last={NAME}>; rel=\"next\""));
}

#[tokio::test]
async fn deleting() {
    let f = fixture().await;
    let first = f.push_image(NAME, "one", "first").await;
    f.push_image(NAME, "two", "first").await;
    f.delete(&format!("/v2/{NAME}/manifests/one")).await.expect(StatusCode::ACCEPTED);
    f.get(&format!("/v2/{NAME}/manifests/one")).await.expect(StatusCode::NOT_FOUND);
    f.get(&format!("/v2/{NAME}/manifests/two")).await.expect(StatusCode::OK);

    let layer = Digest::sha256(b"first");
    let blob = format!("/v2/{NAME}/blobs/{layer}");
    f.delete(&blob).await.refused(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    f.delete(&format!("/v2/{NAME}/manifests/{first}")).await.expect(StatusCode::ACCEPTED);
    f.get(&format!("/v2/{NAME}/manifests/two")).await.refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    f.delete(&format!("/v2/{NAME}/manifests/{first}"))
        .await
        .refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    assert_eq!(f.get(&format!("/v2/{NAME}/tags/list")).await.json()["tags"], json!([]));
    f.delete(&blob).await.expect(StatusCode::ACCEPTED);
    f.get(&blob).await.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    f.delete(&blob).await.refused(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
}
