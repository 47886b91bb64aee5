//! Route tables: create, describe, delete, and which subnets they are for. Their routes are in [`routes`](super::routes).

use std::sync::Arc;

use aws_schema::Unit;
use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    AssociateRouteTableRequest, AssociateRouteTableResult, CreateRouteTableRequest, CreateRouteTableResult,
    DeleteRouteTableRequest, DescribeRouteTablesRequest, DescribeRouteTablesResult,
    DisassociateRouteTableRequest, ReplaceRouteTableAssociationRequest, ReplaceRouteTableAssociationResult,
};
use state_store::{Tx, View};
use vocabulary::{Ids, Scope};

use super::{
    errors::{
        dependency, error, invalid_value, refuse_unsupported, route_table_not_found, subnet_not_found,
        vpc_not_found,
    },
    filters::{Filtered, Filters, chosen, one},
    networks, page,
    records::{InternetGateway, RouteTable, Subnet, SubnetAssociation, Vpc},
    routing, tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

/// EC2's quota for a VPC.
const MOST_TABLES: usize = 200;

pub fn existing(tx: &mut Tx, scope: &Scope, id: &str) -> Result<RouteTable, ApiError> {
    tx.get::<RouteTable>(scope, id).map(Arc::unwrap_or_clone).ok_or_else(|| route_table_not_found(id))
}

pub async fn create(call: Call, input: CreateRouteTableRequest) -> Result<CreateRouteTableResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let vpc_id = input.vpc_id.unwrap_or_default();
    let tags = tags::specified("route-table", input.tag_specifications)?;
    let token = input.client_token;
    let table = call
        .services
        .state
        .transact(|tx| {
            tx.get::<Vpc>(scope, &vpc_id).ok_or_else(|| vpc_not_found(&vpc_id))?;
            let tables = tx.by_index::<RouteTable>(scope, "vpc", &vpc_id);
            let same = |table: &RouteTable| token.is_some() && table.client_token == token;
            if let Some((_, made)) = tables.iter().find(|(_, table)| same(table)) {
                return Ok((**made).clone());
            }
            if tables.len() >= MOST_TABLES {
                return Err(error(
                    "RouteTableLimitExceeded",
                    "The maximum number of route tables has been reached.",
                ));
            }
            let table = RouteTable {
                id: format!("rtb-{}", call.services.ids().hex(17)),
                vpc_id: vpc_id.clone(),
                main_association: None,
                associations: Vec::new(),
                outside: None,
                client_token: token.clone(),
                tags: tags.clone(),
            };
            tx.put(scope, &table.id, table.clone());
            Ok(table)
        })
        .await?;
    let view = call.services.state.view();
    Ok(CreateRouteTableResult { route_table: Some(shape(&view, scope, &table)), client_token: token })
}

pub async fn delete(call: Call, input: DeleteRouteTableRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let id = input.route_table_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let table = existing(tx, scope, &id)?;
            if table.main_association.is_some() || !table.associations.is_empty() {
                return Err(dependency(format!(
                    "The routeTable '{id}' has dependencies and cannot be deleted."
                )));
            }
            tx.delete::<RouteTable>(scope, &id);
            Ok(())
        })
        .await?;
    Ok(Unit)
}

fn associated() -> Option<ec2::RouteTableAssociationState> {
    Some(ec2::RouteTableAssociationState {
        state: Some(ec2::RouteTableAssociationStateCode::Associated),
        status_message: None,
    })
}

