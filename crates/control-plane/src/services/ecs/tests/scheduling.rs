//! Services as they are reconciled: a pretended node says what becomes of the tasks, and time is set by hand.

use std::sync::Arc;

use super::{
    service::{service, updated},
    *,
};
use crate::{
    reconcilers::services::look_at,
    services::ecs::records::{DesiredStatus, Task},
};

pub const SECOND: i64 = 1000;
/// Looks that anything here settles within.
const MOST_LOOKS: usize = 60;

/// What becomes of tasks that are to run.
#[derive(Clone, Copy, PartialEq)]
pub enum Node {
    Works,
    /// No image can be pulled.
    Broken,
}

impl Fixture {
    pub fn tasks_of(&self, name: &str) -> Vec<Arc<Task>> {
        let key = format!("default/{name}");
        self.services
            .state
            .read(|view| view.by_index::<Task>(&scope(), "service", &key).map(|(_, task)| task).collect())
    }

    pub async fn look(&self, name: &str) {
        let key = format!("default/{name}");
        look_at(&self.services, None, &scope(), &key, false, self.now()).await.unwrap();
    }

    /// Does what a node does with what it was told.
    pub async fn node(&self, name: &str, node: impl Fn(&Task) -> Node) {
        for task in self.tasks_of(name) {
            let arn = task.arn(&scope());
            let sequence = task.state.sequence + 1;
            let told_to_stop = task.desired_status == DesiredStatus::Stopped && !task.state.is_draining();
            match task.state.last_status {
                TaskStatus::Stopped => {}
                _ if told_to_stop => self.report(&report(&arn, sequence, TaskStatus::Stopped)).await,
                status if status < TaskStatus::Activating => {
                    let mut change = report(&arn, sequence, TaskStatus::Running);
                    change.started_at = Some(self.now());
                    if node(&task) == Node::Broken {
                        change = report(&arn, sequence, TaskStatus::Stopped);
                        change.stop_code = Some(agent_protocol::state::StopCode::TaskFailedToStart);
                        change.reason = text("CannotPullContainerError: not found");
                    }
                    self.report(&change).await;
                }
                _ => {}
            }
        }
    }

    /// Time passes, node and scheduler work, until `done`.
    pub async fn until(
        &self,
        name: &str,
        node: impl Fn(&Task) -> Node,
        done: impl Fn(&ecs::Service) -> bool,
    ) -> ecs::Service {
        for _ in 0..MOST_LOOKS {
            self.look(name).await;
            let service = self.service(name).await;
            if done(&service) {
                return service;
            }
            self.node(name, &node).await;
            self.pass(15 * SECOND);
        }
        panic!("not settled: {:#?}", self.service(name).await);
    }

    pub async fn stable(&self, name: &str) -> ecs::Service {
        self.until(name, |_| Node::Works, is_stable).await
    }

    pub async fn told(&self, name: &str) -> Vec<String> {
        let events = self.service(name).await.events.unwrap();
        events.into_iter().rev().map(|event| event.message.unwrap()).collect()
    }
}

/// As the waiter has it, and the deployment has completed.
pub fn is_stable(service: &ecs::Service) -> bool {
    let deployments = service.deployments.as_deref().unwrap();
    deployments.len() == 1
        && service.running_count == service.desired_count
        && service.pending_count == Some(0)
        && deployments[0].rollout_state == Some(ecs::DeploymentRolloutState::Completed)
}

async fn web(count: i32) -> Fixture {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    fixture.create_service(service(&fixture, "web", count)).await.unwrap();
    fixture
}

fn rest<'a>(events: &'a [String], prefix: &str) -> Option<&'a str> {
    events.iter().find_map(|event| event.strip_prefix(prefix))
}

#[tokio::test]
async fn a_service_gets_its_tasks_and_keeps_them() {
    let fixture = web(3).await;
    let service = fixture.stable("web").await;
    assert_eq!(service.running_count, Some(3));
    let tasks = fixture.tasks_of("web");
    let id = service.deployments.unwrap()[0].id.clone();
    assert!(tasks.iter().all(|task| task.group == "service:web" && task.started_by == id));
    let events = fixture.told("web").await;
    assert!(rest(&events, "(service web) has started 3 tasks: (task ").is_some(), "{events:#?}");
    assert!(events.iter().any(|event| event.ends_with("deployment completed.")), "{events:#?}");
    assert!(events.contains(&"(service web) has reached a steady state.".to_owned()), "{events:#?}");
    // One dies.
    let arn = tasks[0].arn(&scope());
    let mut change = report(&arn, 99, TaskStatus::Stopped);
    change.stop_code = Some(agent_protocol::state::StopCode::EssentialContainerExited);
    fixture.report(&change).await;
    fixture.stable("web").await;
    assert_eq!(fixture.tasks_of("web").len(), 4);
}

