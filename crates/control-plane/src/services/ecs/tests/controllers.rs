//! Services whose deployment controller changes while their tasks run.

use super::{
    scheduling::{Node, SECOND, is_stable},
    service::{service, updated},
    *,
};
use crate::services::ecs::{records::DesiredStatus, services::task_sets};
use ecs::DeploymentControllerType::{self, CodeDeploy, Ecs, External};

fn to(controller: DeploymentControllerType) -> ecs::UpdateServiceRequest {
    ecs::UpdateServiceRequest {
        deployment_controller: Some(ecs::DeploymentController { r#type: Some(controller) }),
        ..updated("web")
    }
}

async fn web(controller: DeploymentControllerType) -> Fixture {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let input = ecs::CreateServiceRequest {
        deployment_controller: Some(ecs::DeploymentController { r#type: Some(controller) }),
        ..service(&fixture, "web", 2)
    };
    fixture.create_service(input).await.unwrap();
    fixture
}

fn sets_are_steady(service: &ecs::Service) -> bool {
    service.task_sets.iter().flatten().all(|set| {
        set.stability_status == Some(ecs::StabilityStatus::SteadyState)
            && set.running_count == set.computed_desired_count
    })
}

impl Fixture {
    async fn set(&self) -> ecs::TaskSet {
        let input = ecs::CreateTaskSetRequest {
            cluster: text("default"),
            service: text("web"),
            task_definition: text("app"),
            launch_type: Some(ecs::LaunchType::Fargate),
            network_configuration: Some(network(&[&self.subnet()])),
            scale: Some(ecs::Scale { unit: Some(ecs::ScaleUnit::Percent), value: Some(0.0) }),
            ..Default::default()
        };
        task_sets::create(self.call(), input).await.unwrap().task_set.unwrap()
    }

    fn living(&self) -> Vec<String> {
        let tasks = self.tasks_of("web").into_iter();
        let mut ids: Vec<String> = tasks
            .filter(|task| task.desired_status == DesiredStatus::Running)
            .map(|task| task.id.clone())
            .collect();
        ids.sort();
        ids
    }
}

#[tokio::test]
async fn a_deployment_becomes_the_primary_task_set_and_a_deployment_again() {
    let fixture = web(Ecs).await;
    fixture.stable("web").await;
    let tasks = fixture.living();
    let given = fixture.update_service(to(External)).await.unwrap();
    assert_eq!(given.deployment_controller.unwrap().r#type, Some(External));
    assert_eq!(given.deployments, Some(vec![]));
    let set = given.task_sets.unwrap().remove(0);
    assert_eq!((set.status.as_deref(), set.computed_desired_count), (Some("PRIMARY"), Some(2)));
    assert!(set.task_definition.as_deref().unwrap().ends_with("task-definition/app:1"));
    for _ in 0..4 {
        fixture.look("web").await;
        fixture.node("web", |_| Node::Works).await;
        fixture.pass(15 * SECOND);
    }
    assert_eq!(fixture.living(), tasks, "they go on");
    // It is a set like any other.
    let scale = ecs::UpdateTaskSetRequest {
        cluster: text("default"),
        service: text("web"),
        task_set: set.id.clone(),
        scale: Some(ecs::Scale { unit: Some(ecs::ScaleUnit::Percent), value: Some(150.0 / 2.0) }),
    };
    task_sets::update(fixture.call(), scale.clone()).await.unwrap();
    let more = ecs::UpdateServiceRequest { desired_count: Some(4), ..updated("web") };
    fixture.update_service(more).await.unwrap();
    let three = fixture.until(
        "web",
        |_| Node::Works,
        |service| sets_are_steady(service) && service.running_count == Some(3),
    );
    three.await;
    let before = fixture.living();

    fixture.register(fargate("next")).await.unwrap();
    let taken = fixture.update_service(to(Ecs)).await.unwrap();
    assert_eq!(taken.task_sets, None);
    let deployments = taken.deployments.as_deref().unwrap();
    assert_eq!((deployments.len(), deployments[0].desired_count), (1, Some(4)));
    assert_eq!((&deployments[0].id, deployments[0].created_at), (&set.id, set.created_at));
    let stable = fixture.stable("web").await;
    assert_eq!(stable.running_count, Some(4));
    assert!(before.iter().all(|id| fixture.living().contains(id)), "they go on");
    let next = ecs::UpdateServiceRequest { task_definition: text("next"), ..updated("web") };
    fixture.update_service(next).await.unwrap();
    fixture.stable("web").await;
    assert!(
        fixture
            .tasks_of("web")
            .iter()
            .all(|task| { task.family == "next" || task.state.last_status == TaskStatus::Stopped })
    );
    let gone = task_sets::update(fixture.call(), scale).await;
    refused(gone, "UnsupportedFeatureException", "EXTERNAL deployment controller only");
    fixture.delete_service("web", true).await.unwrap();
    fixture.until("web", |_| Node::Works, |service| service.status.as_deref() == Some("INACTIVE")).await;
}

#[tokio::test]
async fn a_service_of_codedeploy_is_deployed_by_ecs_from_then_on() {
    let fixture = web(CodeDeploy).await;
    fixture
        .until("web", |_| Node::Works, |service| sets_are_steady(service) && service.running_count == Some(2))
        .await;
    fixture.register(fargate("next")).await.unwrap();
    let taken = ecs::UpdateServiceRequest { task_definition: text("next"), ..to(Ecs) };
    let taken = fixture.update_service(taken).await.unwrap();
    assert_eq!(taken.deployments.unwrap().len(), 2, "the set's, and the new one");
    let stable = fixture.until("web", |_| Node::Works, is_stable).await;
    assert!(stable.task_definition.unwrap().contains("/next:"));
    assert_eq!(fixture.living().len(), 2);
}

#[tokio::test]
async fn what_cannot_change_hands_now_is_refused() {
    let fixture = web(Ecs).await;
    refused(fixture.update_service(to(External)).await, INVALID, "during an ongoing service deployment");
    fixture.stable("web").await;
    refused(
        fixture.update_service(to(CodeDeploy)).await,
        INVALID,
        "from ECS to CODE_DEPLOY is not supported",
    );
    let breaking = ecs::UpdateServiceRequest {
        deployment_configuration: Some(ecs::DeploymentConfiguration {
            deployment_circuit_breaker: Some(ecs::DeploymentCircuitBreaker {
                enable: Some(true),
                rollback: Some(false),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..to(External)
    };
    refused(
        fixture.update_service(breaking).await,
        INVALID,
        "only supported with the ECS deployment controller",
    );
    let defined = ecs::UpdateServiceRequest { task_definition: text("app"), ..to(External) };
    refused(fixture.update_service(defined).await, INVALID, "Unable to update task definition");
    assert!(fixture.service("web").await.task_sets.is_none(), "nothing of it was done");

    fixture.update_service(to(External)).await.unwrap();
    let other = fixture.set().await;
    refused(fixture.update_service(to(Ecs)).await, INVALID, "multiple tasksets");
    refused(fixture.update_service(to(CodeDeploy)).await, INVALID, "from EXTERNAL to CODE_DEPLOY");
    let first = fixture.service("web").await.task_sets.unwrap();
    let first = first.iter().find(|set| set.id != other.id).unwrap().id.clone();
    let delete = ecs::DeleteTaskSetRequest {
        cluster: text("default"),
        service: text("web"),
        task_set: first,
        force: Some(true),
    };
    task_sets::delete(fixture.call(), delete).await.unwrap();
    let one = |service: &ecs::Service| service.task_sets.as_deref().unwrap().len() == 1;
    fixture.until("web", |_| Node::Works, one).await;
    refused(fixture.update_service(to(Ecs)).await, INVALID, "requires a primary taskset");
}
