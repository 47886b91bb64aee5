//! A service as the API shows it, with its deployments, task sets, counts and events.

use std::{collections::BTreeMap, sync::Arc};

use agent_protocol::state::TaskStatus;
use aws_shapes_ecs as ecs;
use state_store::View;
use vocabulary::Scope;

use super::records::{
    Revision, Service, ServiceDeployment, ServiceEvents, ServiceStatus, TaskSet, revision_key,
};
use crate::{
    convert::time,
    services::{
        Settings,
        ecs::{
            gateways,
            records::{DesiredStatus, Task},
            tags,
            tasks::launch::PLATFORM_VERSION,
        },
    },
};

/// RUNNING and PENDING tasks, of all and of each deployment or task set.
#[derive(Debug, Default)]
pub struct Counts {
    pub all: (u32, u32),
    of: BTreeMap<String, (u32, u32)>,
}

impl Counts {
    /// Of a service's tasks as they are.
    pub fn new(view: &View, scope: &Scope, service: &Service) -> Counts {
        let mut counts = Counts::default();
        for (_, task) in view.by_index::<Task>(scope, "service", &service.key()) {
            counts.add(&task);
        }
        counts
    }

    fn add(&mut self, task: &Task) {
        let one = match task.state.last_status {
            TaskStatus::Running => (1, 0),
            status if status < TaskStatus::Running && task.desired_status == DesiredStatus::Running => (0, 1),
            _ => return,
        };
        let of = self.of.entry(task.started_by.clone().unwrap_or_default()).or_default();
        for count in [&mut self.all, of] {
            count.0 += one.0;
            count.1 += one.1;
        }
    }

    /// Of what `ecs-svc/DIGITS` started.
    pub fn of(&self, started_by: &str) -> (u32, u32) {
        self.of.get(started_by).copied().unwrap_or_default()
    }
}

pub fn count(count: u32) -> Option<i32> {
    Some(i32::try_from(count).unwrap_or(i32::MAX))
}

/// A revision of the service, by the id that the core has of it.
pub fn revision(view: &View, scope: &Scope, service: &Service, id: &str) -> Option<Arc<Revision>> {
    view.get::<Revision>(scope, &revision_key(&service.cluster, &service.name, id))
}

/// A whole service.
pub fn service(view: &View, scope: &Scope, service: &Service, with_tags: bool) -> ecs::Service {
    let counts = Counts::new(view, scope, service);
    let primary = service.state.primary();
    let current = primary.and_then(|primary| revision(view, scope, service, &primary.revision));
    let details = current.as_ref().map(|current| &current.details.0);
    let events = view.get::<ServiceEvents>(scope, &service.key());
    let desired = match (service.is_daemon(), primary) {
        // One on each instance: the scheduler counts them.
        (true, Some(primary)) if service.status == ServiceStatus::Active => primary.desired_count,
        _ => service.desired_count,
    };
    let balanced = current.as_ref().is_some_and(|current| !super::balancers::attachments(current).is_empty());
    ecs::Service {
        service_arn: Some(service.arn(scope)),
        service_name: Some(service.name.clone()),
        cluster_arn: Some(service.cluster_arn(scope)),
        status: Some(service.status.as_str().to_owned()),
        desired_count: count(desired),
        running_count: count(counts.all.0),
        pending_count: count(counts.all.1),
        created_at: Some(time(service.created_at)),
        created_by: Some(service.created_by.clone()),
        task_definition: current.as_ref().map(|current| current.definition_arn(scope)),
        launch_type: details.and_then(launch_type),
        capacity_provider_strategy: details.and_then(|details| details.capacity_provider_strategy.clone()),
        platform_version: details
            .filter(|details| is_fargate(details))
            .map(|details| details.platform_version.clone().unwrap_or_else(|| "LATEST".to_owned())),
        platform_family: details.filter(|details| is_fargate(details)).map(|_| "Linux".to_owned()),
        network_configuration: details.and_then(|details| details.network_configuration.clone()),
        load_balancers: Some(details.and_then(|details| details.load_balancers.clone()).unwrap_or_default()),
        service_registries: Some(Vec::new()),
        health_check_grace_period_seconds: service
            .settings
            .0
            .health_check_grace_period_seconds
            .or(balanced.then_some(0)),
        deployments: Some(deployments(view, scope, service, &counts)),
        task_sets: service.has_task_sets().then(|| task_sets(view, scope, service, &counts)),
        events: Some(
            events
                .iter()
                .flat_map(|events| &events.events)
                .map(|event| ecs::ServiceEvent {
                    id: Some(event.id.clone()),
                    created_at: Some(time(event.created_at)),
                    message: Some(event.message.clone()),
                })
                .collect(),
        ),
        current_service_deployment: deployment_under_way(scope, service),
        current_service_revisions: current_revisions(view, scope, service, &counts),
        resource_management_type: Some(ecs::ResourceManagementType::Customer),
        tags: Some(if with_tags { tags::shape(&service.tags) } else { Vec::new() }),
        ..service.settings.0.clone()
    }
}

