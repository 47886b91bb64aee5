//! Tokens that are signed here, with keys that the platform was given as if it had fetched them.

use std::sync::Arc;

use aws_shapes_iam as iam;
use aws_shapes_sts as sts;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::{assume_role, keys::KeySet, token::Token};
use crate::{
    gateway::ApiError,
    services::{
        iam::{
            access_keys::{AccessKey, look_up},
            oidc, roles,
        },
        testing::{Fixture, NOW, refused, text},
    },
};

const ISSUER: &str = "https://tokens.example.com/ci";
const PROVIDER: &str = "arn:aws:iam::000000000000:oidc-provider/tokens.example.com/ci";

/// A provider with one key.
struct Signer {
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new() -> Signer {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random);
        Signer { pair: pair.unwrap() }
    }

    fn keys(&self) -> Arc<KeySet> {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let key = json!({"kty":"EC","kid":"1","use":"sig","alg":"ES256","crv":"P-256","x":B64.encode(x),"y":B64.encode(y)});
        let other = json!({"kty":"oct","k":"c2VjcmV0"});
        Arc::new(serde_json::from_value(json!({"keys":[other, key]})).unwrap())
    }

    fn sign(&self, claims: &Value) -> String {
        let part = |json: &Value| B64.encode(json.to_string());
        let signed = format!("{}.{}", part(&json!({"alg":"ES256","typ":"JWT","kid":"1"})), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", B64.encode(signature.as_ref()))
    }
}

fn claims() -> Value {
    let now = NOW / 1000;
    json!({"iss":ISSUER,"sub":"repo:app:main","aud":"longshore","iat":now,"exp":now + 600})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// A platform that knows the provider and its keys, and a role that trusts it under a condition.
async fn platform(signer: &Signer, condition: &str) -> Fixture {
    let fixture = Fixture::new().await;
    let create = iam::CreateOpenIDConnectProviderRequest {
        url: text(ISSUER),
        client_id_list: Some(vec!["longshore".to_owned()]),
        ..Default::default()
    };
    oidc::create(fixture.call(), create).await.unwrap();
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Federated":"{PROVIDER}"}},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{{{condition}}}}}]}}"#
    );
    let role = iam::CreateRoleRequest {
        role_name: text("deploy"),
        assume_role_policy_document: Some(trust),
        ..Default::default()
    };
    roles::create(fixture.call(), role).await.unwrap();
    fixture.services.identity_keys.remember("tokens.example.com/ci", signer.keys(), fixture.now());
    fixture
}

async fn assume(
    fixture: &Fixture,
    token: String,
) -> Result<sts::AssumeRoleWithWebIdentityResponse, ApiError> {
    let input = sts::AssumeRoleWithWebIdentityRequest {
        role_arn: text("arn:aws:iam::000000000000:role/deploy"),
        role_session_name: text("ci"),
        web_identity_token: Some(token),
        ..Default::default()
    };
    assume_role(fixture.call(), input).await
}

#[tokio::test]
async fn a_token_of_a_known_provider_begins_a_session() {
    let signer = Signer::new();
    let condition = r#""StringEquals":{"tokens.example.com/ci:aud":"longshore"},"StringLike":{"tokens.example.com/ci:sub":"repo:app:*"}"#;
    let fixture = platform(&signer, condition).await;
    let answer = assume(&fixture, signer.sign(&claims())).await.unwrap();
    assert_eq!(answer.subject_from_web_identity_token.as_deref(), Some("repo:app:main"));
    assert_eq!(answer.audience.as_deref(), Some("longshore"));
    assert_eq!(
        answer.assumed_role_user.unwrap().arn.as_deref(),
        Some("arn:aws:sts::000000000000:assumed-role/deploy/ci")
    );
    let key = answer.credentials.unwrap().access_key_id.unwrap();
    assert!(matches!(
        look_up(&fixture.services, &key, fixture.now()),
        crate::services::iam::access_keys::Lookup::Signs(_)
    ));
    let scope = crate::services::ec2::records::global();
    let kept = fixture.services.state.read(|view| view.get::<AccessKey>(&scope, &key)).unwrap();
    assert_eq!(kept.session.provider.as_deref(), Some(PROVIDER));
    // Another branch is not what the role trusts.
    refused(
        assume(&fixture, signer.sign(&with("sub", json!("repo:other:main")))).await,
        "AccessDenied",
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
    );
}

