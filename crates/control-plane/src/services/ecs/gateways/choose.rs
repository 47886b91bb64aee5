//! Which gateways a service can be behind, and which of its ports they lead to. Decided from the tables alone; the words of refusals are AWS's.

use std::{collections::BTreeSet, sync::Arc};

use aws_shapes_ecs as ecs;
use state_store::View;
use vocabulary::Scope;

use super::records::{Association, AssociationStatus, Gateway};
use crate::{
    gateway::ApiError,
    services::{
        ec2::records::Subnet,
        ecs::{
            names::{DefinitionName, client, invalid},
            records::TaskDefinition,
            services::asked::Wanted,
        },
    },
};

/// The container and its port behind the connector's name.
pub fn port(
    view: &View,
    scope: &Scope,
    wanted: &Wanted,
    connector: &ecs::GatewayConnector,
) -> Result<(String, i32), ApiError> {
    let named = wanted.definition.as_deref().filter(|named| !named.is_empty());
    let named = named.ok_or_else(|| client("TaskDefinition can not be blank."))?;
    let found = DefinitionName::parse(scope, named)?.find(view, scope);
    let found: Arc<TaskDefinition> = found.ok_or_else(|| client("TaskDefinition not found."))?;
    let shape = &found.definition.0;
    if shape.network_mode != Some(ecs::NetworkMode::Awsvpc) {
        return Err(invalid("gatewayConnectors need a task definition with the network mode awsvpc."));
    }
    for container in shape.container_definitions.iter().flatten() {
        let mut mappings = container.port_mappings.iter().flatten();
        if let Some(mapping) =
            mappings.find(|mapping| mapping.name.is_some() && mapping.name == connector.port_name)
        {
            let (Some(name), Some(port)) = (&container.name, mapping.container_port) else { break };
            if mapping.protocol == Some(ecs::TransportProtocol::Udp) {
                return Err(invalid("The port of a gateway connector must be a TCP port."));
            }
            return Ok((name.clone(), port));
        }
    }
    let name = connector.port_name.as_deref().unwrap_or_default();
    Err(invalid(format!("The task definition has no port mapping with the name {name}.")))
}

/// The gateways of the cluster that the service can be behind.
pub fn gateways(
    view: &View,
    scope: &Scope,
    cluster: &str,
    wanted: &Wanted,
    connector: &ecs::GatewayConnector,
) -> Result<Vec<Arc<Gateway>>, ApiError> {
    let of_cluster = view.scan::<Association>(scope).map(|(_, one)| one);
    let active = of_cluster.filter(|one| one.cluster == cluster && one.status == AssociationStatus::Active);
    let mut gateways: Vec<Arc<Gateway>> = active
        .filter_map(|one| view.get::<Gateway>(scope, &one.gateway))
        .filter(|gateway| !gateway.deleted)
        .collect();
    if gateways.is_empty() {
        return Err(invalid(format!(
            "gatewayConnectors were specified but no gateways are associated with cluster {cluster}."
        )));
    }
    let network = wanted.revision.network_configuration.as_ref();
    let network = network.and_then(|network| network.awsvpc_configuration.as_ref());
    let subnets: Vec<Arc<Subnet>> = network
        .and_then(|network| network.subnets.as_deref())
        .unwrap_or_default()
        .iter()
        .filter_map(|id| view.get::<Subnet>(scope, id))
        .collect();
    let Some(vpc_id) = subnets.first().map(|subnet| subnet.vpc_id.clone()) else {
        return Err(invalid("gatewayConnectors need a networkConfiguration with subnets that exist."));
    };
    gateways.retain(|gateway| gateway.vpc_id == vpc_id);
    if gateways.is_empty() {
        return Err(invalid(format!(
            "Cluster {cluster} has associated gateways but none are in the service's VPC {vpc_id}."
        )));
    }
    let kinds = connector.filters.as_ref().and_then(|filters| filters.access_types.as_deref());
    let kinds = kinds.unwrap_or_default();
    gateways.retain(|gateway| kinds.is_empty() || kinds.contains(&gateway.access_type()));
    if gateways.is_empty() {
        return Err(invalid(format!(
            "none of the gateways associated with cluster {cluster} match the access types of the gateway connector."
        )));
    }
    let zones = |ids: &[String]| -> BTreeSet<String> {
        ids.iter().filter_map(|id| Some(view.get::<Subnet>(scope, id)?.availability_zone.clone())).collect()
    };
    let needed: BTreeSet<String> = subnets.iter().map(|subnet| subnet.availability_zone.clone()).collect();
    gateways.retain(|gateway| needed.is_subset(&zones(gateway.subnets())));
    if gateways.is_empty() {
        return Err(invalid(format!(
            "none of the gateways associated with cluster {cluster} cover every Availability Zone of the service's subnets."
        )));
    }
    Ok(gateways)
}