/// The launch type, where no strategy decides. Without either it was EC2.
fn launch_type(details: &ecs::ServiceRevision) -> Option<ecs::LaunchType> {
    match (details.launch_type, &details.capacity_provider_strategy) {
        (None, None) => Some(ecs::LaunchType::Ec2),
        (given, _) => given,
    }
}

/// `EC2`, `FARGATE` or `EXTERNAL`: where the tasks of a service run, be it by its strategy.
pub fn launch_type_name(view: &View, scope: &Scope, service: &Service) -> &'static str {
    let primary = service.state.primary().map(|primary| primary.revision.as_str());
    let id = primary.or(service.primary_task_set.as_deref()).unwrap_or_default();
    let revision = revision(view, scope, service, id);
    match revision.as_ref().map(|revision| &revision.details.0) {
        Some(details) if is_fargate(details) => "FARGATE",
        Some(details) if details.launch_type == Some(ecs::LaunchType::External) => "EXTERNAL",
        _ => "EC2",
    }
}

fn is_fargate(details: &ecs::ServiceRevision) -> bool {
    let mut strategy = details.capacity_provider_strategy.iter().flatten();
    details.launch_type == Some(ecs::LaunchType::Fargate)
        || strategy
            .any(|item| item.capacity_provider.as_deref().is_some_and(|name| name.starts_with("FARGATE")))
}

fn deployment_under_way(scope: &Scope, service: &Service) -> Option<String> {
    let rollout = service.state.rollout.as_ref()?;
    let id = service.deployment.as_ref().filter(|_| !rollout.status.is_over())?;
    let key = revision_key(&service.cluster, &service.name, id);
    Some(scope.arn("ecs", format_args!("service-deployment/{key}")).to_string())
}

fn current_revisions(
    view: &View,
    scope: &Scope,
    service: &Service,
    counts: &Counts,
) -> Option<Vec<ecs::ServiceCurrentRevisionSummary>> {
    let all = service.state.deployments.iter().filter_map(|deployment| {
        let revision = revision(view, scope, service, &deployment.revision)?;
        let (running, pending) = counts.of(&deployment.id);
        Some(ecs::ServiceCurrentRevisionSummary {
            arn: Some(revision.arn(scope)),
            requested_task_count: count(deployment.desired_count),
            running_task_count: count(running),
            pending_task_count: count(pending),
        })
    });
    (!service.has_task_sets()).then(|| all.collect())
}

fn deployments(view: &View, scope: &Scope, service: &Service, counts: &Counts) -> Vec<ecs::Deployment> {
    let show = |deployment: &deployment::Deployment| {
        let revision = revision(view, scope, service, &deployment.revision);
        let details = revision.as_ref().map(|revision| &revision.details.0);
        let (running, pending) = counts.of(&deployment.id);
        let fargate = details.filter(|details| is_fargate(details));
        let primary = deployment.status == deployment::DeploymentStatus::Primary;
        ecs::Deployment {
            id: Some(deployment.id.clone()),
            status: Some(if primary { "PRIMARY" } else { "ACTIVE" }.to_owned()),
            task_definition: revision.as_ref().map(|revision| revision.definition_arn(scope)),
            desired_count: count(deployment.desired_count),
            running_count: count(running),
            pending_count: count(pending),
            failed_tasks: count(deployment.failed_tasks),
            created_at: Some(time(deployment.created_at)),
            updated_at: Some(time(deployment.updated_at)),
            launch_type: details.and_then(launch_type),
            capacity_provider_strategy: details
                .and_then(|details| details.capacity_provider_strategy.clone()),
            platform_version: fargate.map(platform_version),
            platform_family: fargate.map(|_| "Linux".to_owned()),
            network_configuration: details.and_then(|details| details.network_configuration.clone()),
            rollout_state: Some(match deployment.rollout_state {
                deployment::RolloutState::InProgress => ecs::DeploymentRolloutState::InProgress,
                deployment::RolloutState::Completed => ecs::DeploymentRolloutState::Completed,
                deployment::RolloutState::Failed => ecs::DeploymentRolloutState::Failed,
            }),
            rollout_state_reason: Some(deployment.rollout_state_reason.clone()),
            ..ecs::Deployment::default()
        }
    };
    service.state.deployments.iter().map(show).collect()
}

