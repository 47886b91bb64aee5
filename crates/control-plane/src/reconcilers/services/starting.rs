//! Everything that a service's tasks are started with, from its revision, its settings and its cluster.

use std::{collections::BTreeMap, sync::Arc};

use agent_protocol::spec::LaunchType;
use aws_shapes_ecs as ecs;
use deployment::Start;
use state_store::{Tx, View};
use vocabulary::{Ids, Scope, Timestamp};

use super::{revision_key_of, revision_of, snapshot};
use crate::{
    convert::AwsJson,
    gateway::ApiError,
    services::{
        Services,
        ec2::records::Subnet,
        ecs::{
            gateways, placing,
            records::{Cluster, DesiredStatus, Task, TaskDefinition, definition_id},
            services::records::{Revision, Service, TaskSet},
            tasks::launch::{self, Launch, Launched, Where},
        },
    },
};

/// A service whose tasks are to be started.
pub struct Starting<'a> {
    pub services: &'a Services,
    pub scope: &'a Scope,
    pub service: &'a Service,
    /// Its tasks.
    pub records: &'a [Arc<Task>],
}

impl Starting<'_> {
    /// Starts what a plan says.
    ///
    /// # Errors
    /// For what can never be started so.
    pub fn start(
        &self,
        tx: &mut Tx,
        start: &Start,
        now: Timestamp,
        ids: &mut impl Ids,
    ) -> Result<Launched, ApiError> {
        let mut zones = self.zones(tx, start);
        if zones.len() < 2 {
            return self
                .with(tx, start, &[], |tx, launch| launch::launch(tx, self.services, launch, now, ids));
        }
        let mut all = Launched::default();
        for _ in 0..start.count {
            // The zone with the fewest of the deployment's tasks, then of the service's; by name on a tie.
            let fewest = zones.iter().min_by_key(|(zone, counts)| (**counts, (*zone).clone()));
            let Some(zone) = fewest.map(|(zone, _)| zone.clone()) else { break };
            let one = Start { count: 1, zone: Some(zone.clone()), ..start.clone() };
            let launched = self.with(tx, &one, &all.tasks, |tx, launch| {
                launch::launch(tx, self.services, launch, now, ids)
            })?;
            if let Some(counts) = zones.get_mut(&zone) {
                *counts = (counts.0 + 1, counts.1 + 1);
            }
            all.tasks.extend(launched.tasks);
            all.failures.extend(launched.failures);
            all.unplaced = all.unplaced.or(launched.unplaced);
        }
        Ok(all)
    }

    /// For tasks on FARGATE that may be in several zones: each zone with how many living tasks of the deployment, and of the
    /// service, it has. On container instances placement spreads them.
    fn zones(&self, tx: &Tx, start: &Start) -> BTreeMap<String, (u32, u32)> {
        let revision = revision_of(tx.view(), self.scope, self.service, &start.deployment);
        let Some(revision) = revision.filter(|_| start.zone.is_none() && start.instance.is_none()) else {
            return BTreeMap::new();
        };
        if !is_on_fargate(tx.view(), self.scope, self.service, &revision) {
            return BTreeMap::new();
        }
        let network = revision.details.0.network_configuration.as_ref();
        let subnets = network.and_then(|network| network.awsvpc_configuration.as_ref()?.subnets.as_ref());
        let zone = |id: &String| Some(tx.view().get::<Subnet>(self.scope, id)?.availability_zone.clone());
        let mut zones: BTreeMap<String, (u32, u32)> =
            subnets.into_iter().flatten().filter_map(zone).map(|zone| (zone, (0, 0))).collect();
        for record in self.records.iter().filter(|record| record.desired_status == DesiredStatus::Running) {
            if let Some(counts) = zones.get_mut(&record.availability_zone) {
                counts.0 += u32::from(record.started_by.as_ref() == Some(&start.deployment));
                counts.1 += 1;
            }
        }
        zones
    }

    /// The instances that each are to have a task of a DAEMON service, by id.
    ///
    /// # Errors
    /// When what it is made of is gone.
    pub fn eligible(&self, tx: &mut Tx) -> Result<Vec<String>, ApiError> {
        let Some(primary) = self.service.state.primary() else { return Ok(Vec::new()) };
        let revision = revision_key_of(self.service, &primary.id);
        let revision = revision.and_then(|key| tx.peek::<Revision>(self.scope, &key));
        let external = revision
            .is_some_and(|revision| revision.details.0.launch_type == Some(ecs::LaunchType::External));
        let launch_type = if external { LaunchType::External } else { LaunchType::Ec2 };
        let any = Start { deployment: primary.id.clone(), count: 1, instance: None, zone: None };
        self.with(tx, &any, &[], |tx, launch| {
            placing::daemon_instances(tx, self.services, launch, launch_type)
        })
    }

    /// Gives `then` what is to be launched. `started`: what the same plan has started already.
    fn with<R>(
        &self,
        tx: &mut Tx,
        start: &Start,
        started: &[Task],
        then: impl FnOnce(&mut Tx, &Launch<'_>) -> Result<R, ApiError>,
    ) -> Result<R, ApiError> {
        let (scope, service) = (self.scope, self.service);
        let gone = |what: &str| ApiError::validation(format!("the {what} is gone"));
        // It may have been made by this very transaction.
        let revision = revision_key_of(service, &start.deployment)
            .and_then(|key| tx.peek::<Revision>(scope, &key))
            .ok_or_else(|| gone("service revision"))?;
        let cluster = tx
            .get::<Cluster>(scope, &service.cluster)
            .filter(|cluster| cluster.active)
            .ok_or_else(|| gone("cluster"))?;
        let definition = tx
            .get::<TaskDefinition>(scope, &definition_id(&revision.family, revision.revision))
            .ok_or_else(|| gone("task definition"))?;
        let details = &revision.details.0;
        let settings = &service.settings.0;
        let running = running(self.records.iter().map(AsRef::as_ref).chain(started));
        let instances: Vec<String> = start.instance.iter().cloned().collect();
        let place = match instances.as_slice() {
            [] => Where::chosen(
                &cluster,
                details.launch_type,
                details.capacity_provider_strategy.as_deref(),
                &running,
            )?,
            instances => Where::Instances(instances),
        };
        let network = details.network_configuration.as_ref();
        let network = network.and_then(|network| network.awsvpc_configuration.as_ref());
        let preferred = network.and_then(|network| in_zone(tx, scope, network, start.zone.as_deref()));
        let opened = preferred
            .as_ref()
            .or(network)
            .and_then(|network| gateways::connect::opened(tx.view(), scope, network, &revision.connections));
        let propagated = match settings.propagate_tags {
            Some(ecs::PropagateTags::TaskDefinition) => Some(&definition.tags),
            Some(ecs::PropagateTags::Service) => Some(&service.tags),
            _ => None,
        };
        let named = Some(service.name.as_str()).filter(|_| !service.runs_daemon());
        let managed =
            (settings.enable_ecs_managed_tags == Some(true)).then_some((service.cluster.as_str(), named));
        let set = tx.view().get::<TaskSet>(scope, &revision.key());
        let own = set.map(|set| set.tags.clone()).unwrap_or_default();
        let tags = launch::task_tags(propagated, &own, managed)?;
        let group = service.group();
        let launch = Launch {
            scope,
            cluster: &cluster,
            definition: &definition,
            count: start.count as usize,
            place,
            network: opened.as_ref().or(preferred.as_ref()).or(network),
            overrides: &AwsJson(ecs::TaskOverride::default()),
            constraints: settings.placement_constraints.as_deref().unwrap_or_default(),
            strategies: settings.placement_strategy.as_deref().unwrap_or_default(),
            group: Some(&group),
            started_by: Some(&start.deployment),
            tags: &tags,
            enable_execute_command: settings.enable_execute_command == Some(true),
            platform_version: details.platform_version.as_deref().filter(|version| *version != "LATEST"),
            load_balanced: snapshot::is_balanced(&revision),
        };
        then(tx, &launch)
    }
}

