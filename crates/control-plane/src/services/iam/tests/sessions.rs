//! Sessions: who gets one, what it stands for, and when it ends.

use std::time::Duration;

use aws_shapes_iam as api;
use aws_shapes_sts as sts;
use vocabulary::{AccountId, SeededIds, Timestamp};

use super::{Fixture, NOW, TASKS, refused, text};
use crate::{
    gateway::ApiError,
    services::{
        iam::{
            access_keys::{self, AccessKey, Lookup, SessionCredentials, forget_expired},
            inline, keys,
            records::LastUse,
            roles,
            sessions::{CannotAssume, TaskSession, task_credentials},
        },
        sts::{calls, federation},
    },
};

const ROLE: &str = "arn:aws:iam::000000000000:role/r";
const HOUR: i64 = 3_600_000;

fn trusting_account() -> String {
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"xyz"}}}]}"#.to_owned()
}

/// Lets the role `r` begin sessions itself, with tags and a source identity.
async fn may_assume(fixture: &Fixture) {
    let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}"#;
    let input = api::PutRolePolicyRequest {
        role_name: text("r"),
        policy_name: text("chain"),
        policy_document: text(policy),
    };
    inline::put_role(fixture.call(), input).await.unwrap();
}

fn look_up(fixture: &Fixture, key: &str, now: i64) -> Lookup {
    access_keys::look_up(&fixture.services, key, Timestamp::from_millis(now))
}

