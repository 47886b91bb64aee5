//! ExecuteCommand: who is let in, and in what words others are not.

use tokio::sync::mpsc;

use super::*;
use crate::{
    agents::streams::Joined,
    services::{
        iam::testing as iam,
        logs::LogSink,
        ssm::sessions::{Target, Unreachable},
    },
};

const NOT_ENABLED: &str = "because execute command was not enabled when the task was run or the execute command agent isn’t running";

/// A running task that lets itself be talked to, and the node that it runs on.
async fn talkative(fixture: &Fixture, request: ecs::RunTaskRequest) -> (String, Joined) {
    let request = ecs::RunTaskRequest { enable_execute_command: Some(true), ..request };
    let task = fixture.run(request).await.unwrap().remove(0).task_arn.unwrap();
    fixture.report(&report(&task, 1, TaskStatus::Running)).await;
    (task, connected(fixture))
}

fn connected(fixture: &Fixture) -> Joined {
    let (sender, mut messages) = mpsc::channel(64);
    // Nothing is begun before a client comes.
    tokio::spawn(async move { while messages.recv().await.is_some() {} });
    fixture.services.agents.streams.join(None, sender)
}

fn execute(task: &str) -> ecs::ExecuteCommandRequest {
    ecs::ExecuteCommandRequest {
        task: text(task),
        command: text("/bin/sh"),
        interactive: Some(true),
        ..Default::default()
    }
}

async fn asked(
    fixture: &Fixture,
    input: ecs::ExecuteCommandRequest,
) -> Result<ecs::ExecuteCommandResponse, ApiError> {
    tasks::exec::execute(fixture.call(), input).await
}

async fn configure(fixture: &Fixture, execute: ecs::ExecuteCommandConfiguration) {
    let configuration =
        ecs::ClusterConfiguration { execute_command_configuration: Some(execute), ..Default::default() };
    let input = ecs::UpdateClusterRequest {
        cluster: text("default"),
        configuration: Some(configuration),
        ..Default::default()
    };
    clusters::update(fixture.call(), input).await.unwrap();
}

#[tokio::test]
async fn a_session_is_opened_in_a_running_container() {
    let fixture = fixture().await;
    fixture.task().await;
    let (task, _node) = talkative(&fixture, run_request(&fixture, "app")).await;
    let answer = asked(&fixture, execute(&task)).await.unwrap();
    let session = answer.session.unwrap();
    let id = session.session_id.unwrap();
    assert!(id.starts_with("ecs-execute-command-"), "{id}");
    let url = format!("ws://localhost:4566/v1/data-channel/{id}?role=publish_subscribe");
    assert_eq!(session.stream_url, Some(url));
    let token = session.token_value.unwrap();
    assert!(fixture.services.sessions.admit(&id, &token).is_some());
    assert!(fixture.services.sessions.admit(&id, "another").is_none());
    assert_eq!((answer.container_name, answer.interactive), (text("app"), Some(true)));
    assert_eq!(answer.task_arn, Some(task.clone()));

    let described = fixture.describe_task(&task).await.unwrap();
    let container = &described.containers.unwrap()[0];
    let agent = &container.managed_agents.as_ref().unwrap()[0];
    assert_eq!(agent.name, Some(ecs::ManagedAgentName::ExecuteCommandAgent));
    assert_eq!(agent.last_status.as_deref(), Some("RUNNING"));
    // The same container by Session Manager's name for it.
    let runtime_id = container.runtime_id.clone().unwrap();
    let target = format!("ecs:default_{}_{runtime_id}", task.rsplit('/').next().unwrap());
    let found = fixture.services.state.read(|view| Target::parse(&target).unwrap().reach(view, &scope()));
    assert_eq!(found.unwrap().container, "app");
}

