//! The service and its tasks in the deployment core's words.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use agent_protocol::state::{HealthStatus, TaskStatus};
use aws_shapes_ecs as ecs;
use deployment::{Check, Controller, Ended, EndedBy, Phase, Scheduling, events};
use state_store::View;
use task_lifecycle::Traffic;
use vocabulary::{Scope, Timestamp};

use super::revision_of;
use crate::services::{
    Services,
    ec2::records::Subnet,
    ecs::{
        records::{ContainerInstance, DesiredStatus, InstanceStatus, Task, TaskDefinition, definition_id},
        services::{
            alarms, balancers, core,
            records::{Revision, Service, ServiceStatus},
            registrars,
        },
    },
    elbv2::health::State,
};

/// What was asked for. `eligible`: the instances of a DAEMON service.
pub fn service(
    view: &View,
    scope: &Scope,
    record: &Service,
    eligible: Option<Vec<String>>,
) -> deployment::Service {
    let settings = &record.settings.0;
    let given = settings.deployment_configuration.clone().unwrap_or_default();
    let daemon = record.is_daemon();
    let mut configuration = core::configuration(&given, daemon);
    if let Some(eligible) = eligible.as_ref().filter(|_| record.runs_daemon()) {
        // However few instances there are, a daemon's update goes on with one of them.
        let but_one = 100 * eligible.len().saturating_sub(1) / eligible.len().max(1);
        let but_one = u32::try_from(but_one).unwrap_or(0);
        configuration.minimum_healthy_percent = configuration.minimum_healthy_percent.min(but_one);
    }
    let primary = record.state.primary().and_then(|primary| revision_of(view, scope, record, &primary.id));
    let balanced = super::is_balanced(view, scope, record);
    let grace = settings.health_check_grace_period_seconds.unwrap_or(0).max(0);
    deployment::Service {
        name: record.name.clone(),
        status: match record.status {
            ServiceStatus::Active => deployment::ServiceStatus::Active,
            ServiceStatus::Draining | ServiceStatus::Inactive => deployment::ServiceStatus::Draining,
        },
        desired_count: record.desired_count,
        scheduling: match eligible {
            None => Scheduling::Replica,
            Some(eligible) => Scheduling::Daemon { eligible },
        },
        controller: match record.controller() {
            ecs::DeploymentControllerType::Ecs => Controller::Ecs,
            ecs::DeploymentControllerType::External => Controller::External,
            ecs::DeploymentControllerType::CodeDeploy => Controller::CodeDeploy,
        },
        alarms_in_alarm: alarms::in_alarm(view, scope, &configuration.alarms.names),
        configuration,
        health_check_grace_period: Duration::from_secs(u64::from(grace.unsigned_abs())),
        load_balanced: balanced,
        zone_rebalancing: settings.availability_zone_rebalancing
            == Some(ecs::AvailabilityZoneRebalancing::Enabled),
        zones: zones(view, scope, record, primary.as_deref()),
    }
}

/// The zones that tasks can be in: those of the subnets, else those of the cluster's instances.
fn zones(view: &View, scope: &Scope, record: &Service, primary: Option<&Revision>) -> Vec<String> {
    let network = primary.and_then(|primary| primary.details.0.network_configuration.as_ref());
    let subnets = network.and_then(|network| network.awsvpc_configuration.as_ref()?.subnets.as_ref());
    let zones: BTreeSet<String> = match subnets {
        Some(subnets) => subnets
            .iter()
            .filter_map(|id| Some(view.get::<Subnet>(scope, id)?.availability_zone.clone()))
            .collect(),
        None => {
            let instances = view.scan_prefix::<ContainerInstance>(scope, &format!("{}/", record.cluster));
            instances.filter_map(|(_, instance)| zone_of(&instance)).collect()
        }
    };
    zones.into_iter().collect()
}

fn zone_of(instance: &ContainerInstance) -> Option<String> {
    let attributes = instance.description.0.attributes.as_ref()?;
    let zone = attributes.iter().find(|one| one.name.as_deref() == Some("ecs.availability-zone"))?;
    zone.value.clone()
}

/// Reads what several tasks have in common once.
pub struct Eyes<'a> {
    view: &'a View,
    services: &'a Services,
    scope: &'a Scope,
    service: &'a Service,
    now: Timestamp,
    /// Whether an essential container of the definition has a check.
    checked: BTreeMap<(String, u32), bool>,
}

