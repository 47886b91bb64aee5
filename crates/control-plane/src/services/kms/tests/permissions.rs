//! Who may use a key: policies and grants.

use super::*;
use crate::services::{iam::testing::user, testing::refused};

const ALL: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:*","Resource":"*"}}"#;

fn encrypting(key: &str, pairs: &[(&str, &str)]) -> kms::EncryptRequest {
    kms::EncryptRequest {
        key_id: text(key),
        plaintext: Some(vec![1]),
        encryption_context: context(pairs),
        ..Default::default()
    }
}

fn decrypting(blob: &[u8], pairs: &[(&str, &str)]) -> kms::DecryptRequest {
    kms::DecryptRequest {
        ciphertext_blob: Some(blob.to_vec()),
        encryption_context: context(pairs),
        ..Default::default()
    }
}

#[tokio::test]
async fn the_accounts_policies_count_as_long_as_the_keys_policy_names_the_account() {
    let fixture = Fixture::new().await;
    let (ann, bob) = (user(&fixture, "ann", &[ALL]).await, user(&fixture, "bob", &[]).await);
    let key = key(&fixture).await;
    may::<kms::Encrypt>(&fixture, &ann, encrypting(&key, &[])).unwrap();
    refused(
        may::<kms::Encrypt>(&fixture, &bob, encrypting(&key, &[])),
        "AccessDeniedException",
        "because no identity-based policy allows the kms:Encrypt action",
    );
    // From now on bob alone.
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/bob"},"Action":"kms:*","Resource":"*"}}"#;
    let put = |bypass| kms::PutKeyPolicyRequest {
        key_id: text(&key),
        policy: text(policy),
        bypass_policy_lockout_safety_check: bypass,
        ..Default::default()
    };
    refused(
        policies::put(fixture.call(), put(None)).await,
        "MalformedPolicyDocumentException",
        "will not allow you to update the key policy in the future",
    );
    policies::put(fixture.call(), put(Some(true))).await.unwrap();
    may::<kms::Encrypt>(&fixture, &bob, encrypting(&key, &[])).unwrap();
    let root = fixture.call().principal.clone();
    for other in [&ann, &root] {
        refused(
            may::<kms::Encrypt>(&fixture, other, encrypting(&key, &[])),
            "AccessDeniedException",
            "because no resource-based policy allows the kms:Encrypt action",
        );
    }
}

#[tokio::test]
async fn a_ciphertext_is_the_business_of_the_key_that_made_it() {
    let fixture = Fixture::new().await;
    let (one, two) = (key(&fixture).await, key(&fixture).await);
    let only = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"kms:Decrypt","Resource":"{}",
            "Condition":{{"StringEquals":{{"kms:EncryptionContext:for":"ann"}}}}}}}}"#,
        records::key_arn(&crate::services::testing::scope(), &one)
    );
    let ann = user(&fixture, "ann", &[&only]).await;
    let blob = encrypt(&fixture, &one, b"x", &[("for", "ann")]).await.unwrap();
    may::<kms::Decrypt>(&fixture, &ann, decrypting(&blob, &[("for", "ann")])).unwrap();
    let denied = may::<kms::Decrypt>(&fixture, &ann, decrypting(&blob, &[("for", "bob")]));
    refused(denied, "AccessDeniedException", &one);
    let other = encrypt(&fixture, &two, b"x", &[("for", "ann")]).await.unwrap();
    let denied = may::<kms::Decrypt>(&fixture, &ann, decrypting(&other, &[("for", "ann")]));
    refused(denied, "AccessDeniedException", &two);
}

async fn grant(fixture: &Fixture, key: &str, constraints: kms::GrantConstraints) -> kms::CreateGrantResponse {
    let input = kms::CreateGrantRequest {
        key_id: text(key),
        grantee_principal: text("arn:aws:iam::000000000000:user/ann"),
        operations: Some(vec![kms::GrantOperation::Decrypt, kms::GrantOperation::DescribeKey]),
        constraints: Some(constraints),
        ..Default::default()
    };
    grants::create(fixture.call(), input).await.unwrap()
}