pub async fn associate(
    call: Call,
    input: AssociateRouteTableRequest,
) -> Result<AssociateRouteTableResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    refuse_unsupported(&[
        ("gatewayId", input.gateway_id.is_some()),
        ("publicIpv4Pool", input.public_ipv4_pool.is_some()),
    ])?;
    let table_id = input.route_table_id.unwrap_or_default();
    let subnet_id = input.subnet_id.ok_or_else(|| super::errors::missing("subnetId"))?;
    let id = call
        .services
        .state
        .transact(|tx| {
            let mut table = existing(tx, scope, &table_id)?;
            let subnet = tx.get::<Subnet>(scope, &subnet_id).ok_or_else(|| subnet_not_found(&subnet_id))?;
            if subnet.vpc_id != table.vpc_id {
                return Err(invalid_value(format!(
                    "Route table {table_id} and subnet {subnet_id} belong to different networks"
                )));
            }
            if let Some(own) = table.associations.iter().find(|one| one.subnet_id == subnet_id) {
                return Ok(own.id.clone());
            }
            let tables = tx.by_index::<RouteTable>(scope, "vpc", &table.vpc_id);
            let others = tables.iter().flat_map(|(_, other)| &other.associations);
            if others.into_iter().any(|one| one.subnet_id == subnet_id) {
                return Err(error(
                    "Resource.AlreadyAssociated",
                    format!(
                        "the specified association for route table {table_id} conflicts with an existing association"
                    ),
                ));
            }
            let id = format!("rtbassoc-{}", call.services.ids().hex(17));
            table.associations.push(SubnetAssociation { id: id.clone(), subnet_id: subnet_id.clone() });
            let vpc_id = table.vpc_id.clone();
            routing::changing(tx, scope, &vpc_id, |tx| {
                tx.put(scope, &table_id, table);
                Ok(id)
            })
        })
        .await?;
    Ok(AssociateRouteTableResult { association_id: Some(id), association_state: associated() })
}

/// The table that has the association, as main or for a subnet.
fn having(tx: &mut Tx, scope: &Scope, association: &str) -> Result<RouteTable, ApiError> {
    let has = |table: &RouteTable| {
        table.main_association.as_deref() == Some(association)
            || table.associations.iter().any(|one| one.id == association)
    };
    let found = tx.scan::<RouteTable>(scope).into_iter().find(|(_, table)| has(table));
    found.map(|(_, table)| Arc::unwrap_or_clone(table)).ok_or_else(|| {
        error("InvalidAssociationID.NotFound", format!("The association ID '{association}' does not exist"))
    })
}

pub async fn disassociate(call: Call, input: DisassociateRouteTableRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let id = input.association_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let mut table = having(tx, scope, &id)?;
            if table.main_association.as_ref() == Some(&id) {
                return Err(invalid_value(format!(
                    "cannot disassociate the main route table association {id}"
                )));
            }
            table.associations.retain(|one| one.id != id);
            let vpc_id = table.vpc_id.clone();
            routing::changing(tx, scope, &vpc_id, |tx| {
                tx.put(scope, &table.id.clone(), table);
                Ok(())
            })
        })
        .await?;
    Ok(Unit)
}

/// Puts another table in the place of the one that a subnet, or the VPC itself, has.
pub async fn replace_association(
    call: Call,
    input: ReplaceRouteTableAssociationRequest,
) -> Result<ReplaceRouteTableAssociationResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let id = input.association_id.unwrap_or_default();
    let table_id = input.route_table_id.unwrap_or_default();
    let new_id = call
        .services
        .state
        .transact(|tx| {
            let mut to = existing(tx, scope, &table_id)?;
            let mut from = having(tx, scope, &id)?;
            if from.id == to.id {
                return Ok(id.clone());
            }
            if from.vpc_id != to.vpc_id {
                return Err(invalid_value(format!(
                    "Route table {} and route table {table_id} belong to different networks",
                    from.id
                )));
            }
            let new_id = format!("rtbassoc-{}", call.services.ids().hex(17));
            if from.main_association.as_ref() == Some(&id) {
                from.main_association = None;
                to.main_association = Some(new_id.clone());
            } else if let Some(at) = from.associations.iter().position(|one| one.id == id) {
                let moved = SubnetAssociation { id: new_id.clone(), ..from.associations.remove(at) };
                to.associations.push(moved);
            }
            let vpc_id = from.vpc_id.clone();
            routing::changing(tx, scope, &vpc_id, |tx| {
                tx.put(scope, &from.id.clone(), from);
                tx.put(scope, &to.id.clone(), to);
                Ok(new_id)
            })
        })
        .await?;
    Ok(ReplaceRouteTableAssociationResult {
        new_association_id: Some(new_id),
        association_state: associated(),
    })
}

struct Shown<'a>(&'a Scope, ec2::RouteTable, &'a Tags);

