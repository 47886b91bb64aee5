//! Interfaces of tasks and load balancers: made and freed inside the transactions that make and end those.

use std::{net::Ipv4Addr, sync::Arc};

use addressing::{AddressPool, Cidr, MacAddress};
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    networks::private_dns_name,
    ranges,
    records::{
        AddressAssociation, AddressClaim, Attachment, ElasticAddress, NetworkInterface, PublicAssociation,
        SecurityGroup, Subnet, Vpc, global, private_claim,
    },
};
use crate::{
    gateway::ApiError,
    services::{ecs::names::invalid, tagging::Tags},
};

/// What a task's network configuration asks for.
#[derive(Debug)]
pub struct InterfaceRequest<'a> {
    pub subnets: &'a [String],
    pub security_groups: &'a [String],
    /// An address of this range beside the private one.
    pub public_address: Option<Cidr>,
    pub description: String,
    pub now: Timestamp,
}

const MOST_SUBNETS: usize = 16;
const MOST_GROUPS: usize = 5;
/// The first four addresses and the last one of a subnet are EC2's.
const RESERVED_FIRST: u32 = 4;
const RESERVED_LAST: u32 = 1;

/// Makes an interface with free addresses in one of the subnets.
///
/// # Errors
/// ECS's `InvalidParameterException` for what the request names wrongly; `RESOURCE:ENI`-like exhaustion as a client error.
pub fn create_for_task(
    tx: &mut Tx,
    scope: &Scope,
    request: InterfaceRequest<'_>,
    ids: &mut impl Ids,
) -> Result<NetworkInterface, ApiError> {
    let subnets = subnets(tx, scope, request.subnets)?;
    let vpc_id = subnets[0].vpc_id.clone();
    let vpc =
        tx.get::<Vpc>(scope, &vpc_id).ok_or_else(|| invalid(format!("The VPC {vpc_id} does not exist.")))?;
    ranges::take(tx, scope, &vpc).map_err(|other| {
        invalid(format!(
            "The range {} of {vpc_id} overlaps {} of {}, in which tasks run. Only one of two overlapping VPCs can have tasks at a time.",
            vpc.cidr, other.range, other.vpc_id
        ))
    })?;
    let security_groups = groups(tx, scope, &vpc_id, request.security_groups)?;
    let id = format!("eni-{}", ids.hex(17));
    let claim = || AddressClaim { scope: scope.clone(), owner: id.clone() };
    // Any of the subnets will do; starting at a random one spreads tasks over the zones.
    let first = random_below(ids, subnets.len() as u64) as usize;
    let order = (0..subnets.len()).map(|step| &subnets[(first + step) % subnets.len()]);
    let (subnet, private_address) = order
        .into_iter()
        .find_map(|subnet| Some((subnet, claim_private(tx, scope, subnet, claim(), ids)?)))
        .ok_or_else(|| {
            ApiError::undeclared(
                "InvalidParameterException",
                400,
                format!(
                    "The subnet {} does not have enough free addresses to satisfy the request.",
                    subnets[0].id
                ),
            )
        })?;
    let public = match request.public_address {
        None => None,
        Some(pool) => {
            let address = claim_public(tx, pool, claim(), ids).ok_or_else(|| {
                ApiError::undeclared("InvalidParameterException", 400, "No public address is free.")
            })?;
            Some(PublicAssociation { address, allocation_id: None, association_id: None })
        }
    };
    let interface = NetworkInterface {
        vpc_id,
        subnet_id: subnet.id.clone(),
        availability_zone: subnet.availability_zone.clone(),
        mac_address: MacAddress::generate(ids),
        private_address,
        private_dns_name: private_dns_name(scope, &vpc, private_address),
        security_groups,
        public,
        description: request.description,
        requester_managed: true,
        attachment: Some(Attachment {
            id: format!("ela-attach-{}", ids.hex(17)),
            attached_at: request.now,
            service: None,
        }),
        created_at: request.now,
        client_token: None,
        tags: Tags::new(),
        id,
    };
    tx.put(scope, &interface.id, interface.clone());
    Ok(interface)
}

/// Whom a load balancer's interfaces are attached to.
pub const LOAD_BALANCING: &str = "amazon-elb";

/// Where a load balancer's node is to be.
#[derive(Debug)]
pub struct NodeRequest<'a> {
    pub subnet: &'a Subnet,
    /// They exist, in the subnet's VPC.
    pub security_groups: &'a [String],
    /// None: any free one.
    pub private_address: Option<Ipv4Addr>,
    pub public: NodePublic<'a>,
    pub description: String,
    pub now: Timestamp,
}

