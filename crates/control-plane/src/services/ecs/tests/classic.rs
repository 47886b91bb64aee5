//! Services behind classic load balancers: the instance is registered with the task's fixed port, drained before the task stops, and
//! stays while another task on it needs it.

use std::collections::{BTreeMap, HashSet};

use agent_protocol::state::NetworkBinding;
use aws_shapes_elb as elb;

use super::{
    placing::{machine, on_ec2, publishing},
    scheduling::{SECOND, is_stable},
    service::{service, updated},
    *,
};
use crate::services::{
    ecs::records::{DesiredStatus, Registrar},
    elb::{
        configuration::{registration, target_group_arn},
        records::LoadBalancer,
    },
    elbv2::health::{Health, Place, State},
};

const PORT: u16 = 8080;

impl Fixture {
    /// A classic load balancer from port 80 to the instances' 8080 and from 81 to their 8081, which drains for a minute.
    async fn classic(&self) {
        let listener = |port, instance_port| elb::Listener {
            protocol: text("http"),
            load_balancer_port: Some(port),
            instance_port: Some(instance_port),
            ..Default::default()
        };
        let input = elb::CreateAccessPointInput {
            load_balancer_name: text("classic"),
            listeners: Some(vec![listener(80, 8080), listener(81, 8081)]),
            availability_zones: Some(vec!["us-east-1a".to_owned()]),
            ..Default::default()
        };
        self.ask::<elb::CreateLoadBalancer>(elb::SERVICE, input).await;
        let draining = elb::ConnectionDraining { enabled: Some(true), timeout: Some(60) };
        let input = elb::ModifyLoadBalancerAttributesInput {
            load_balancer_name: text("classic"),
            load_balancer_attributes: Some(elb::LoadBalancerAttributes {
                connection_draining: Some(draining),
                ..Default::default()
            }),
        };
        self.ask::<elb::ModifyLoadBalancerAttributes>(elb::SERVICE, input).await;
    }

    fn balancer(&self) -> std::sync::Arc<LoadBalancer> {
        self.services.state.read(|view| view.get(&scope(), "classic").unwrap())
    }

