//! A load balancer's nodes: the subnets that a request names, and the interfaces made in them.

use std::net::Ipv4Addr;

use addressing::Cidr;
use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::errors;
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    errors::{invalid_configuration, unsupported, validation},
    records::{LoadBalancerKind, Node},
};
use crate::{
    gateway::ApiError,
    services::ec2::{
        interfaces::{self, NodeError, NodePublic, NodeRequest},
        records::{InternetGateway, NetworkInterface, SecurityGroup, Subnet},
    },
};

/// Groups of one load balancer.
const MOST_GROUPS: usize = 5;

/// Where a node is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub subnet_id: String,
    pub allocation_id: Option<String>,
    pub private_address: Option<Ipv4Addr>,
}

/// The places that a request names, by subnets or by mappings.
///
/// # Errors
/// `ValidationError`, `InvalidConfigurationRequest`.
pub fn places(
    kind: LoadBalancerKind,
    internal: bool,
    subnets: Option<Vec<String>>,
    mappings: Option<Vec<elbv2::SubnetMapping>>,
) -> Result<Vec<Place>, ApiError> {
    let (subnets, mappings) = (subnets.unwrap_or_default(), mappings.unwrap_or_default());
    if !subnets.is_empty() && !mappings.is_empty() {
        return Err(validation("You can specify either subnets or subnet mappings, not both"));
    }
    let mut places: Vec<Place> = Vec::new();
    for subnet_id in subnets {
        places.push(Place { subnet_id, allocation_id: None, private_address: None });
    }
    for mapping in mappings {
        places.push(place(kind, internal, mapping)?);
    }
    for (number, place) in places.iter().enumerate() {
        if places[..number].iter().any(|other| other.subnet_id == place.subnet_id) {
            return Err(invalid_configuration(
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            ));
        }
    }
    Ok(places)
}

fn place(kind: LoadBalancerKind, internal: bool, mapping: elbv2::SubnetMapping) -> Result<Place, ApiError> {
    if mapping.ipv6_address.is_some() || mapping.source_nat_ipv6_prefix.is_some() {
        return Err(unsupported("IPv6 addresses"));
    }
    let network = kind == LoadBalancerKind::Network;
    if mapping.allocation_id.is_some() && (internal || !network) {
        return Err(invalid_configuration(
            "An allocation ID can be specified for internet-facing Network Load Balancers only",
        ));
    }
    if mapping.private_ipv4_address.is_some() && !(internal && network) {
        return Err(invalid_configuration(
            "A private IPv4 address can be specified for internal Network Load Balancers only",
        ));
    }
    let subnet_id =
        mapping.subnet_id.ok_or_else(|| validation("A subnet ID must be specified in a subnet mapping"))?;
    let private_address = match mapping.private_ipv4_address {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| validation(format!("The private IPv4 address '{text}' is not valid")))?,
        ),
    };
    Ok(Place { subnet_id, allocation_id: mapping.allocation_id, private_address })
}

/// The subnets of the places, in their order: of one VPC, each in a zone of its own.
///
/// # Errors
/// `SubnetNotFound`, `InvalidSubnet`, `InvalidConfigurationRequest`, `ValidationError`.
pub fn subnets(
    tx: &mut Tx,
    scope: &Scope,
    kind: LoadBalancerKind,
    internal: bool,
    places: &[Place],
) -> Result<Vec<Subnet>, ApiError> {
    let mut subnets: Vec<Subnet> = Vec::new();
    for place in places {
        let id = &place.subnet_id;
        let subnet = tx.get::<Subnet>(scope, id).ok_or_else(|| {
            ApiError::new(&errors::SUBNET_NOT_FOUND_EXCEPTION, format!("The subnet ID '{id}' does not exist"))
        })?;
        if subnets.first().is_some_and(|first| first.vpc_id != subnet.vpc_id) {
            return Err(invalid_configuration("All subnets must belong to the same VPC"));
        }
        if subnets.iter().any(|other| other.availability_zone == subnet.availability_zone) {
            return Err(invalid_configuration(
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            ));
        }
        subnets.push((*subnet).clone());
    }
    match kind {
        LoadBalancerKind::Application if subnets.len() < 2 => {
            return Err(validation(
                "At least two subnets in two different Availability Zones must be specified",
            ));
        }
        LoadBalancerKind::Network if subnets.is_empty() => {
            return Err(validation("At least one subnet must be specified"));
        }
        _ => {}
    }
    let vpc_id = &subnets[0].vpc_id;
    if !internal && tx.view().by_index::<InternetGateway>(scope, "vpc", vpc_id).next().is_none() {
        return Err(ApiError::new(
            &errors::INVALID_SUBNET_EXCEPTION,
            format!("VPC {vpc_id} has no internet gateway"),
        ));
    }
    Ok(subnets)
}

