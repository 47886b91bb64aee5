//! Load balancers: made with their nodes in one transaction, changed, deleted with everything that is theirs.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    CreateLoadBalancerInput, CreateLoadBalancerOutput, DeleteLoadBalancerInput, DeleteLoadBalancerOutput,
    DescribeLoadBalancersInput, DescribeLoadBalancersOutput, SetIpAddressTypeInput, SetIpAddressTypeOutput,
    SetSecurityGroupsInput, SetSecurityGroupsOutput, SetSubnetsInput, SetSubnetsOutput, errors,
};
use std::sync::Arc;

use state_store::{Tx, View};
use vocabulary::{Ids, Scope};

use super::{
    arns, attributes,
    errors::{invalid_configuration, load_balancer_not_found, not_permitted, unsupported, validation},
    names,
    nodes::{self, Wanted},
    page,
    records::{Attributes, Listener, LoadBalancer, LoadBalancerKind},
    tags,
};
use crate::{
    convert,
    gateway::{ApiError, Call},
    services::{
        ec2::{interfaces, networks, records::NetworkInterface},
        elbv2::health::Board,
    },
};

/// Of one kind in a region.
pub const MOST_LOAD_BALANCERS: usize = 50;

/// The load balancer with this ARN, in a transaction.
///
/// # Errors
/// `LoadBalancerNotFound`.
pub fn get(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<Arc<LoadBalancer>, ApiError> {
    let found = arns::key(scope, arn, "loadbalancer").and_then(|key| tx.get::<LoadBalancer>(scope, key));
    found.ok_or_else(|| load_balancer_not_found(arn))
}

/// As [`get`], to look at.
///
/// # Errors
/// `LoadBalancerNotFound`; `ValidationError` for what is no ARN of a load balancer.
pub fn see(view: &View, scope: &Scope, arn: &str) -> Result<Arc<LoadBalancer>, ApiError> {
    names::check_arn(arn, "loadbalancer")?;
    let found = arns::key(scope, arn, "loadbalancer").and_then(|key| view.get::<LoadBalancer>(scope, key));
    found.ok_or_else(|| load_balancer_not_found(arn))
}

pub async fn create(
    call: Call,
    input: CreateLoadBalancerInput,
) -> Result<CreateLoadBalancerOutput, ApiError> {
    let scope = call.scope();
    let name = names::load_balancer(input.name)?;
    let kind = match input.r#type {
        None | Some(elbv2::LoadBalancerTypeEnum::Application) => LoadBalancerKind::Application,
        Some(elbv2::LoadBalancerTypeEnum::Network) => LoadBalancerKind::Network,
        Some(elbv2::LoadBalancerTypeEnum::Gateway) => return Err(unsupported("gateway load balancers")),
    };
    refuse_ipv6(input.ip_address_type)?;
    refuse(&[
        ("customer-owned address pools", input.customer_owned_ipv4_pool.is_some()),
        ("IPAM pools", input.ipam_pools.is_some()),
        (
            "IPv6 source NAT",
            input.enable_prefix_for_ipv6_source_nat == Some(elbv2::EnablePrefixForIpv6SourceNatEnum::On),
        ),
    ])?;
    let internal = input.scheme == Some(elbv2::LoadBalancerSchemeEnum::Internal);
    let places = nodes::places(kind, internal, input.subnets, input.subnet_mappings)?;
    let groups = input.security_groups.unwrap_or_default();
    let tags = tags::given(input.tags)?;
    networks::ensure_default(&call.services, scope).await?;
    let made = call
        .services
        .state
        .transact(|tx| {
            let subnets = nodes::subnets(tx, scope, kind, internal, &places)?;
            let vpc_id = subnets[0].vpc_id.clone();
            let security_groups = nodes::security_groups(tx, scope, kind, &vpc_id, &groups)?;
            if let Some((_, there)) = tx.by_index::<LoadBalancer>(scope, "name", &name).pop() {
                let mut there_in: Vec<_> = there.nodes.iter().map(|node| &node.subnet_id).collect();
                let mut wanted_in: Vec<_> = places.iter().map(|place| &place.subnet_id).collect();
                there_in.sort();
                wanted_in.sort();
                let same = (there.kind, there.internal, &there.security_groups, &there.tags)
                    == (kind, internal, &security_groups, &tags);
                if same && there_in == wanted_in {
                    return Ok((*there).clone());
                }
                return Err(ApiError::new(
                    &errors::DUPLICATE_LOAD_BALANCER_NAME_EXCEPTION,
                    format!(
                        "A load balancer with the same name '{name}' exists, but with different settings"
                    ),
                ));
            }
            let of_kind = tx.scan::<LoadBalancer>(scope).iter().filter(|(_, one)| one.kind == kind).count();
            if of_kind >= MOST_LOAD_BALANCERS {
                return Err(ApiError::new(
                    &errors::TOO_MANY_LOAD_BALANCERS_EXCEPTION,
                    format!("The maximum number of load balancers '{MOST_LOAD_BALANCERS}' has been reached"),
                ));
            }
            let mut ids = call.services.ids();
            let id = ids.hex(16);
            let mut made = LoadBalancer {
                dns_name: names::dns(scope, &name, kind, &id, internal, &mut ids),
                name: name.clone(),
                id,
                kind,
                internal,
                vpc_id,
                security_groups,
                nodes: Vec::new(),
                attributes: Attributes::new(),
                created_at: call.now(),
                tags: tags.clone(),
            };
            let key = made.key();
            let wanted = Wanted {
                key: &key,
                security_groups: &made.security_groups,
                internal,
                pool: call.services.settings.public_pool,
                now: call.now(),
            };
            let mut nodes = Vec::new();
            for (subnet, place) in subnets.iter().zip(&places) {
                nodes.push(nodes::create(tx, scope, &wanted, subnet, place, &mut ids)?);
            }
            nodes.sort_by(|one, other| one.zone.cmp(&other.zone));
            made.nodes = nodes;
            tx.put(scope, &key, made.clone());
            Ok(made)
        })
        .await?;
    let view = call.services.state.view();
    let shown = shape(&view, &call.services.target_health, scope, &made);
    Ok(CreateLoadBalancerOutput { load_balancers: Some(vec![shown]) })
}