impl<'a> Eyes<'a> {
    pub fn new(
        view: &'a View,
        services: &'a Services,
        scope: &'a Scope,
        service: &'a Service,
        now: Timestamp,
    ) -> Eyes<'a> {
        Eyes { view, services, scope, service, now, checked: BTreeMap::new() }
    }

    /// All tasks that still matter.
    pub fn tasks(&mut self, records: &[Arc<Task>]) -> Vec<deployment::Task> {
        records.iter().filter(|record| matters(record)).map(|record| self.task(record)).collect()
    }

    fn task(&mut self, record: &Task) -> deployment::Task {
        let state = &record.state;
        let phase = phase(record);
        let instance_draining = record.container_instance.as_ref().is_some_and(|id| {
            let key = format!("{}/{id}", record.cluster);
            let instance = self.view.get::<ContainerInstance>(self.scope, &key);
            instance.is_none_or(|instance| instance.status == InstanceStatus::Draining)
        });
        deployment::Task {
            id: record.id.clone(),
            deployment: record.started_by.clone().unwrap_or_default(),
            phase,
            created_at: record.created_at,
            running_since: state.started_at.filter(|_| state.traffic != Traffic::Awaited),
            container_health: self.container_health(record),
            target_health: self.target_health(record),
            discovery_health: Check::None,
            ended: ended(record, phase, self.now),
            noted: record.noted,
            zone: Some(record.availability_zone.clone()),
            instance: record.container_instance.clone(),
            instance_draining,
            protected_until: record.protected_until,
        }
    }

    fn container_health(&mut self, record: &Task) -> Check {
        let view = self.view;
        let scope = self.scope;
        let checked = self.checked.entry((record.family.clone(), record.revision)).or_insert_with(|| {
            let definition =
                view.get::<TaskDefinition>(scope, &definition_id(&record.family, record.revision));
            definition.is_some_and(|definition| has_checks(&definition.definition.0))
        });
        match (*checked, record.state.health_status) {
            (false, _) => Check::None,
            (true, HealthStatus::Healthy) => Check::Good,
            (true, HealthStatus::Unknown) => Check::Waiting,
            (true, HealthStatus::Unhealthy) => Check::Bad {
                stop_reason: events::FAILED_CONTAINER_CHECKS.to_owned(),
                event: events::failed_container_checks(&self.service.name, &record.id),
            },
        }
    }

    /// The worst over all its targets.
    fn target_health(&self, record: &Task) -> Check {
        let mut worst = Check::None;
        for place in &record.targets {
            let board = &self.services.target_health;
            let health = registrars::health(self.view, board, self.scope, place, self.now);
            // In a zone without the load balancer it is never sent anything, which no time makes good.
            let cut_off = health.state == State::Unused && registrars::is_used(self.view, self.scope, place);
            let check = match health.state {
                State::Unused | State::Unavailable if !cut_off => Check::None,
                State::Healthy => Check::Good,
                State::Initial | State::Draining | State::Absent => Check::Waiting,
                State::Unhealthy | State::Unused | State::Unavailable => {
                    let reason = health.description.or(health.reason).unwrap_or_default();
                    return registrars::failed(&self.service.name, &record.id, place, &reason);
                }
            };
            worst = match (worst, check) {
                (Check::Waiting, _) | (_, Check::Waiting) => Check::Waiting,
                (Check::Good, _) | (_, Check::Good) => Check::Good,
                (other, _) => other,
            };
        }
        worst
    }
}

fn has_checks(definition: &ecs::TaskDefinition) -> bool {
    let mut containers = definition.container_definitions.iter().flatten();
    containers.any(|container| {
        let command = container.health_check.as_ref().and_then(|check| check.command.as_ref());
        container.essential != Some(false)
            && command.is_some_and(|command| command.first().is_some_and(|first| first != "NONE"))
    })
}

/// Not one that has stopped and is accounted for.
fn matters(record: &Task) -> bool {
    record.state.last_status != TaskStatus::Stopped || record.noted != deployment::Noted::Accounted
}

fn phase(record: &Task) -> Phase {
    match record.state.last_status {
        TaskStatus::Stopped => Phase::Stopped,
        _ if record.desired_status == DesiredStatus::Stopped => Phase::Stopping,
        TaskStatus::Running => Phase::Running,
        status if status < TaskStatus::Running => Phase::Pending,
        _ => Phase::Stopping,
    }
}

/// Nothing is known of a task that is merely wanted no more.
fn ended(record: &Task, phase: Phase, now: Timestamp) -> Option<Ended> {
    let state = &record.state;
    let known = phase == Phase::Stopped || (phase == Phase::Stopping && state.stop_code.is_some());
    let at = state.stopped_at.or(state.stopping_at).unwrap_or(now);
    known.then(|| Ended { by: ended_by(state.stop_code.as_deref()), at })
}

fn ended_by(code: Option<&str>) -> EndedBy {
    match code {
        Some("ServiceSchedulerInitiated") => EndedBy::Scheduler,
        Some("UserInitiated") => EndedBy::User,
        Some("SpotInterruption" | "TerminationNotice") => EndedBy::Infrastructure,
        _ => EndedBy::Itself,
    }
}

/// Whether tasks of the revision are registered with load balancers.
pub fn is_balanced(revision: &Revision) -> bool {
    !balancers::attachments(revision).is_empty()
}
