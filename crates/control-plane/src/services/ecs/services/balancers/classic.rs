//! Classic load balancers of services. They know instances and one port of those for each listener, so the host port must be fixed, and a
//! service's tasks are on instances of their own.

use aws_shapes_ecs as ecs;
use state_store::View;
use vocabulary::Scope;

use crate::{
    gateway::ApiError,
    services::{
        ecs::{names::invalid, records::TaskDefinition, services::asked::Wanted},
        elb::balancers,
    },
};

/// Whether the load balancer exists and reaches the container's port.
///
/// # Errors
/// `InvalidParameterException` for the first rule that is broken. Source: the developer guide, load balancers of services.
pub fn check(
    view: &View,
    scope: &Scope,
    wanted: &Wanted,
    definition: &TaskDefinition,
    balancer: &ecs::LoadBalancer,
    name: &str,
) -> Result<(), ApiError> {
    if balancer.target_group_arn.is_some() {
        return Err(invalid(
            "Both targetGroupArn and loadBalancerName cannot be specified for a load balancer.",
        ));
    }
    if wanted.revision.load_balancers.iter().flatten().count() > 1 {
        return Err(invalid(
            "A service can have one Classic Load Balancer only, and no target groups beside it.",
        ));
    }
    let configuration = wanted.settings.deployment_configuration.as_ref();
    let strategy = configuration.and_then(|given| given.strategy).unwrap_or(ecs::DeploymentStrategy::Rolling);
    if strategy != ecs::DeploymentStrategy::Rolling || balancer.advanced_configuration.is_some() {
        return Err(invalid(
            "Classic Load Balancers are supported with the ROLLING deployment strategy only.",
        ));
    }
    let controller = wanted.settings.deployment_controller.as_ref().and_then(|given| given.r#type);
    if controller.is_some_and(|controller| controller != ecs::DeploymentControllerType::Ecs) {
        return Err(invalid("Classic Load Balancers are supported with the ECS deployment controller only."));
    }
    let mode = definition.definition.0.network_mode.unwrap_or(ecs::NetworkMode::Bridge);
    if !matches!(mode, ecs::NetworkMode::Bridge | ecs::NetworkMode::Host) {
        return Err(invalid(format!(
            "Classic Load Balancers are not supported with the {} network mode.",
            mode.as_str()
        )));
    }
    let Ok(found) = balancers::see(view, scope, name) else {
        return Err(invalid(format!("The specified load balancer does not exist. loadBalancerName: {name}")));
    };
    let port = host_port(definition, balancer, mode).ok_or_else(|| {
        invalid("A Classic Load Balancer needs a container port with a fixed host port: dynamic host port mapping is not supported.")
    })?;
    if !found.listeners.values().any(|listener| listener.instance_port == port) {
        return Err(invalid(format!(
            "The load balancer {name} has no listener with the instance port {port}."
        )));
    }
    Ok(())
}

/// The port of the instance that the container's is published at.
fn host_port(
    definition: &TaskDefinition,
    balancer: &ecs::LoadBalancer,
    mode: ecs::NetworkMode,
) -> Option<u16> {
    let mut containers = definition.definition.0.container_definitions.iter().flatten();
    let container = containers.find(|container| container.name == balancer.container_name)?;
    let mut mappings = container.port_mappings.iter().flatten();
    let mapping = mappings.find(|mapping| mapping.container_port == balancer.container_port)?;
    let given = mapping.host_port.filter(|port| *port > 0);
    let port = if mode == ecs::NetworkMode::Host { given.or(mapping.container_port) } else { given };
    u16::try_from(port?).ok()
}
