//! Tells the control plane what the node's load balancers count: every ten seconds, what was counted since the last time that was taken.
//!
//! Nothing depends on it, and nothing is kept for it: what the control plane does not take is part of the next, and what was not told when the
//! agent ends is lost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use agent_protocol::tcs::{BalancerMetric, Metadata, PublishMetricsRequest};
use load_balancer::{Counter, Counts, Meters};
use tokio::time::MissedTickBehavior;

use crate::node::Node;

/// Short enough that a minute's last part comes in soon after it.
const INTERVAL: Duration = Duration::from_secs(10);
const MINUTE_MILLIS: i64 = 60_000;

type Snapshot = BTreeMap<String, Counts>;

/// Until it is dropped.
pub(super) async fn run(node: Arc<Node>, meters: Meters) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Snapshot::new();
    let mut minute = None;
    loop {
        ticks.tick().await;
        let counted = meters.snapshot();
        let now = node.clock.now();
        let this = now.as_millis().div_euclid(MINUTE_MILLIS);
        let balancer_metrics = since(&told, &counted, minute != Some(this));
        if balancer_metrics.is_empty() {
            continue;
        }
        let request = PublishMetricsRequest {
            metadata: Metadata {
                cluster: node.config.cluster_arn.clone(),
                container_instance: node.config.container_instance_arn.clone(),
                message_id: format!("balancers-{}", now.as_millis()),
                fin: true,
            },
            balancer_metrics,
            timestamp: Some(now),
            ..PublishMetricsRequest::default()
        };
        match node.control.publish_metrics(request).await {
            Ok(()) => (told, minute) = (counted, Some(this)),
            Err(error) => tracing::debug!(%error, "the metrics of load balancers were not taken"),
        }
    }
}

/// What was counted since `told`; the connections that are open only when `with_open`.
fn since(told: &Snapshot, counted: &Snapshot, with_open: bool) -> Vec<BalancerMetric> {
    let own = [Counter::ActiveConnections, Counter::ResponseTimeCount, Counter::ResponseTimeMicroseconds];
    let metric = |(arn, counts): (&String, &Counts)| {
        let before = told.get(arn);
        let more = |counter: Counter| {
            counts.get(counter).saturating_sub(before.map_or(0, |before| before.get(counter)))
        };
        let counters: BTreeMap<String, u64> = counts
            .iter()
            .filter(|(counter, _)| !own.contains(counter))
            .map(|(counter, _)| (counter.name().to_owned(), more(counter)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let open = counts.get(Counter::ActiveConnections);
        let metric = BalancerMetric {
            arn: arn.clone(),
            counters,
            active_connections: (with_open && open > 0).then_some(open),
            response_times: counts.response_times(before).collect(),
            response_time_seconds: more(Counter::ResponseTimeMicroseconds) as f64 / 1e6,
        };
        let is_empty = metric.counters.is_empty()
            && metric.active_connections.is_none()
            && metric.response_times.is_empty();
        (!is_empty).then_some(metric)
    };
    counted.iter().filter_map(metric).collect()
}
