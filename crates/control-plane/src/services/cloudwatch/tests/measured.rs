//! What the platform measures itself.

use std::collections::BTreeMap;

use agent_protocol::tcs::{BalancerMetric, ContainerMetric, PublishMetricsRequest, StatsSet, TaskMetric};
use aws_shapes_cloudwatch::ListMetricsInput;
use metrics::Resolution;
use telemetry_store::MetricKey;

use crate::services::{
    cloudwatch::{list, meters},
    testing::{Fixture, scope},
};

async fn read(
    fixture: &Fixture,
    namespace: &str,
    name: &str,
    dimensions: &[(&str, &str)],
) -> Vec<(f64, f64)> {
    let key = MetricKey::new(scope(), namespace, name, dimensions.iter().copied());
    let now = fixture.now().as_millis() / 1000;
    let found =
        fixture.services.metrics.read(&key, None, (now - 3600, now + 3600), Resolution::Hour).await.unwrap();
    found.into_iter().flat_map(|unit| unit.samples).map(|(_, sum)| (sum.samples, sum.sum)).collect()
}

#[tokio::test]
async fn load_balancers_are_known_by_their_kind() {
    let fixture = Fixture::new().await;
    let arn = |rest: &str| format!("arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/{rest}");
    let metric = |name: &str| BalancerMetric {
        arn: arn(name),
        counters: BTreeMap::from([
            ("RequestCount".to_owned(), 7),
            ("NewConnectionCount".to_owned(), 3),
            ("HTTPCode_Target_5XX_Count".to_owned(), 2),
        ]),
        active_connections: Some(4),
        response_times: vec![(0.001, 5), (0.1, 2)],
        response_time_seconds: 0.21,
    };
    let request = PublishMetricsRequest {
        balancer_metrics: vec![
            metric("app/a/1"),
            metric("net/n/2"),
            metric("classic"),
            metric("classic/listener/80"),
        ],
        timestamp: Some(fixture.now()),
        ..PublishMetricsRequest::default()
    };
    meters::take(&fixture.services, &request, fixture.now()).await.unwrap();
    let alb = [("LoadBalancer", "app/a/1")];
    assert_eq!(read(&fixture, "AWS/ApplicationELB", "RequestCount", &alb).await, [(1.0, 7.0)]);
    assert_eq!(read(&fixture, "AWS/ApplicationELB", "ActiveConnectionCount", &alb).await, [(1.0, 4.0)]);
    assert_eq!(read(&fixture, "AWS/ApplicationELB", "TargetResponseTime", &alb).await, [(7.0, 0.21)]);
    let nlb = [("LoadBalancer", "net/n/2")];
    assert_eq!(read(&fixture, "AWS/NetworkELB", "NewFlowCount", &nlb).await, [(1.0, 3.0)]);
    assert_eq!(read(&fixture, "AWS/NetworkELB", "ActiveFlowCount", &nlb).await, [(1.0, 4.0)]);
    assert_eq!(read(&fixture, "AWS/NetworkELB", "RequestCount", &nlb).await, []);
    let clb = [("LoadBalancerName", "classic")];
    assert_eq!(read(&fixture, "AWS/ELB", "HTTPCode_Backend_5XX", &clb).await, [(1.0, 2.0)]);
    assert_eq!(read(&fixture, "AWS/ELB", "Latency", &clb).await, [(7.0, 0.21)]);
    let listed = list::list(fixture.call(), ListMetricsInput::default()).await.unwrap().metrics.unwrap();
    assert_eq!(listed.len(), 5 + 2 + 5, "{listed:?}");
}

#[tokio::test]
async fn tasks_that_are_not_known_count_for_nothing() {
    let fixture = Fixture::new().await;
    let set = Some(StatsSet { min: 1.0, max: 1.0, sample_count: 1, sum: 1.0 });
    let container =
        ContainerMetric { cpu_stats_set: set, memory_stats_set: set, ..ContainerMetric::default() };
    let task = TaskMetric {
        task_arn: "arn:aws:ecs:us-east-1:000000000000:task/default/0123456789abcdef0123456789abcdef"
            .to_owned(),
        container_metrics: vec![container],
        ..TaskMetric::default()
    };
    let request = PublishMetricsRequest { task_metrics: vec![task], ..PublishMetricsRequest::default() };
    meters::take(&fixture.services, &request, fixture.now()).await.unwrap();
    meters::look(&fixture.services, fixture.now()).await.unwrap();
    let listed = list::list(fixture.call(), ListMetricsInput::default()).await.unwrap().metrics.unwrap();
    assert_eq!(listed, []);
}
