//! Services as clients ask for them: what is refused, what is filled in, what begins a deployment.

use super::*;
use crate::services::ecs::services::{create, delete, deployments, describe, task_sets, update};

const NOT_FOUND: &str = "ServiceNotFoundException";

/// The smallest service that is accepted.
pub fn service(fixture: &Fixture, name: &str, count: i32) -> ecs::CreateServiceRequest {
    ecs::CreateServiceRequest {
        service_name: text(name),
        task_definition: text("app"),
        desired_count: Some(count),
        launch_type: Some(ecs::LaunchType::Fargate),
        network_configuration: Some(network(&[&fixture.subnet()])),
        ..Default::default()
    }
}

impl Fixture {
    pub async fn create_service(&self, input: ecs::CreateServiceRequest) -> Result<ecs::Service, ApiError> {
        Ok(create::create(self.call(), input).await?.service.unwrap())
    }

    pub async fn update_service(&self, input: ecs::UpdateServiceRequest) -> Result<ecs::Service, ApiError> {
        Ok(update::update(self.call(), input).await?.service.unwrap())
    }

    pub async fn delete_service(&self, name: &str, force: bool) -> Result<ecs::Service, ApiError> {
        let input =
            ecs::DeleteServiceRequest { service: text(name), force: Some(force), ..Default::default() };
        Ok(delete::delete(self.call(), input).await?.service.unwrap())
    }

    pub async fn service(&self, name: &str) -> ecs::Service {
        let input = ecs::DescribeServicesRequest {
            services: Some(vec![name.to_owned()]),
            include: Some(vec![ecs::ServiceField::Tags]),
            ..Default::default()
        };
        let answer = describe::describe(self.call(), input).await.unwrap();
        assert_eq!(answer.failures, Some(vec![]));
        answer.services.unwrap().remove(0)
    }
}

pub fn updated(name: &str) -> ecs::UpdateServiceRequest {
    ecs::UpdateServiceRequest { service: text(name), ..Default::default() }
}

async fn with_definition() -> Fixture {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    fixture
}

#[tokio::test]
async fn a_new_service_shows_what_aws_fills_in() {
    let fixture = with_definition().await;
    let mut input = service(&fixture, "web", 2);
    input.tags = Some(vec![tag("team", "blue")]);
    let made = fixture.create_service(input).await.unwrap();
    assert_eq!(made.service_arn.as_deref(), Some("arn:aws:ecs:us-east-1:000000000000:service/default/web"));
    assert_eq!(made.status.as_deref(), Some("ACTIVE"));
    assert_eq!((made.desired_count, made.running_count, made.pending_count), (Some(2), Some(0), Some(0)));
    assert_eq!(made.scheduling_strategy, Some(ecs::SchedulingStrategy::Replica));
    assert_eq!(made.platform_version.as_deref(), Some("LATEST"));
    assert_eq!(made.tags, Some(vec![tag("team", "blue")]));
    assert_eq!(made.availability_zone_rebalancing, Some(ecs::AvailabilityZoneRebalancing::Enabled));
    let configuration = made.deployment_configuration.unwrap();
    assert_eq!(
        (configuration.minimum_healthy_percent, configuration.maximum_percent, configuration.strategy),
        (Some(100), Some(200), Some(ecs::DeploymentStrategy::Rolling))
    );
    let deployments = made.deployments.unwrap();
    let first = &deployments[0];
    assert_eq!((deployments.len(), first.status.as_deref()), (1, Some("PRIMARY")));
    assert_eq!(first.rollout_state, Some(ecs::DeploymentRolloutState::InProgress));
    let id = first.id.as_deref().unwrap();
    assert!(id.strip_prefix("ecs-svc/").is_some_and(|digits| digits.len() == 19), "{id}");
    assert_eq!(first.platform_version.as_deref(), Some("1.4.0"));
    assert_eq!(fixture.service("web").await.service_arn, made.service_arn);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let fixture = with_definition().await;
    let base = || service(&fixture, "web", 1);
    let mut cases: Vec<(ecs::CreateServiceRequest, &str, &str)> = Vec::new();
    let mut case =
        |change: &dyn Fn(&mut ecs::CreateServiceRequest), code: &'static str, text: &'static str| {
            let mut input = base();
            change(&mut input);
            cases.push((input, code, text));
        };
    case(&|input| input.service_name = text("no spaces"), INVALID, "Service name");
    case(&|input| input.cluster = text("other"), "ClusterNotFoundException", "Cluster not found.");
    case(&|input| input.task_definition = None, CLIENT, "TaskDefinition can not be blank.");
    case(&|input| input.task_definition = text("absent"), CLIENT, "TaskDefinition not found.");
    case(&|input| input.desired_count = Some(-1), INVALID, "desired count");
    case(&|input| input.desired_count = Some(5001), INVALID, "5000");
    case(&|input| input.network_configuration = None, INVALID, "Network Configuration must be provided");
    case(
        &|input| input.network_configuration = Some(network(&["subnet-0"])),
        INVALID,
        "The subnet ID 'subnet-0' does not exist",
    );
    case(&|input| input.platform_version = text("9.9"), "PlatformUnknownException", "does not exist");
    case(&|input| input.health_check_grace_period_seconds = Some(5), INVALID, "only valid for services");
    case(
        &|input| {
            input.placement_constraints = Some(vec![ecs::PlacementConstraint {
                r#type: Some(ecs::PlacementConstraintType::DistinctInstance),
                expression: None,
            }]);
        },
        INVALID,
        "Placement constraints are not supported with FARGATE",
    );
    case(
        &|input| {
            input.deployment_configuration = Some(ecs::DeploymentConfiguration {
                maximum_percent: Some(100),
                minimum_healthy_percent: Some(100),
                ..Default::default()
            });
        },
        INVALID,
        "cannot be 100 as this will block deployments",
    );
    case(
        &|input| {
            input.deployment_configuration = Some(ecs::DeploymentConfiguration {
                alarms: Some(ecs::DeploymentAlarms {
                    alarm_names: Some(vec!["high".to_owned()]),
                    enable: Some(true),
                    rollback: Some(false),
                }),
                ..Default::default()
            });
        },
        INVALID,
        "alarms do not exist: [high]",
    );
    case(
        &|input| {
            input.load_balancers = Some(vec![ecs::LoadBalancer {
                target_group_arn: text("arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/a/b"),
                container_name: text("nobody"),
                container_port: Some(80),
                ..Default::default()
            }]);
        },
        INVALID,
        "The container nobody does not exist in the task definition.",
    );
    case(
        &|input| input.service_registries = Some(vec![ecs::ServiceRegistry::default()]),
        "NotImplemented",
        "service discovery",
    );
    case(
        &|input| {
            input.scheduling_strategy = Some(ecs::SchedulingStrategy::Daemon);
        },
        INVALID,
        "daemon scheduling strategy",
    );
    for (input, code, text) in cases {
        refused(create::create(fixture.call(), input).await, code, text);
    }
    assert_eq!(
        fixture
            .services
            .state
            .read(|view| view.count_all::<crate::services::ecs::services::records::Service>()),
        0
    );
}