fn wanted(external_id: Option<&str>, seconds: Option<i32>) -> sts::AssumeRoleRequest {
    sts::AssumeRoleRequest {
        role_arn: text(ROLE),
        role_session_name: text("monday"),
        external_id: external_id.map(str::to_owned),
        duration_seconds: seconds,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_role_is_assumed_by_whom_it_trusts() {
    let fixture = Fixture::new().await;
    let assume = |input| calls::assume_role(fixture.call(), input);
    let denied = format!(
        "User: arn:aws:iam::000000000000:root is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
    );
    refused(assume(wanted(Some("xyz"), None)).await, "AccessDenied", &denied);
    fixture.role("r", &trusting_account()).await.unwrap();
    refused(assume(wanted(None, None)).await, "AccessDenied", &denied);
    refused(
        assume(wanted(Some("xyz"), Some(3601))).await,
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    );
    let answer = assume(wanted(Some("xyz"), Some(900))).await.unwrap();
    let arn = "arn:aws:sts::000000000000:assumed-role/r/monday";
    assert_eq!(answer.assumed_role_user.unwrap().arn.as_deref(), Some(arn));
    let key = answer.credentials.unwrap().access_key_id.unwrap();
    assert!(key.starts_with("ASIA"));
    let principal = fixture.signer(&key, NOW + 899_999).unwrap();
    assert_eq!(principal.arn, arn);
    assert!(principal.user_id.starts_with("AROA") && principal.user_id.ends_with(":monday"));
    assert_eq!(fixture.signer(&key, NOW + 900_000), None);

    // From a session, no other session of that user's kind can be had, and roles for an hour at most.
    let chained = fixture.call_by(principal.clone(), NOW);
    refused(
        federation::get_session_token(chained, Default::default()).await,
        "AccessDenied",
        "Cannot call GetSessionToken with session credentials",
    );
    // The role trusts its account: those in it who are no root need a permission of their own.
    let chained = || calls::assume_role(fixture.call_by(principal.clone(), NOW), wanted(Some("xyz"), None));
    let message = format!("User: {arn} is not authorized to perform: sts:AssumeRole on resource: {ROLE}");
    refused(chained().await, "AccessDenied", &message);
    may_assume(&fixture).await;
    assert!(chained().await.is_ok());
}

#[tokio::test]
async fn sessions_end_with_their_time_and_with_their_role() {
    let fixture = Fixture::new().await;
    fixture.role("r", &trusting_account()).await.unwrap();
    let mut keys = Vec::new();
    for seconds in [900, 3600] {
        let answer = calls::assume_role(fixture.call(), wanted(Some("xyz"), Some(seconds))).await.unwrap();
        keys.push(answer.credentials.unwrap().access_key_id.unwrap());
    }
    let kept = || fixture.services.state.read(|view| view.count_all::<AccessKey>());
    let forget = |at: i64| forget_expired(&fixture.services, Timestamp::from_millis(at));
    // For an hour after its end a session is known to be over.
    forget(NOW + 900_000 + HOUR).await.unwrap();
    assert!(matches!(look_up(&fixture, &keys[0], NOW + 900_000), Lookup::Expired));
    forget(NOW + 900_001 + HOUR).await.unwrap();
    assert!(matches!(look_up(&fixture, &keys[0], NOW + 900_000), Lookup::Unknown));
    assert_eq!(kept(), 1);
    assert!(fixture.signer(&keys[1], NOW).is_some());
    roles::delete(fixture.call(), api::DeleteRoleRequest { role_name: text("r") }).await.unwrap();
    assert_eq!(fixture.signer(&keys[1], NOW), None);
    assert_eq!(kept(), 0);
}

#[tokio::test]
async fn the_roots_sessions_are_short() {
    let fixture = Fixture::new().await;
    let input = sts::GetSessionTokenRequest { duration_seconds: Some(43_200), ..Default::default() };
    let answer = federation::get_session_token(fixture.call(), input).await.unwrap();
    let key = answer.credentials.unwrap().access_key_id.unwrap();
    assert_eq!(fixture.signer(&key, NOW).unwrap().arn, "arn:aws:iam::000000000000:root");
    assert_eq!(fixture.signer(&key, NOW + HOUR), None);
}

async fn for_task(fixture: &Fixture, role_arn: &str) -> Result<SessionCredentials, CannotAssume> {
    let account = AccountId::local();
    let session = TaskSession {
        role_arn,
        session_name: "0123456789abcdef",
        account: &account,
        source_arn: "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef",
        duration: Duration::from_secs(6 * 3600),
        now: Timestamp::from_millis(NOW),
    };
    let mut outcome = None;
    let committed = fixture.services.state.transact(|tx| {
        outcome = Some(task_credentials(tx, &session, &mut SeededIds::new(1)));
        Ok::<_, ApiError>(())
    });
    committed.await.unwrap();
    outcome.unwrap()
}

#[tokio::test]
async fn a_task_gets_its_role_when_the_role_trusts_tasks() {
    let fixture = Fixture::new().await;
    let unable = |arn: &str| {
        format!(
            "ECS was unable to assume the role '{arn}' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role."
        )
    };
    assert_eq!(for_task(&fixture, ROLE).await.unwrap_err().to_string(), unable(ROLE));
    fixture.role("r", &trusting_account()).await.unwrap();
    assert_eq!(for_task(&fixture, ROLE).await.unwrap_err().to_string(), unable(ROLE));
    let elsewhere = "arn:aws:iam::111122223333:role/r";
    assert_eq!(for_task(&fixture, elsewhere).await.unwrap_err().to_string(), unable(elsewhere));

    let own_tasks = TASKS.replace(
        r#""Action":"sts:AssumeRole""#,
        r#""Action":"sts:AssumeRole","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:ecs:us-east-1:000000000000:*"},"StringEquals":{"aws:SourceAccount":"000000000000"}}"#,
    );
    let update =
        api::UpdateAssumeRolePolicyRequest { role_name: text("r"), policy_document: Some(own_tasks) };
    roles::update_trust(fixture.call(), update).await.unwrap();
    let credentials = for_task(&fixture, ROLE).await.unwrap();
    let principal = fixture.signer(&credentials.access_key, NOW + 6 * HOUR - 1).unwrap();
    assert_eq!(principal.arn, "arn:aws:sts::000000000000:assumed-role/r/0123456789abcdef");
    assert_eq!(fixture.signer(&credentials.access_key, NOW + 6 * HOUR), None);
}

#[tokio::test]
async fn tags_need_their_own_permission_and_go_on() {
    let fixture = Fixture::new().await;
    let trust = |actions: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"000000000000"}},"Action":{actions}}}]}}"#
        )
    };
    fixture.role("r", &trust(r#""sts:AssumeRole""#)).await.unwrap();
    let tagged = || sts::AssumeRoleRequest {
        tags: Some(vec![sts::Tag { key: text("team"), value: text("a") }]),
        transitive_tag_keys: Some(vec!["team".to_owned()]),
        source_identity: text("bob"),
        ..wanted(None, None)
    };
    let refusal = |action: &str| {
        format!(
            "User: arn:aws:iam::000000000000:root is not authorized to perform: {action} on resource: {ROLE}"
        )
    };
    let assume = |input| calls::assume_role(fixture.call(), input);
    refused(assume(tagged()).await, "AccessDenied", &refusal("sts:TagSession"));
    let allow = |actions: &str| {
        let policy_document = Some(trust(actions));
        let input = api::UpdateAssumeRolePolicyRequest { role_name: text("r"), policy_document };
        roles::update_trust(fixture.call(), input)
    };
    allow(r#"["sts:AssumeRole","sts:TagSession"]"#).await.unwrap();
    refused(assume(tagged()).await, "AccessDenied", &refusal("sts:SetSourceIdentity"));
    allow(r#"["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]"#).await.unwrap();
    let first = assume(tagged()).await.unwrap().credentials.unwrap().access_key_id.unwrap();
    may_assume(&fixture).await;
    let chained = fixture.call_by(fixture.signer(&first, NOW).unwrap(), NOW);
    let second = calls::assume_role(chained, wanted(None, None)).await.unwrap();
    assert_eq!(second.source_identity.as_deref(), Some("bob"));
    let id = second.credentials.unwrap().access_key_id.unwrap();
    let scope = crate::services::ec2::records::global();
    let key = fixture.services.state.read(|view| view.get::<AccessKey>(&scope, &id)).unwrap();
    assert_eq!(key.session.tags.get("team").map(String::as_str), Some("a"));
}

#[tokio::test]
async fn the_last_use_is_noted_once_a_minute() {
    let fixture = Fixture::new().await;
    fixture.user("bob").await;
    let id = fixture.key("bob").await.access_key_id.unwrap();
    let bob = fixture.signer(&id, NOW).unwrap();
    let last_used = || {
        let input = api::GetAccessKeyLastUsedRequest { access_key_id: text(&id) };
        keys::last_used(fixture.call(), input)
    };
    let before = last_used().await.unwrap();
    assert_eq!(before.access_key_last_used.unwrap().service_name.as_deref(), Some("N/A"));
    let mut changes = fixture.services.state.watch::<LastUse>();
    let note = |service, at| {
        access_keys::note_use(&fixture.services, &bob, service, "us-east-1", Timestamp::from_millis(at));
    };
    note("ecs", NOW);
    tokio::time::timeout(Duration::from_secs(10), changes.next())
        .await
        .expect("in time")
        .expect("the use is noted");
    note("sts", NOW + 59_999);
    note("logs", NOW + 60_000);
    tokio::time::timeout(Duration::from_secs(10), changes.next())
        .await
        .expect("in time")
        .expect("the use is noted");
    let after = last_used().await.unwrap().access_key_last_used.unwrap();
    // The use in between would have come to be written first.
    assert_eq!(after.service_name.as_deref(), Some("logs"));
    assert_eq!(after.region.as_deref(), Some("us-east-1"));
}

#[test]
fn an_issued_key_is_known_as_such_for_ever() {
    use crate::services::iam::names::{access_key_id, is_issued_key};
    let mut ids = SeededIds::new(7);
    for prefix in ["AKIA", "ASIA"] {
        let id = access_key_id(&mut ids, prefix);
        assert!(id.len() == 20 && is_issued_key(&id), "{id}");
        assert!(!is_issued_key(&id[..19]));
    }
    for stranger in ["", "test", "000000000000", "AKIAIOSFODNN7EXAMPLE", "ASIAAAAAAAAAAAAAAAé"] {
        assert!(!is_issued_key(stranger), "{stranger}");
    }
}
