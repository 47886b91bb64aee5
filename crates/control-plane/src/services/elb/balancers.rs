//! Load balancers: made with their nodes in one transaction, changed, deleted.

use aws_shapes_elb as elb;
use aws_shapes_elb::{
    AddAvailabilityZonesInput, AddAvailabilityZonesOutput, ApplySecurityGroupsToLoadBalancerInput,
    ApplySecurityGroupsToLoadBalancerOutput, AttachLoadBalancerToSubnetsInput,
    AttachLoadBalancerToSubnetsOutput, CreateAccessPointInput, CreateAccessPointOutput,
    DeleteAccessPointInput, DeleteAccessPointOutput, DetachLoadBalancerFromSubnetsInput,
    DetachLoadBalancerFromSubnetsOutput, RemoveAvailabilityZonesInput, RemoveAvailabilityZonesOutput, errors,
};
use std::{collections::BTreeMap, sync::Arc};

use state_store::{Tx, View};
use vocabulary::Scope;

use super::{
    checks,
    errors::{classic, invalid_configuration, not_found, validation},
    listeners,
    records::{Attributes, LoadBalancer},
    tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::{groups::default_vpc, interfaces, networks, records::Subnet},
        elbv2::{
            names,
            nodes::{self, Place, Wanted},
            records::{LoadBalancerKind, Node},
        },
    },
};

/// In a region.
pub const MOST_LOAD_BALANCERS: usize = 20;

/// The load balancer, in a transaction.
///
/// # Errors
/// `LoadBalancerNotFound`.
pub fn get(tx: &mut Tx, scope: &Scope, name: &str) -> Result<Arc<LoadBalancer>, ApiError> {
    tx.get::<LoadBalancer>(scope, name).ok_or_else(|| not_found(name))
}

/// As [`get`], to look at.
///
/// # Errors
/// `LoadBalancerNotFound`.
pub fn see(view: &View, scope: &Scope, name: &str) -> Result<Arc<LoadBalancer>, ApiError> {
    view.get::<LoadBalancer>(scope, name).ok_or_else(|| not_found(name))
}

/// Changes a load balancer in a transaction of its own.
///
/// # Errors
/// `LoadBalancerNotFound`, and those of `change`, after which nothing is changed.
pub async fn change<T>(
    call: &Call,
    name: &str,
    mut change: impl FnMut(&mut Tx, &mut LoadBalancer) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    call.services
        .state
        .transact(|tx| {
            let found = get(tx, call.scope(), name)?;
            let mut changed = (*found).clone();
            let answer = change(tx, &mut changed)?;
            if changed != *found {
                tx.put(call.scope(), name, changed);
            }
            Ok(answer)
        })
        .await
}

fn places(subnets: &[String]) -> Vec<Place> {
    let place = |id: &String| Place { subnet_id: id.clone(), allocation_id: None, private_address: None };
    subnets.iter().map(place).collect()
}

/// The default subnets of these zones.
fn subnets_of_zones(tx: &mut Tx, scope: &Scope, zones: &[String]) -> Result<Vec<String>, ApiError> {
    let vpc_id = default_vpc(tx.view(), scope)?;
    let all = tx.by_index::<Subnet>(scope, "vpc", &vpc_id);
    let of_zone = |zone: &String| {
        let mut default =
            all.iter().filter(|(_, subnet)| subnet.default_for_zone && subnet.availability_zone == *zone);
        default
            .next()
            .map(|(id, _)| id.clone())
            .ok_or_else(|| validation(format!("Requested zone {zone} is not valid")))
    };
    zones.iter().map(of_zone).collect()
}

/// What the nodes of a load balancer have in common.
fn wanted<'a>(call: &Call, balancer: &'a LoadBalancer) -> Wanted<'a> {
    Wanted {
        key: &balancer.name,
        security_groups: &balancer.security_groups,
        internal: balancer.internal,
        pool: call.services.settings.public_pool,
        now: call.now(),
    }
}

/// Makes nodes in subnets.
fn add_nodes(
    tx: &mut Tx,
    call: &Call,
    balancer: &LoadBalancer,
    subnets: &[Subnet],
) -> Result<Vec<Node>, ApiError> {
    let (scope, mut ids) = (call.scope(), call.services.ids());
    let mut nodes = balancer.nodes.clone();
    for subnet in subnets {
        if nodes.iter().any(|node| node.subnet_id == subnet.id) {
            continue;
        }
        if nodes.iter().any(|node| node.zone == subnet.availability_zone) {
            return Err(invalid_configuration(
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            ));
        }
        let place = Place { subnet_id: subnet.id.clone(), allocation_id: None, private_address: None };
        nodes.push(
            nodes::create(tx, scope, &wanted(call, balancer), subnet, &place, &mut ids).map_err(classic)?,
        );
    }
    nodes.sort_by(|one, other| one.zone.cmp(&other.zone));
    Ok(nodes)
}

