//! Deployments that alarms watch, and what is measured of the tasks of a service.

use agent_protocol::tcs::{ContainerMetric, PublishMetricsRequest, StatsSet, TaskMetric};
use aws_shapes_cloudwatch as cloudwatch;
use metrics::Resolution;
use telemetry_store::MetricKey;

use super::{
    scheduling::{Node, is_stable},
    service::{service, updated},
    *,
};
use crate::services::cloudwatch::{
    alarms::{calls, put},
    meters,
};

async fn alarm(fixture: &Fixture, name: &str) {
    let input = cloudwatch::PutMetricAlarmInput {
        alarm_name: text(name),
        namespace: text("Shop"),
        metric_name: text("Failures"),
        statistic: Some(cloudwatch::Statistic::Sum),
        period: Some(60),
        evaluation_periods: Some(1),
        threshold: Some(0.0),
        comparison_operator: Some(cloudwatch::ComparisonOperator::GreaterThanThreshold),
        ..Default::default()
    };
    put::metric(fixture.call(), input).await.unwrap();
}

async fn set(fixture: &Fixture, name: &str, state: cloudwatch::StateValue) {
    let input = cloudwatch::SetAlarmStateInput {
        alarm_name: text(name),
        state_value: Some(state),
        state_reason: text("trying"),
        state_reason_data: None,
    };
    calls::set_state(fixture.call(), input).await.unwrap();
}

fn watched(bake_minutes: i32) -> Option<ecs::DeploymentConfiguration> {
    Some(ecs::DeploymentConfiguration {
        alarms: Some(ecs::DeploymentAlarms {
            alarm_names: Some(vec!["failing".to_owned(), "noisy".to_owned()]),
            enable: Some(true),
            rollback: Some(true),
        }),
        bake_time_in_minutes: Some(bake_minutes),
        ..Default::default()
    })
}

async fn web() -> (Fixture, String) {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    fixture.create_service(service(&fixture, "web", 2)).await.unwrap();
    let first = fixture.stable("web").await.deployments.unwrap()[0].id.clone().unwrap();
    fixture.register(fargate("app")).await.unwrap();
    for name in ["failing", "noisy"] {
        alarm(&fixture, name).await;
    }
    // What rings already is not the deployment's doing.
    set(&fixture, "noisy", cloudwatch::StateValue::Alarm).await;
    let second = ecs::UpdateServiceRequest {
        task_definition: text("app:2"),
        deployment_configuration: watched(5),
        ..updated("web")
    };
    fixture.update_service(second).await.unwrap();
    (fixture, first)
}

#[tokio::test]
async fn an_alarm_takes_a_deployment_back_while_it_bakes() {
    let (fixture, first) = web().await;
    let replaced = |service: &ecs::Service| {
        let deployments = service.deployments.as_deref().unwrap();
        deployments.iter().any(|one| one.id.as_deref() != Some(&first) && one.running_count == Some(2))
    };
    let service = fixture.until("web", |_| Node::Works, replaced).await;
    let rollout = |service: &ecs::Service| service.deployments.as_deref().unwrap()[0].rollout_state;
    assert_eq!(rollout(&service), Some(ecs::DeploymentRolloutState::InProgress));
    set(&fixture, "failing", cloudwatch::StateValue::Alarm).await;
    let back = |service: &ecs::Service| {
        is_stable(service) && service.task_definition.as_deref().is_some_and(|arn| arn.ends_with("app:1"))
    };
    fixture.until("web", |_| Node::Works, back).await;
    let events = fixture.told("web").await;
    assert!(events.iter().any(|event| event.contains("deployment failed: alarm detected.")), "{events:#?}");
    let input = ecs::ListServiceDeploymentsRequest { service: text("web"), ..Default::default() };
    let listed = crate::services::ecs::services::deployments::list(fixture.call(), input).await.unwrap();
    assert_eq!(
        listed.service_deployments.unwrap()[0].status,
        Some(ecs::ServiceDeploymentStatus::RollbackSuccessful)
    );
}

#[tokio::test]
async fn a_deployment_whose_alarms_stay_quiet_completes_when_it_has_baked() {
    let (fixture, _) = web().await;
    let begun = fixture.now();
    let service = fixture.stable("web").await;
    assert!(service.task_definition.as_deref().is_some_and(|arn| arn.ends_with("app:2")));
    assert!(fixture.now().since(begun) >= std::time::Duration::from_secs(300), "it baked");
}

#[tokio::test]
async fn a_deployment_can_only_watch_alarms_that_are_there() {
    let fixture = fixture().await;
    fixture.register(fargate("app")).await.unwrap();
    alarm(&fixture, "failing").await;
    let input =
        ecs::CreateServiceRequest { deployment_configuration: watched(0), ..service(&fixture, "web", 1) };
    let refused = fixture.create_service(input).await.unwrap_err();
    assert!(refused.message.contains("do not exist: [noisy]"), "{}", refused.message);
}

#[tokio::test]
async fn tasks_of_a_service_are_measured_by_what_they_have_reserved() {
    let (fixture, _) = web().await;
    let set = |sum: f64| Some(StatsSet { min: sum, max: sum, sample_count: 1, sum });
    // Of a quarter of a core and 512 MiB.
    let used = |arn: String, cpu: f64, mib: f64| TaskMetric {
        task_arn: arn,
        container_metrics: vec![ContainerMetric {
            container_name: "app".to_owned(),
            cpu_stats_set: set(cpu),
            memory_stats_set: set(mib * 1_048_576.0),
        }],
        ..TaskMetric::default()
    };
    let tasks = fixture.tasks_of("web");
    let arns: Vec<String> = tasks.iter().take(2).map(|task| task.arn(&scope())).collect();
    let request = PublishMetricsRequest {
        task_metrics: vec![used(arns[0].clone(), 5.0, 128.0), used(arns[1].clone(), 20.0, 384.0)],
        timestamp: Some(fixture.now()),
        ..PublishMetricsRequest::default()
    };
    meters::take(&fixture.services, &request, fixture.now()).await.unwrap();
    for (name, least, greatest) in [("CPUUtilization", 20.0, 80.0), ("MemoryUtilization", 25.0, 75.0)] {
        let key =
            MetricKey::new(scope(), "AWS/ECS", name, [("ClusterName", "default"), ("ServiceName", "web")]);
        let now = fixture.now().as_millis() / 1000;
        let read =
            fixture.services.metrics.read(&key, Some("Percent"), (now - 60, now + 60), Resolution::Minute);
        let found = read.await.unwrap();
        let summary = &found[0].samples[0].1;
        assert_eq!((summary.samples, summary.minimum, summary.maximum), (2.0, least, greatest), "{name}");
    }
}