/// The public address of a load balancer's node.
#[derive(Debug, Clone, Copy)]
pub enum NodePublic<'a> {
    No,
    /// One of this range, for as long as the node is there.
    Pool(Cidr),
    /// The elastic address with this allocation.
    Elastic(&'a str),
}

/// Why a load balancer cannot have a node in a subnet.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the VPC does not exist")]
    NoVpc,
    #[error("the range of the VPC overlaps {} of {}, in which tasks run", .0.range, .0.vpc_id)]
    RangeTaken(super::records::RangeHolder),
    #[error("the subnet has no free address")]
    SubnetFull,
    #[error("the address is not the subnet's to give, or taken")]
    AddressUnusable,
    #[error("no public address is free")]
    NoPublicAddress,
    #[error("the allocation does not exist")]
    NoAllocation,
    #[error("the allocation is associated with another interface")]
    AllocationInUse,
}

/// Makes the interface of a load balancer's node. It is deleted with [`delete`].
///
/// # Errors
/// See [`NodeError`].
pub fn create_for_load_balancer(
    tx: &mut Tx,
    scope: &Scope,
    request: NodeRequest<'_>,
    ids: &mut impl Ids,
) -> Result<NetworkInterface, NodeError> {
    let subnet = request.subnet;
    let vpc = tx.get::<Vpc>(scope, &subnet.vpc_id).ok_or(NodeError::NoVpc)?;
    ranges::take(tx, scope, &vpc).map_err(NodeError::RangeTaken)?;
    let id = format!("eni-{}", ids.hex(17));
    let claim = || AddressClaim { scope: scope.clone(), owner: id.clone() };
    let private_address = match request.private_address {
        None => claim_private(tx, scope, subnet, claim(), ids).ok_or(NodeError::SubnetFull)?,
        Some(address) => {
            let usable = AddressPool::subnet(subnet.cidr).claim(address).is_ok();
            let claimed = tx.create(scope, &private_claim(&subnet.vpc_id, address), claim());
            claimed.ok().filter(|()| usable).map(|()| address).ok_or(NodeError::AddressUnusable)?
        }
    };
    let public = match request.public {
        NodePublic::No => None,
        NodePublic::Pool(pool) => {
            let address = claim_public(tx, pool, claim(), ids).ok_or(NodeError::NoPublicAddress)?;
            Some(PublicAssociation { address, allocation_id: None, association_id: None })
        }
        NodePublic::Elastic(allocation_id) => Some(associate(tx, scope, allocation_id, &id, ids)?),
    };
    let attachment = Attachment {
        id: format!("eni-attach-{}", ids.hex(17)),
        attached_at: request.now,
        service: Some(LOAD_BALANCING.to_owned()),
    };
    let interface = NetworkInterface {
        vpc_id: subnet.vpc_id.clone(),
        subnet_id: subnet.id.clone(),
        availability_zone: subnet.availability_zone.clone(),
        mac_address: MacAddress::generate(ids),
        private_address,
        private_dns_name: private_dns_name(scope, &vpc, private_address),
        security_groups: request.security_groups.to_vec(),
        public,
        description: request.description,
        requester_managed: true,
        attachment: Some(attachment),
        created_at: request.now,
        client_token: None,
        tags: Tags::new(),
        id,
    };
    tx.put(scope, &interface.id, interface.clone());
    Ok(interface)
}

/// Gives an elastic address to an interface that is being made.
fn associate(
    tx: &mut Tx,
    scope: &Scope,
    allocation_id: &str,
    interface_id: &str,
    ids: &mut impl Ids,
) -> Result<PublicAssociation, NodeError> {
    let found = tx.get::<ElasticAddress>(scope, allocation_id).ok_or(NodeError::NoAllocation)?;
    if found.association.is_some() {
        return Err(NodeError::AllocationInUse);
    }
    let id = format!("eipassoc-{}", ids.hex(17));
    let association = AddressAssociation { id: id.clone(), interface_id: interface_id.to_owned() };
    tx.put(scope, allocation_id, ElasticAddress { association: Some(association), ..(*found).clone() });
    Ok(PublicAssociation {
        address: found.address,
        allocation_id: Some(allocation_id.to_owned()),
        association_id: Some(id),
    })
}