fn platform_version(details: &ecs::ServiceRevision) -> String {
    match details.platform_version.as_deref() {
        None | Some("LATEST") => PLATFORM_VERSION.to_owned(),
        Some(given) => given.to_owned(),
    }
}

fn task_sets(view: &View, scope: &Scope, service: &Service, counts: &Counts) -> Vec<ecs::TaskSet> {
    let records = view.scan_prefix::<TaskSet>(scope, &format!("{}/", service.key()));
    records.filter_map(|(_, record)| task_set(view, scope, service, &record, counts, false)).collect()
}

/// A task set; none for one that is gone.
pub fn task_set(
    view: &View,
    scope: &Scope,
    service: &Service,
    record: &TaskSet,
    counts: &Counts,
    with_tags: bool,
) -> Option<ecs::TaskSet> {
    let name = record.name();
    let state = service.state.task_sets.iter().find(|set| set.id == name)?;
    let revision = revision(view, scope, service, &record.id)?;
    let details = &revision.details.0;
    let (running, pending) = counts.of(&name);
    let primary = service.primary_task_set.as_ref() == Some(&record.id);
    let status = match (state.draining, primary) {
        (true, _) => "DRAINING",
        (false, true) => "PRIMARY",
        (false, false) => "ACTIVE",
    };
    Some(ecs::TaskSet {
        id: Some(name),
        task_set_arn: Some(record.arn(scope)),
        service_arn: Some(service.arn(scope)),
        cluster_arn: Some(service.cluster_arn(scope)),
        started_by: record.started_by.clone(),
        external_id: record.external_id.clone(),
        status: Some(status.to_owned()),
        task_definition: Some(revision.definition_arn(scope)),
        computed_desired_count: count(state.computed_desired_count),
        running_count: count(running),
        pending_count: count(pending),
        created_at: Some(time(record.created_at)),
        updated_at: Some(time(state.updated_at)),
        launch_type: launch_type(details),
        capacity_provider_strategy: details.capacity_provider_strategy.clone(),
        platform_version: is_fargate(details).then(|| platform_version(details)),
        platform_family: is_fargate(details).then(|| "Linux".to_owned()),
        network_configuration: details.network_configuration.clone(),
        load_balancers: Some(details.load_balancers.clone().unwrap_or_default()),
        service_registries: Some(Vec::new()),
        scale: Some(ecs::Scale { unit: Some(ecs::ScaleUnit::Percent), value: Some(state.scale_percent) }),
        stability_status: Some(match state.stability {
            deployment::Stability::Stabilizing => ecs::StabilityStatus::Stabilizing,
            deployment::Stability::SteadyState => ecs::StabilityStatus::SteadyState,
        }),
        stability_status_at: Some(time(state.stability_at)),
        tags: Some(if with_tags { tags::shape(&record.tags) } else { Vec::new() }),
        ..ecs::TaskSet::default()
    })
}

/// A revision.
pub fn service_revision(
    view: &View,
    settings: &Settings,
    scope: &Scope,
    revision: &Revision,
) -> ecs::ServiceRevision {
    let service = scope.arn("ecs", format_args!("service/{}/{}", revision.cluster, revision.service));
    let details = &revision.details.0;
    ecs::ServiceRevision {
        service_revision_arn: Some(revision.arn(scope)),
        service_arn: Some(service.to_string()),
        cluster_arn: Some(scope.arn("ecs", format_args!("cluster/{}", revision.cluster)).to_string()),
        task_definition: Some(revision.definition_arn(scope)),
        created_at: Some(time(revision.created_at)),
        launch_type: launch_type(details),
        platform_version: is_fargate(details).then(|| platform_version(details)),
        platform_family: is_fargate(details).then(|| "Linux".to_owned()),
        guard_duty_enabled: Some(false),
        ecs_managed_resources: gateways::connect::managed(view, settings, scope, &revision.connections),
        ..details.clone()
    }
}

/// How far a service deployment is: as its service says while it is the one under way, else as it ended.
pub fn rollout(view: &View, scope: &Scope, record: &ServiceDeployment) -> deployment::Rollout {
    let key = super::records::service_key(&record.cluster, &record.service);
    view.get::<Service>(scope, &key)
        .filter(|service| service.deployment.as_ref() == Some(&record.id))
        .and_then(|service| service.state.rollout.clone())
        .unwrap_or_else(|| record.rollout.clone())
}