/// For the first of `given` that is there.
fn refuse(given: &[(&str, bool)]) -> Result<(), ApiError> {
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((what, _)) => Err(unsupported(what)),
        None => Ok(()),
    }
}

fn refuse_ipv6(wanted: Option<elbv2::IpAddressType>) -> Result<(), ApiError> {
    refuse(&[("IPv6 addresses", wanted.is_some_and(|wanted| wanted != elbv2::IpAddressType::Ipv4))])
}

pub async fn describe(
    call: Call,
    input: DescribeLoadBalancersInput,
) -> Result<DescribeLoadBalancersOutput, ApiError> {
    let scope = call.scope();
    let (arns, names) = (input.load_balancer_arns.unwrap_or_default(), input.names.unwrap_or_default());
    if !arns.is_empty() && !names.is_empty() {
        return Err(validation(
            "Load balancer names and load balancer ARNs cannot be specified at the same time",
        ));
    }
    let view = call.services.state.view();
    for arn in &arns {
        see(&view, scope, arn)?;
    }
    if let Some(name) =
        names.iter().find(|name| view.by_index::<LoadBalancer>(scope, "name", name).next().is_none())
    {
        return Err(load_balancer_not_found(name));
    }
    let chosen = |balancer: &LoadBalancer| {
        (arns.is_empty() || arns.contains(&balancer.arn(scope)))
            && (names.is_empty() || names.contains(&balancer.name))
    };
    let all = view.scan::<LoadBalancer>(scope).map(|(_, one)| one).filter(|one| chosen(one));
    let page = page(&call, "load balancers", all, |one| one.key(), input.marker, input.page_size)?;
    let shown = page.items.iter().map(|one| shape(&view, &call.services.target_health, scope, one));
    Ok(DescribeLoadBalancersOutput { load_balancers: Some(shown.collect()), next_marker: page.next_token })
}

