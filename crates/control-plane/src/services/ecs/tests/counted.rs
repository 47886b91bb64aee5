//! Services with the scheduling strategy DAEMON as clients see them before the scheduler has looked: waiters must not end too early.

use super::{
    instance::set,
    placing::{machine, on_ec2, sized},
    scheduling::is_stable,
    service::{service, updated},
    *,
};

fn daemon(fixture: &Fixture) -> ecs::CreateServiceRequest {
    ecs::CreateServiceRequest {
        scheduling_strategy: Some(ecs::SchedulingStrategy::Daemon),
        desired_count: None,
        launch_type: Some(ecs::LaunchType::Ec2),
        network_configuration: None,
        ..service(fixture, "web", 0)
    }
}

/// The service's desired count, its first deployment's, and the state of that.
fn counted(service: &ecs::Service) -> (i32, i32, ecs::DeploymentRolloutState) {
    let first = &service.deployments.as_deref().unwrap()[0];
    (service.desired_count.unwrap(), first.desired_count.unwrap(), first.rollout_state.unwrap())
}

/// As the waiter `services-stable` has it.
fn ends_the_waiter(service: &ecs::Service) -> bool {
    service.deployments.as_deref().unwrap().len() == 1 && service.running_count == service.desired_count
}

#[tokio::test]
async fn a_daemon_service_is_wanted_on_every_eligible_instance_at_once() {
    use ecs::DeploymentRolloutState::{Completed, InProgress};
    let fixture = fixture().await;
    for zone in ["us-east-1a", "us-east-1b", "us-east-1b"] {
        fixture.machine(machine(zone)).await;
    }
    let drained = fixture.machine(machine("us-east-1a")).await;
    set(&fixture, &drained, ecs::ContainerInstanceStatus::Draining).await;
    fixture.register(on_ec2("app", sized(10, 10))).await.unwrap();

    let made = fixture.create_service(daemon(&fixture)).await.unwrap();
    assert_eq!(counted(&made), (3, 3, InProgress));
    let shown = fixture.service("web").await;
    assert!(!ends_the_waiter(&shown), "{shown:#?}");
    assert!(!ends_the_waiter(&made));

    let settled = fixture.stable("web").await;
    assert_eq!((settled.running_count, counted(&settled)), (Some(3), (3, 3, Completed)));
    let again = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    let again = fixture.update_service(again).await.unwrap();
    assert_eq!(counted(&again), (3, 3, InProgress));
    fixture.until("web", |_| scheduling::Node::Works, is_stable).await;

    let narrowed = ecs::PlacementConstraint {
        r#type: Some(ecs::PlacementConstraintType::MemberOf),
        expression: text("attribute:ecs.availability-zone == us-east-1b"),
    };
    let narrowed =
        ecs::UpdateServiceRequest { placement_constraints: Some(vec![narrowed]), ..updated("web") };
    let narrowed = fixture.update_service(narrowed).await.unwrap();
    assert_eq!((narrowed.desired_count, narrowed.running_count), (Some(2), Some(3)));
    assert!(!ends_the_waiter(&narrowed));
    fixture.until("web", |_| scheduling::Node::Works, |service| service.running_count == Some(2)).await;
}

#[tokio::test]
async fn a_new_deployment_says_how_many_tasks_it_is_to_have() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let made = fixture.create_service(service(&fixture, "web", 3)).await.unwrap();
    assert_eq!(counted(&made), (3, 3, ecs::DeploymentRolloutState::InProgress));
    let scaled = ecs::UpdateServiceRequest { desired_count: Some(5), ..updated("web") };
    let scaled = fixture.update_service(scaled).await.unwrap();
    assert_eq!(counted(&scaled), (5, 5, ecs::DeploymentRolloutState::InProgress));
}