#[tokio::test]
async fn nothing_is_written_when_nothing_is_due() {
    let fixture = web(2).await;
    fixture.stable("web").await;
    fixture.look("web").await;
    let before = fixture.services.state.revision();
    fixture.look("web").await;
    assert_eq!(fixture.services.state.revision(), before);
}

#[tokio::test]
async fn scaling_in_stops_with_the_schedulers_reason() {
    let fixture = web(4).await;
    fixture.stable("web").await;
    let fewer = ecs::UpdateServiceRequest { desired_count: Some(1), ..updated("web") };
    let service = fixture.update_service(fewer).await.unwrap();
    fixture.stable("web").await;
    let stopped: Vec<_> = fixture
        .tasks_of("web")
        .into_iter()
        .filter(|task| task.state.last_status == TaskStatus::Stopped)
        .collect();
    assert_eq!(stopped.len(), 3);
    let id = service.deployments.unwrap()[0].id.clone().unwrap();
    for task in stopped {
        assert_eq!(task.state.stop_code.as_deref(), Some("ServiceSchedulerInitiated"));
        let reason = format!("Scaling activity initiated by (deployment {id})");
        assert_eq!(task.state.stopped_reason, Some(reason));
    }
}

#[tokio::test]
async fn a_new_revision_replaces_the_old_within_the_percentages() {
    let fixture = web(2).await;
    fixture.stable("web").await;
    let forced = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    let service = fixture.update_service(forced).await.unwrap();
    let newest = service.deployments.unwrap()[0].id.clone();
    for _ in 0..MOST_LOOKS {
        fixture.look("web").await;
        let living: Vec<_> = fixture
            .tasks_of("web")
            .into_iter()
            .filter(|task| task.desired_status == DesiredStatus::Running)
            .collect();
        let running = living.iter().filter(|task| task.state.last_status == TaskStatus::Running).count();
        assert!(living.len() <= 4 && running >= 2, "{} living, {running} running", living.len());
        if is_stable(&fixture.service("web").await) {
            break;
        }
        fixture.node("web", |_| Node::Works).await;
        fixture.pass(15 * SECOND);
    }
    let service = fixture.service("web").await;
    assert!(is_stable(&service));
    assert_eq!(service.deployments.unwrap()[0].id, newest);
}

