//! Container instances: registered, described, drained, gone.

use super::*;
use ecs::ContainerInstanceStatus;

/// Registers an instance in `default`.
pub async fn register(fixture: &Fixture) -> ecs::ContainerInstance {
    let input = ecs::RegisterContainerInstanceRequest {
        instance_identity_document: text(r#"{"instanceId":"i-0123"}"#),
        attributes: Some(vec![ecs::Attribute {
            name: text("ecs.os-type"),
            value: text("linux"),
            ..Default::default()
        }]),
        ..Default::default()
    };
    instances::register(fixture.call(), input).await.unwrap().container_instance.unwrap()
}

pub async fn deregister(
    fixture: &Fixture,
    instance: &str,
    force: bool,
) -> Result<ecs::ContainerInstance, ApiError> {
    let input = ecs::DeregisterContainerInstanceRequest {
        container_instance: text(instance),
        force: Some(force),
        ..Default::default()
    };
    Ok(instances::deregister(fixture.call(), input).await?.container_instance.unwrap())
}

pub async fn describe(fixture: &Fixture, instance: &str) -> ecs::ContainerInstance {
    let answer = describe_all(fixture, &[instance]).await;
    answer.container_instances.unwrap().remove(0)
}

async fn describe_all(fixture: &Fixture, ids: &[&str]) -> ecs::DescribeContainerInstancesResponse {
    let input = ecs::DescribeContainerInstancesRequest {
        container_instances: Some(ids.iter().map(|id| (*id).to_owned()).collect()),
        ..Default::default()
    };
    instances::describe(fixture.call(), input).await.unwrap()
}

pub async fn set(
    fixture: &Fixture,
    id: &str,
    status: ContainerInstanceStatus,
) -> ecs::UpdateContainerInstancesStateResponse {
    let input = ecs::UpdateContainerInstancesStateRequest {
        container_instances: Some(vec![id.to_owned()]),
        status: Some(status),
        cluster: None,
    };
    instances::update_state(fixture.call(), input).await.unwrap()
}

#[tokio::test]
async fn an_instance_registers_and_registers_again_under_its_arn() {
    let fixture = fixture().await;
    let first = register(&fixture).await;
    let arn = first.container_instance_arn.clone().unwrap();
    assert_eq!((first.status.as_deref(), first.ec2_instance_id.as_deref()), (Some("ACTIVE"), Some("i-0123")));
    assert_eq!(last(&first.container_instance_arn).len(), 32);
    fixture.pass(1000);
    let input =
        ecs::RegisterContainerInstanceRequest { container_instance_arn: text(&arn), ..Default::default() };
    let again = instances::register(fixture.call(), input).await.unwrap().container_instance.unwrap();
    assert_eq!(
        (&again.container_instance_arn, again.registered_at),
        (&Some(arn.clone()), first.registered_at)
    );
    assert!(again.version > first.version);
    let unknown = arn.replace(&last(&Some(arn.clone())), &"0".repeat(32));
    let input = ecs::RegisterContainerInstanceRequest {
        container_instance_arn: text(&unknown),
        ..Default::default()
    };
    refused(instances::register(fixture.call(), input).await, INVALID, "is not registered");
}

#[tokio::test]
async fn draining_is_seen_and_undone() {
    let fixture = fixture().await;
    let arn = register(&fixture).await.container_instance_arn.unwrap();
    let answer = set(&fixture, &arn, ContainerInstanceStatus::Draining).await;
    assert_eq!(answer.container_instances.unwrap()[0].status.as_deref(), Some("DRAINING"));
    let list = async |status| {
        let input = ecs::ListContainerInstancesRequest { status, ..Default::default() };
        instances::list(fixture.call(), input).await.unwrap().container_instance_arns.unwrap()
    };
    assert_eq!(list(Some(ContainerInstanceStatus::Active)).await, [""; 0]);
    assert_eq!(list(Some(ContainerInstanceStatus::Draining)).await, std::slice::from_ref(&arn));
    assert_eq!(list(None).await, std::slice::from_ref(&arn));
    set(&fixture, &arn, ContainerInstanceStatus::Active).await;
    assert_eq!(describe(&fixture, &arn).await.status.as_deref(), Some("ACTIVE"));
    let answer = set(&fixture, &"0".repeat(32), ContainerInstanceStatus::Active).await;
    assert_eq!(answer.failures.unwrap()[0].reason.as_deref(), Some("MISSING"));
    let input = ecs::UpdateContainerInstancesStateRequest {
        container_instances: Some(vec![arn]),
        status: Some(ContainerInstanceStatus::Registering),
        cluster: None,
    };
    refused(instances::update_state(fixture.call(), input).await, INVALID, "ACTIVE or DRAINING only");
}

#[tokio::test]
async fn a_deregistered_instance_is_gone_with_its_attributes() {
    let fixture = fixture().await;
    let arn = register(&fixture).await.container_instance_arn.unwrap();
    let attributes = vec![ecs::Attribute { name: text("a"), target_id: text(&arn), ..Default::default() }];
    let input = ecs::PutAttributesRequest { attributes: Some(attributes), ..Default::default() };
    super::super::attributes::put(fixture.call(), input).await.unwrap();
    assert_eq!(deregister(&fixture, &arn, false).await.unwrap().status.as_deref(), Some("INACTIVE"));
    let answer = describe_all(&fixture, &[&arn]).await;
    assert_eq!(answer.container_instances, Some(vec![]));
    assert_eq!(answer.failures.unwrap()[0].arn, Some(arn.clone()));
    assert_eq!(fixture.services.state.view().count_all::<records::Attribute>(), 0);
    refused(deregister(&fixture, &arn, false).await, INVALID, "is not registered");
}

#[tokio::test]
async fn what_is_described_is_named() {
    let fixture = fixture().await;
    let describe = async |given: Vec<String>| {
        let input =
            ecs::DescribeContainerInstancesRequest { container_instances: Some(given), ..Default::default() };
        instances::describe(fixture.call(), input).await
    };
    refused(describe(vec![]).await, INVALID, "Container Instances cannot be empty.");
    refused(describe(vec!["0".repeat(32); 101]).await, INVALID, "100 container instances");
}

#[tokio::test]
async fn an_instance_with_tasks_goes_by_force_only() {
    let fixture = fixture().await;
    let arn = register(&fixture).await.container_instance_arn.unwrap();
    let task = last(&fixture.task().await.task_arn);
    let id = last(&Some(arn.clone()));
    let place = |tx: &mut state_store::Tx| {
        let key = records::task_key("default", &task);
        let mut moved = (*tx.get::<records::Task>(&scope(), &key).unwrap()).clone();
        moved.container_instance = Some(id.clone());
        tx.put(&scope(), &key, moved);
        Ok::<_, ApiError>(())
    };
    fixture.services.state.transact(place).await.unwrap();
    refused(deregister(&fixture, &arn, false).await, INVALID, "Found running tasks on the instance.");
    deregister(&fixture, &arn, true).await.unwrap();
}

#[tokio::test]
async fn starting_on_an_instance_without_an_agent_is_a_failure() {
    let fixture = fixture().await;
    let arn = register(&fixture).await.container_instance_arn.unwrap();
    let app = ecs::ContainerDefinition { memory: Some(64), ..container("app") };
    let definition = ecs::RegisterTaskDefinitionRequest {
        family: text("app"),
        container_definitions: Some(vec![app]),
        ..Default::default()
    };
    fixture.register(definition).await.unwrap();
    let unknown = arn.replace(&last(&Some(arn.clone())), &"0".repeat(32));
    let input = ecs::StartTaskRequest {
        task_definition: text("app"),
        container_instances: Some(vec![arn.clone(), unknown.clone()]),
        ..Default::default()
    };
    let answer = tasks::run::start(fixture.call(), input).await.unwrap();
    let reasons: Vec<_> = answer
        .failures
        .unwrap()
        .into_iter()
        .map(|failure| (failure.arn.unwrap(), failure.reason.unwrap()))
        .collect();
    assert_eq!(reasons, [(arn, "AGENT".to_owned()), (unknown, "MISSING".to_owned())]);
    assert_eq!(answer.tasks, Some(vec![]));
}

#[tokio::test]
async fn instances_are_listed_by_expressions() {
    let fixture = fixture().await;
    let (first, second) = (
        fixture.machine(placing::machine("us-east-1a")).await,
        fixture.machine(placing::machine("us-east-1b")).await,
    );
    let list = async |filter: &str| {
        let input = ecs::ListContainerInstancesRequest { filter: text(filter), ..Default::default() };
        let answer = instances::list(fixture.call(), input).await?;
        Ok(answer
            .container_instance_arns
            .unwrap()
            .iter()
            .map(|arn| last(&Some(arn.clone())))
            .collect::<Vec<_>>())
    };
    assert_eq!(list("attribute:ecs.availability-zone == us-east-1a").await.unwrap(), [first.as_str()]);
    assert_eq!(list("agentVersion < 1.80.0").await.unwrap(), [""; 0]);
    set(&fixture, &second, ContainerInstanceStatus::Draining).await;
    assert_eq!(list("attribute:ecs.availability-zone != us-east-1a").await.unwrap(), [second.as_str()]);
    refused(list("attribute:a == 'b").await, INVALID, "Invalid filter: a quotation is not closed.");
}

#[tokio::test]
async fn a_draining_instance_takes_no_tasks_but_those_that_are_told_to_start_there() {
    let fixture = fixture().await;
    let id = fixture.machine(placing::machine("us-east-1a")).await;
    set(&fixture, &id, ContainerInstanceStatus::Draining).await;
    let app = ecs::ContainerDefinition { memory: Some(64), ..container("app") };
    let definition = ecs::RegisterTaskDefinitionRequest {
        family: text("app"),
        container_definitions: Some(vec![app]),
        ..Default::default()
    };
    fixture.register(definition).await.unwrap();
    let run = ecs::RunTaskRequest {
        task_definition: text("app"),
        launch_type: Some(ecs::LaunchType::Ec2),
        ..Default::default()
    };
    refused(tasks::run::run(fixture.call(), run).await, INVALID, "No Container Instances were found");
    let start = ecs::StartTaskRequest {
        task_definition: text("app"),
        container_instances: Some(vec![id]),
        ..Default::default()
    };
    assert_eq!(tasks::run::start(fixture.call(), start).await.unwrap().tasks.unwrap().len(), 1);
}

#[tokio::test]
async fn deregistering_by_force_ends_the_tasks() {
    let fixture = fixture().await;
    let id = fixture.machine(placing::machine("us-east-1a")).await;
    let app = ecs::ContainerDefinition { memory: Some(16), ..container("app") };
    let definition = ecs::RegisterTaskDefinitionRequest {
        family: text("app"),
        container_definitions: Some(vec![app]),
        ..Default::default()
    };
    fixture.register(definition).await.unwrap();
    let run = || ecs::RunTaskRequest {
        task_definition: text("app"),
        launch_type: Some(ecs::LaunchType::Ec2),
        count: Some(10),
        ..Default::default()
    };
    let mut arns = Vec::new();
    for _ in 0..3 {
        arns.extend(fixture.run(run()).await.unwrap().into_iter().map(|task| task.task_arn.unwrap()));
    }
    refused(deregister(&fixture, &id, false).await, INVALID, "Found running tasks on the instance.");
    assert_eq!(describe(&fixture, &id).await.status.as_deref(), Some("ACTIVE"), "nothing has changed");
    let gone = deregister(&fixture, &id, true).await.unwrap();
    assert_eq!((gone.status.as_deref(), gone.pending_tasks_count), (Some("INACTIVE"), Some(30)));
    for arn in &arns {
        let task = fixture.describe_task(arn).await.unwrap();
        assert_eq!(task.last_status.as_deref(), Some("STOPPED"));
        assert_eq!(task.stopped_reason.as_deref(), Some("Container instance deregistered forcibly by user"));
    }
    let left = fixture.services.state.view().count_all::<records::InstanceLoad>();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn agents_are_not_updated_from_here() {
    let fixture = fixture().await;
    let update = async |id: &str| {
        let input = ecs::UpdateContainerAgentRequest { container_instance: text(id), ..Default::default() };
        instances::update_agent(fixture.call(), input).await
    };
    let known = fixture.machine(placing::machine("us-east-1a")).await;
    refused(
        update(&known).await,
        "NoUpdateAvailableException",
        "no update available for your container agent",
    );
    let unknown = register(&fixture).await.container_instance_arn.unwrap();
    refused(update(&unknown).await, "MissingVersionException", "unable to determine the current version");
    refused(update(&"0".repeat(32)).await, INVALID, "is not registered");
}