impl Filtered for Shown<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        let table = &self.1;
        let associations = || table.associations.iter().flatten();
        let routes = || table.routes.iter().flatten();
        match name {
            "route-table-id" => one(table.route_table_id.as_deref()?),
            "vpc-id" => one(table.vpc_id.as_deref()?),
            "owner-id" => one(&self.0.account),
            "association.route-table-association-id" => {
                Some(associations().filter_map(|one| one.route_table_association_id.clone()).collect())
            }
            "association.route-table-id" => {
                Some(associations().filter_map(|one| one.route_table_id.clone()).collect())
            }
            "association.subnet-id" => Some(associations().filter_map(|one| one.subnet_id.clone()).collect()),
            "association.main" => {
                Some(associations().filter_map(|one| one.main).map(|main| main.to_string()).collect())
            }
            "route.destination-cidr-block" => {
                Some(routes().filter_map(|one| one.destination_cidr_block.clone()).collect())
            }
            "route.gateway-id" => Some(routes().filter_map(|one| one.gateway_id.clone()).collect()),
            "route.origin" => {
                Some(routes().filter_map(|one| one.origin.as_ref()).map(ToString::to_string).collect())
            }
            "route.state" => {
                Some(routes().filter_map(|one| one.state.as_ref()).map(ToString::to_string).collect())
            }
            // What no table has here.
            "association.gateway-id"
            | "route.destination-ipv6-cidr-block"
            | "route.destination-prefix-list-id"
            | "route.egress-only-internet-gateway-id"
            | "route.instance-id"
            | "route.nat-gateway-id"
            | "route.transit-gateway-id"
            | "route.vpc-peering-connection-id" => Some(Vec::new()),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        self.2
    }
}

pub async fn describe(
    call: Call,
    input: DescribeRouteTablesRequest,
) -> Result<DescribeRouteTablesResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let filters = Filters::new(input.filters);
    let view = call.services.state.view();
    let is_shown =
        |table: &RouteTable| filters.match_all(&Shown(scope, shape(&view, scope, table), &table.tags));
    let found = chosen(&view, scope, input.route_table_ids, route_table_not_found, is_shown)?;
    let key = |table: &Arc<RouteTable>| table.id.clone();
    let page = page(&call, "route-tables", found, key, input.next_token, input.max_results)?;
    let route_tables = page.items.iter().map(|table| shape(&view, scope, table)).collect();
    Ok(DescribeRouteTablesResult { route_tables: Some(route_tables), next_token: page.next_token })
}

fn shape(view: &View, scope: &Scope, table: &RouteTable) -> ec2::RouteTable {
    let local = view.get::<Vpc>(scope, &table.vpc_id).map(|vpc| ec2::Route {
        destination_cidr_block: Some(vpc.cidr.to_string()),
        gateway_id: Some("local".to_owned()),
        origin: Some(ec2::RouteOrigin::CreateRouteTable),
        state: Some(ec2::RouteState::Active),
        ..ec2::Route::default()
    });
    let outside = table.outside.as_ref().map(|gateway_id| {
        let attached = view
            .get::<InternetGateway>(scope, gateway_id)
            .is_some_and(|gateway| gateway.vpc_id.as_ref() == Some(&table.vpc_id));
        ec2::Route {
            destination_cidr_block: Some("0.0.0.0/0".to_owned()),
            gateway_id: Some(gateway_id.clone()),
            origin: Some(ec2::RouteOrigin::CreateRoute),
            state: Some(if attached { ec2::RouteState::Active } else { ec2::RouteState::Blackhole }),
            ..ec2::Route::default()
        }
    });
    let association = |id: &String, subnet_id: Option<&String>| ec2::RouteTableAssociation {
        association_state: associated(),
        main: Some(subnet_id.is_none()),
        route_table_association_id: Some(id.clone()),
        route_table_id: Some(table.id.clone()),
        subnet_id: subnet_id.cloned(),
        ..ec2::RouteTableAssociation::default()
    };
    let main = table.main_association.iter().map(|id| association(id, None));
    let subnets = table.associations.iter().map(|one| association(&one.id, Some(&one.subnet_id)));
    ec2::RouteTable {
        associations: Some(main.chain(subnets).collect()),
        owner_id: Some(scope.account.to_string()),
        propagating_vgws: Some(Vec::new()),
        route_table_id: Some(table.id.clone()),
        routes: Some(local.into_iter().chain(outside).collect()),
        tags: Some(tags::shape(&table.tags)),
        vpc_id: Some(table.vpc_id.clone()),
    }
}
