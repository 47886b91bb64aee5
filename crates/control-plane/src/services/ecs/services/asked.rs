//! What is asked of a service: the members of CreateService and UpdateService, laid over what there is.
//!
//! Both operations end in the same two things, the service's settings and what its next revision is made of, and both are
//! checked as a whole afterwards ([`super::check`]). So an update is refused for exactly what a creation would be.

use aws_shapes_ecs as ecs;

use super::names::not_implemented;
use crate::{gateway::ApiError, services::ecs::gateways::Connection};

/// A service as it shall be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Members that belong to no revision.
    pub settings: ecs::Service,
    /// Members that make a revision.
    pub revision: ecs::ServiceRevision,
    /// As the client named it.
    pub definition: Option<String>,
    /// The routes of gateways that the connector of the revision led to.
    pub connections: Vec<Connection>,
}

/// The members that both operations have. None: as it is.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub definition: Option<String>,
    pub launch_type: Option<ecs::LaunchType>,
    pub strategy: Option<Vec<ecs::CapacityProviderStrategyItem>>,
    pub platform_version: Option<String>,
    pub network: Option<ecs::NetworkConfiguration>,
    pub load_balancers: Option<Vec<ecs::LoadBalancer>>,
    pub connectors: Option<Vec<ecs::GatewayConnector>>,
    pub configuration: Option<ecs::DeploymentConfiguration>,
    pub constraints: Option<Vec<ecs::PlacementConstraint>>,
    pub strategies: Option<Vec<ecs::PlacementStrategy>>,
    pub grace_period: Option<i32>,
    pub managed_tags: Option<bool>,
    pub propagate: Option<ecs::PropagateTags>,
    pub execute: Option<bool>,
    pub rebalancing: Option<ecs::AvailabilityZoneRebalancing>,
}

/// What this platform does not do, refused rather than stored.
#[derive(Debug, Default)]
pub struct Refusable<'a> {
    pub registries: Option<&'a [ecs::ServiceRegistry]>,
    pub service_connect: Option<&'a ecs::ServiceConnectConfiguration>,
    pub volumes: Option<&'a [ecs::ServiceVolumeConfiguration]>,
    pub lattice: Option<&'a [ecs::VpcLatticeConfiguration]>,
    pub monitoring: Option<&'a ecs::MonitoringConfiguration>,
}

impl Refusable<'_> {
    /// # Errors
    /// 501 for the first that is asked for.
    pub fn check(&self) -> Result<(), ApiError> {
        let given = [
            (self.registries.is_some_and(|given| !given.is_empty()), "service discovery (serviceRegistries)"),
            (self.service_connect.is_some_and(|given| given.enabled == Some(true)), "Service Connect"),
            (self.volumes.is_some_and(|given| !given.is_empty()), "EBS volumes (volumeConfigurations)"),
            (self.lattice.is_some_and(|given| !given.is_empty()), "VPC Lattice (vpcLatticeConfigurations)"),
            (self.monitoring.is_some(), "monitoring configurations of services"),
        ];
        match given.into_iter().find(|(given, _)| *given) {
            Some((_, what)) => Err(not_implemented(what)),
            None => Ok(()),
        }
    }
}

impl Wanted {
    /// `asked` laid over what there is. A launch type drives out a strategy and the other way round.
    pub fn overlaid(mut self, asked: Asked) -> Wanted {
        if asked.definition.is_some() {
            self.definition = asked.definition;
        }
        let (settings, revision) = (&mut self.settings, &mut self.revision);
        if asked.launch_type.is_some() {
            revision.launch_type = asked.launch_type;
            revision.capacity_provider_strategy = None;
        }
        if let Some(strategy) = asked.strategy {
            revision.launch_type = if strategy.is_empty() { revision.launch_type } else { None };
            revision.capacity_provider_strategy = Some(strategy).filter(|strategy| !strategy.is_empty());
        }
        fn over<T>(there: &mut Option<T>, given: Option<T>) {
            if given.is_some() {
                *there = given;
            }
        }
        over(&mut revision.platform_version, asked.platform_version.filter(|given| !given.is_empty()));
        over(&mut revision.network_configuration, asked.network);
        over(&mut revision.load_balancers, asked.load_balancers);
        if let Some(connectors) = asked.connectors {
            revision.gateway_connectors = Some(connectors).filter(|connectors| !connectors.is_empty());
        }
        over(&mut settings.placement_constraints, asked.constraints);
        over(&mut settings.placement_strategy, asked.strategies);
        over(&mut settings.health_check_grace_period_seconds, asked.grace_period);
        over(&mut settings.enable_ecs_managed_tags, asked.managed_tags);
        over(&mut settings.propagate_tags, asked.propagate);
        over(&mut settings.enable_execute_command, asked.execute);
        over(&mut settings.availability_zone_rebalancing, asked.rebalancing);
        if let Some(given) = asked.configuration {
            let there = settings.deployment_configuration.get_or_insert_default();
            over(&mut there.alarms, given.alarms);
            over(&mut there.bake_time_in_minutes, given.bake_time_in_minutes);
            over(&mut there.canary_configuration, given.canary_configuration);
            over(&mut there.deployment_circuit_breaker, given.deployment_circuit_breaker);
            over(&mut there.early_success_criteria, given.early_success_criteria);
            over(&mut there.lifecycle_hooks, given.lifecycle_hooks);
            over(&mut there.linear_configuration, given.linear_configuration);
            over(&mut there.maximum_percent, given.maximum_percent);
            over(&mut there.minimum_healthy_percent, given.minimum_healthy_percent);
            over(&mut there.strategy, given.strategy);
        }
        self
    }

    /// Fills in what AWS fills in.
    pub fn with_defaults(mut self) -> Wanted {
        let settings = &mut self.settings;
        settings.scheduling_strategy.get_or_insert(ecs::SchedulingStrategy::Replica);
        let daemon = settings.scheduling_strategy == Some(ecs::SchedulingStrategy::Daemon);
        settings
            .deployment_controller
            .get_or_insert(ecs::DeploymentController { r#type: Some(ecs::DeploymentControllerType::Ecs) });
        let configuration = settings.deployment_configuration.get_or_insert_default();
        configuration.maximum_percent.get_or_insert(if daemon { 100 } else { 200 });
        configuration.minimum_healthy_percent.get_or_insert(if daemon { 0 } else { 100 });
        configuration.strategy.get_or_insert(ecs::DeploymentStrategy::Rolling);
        configuration.bake_time_in_minutes.get_or_insert(0);
        let breaker = configuration.deployment_circuit_breaker.get_or_insert_default();
        breaker.enable.get_or_insert(false);
        breaker.rollback.get_or_insert(false);
        settings.placement_constraints.get_or_insert_default();
        settings.placement_strategy.get_or_insert_default();
        settings.enable_ecs_managed_tags.get_or_insert(false);
        settings.enable_execute_command.get_or_insert(false);
        settings.propagate_tags.get_or_insert(ecs::PropagateTags::None);
        self.revision.load_balancers.get_or_insert_default();
        self.revision.service_registries.get_or_insert_default();
        self
    }
}
