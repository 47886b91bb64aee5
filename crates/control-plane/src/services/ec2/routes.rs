//! Routes: the one that matters here is from a table to an internet gateway, for 0.0.0.0/0. Every other kind is refused.

use addressing::Cidr;
use aws_schema::Unit;
use aws_shapes_ec2::{CreateRouteRequest, CreateRouteResult, DeleteRouteRequest, ReplaceRouteRequest};
use state_store::Tx;
use vocabulary::Scope;

use super::{
    errors::{error, invalid_value, missing, refuse_unsupported, unsupported},
    networks,
    records::{InternetGateway, RouteTable, Vpc},
    route_tables::existing,
    routing,
    vpcs::cidr_block,
};
use crate::gateway::{ApiError, Call};

fn destination(
    block: Option<String>,
    ipv6: Option<&String>,
    prefix_list: Option<&String>,
) -> Result<Cidr, ApiError> {
    refuse_unsupported(&[
        ("destinationIpv6CidrBlock", ipv6.is_some()),
        ("destinationPrefixListId", prefix_list.is_some()),
    ])?;
    cidr_block("destinationCidrBlock", &block.ok_or_else(|| missing("destinationCidrBlock"))?)
}

/// The gateway that a route is to lead to.
fn gateway(tx: &mut Tx, scope: &Scope, table: &RouteTable, id: &str) -> Result<(), ApiError> {
    let gateway = tx
        .get::<InternetGateway>(scope, id)
        .ok_or_else(|| error("InvalidGatewayID.NotFound", format!("The gateway ID '{id}' does not exist")))?;
    if gateway.vpc_id.as_ref() != Some(&table.vpc_id) {
        return Err(invalid_value(format!(
            "route table {} and network gateway {id} belong to different networks",
            table.id
        )));
    }
    Ok(())
}

fn only_outside(destination: Cidr) -> Result<(), ApiError> {
    if destination == Cidr::ANYWHERE {
        return Ok(());
    }
    Err(unsupported(format!(
        "Longshore routes 0.0.0.0/0 to an internet gateway, and nothing else: {destination}."
    )))
}

pub async fn create(call: Call, input: CreateRouteRequest) -> Result<CreateRouteResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let destination = destination(
        input.destination_cidr_block,
        input.destination_ipv6_cidr_block.as_ref(),
        input.destination_prefix_list_id.as_ref(),
    )?;
    refuse_unsupported(&[
        ("carrierGatewayId", input.carrier_gateway_id.is_some()),
        ("coreNetworkArn", input.core_network_arn.is_some()),
        ("egressOnlyInternetGatewayId", input.egress_only_internet_gateway_id.is_some()),
        ("instanceId", input.instance_id.is_some()),
        ("localGatewayId", input.local_gateway_id.is_some()),
        ("natGatewayId", input.nat_gateway_id.is_some()),
        ("networkInterfaceId", input.network_interface_id.is_some()),
        ("odbNetworkArn", input.odb_network_arn.is_some()),
        ("transitGatewayId", input.transit_gateway_id.is_some()),
        ("vpcEndpointId", input.vpc_endpoint_id.is_some()),
        ("vpcPeeringConnectionId", input.vpc_peering_connection_id.is_some()),
    ])?;
    let gateway_id = input.gateway_id.ok_or_else(|| missing("gatewayId"))?;
    let table_id = input.route_table_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let mut table = existing(tx, scope, &table_id)?;
            if is_local(tx, scope, &table, destination)
                || (destination == Cidr::ANYWHERE && table.outside.is_some())
            {
                return Err(error(
                    "RouteAlreadyExists",
                    format!("The route identified by {destination} already exists."),
                ));
            }
            gateway(tx, scope, &table, &gateway_id)?;
            only_outside(destination)?;
            table.outside = Some(gateway_id.clone());
            put(tx, scope, table)
        })
        .await?;
    Ok(CreateRouteResult { r#return: Some(true) })
}

pub async fn replace(call: Call, input: ReplaceRouteRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let destination = destination(
        input.destination_cidr_block,
        input.destination_ipv6_cidr_block.as_ref(),
        input.destination_prefix_list_id.as_ref(),
    )?;
    refuse_unsupported(&[
        ("carrierGatewayId", input.carrier_gateway_id.is_some()),
        ("coreNetworkArn", input.core_network_arn.is_some()),
        ("egressOnlyInternetGatewayId", input.egress_only_internet_gateway_id.is_some()),
        ("instanceId", input.instance_id.is_some()),
        ("localGatewayId", input.local_gateway_id.is_some()),
        ("localTarget", input.local_target.is_some()),
        ("natGatewayId", input.nat_gateway_id.is_some()),
        ("networkInterfaceId", input.network_interface_id.is_some()),
        ("odbNetworkArn", input.odb_network_arn.is_some()),
        ("transitGatewayId", input.transit_gateway_id.is_some()),
        ("vpcEndpointId", input.vpc_endpoint_id.is_some()),
        ("vpcPeeringConnectionId", input.vpc_peering_connection_id.is_some()),
    ])?;
    let gateway_id = input.gateway_id.ok_or_else(|| missing("gatewayId"))?;
    let table_id = input.route_table_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let mut table = existing(tx, scope, &table_id)?;
            if destination != Cidr::ANYWHERE || table.outside.is_none() {
                return Err(invalid_value(format!(
                    "There is no route defined for '{destination}' in the route table. Use CreateRoute instead."
                )));
            }
            gateway(tx, scope, &table, &gateway_id)?;
            table.outside = Some(gateway_id.clone());
            put(tx, scope, table)
        })
        .await?;
    Ok(Unit)
}

pub async fn delete(call: Call, input: DeleteRouteRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let destination = destination(
        input.destination_cidr_block,
        input.destination_ipv6_cidr_block.as_ref(),
        input.destination_prefix_list_id.as_ref(),
    )?;
    let table_id = input.route_table_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let mut table = existing(tx, scope, &table_id)?;
            if is_local(tx, scope, &table, destination) {
                return Err(invalid_value(format!(
                    "cannot remove local route {destination} in route table {table_id}"
                )));
            }
            if destination != Cidr::ANYWHERE || table.outside.take().is_none() {
                return Err(error(
                    "InvalidRoute.NotFound",
                    format!("no route with destination-cidr-block {destination} in route table {table_id}"),
                ));
            }
            put(tx, scope, table)
        })
        .await?;
    Ok(Unit)
}

fn is_local(tx: &mut Tx, scope: &Scope, table: &RouteTable, destination: Cidr) -> bool {
    tx.get::<Vpc>(scope, &table.vpc_id).is_some_and(|vpc| vpc.cidr == destination)
}

fn put(tx: &mut Tx, scope: &Scope, table: RouteTable) -> Result<(), ApiError> {
    let vpc_id = table.vpc_id.clone();
    routing::changing(tx, scope, &vpc_id, |tx| {
        tx.put(scope, &table.id.clone(), table);
        Ok(())
    })
}
