//! Express gateway services: everything is made from an image, found again after a failure, changed in place, and removed.

use std::collections::{BTreeMap, HashSet};

use aws_schema::Operation;

use super::{
    balanced::measured,
    scheduling::{Node, SECOND, is_stable},
    *,
};
use crate::services::{
    ec2::records::SecurityGroup,
    ecs::express::{self, Express},
    elbv2::{
        health::Health,
        records::{Listener, LoadBalancer, Target, TargetGroup},
    },
    iam::testing::service_role,
};

impl Fixture {
    async fn express<O: Operation>(&self, input: O::Input) -> Result<O::Output, ApiError> {
        use crate::gateway::Answer;
        use aws_schema::Shape;
        let operations = crate::services::operations();
        match operations.answer(ecs::SERVICE, O::TABLE, self.call(), input.into_value()).await? {
            Answer::Value(value) => Ok(O::Output::from_value(value).unwrap()),
            Answer::Events(_) | Answer::Content { .. } => panic!("a value was expected"),
        }
    }

    async fn web_of(&self, name: &str) -> ecs::ECSExpressGatewayService {
        let made = self.express::<ecs::CreateExpressGatewayService>(wanted(name)).await.unwrap();
        made.service.unwrap()
    }

    /// Tasks run, targets are healthy, requests end.
    async fn serves(&self, name: &str, done: impl Fn(&ecs::Service) -> bool) -> ecs::Service {
        // A canary alone takes ten minutes.
        for _ in 0..120 {
            self.look(name).await;
            let view = self.services.state.view();
            let tasks = self.tasks_of(name);
            let places =
                tasks.iter().flat_map(|task| &task.targets).filter_map(|place| measured(&view, place));
            let all: BTreeMap<_, _> = places.map(|place| (place, Health::healthy())).collect();
            self.services.target_health.replace(all, HashSet::new());
            let service = self.service(name).await;
            if done(&service) {
                return service;
            }
            self.node(name, |_| Node::Works).await;
            self.pass(15 * SECOND);
            crate::services::elbv2::upkeep::end_drained(&self.services, self.now()).await.unwrap();
        }
        panic!("not settled: {:#?}", self.service(name).await);
    }

    /// Load balancers, listeners, target groups, security groups that were made, express services.
    fn made(&self) -> (usize, usize, usize, usize, usize) {
        self.services.state.read(|view| {
            let groups = view.scan::<SecurityGroup>(&scope());
            (
                view.count_all::<LoadBalancer>(),
                view.count_all::<Listener>(),
                view.count_all::<TargetGroup>(),
                groups.filter(|(_, group)| group.name.starts_with("ecs-express")).count(),
                view.count_all::<Express>(),
            )
        })
    }
}

/// A platform with the infrastructure role.
async fn platform() -> Fixture {
    let fixture = Fixture::new().await;
    infrastructure_role(&fixture).await;
    fixture
}

async fn infrastructure_role(fixture: &Fixture) {
    let policies = ["service-role/AmazonECSInfrastructureRoleforExpressGatewayServices"];
    service_role(fixture, "infrastructure", "ecs.amazonaws.com", &policies).await;
}

fn role(name: &str) -> Option<String> {
    Some(format!("arn:aws:iam::{}:role/{name}", scope().account))
}