/// Deletes an interface and frees its addresses. Nothing happens when it is gone already.
pub fn delete(tx: &mut Tx, scope: &Scope, id: &str) {
    let Some(interface) = tx.delete::<NetworkInterface>(scope, id) else { return };
    tx.delete::<AddressClaim>(scope, &private_claim(&interface.vpc_id, interface.private_address));
    let Some(public) = &interface.public else { return };
    match &public.allocation_id {
        None => _ = tx.delete::<AddressClaim>(&global(), &public.address.to_string()),
        // An elastic address outlives what it was associated with.
        Some(allocation_id) => {
            if let Some(found) = tx.get::<ElasticAddress>(scope, allocation_id) {
                let freed = ElasticAddress { association: None, ..(*found).clone() };
                tx.put(scope, allocation_id, freed);
            }
        }
    }
}

/// Claims a free address of the subnet for an interface.
pub fn claim_private(
    tx: &mut Tx,
    scope: &Scope,
    subnet: &Subnet,
    claim: AddressClaim,
    ids: &mut impl Ids,
) -> Option<Ipv4Addr> {
    let id_of = |address: Ipv4Addr| private_claim(&subnet.vpc_id, address);
    claim_address(tx, subnet.cidr, (RESERVED_FIRST, RESERVED_LAST), (scope, &id_of), claim, ids)
}

/// Claims a free address of the platform's public range.
pub fn claim_public(tx: &mut Tx, pool: Cidr, claim: AddressClaim, ids: &mut impl Ids) -> Option<Ipv4Addr> {
    claim_address(tx, pool, (1, 1), (&global(), &|address| address.to_string()), claim, ids)
}

/// Claims a free address of `range`, leaving out its first and last ones. The search starts anywhere, so that
/// concurrent claims seldom meet and a freed address is seldom given out again at once.
fn claim_address(
    tx: &mut Tx,
    range: Cidr,
    reserved: (u32, u32),
    place: (&Scope, &dyn Fn(Ipv4Addr) -> String),
    claim: AddressClaim,
    ids: &mut impl Ids,
) -> Option<Ipv4Addr> {
    let (scope, id_of) = place;
    let usable = range
        .size()
        .checked_sub(u64::from(reserved.0) + u64::from(reserved.1))
        .filter(|usable| *usable > 0)?;
    let start = random_below(ids, usable);
    let address = (0..usable)
        .map(|step| u64::from(reserved.0) + (start + step) % usable)
        .filter_map(|offset| range.nth(u32::try_from(offset).ok()?))
        .find(|address| tx.peek::<AddressClaim>(scope, &id_of(*address)).is_none())?;
    tx.create(scope, &id_of(address), claim).ok()?;
    Some(address)
}

fn random_below(ids: &mut impl Ids, bound: u64) -> u64 {
    let mut bytes = [0; 8];
    ids.fill(&mut bytes);
    u64::from_le_bytes(bytes) % bound.max(1)
}

fn subnets(tx: &mut Tx, scope: &Scope, given: &[String]) -> Result<Vec<Arc<Subnet>>, ApiError> {
    if given.is_empty() {
        return Err(invalid("subnets can not be empty."));
    }
    if given.len() > MOST_SUBNETS {
        return Err(invalid(format!("The request can name {MOST_SUBNETS} subnets at most.")));
    }
    let subnets = given
        .iter()
        .map(|id| {
            tx.get::<Subnet>(scope, id).ok_or_else(|| {
                invalid(format!("Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if subnets.iter().any(|subnet| subnet.vpc_id != subnets[0].vpc_id) {
        return Err(invalid("The subnets of a task must belong to one VPC."));
    }
    Ok(subnets)
}

fn groups(tx: &mut Tx, scope: &Scope, vpc_id: &str, given: &[String]) -> Result<Vec<String>, ApiError> {
    if given.len() > MOST_GROUPS {
        return Err(invalid(format!("The request can name {MOST_GROUPS} security groups at most.")));
    }
    if given.is_empty() {
        let mut all = tx.view().by_index::<SecurityGroup>(scope, "vpc", vpc_id);
        let default = all.find(|(_, group)| group.name == "default").map(|(id, _)| id.to_owned());
        return Ok(default.into_iter().collect());
    }
    for id in given {
        let group = tx.get::<SecurityGroup>(scope, id).ok_or_else(|| {
            invalid(format!("Error retrieving security group information for [{id}]: The security group '{id}' does not exist (ErrorCode: InvalidGroup.NotFound)"))
        })?;
        if group.vpc_id != vpc_id {
            return Err(invalid(format!(
                "The security group {id} does not belong to the VPC of the subnets."
            )));
        }
    }
    Ok(given.to_vec())
}
