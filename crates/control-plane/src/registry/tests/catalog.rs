//! Tag immutability, repositories and their removal, and pushes at the same time.

use std::sync::Arc;

use blob_store::Digest;
use http::StatusCode;
use proptest::prelude::*;

use super::{NAME, OTHER, fixture, settings};
use crate::registry::error::CatalogError;
use crate::registry::manifest::OCI_MANIFEST;
use crate::registry::records::{Mutability, MutabilityMode, wildcard_matches};

async fn with_mutability(mode: MutabilityMode, exclusions: &[&str]) -> super::Fixture {
    let f = fixture().await;
    let exclusions = exclusions.iter().map(ToString::to_string).collect::<Vec<_>>();
    let change = |repository: &mut crate::registry::records::Repository| {
        repository.mutability = Mutability { mode, exclusions: exclusions.clone() };
        Ok(())
    };
    f.registry.catalog.update_repository(&f.scope, NAME, change).await.expect("changed");
    f
}

#[tokio::test]
async fn immutable_tags_stay() {
    let f = with_mutability(MutabilityMode::Immutable, &[]).await;
    f.push_image(NAME, "v1", "first").await;
    f.push_image(NAME, "v1", "first").await;
    let other = f.image(NAME, "second").await;
    let got = f.put_manifest(NAME, "v1", OCI_MANIFEST, &other).await;
    let got = got.refused(StatusCode::BAD_REQUEST, "TAG_INVALID");
    assert_eq!(
        got.json()["errors"][0]["message"],
        "The image tag 'v1' already exists in the 'team/app' repository and cannot be overwritten because the tag is immutable."
    );
    f.put_manifest(NAME, "v2", OCI_MANIFEST, &other).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn exclusions_turn_the_rule_around() {
    for (mode, moves) in
        [(MutabilityMode::ImmutableWithExclusion, true), (MutabilityMode::MutableWithExclusion, false)]
    {
        let f = with_mutability(mode, &["dev-*", "latest"]).await;
        for (tag, excluded) in [("dev-1", true), ("latest", true), ("v1", false)] {
            f.push_image(NAME, tag, "first").await;
            let other = f.image(NAME, "second").await;
            let got = f.put_manifest(NAME, tag, OCI_MANIFEST, &other).await;
            assert_eq!(got.status == StatusCode::CREATED, excluded == moves, "{mode:?} {tag}");
        }
    }
}

#[tokio::test]
async fn a_moved_tag_leaves_its_image_untagged() {
    let f = fixture().await;
    let first = f.push_image(NAME, "latest", "first").await;
    let second = f.push_image(NAME, "latest", "second").await;
    let tags = |digest: &Digest| {
        f.registry.catalog.image_by_digest(&f.scope, NAME, digest).expect("kept").tags.clone()
    };
    assert_eq!((tags(&first), tags(&second)), (vec![], vec!["latest".to_owned()]));
}

#[tokio::test]
async fn repositories_go_with_what_they_hold() {
    let f = fixture().await;
    for at in 0..30 {
        f.push_image(NAME, &format!("tag{at}"), &format!("image {at}")).await;
    }
    let catalog = &f.registry.catalog;
    let refused = catalog.delete_repository(&f.scope, NAME, false).await;
    assert!(matches!(refused, Err(CatalogError::RepositoryNotEmpty { .. })), "{refused:?}");
    catalog.delete_repository(&f.scope, OTHER, false).await.expect("empty");
    catalog.delete_repository(&f.scope, NAME, true).await.expect("forced");
    assert!(catalog.images(&f.scope, NAME).is_empty());
    assert!(catalog.tags(&f.scope, NAME, None, 10).is_empty());
    assert!(catalog.layer(&f.scope, NAME, &Digest::sha256(b"image 1")).is_none());
    let refused = catalog.delete_repository(&f.scope, NAME, true).await;
    assert!(matches!(refused, Err(CatalogError::RepositoryNotFound { .. })));
    catalog.create_repository(&f.scope, settings(NAME)).await.expect("made again");
    let refused = catalog.create_repository(&f.scope, settings(NAME)).await;
    assert!(matches!(refused, Err(CatalogError::RepositoryAlreadyExists { .. })));
}

#[tokio::test]
async fn an_image_of_many_tags_goes_whole() {
    let f = fixture().await;
    let manifest = f.image(NAME, "layer").await;
    for at in 0..120 {
        f.put_manifest(NAME, &format!("t{at:03}"), OCI_MANIFEST, &manifest).await.expect(StatusCode::CREATED);
    }
    let digest = Digest::sha256(manifest.to_string().as_bytes());
    let removed = f.registry.catalog.delete_image(&f.scope, NAME, &digest).await.expect("deleted");
    let expected = (0..120).map(|at| format!("t{at:03}")).collect::<Vec<_>>();
    assert_eq!(removed, Some(expected));
    assert!(f.registry.catalog.tags(&f.scope, NAME, None, 200).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_of_one_tag_at_once_end_in_one_image_with_it() {
    let f = Arc::new(fixture().await);
    let pushes = (0..8).map(|at| {
        let f = Arc::clone(&f);
        tokio::spawn(async move { f.push_image(NAME, "latest", &format!("image {at}")).await })
    });
    for push in pushes.collect::<Vec<_>>() {
        push.await.expect("pushed");
    }
    let images = f.registry.catalog.images(&f.scope, NAME);
    let tagged = images.iter().filter(|image| !image.tags.is_empty()).collect::<Vec<_>>();
    let pointed = f.registry.catalog.image_by_tag(&f.scope, NAME, "latest").expect("the tag");
    assert_eq!((images.len(), tagged.len()), (8, 1));
    assert_eq!(tagged[0].digest, pointed.digest);
}

proptest! {
    /// Against the obvious, exponential matcher.
    #[test]
    fn wildcards(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
        fn plain(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([], []) => true,
                ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| plain(rest, &text[at..])),
                ([a, rest @ ..], [b, text @ ..]) => a == b && plain(rest, text),
                _ => false,
            }
        }
        prop_assert_eq!(wildcard_matches(&pattern, &text), plain(pattern.as_bytes(), text.as_bytes()));
    }
}

#[tokio::test]
async fn lifecycle_policies_are_applied() {
    let mut f = fixture().await;
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    f.now = f.now - 3 * day;
    f.push_image(NAME, "old", "old").await;
    f.push_image(OTHER, "old", "old").await;
    f.now = f.now + 3 * day;
    let kept = f.push_image(NAME, "new", "new").await;
    let policy = serde_json::json!({ "rules": [{ "rulePriority": 1, "action": { "type": "expire" }, "selection":
        { "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 2 } }] });
    let lifecycle = crate::registry::records::Lifecycle { text: policy.to_string(), evaluated_at: f.now };
    let change = |repository: &mut crate::registry::records::Repository| {
        repository.lifecycle = Some(lifecycle.clone());
        Ok(())
    };
    let catalog = &f.registry.catalog;
    catalog.update_repository(&f.scope, NAME, change).await.expect("changed");
    let apply =
        async || crate::services::ecr::apply_lifecycle_policies(catalog, f.now + day).await.expect("applied");
    assert_eq!(apply().await, 1);
    assert_eq!(apply().await, 0, "settled");
    let left = catalog.images(&f.scope, NAME);
    assert_eq!(left.iter().map(|image| &image.digest).collect::<Vec<_>>(), [&kept]);
    assert_eq!(catalog.images(&f.scope, OTHER).len(), 1, "without a policy nothing expires");
    assert_eq!(
        catalog.repository(&f.scope, NAME).expect("there").lifecycle.as_ref().map(|l| l.evaluated_at),
        Some(f.now + day)
    );
}

#[tokio::test]
async fn images_appear_in_other_regions() {
    use crate::registry::records::{Replication, ReplicationRule};
    let f = fixture().await;
    f.push_image(NAME, "before", "before the rule").await;
    let to = vocabulary::Scope::new(f.scope.account.clone(), "eu-west-1".parse().expect("a region"));
    let mut later = f;
    later.now = later.now + std::time::Duration::from_secs(1);
    let f = later;
    let rule = ReplicationRule { destinations: vec![to.clone()], prefixes: vec!["team/app".to_owned()] };
    let replication = Replication { rules: vec![rule], since: f.now };
    let state = f.registry.catalog.state();
    let put = state.transact(|tx| {
        tx.put(&f.scope, Replication::ID, replication.clone());
        Ok::<_, CatalogError>(())
    });
    put.await.expect("stored");

    let child = f.push_image(NAME, "child", "child").await;
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": crate::registry::manifest::OCI_INDEX,
        "manifests": [{ "mediaType": OCI_MANIFEST, "digest": child, "size": 1 }] });
    let got = f.put_manifest(NAME, "index", crate::registry::manifest::OCI_INDEX, &index).await;
    got.expect(StatusCode::CREATED);
    f.push_image(OTHER, "other", "not in the rule").await;
    let there = || f.registry.catalog.tags(&to, NAME, None, 10);
    let mut changes = state.watch::<crate::registry::records::Tag>();
    while there() != ["child", "index"] {
        let bound = std::time::Duration::from_secs(10);
        tokio::time::timeout(bound, changes.next()).await.expect("it appears").expect("a change");
    }
    assert!(f.registry.catalog.repository(&to, OTHER).is_err());
    assert!(f.registry.catalog.layer(&to, NAME, &Digest::sha256(b"child")).is_some());
    assert_eq!(f.registry.replicate_missing(f.now).await, 0, "nothing is left");
    f.registry.catalog.delete_repository(&to, NAME, true).await.expect("deleted");
    assert_eq!(
        f.registry.replicate_missing(f.now).await,
        2,
        "the image and its index, not what was there before"
    );
    assert_eq!(there(), ["child", "index"]);
}