#[tokio::test]
async fn a_broken_revision_is_taken_back_at_the_threshold() {
    let fixture = web(2).await;
    let first = fixture.stable("web").await.deployments.unwrap()[0].id.clone();
    fixture.register(fargate("app")).await.unwrap();
    let broken = ecs::UpdateServiceRequest {
        task_definition: text("app:2"),
        deployment_configuration: Some(ecs::DeploymentConfiguration {
            deployment_circuit_breaker: Some(ecs::DeploymentCircuitBreaker {
                enable: Some(true),
                rollback: Some(true),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..updated("web")
    };
    fixture.update_service(broken).await.unwrap();
    let node = |task: &Task| if task.revision == 2 { Node::Broken } else { Node::Works };
    let service = fixture
        .until("web", node, |service| {
            let deployments = service.deployments.as_deref().unwrap();
            deployments.len() == 1 && deployments[0].id == first && is_stable(service)
        })
        .await;
    assert!(service.task_definition.as_deref().is_some_and(|arn| arn.ends_with("app:1")));
    let events = fixture.told("web").await;
    assert!(
        events.iter().any(|event| event.contains("deployment failed: tasks failed to start.")),
        "{events:#?}"
    );
    assert!(events.iter().any(|event| event.contains("rolling back to deployment")), "{events:#?}");
    let broken = fixture.tasks_of("web").iter().filter(|task| task.revision == 2).count();
    assert!((3..=5).contains(&broken), "{broken} tasks of the broken revision");
    let input = ecs::ListServiceDeploymentsRequest { service: text("web"), ..Default::default() };
    let listed = crate::services::ecs::services::deployments::list(fixture.call(), input).await.unwrap();
    assert_eq!(
        listed.service_deployments.unwrap()[0].status,
        Some(ecs::ServiceDeploymentStatus::RollbackSuccessful)
    );
}

#[tokio::test]
async fn a_deleted_service_drains_and_is_inactive_then() {
    let fixture = web(2).await;
    fixture.stable("web").await;
    refused(
        crate::services::ecs::services::delete::delete(
            fixture.call(),
            ecs::DeleteServiceRequest { service: text("web"), ..Default::default() },
        )
        .await,
        INVALID,
        "The service cannot be stopped while it is scaled above 0.",
    );
    let deleted = fixture.delete_service("web", true).await.unwrap();
    assert_eq!(deleted.status.as_deref(), Some("DRAINING"));
    let again = service(&fixture, "web", 1);
    refused(fixture.create_service(again.clone()).await, INVALID, "still Draining");
    let service =
        fixture.until("web", |_| Node::Works, |service| service.status.as_deref() == Some("INACTIVE")).await;
    assert_eq!(service.running_count, Some(0));
    refused(
        fixture.update_service(updated("web")).await,
        "ServiceNotActiveException",
        "Service was not ACTIVE.",
    );
    fixture.create_service(again).await.unwrap();
    assert_eq!(fixture.stable("web").await.running_count, Some(1));
}

#[tokio::test]
async fn starts_that_the_network_has_no_room_for_are_told_and_tried_again() {
    let fixture = web(2).await;
    let subnet = fixture.subnet();
    fixture
        .services
        .state
        .transact(|tx| {
            tx.delete::<ec2::records::Subnet>(&scope(), &subnet);
            Ok::<_, ApiError>(())
        })
        .await
        .unwrap();
    fixture.look("web").await;
    let events = fixture.told("web").await;
    assert!(rest(&events, "(service web) failed to launch a task with (error ").is_some(), "{events:#?}");
    assert_eq!(fixture.left_behind(), (0, 0, 0));
    // Not told again at once, nor tried at once.
    fixture.look("web").await;
    assert_eq!(fixture.told("web").await.len(), events.len());
}

#[tokio::test]
async fn an_external_services_sets_have_their_share() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let external = ecs::CreateServiceRequest {
        service_name: text("web"),
        desired_count: Some(4),
        deployment_controller: Some(ecs::DeploymentController {
            r#type: Some(ecs::DeploymentControllerType::External),
        }),
        ..Default::default()
    };
    fixture.create_service(external).await.unwrap();
    let set = ecs::CreateTaskSetRequest {
        cluster: text("default"),
        service: text("web"),
        task_definition: text("app"),
        launch_type: Some(ecs::LaunchType::Fargate),
        network_configuration: Some(network(&[&fixture.subnet()])),
        scale: Some(ecs::Scale { unit: Some(ecs::ScaleUnit::Percent), value: Some(50.0) }),
        ..Default::default()
    };
    let set = crate::services::ecs::services::task_sets::create(fixture.call(), set)
        .await
        .unwrap()
        .task_set
        .unwrap();
    let service = fixture
        .until(
            "web",
            |_| Node::Works,
            |service| {
                let sets = service.task_sets.as_deref().unwrap();
                sets[0].stability_status == Some(ecs::StabilityStatus::SteadyState)
            },
        )
        .await;
    let sets = service.task_sets.unwrap();
    assert_eq!((sets[0].computed_desired_count, sets[0].running_count), (Some(2), Some(2)));
    let delete = ecs::DeleteTaskSetRequest {
        cluster: text("default"),
        service: text("web"),
        task_set: set.id,
        force: Some(true),
    };
    crate::services::ecs::services::task_sets::delete(fixture.call(), delete).await.unwrap();
    let gone = |service: &ecs::Service| service.task_sets.as_ref().unwrap().is_empty();
    assert_eq!(fixture.until("web", |_| Node::Works, gone).await.running_count, Some(0));
}

#[tokio::test]
async fn the_leader_reconciles_by_itself_and_a_deposed_one_writes_nothing() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    let store = || fixture.services.state.store().clone();
    let campaign = || state_store::Leadership::campaign(store(), "reconcilers", "this", 10);
    let deposed = campaign().await.unwrap();
    let leads = tokio::spawn(crate::reconcilers::run(fixture.services.clone(), "this".to_owned()));
    let mut changes = fixture.services.state.watch::<Task>();
    fixture.create_service(service(&fixture, "web", 2)).await.unwrap();
    while fixture.tasks_of("web").len() < 2 {
        tokio::time::timeout(std::time::Duration::from_secs(20), changes.next())
            .await
            .expect("tasks")
            .unwrap();
    }
    leads.abort();
    let more = ecs::UpdateServiceRequest { desired_count: Some(4), ..updated("web") };
    fixture.update_service(more).await.unwrap();
    let fence = deposed.fence().clone();
    let refused =
        look_at(&fixture.services, Some(&fence), &scope(), "default/web", false, fixture.now()).await;
    let error = refused.expect_err("another leads");
    let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<state_store::StateError>());
    assert!(matches!(cause, Some(state_store::StateError::NotLeader)), "{error:?}");
}
