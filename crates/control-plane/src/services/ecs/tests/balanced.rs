//! Services behind load balancers: registered before they are RUNNING, drained before their node is told, replaced when their
//! target is unhealthy, and traffic that goes over by weights. The data plane is pretended.

use std::collections::{BTreeMap, HashSet};

use aws_schema::{Operation, Shape};
use aws_shapes_elbv2 as elbv2;
use state_store::View;

use super::{
    scheduling::{Node, SECOND, is_stable},
    service::{service, updated},
    *,
};
use crate::{
    gateway::Answer,
    services::{
        ecs::{
            records::{Task, TaskTarget},
            services::deployments,
        },
        elbv2::{
            health::{Health, Place, State},
            records::{Target, target_key},
            targets,
        },
    },
};

impl Fixture {
    /// An operation as a client asks for it.
    pub async fn ask<O: Operation>(
        &self,
        service: &'static aws_schema::ServiceTable,
        input: O::Input,
    ) -> O::Output {
        let operations = crate::services::operations();
        match operations.answer(service, O::TABLE, self.call(), input.into_value()).await.unwrap() {
            Answer::Value(value) => O::Output::from_value(value).unwrap(),
            Answer::Events(_) | Answer::Content { .. } => panic!("a value was expected"),
        }
    }

    pub async fn group(&self, name: &str) -> String {
        let vpc = self.services.state.read(|view| {
            view.scan::<ec2::records::Vpc>(&scope()).next().map(|(id, _)| id.to_owned()).unwrap()
        });
        let input = elbv2::CreateTargetGroupInput {
            name: text(name),
            protocol: Some(elbv2::ProtocolEnum::Http),
            port: Some(80),
            vpc_id: Some(vpc),
            target_type: Some(elbv2::TargetTypeEnum::Ip),
            ..Default::default()
        };
        let made = self.ask::<elbv2::CreateTargetGroup>(elbv2::SERVICE, input).await;
        made.target_groups.unwrap()[0].target_group_arn.clone().unwrap()
    }

    /// A load balancer whose listener forwards to the group; the listener's ARN.
    pub async fn listener(&self, group: &str) -> String {
        self.listener_in(group, usize::MAX).await
    }