    /// A machine with the EC2 instance id.
    async fn ec2(&self, id: &str, address: &str) {
        let document = format!(r#"{{"instanceId":"{id}","privateIp":"{address}"}}"#);
        let request = ecs::RegisterContainerInstanceRequest {
            instance_identity_document: Some(document),
            ..machine("us-east-1a")
        };
        self.machine(request).await;
    }

    /// What nodes do with their tasks, which publish their port.
    async fn nodes(&self, name: &str) {
        for task in self.tasks_of(name) {
            let told = task.desired_status == DesiredStatus::Stopped && !task.state.is_draining();
            let status = match task.state.last_status {
                TaskStatus::Stopped => continue,
                _ if told => TaskStatus::Stopped,
                status if status < TaskStatus::Activating => TaskStatus::Running,
                _ => continue,
            };
            let mut change = report(&task.arn(&scope()), task.state.sequence + 1, status);
            change.started_at = Some(self.now());
            let host_port = if task.family == "other" { 8081 } else { PORT };
            change.containers[0].network_bindings = vec![NetworkBinding {
                bind_ip: "0.0.0.0".to_owned(),
                container_port: 80,
                host_port,
                count: 1,
                protocol: "tcp".to_owned(),
            }];
            self.report(&change).await;
        }
    }

    /// The data plane says the same of every instance.
    fn instances_are(&self, state: State) {
        let balancer = self.balancer();
        let mut all = BTreeMap::new();
        for (id, since) in &balancer.instances {
            for (port, listener) in &balancer.listeners {
                let place = Place {
                    target_group_arn: target_group_arn(&scope(), &balancer, *port),
                    id: id.clone(),
                    port: listener.instance_port,
                    registration: registration(*since),
                };
                let health = match state {
                    State::Healthy => Health::healthy(),
                    other => Health::new(other, "Target.Timeout", "Request timed out"),
                };
                all.insert(place, health);
            }
        }
        self.services.target_health.replace(all, HashSet::new());
    }

    async fn served_by(&self, name: &str) -> ecs::Service {
        for _ in 0..40 {
            self.look(name).await;
            self.instances_are(State::Healthy);
            let service = self.service(name).await;
            if is_stable(&service) {
                return service;
            }
            self.nodes(name).await;
            self.pass(61 * SECOND);
            crate::services::elbv2::upkeep::end_drained(&self.services, self.now()).await.unwrap();
        }
        panic!("not settled: {:#?}", self.service(name).await);
    }
}

fn behind_classic() -> ecs::LoadBalancer {
    ecs::LoadBalancer {
        load_balancer_name: text("classic"),
        container_name: text("app"),
        container_port: Some(80),
        ..Default::default()
    }
}

fn on_instances(fixture: &Fixture, name: &str, definition: &str, count: i32) -> ecs::CreateServiceRequest {
    ecs::CreateServiceRequest {
        task_definition: text(definition),
        launch_type: Some(ecs::LaunchType::Ec2),
        network_configuration: None,
        load_balancers: Some(vec![behind_classic()]),
        ..service(fixture, name, count)
    }
}

/// Two machines, and the service `web` with a task on each.
async fn web() -> Fixture {
    let fixture = fixture().await;
    fixture.classic().await;
    fixture.ec2("i-1", "192.0.2.1").await;
    fixture.ec2("i-2", "192.0.2.2").await;
    fixture.register(on_ec2("app", publishing(PORT.into()))).await.unwrap();
    fixture.create_service(on_instances(&fixture, "web", "app", 2)).await.unwrap();
    fixture
}

#[tokio::test]
async fn instances_are_registered_while_tasks_on_them_run_and_drained_before_those_stop() {
    let fixture = web().await;
    fixture.served_by("web").await;
    let registered: Vec<String> = fixture.balancer().instances.keys().cloned().collect();
    assert_eq!(registered, ["i-1", "i-2"]);
    let task = fixture.tasks_of("web").remove(0);
    assert_eq!(task.targets[0].at, Registrar::LoadBalancerName("classic".to_owned()));
    assert_eq!(task.targets[0].port, PORT);
    let events = fixture.told("web").await;
    assert!(events.iter().any(|event| event.contains("instances in (elb classic)")), "{events:#?}");

    let fewer = ecs::UpdateServiceRequest { desired_count: Some(1), ..updated("web") };
    fixture.update_service(fewer).await.unwrap();
    fixture.look("web").await;
    let balancer = fixture.balancer();
    assert_eq!((balancer.instances.len(), balancer.draining.len()), (1, 1));
    let leaving = fixture.tasks_of("web").into_iter().find(|task| task.state.is_draining()).unwrap();
    fixture.pass(59 * SECOND);
    fixture.look("web").await;
    let still = fixture.tasks_of("web").into_iter().find(|task| task.id == leaving.id).unwrap();
    assert_eq!(still.payload_sequence, leaving.payload_sequence, "its node is not told yet");
    fixture.pass(2 * SECOND);
    fixture.look("web").await;
    let told = fixture.tasks_of("web").into_iter().find(|task| task.id == leaving.id).unwrap();
    assert_eq!(told.payload_sequence, leaving.payload_sequence + 1);
}

#[tokio::test]
async fn a_drained_instance_lets_its_task_go_before_the_time_is_over() {
    use crate::services::elbv2::targets::{Report, apply_report};
    use routing::report::{HealthState, TargetReport};
    let fixture = web().await;
    fixture.served_by("web").await;
    let fewer = ecs::UpdateServiceRequest { desired_count: Some(1), ..updated("web") };
    fixture.update_service(fewer).await.unwrap();
    fixture.look("web").await;
    let leaving = fixture.tasks_of("web").into_iter().find(|task| task.state.is_draining()).unwrap();
    let balancer = fixture.balancer();
    let report = |port: u16, drained: bool| TargetReport {
        target_group_arn: target_group_arn(&scope(), &balancer, port),
        target_id: leaving.targets[0].id.clone(),
        port: balancer.listeners[&port].instance_port,
        registration: 0,
        health: routing::report::Health { state: HealthState::Draining, reason: None, description: None },
        drained,
    };
    let says = |one: bool, other: bool| Report {
        generation: u64::try_from(fixture.services.state.revision()).unwrap(),
        targets: vec![report(80, one), report(81, other)],
        listening: HashSet::new(),
    };
    apply_report(&fixture.services, says(true, false)).await.unwrap();
    assert_eq!(fixture.balancer().draining.len(), 1, "one listener has something in flight");
    apply_report(&fixture.services, says(true, true)).await.unwrap();
    assert!(fixture.balancer().draining.is_empty());
    fixture.look("web").await;
    let told = fixture.tasks_of("web").into_iter().find(|task| task.id == leaving.id).unwrap();
    assert_eq!(told.payload_sequence, leaving.payload_sequence + 1);
}

#[tokio::test]
async fn an_instance_stays_for_another_services_task() {
    let fixture = web().await;
    fixture.register(on_ec2("other", publishing(8081))).await.unwrap();
    fixture.create_service(on_instances(&fixture, "other", "other", 2)).await.unwrap();
    fixture.served_by("web").await;
    fixture.served_by("other").await;
    let none = ecs::UpdateServiceRequest { desired_count: Some(0), ..updated("web") };
    fixture.update_service(none).await.unwrap();
    fixture.served_by("web").await;
    assert_eq!(fixture.balancer().instances.len(), 2, "the other service needs them");
    let none = ecs::UpdateServiceRequest { desired_count: Some(0), ..updated("other") };
    fixture.update_service(none).await.unwrap();
    fixture.served_by("other").await;
    assert_eq!(fixture.balancer().instances.len(), 0);
}

#[tokio::test]
async fn an_unhealthy_instance_has_its_task_replaced() {
    let fixture = web().await;
    fixture.served_by("web").await;
    let before: Vec<String> = fixture.tasks_of("web").iter().map(|task| task.id.clone()).collect();
    fixture.instances_are(State::Unhealthy);
    for _ in 0..3 {
        fixture.look("web").await;
    }
    let stopped = fixture
        .tasks_of("web")
        .into_iter()
        .find(|task| before.contains(&task.id) && task.desired_status == DesiredStatus::Stopped);
    let reason = stopped.unwrap().state.stopped_reason.clone();
    assert_eq!(reason.as_deref(), Some("Task failed ELB health checks in (elb classic)"));
    let events = fixture.told("web").await;
    let told = "(port 8080) is unhealthy in (elb classic) due to (reason Request timed out)";
    assert!(events.iter().any(|event| event.contains(told)), "{events:#?}");
}

#[tokio::test]
async fn what_a_classic_load_balancer_cannot_reach_is_refused() {
    let fixture = fixture().await;
    fixture.classic().await;
    fixture.register(on_ec2("fixed", publishing(PORT.into()))).await.unwrap();
    fixture.register(on_ec2("dynamic", publishing(0))).await.unwrap();
    fixture.register(on_ec2("elsewhere", publishing(9090))).await.unwrap();
    fixture.register(balanced::with_port("fargate")).await.unwrap();
    for (definition, fragment) in
        [("dynamic", "dynamic host port mapping"), ("elsewhere", "no listener with the instance port 9090")]
    {
        let input = on_instances(&fixture, "web", definition, 1);
        refused(fixture.create_service(input).await, INVALID, fragment);
    }
    let on_fargate = ecs::CreateServiceRequest {
        load_balancers: Some(vec![behind_classic()]),
        ..service(&fixture, "web", 1)
    };
    let on_fargate = ecs::CreateServiceRequest { task_definition: text("fargate"), ..on_fargate };
    refused(fixture.create_service(on_fargate).await, INVALID, "awsvpc network mode");
    let unknown = ecs::LoadBalancer { load_balancer_name: text("gone"), ..behind_classic() };
    let input = ecs::CreateServiceRequest {
        load_balancers: Some(vec![unknown]),
        ..on_instances(&fixture, "web", "fixed", 1)
    };
    refused(fixture.create_service(input).await, INVALID, "does not exist");
    let input = ecs::CreateServiceRequest {
        load_balancers: Some(vec![behind_classic(), behind_classic()]),
        ..on_instances(&fixture, "web", "fixed", 1)
    };
    refused(fixture.create_service(input).await, INVALID, "one Classic Load Balancer only");
}
