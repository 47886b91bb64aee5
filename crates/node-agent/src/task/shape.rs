//! The part of a specification that decides a task's course.

use std::time::Duration;

use agent_protocol::spec::{ContainerSpec, NetworkMode, TaskSpec, TransportProtocol};
use task_lifecycle::{ContainerShape, HealthSchedule, InvalidShape, NetworkBinding, TaskShape};

/// ECS's default between SIGTERM and SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn shape(spec: &TaskSpec) -> Result<TaskShape, InvalidShape> {
    build(spec, Duration::MAX)
}

/// The same, with no stop timeout longer than `longest`.
pub(crate) fn with_stop_timeout(spec: &TaskSpec, longest: Duration) -> Result<TaskShape, InvalidShape> {
    build(spec, longest)
}

fn build(spec: &TaskSpec, longest_stop: Duration) -> Result<TaskShape, InvalidShape> {
    let containers =
        spec.containers.iter().map(|container| container_shape(container, longest_stop)).collect();
    let has_interface = spec.network_mode == NetworkMode::Awsvpc;
    TaskShape::new(&spec.task_arn, &spec.cluster_arn, has_interface, containers)
}

fn container_shape(container: &ContainerSpec, longest_stop: Duration) -> ContainerShape {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    ContainerShape {
        name: container.name.clone(),
        runtime_id: container.runtime_id.clone(),
        essential: container.essential,
        depends_on: container.depends_on.clone(),
        start_timeout: container.start_timeout_seconds.map(seconds),
        stop_timeout: container.stop_timeout_seconds.map_or(STOP_TIMEOUT, seconds).min(longest_stop),
        health: container.health_check.as_ref().map(|check| HealthSchedule {
            interval: seconds(check.interval_seconds),
            timeout: seconds(check.timeout_seconds),
            retries: check.retries.max(1),
            start_period: seconds(check.start_period_seconds),
        }),
        restart: container.restart_policy.clone(),
    }
}

/// In `host` mode every mapped port is the host's own; in `awsvpc` mode it is the interface's and DescribeTasks shows none.
pub(crate) fn host_bindings(spec: &TaskSpec) -> Vec<(usize, NetworkBinding)> {
    if spec.network_mode != NetworkMode::Host {
        return Vec::new();
    }
    let of_container = |(index, container): (usize, &ContainerSpec)| {
        let bindings = container.port_mappings.iter().map(move |mapping| {
            let protocol = match mapping.protocol {
                TransportProtocol::Tcp => "tcp",
                TransportProtocol::Udp => "udp",
            };
            let (bind_ip, protocol) = ("0.0.0.0".to_owned(), protocol.to_owned());
            let port = mapping.container_port;
            (index, NetworkBinding { bind_ip, container_port: port, host_port: port, count: 1, protocol })
        });
        bindings.collect::<Vec<_>>()
    };
    spec.containers.iter().enumerate().flat_map(of_container).collect()
}