pub async fn delete(
    call: Call,
    input: DeleteLoadBalancerInput,
) -> Result<DeleteLoadBalancerOutput, ApiError> {
    let scope = call.scope();
    let arn = input.load_balancer_arn.unwrap_or_default();
    names::check_arn(&arn, "loadbalancer")?;
    call.services
        .state
        .transact(|tx| {
            let Some(key) = arns::key(scope, &arn, "loadbalancer") else { return Ok(()) };
            // Deleting what is gone succeeds.
            let Some(balancer) = tx.get::<LoadBalancer>(scope, key) else { return Ok(()) };
            let table = attributes::of_load_balancer(balancer.kind);
            if attributes::get(&table, &balancer.attributes, "deletion_protection.enabled") == "true" {
                return Err(not_permitted(format!(
                    "Load balancer '{arn}' cannot be deleted because deletion protection is enabled"
                )));
            }
            for (id, _) in tx.scan_prefix::<Listener>(scope, &format!("{key}/")) {
                tx.delete::<Listener>(scope, &id);
            }
            for node in &balancer.nodes {
                interfaces::delete(tx, scope, &node.interface_id);
            }
            tx.delete::<LoadBalancer>(scope, key);
            Ok(())
        })
        .await?;
    Ok(DeleteLoadBalancerOutput {})
}

pub async fn set_subnets(call: Call, input: SetSubnetsInput) -> Result<SetSubnetsOutput, ApiError> {
    let scope = call.scope();
    let arn = input.load_balancer_arn.unwrap_or_default();
    refuse_ipv6(input.ip_address_type)?;
    refuse(&[(
        "IPv6 source NAT",
        input.enable_prefix_for_ipv6_source_nat == Some(elbv2::EnablePrefixForIpv6SourceNatEnum::On),
    )])?;
    let changed = call
        .services
        .state
        .transact(|tx| {
            let mut balancer = (*get(tx, scope, &arn)?).clone();
            let (kind, internal) = (balancer.kind, balancer.internal);
            let places = nodes::places(kind, internal, input.subnets.clone(), input.subnet_mappings.clone())?;
            let subnets = nodes::subnets(tx, scope, kind, internal, &places)?;
            if subnets[0].vpc_id != balancer.vpc_id {
                return Err(invalid_configuration("The subnets must belong to the VPC of the load balancer"));
            }
            let key = balancer.key();
            let mut ids = call.services.ids();
            let before = std::mem::take(&mut balancer.nodes);
            let mut nodes = Vec::new();
            // Those that go free their addresses first.
            for node in &before {
                if !places.iter().any(|place| place.subnet_id == node.subnet_id) {
                    interfaces::delete(tx, scope, &node.interface_id);
                }
            }
            let wanted = Wanted {
                key: &key,
                security_groups: &balancer.security_groups,
                internal,
                pool: call.services.settings.public_pool,
                now: call.now(),
            };
            for (subnet, place) in subnets.iter().zip(&places) {
                match before.iter().find(|node| node.subnet_id == place.subnet_id) {
                    Some(node)
                        if place.allocation_id.is_some() && place.allocation_id != node.allocation_id =>
                    {
                        return Err(invalid_configuration(format!(
                            "The addresses of the load balancer in '{}' cannot be changed",
                            place.subnet_id
                        )));
                    }
                    Some(node) => nodes.push(node.clone()),
                    None => nodes.push(nodes::create(tx, scope, &wanted, subnet, place, &mut ids)?),
                }
            }
            nodes.sort_by(|one, other| one.zone.cmp(&other.zone));
            balancer.nodes = nodes;
            tx.put(scope, &key, balancer.clone());
            Ok(balancer)
        })
        .await?;
    let view = call.services.state.view();
    Ok(SetSubnetsOutput {
        availability_zones: Some(zones(&view, scope, &changed)),
        ip_address_type: Some(elbv2::IpAddressType::Ipv4),
        ..SetSubnetsOutput::default()
    })
}

