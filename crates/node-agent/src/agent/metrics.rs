//! What the node's tasks use, measured every twenty seconds and published: CPU as a rate between two measurements, memory as it is.
//!
//! A container is told of from its second measurement on. Nothing depends on metrics: those that the control plane does not take are
//! replaced by the next.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use agent_protocol::tcs::{ContainerMetric, Metadata, PublishMetricsRequest, StatsSet, TaskMetric};
use container_runtime::ContainerStats;
use vocabulary::Timestamp;

use crate::{endpoint::TaskView, node::Node, task::container::run_name};

/// As the published agent does.
pub(super) const INTERVAL: Duration = Duration::from_secs(20);

/// What was measured last: processor time in ns, and when.
type Earlier = HashMap<String, (u64, Timestamp)>;

#[derive(Debug, Clone, Default)]
pub(super) struct Meter(Arc<Mutex<Earlier>>);

impl Meter {
    /// Measures and publishes. Reads many small files, on a thread for that.
    pub(super) async fn publish(self, node: Arc<Node>, views: Vec<Arc<TaskView>>) {
        let cluster_arn = node.config.cluster_arn.clone();
        let container_instance = node.config.container_instance_arn.clone();
        let now = node.clock.now();
        let measured = tokio::task::spawn_blocking(move || {
            let mut earlier = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            measure(&views, &mut earlier)
        });
        let Ok(task_metrics) = measured.await else { return };
        if task_metrics.is_empty() {
            return;
        }
        let request = PublishMetricsRequest {
            metadata: Metadata {
                cluster: cluster_arn,
                container_instance,
                message_id: format!("metrics-{}", now.as_millis()),
                fin: true,
            },
            task_metrics,
            balancer_metrics: Vec::new(),
            timestamp: Some(now),
        };
        if let Err(error) = node.control.publish_metrics(request).await {
            tracing::debug!(%error, "metrics were not taken");
        }
    }
}

fn measure(views: &[Arc<TaskView>], earlier: &mut Earlier) -> Vec<TaskMetric> {
    let mut now = Earlier::new();
    let mut metrics = Vec::new();
    for view in views {
        let state = view.snapshot();
        let Some(sandbox) = &state.sandbox else { continue };
        let mut containers = Vec::new();
        for (spec, facts) in state.spec.containers.iter().zip(&state.facts.containers) {
            let Some(stats) = sandbox.stats(&run_name(&spec.name, facts.run)) else { continue };
            let key = format!("{}/{}/{}", state.spec.task_id, spec.name, facts.run);
            let before = earlier.get(&key).copied();
            now.insert(key, (stats.cpu.usage_ns, stats.read_at));
            containers.extend(before.and_then(|before| metric(&spec.name, &stats, before)));
        }
        if !containers.is_empty() {
            metrics.push(TaskMetric {
                task_arn: state.spec.task_arn.clone(),
                cluster_arn: state.spec.cluster_arn.clone(),
                task_definition_family: state.spec.family.clone(),
                task_definition_version: state.spec.revision.to_string(),
                container_metrics: containers,
            });
        }
    }
    // What has ended is forgotten.
    *earlier = now;
    metrics
}

/// `None` when no time has passed between the two.
fn metric(name: &str, stats: &ContainerStats, (usage, at): (u64, Timestamp)) -> Option<ContainerMetric> {
    let passed = u64::try_from(stats.read_at.since(at).as_nanos()).ok().filter(|passed| *passed > 0)?;
    let one = |value: f64| StatsSet { min: value, max: value, sample_count: 1, sum: value };
    Some(ContainerMetric {
        container_name: name.to_owned(),
        cpu_stats_set: Some(one(stats.cpu.usage_ns.saturating_sub(usage) as f64 * 100.0 / passed as f64)),
        memory_stats_set: Some(one(stats.memory.usage_bytes as f64)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_a_rate_and_memory_a_size() {
        let at = Timestamp::from_millis(1_000);
        let mut stats = ContainerStats {
            read_at: Timestamp::from_millis(3_000),
            cpu: Default::default(),
            memory: Default::default(),
            pids: Default::default(),
            blkio_service_bytes: vec![],
            blkio_serviced: vec![],
        };
        (stats.cpu.usage_ns, stats.memory.usage_bytes) = (1_500_000_000, 4096);
        let metric = metric("app", &stats, (500_000_000, at)).unwrap();
        assert_eq!(metric.cpu_stats_set.unwrap().sum, 50.0);
        assert_eq!(metric.memory_stats_set.unwrap().max, 4096.0);
        assert!(super::metric("app", &stats, (0, stats.read_at)).is_none());
    }
}
