//! Who may assume a role, by its trust policy and their own.

use aws_shapes_iam as iam;
use aws_shapes_sts as sts;

use crate::{
    gateway::{ApiError, Principal},
    services::{
        iam::{
            roles,
            testing::{role_session, user},
        },
        sts::calls,
        testing::{Fixture, refused, text},
    },
};

const MAY_ASSUME: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::000000000000:role/target"}}"#;
const ACCOUNT: &str = r#"{"AWS":"arn:aws:iam::000000000000:root"}"#;
const ANN: &str = r#"{"AWS":"arn:aws:iam::000000000000:user/ann"}"#;

/// The role `target` with a statement for `principal` and, unless it is empty, a condition.
async fn target(fixture: &Fixture, principal: &str, condition: &str) {
    let statement = format!(r#""Principal":{principal},"Action":["sts:AssumeRole","sts:TagSession"]"#);
    trusting(fixture, &format!(r#"[{{"Effect":"Allow",{statement},"Condition":{{{condition}}}}}]"#)).await;
}

async fn trusting(fixture: &Fixture, statements: &str) {
    let input = iam::CreateRoleRequest {
        role_name: text("target"),
        assume_role_policy_document: Some(format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#)),
        ..Default::default()
    };
    roles::create(fixture.call(), input).await.unwrap();
}

fn wanted() -> sts::AssumeRoleRequest {
    sts::AssumeRoleRequest {
        role_arn: text("arn:aws:iam::000000000000:role/target"),
        role_session_name: text("monday"),
        ..Default::default()
    }
}

async fn assume(
    fixture: &Fixture,
    who: &Principal,
    input: sts::AssumeRoleRequest,
) -> Result<sts::AssumeRoleResponse, ApiError> {
    calls::assume_role(fixture.call_as(who.clone()), input).await
}

async fn assumed(fixture: &Fixture, who: &Principal) -> bool {
    assume(fixture, who, wanted()).await.is_ok()
}

#[tokio::test]
async fn a_trust_policy_that_names_the_account_leaves_it_to_the_callers_policies() {
    let fixture = Fixture::new().await;
    let (ann, bob) = (user(&fixture, "ann", &[MAY_ASSUME]).await, user(&fixture, "bob", &[]).await);
    target(&fixture, ACCOUNT, "").await;
    assert!(assumed(&fixture, &ann).await);
    refused(
        assume(&fixture, &bob, wanted()).await,
        "AccessDenied",
        "User: arn:aws:iam::000000000000:user/bob is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::000000000000:role/target",
    );
    // What no policy allows bob, the root may: it is the account.
    assert!(assumed(&fixture, &fixture.call().principal).await);
    let session = role_session(&fixture, "worker", &[MAY_ASSUME]).await;
    let idle = role_session(&fixture, "idle", &[]).await;
    assert!(assumed(&fixture, &session).await);
    assert!(!assumed(&fixture, &idle).await);
}

#[tokio::test]
async fn a_trust_policy_that_names_the_caller_is_enough_within_the_account() {
    let fixture = Fixture::new().await;
    let denied = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"sts:*","Resource":"*"}}"#;
    let (ann, bob) = (user(&fixture, "ann", &[]).await, user(&fixture, "bob", &[MAY_ASSUME]).await);
    target(&fixture, ANN, "").await;
    assert!(assumed(&fixture, &ann).await);
    assert!(!assumed(&fixture, &bob).await);
    let input = iam::PutUserPolicyRequest {
        user_name: text("ann"),
        policy_name: text("deny"),
        policy_document: text(denied),
    };
    crate::services::iam::inline::put_user(fixture.call(), input).await.unwrap();
    assert!(!assumed(&fixture, &ann).await, "a denial wins");
}

#[tokio::test]
async fn a_role_is_named_for_all_of_its_sessions_and_a_session_for_itself() {
    for (principal, expected) in [
        (r#"{"AWS":"arn:aws:iam::000000000000:role/worker"}"#, true),
        (r#"{"AWS":"arn:aws:sts::000000000000:assumed-role/worker/session"}"#, true),
        (r#"{"AWS":"arn:aws:sts::000000000000:assumed-role/worker/other"}"#, false),
        (r#"{"AWS":"*"}"#, true),
        (r#"{"AWS":"444455556666"}"#, false),
        (r#"{"Service":"ecs-tasks.amazonaws.com"}"#, false),
    ] {
        let fixture = Fixture::new().await;
        let session = role_session(&fixture, "worker", &[]).await;
        target(&fixture, principal, "").await;
        assert_eq!(assumed(&fixture, &session).await, expected, "{principal}");
    }
}

#[tokio::test]
async fn across_accounts_both_sides_have_to_allow() {
    let fixture = Fixture::new().await;
    target(&fixture, r#"{"AWS":"444455556666"}"#, "").await;
    let stranger = Principal::root(&"444455556666".parse().unwrap(), "test");
    assert!(assumed(&fixture, &stranger).await, "its own account lets its root do everything");
    let user = Principal { arn: "arn:aws:iam::444455556666:user/eve".into(), ..stranger };
    assert!(!assumed(&fixture, &user).await, "nothing in its own account allows it");
    let other = Principal::root(&"777788889999".parse().unwrap(), "test");
    assert!(!assumed(&fixture, &other).await);
}

#[tokio::test]
async fn conditions_of_a_trust_policy_have_to_hold() {
    let with = |id: Option<&str>| sts::AssumeRoleRequest { external_id: id.map(str::to_owned), ..wanted() };
    for (condition, expected) in [
        (r#""StringEquals":{"sts:ExternalId":"xyz"}"#, true),
        (r#""StringEquals":{"STS:externalid":["abc","xyz"]}"#, true),
        (r#""StringEquals":{"sts:ExternalId":"XYZ"}"#, false),
        (r#""StringNotEquals":{"sts:ExternalId":["abc","xyz"]}"#, false),
        (r#""Null":{"sts:ExternalId":"true"}"#, false),
        (r#""StringLike":{"sts:RoleSessionName":"mon*"}"#, true),
        (r#""StringEquals":{"sts:RoleSessionName":"${aws:username}"}"#, false),
        (r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::000000000000:user/*"}"#, true),
        (r#""Bool":{"aws:MultiFactorAuthPresent":"true"}"#, false),
        (r#""IpAddress":{"aws:SourceIp":"192.0.2.0/24"}"#, false),
        (r#""DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}"#, true),
    ] {
        let fixture = Fixture::new().await;
        let ann = user(&fixture, "ann", &[]).await;
        target(&fixture, ANN, condition).await;
        let outcome = assume(&fixture, &ann, with(Some("xyz"))).await;
        assert_eq!(outcome.is_ok(), expected, "{condition}");
    }
}

#[tokio::test]
async fn tags_and_a_source_identity_are_permissions_of_their_own() {
    let fixture = Fixture::new().await;
    let ann = user(&fixture, "ann", &[MAY_ASSUME]).await;
    let tag = |key: &str| sts::Tag { key: text(key), value: text("blue") };
    let tagged = |key: &str| sts::AssumeRoleRequest { tags: Some(vec![tag(key)]), ..wanted() };
    target(&fixture, ACCOUNT, "").await;
    refused(assume(&fixture, &ann, tagged("team")).await, "AccessDenied", "perform: sts:TagSession");
    refused(
        assume(&fixture, &ann, sts::AssumeRoleRequest { source_identity: text("Ann"), ..wanted() }).await,
        "AccessDenied",
        "perform: sts:SetSourceIdentity",
    );
    let limited = Fixture::new().await;
    let ann = user(&limited, "ann", &[]).await;
    target(&limited, ANN, r#""ForAllValues:StringEquals":{"aws:TagKeys":["team"]}"#).await;
    assert!(assume(&limited, &ann, tagged("team")).await.is_ok());
    assert!(assume(&limited, &ann, tagged("owner")).await.is_err());
}

#[tokio::test]
async fn a_denial_in_a_trust_policy_wins_for_whom_it_names() {
    let allow = r#"{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}"#;
    for (principal, expected) in [
        (r#""Principal":{"AWS":"000000000000"}"#, false),
        (r#""Principal":{"AWS":"444455556666"}"#, true),
        (r#""NotPrincipal":{"AWS":"444455556666"}"#, false),
    ] {
        let fixture = Fixture::new().await;
        let ann = user(&fixture, "ann", &[]).await;
        let deny = format!(r#"{{"Effect":"Deny",{principal},"Action":"sts:AssumeRole"}}"#);
        trusting(&fixture, &format!("[{allow},{deny}]")).await;
        assert_eq!(assumed(&fixture, &ann).await, expected, "{principal}");
    }
}
