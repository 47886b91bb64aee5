//! What instances get of their profile, and the credential report.

use aws_schema::Unit;
use aws_shapes_iam as api;
use vocabulary::{AccountId, Timestamp};

use crate::{
    gateway::Principal,
    services::{
        iam::{
            access_keys::{Lookup, look_up},
            inline, instance_profiles,
            instance_roles::{credentials, may_pass},
            logins, report, roles,
            testing::user,
        },
        testing::{Fixture, HOUR, NOW, refused, text},
    },
};

const INSTANCE: &str = "arn:aws:ec2:us-east-1:000000000000:instance/i-0123";

fn trusting(service: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"{service}"}},"Action":"sts:AssumeRole"}}]}}"#
    )
}

/// The profile `node`, and the role `node` in it, if a service is to be trusted by one.
async fn profile(fixture: &Fixture, trusted: Option<&str>) {
    let input =
        api::CreateInstanceProfileRequest { instance_profile_name: text("node"), ..Default::default() };
    instance_profiles::create(fixture.call(), input).await.unwrap();
    let Some(service) = trusted else { return };
    let role = api::CreateRoleRequest {
        role_name: text("node"),
        assume_role_policy_document: Some(trusting(service)),
        ..Default::default()
    };
    roles::create(fixture.call(), role).await.unwrap();
    let add =
        api::AddRoleToInstanceProfileRequest { instance_profile_name: text("node"), role_name: text("node") };
    instance_profiles::add_role(fixture.call(), add).await.unwrap();
}

#[tokio::test]
async fn an_instance_has_the_role_of_its_profile() {
    let fixture = Fixture::new().await;
    let account = AccountId::local();
    let ask = async |keep: Option<&str>, at: i64| {
        let now = Timestamp::from_millis(at);
        credentials(&fixture.services, &account, "node", INSTANCE, keep, now).await
    };
    refused(ask(None, NOW).await, "NoSuchEntity", "node");
    profile(&fixture, Some("ec2.amazonaws.com")).await;
    let first = ask(None, NOW).await.unwrap().unwrap();
    assert_eq!(first.role_name, "node");
    assert_eq!(first.profile_arn, "arn:aws:iam::000000000000:instance-profile/node");
    let Lookup::Signs(key) = look_up(&fixture.services, &first.access_key_id, fixture.now()) else {
        panic!("it signs")
    };
    assert_eq!(key.principal.arn, "arn:aws:sts::000000000000:assumed-role/node/i-0123");
    // What lasts is given again, and only to whom it was given.
    let again = ask(Some(&first.access_key_id), NOW + HOUR).await.unwrap().unwrap();
    assert_eq!(again.access_key_id, first.access_key_id);
    let late = ask(Some(&first.access_key_id), NOW + 6 * HOUR - 60_000).await.unwrap().unwrap();
    assert_ne!(late.access_key_id, first.access_key_id);
    let other = "arn:aws:ec2:us-east-1:000000000000:instance/i-9999";
    let now = Timestamp::from_millis(NOW);
    let foreign =
        credentials(&fixture.services, &account, "node", other, Some(&first.access_key_id), now).await;
    assert_ne!(foreign.unwrap().unwrap().access_key_id, first.access_key_id);
    let remove = api::RemoveRoleFromInstanceProfileRequest {
        instance_profile_name: text("node"),
        role_name: text("node"),
    };
    instance_profiles::remove_role(fixture.call(), remove).await.unwrap();
    assert_eq!(ask(None, NOW).await.unwrap(), None);
}

#[tokio::test]
async fn a_role_that_does_not_trust_ec2_is_no_instances() {
    let fixture = Fixture::new().await;
    profile(&fixture, Some("ecs-tasks.amazonaws.com")).await;
    let now = Timestamp::from_millis(NOW);
    let answer = credentials(&fixture.services, &AccountId::local(), "node", INSTANCE, None, now).await;
    refused(answer, "AccessDenied", "ec2.amazonaws.com is not authorized to perform: sts:AssumeRole");
}

#[tokio::test]
async fn who_gives_a_machine_a_profile_passes_its_role() {
    let fixture = Fixture::new().await;
    profile(&fixture, Some("ec2.amazonaws.com")).await;
    let ann = user(&fixture, "ann", &[]).await;
    let ask = |who: &Principal| may_pass(&fixture.call_as(who.clone()), "node");
    ask(&fixture.call().principal).unwrap();
    refused(ask(&ann), "AccessDenied", "iam:PassRole on resource: arn:aws:iam::000000000000:role/node");
    for (service, expected) in [("ecs-tasks.amazonaws.com", false), ("ec2.amazonaws.com", true)] {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{{"StringEquals":{{"iam:PassedToService":"{service}"}}}}}}}}"#
        );
        let put = api::PutUserPolicyRequest {
            user_name: text("ann"),
            policy_name: text("pass"),
            policy_document: Some(policy),
        };
        inline::put_user(fixture.call(), put).await.unwrap();
        assert_eq!(ask(&ann).is_ok(), expected, "{service}");
    }
}

#[tokio::test]
async fn the_credential_report_tells_of_every_user() {
    let fixture = Fixture::new().await;
    user(&fixture, "ann", &[]).await;
    refused(report::get(fixture.call(), Unit).await, "ReportNotPresent", "");
    report::generate(fixture.call(), Unit).await.unwrap();
    let login = api::CreateLoginProfileRequest {
        user_name: text("ann"),
        password: text("correct horse"),
        ..Default::default()
    };
    logins::create(fixture.call(), login).await.unwrap();
    let answer = report::get(fixture.call(), Unit).await.unwrap();
    let table = String::from_utf8(answer.content.unwrap().to_vec()).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [22, 22, 22]);
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), ["user", "<root_account>", "ann"]);
    assert_eq!(
        &rows[2][1..5],
        ["arn:aws:iam::000000000000:user/ann", "2024-10-04T12:00:00Z", "true", "no_information"]
    );
    fixture.pass(4 * HOUR);
    refused(report::get(fixture.call(), Unit).await, "ReportExpired", "");
}

#[tokio::test]
async fn a_user_changes_their_own_password() {
    let fixture = Fixture::new().await;
    let ann = user(&fixture, "ann", &[]).await;
    let login = api::CreateLoginProfileRequest {
        user_name: text("ann"),
        password: text("correct horse"),
        ..Default::default()
    };
    logins::create(fixture.call(), login).await.unwrap();
    let change = async |who: &Principal, old: &str, new: &str| {
        let input = api::ChangePasswordRequest { old_password: text(old), new_password: text(new) };
        logins::change(fixture.call_as(who.clone()), input).await
    };
    refused(change(&ann, "wrong", "battery staple").await, "AccessDenied", "old password");
    refused(change(&ann, "correct horse", "short").await, "PasswordPolicyViolation", "minimum length");
    change(&ann, "correct horse", "battery staple").await.unwrap();
    refused(change(&ann, "correct horse", "battery staple").await, "AccessDenied", "old password");
    let root = fixture.call().principal.clone();
    refused(change(&root, "a", "b").await, "InvalidUserType", "IAM Users");
}