    /// The same, in so many zones only.
    async fn listener_in(&self, group: &str, zones: usize) -> String {
        let subnets = self.services.state.read(|view| {
            view.scan::<ec2::records::Subnet>(&scope()).map(|(id, _)| id.to_owned()).take(zones).collect()
        });
        let input =
            elbv2::CreateLoadBalancerInput { name: text("lb"), subnets: Some(subnets), ..Default::default() };
        let made = self.ask::<elbv2::CreateLoadBalancer>(elbv2::SERVICE, input).await;
        let input = elbv2::CreateListenerInput {
            load_balancer_arn: made.load_balancers.unwrap()[0].load_balancer_arn.clone(),
            protocol: Some(elbv2::ProtocolEnum::Http),
            port: Some(80),
            default_actions: Some(vec![elbv2::Action {
                r#type: Some(elbv2::ActionTypeEnum::Forward),
                target_group_arn: text(group),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let made = self.ask::<elbv2::CreateListener>(elbv2::SERVICE, input).await;
        made.listeners.unwrap()[0].listener_arn.clone().unwrap()
    }

    /// The data plane says the same of all targets.
    fn targets_are(&self, state: &dyn Fn(&Place) -> State) {
        let mut all = BTreeMap::new();
        let view = self.services.state.view();
        for task in self.tasks_of("web") {
            for place in task.targets.iter().filter_map(|place| measured(&view, place)) {
                let health = match state(&place) {
                    State::Healthy => Health::healthy(),
                    other => Health::new(other, "Target.Timeout", "Request timed out"),
                };
                all.insert(place, health);
            }
        }
        self.services.target_health.replace(all, HashSet::new());
    }

    /// Draining is over for all that drain.
    async fn requests_end(&self) {
        self.services
            .state
            .transact(|tx| {
                for (key, target) in tx.scan::<Target>(&scope()) {
                    if target.draining.is_some() {
                        tx.delete::<Target>(&scope(), &key);
                    }
                }
                Ok::<_, ApiError>(())
            })
            .await
            .unwrap();
    }

    pub fn registered(&self) -> usize {
        self.services.state.read(|view| {
            view.scan::<Target>(&scope()).filter(|(_, target)| target.draining.is_none()).count()
        })
    }
}

/// By what the measurements of a task's target are known; none: it is not registered any more.
pub fn measured(view: &View, place: &TaskTarget) -> Option<Place> {
    let arn = place.at.target_group()?;
    let (_, group) = arn.rsplit_once("targetgroup/")?;
    let target = view.get::<Target>(&scope(), &target_key(group, &place.id, place.port))?;
    Some(targets::place(arn, &target))
}

pub fn behind(group: &str) -> ecs::LoadBalancer {
    ecs::LoadBalancer {
        target_group_arn: text(group),
        container_name: text("app"),
        container_port: Some(80),
        ..Default::default()
    }
}

pub fn with_port(family: &str) -> ecs::RegisterTaskDefinitionRequest {
    let mapping = ecs::PortMapping { container_port: Some(80), ..Default::default() };
    let mut definition = fargate(family);
    definition.container_definitions.as_mut().unwrap()[0].port_mappings = Some(vec![mapping]);
    definition
}

/// A service behind a load balancer, with its group and the listener.
async fn web(count: i32) -> (Fixture, String, String) {
    let fixture = fixture().await;
    fixture.register(with_port("app")).await.unwrap();
    let group = fixture.group("blue").await;
    let listener = fixture.listener(&group).await;
    let mut input = service(&fixture, "web", count);
    input.load_balancers = Some(vec![behind(&group)]);
    fixture.create_service(input).await.unwrap();
    (fixture, group, listener)
}

impl Fixture {
    /// As [`Fixture::until`], with healthy targets and requests that end.
    pub async fn served(&self, done: impl Fn(&ecs::Service) -> bool) -> ecs::Service {
        for _ in 0..60 {
            self.look("web").await;
            self.targets_are(&|_| State::Healthy);
            let service = self.service("web").await;
            if done(&service) {
                return service;
            }
            self.node("web", |_| Node::Works).await;
            self.requests_end().await;
            self.pass(15 * SECOND);
        }
        panic!("not settled: {:#?}", self.service("web").await);
    }
}

fn status(task: &Task) -> TaskStatus {
    task.state.last_status
}

#[tokio::test]
async fn registered_then_running_and_drained_before_the_node_is_told() {
    let (fixture, group, _) = web(1).await;
    fixture.look("web").await;
    fixture.node("web", |_| Node::Works).await;
    let task = fixture.tasks_of("web").remove(0);
    assert_eq!((status(&task), fixture.registered()), (TaskStatus::Activating, 0));
    let described = fixture.describe_task(&task.arn(&scope())).await.unwrap();
    assert_eq!(described.last_status.as_deref(), Some("ACTIVATING"));
    fixture.look("web").await;
    let task = fixture.tasks_of("web").remove(0);
    assert_eq!((status(&task), fixture.registered()), (TaskStatus::Running, 1));
    let address = task.interface.as_ref().unwrap().private_address.to_string();
    assert_eq!((task.targets[0].id.clone(), task.targets[0].port), (address, 80));
    let events = fixture.told("web").await;
    assert!(
        events.contains(&format!("(service web) registered 1 targets in (target-group {group})")),
        "{events:#?}"
    );

    let fewer = ecs::UpdateServiceRequest { desired_count: Some(0), ..updated("web") };
    fixture.update_service(fewer).await.unwrap();
    fixture.look("web").await;
    let draining = fixture.tasks_of("web").remove(0);
    assert_eq!((status(&draining), fixture.registered()), (TaskStatus::Deactivating, 0));
    assert_eq!(draining.payload_sequence, task.payload_sequence, "its node is not told yet");
    fixture.look("web").await;
    assert_eq!(fixture.tasks_of("web").remove(0).payload_sequence, task.payload_sequence);
    fixture.requests_end().await;
    fixture.look("web").await;
    let released = fixture.tasks_of("web").remove(0);
    assert_eq!(released.payload_sequence, task.payload_sequence + 1);
    assert!(!released.state.is_draining() && released.targets.is_empty());
    let events = fixture.told("web").await;
    assert!(
        events.contains(&"(service web) has begun draining connections on 1 tasks.".to_owned()),
        "{events:#?}"
    );
}

#[tokio::test]
async fn the_delay_ends_what_requests_do_not() {
    let (fixture, _, _) = web(1).await;
    fixture.served(is_stable).await;
    let arn = fixture.tasks_of("web")[0].arn(&scope());
    fixture.stop(&arn, None).await.unwrap();
    let before = fixture.tasks_of("web")[0].payload_sequence;
    fixture.pass(299 * SECOND);
    fixture.look("web").await;
    assert_eq!(
        fixture.tasks_of("web").iter().find(|task| task.arn(&scope()) == arn).unwrap().payload_sequence,
        before
    );
    fixture.pass(2 * SECOND);
    fixture.look("web").await;
    assert_eq!(
        fixture.tasks_of("web").iter().find(|task| task.arn(&scope()) == arn).unwrap().payload_sequence,
        before + 1
    );
}

#[tokio::test]
async fn a_task_that_dies_is_deregistered_at_once() {
    let (fixture, _, _) = web(2).await;
    fixture.served(is_stable).await;
    assert_eq!(fixture.registered(), 2);
    let arn = fixture.tasks_of("web")[0].arn(&scope());
    fixture.report(&report(&arn, 99, TaskStatus::Stopped)).await;
    assert_eq!(fixture.registered(), 1);
}

#[tokio::test]
async fn an_unhealthy_target_has_its_task_replaced() {
    let (fixture, group, _) = web(2).await;
    fixture.served(is_stable).await;
    let sick = fixture.tasks_of("web").remove(0);
    let id = sick.targets[0].id.clone();
    fixture.targets_are(&|place| if place.id == id { State::Unhealthy } else { State::Healthy });
    for _ in 0..10 {
        fixture.look("web").await;
        fixture.targets_are(&|place| if place.id == id { State::Unhealthy } else { State::Healthy });
        fixture.node("web", |_| Node::Works).await;
        fixture.requests_end().await;
        fixture.pass(15 * SECOND);
    }
    let sick = fixture.describe_task(&sick.arn(&scope())).await.unwrap();
    assert_eq!(sick.stopped_reason, Some(format!("Task failed ELB health checks in (target-group {group})")));
    assert!(is_stable(&fixture.service("web").await));
    let events = fixture.told("web").await;
    assert!(
        events
            .iter()
            .any(|event| event.contains("is unhealthy in (target-group")
                && event.contains("Request timed out")),
        "{events:#?}"
    );
}

#[tokio::test]
async fn a_task_where_the_load_balancer_is_not_counts_as_unhealthy() {
    let fixture = fixture().await;
    fixture.register(with_port("app")).await.unwrap();
    let group = fixture.group("blue").await;
    fixture.listener_in(&group, 2).await;
    let subnets: Vec<String> = fixture
        .services
        .state
        .read(|view| view.scan::<ec2::records::Subnet>(&scope()).map(|(id, _)| id.to_owned()).collect());
    let mut input = service(&fixture, "web", 1);
    input.network_configuration = Some(network(&[&subnets[2]]));
    input.load_balancers = Some(vec![behind(&group)]);
    fixture.create_service(input).await.unwrap();
    let mut reason = None;
    for _ in 0..8 {
        fixture.look("web").await;
        fixture.node("web", |_| Node::Works).await;
        fixture.pass(15 * SECOND);
        let stopped = fixture.tasks_of("web").into_iter().find_map(|task| task.state.stopped_reason.clone());
        reason = reason.or(stopped);
    }
    assert_eq!(reason, Some(format!("Task failed ELB health checks in (target-group {group})")));
    let events = fixture.told("web").await;
    let why = "(reason Target is in an Availability Zone that is not enabled for the load balancer)";
    assert!(events.iter().any(|event| event.contains(why)), "{events:#?}");
}

#[tokio::test]
async fn a_group_that_is_gone_fails_the_task_and_says_so() {
    let (fixture, group, _) = web(1).await;
    fixture.look("web").await;
    fixture
        .services
        .state
        .transact(|tx| {
            let key = group.split_once("targetgroup/").unwrap().1;
            tx.delete::<crate::services::elbv2::records::TargetGroup>(&scope(), key);
            Ok::<_, ApiError>(())
        })
        .await
        .unwrap();
    fixture.node("web", |_| Node::Works).await;
    let id = fixture.tasks_of("web").remove(0).id.clone();
    fixture.look("web").await;
    let tasks = fixture.tasks_of("web");
    let task = tasks.iter().find(|task| task.id == id).unwrap();
    assert_eq!(task.state.stop_code.as_deref(), Some("TaskFailedToStart"));
    let events = fixture.told("web").await;
    let told = format!("(service web) failed to register targets in (target-group {group}) with (error");
    assert!(events.iter().any(|event| event.starts_with(&told)), "{events:#?}");
}

#[tokio::test]
async fn groups_must_fit_the_tasks() {
    let (fixture, group, _) = web(0).await;
    let lonely = fixture.group("lonely").await;
    let mut input = service(&fixture, "other", 1);
    input.load_balancers = Some(vec![behind(&lonely)]);
    let fragment = "does not have an associated load balancer.";
    refused(fixture.create_service(input.clone()).await, INVALID, fragment);
    input.load_balancers = Some(vec![ecs::LoadBalancer { container_port: Some(81), ..behind(&group) }]);
    refused(
        fixture.create_service(input.clone()).await,
        INVALID,
        "did not have a container port 81 defined.",
    );
    let canary = ecs::DeploymentConfiguration {
        strategy: Some(ecs::DeploymentStrategy::Canary),
        ..Default::default()
    };
    input.load_balancers = Some(vec![behind(&group)]);
    input.deployment_configuration = Some(canary);
    refused(fixture.create_service(input).await, INVALID, "advancedConfiguration field is required");
}

#[tokio::test]
async fn blue_green_shifts_all_traffic_and_pauses_where_it_was_asked_to() {
    let fixture = fixture().await;
    fixture.register(with_port("app")).await.unwrap();
    let (blue, green) = (fixture.group("blue").await, fixture.group("green").await);
    let listener = fixture.listener(&blue).await;
    let mut input = service(&fixture, "web", 2);
    input.load_balancers = Some(vec![ecs::LoadBalancer {
        advanced_configuration: Some(ecs::AdvancedConfiguration {
            alternate_target_group_arn: text(&green),
            production_listener_rule: text(&listener),
            role_arn: text("arn:aws:iam::000000000000:role/ecs"),
            ..Default::default()
        }),
        ..behind(&blue)
    }]);
    input.deployment_configuration = Some(ecs::DeploymentConfiguration {
        strategy: Some(ecs::DeploymentStrategy::BlueGreen),
        bake_time_in_minutes: Some(1),
        lifecycle_hooks: Some(vec![ecs::DeploymentLifecycleHook {
            target_type: Some(ecs::DeploymentLifecycleHookTargetType::Pause),
            lifecycle_stages: Some(vec![ecs::DeploymentLifecycleHookStage::PostScaleUp]),
            ..Default::default()
        }]),
        ..Default::default()
    });
    fixture.create_service(input).await.unwrap();
    let weights = || {
        let view = fixture.services.state.view();
        let mut weights = targets::weights(&view, &scope(), &listener).unwrap();
        weights.retain(|(_, weight)| *weight > 0);
        weights.into_iter().map(|(group, _)| group).collect::<Vec<_>>()
    };
    let shown = async || {
        let input = ecs::ListServiceDeploymentsRequest { service: text("web"), ..Default::default() };
        let listed = deployments::list(fixture.call(), input).await.unwrap().service_deployments.unwrap();
        let arn = listed[0].service_deployment_arn.clone().unwrap();
        let input = ecs::DescribeServiceDeploymentsRequest { service_deployment_arns: Some(vec![arn]) };
        let described = deployments::describe(fixture.call(), input).await.unwrap();
        described.service_deployments.unwrap().remove(0)
    };
    // Whoever waits for the answer is answered.
    let answer = async || {
        let shown = shown().await;
        let waiting = shown
            .lifecycle_hook_details
            .into_iter()
            .flatten()
            .find(|hook| hook.status == Some(ecs::DeploymentLifecycleHookStatus::AwaitingAction));
        let Some(hook) = waiting else { return false };
        let input = ecs::ContinueServiceDeploymentRequest {
            service_deployment_arn: shown.service_deployment_arn,
            hook_id: hook.hook_id,
            action: Some(ecs::DeploymentLifecycleHookAction::Continue),
        };
        deployments::carry_on(fixture.call(), input).await.unwrap();
        true
    };
    let mut answered = 0;
    for round in 0..2 {
        if round == 1 {
            let forced = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
            fixture.update_service(forced).await.unwrap();
        }
        let mut done = false;
        for _ in 0..80 {
            fixture.look("web").await;
            fixture.targets_are(&|_| State::Healthy);
            if is_stable(&fixture.service("web").await) {
                done = true;
                break;
            }
            fixture.node("web", |_| Node::Works).await;
            fixture.requests_end().await;
            answered += usize::from(answer().await);
            fixture.pass(15 * SECOND);
        }
        assert!(done, "{:#?}", shown().await);
        assert_eq!(weights(), [[blue.clone()], [green.clone()]][round]);
        assert_eq!(shown().await.status, Some(ecs::ServiceDeploymentStatus::Successful));
    }
    assert!(answered >= 1, "a pause was answered");
    let groups: HashSet<String> = fixture
        .tasks_of("web")
        .iter()
        .flat_map(|task| task.targets.iter().filter_map(|place| place.at.target_group().map(str::to_owned)))
        .collect();
    assert_eq!(groups, HashSet::from([green.clone()]));
    // Nothing is shifted by other controllers: what is left is the target group that its tasks are in.
    let to = |controller| ecs::UpdateServiceRequest {
        deployment_controller: Some(ecs::DeploymentController { r#type: Some(controller) }),
        deployment_configuration: Some(ecs::DeploymentConfiguration {
            strategy: Some(ecs::DeploymentStrategy::Rolling),
            lifecycle_hooks: Some(vec![]),
            ..Default::default()
        }),
        ..updated("web")
    };
    let given = fixture.update_service(to(ecs::DeploymentControllerType::External)).await.unwrap();
    assert_eq!(given.task_sets.unwrap()[0].load_balancers, Some(vec![behind(&green)]));
    let taken = fixture.update_service(to(ecs::DeploymentControllerType::Ecs)).await.unwrap();
    assert_eq!(taken.load_balancers, Some(vec![behind(&green)]));
}