#[tokio::test]
async fn a_grant_allows_what_it_names_until_it_is_revoked() {
    let fixture = Fixture::new().await;
    let ann = user(&fixture, "ann", &[]).await;
    let key = key(&fixture).await;
    let blob = encrypt(&fixture, &key, b"x", &[]).await.unwrap();
    let ask = || may::<kms::Decrypt>(&fixture, &ann, decrypting(&blob, &[]));
    ask().unwrap_err();
    let made = grant(&fixture, &key, Default::default()).await;
    ask().unwrap();
    refused(
        may::<kms::Encrypt>(&fixture, &ann, encrypting(&key, &[])),
        "AccessDeniedException",
        "kms:Encrypt",
    );
    let revoke = kms::RevokeGrantRequest { key_id: text(&key), grant_id: made.grant_id, dry_run: None };
    grants::revoke(fixture.call(), revoke).await.unwrap();
    ask().unwrap_err();
}

#[tokio::test]
async fn a_grants_constraint_is_on_the_encryption_context_of_what_has_one() {
    let fixture = Fixture::new().await;
    let ann = user(&fixture, "ann", &[]).await;
    let key = key(&fixture).await;
    let blob = encrypt(&fixture, &key, b"x", &[]).await.unwrap();
    let ask = |pairs: &[(&str, &str)]| may::<kms::Decrypt>(&fixture, &ann, decrypting(&blob, pairs)).is_ok();
    let subset = kms::GrantConstraints {
        encryption_context_subset: context(&[("a", "${aws:username}")]),
        ..Default::default()
    };
    let made = grant(&fixture, &key, subset).await;
    assert!(ask(&[("a", "${aws:username}")]));
    assert!(ask(&[("a", "${aws:username}"), ("b", "2")]));
    assert!(!ask(&[("a", "ann")]), "a constraint is a text, not a pattern");
    assert!(!ask(&[("b", "2")]));
    assert!(!ask(&[]));
    let describe = kms::DescribeKeyRequest { key_id: text(&key), ..Default::default() };
    may::<kms::DescribeKey>(&fixture, &ann, describe).unwrap();
    let retire = kms::RetireGrantRequest { grant_token: made.grant_token, ..Default::default() };
    grants::retire(fixture.call(), retire).await.unwrap();
    let equals =
        kms::GrantConstraints { encryption_context_equals: context(&[("a", "1")]), ..Default::default() };
    grant(&fixture, &key, equals).await;
    assert!(ask(&[("a", "1")]));
    assert!(!ask(&[("a", "1"), ("b", "2")]));
}

#[tokio::test]
async fn a_grant_is_retired_by_those_who_may() {
    let fixture = Fixture::new().await;
    let (ann, bob) = (user(&fixture, "ann", &[]).await, user(&fixture, "bob", &[]).await);
    let key = key(&fixture).await;
    let input = kms::CreateGrantRequest {
        key_id: text(&key),
        grantee_principal: Some(ann.arn.clone()),
        retiring_principal: Some(bob.arn.clone()),
        operations: Some(vec![kms::GrantOperation::Decrypt]),
        name: text("one"),
        ..Default::default()
    };
    let first = grants::create(fixture.call(), input.clone()).await.unwrap();
    let again = grants::create(fixture.call(), input).await.unwrap();
    assert_eq!(first.grant_id, again.grant_id, "a grant of the same name and content is the same");
    let retire = |who: &Principal, token: &Option<String>| {
        let input = kms::RetireGrantRequest { grant_token: token.clone(), ..Default::default() };
        grants::retire(fixture.call_as(who.clone()), input)
    };
    refused(retire(&ann, &first.grant_token).await, "AccessDeniedException", "kms:RetireGrant");
    refused(retire(&bob, &text("made up")).await, "InvalidGrantTokenException", "");
    retire(&bob, &first.grant_token).await.unwrap();
    refused(retire(&bob, &first.grant_token).await, "NotFoundException", "");
}