#[tokio::test]
async fn a_task_that_was_not_told_to_listen_does_not() {
    let fixture = fixture().await;
    let quiet = fixture.task().await.task_arn.unwrap();
    fixture.report(&report(&quiet, 1, TaskStatus::Running)).await;
    let _node = connected(&fixture);
    refused(asked(&fixture, execute(&quiet)).await, INVALID, NOT_ENABLED);
    assert_eq!(fixture.describe_task(&quiet).await.unwrap().containers.unwrap()[0].managed_agents, None);
    let pending = ecs::RunTaskRequest { enable_execute_command: Some(true), ..run_request(&fixture, "app") };
    let pending = fixture.run(pending).await.unwrap().remove(0).task_arn.unwrap();
    refused(asked(&fixture, execute(&pending)).await, INVALID, NOT_ENABLED);
    let agents =
        fixture.describe_task(&pending).await.unwrap().containers.unwrap().remove(0).managed_agents.unwrap();
    assert_eq!(agents[0].last_status.as_deref(), Some("PENDING"));
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let fixture = fixture().await;
    fixture.task().await;
    let (task, node) = talkative(&fixture, run_request(&fixture, "app")).await;
    let quiet = ecs::ExecuteCommandRequest { interactive: Some(false), ..execute(&task) };
    refused(asked(&fixture, quiet).await, INVALID, "Interactive is the only mode supported currently.");
    let other = ecs::ExecuteCommandRequest { container: text("web"), ..execute(&task) };
    refused(asked(&fixture, other).await, INVALID, "web is not in the task");
    let unfinished = ecs::ExecuteCommandRequest { command: text("sh -c 'ls"), ..execute(&task) };
    refused(asked(&fixture, unfinished).await, INVALID, "quotation");
    let unknown = execute("0123456789abcdef0123456789abcdef");
    refused(asked(&fixture, unknown).await, INVALID, "not found");
    let elsewhere = ecs::ExecuteCommandRequest {
        cluster: text("nowhere"),
        ..execute("0123456789abcdef0123456789abcdef")
    };
    refused(asked(&fixture, elsewhere).await, "ClusterNotFoundException", "");
    // The agent has gone.
    drop(node);
    refused(asked(&fixture, execute(&task)).await, "TargetNotConnectedException", "internal error");
    fixture.stop(&task, None).await.unwrap();
    let gone = fixture.services.state.read(|view| {
        let id = task.rsplit('/').next().unwrap();
        let task = view.get::<records::Task>(&scope(), &records::task_key("default", id)).unwrap();
        let runtime_id = task.containers[0].runtime_id.clone();
        Target { cluster: "default".into(), task_id: id.to_owned(), runtime_id }.reach(view, &scope())
    });
    assert_eq!(gone.unwrap_err(), Unreachable::NotRunning);
}

#[tokio::test]
async fn a_container_has_to_be_named_among_several() {
    let fixture = fixture().await;
    let two = ecs::RegisterTaskDefinitionRequest {
        container_definitions: Some(vec![container("app"), container("side")]),
        ..fargate("two")
    };
    definitions::register(fixture.call(), two).await.unwrap();
    let request = ecs::RunTaskRequest { enable_execute_command: Some(true), ..run_request(&fixture, "two") };
    let task = fixture.run(request).await.unwrap().remove(0).task_arn.unwrap();
    let _node = connected(&fixture);
    refused(asked(&fixture, execute(&task)).await, INVALID, "a container name is required");
    let named = ecs::ExecuteCommandRequest { container: text("side"), ..execute(&task) };
    refused(asked(&fixture, named).await, INVALID, NOT_ENABLED);
}