pub async fn set_security_groups(
    call: Call,
    input: SetSecurityGroupsInput,
) -> Result<SetSecurityGroupsOutput, ApiError> {
    let scope = call.scope();
    let arn = input.load_balancer_arn.unwrap_or_default();
    let given = input.security_groups.unwrap_or_default();
    refuse(&[("PrivateLink", input.enforce_security_group_inbound_rules_on_private_link_traffic.is_some())])?;
    let groups = call
        .services
        .state
        .transact(|tx| {
            let mut balancer = (*get(tx, scope, &arn)?).clone();
            if balancer.kind == LoadBalancerKind::Network && balancer.security_groups.is_empty() {
                return Err(invalid_configuration(
                    "You cannot set security groups on a Network Load Balancer that was created without any",
                ));
            }
            if given.is_empty() {
                return Err(validation("At least one security group must be specified"));
            }
            let groups = nodes::security_groups(tx, scope, balancer.kind, &balancer.vpc_id, &given)?;
            nodes::set_groups(tx, scope, &balancer.nodes, &groups);
            balancer.security_groups = groups.clone();
            tx.put(scope, &balancer.key(), balancer);
            Ok(groups)
        })
        .await?;
    Ok(SetSecurityGroupsOutput { security_group_ids: Some(groups), ..SetSecurityGroupsOutput::default() })
}

pub async fn set_ip_address_type(
    call: Call,
    input: SetIpAddressTypeInput,
) -> Result<SetIpAddressTypeOutput, ApiError> {
    let arn = input.load_balancer_arn.unwrap_or_default();
    call.services.state.read(|view| see(view, call.scope(), &arn))?;
    refuse_ipv6(input.ip_address_type)?;
    Ok(SetIpAddressTypeOutput { ip_address_type: Some(elbv2::IpAddressType::Ipv4) })
}

/// As the API shows a load balancer.
fn shape(view: &View, board: &Board, scope: &Scope, balancer: &LoadBalancer) -> elbv2::LoadBalancer {
    let arn = balancer.arn(scope);
    let (kind, zone_id) = match balancer.kind {
        // The ids of the zones that AWS has for its load balancers in us-east-1.
        LoadBalancerKind::Application => (elbv2::LoadBalancerTypeEnum::Application, "Z35SXDOTRQ7X7K"),
        LoadBalancerKind::Network => (elbv2::LoadBalancerTypeEnum::Network, "Z26RNL4JYFTOTI"),
    };
    let state = if board.listens(&arn) {
        elbv2::LoadBalancerStateEnum::Active
    } else {
        elbv2::LoadBalancerStateEnum::Provisioning
    };
    elbv2::LoadBalancer {
        load_balancer_arn: Some(arn),
        dns_name: Some(balancer.dns_name.clone()),
        canonical_hosted_zone_id: Some(zone_id.to_owned()),
        created_time: Some(convert::time(balancer.created_at)),
        load_balancer_name: Some(balancer.name.clone()),
        scheme: Some(if balancer.internal {
            elbv2::LoadBalancerSchemeEnum::Internal
        } else {
            elbv2::LoadBalancerSchemeEnum::InternetFacing
        }),
        vpc_id: Some(balancer.vpc_id.clone()),
        state: Some(elbv2::LoadBalancerState { code: Some(state), reason: None }),
        r#type: Some(kind),
        availability_zones: Some(zones(view, scope, balancer)),
        security_groups: Some(balancer.security_groups.clone()),
        ip_address_type: Some(elbv2::IpAddressType::Ipv4),
        ..elbv2::LoadBalancer::default()
    }
}

/// The zones with their subnets. Addresses are shown where they were chosen.
fn zones(view: &View, scope: &Scope, balancer: &LoadBalancer) -> Vec<elbv2::AvailabilityZone> {
    let zone = |node: &super::records::Node| {
        let interface = view.get::<NetworkInterface>(scope, &node.interface_id);
        let address =
            interface.filter(|_| node.allocation_id.is_some() || node.chosen_address).map(|interface| {
                elbv2::LoadBalancerAddress {
                    allocation_id: node.allocation_id.clone(),
                    ip_address: interface.public.as_ref().map(|public| public.address.to_string()),
                    private_ipv4_address: node.chosen_address.then(|| interface.private_address.to_string()),
                    ..elbv2::LoadBalancerAddress::default()
                }
            });
        elbv2::AvailabilityZone {
            zone_name: Some(node.zone.clone()),
            subnet_id: Some(node.subnet_id.clone()),
            load_balancer_addresses: Some(address.into_iter().collect()),
            ..elbv2::AvailabilityZone::default()
        }
    };
    balancer.nodes.iter().map(zone).collect()
}