#[tokio::test]
async fn a_name_is_taken_once_and_a_token_makes_the_call_repeatable() {
    let fixture = with_definition().await;
    let mut input = service(&fixture, "web", 1);
    input.client_token = text("token");
    let first = fixture.create_service(input.clone()).await.unwrap();
    let again = fixture.create_service(input.clone()).await.unwrap();
    assert_eq!(first.deployments, again.deployments);
    input.desired_count = Some(2);
    refused(create::create(fixture.call(), input).await, INVALID, "Creation of service was not idempotent.");
    let plain = service(&fixture, "web", 1);
    refused(create::create(fixture.call(), plain).await, INVALID, "Creation of service was not idempotent.");
}

#[tokio::test]
async fn only_what_tasks_are_made_of_begins_a_deployment() {
    let fixture = with_definition().await;
    fixture.create_service(service(&fixture, "web", 1)).await.unwrap();
    let deployments = |service: ecs::Service| service.deployments.unwrap().len();
    let scaled = ecs::UpdateServiceRequest { desired_count: Some(3), ..updated("web") };
    let scaled = fixture.update_service(scaled).await.unwrap();
    assert_eq!((scaled.desired_count, deployments(scaled)), (Some(3), 1));
    let settings = ecs::UpdateServiceRequest {
        enable_execute_command: Some(true),
        propagate_tags: Some(ecs::PropagateTags::Service),
        deployment_configuration: Some(ecs::DeploymentConfiguration {
            minimum_healthy_percent: Some(50),
            ..Default::default()
        }),
        task_definition: text("app:1"),
        ..updated("web")
    };
    let service = fixture.update_service(settings).await.unwrap();
    let configuration = service.deployment_configuration.clone().unwrap();
    assert_eq!((configuration.minimum_healthy_percent, configuration.maximum_percent), (Some(50), Some(200)));
    assert_eq!((service.enable_execute_command, deployments(service)), (Some(true), 1));
    let forced = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    assert_eq!(deployments(fixture.update_service(forced).await.unwrap()), 2);
    fixture.register(fargate("app")).await.unwrap();
    let newest = ecs::UpdateServiceRequest { task_definition: text("app"), ..updated("web") };
    let service = fixture.update_service(newest).await.unwrap();
    assert!(service.task_definition.as_deref().is_some_and(|arn| arn.ends_with("app:2")));
    refused(update::update(fixture.call(), updated("absent")).await, NOT_FOUND, "Service not found.");
}