pub async fn create(call: Call, input: CreateAccessPointInput) -> Result<CreateAccessPointOutput, ApiError> {
    let scope = call.scope();
    let name = names::load_balancer(input.load_balancer_name)?;
    let internal = match input.scheme.as_deref() {
        None | Some("internet-facing") => false,
        Some("internal") => true,
        Some(other) => {
            return Err(ApiError::new(
                &errors::INVALID_SCHEME_EXCEPTION,
                format!("Scheme '{other}' is not valid"),
            ));
        }
    };
    let (zones, subnets) = (input.availability_zones.unwrap_or_default(), input.subnets.unwrap_or_default());
    if zones.is_empty() == subnets.is_empty() {
        return Err(validation("Either AvailabilityZones or SubnetIds must be specified"));
    }
    let groups = input.security_groups.unwrap_or_default();
    let tags = tags::given(input.tags)?;
    let given = listeners::parse(input.listeners.unwrap_or_default())?;
    let Some(first) = given.values().next() else { return Err(validation("Listeners cannot be empty")) };
    let health_check = checks::default(first.instance_port);
    networks::ensure_default(&call.services, scope).await?;
    let dns_name = call
        .services
        .state
        .transact(|tx| {
            let ids = if subnets.is_empty() { subnets_of_zones(tx, scope, &zones)? } else { subnets.clone() };
            let found = nodes::subnets(tx, scope, LoadBalancerKind::Network, internal, &places(&ids))
                .map_err(classic)?;
            let vpc_id = found[0].vpc_id.clone();
            let security_groups =
                nodes::security_groups(tx, scope, LoadBalancerKind::Application, &vpc_id, &groups)?;
            listeners::check_certificates(tx, scope, &given)?;
            if let Some(there) = tx.get::<LoadBalancer>(scope, &name) {
                let mut there_in: Vec<_> = there.nodes.iter().map(|node| node.subnet_id.clone()).collect();
                let mut wanted_in = ids;
                there_in.sort();
                wanted_in.sort();
                if (there.internal, &there.listeners, &there.security_groups, &there.tags, there_in)
                    == (internal, &given, &security_groups, &tags, wanted_in)
                {
                    return Ok(there.dns_name.clone());
                }
                return Err(ApiError::new(
                    &errors::DUPLICATE_ACCESS_POINT_NAME_EXCEPTION,
                    format!("The specified load balancer name already exists for this account: {name}"),
                ));
            }
            if tx.scan::<LoadBalancer>(scope).len() >= MOST_LOAD_BALANCERS {
                return Err(ApiError::new(
                    &errors::TOO_MANY_ACCESS_POINTS_EXCEPTION,
                    format!("The maximum number of load balancers {MOST_LOAD_BALANCERS} has been reached"),
                ));
            }
            let mut random = call.services.ids();
            let dns_name = names::dns(scope, &name, LoadBalancerKind::Application, "", internal, &mut random);
            let mut made = LoadBalancer {
                name: name.clone(),
                internal,
                dns_name: dns_name.clone(),
                vpc_id,
                security_groups,
                nodes: Vec::new(),
                listeners: given.clone(),
                health_check: health_check.clone(),
                instances: BTreeMap::new(),
                draining: BTreeMap::new(),
                policies: Vec::new(),
                backend_policies: BTreeMap::new(),
                attributes: Attributes::default(),
                created_at: call.now(),
                tags: tags.clone(),
            };
            made.nodes = add_nodes(tx, &call, &made, &found)?;
            tx.put(scope, &name, made);
            Ok(dns_name)
        })
        .await?;
    Ok(CreateAccessPointOutput { dns_name: Some(dns_name) })
}