#[tokio::test]
async fn the_clusters_configuration_is_acted_on_or_refused() {
    let fixture = fixture().await;
    fixture.task().await;
    let (task, _node) = talkative(&fixture, run_request(&fixture, "app")).await;
    let with_key = ecs::ExecuteCommandConfiguration { kms_key_id: text("alias/exec"), ..Default::default() };
    configure(&fixture, with_key).await;
    // Whether the key can be used is found out by whoever comes in.
    asked(&fixture, execute(&task)).await.unwrap();
    let logged = |log: ecs::ExecuteCommandLogConfiguration| ecs::ExecuteCommandConfiguration {
        logging: Some(ecs::ExecuteCommandLogging::Override),
        log_configuration: Some(log),
        ..Default::default()
    };
    let to_group = ecs::ExecuteCommandLogConfiguration {
        cloud_watch_log_group_name: text("/exec"),
        ..Default::default()
    };
    configure(&fixture, logged(to_group.clone())).await;
    refused(asked(&fixture, execute(&task)).await, INVALID, "/exec");
    let encrypted = ecs::ExecuteCommandLogConfiguration {
        cloud_watch_encryption_enabled: Some(true),
        ..to_group.clone()
    };
    configure(&fixture, logged(encrypted)).await;
    refused(asked(&fixture, execute(&task)).await, INVALID, "encryption is not set up");
    let bucket = ecs::ExecuteCommandLogConfiguration { s3_bucket_name: text("exec"), ..Default::default() };
    configure(&fixture, logged(bucket)).await;
    refused(asked(&fixture, execute(&task)).await, INVALID, "the bucket exec");
    let input = aws_shapes_s3::CreateBucketRequest { bucket: text("exec"), ..Default::default() };
    crate::services::s3::create_bucket(fixture.call(), input).await.unwrap();
    asked(&fixture, execute(&task)).await.unwrap();

    configure(&fixture, logged(to_group)).await;
    let sink = LogSink::new(fixture.services.logs.clone());
    sink.prepare(&scope(), "/exec", "other", true, "incarnation", fixture.now()).await.unwrap();
    asked(&fixture, execute(&task)).await.unwrap();
    let none = ecs::ExecuteCommandConfiguration {
        logging: Some(ecs::ExecuteCommandLogging::None),
        ..Default::default()
    };
    configure(&fixture, none).await;
    asked(&fixture, execute(&task)).await.unwrap();
}

#[tokio::test]
async fn a_role_has_to_allow_the_channels() {
    let fixture = fixture().await;
    fixture.task().await;
    let allow = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ssmmessages:*","Resource":"*"}]}"#;
    iam::role_session(&fixture, "deaf", &[]).await;
    iam::role_session(&fixture, "worker", &[allow]).await;
    let with_role = |name: &str| {
        let role = format!("arn:aws:iam::{}:role/{name}", scope().account);
        let overrides = ecs::TaskOverride { task_role_arn: Some(role), ..Default::default() };
        ecs::RunTaskRequest { overrides: Some(overrides), ..run_request(&fixture, "app") }
    };
    let (task, node) = talkative(&fixture, with_role("deaf")).await;
    let refusal = asked(&fixture, execute(&task)).await.unwrap_err();
    assert_eq!((refusal.code.as_ref(), refusal.status), ("TargetNotConnectedException", 400));
    assert!(refusal.cause.unwrap().to_string().contains("ssmmessages:CreateControlChannel"));
    drop(node);
    let (task, _node) = talkative(&fixture, with_role("worker")).await;
    asked(&fixture, execute(&task)).await.unwrap();

    // And what keeps the output: here its own account's bucket, which it has no permission for.
    let input = aws_shapes_s3::CreateBucketRequest { bucket: text("exec"), ..Default::default() };
    crate::services::s3::create_bucket(fixture.call(), input).await.unwrap();
    let bucket = ecs::ExecuteCommandLogConfiguration { s3_bucket_name: text("exec"), ..Default::default() };
    let execute_command = ecs::ExecuteCommandConfiguration {
        logging: Some(ecs::ExecuteCommandLogging::Override),
        log_configuration: Some(bucket),
        ..Default::default()
    };
    configure(&fixture, execute_command).await;
    let refusal = asked(&fixture, execute(&task)).await.unwrap_err();
    assert_eq!(refusal.code, "TargetNotConnectedException");
    assert!(refusal.cause.unwrap().to_string().contains("s3:PutObject"));
}