/// Whether tasks of the revision run on FARGATE, by its own launch type or strategy or by its cluster's.
fn is_on_fargate(view: &View, scope: &Scope, service: &Service, revision: &Revision) -> bool {
    let details = &revision.details.0;
    let own = details.capacity_provider_strategy.as_deref().filter(|own| !own.is_empty());
    let by = |items: &[ecs::CapacityProviderStrategyItem]| {
        items
            .iter()
            .all(|item| item.capacity_provider.as_deref().is_some_and(|name| name.starts_with("FARGATE")))
    };
    match (details.launch_type, own) {
        (Some(launch_type), _) => launch_type == ecs::LaunchType::Fargate,
        (None, Some(own)) => by(own),
        (None, None) => view.get::<Cluster>(scope, &service.cluster).is_some_and(|cluster| {
            let items = cluster.default_strategy.0.default_capacity_provider_strategy.as_deref();
            items.is_some_and(|items| !items.is_empty() && by(items))
        }),
    }
}

/// How many living tasks each capacity provider has.
fn running<'a>(records: impl Iterator<Item = &'a Task>) -> BTreeMap<String, u32> {
    let mut running = BTreeMap::new();
    for record in records.filter(|record| record.desired_status == DesiredStatus::Running) {
        if let Some(provider) = &record.capacity_provider {
            *running.entry(provider.clone()).or_default() += 1;
        }
    }
    running
}

/// The network with the subnets of that zone alone, when there are any.
fn in_zone(
    tx: &Tx,
    scope: &Scope,
    network: &ecs::AwsVpcConfiguration,
    zone: Option<&str>,
) -> Option<ecs::AwsVpcConfiguration> {
    let zone = zone?;
    let is_there = |id: &String| {
        let subnet = tx.view().get::<Subnet>(scope, id);
        subnet.is_some_and(|subnet| subnet.availability_zone == zone)
    };
    let subnets: Vec<String> = network.subnets.iter().flatten().filter(|id| is_there(id)).cloned().collect();
    (!subnets.is_empty()).then(|| ecs::AwsVpcConfiguration { subnets: Some(subnets), ..network.clone() })
}
