//! How much of what it has reserved each task of a service uses: `CPUUtilization` and `MemoryUtilization` by cluster and service.
//!
//! A task's use of its reservation is one sample of its service, so that the average is the service's, and least and greatest are single
//! tasks'. Source: "Amazon ECS CloudWatch metrics" of the ECS guide.

use agent_protocol::tcs::{ContainerMetric, StatsSet, TaskMetric};
use aws_shapes_ecs as ecs;
use metrics::Summary;
use state_store::View;
use telemetry_store::MetricSample;
use vocabulary::Scope;

use super::sample;
use crate::services::ecs::{
    definitions::{cpu_units, memory_mib},
    records::{Task, TaskDefinition, definition_id},
    tasks::report,
};

/// Units of processor time that a core has.
const CORE_UNITS: f64 = 1024.0;
const MIB: f64 = 1_048_576.0;

/// What a task uses now: units of processor time, and MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Use {
    pub cpu_units: f64,
    pub memory_mib: f64,
}

/// The use of all containers of a task.
pub fn used(metric: &TaskMetric) -> Use {
    let sum = |of: fn(&ContainerMetric) -> Option<StatsSet>| -> f64 {
        let sets = metric.container_metrics.iter().filter_map(of);
        sets.filter(|set| set.sample_count > 0).map(|set| set.sum / set.sample_count as f64).sum()
    };
    Use {
        cpu_units: sum(|container| container.cpu_stats_set) / 100.0 * CORE_UNITS,
        memory_mib: sum(|container| container.memory_stats_set) / MIB,
    }
}

/// What a task has reserved; of a part that it has not reserved, nothing.
pub fn reserved(view: &View, scope: &Scope, task: &Task) -> Use {
    let definition = view.get::<TaskDefinition>(scope, &definition_id(&task.family, task.revision));
    let containers: Vec<ecs::ContainerDefinition> = definition
        .and_then(|definition| definition.definition.0.container_definitions.clone())
        .unwrap_or_default();
    let sum = |of: fn(&ecs::ContainerDefinition) -> Option<i32>| -> f64 {
        containers.iter().filter_map(of).map(|number| f64::from(number.max(0))).sum()
    };
    let own =
        |text: &Option<String>, read: fn(&str) -> Option<u32>| text.as_deref().and_then(read).map(f64::from);
    Use {
        cpu_units: own(&task.cpu, cpu_units).unwrap_or_else(|| sum(|container| container.cpu)),
        memory_mib: own(&task.memory, memory_mib)
            .unwrap_or_else(|| sum(|container| container.memory_reservation.or(container.memory))),
    }
}

/// The samples of the services that the tasks belong to.
pub fn samples(view: &View, metrics: &[TaskMetric], at: i64) -> Vec<MetricSample> {
    let mut samples = Vec::new();
    for metric in metrics {
        let Some((scope, key)) = report::own_task(&metric.task_arn) else { continue };
        let Some(task) = view.get::<Task>(&scope, &key) else { continue };
        let Some(service) = task.service() else { continue };
        let (used, reserved) = (used(metric), reserved(view, &scope, &task));
        let dimensions = [("ClusterName", task.cluster.as_str()), ("ServiceName", service)];
        for (name, used, reserved) in [
            ("CPUUtilization", used.cpu_units, reserved.cpu_units),
            ("MemoryUtilization", used.memory_mib, reserved.memory_mib),
        ] {
            if reserved > 0.0 {
                let summary = Summary::of_value(used / reserved * 100.0);
                samples.push(sample(&scope, "AWS/ECS", name, &dimensions, "Percent", at, summary));
            }
        }
    }
    samples
}