#[tokio::test]
async fn deployments_and_revisions_are_described_listed_and_stopped() {
    let fixture = with_definition().await;
    fixture.create_service(service(&fixture, "web", 1)).await.unwrap();
    let input = ecs::ListServiceDeploymentsRequest { service: text("web"), ..Default::default() };
    let listed = deployments::list(fixture.call(), input.clone()).await.unwrap().service_deployments.unwrap();
    let arn = listed[0].service_deployment_arn.clone().unwrap();
    assert_eq!((listed.len(), listed[0].status), (1, Some(ecs::ServiceDeploymentStatus::Pending)));
    let described =
        ecs::DescribeServiceDeploymentsRequest { service_deployment_arns: Some(vec![arn.clone()]) };
    let described = deployments::describe(fixture.call(), described).await.unwrap();
    let target =
        described.service_deployments.unwrap()[0].target_service_revision.clone().unwrap().arn.unwrap();
    let revisions = ecs::DescribeServiceRevisionsRequest {
        service_revision_arns: Some(vec![
            target.clone(),
            target.replace("revision/default/web/", "revision/default/web/9"),
        ]),
    };
    let revisions = deployments::describe_revisions(fixture.call(), revisions).await.unwrap();
    assert_eq!(revisions.failures.unwrap().len(), 1);
    let images = revisions.service_revisions.unwrap()[0].container_images.clone().unwrap();
    assert_eq!(images[0].image.as_deref(), Some("busybox"));
    let stop = |stop_type| ecs::StopServiceDeploymentRequest {
        service_deployment_arn: Some(arn.clone()),
        stop_type,
    };
    refused(
        deployments::stop(fixture.call(), stop(None)).await,
        INVALID,
        "no completed deployment to roll back to",
    );
    let abort = Some(ecs::StopServiceDeploymentStopType::Abort);
    deployments::stop(fixture.call(), stop(abort)).await.unwrap();
    refused(deployments::stop(fixture.call(), stop(abort)).await, "ConflictException", "not in progress");
    // A newer one cuts it short; the older is not the one under way any more.
    let forced = ecs::UpdateServiceRequest { force_new_deployment: Some(true), ..updated("web") };
    fixture.pass(1000);
    fixture.update_service(forced).await.unwrap();
    let listed = deployments::list(fixture.call(), input).await.unwrap().service_deployments.unwrap();
    assert_eq!((listed.len(), listed[0].service_deployment_arn == Some(arn.clone())), (2, false));
    refused(deployments::stop(fixture.call(), stop(abort)).await, "ConflictException", "not in progress");
}

#[tokio::test]
async fn a_cluster_with_a_service_stays() {
    let fixture = with_definition().await;
    fixture.create_service(service(&fixture, "web", 0)).await.unwrap();
    let input = ecs::DeleteClusterRequest { cluster: text("default") };
    refused(
        clusters::delete(fixture.call(), input).await,
        "ClusterContainsServicesException",
        "The Cluster cannot be deleted while Services are active.",
    );
    let clusters = clusters::describe(fixture.call(), ecs::DescribeClustersRequest::default()).await.unwrap();
    assert_eq!(clusters.clusters.unwrap()[0].active_services_count, Some(1));
    let listed = describe::list(fixture.call(), ecs::ListServicesRequest::default()).await.unwrap();
    assert_eq!(listed.service_arns.unwrap().len(), 1);
}

#[tokio::test]
async fn task_sets_belong_to_external_services() {
    let fixture = with_definition().await;
    fixture.create_service(service(&fixture, "own", 1)).await.unwrap();
    let external = ecs::CreateServiceRequest {
        service_name: text("web"),
        desired_count: Some(4),
        deployment_controller: Some(ecs::DeploymentController {
            r#type: Some(ecs::DeploymentControllerType::External),
        }),
        ..Default::default()
    };
    fixture.create_service(external).await.unwrap();
    let set = |name: &str| ecs::CreateTaskSetRequest {
        cluster: text("default"),
        service: text(name),
        task_definition: text("app"),
        launch_type: Some(ecs::LaunchType::Fargate),
        network_configuration: Some(network(&[&fixture.subnet()])),
        scale: Some(ecs::Scale { unit: Some(ecs::ScaleUnit::Percent), value: Some(50.0) }),
        external_id: text("mine"),
        ..Default::default()
    };
    refused(
        task_sets::create(fixture.call(), set("own")).await,
        "UnsupportedFeatureException",
        "EXTERNAL deployment controller only",
    );
    let made = task_sets::create(fixture.call(), set("web")).await.unwrap().task_set.unwrap();
    assert_eq!((made.status.as_deref(), made.external_id.as_deref()), (Some("ACTIVE"), Some("mine")));
    let primary = ecs::UpdateServicePrimaryTaskSetRequest {
        cluster: text("default"),
        service: text("web"),
        primary_task_set: made.id.clone(),
    };
    let primary = task_sets::make_primary(fixture.call(), primary).await.unwrap().task_set.unwrap();
    assert_eq!(primary.status.as_deref(), Some("PRIMARY"));
    let delete = |force| ecs::DeleteTaskSetRequest {
        cluster: text("default"),
        service: text("web"),
        task_set: made.task_set_arn.clone(),
        force,
    };
    refused(task_sets::delete(fixture.call(), delete(None)).await, INVALID, "scaled above 0");
    let deleted = task_sets::delete(fixture.call(), delete(Some(true))).await.unwrap().task_set.unwrap();
    assert_eq!(deleted.status.as_deref(), Some("DRAINING"));
}
