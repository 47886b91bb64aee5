mod resources;
mod roles;

use std::{fmt::Write, sync::Arc};

use aws_schema::{Operation, Shape};
use aws_shapes_ec2 as ec2;
use aws_shapes_ecs as ecs;
use aws_shapes_iam as iam;
use aws_shapes_logs as logs;

use super::*;
use crate::{
    gateway::Principal,
    services::{
        iam::testing::{role_session, user},
        testing::{Fixture, refused, text},
    },
};

/// Whether `principal` may do what `input` asks.
fn may<O: Operation>(
    fixture: &Fixture,
    principal: &Principal,
    service: &'static ServiceTable,
    input: O::Input,
) -> Result<(), ApiError> {
    let mut call = fixture.call_as(principal.clone());
    let context = Arc::get_mut(&mut call.context).unwrap();
    context.origin.address = Some([192, 0, 2, 7].into());
    authorize(&call, service, O::TABLE, &input.into_value())
}

fn run(definition: &str) -> ecs::RunTaskRequest {
    ecs::RunTaskRequest { task_definition: text(definition), ..Default::default() }
}

const RUN_WEB: &str = r#"{"Version":"2012-10-17","Statement":[
    {"Sid":"Web","Effect":"Allow","Action":"ecs:RunTask","Resource":"arn:aws:ecs:*:000000000000:task-definition/web:*"},
    {"Effect":"Allow","Action":"ecs:DescribeTasks","Resource":"*","Condition":{"ArnEquals":{"ecs:cluster":"arn:aws:ecs:us-east-1:000000000000:cluster/main"}}},
    {"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::000000000000:role/app","Condition":{"StringEquals":{"iam:PassedToService":"ecs-tasks.amazonaws.com"}}},
    {"Effect":"Deny","Action":"ecs:*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}]}"#;

#[tokio::test]
async fn the_root_may_everything_and_a_user_nothing_until_a_policy_says_so() {
    let fixture = Fixture::new().await;
    may::<ecs::RunTask>(&fixture, &fixture.call().principal, ecs::SERVICE, run("web:1")).unwrap();
    let ann = user(&fixture, "ann", &[]).await;
    refused(
        may::<ecs::RunTask>(&fixture, &ann, ecs::SERVICE, run("web:1")),
        "AccessDeniedException",
        "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: ecs:RunTask on resource: \
         arn:aws:ecs:us-east-1:000000000000:task-definition/web:1 because no identity-based policy allows the ecs:RunTask action",
    );
    let bob = user(&fixture, "bob", &[RUN_WEB]).await;
    may::<ecs::RunTask>(&fixture, &bob, ecs::SERVICE, run("web:1")).unwrap();
    let whole = "arn:aws:ecs:us-east-1:000000000000:task-definition/web:3";
    may::<ecs::RunTask>(&fixture, &bob, ecs::SERVICE, run(whole)).unwrap();
    refused(
        may::<ecs::RunTask>(&fixture, &bob, ecs::SERVICE, run("other:1")),
        "AccessDeniedException",
        "other:1",
    );
}

#[tokio::test]
async fn a_policy_counts_from_its_writing_to_its_removal() {
    let fixture = Fixture::new().await;
    let ann = user(&fixture, "ann", &[]).await;
    let ask = || may::<ecs::RunTask>(&fixture, &ann, ecs::SERVICE, run("web:1"));
    ask().unwrap_err();
    let call = || fixture.call();
    let put = iam::PutUserPolicyRequest {
        user_name: text("ann"),
        policy_name: text("web"),
        policy_document: text(RUN_WEB),
    };
    crate::services::iam::inline::put_user(call(), put).await.unwrap();
    ask().unwrap();
    let delete = iam::DeleteUserPolicyRequest { user_name: text("ann"), policy_name: text("web") };
    crate::services::iam::inline::delete_user(call(), delete).await.unwrap();
    ask().unwrap_err();
}

#[tokio::test]
async fn every_resource_and_every_role_passed_on_has_to_be_allowed() {
    let fixture = Fixture::new().await;
    let bob = user(&fixture, "bob", &[RUN_WEB]).await;
    let with_role = |role: &str| ecs::RunTaskRequest {
        overrides: Some(ecs::TaskOverride { task_role_arn: text(role), ..Default::default() }),
        ..run("web:1")
    };
    may::<ecs::RunTask>(&fixture, &bob, ecs::SERVICE, with_role("arn:aws:iam::000000000000:role/app"))
        .unwrap();
    refused(
        may::<ecs::RunTask>(&fixture, &bob, ecs::SERVICE, with_role("arn:aws:iam::000000000000:role/admin")),
        "AccessDeniedException",
        "iam:PassRole on resource: arn:aws:iam::000000000000:role/admin",
    );
    let tasks = |cluster: &str| ecs::DescribeTasksRequest {
        cluster: text(cluster),
        tasks: Some(vec!["one".to_owned(), "two".to_owned()]),
        ..Default::default()
    };
    may::<ecs::DescribeTasks>(&fixture, &bob, ecs::SERVICE, tasks("main")).unwrap();
    refused(
        may::<ecs::DescribeTasks>(&fixture, &bob, ecs::SERVICE, tasks("other")),
        "AccessDeniedException",
        "task/other/one",
    );
}

#[tokio::test]
async fn a_role_session_has_what_its_role_has() {
    let fixture = Fixture::new().await;
    let session = role_session(&fixture, "app", &[RUN_WEB]).await;
    may::<ecs::RunTask>(&fixture, &session, ecs::SERVICE, run("web:1")).unwrap();
    let error = may::<ecs::RunTask>(&fixture, &session, ecs::SERVICE, run("x:1")).unwrap_err();
    assert!(
        error.message.starts_with("User: arn:aws:sts::000000000000:assumed-role/app/"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_refusal_has_the_name_that_the_service_gives_it() {
    let fixture = Fixture::new().await;
    let ann = user(&fixture, "ann", &[]).await;
    refused(
        may::<ec2::DescribeVpcs>(&fixture, &ann, ec2::SERVICE, Default::default()),
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: arn:aws:iam::000000000000:user/ann is not authorized to perform: ec2:DescribeVpcs because",
    );
    refused(
        may::<iam::ListUsers>(&fixture, &ann, iam::SERVICE, Default::default()),
        "AccessDenied",
        "iam:ListUsers",
    );
    let put = logs::PutLogEventsRequest {
        log_group_name: text("/app"),
        log_stream_name: text("one"),
        ..Default::default()
    };
    refused(
        may::<logs::PutLogEvents>(&fixture, &ann, logs::SERVICE, put),
        "AccessDeniedException",
        "on resource: arn:aws:logs:us-east-1:000000000000:log-group:/app:log-stream:one because",
    );
}

#[tokio::test]
async fn what_needs_no_permission_gets_none() {
    let fixture = Fixture::new().await;
    let denied = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    let ann = user(&fixture, "ann", &[denied]).await;
    may::<aws_shapes_sts::GetCallerIdentity>(&fixture, &ann, aws_shapes_sts::SERVICE, Default::default())
        .unwrap();
}

/// The operations that are there and ask for `*`: reviewed when the list changes.
#[test]
fn operations_without_a_resource_are_known() {
    let operations = crate::services::operations();
    let mut listed = String::new();
    for service in operations.services() {
        let there = service.operation_names.iter().filter(|name| operations.implements(service, name));
        let unmapped: Vec<&str> = there.filter(|name| !mapped(service.name, name)).copied().collect();
        writeln!(listed, "{}: {}", service.name, unmapped.join(" ")).unwrap();
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/authorization/without_resource.txt");
    if std::env::var_os("UPDATE_COVERAGE").is_some() {
        std::fs::write(path, &listed).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == listed,
        "renew the list with UPDATE_COVERAGE=1, and look at what is new in it:\n{listed}"
    );
}