fn wanted(name: &str) -> ecs::CreateExpressGatewayServiceRequest {
    ecs::CreateExpressGatewayServiceRequest {
        service_name: text(name),
        infrastructure_role_arn: role("infrastructure"),
        execution_role_arn: role("execution"),
        primary_container: Some(ecs::ExpressGatewayContainer { image: text("web"), ..Default::default() }),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_image_becomes_a_service_behind_a_shared_load_balancer() {
    let fixture = platform().await;
    let made = fixture.web_of("web").await;
    assert!(made.service_arn.as_deref().unwrap().ends_with(":service/default/web"));
    assert_eq!(made.status.unwrap().status_code, Some(ecs::ExpressGatewayServiceStatusCode::Active));
    let configuration = made.active_configurations.unwrap().remove(0);
    assert_eq!(
        (
            configuration.cpu.as_deref(),
            configuration.memory.as_deref(),
            configuration.health_check_path.as_deref()
        ),
        (Some("256"), Some("512"), Some("/ping"))
    );
    let path = configuration.ingress_paths.unwrap().remove(0);
    assert_eq!(path.access_type, Some(ecs::AccessType::Public));
    let endpoint = path.endpoint.unwrap();
    assert!(
        endpoint.starts_with("https://web-") && endpoint.ends_with(".us-east-1.ecs.localhost:4566"),
        "{endpoint}"
    );
    let other = fixture.web_of("other").await;
    assert_eq!(fixture.made(), (1, 1, 4, 3, 2), "the load balancer and its group are shared");
    fixture.serves("web", is_stable).await;
    let service = fixture.service("web").await;
    assert_eq!((service.running_count, service.launch_type), (Some(1), Some(ecs::LaunchType::Fargate)));
    let task = fixture.tasks_of("web").remove(0);
    assert_eq!((task.targets.len(), task.targets[0].port), (1, 80));
    let listener = fixture.services.state.read(|view| view.scan::<Listener>(&scope()).next().unwrap().1);
    assert_eq!(listener.rules.len(), 2);
    refused(
        fixture.express::<ecs::CreateExpressGatewayService>(wanted("web")).await,
        INVALID,
        "not idempotent",
    );
    // By ECS's own lists they are services that ECS manages the resources of.
    let input = ecs::ListServicesRequest {
        resource_management_type: Some(ecs::ResourceManagementType::Ecs),
        ..Default::default()
    };
    let listed = fixture.express::<ecs::ListServices>(input).await.unwrap().service_arns.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&other.service_arn.unwrap()));
    // Names lead to the load balancer.
    let names = fixture.services.state.read(crate::services::elbv2::configuration::names);
    let host = endpoint.trim_start_matches("https://").trim_end_matches(":4566");
    assert!(names.iter().any(|(name, interfaces)| name == host && !interfaces.is_empty()));
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_describes_both_configurations_meanwhile() {
    let fixture = platform().await;
    let arn = fixture.web_of("web").await.service_arn;
    fixture.serves("web", is_stable).await;
    let input = ecs::UpdateExpressGatewayServiceRequest {
        service_arn: arn.clone(),
        health_check_path: text("/health"),
        primary_container: Some(ecs::ExpressGatewayContainer {
            image: text("better"),
            container_port: Some(8080),
            ..Default::default()
        }),
        scaling_target: Some(ecs::ExpressGatewayScalingTarget {
            min_task_count: Some(2),
            ..Default::default()
        }),
        ..Default::default()
    };
    let updated = fixture.express::<ecs::UpdateExpressGatewayService>(input).await.unwrap().service.unwrap();
    let target = updated.target_configuration.unwrap();
    assert_eq!(target.primary_container.unwrap().image.as_deref(), Some("better"));
    let describe = || ecs::DescribeExpressGatewayServiceRequest { service_arn: arn.clone(), include: None };
    let shown =
        fixture.express::<ecs::DescribeExpressGatewayService>(describe()).await.unwrap().service.unwrap();
    assert_eq!(shown.active_configurations.unwrap().len(), 2);
    let group = fixture.services.state.read(|view| view.scan::<TargetGroup>(&scope()).next().unwrap().1);
    assert_eq!(group.health_check.path.as_deref(), Some("/health"));
    let service = fixture.serves("web", is_stable).await;
    assert_eq!(service.running_count, Some(2));
    let ports: Vec<u16> = fixture.services.state.read(|view| {
        let all = view.scan::<Target>(&scope()).filter(|(_, target)| target.draining.is_none());
        all.map(|(_, target)| target.port).collect()
    });
    assert_eq!(ports, [8080, 8080]);
    let shown =
        fixture.express::<ecs::DescribeExpressGatewayService>(describe()).await.unwrap().service.unwrap();
    assert!(shown.active_configurations.unwrap().iter().all(|one| one.service_revision_arn.is_some()));
}

#[tokio::test]
async fn a_deleted_service_takes_everything_that_was_made_for_it_along() {
    let fixture = platform().await;
    let (one, other) = (fixture.web_of("one").await.service_arn, fixture.web_of("other").await.service_arn);
    for name in ["one", "other"] {
        fixture.serves(name, is_stable).await;
    }
    let delete = |arn: &Option<String>| ecs::DeleteExpressGatewayServiceRequest { service_arn: arn.clone() };
    let shown =
        fixture.express::<ecs::DeleteExpressGatewayService>(delete(&one)).await.unwrap().service.unwrap();
    assert_eq!(shown.status.unwrap().status_code, Some(ecs::ExpressGatewayServiceStatusCode::Draining));
    express::sweep(&fixture.services, fixture.now()).await.unwrap();
    assert_eq!(fixture.made(), (1, 1, 4, 3, 2), "its tasks are there still");
    fixture.serves("one", |service| service.status.as_deref() == Some("INACTIVE")).await;
    express::sweep(&fixture.services, fixture.now()).await.unwrap();
    assert_eq!(fixture.made(), (1, 1, 2, 2, 1));
    fixture.express::<ecs::DeleteExpressGatewayService>(delete(&other)).await.unwrap();
    fixture.serves("other", |service| service.status.as_deref() == Some("INACTIVE")).await;
    // A refusal that goes on is one event.
    fixture.role_may_not("elasticloadbalancing:DeleteLoadBalancer", "*").await;
    for _ in 0..3 {
        let refused = express::sweep(&fixture.services, fixture.now()).await.unwrap_err();
        assert!(refused.message.contains("DeleteLoadBalancer"), "{}", refused.message);
        fixture.pass(60 * SECOND);
    }
    assert_eq!(fixture.trail("DeleteLoadBalancer").await.len(), 1);
    fixture.role_may_all().await;
    express::sweep(&fixture.services, fixture.now()).await.unwrap();
    assert_eq!(fixture.made(), (0, 0, 0, 0, 0));
    let gone = fixture.express::<ecs::DeleteExpressGatewayService>(delete(&one)).await;
    refused(gone, "ServiceNotFoundException", "");
    fixture.web_of("one").await;
}

#[tokio::test]
async fn what_cannot_be_made_leaves_nothing_behind() {
    let fixture = platform().await;
    let create = |change: &dyn Fn(&mut ecs::CreateExpressGatewayServiceRequest)| {
        let mut input = wanted("web");
        change(&mut input);
        fixture.express::<ecs::CreateExpressGatewayService>(input)
    };
    refused(create(&|input| input.cpu = text("1")).await, CLIENT, "");
    refused(create(&|input| input.health_check_path = text("ping")).await, INVALID, "forward slash");
    refused(create(&|input| input.primary_container = None).await, INVALID, "primaryContainer");
    refused(create(&|input| input.execution_role_arn = None).await, INVALID, "executionRoleArn");
    let scaled = |input: &mut ecs::CreateExpressGatewayServiceRequest| {
        let more = ecs::ExpressGatewayScalingTarget { max_task_count: Some(5), ..Default::default() };
        input.scaling_target = Some(more);
    };
    refused(create(&scaled).await, "NotImplemented", "automatic scaling");
    let elsewhere = |input: &mut ecs::CreateExpressGatewayServiceRequest| {
        let network = ecs::ExpressGatewayServiceNetworkConfiguration {
            subnets: Some(vec!["subnet-gone".to_owned()]),
            ..Default::default()
        };
        input.network_configuration = Some(network);
    };
    refused(create(&elsewhere).await, INVALID, "does not exist");
    // The ECS service refuses the group, when everything else has been made.
    let group = |input: &mut ecs::CreateExpressGatewayServiceRequest| {
        let network = ecs::ExpressGatewayServiceNetworkConfiguration {
            security_groups: Some(vec!["sg-gone".to_owned()]),
            ..Default::default()
        };
        input.network_configuration = Some(network);
    };
    refused(create(&group).await, INVALID, "sg-gone");
    assert_eq!(fixture.made(), (0, 0, 0, 0, 0));
    create(&|_| {}).await.unwrap();
}

#[tokio::test]
async fn a_task_definition_of_ones_own_has_a_container_named_main() {
    let fixture = fixture().await;
    infrastructure_role(&fixture).await;
    fixture.register(balanced::with_port("app")).await.unwrap();
    let with = |definition: &str| ecs::CreateExpressGatewayServiceRequest {
        primary_container: None,
        execution_role_arn: None,
        task_definition_arn: text(definition),
        ..wanted("web")
    };
    let create = |input| fixture.express::<ecs::CreateExpressGatewayService>(input);
    refused(create(with("app")).await, INVALID, "container named Main");
    let mut own = balanced::with_port("own");
    let container = &mut own.container_definitions.as_mut().unwrap()[0];
    container.name = text("Main");
    container.port_mappings.as_mut().unwrap()[0].name = text("http");
    fixture.register(own).await.unwrap();
    let both = ecs::CreateExpressGatewayServiceRequest { cpu: text("256"), ..with("own") };
    refused(create(both).await, INVALID, "cannot be specified together with taskDefinitionArn");
    create(with("own")).await.unwrap();
    let service = fixture.service("web").await;
    assert!(service.task_definition.unwrap().ends_with("task-definition/own:1"));
}

#[tokio::test]
async fn everything_is_made_in_the_infrastructure_role() {
    let fixture = Fixture::new().await;
    let create = || fixture.express::<ecs::CreateExpressGatewayService>(wanted("web"));
    refused(create().await, CLIENT, "unable to assume the infrastructure role");
    service_role(&fixture, "infrastructure", "ecs.amazonaws.com", &[]).await;
    refused(
        create().await,
        "AccessDeniedException",
        "assumed-role/infrastructure/web is not authorized to perform",
    );
    assert_eq!(fixture.made(), (0, 0, 0, 0, 0));
}

#[tokio::test]
async fn an_update_is_tried_on_a_few_requests_first() {
    let fixture = platform().await;
    let arn = fixture.web_of("web").await.service_arn;
    let service = fixture.serves("web", is_stable).await;
    let configuration = service.deployment_configuration.unwrap();
    assert_eq!(configuration.strategy, Some(ecs::DeploymentStrategy::Canary));
    let input = ecs::UpdateExpressGatewayServiceRequest {
        service_arn: arn,
        primary_container: Some(ecs::ExpressGatewayContainer { image: text("better"), ..Default::default() }),
        ..Default::default()
    };
    fixture.express::<ecs::UpdateExpressGatewayService>(input).await.unwrap();
    let weights = || {
        let listener = fixture.services.state.read(|view| view.scan::<Listener>(&scope()).next().unwrap().1);
        let rule = listener.rules.values().next().unwrap();
        let arn = listener.rule_arn(&scope(), &rule.id);
        let view = fixture.services.state.view();
        let mut all: Vec<u16> = crate::services::elbv2::targets::weights(&view, &scope(), &arn)
            .unwrap()
            .into_iter()
            .map(|(_, weight)| weight)
            .collect();
        all.sort_unstable();
        all
    };
    assert_eq!(weights(), [0, 100]);
    fixture.serves("web", |_| weights() == [5, 95]).await;
    fixture.serves("web", is_stable).await;
    assert_eq!(weights(), [0, 100]);
}

#[tokio::test]
async fn of_two_that_make_the_same_service_one_fails_and_spoils_nothing() {
    let fixture = platform().await;
    let create = || fixture.express::<ecs::CreateExpressGatewayService>(wanted("web"));
    let (one, other) = tokio::join!(create(), create());
    assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
    express::sweep(&fixture.services, fixture.now()).await.unwrap();
    assert_eq!(fixture.made(), (1, 1, 2, 2, 1));
    let listener = fixture.services.state.read(|view| view.scan::<Listener>(&scope()).next().unwrap().1);
    assert_eq!(listener.rules.len(), 1);
    fixture.serves("web", is_stable).await;
    let express = fixture.services.state.read(|view| view.scan::<Express>(&scope()).next().unwrap().1);
    assert!(express.complete && !express.deleted);
}
