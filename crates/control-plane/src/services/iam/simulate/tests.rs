use aws_shapes_iam as iam;

use super::{custom, principal};
use crate::services::{
    iam::testing::{role_session, user},
    testing::{Fixture, refused, text},
};

fn document(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":{statements}}}"#)
}

const READ: &str = r#"{"Sid":"Read","Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::logs","arn:aws:s3:::logs/*"]}"#;
const DENY_DELETE: &str = r#"{"Effect":"Deny","Action":"s3:Delete*","Resource":"*"}"#;

fn list(texts: &[&str]) -> Option<Vec<String>> {
    Some(texts.iter().map(|&text| text.to_owned()).collect())
}

fn asked(policies: &[&str], actions: &[&str], resources: &[&str]) -> iam::SimulateCustomPolicyRequest {
    iam::SimulateCustomPolicyRequest {
        policy_input_list: Some(policies.iter().map(|statements| document(statements)).collect()),
        action_names: list(actions),
        resource_arns: list(resources),
        ..Default::default()
    }
}

async fn decisions(input: iam::SimulateCustomPolicyRequest) -> Vec<String> {
    let fixture = Fixture::new().await;
    let answer = custom(fixture.call(), input).await.unwrap();
    let results = answer.evaluation_results.unwrap().into_iter();
    results.map(|result| result.eval_decision.unwrap().as_str().to_owned()).collect()
}

