//! The facts in the words of the API: statuses, health, exit codes.

use crate::{
    ContainerFacts, ContainerShape, ContainerStateChange, ContainerStatus, HealthStatus, ImageFacts,
    NetworkFacts, ProcessFacts, TaskFacts, TaskShape, TaskStateChange, TaskStatus,
};

/// The whole state. Its sequence is 1: whoever reports it counts on from the last one.
pub(crate) fn snapshot(shape: &TaskShape, facts: &TaskFacts) -> TaskStateChange {
    let containers: Vec<ContainerStateChange> = shape
        .containers()
        .iter()
        .zip(&facts.containers)
        .map(|(container, state)| container_change(container, state, facts))
        .collect();
    let essential =
        shape.containers().iter().zip(&facts.containers).filter(|(container, _)| container.essential);
    let health = task_health(
        essential.map(|(container, state)| container.health.is_some().then_some(state.health.status)),
    );
    let stop = facts.stop.as_ref();
    TaskStateChange {
        cluster: shape.cluster_arn().to_owned(),
        task: shape.task_arn().to_owned(),
        sequence: 1,
        status: status(shape, facts)
            .max(facts.reported.as_ref().map_or(TaskStatus::Provisioning, |last| last.status)),
        reason: stop.and_then(|cause| cause.reason.clone()),
        stop_code: stop.and_then(|cause| cause.code),
        connectivity_at: facts.connectivity_at,
        pull_started_at: facts.pull_started_at,
        pull_stopped_at: facts.pull_stopped_at,
        started_at: facts.started_at,
        stopping_at: stop.map(|cause| cause.at),
        execution_stopped_at: facts.execution_stopped_at,
        health_status: health,
        containers,
    }
}

fn status(shape: &TaskShape, facts: &TaskFacts) -> TaskStatus {
    if facts.cleaned_up {
        return TaskStatus::Stopped;
    }
    if facts.stop.is_some() {
        let ended = facts.containers.iter().all(ContainerFacts::has_no_process);
        return match ended && shape.has_interface() {
            true => TaskStatus::Deprovisioning,
            false => TaskStatus::Stopping,
        };
    }
    if facts.started_at.is_some() {
        return TaskStatus::Running;
    }
    match shape.has_interface() && matches!(facts.network, NetworkFacts::Absent | NetworkFacts::Attaching) {
        true => TaskStatus::Provisioning,
        false => TaskStatus::Pending,
    }
}

fn container_change(
    container: &ContainerShape,
    state: &ContainerFacts,
    task: &TaskFacts,
) -> ContainerStateChange {
    let stopping = task.stop.is_some();
    let status = match &state.process {
        ProcessFacts::NotStarted if stopping => ContainerStatus::Stopped,
        ProcessFacts::NotStarted => ContainerStatus::Pending,
        ProcessFacts::Starting if state.run > 0 => ContainerStatus::Running,
        ProcessFacts::Starting => ContainerStatus::Pending,
        ProcessFacts::Running { .. } => ContainerStatus::Running,
        ProcessFacts::Exited(_) | ProcessFacts::Failed => ContainerStatus::Stopped,
    };
    ContainerStateChange {
        container_name: container.name.clone(),
        runtime_id: Some(container.runtime_id.clone()),
        status,
        exit_code: state.exit().and_then(|exit| exit.code),
        reason: state.reason.clone(),
        image_digest: match &state.image {
            ImageFacts::Ready { digest } => digest.clone(),
            _ => None,
        },
        health_status: state.health.status,
        network_bindings: state.network_bindings.clone(),
        restart_count: state.run,
    }
}

/// A task's health from that of its essential containers (`None`: no check). UNHEALTHY when any is, HEALTHY when all
/// that have a check are, UNKNOWN otherwise and when none has one.
pub fn task_health(essential: impl IntoIterator<Item = Option<HealthStatus>>) -> HealthStatus {
    let checked: Vec<HealthStatus> = essential.into_iter().flatten().collect();
    if checked.contains(&HealthStatus::Unhealthy) {
        HealthStatus::Unhealthy
    } else if !checked.is_empty() && checked.iter().all(|status| *status == HealthStatus::Healthy) {
        HealthStatus::Healthy
    } else {
        HealthStatus::Unknown
    }
}