pub async fn delete(call: Call, input: DeleteAccessPointInput) -> Result<DeleteAccessPointOutput, ApiError> {
    let (scope, name) = (call.scope(), input.load_balancer_name.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            // Deleting what is gone succeeds.
            if let Some(balancer) = tx.delete::<LoadBalancer>(scope, &name) {
                for node in &balancer.nodes {
                    interfaces::delete(tx, scope, &node.interface_id);
                }
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(DeleteAccessPointOutput {})
}

fn attach(tx: &mut Tx, call: &Call, balancer: &mut LoadBalancer, subnets: &[String]) -> Result<(), ApiError> {
    let found =
        nodes::subnets(tx, call.scope(), LoadBalancerKind::Network, balancer.internal, &places(subnets))
            .map_err(classic)?;
    if found.iter().any(|subnet| subnet.vpc_id != balancer.vpc_id) {
        return Err(invalid_configuration("All subnets must belong to the VPC of the load balancer"));
    }
    balancer.nodes = add_nodes(tx, call, balancer, &found)?;
    Ok(())
}

/// Takes nodes away; one has to be left.
fn detach(
    tx: &mut Tx,
    scope: &Scope,
    balancer: &mut LoadBalancer,
    goes: impl Fn(&Node) -> bool,
) -> Result<(), ApiError> {
    if balancer.nodes.iter().all(&goes) {
        return Err(invalid_configuration("A load balancer cannot be detached from all of its subnets"));
    }
    for node in balancer.nodes.iter().filter(|node| goes(node)) {
        interfaces::delete(tx, scope, &node.interface_id);
    }
    balancer.nodes.retain(|node| !goes(node));
    Ok(())
}

fn subnet_ids(balancer: &LoadBalancer) -> Option<Vec<String>> {
    Some(balancer.nodes.iter().map(|node| node.subnet_id.clone()).collect())
}

fn zone_names(balancer: &LoadBalancer) -> Option<Vec<String>> {
    Some(balancer.nodes.iter().map(|node| node.zone.clone()).collect())
}

pub async fn attach_to_subnets(
    call: Call,
    input: AttachLoadBalancerToSubnetsInput,
) -> Result<AttachLoadBalancerToSubnetsOutput, ApiError> {
    let (name, subnets) = (input.load_balancer_name.unwrap_or_default(), input.subnets.unwrap_or_default());
    let subnets = change(&call, &name, |tx, balancer| {
        attach(tx, &call, balancer, &subnets)?;
        Ok(subnet_ids(balancer))
    });
    Ok(AttachLoadBalancerToSubnetsOutput { subnets: subnets.await? })
}

pub async fn detach_from_subnets(
    call: Call,
    input: DetachLoadBalancerFromSubnetsInput,
) -> Result<DetachLoadBalancerFromSubnetsOutput, ApiError> {
    let (name, subnets) = (input.load_balancer_name.unwrap_or_default(), input.subnets.unwrap_or_default());
    let subnets = change(&call, &name, |tx, balancer| {
        detach(tx, call.scope(), balancer, |node| subnets.contains(&node.subnet_id))?;
        Ok(subnet_ids(balancer))
    });
    Ok(DetachLoadBalancerFromSubnetsOutput { subnets: subnets.await? })
}

pub async fn enable_zones(
    call: Call,
    input: AddAvailabilityZonesInput,
) -> Result<AddAvailabilityZonesOutput, ApiError> {
    let (name, zones) =
        (input.load_balancer_name.unwrap_or_default(), input.availability_zones.unwrap_or_default());
    let zones = change(&call, &name, |tx, balancer| {
        let subnets = subnets_of_zones(tx, call.scope(), &zones)?;
        attach(tx, &call, balancer, &subnets)?;
        Ok(zone_names(balancer))
    });
    Ok(AddAvailabilityZonesOutput { availability_zones: zones.await? })
}

pub async fn disable_zones(
    call: Call,
    input: RemoveAvailabilityZonesInput,
) -> Result<RemoveAvailabilityZonesOutput, ApiError> {
    let (name, zones) =
        (input.load_balancer_name.unwrap_or_default(), input.availability_zones.unwrap_or_default());
    let zones = change(&call, &name, |tx, balancer| {
        detach(tx, call.scope(), balancer, |node| zones.contains(&node.zone))?;
        Ok(zone_names(balancer))
    });
    Ok(RemoveAvailabilityZonesOutput { availability_zones: zones.await? })
}

pub async fn apply_security_groups(
    call: Call,
    input: ApplySecurityGroupsToLoadBalancerInput,
) -> Result<ApplySecurityGroupsToLoadBalancerOutput, ApiError> {
    let (name, groups) =
        (input.load_balancer_name.unwrap_or_default(), input.security_groups.unwrap_or_default());
    let groups = change(&call, &name, |tx, balancer| {
        if groups.is_empty() {
            return Err(invalid_configuration("At least one security group must be specified"));
        }
        let (scope, kind) = (call.scope(), LoadBalancerKind::Application);
        let groups = nodes::security_groups(tx, scope, kind, &balancer.vpc_id, &groups)?;
        nodes::set_groups(tx, scope, &balancer.nodes, &groups);
        balancer.security_groups.clone_from(&groups);
        Ok(groups)
    });
    Ok(ApplySecurityGroupsToLoadBalancerOutput { security_groups: Some(groups.await?) })
}

/// The group that instances can name as a source.
pub fn source_group(view: &View, scope: &Scope, balancer: &LoadBalancer) -> Option<elb::SourceSecurityGroup> {
    let id = balancer.security_groups.first()?;
    let group = view.get::<crate::services::ec2::records::SecurityGroup>(scope, id)?;
    Some(elb::SourceSecurityGroup {
        group_name: Some(group.name.clone()),
        owner_alias: Some(scope.account.to_string()),
    })
}
