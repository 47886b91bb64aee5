//! How much of a cluster's container instances is reserved and used. Clusters without instances have none of these metrics, as on AWS.

use std::collections::BTreeMap;

use metrics::Summary;
use state_store::View;
use telemetry_store::MetricSample;
use vocabulary::Scope;

use agent_protocol::state::TaskStatus;

use super::{
    sample,
    tasks::{Use, reserved, used},
};
use crate::services::{
    Services,
    ecs::records::{ContainerInstance, InstanceStatus, Task},
};

#[derive(Debug, Default)]
struct Cluster {
    registered: Use,
    reserved: Use,
    used: Use,
}

/// The samples of all clusters with instances.
pub fn samples(services: &Services, view: &View, at: i64) -> Vec<MetricSample> {
    let mut clusters: BTreeMap<(Scope, String), Cluster> = BTreeMap::new();
    let mut instances = std::collections::HashSet::new();
    for found in view.scan_all::<ContainerInstance>() {
        if !matches!(found.value.status, InstanceStatus::Active | InstanceStatus::Draining) {
            continue;
        }
        let cluster = clusters.entry((found.scope.clone(), found.value.cluster.clone())).or_default();
        for resource in found.value.description.0.registered_resources.iter().flatten() {
            let value = f64::from(resource.integer_value.unwrap_or(0));
            match resource.name.as_deref() {
                Some("CPU") => cluster.registered.cpu_units += value,
                Some("MEMORY") => cluster.registered.memory_mib += value,
                _ => {}
            }
        }
        instances.insert((found.scope, found.value.cluster.clone(), found.value.id.clone()));
    }
    if clusters.is_empty() {
        return Vec::new();
    }
    for found in view.scan_all::<Task>() {
        let task = &found.value;
        let Some(instance) = &task.container_instance else { continue };
        let place = (found.scope.clone(), task.cluster.clone(), instance.clone());
        if task.state.last_status == TaskStatus::Stopped || !instances.contains(&place) {
            continue;
        }
        let Some(cluster) = clusters.get_mut(&(place.0, place.1)) else { continue };
        add(&mut cluster.reserved, reserved(view, &found.scope, task));
        if let Some(metric) = services.agents.metrics(&task.arn(&found.scope)) {
            add(&mut cluster.used, used(&metric));
        }
    }
    let mut samples = Vec::new();
    for ((scope, name), cluster) in &clusters {
        let Cluster { registered, reserved, used } = cluster;
        for (metric, part, whole) in [
            ("CPUReservation", reserved.cpu_units, registered.cpu_units),
            ("MemoryReservation", reserved.memory_mib, registered.memory_mib),
            ("CPUUtilization", used.cpu_units, registered.cpu_units),
            ("MemoryUtilization", used.memory_mib, registered.memory_mib),
        ] {
            if whole > 0.0 {
                let summary = Summary::of_value(part / whole * 100.0);
                samples.push(sample(
                    scope,
                    "AWS/ECS",
                    metric,
                    &[("ClusterName", name)],
                    "Percent",
                    at,
                    summary,
                ));
            }
        }
    }
    samples
}

fn add(sum: &mut Use, more: Use) {
    sum.cpu_units += more.cpu_units;
    sum.memory_mib += more.memory_mib;
}