#[tokio::test]
async fn tokens_that_prove_nothing_are_refused() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let fixture = platform(&signer, "").await;
    let good = signer.sign(&claims());
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other_claims = B64.encode(with("sub", json!("root")).to_string());
    let unsigned = B64.encode(r#"{"alg":"none"}"#);
    let now = NOW / 1000;
    for (token, code, fragment) in [
        (stranger.sign(&claims()), "InvalidIdentityToken", "verification key"),
        (format!("{head}.{other_claims}.{signature}"), "InvalidIdentityToken", "verification key"),
        (format!("{unsigned}.{other_claims}."), "InvalidIdentityToken", "none"),
        (signer.sign(&with("aud", json!("other"))), "InvalidIdentityToken", "audience"),
        (
            signer.sign(&with("iss", json!("https://elsewhere.example.com"))),
            "InvalidIdentityToken",
            "No OpenIDConnect provider",
        ),
        (signer.sign(&with("exp", json!(now))), "ExpiredTokenException", "Token expired"),
        (signer.sign(&with("nbf", json!(now + 3600))), "InvalidIdentityToken", "not valid yet"),
        (signer.sign(&with("sub", json!(7))), "InvalidIdentityToken", "sub"),
        ("text".to_owned(), "InvalidIdentityToken", "not a valid JWT"),
        ("a.b.c".to_owned(), "InvalidIdentityToken", "not a valid JWT"),
    ] {
        refused(assume(&fixture, token).await, code, fragment);
    }
    assume(&fixture, good).await.unwrap();
}

#[tokio::test]
async fn a_role_that_does_not_trust_the_provider_is_not_had() {
    let signer = Signer::new();
    let fixture = platform(&signer, "").await;
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:*"}]}"#;
    let update =
        iam::UpdateAssumeRolePolicyRequest { role_name: text("deploy"), policy_document: text(trust) };
    roles::update_trust(fixture.call(), update).await.unwrap();
    refused(assume(&fixture, signer.sign(&claims())).await, "AccessDenied", "Not authorized");
}

#[tokio::test]
async fn tags_of_a_token_are_tags_of_the_session() {
    let signer = Signer::new();
    let tagged = with(
        "https://aws.amazon.com/tags",
        json!({"principal_tags":{"team":["blue"]},"transitive_tag_keys":["team"]}),
    );
    let fixture = platform(&signer, "").await;
    refused(assume(&fixture, signer.sign(&tagged)).await, "AccessDenied", "sts:TagSession");
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Federated":"{PROVIDER}"}},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{{"StringEquals":{{"aws:RequestTag/team":"blue"}}}}}}]}}"#
    );
    let update =
        iam::UpdateAssumeRolePolicyRequest { role_name: text("deploy"), policy_document: Some(trust) };
    roles::update_trust(fixture.call(), update).await.unwrap();
    let key =
        assume(&fixture, signer.sign(&tagged)).await.unwrap().credentials.unwrap().access_key_id.unwrap();
    let scope = crate::services::ec2::records::global();
    let kept = fixture.services.state.read(|view| view.get::<AccessKey>(&scope, &key)).unwrap();
    assert_eq!(kept.session.tags.get("team").map(String::as_str), Some("blue"));
    assert_eq!(kept.session.transitive_tags, ["team"]);
}

/// Made with openssl: a key of 2048 bits and a signature of it.
#[test]
fn signatures_of_rsa_are_verified() {
    let case: Value = serde_json::from_str(include_str!("tests/rsa.json")).unwrap();
    let keys: KeySet = serde_json::from_value(case["keys"].clone()).unwrap();
    let token = case["token"].as_str().unwrap();
    assert!(keys.verify(&Token::parse(token).unwrap()));
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = B64.decode(signature).unwrap();
    bytes[7] ^= 1;
    assert!(!keys.verify(&Token::parse(&format!("{rest}.{}", B64.encode(bytes))).unwrap()));
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_token_or_none(text in "[A-Za-z0-9_.-]{0,120}") {
        let _ = Token::parse(&text);
    }
}