#[tokio::test]
async fn every_pair_of_action_and_resource_is_decided() {
    let both = format!("[{READ},{DENY_DELETE}]");
    let input = asked(
        &[&both],
        &["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
        &["arn:aws:s3:::logs/a", "arn:aws:s3:::other/a"],
    );
    assert_eq!(
        decisions(input).await,
        ["allowed", "implicitDeny", "implicitDeny", "implicitDeny", "explicitDeny", "explicitDeny"]
    );
}

#[tokio::test]
async fn the_statements_that_decided_are_named_with_their_place() {
    let fixture = Fixture::new().await;
    let both = format!("[{READ},{DENY_DELETE}]");
    let input = asked(&[READ, &both], &["s3:GetObject", "s3:DeleteObject"], &["arn:aws:s3:::logs/a"]);
    let results = custom(fixture.call(), input).await.unwrap().evaluation_results.unwrap();
    let ids = |result: &iam::EvaluationResult| -> Vec<(String, i32)> {
        let matched = result.matched_statements.iter().flatten();
        matched
            .map(|one| {
                let start = one.start_position.clone().unwrap().column.unwrap();
                (one.source_policy_id.clone().unwrap(), start)
            })
            .collect()
    };
    let begin = 37;
    assert_eq!(
        ids(&results[0]),
        [("PolicyInputList.1".to_owned(), begin), ("PolicyInputList.2".to_owned(), begin + 1)]
    );
    let second = begin + 1 + i32::try_from(READ.len()).unwrap() + 1;
    assert_eq!(ids(&results[1]), [("PolicyInputList.2".to_owned(), second)]);
}

#[tokio::test]
async fn circumstances_are_those_of_the_request_and_missing_ones_are_told() {
    let inside = r#"{"Effect":"Allow","Action":"ec2:*","Resource":"arn:aws:ec2:*:*:instance/${aws:PrincipalTag/team}","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}"#;
    let entry = |name: &str, value: &str| iam::ContextEntry {
        context_key_name: text(name),
        context_key_type: Some(iam::ContextKeyTypeEnum::String),
        context_key_values: list(&[value]),
    };
    let fixture = Fixture::new().await;
    let ask = |entries: Vec<iam::ContextEntry>| iam::SimulateCustomPolicyRequest {
        context_entries: Some(entries),
        ..asked(&[inside], &["ec2:StartInstances"], &["arn:aws:ec2:us-east-1:000000000000:instance/blue"])
    };
    let first = custom(fixture.call(), ask(Vec::new())).await.unwrap().evaluation_results.unwrap().remove(0);
    assert_eq!(first.eval_decision, Some(iam::PolicyEvaluationDecisionType::ImplicitDeny));
    let specific = first.resource_specific_results.unwrap().remove(0);
    assert_eq!(specific.missing_context_values, list(&["aws:PrincipalTag/team", "aws:SourceIp"]));
    for (address, expected) in [("10.1.2.3", "allowed"), ("11.1.2.3", "implicitDeny")] {
        let entries = vec![entry("aws:sourceip", address), entry("aws:PrincipalTag/team", "blue")];
        assert_eq!(decisions(ask(entries)).await, [expected]);
    }
}

#[tokio::test]
async fn a_boundary_is_told_of_by_itself() {
    let fixture = Fixture::new().await;
    let input = iam::SimulateCustomPolicyRequest {
        permissions_boundary_policy_input_list: Some(vec![document(READ)]),
        ..asked(
            &[r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#],
            &["s3:GetObject", "s3:PutObject"],
            &["arn:aws:s3:::logs/a"],
        )
    };
    let results = custom(fixture.call(), input).await.unwrap().evaluation_results.unwrap();
    let seen: Vec<(&str, Option<bool>)> = results
        .iter()
        .map(|result| {
            let detail = result.permissions_boundary_decision_detail.as_ref().unwrap();
            (result.eval_decision.as_ref().unwrap().as_str(), detail.allowed_by_permissions_boundary)
        })
        .collect();
    assert_eq!(seen, [("allowed", Some(true)), ("implicitDeny", Some(false))]);
}

#[tokio::test]
async fn a_resources_policy_counts_for_the_caller_it_names() {
    let policy = |principal: &str| {
        document(&format!(
            r#"{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"s3:GetObject","Resource":"*"}}"#
        ))
    };
    let ask = |principal: &str, caller: &str, own: &[&str]| iam::SimulateCustomPolicyRequest {
        resource_policy: Some(policy(principal)),
        caller_arn: text(caller),
        resource_owner: text("arn:aws:iam::111122223333:root"),
        ..asked(own, &["s3:GetObject"], &["arn:aws:s3:::logs/a"])
    };
    const ANN: &str = "arn:aws:iam::111122223333:user/ann";
    const EVE: &str = "arn:aws:iam::444455556666:user/eve";
    let nothing = r#"{"Effect":"Allow","Action":"sqs:*","Resource":"*"}"#;
    for (principal, caller, own, expected) in [
        (ANN, ANN, nothing, "allowed"),
        (EVE, ANN, nothing, "implicitDeny"),
        (EVE, EVE, nothing, "implicitDeny"),
        (EVE, EVE, READ, "allowed"),
        ("444455556666", EVE, READ, "allowed"),
    ] {
        assert_eq!(decisions(ask(principal, caller, &[own])).await, [expected], "{principal} {caller} {own}");
    }
    let fixture = Fixture::new().await;
    let answer = custom(fixture.call(), ask("444455556666", EVE, &[nothing])).await.unwrap();
    let details = answer.evaluation_results.unwrap().remove(0).eval_decision_details.unwrap();
    let details: Vec<(&str, &str)> =
        details.iter().map(|(side, decision)| (side.as_str(), decision.as_str())).collect();
    assert_eq!(details, [("IAM Policy", "implicitDeny"), ("Resource Policy", "allowed")]);
    let without_caller = iam::SimulateCustomPolicyRequest { caller_arn: None, ..ask(ANN, ANN, &[nothing]) };
    refused(custom(fixture.call(), without_caller).await, "InvalidInput", "CallerArn");
}

#[tokio::test]
async fn principals_are_simulated_with_what_they_have() {
    let fixture = Fixture::new().await;
    let own = document(r#"{"Effect":"Allow","Action":"ecs:RunTask","Resource":"*"}"#);
    user(&fixture, "ann", &[&own]).await;
    role_session(&fixture, "app", &[]).await;
    let attach = iam::AttachRolePolicyRequest {
        role_name: text("app"),
        policy_arn: text("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"),
    };
    crate::services::iam::attachments::attach_role(fixture.call(), attach).await.unwrap();
    let ask = |arn: &str, action: &str| iam::SimulatePrincipalPolicyRequest {
        policy_source_arn: text(arn),
        action_names: list(&[action]),
        ..Default::default()
    };
    for (arn, action, expected) in [
        ("arn:aws:iam::000000000000:user/ann", "ecs:RunTask", Some(("user_ann_policy-0", "user"))),
        ("arn:aws:iam::000000000000:user/ann", "ecs:StopTask", None),
        (
            "arn:aws:iam::000000000000:role/app",
            "ecr:BatchGetImage",
            Some(("AmazonECSTaskExecutionRolePolicy", "aws-managed")),
        ),
        ("arn:aws:iam::000000000000:role/app", "ecs:RunTask", None),
    ] {
        let answer = principal(fixture.call(), ask(arn, action)).await.unwrap();
        let result = answer.evaluation_results.unwrap().remove(0);
        let matched = result.matched_statements.unwrap().into_iter().next();
        let matched = matched.map(|one| (one.source_policy_id.unwrap(), one.source_policy_type.unwrap()));
        let seen = matched.as_ref().map(|(id, kind)| (id.as_str(), kind.as_str()));
        assert_eq!(seen, expected, "{arn} {action}");
    }
    refused(
        principal(fixture.call(), ask("arn:aws:iam::000000000000:user/nobody", "ecs:RunTask")).await,
        "NoSuchEntity",
        "The user with name nobody cannot be found.",
    );
}
