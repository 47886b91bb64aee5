//! Everything that a service's tasks are started with, from its revision, its settings and its cluster.

use std::{collections::BTreeMap, sync::Arc};

use agent_protocol::spec::LaunchType;
use aws_shapes_ecs as ecs;
use deployment::Start;
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::{revision_of, snapshot};
use crate::{
    convert::AwsJson,
    gateway::ApiError,
    services::{
        Services,
        ec2::records::Subnet,
        ecs::{
            placing,
            records::{Cluster, DesiredStatus, Task, TaskDefinition, definition_id},
            services::records::{Service, TaskSet},
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
        self.with(tx, start, |tx, launch| launch::launch(tx, self.services, launch, now, ids))
    }

    /// The instances that each are to have a task of a DAEMON service, by id.
    ///
    /// # Errors
    /// When what it is made of is gone.
    pub fn eligible(&self, tx: &mut Tx) -> Result<Vec<String>, ApiError> {
        let Some(primary) = self.service.state.primary() else { return Ok(Vec::new()) };
        let revision = revision_of(tx.view(), self.scope, self.service, &primary.id);
        let external = revision
            .is_some_and(|revision| revision.details.0.launch_type == Some(ecs::LaunchType::External));
        let launch_type = if external { LaunchType::External } else { LaunchType::Ec2 };
        let any = Start { deployment: primary.id.clone(), count: 1, instance: None, zone: None };
        self.with(tx, &any, |tx, launch| placing::daemon_instances(tx, self.services, launch, launch_type))
    }

    fn with<R>(
        &self,
        tx: &mut Tx,
        start: &Start,
        then: impl FnOnce(&mut Tx, &Launch<'_>) -> Result<R, ApiError>,
    ) -> Result<R, ApiError> {
        let (scope, service) = (self.scope, self.service);
        let gone = |what: &str| ApiError::validation(format!("the {what} is gone"));
        let revision = revision_of(tx.view(), scope, service, &start.deployment)
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
        let running = running(self.records);
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
        let propagated = match settings.propagate_tags {
            Some(ecs::PropagateTags::TaskDefinition) => Some(&definition.tags),
            Some(ecs::PropagateTags::Service) => Some(&service.tags),
            _ => None,
        };
        let managed = (settings.enable_ecs_managed_tags == Some(true))
            .then_some((service.cluster.as_str(), Some(service.name.as_str())));
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
            network: preferred.as_ref().or(network),
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

/// How many living tasks each capacity provider has.
fn running(records: &[Arc<Task>]) -> BTreeMap<String, u32> {
    let mut running = BTreeMap::new();
    for record in records.iter().filter(|record| record.desired_status == DesiredStatus::Running) {
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