/// The groups of a request, or the VPC's default one for a load balancer that has to have some.
///
/// # Errors
/// `InvalidSecurityGroup`.
pub fn security_groups(
    tx: &mut Tx,
    scope: &Scope,
    kind: LoadBalancerKind,
    vpc_id: &str,
    given: &[String],
) -> Result<Vec<String>, ApiError> {
    let invalid = |message: String| ApiError::new(&errors::INVALID_SECURITY_GROUP_EXCEPTION, message);
    if given.len() > MOST_GROUPS {
        return Err(invalid(format!("A load balancer can have '{MOST_GROUPS}' security groups at most")));
    }
    if given.is_empty() && kind == LoadBalancerKind::Application {
        let mut all = tx.view().by_index::<SecurityGroup>(scope, "vpc", vpc_id);
        let default = all.find(|(_, group)| group.name == "default").map(|(id, _)| id.to_owned());
        return Ok(default.into_iter().collect());
    }
    let mut groups: Vec<String> = Vec::new();
    for id in given {
        let group = tx.get::<SecurityGroup>(scope, id);
        if group.is_none_or(|group| group.vpc_id != vpc_id) {
            return Err(invalid(format!("The security group '{id}' does not exist")));
        }
        if !groups.contains(id) {
            groups.push(id.clone());
        }
    }
    Ok(groups)
}

/// What the interfaces of a load balancer have in common.
pub struct Wanted<'a> {
    /// `app/NAME/ID`
    pub key: &'a str,
    pub security_groups: &'a [String],
    pub internal: bool,
    pub pool: Cidr,
    pub now: Timestamp,
}

/// Makes a node in a subnet.
///
/// # Errors
/// `InvalidSubnet`, `AllocationIdNotFound`, `ResourceInUse`, `InvalidConfigurationRequest`.
pub fn create(
    tx: &mut Tx,
    scope: &Scope,
    wanted: &Wanted<'_>,
    subnet: &Subnet,
    place: &Place,
    ids: &mut impl Ids,
) -> Result<Node, ApiError> {
    let public = match &place.allocation_id {
        _ if wanted.internal => NodePublic::No,
        Some(allocation) => NodePublic::Elastic(allocation),
        None => NodePublic::Pool(wanted.pool),
    };
    let request = NodeRequest {
        subnet,
        security_groups: wanted.security_groups,
        private_address: place.private_address,
        public,
        description: format!("ELB {}", wanted.key),
        now: wanted.now,
    };
    let made = interfaces::create_for_load_balancer(tx, scope, request, ids);
    let interface = made.map_err(|error| refusal(&error, subnet, place))?;
    Ok(Node {
        zone: subnet.availability_zone.clone(),
        subnet_id: subnet.id.clone(),
        interface_id: interface.id,
        allocation_id: place.allocation_id.clone(),
        chosen_address: place.private_address.is_some(),
    })
}

fn refusal(error: &NodeError, subnet: &Subnet, place: &Place) -> ApiError {
    let allocation = place.allocation_id.as_deref().unwrap_or_default();
    match error {
        NodeError::NoVpc | NodeError::SubnetFull => ApiError::new(
            &errors::INVALID_SUBNET_EXCEPTION,
            format!("Not enough IP space available in {}: {error}", subnet.id),
        ),
        NodeError::RangeTaken(_) => ApiError::new(
            &errors::INVALID_SUBNET_EXCEPTION,
            format!("{} cannot be used: {error}", subnet.vpc_id),
        ),
        NodeError::AddressUnusable => invalid_configuration(format!(
            "The private IPv4 address is not valid or is in use in {}",
            subnet.id
        )),
        NodeError::NoPublicAddress => invalid_configuration("No public address is free"),
        NodeError::NoAllocation => ApiError::new(
            &errors::ALLOCATION_ID_NOT_FOUND_EXCEPTION,
            format!("The allocation IDs '{allocation}' do not exist"),
        ),
        NodeError::AllocationInUse => ApiError::new(
            &errors::RESOURCE_IN_USE_EXCEPTION,
            format!("The allocation IDs '{allocation}' are not available for use"),
        ),
    }
}

/// Gives the nodes' interfaces these groups.
pub fn set_groups(tx: &mut Tx, scope: &Scope, nodes: &[Node], groups: &[String]) {
    for node in nodes {
        if let Some(found) = tx.get::<NetworkInterface>(scope, &node.interface_id) {
            let changed = NetworkInterface { security_groups: groups.to_vec(), ..(*found).clone() };
            tx.put(scope, &node.interface_id, changed);
        }
    }
}
