//! The referrers list, after the conformance suite's discovery cases.

use blob_store::Digest;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Fixture, NAME, fixture};
use crate::registry::manifest::{OCI_INDEX, OCI_MANIFEST};

async fn push_referrer(f: &Fixture, subject: &Digest, mut manifest: Value, annotation: &str) -> Digest {
    manifest["subject"] = json!({ "mediaType": OCI_MANIFEST, "digest": subject, "size": 7 });
    manifest["annotations"] = json!({ "org.example.note": annotation });
    let digest = Digest::sha256(manifest.to_string().as_bytes());
    let media_type = manifest["mediaType"].as_str().expect("a media type").to_owned();
    let got = f.put_manifest(NAME, &digest.to_string(), &media_type, &manifest).await;
    assert_eq!(got.expect(StatusCode::CREATED).header("oci-subject"), subject.to_string());
    digest
}

#[tokio::test]
async fn referrers_before_and_after_their_subject() {
    let f = fixture().await;
    let mut subject = f.image(NAME, "subject").await;
    subject["annotations"] = json!({ "pushed": "later" });
    let subject_digest = Digest::sha256(subject.to_string().as_bytes());
    let path = format!("/v2/{NAME}/referrers/{subject_digest}");
    let none = f.get(&path).await.expect(StatusCode::OK);
    assert_eq!(none.header("content-type"), OCI_INDEX);
    assert_eq!(none.json(), json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [] }));

    // One type from the configuration, one stated, one of an index.
    let plain = f.image(NAME, "by configuration").await;
    let by_config = push_referrer(&f, &subject_digest, plain.clone(), "a").await;
    f.put_manifest(NAME, "subject", OCI_MANIFEST, &subject).await.expect(StatusCode::CREATED);
    let mut stated = plain.clone();
    stated["artifactType"] = json!("application/vnd.example.sbom");
    let stated_digest = push_referrer(&f, &subject_digest, stated, "b").await;
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "artifactType": "application/vnd.example.sbom",
        "manifests": [] });
    let index_digest = push_referrer(&f, &subject_digest, index, "c").await;

    let all = f.get(&path).await.json()["manifests"].as_array().expect("manifests").clone();
    assert_eq!(all.len(), 3);
    let entry =
        |digest: &Digest| all.iter().find(|entry| entry["digest"] == json!(digest)).expect("listed").clone();
    assert_eq!(entry(&by_config)["artifactType"], "application/vnd.oci.image.config.v1+json");
    assert_eq!(entry(&by_config)["annotations"], json!({ "org.example.note": "a" }));
    assert_eq!(entry(&stated_digest)["artifactType"], "application/vnd.example.sbom");
    assert_eq!(entry(&index_digest)["mediaType"], OCI_INDEX);
    assert!(all.iter().all(|entry| entry["size"].as_u64().is_some_and(|size| size > 100)));

    let got = f.get(&format!("{path}?artifactType=application/vnd.example.sbom")).await;
    assert_eq!(got.header("oci-filters-applied"), "artifactType");
    assert_eq!(got.json()["manifests"].as_array().expect("manifests").len(), 2);

    f.delete(&format!("/v2/{NAME}/manifests/{stated_digest}")).await.expect(StatusCode::ACCEPTED);
    assert_eq!(f.get(&path).await.json()["manifests"].as_array().expect("manifests").len(), 2);
    f.get(&format!("/v2/{NAME}/referrers/nonsense")).await.refused(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}
