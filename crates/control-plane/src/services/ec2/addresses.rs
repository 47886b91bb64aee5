//! Elastic addresses: allocate, associate with an interface, release.
//!
//! They come from the platform's public range and stay the account's until released. Interfaces of tasks belong to ECS; as on AWS, no
//! address can be associated with one. A user's own interface is attached to nothing, so an address associated with it is reserved
//! for it and carries no traffic.

use std::{net::Ipv4Addr, sync::Arc};

use addressing::AddressPool;
use aws_schema::Unit;
use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    AllocateAddressRequest, AllocateAddressResult, AssociateAddressRequest, AssociateAddressResult,
    DescribeAddressesRequest, DescribeAddressesResult, DisassociateAddressRequest, ReleaseAddressRequest,
};
use state_store::{Tx, View};
use vocabulary::{Ids, Scope};

use super::{
    errors::{error, invalid_value, refuse_unsupported},
    filters::{Filtered, Filters, one},
    groups, interfaces, networks,
    own_interfaces::changeable,
    records::{
        AddressAssociation, AddressClaim, ElasticAddress, NetworkInterface, PublicAssociation, global,
    },
    tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

/// How many an account may have in a region; AWS begins with 5 and raises that on request.
pub const MOST_ADDRESSES: usize = 1000;

fn exhausted() -> ApiError {
    error("AddressLimitExceeded", "The maximum number of addresses has been reached.")
}

fn address_not_found(address: &str) -> ApiError {
    error("InvalidAddress.NotFound", format!("Address '{address}' not found."))
}

pub async fn allocate(call: Call, input: AllocateAddressRequest) -> Result<AllocateAddressResult, ApiError> {
    let scope = call.scope();
    let pool = call.services.settings.public_pool;
    let border = input.network_border_group.filter(|group| *group != scope.region.as_str());
    let other_pool = input.public_ipv4_pool.filter(|pool| pool != "amazon");
    refuse_unsupported(&[
        ("customerOwnedIpv4Pool", input.customer_owned_ipv4_pool.is_some()),
        ("ipamPoolId", input.ipam_pool_id.is_some()),
        ("networkBorderGroup", border.is_some()),
        ("publicIpv4Pool", other_pool.is_some()),
    ])?;
    let tags = tags::specified("elastic-ip", input.tag_specifications)?;
    let wanted: Option<Ipv4Addr> = match &input.address {
        None => None,
        Some(text) => Some(
            text.parse()
                .ok()
                .filter(|address| AddressPool::public(pool).claim(*address).is_ok())
                .ok_or_else(|| address_not_found(text))?,
        ),
    };
    let allocated = call
        .services
        .state
        .transact(|tx| {
            if tx.view().scan::<ElasticAddress>(scope).count() >= MOST_ADDRESSES {
                return Err(exhausted());
            }
            let mut ids = call.services.ids();
            let allocation_id = format!("eipalloc-{}", ids.hex(17));
            let claim = AddressClaim { scope: scope.clone(), owner: allocation_id.clone() };
            let address = match wanted {
                None => interfaces::claim_public(tx, pool, claim, &mut ids).ok_or_else(exhausted)?,
                Some(address) => {
                    tx.create(&global(), &address.to_string(), claim)
                        .map_err(|_| address_not_found(&address.to_string()))?;
                    address
                }
            };
            let allocated = ElasticAddress { allocation_id, address, association: None, tags: tags.clone() };
            tx.put(scope, &allocated.allocation_id, allocated.clone());
            Ok(allocated)
        })
        .await?;
    Ok(AllocateAddressResult {
        allocation_id: Some(allocated.allocation_id),
        domain: Some(ec2::DomainType::Vpc),
        network_border_group: Some(scope.region.to_string()),
        public_ip: Some(allocated.address.to_string()),
        public_ipv4_pool: Some("amazon".to_owned()),
        ..AllocateAddressResult::default()
    })
}

/// The address that a request names by allocation or by itself.
fn named(
    tx: &mut Tx,
    scope: &Scope,
    allocation_id: Option<&str>,
    address: Option<&str>,
) -> Result<Option<ElasticAddress>, ApiError> {
    match (allocation_id, address) {
        (Some(id), _) => {
            let found = tx.get::<ElasticAddress>(scope, id);
            let found = found.ok_or_else(|| {
                error("InvalidAllocationID.NotFound", format!("The allocation ID '{id}' does not exist"))
            })?;
            Ok(Some(Arc::unwrap_or_clone(found)))
        }
        (None, Some(text)) => {
            let all = tx.scan::<ElasticAddress>(scope);
            let found = all.into_iter().find(|(_, one)| one.address.to_string() == text);
            found.map(|(_, one)| Some(Arc::unwrap_or_clone(one))).ok_or_else(|| address_not_found(text))
        }
        (None, None) => Ok(None),
    }
}

pub async fn associate(
    call: Call,
    input: AssociateAddressRequest,
) -> Result<AssociateAddressResult, ApiError> {
    let scope = call.scope();
    let missing =
        |text: &str| error("MissingParameter", format!("Invalid request, expect {text} parameter."));
    if input.allocation_id.is_none() && input.public_ip.is_none() {
        return Err(missing("PublicIp/AllocationId"));
    }
    if let Some(instance) = &input.instance_id {
        return Err(error(
            "InvalidInstanceID.NotFound",
            format!("The instance ID '{instance}' does not exist"),
        ));
    }
    let interface_id = input.network_interface_id.ok_or_else(|| missing("InstanceId/NetworkId"))?;
    let id = call
        .services
        .state
        .transact(|tx| {
            let found = named(tx, scope, input.allocation_id.as_deref(), input.public_ip.as_deref())?;
            let mut own = found.ok_or_else(|| missing("PublicIp/AllocationId"))?;
            let mut interface = changeable(tx, scope, &interface_id)?;
            let private = interface.private_address.to_string();
            if input.private_ip_address.as_ref().is_some_and(|given| *given != private) {
                return Err(invalid_value(format!(
                    "The private IP address given is not one of the interface {interface_id}."
                )));
            }
            match &own.association {
                Some(there) if there.interface_id == interface_id => return Ok(there.id.clone()),
                Some(there) if input.allow_reassociation != Some(true) => {
                    return Err(error(
                        "Resource.AlreadyAssociated",
                        format!(
                            "resource {} is already associated with associate-id {}",
                            own.allocation_id, there.id
                        ),
                    ));
                }
                Some(there) => {
                    let other = there.interface_id.clone();
                    let mut other_interface = changeable(tx, scope, &other)?;
                    other_interface.public = None;
                    tx.put(scope, &other, other_interface);
                }
                None => {}
            }
            // The address that the interface had is free again, and still the account's.
            let earlier = interface.public.take().and_then(|public| public.allocation_id);
            if let Some(earlier) = earlier
                && let Some(found) = tx.get::<ElasticAddress>(scope, &earlier)
            {
                tx.put(scope, &earlier, ElasticAddress { association: None, ..(*found).clone() });
            }
            let id = format!("eipassoc-{}", call.services.ids().hex(17));
            interface.public = Some(PublicAssociation {
                address: own.address,
                allocation_id: Some(own.allocation_id.clone()),
                association_id: Some(id.clone()),
            });
            own.association = Some(AddressAssociation { id: id.clone(), interface_id: interface_id.clone() });
            tx.put(scope, &interface_id, interface);
            tx.put(scope, &own.allocation_id.clone(), own);
            Ok(id)
        })
        .await?;
    Ok(AssociateAddressResult { association_id: Some(id) })
}

/// Takes an address off its interface, in both records.
///
/// # Errors
/// `AuthFailure` when a load balancer has it: it keeps its addresses as long as it is there.
fn part(tx: &mut Tx, scope: &Scope, own: &ElasticAddress) -> Result<(), ApiError> {
    let Some(association) = &own.association else { return Ok(()) };
    if tx.get::<NetworkInterface>(scope, &association.interface_id).is_some() {
        let interface = changeable(tx, scope, &association.interface_id)?;
        tx.put(scope, &association.interface_id, NetworkInterface { public: None, ..interface });
    }
    tx.put(scope, &own.allocation_id, ElasticAddress { association: None, ..own.clone() });
    Ok(())
}

pub async fn disassociate(call: Call, input: DisassociateAddressRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    call.services
        .state
        .transact(|tx| {
            let own = match (&input.association_id, &input.public_ip) {
                (Some(id), _) => {
                    let all = tx.scan::<ElasticAddress>(scope);
                    let has =
                        |one: &ElasticAddress| one.association.as_ref().is_some_and(|there| there.id == *id);
                    let found = all.into_iter().find(|(_, one)| has(one));
                    found.map(|(_, one)| Arc::unwrap_or_clone(one)).ok_or_else(|| {
                        error(
                            "InvalidAssociationID.NotFound",
                            format!("The association ID '{id}' does not exist"),
                        )
                    })?
                }
                (None, text) => named(tx, scope, None, text.as_deref())?.ok_or_else(|| {
                    error("MissingParameter", "Either public IP or association id must be specified")
                })?,
            };
            part(tx, scope, &own)
        })
        .await?;
    Ok(Unit)
}

pub async fn release(call: Call, input: ReleaseAddressRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    call.services
        .state
        .transact(|tx| {
            let found = named(tx, scope, input.allocation_id.as_deref(), input.public_ip.as_deref())?;
            let own = found.ok_or_else(|| {
                error("MissingParameter", "Either public IP or allocation id must be specified")
            })?;
            if let Some(association) = &own.association {
                // In the default VPC an address is taken off its interface by the way; elsewhere that comes first.
                let default = groups::default_vpc(tx.view(), scope).ok();
                let interface = tx.get::<NetworkInterface>(scope, &association.interface_id);
                if interface.is_some_and(|interface| Some(&interface.vpc_id) != default.as_ref()) {
                    return Err(error(
                        "InvalidIPAddress.InUse",
                        format!("Address {} is in use.", own.address),
                    ));
                }
                part(tx, scope, &own)?;
            }
            tx.delete::<ElasticAddress>(scope, &own.allocation_id);
            tx.delete::<AddressClaim>(&global(), &own.address.to_string());
            Ok(())
        })
        .await?;
    Ok(Unit)
}

struct Shown<'a>(ec2::Address, &'a Tags);

impl Filtered for Shown<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        let address = &self.0;
        let of = |member: &Option<String>| Some(member.iter().cloned().collect());
        match name {
            "allocation-id" => of(&address.allocation_id),
            "association-id" => of(&address.association_id),
            "domain" => one("vpc"),
            "instance-id" => Some(Vec::new()),
            "network-border-group" => of(&address.network_border_group),
            "network-interface-id" => of(&address.network_interface_id),
            "network-interface-owner-id" => of(&address.network_interface_owner_id),
            "private-ip-address" => of(&address.private_ip_address),
            "public-ip" => of(&address.public_ip),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        self.1
    }
}

pub async fn describe(
    call: Call,
    input: DescribeAddressesRequest,
) -> Result<DescribeAddressesResult, ApiError> {
    let scope = call.scope();
    let filters = Filters::new(input.filters);
    let ids = input.allocation_ids.unwrap_or_default();
    let addresses = input.public_ips.unwrap_or_default();
    let view = call.services.state.view();
    if let Some(id) = ids.iter().find(|id| view.get::<ElasticAddress>(scope, id).is_none()) {
        return Err(error(
            "InvalidAllocationID.NotFound",
            format!("The allocation ID '{id}' does not exist"),
        ));
    }
    let all: Vec<_> = view.scan::<ElasticAddress>(scope).map(|(_, one)| one).collect();
    let known = |text: &String| all.iter().any(|one| one.address.to_string() == *text);
    if let Some(unknown) = addresses.iter().find(|text| !known(text)) {
        return Err(address_not_found(unknown));
    }
    let mut found = Vec::new();
    for own in &all {
        let chosen = (ids.is_empty() || ids.contains(&own.allocation_id))
            && (addresses.is_empty() || addresses.contains(&own.address.to_string()));
        let shown = Shown(shape(&view, scope, own), &own.tags);
        if chosen && filters.match_all(&shown)? {
            found.push(shown.0);
        }
    }
    Ok(DescribeAddressesResult { addresses: Some(found) })
}

fn shape(view: &View, scope: &Scope, own: &ElasticAddress) -> ec2::Address {
    let association = own.association.as_ref();
    let interface = association.and_then(|there| view.get::<NetworkInterface>(scope, &there.interface_id));
    ec2::Address {
        allocation_id: Some(own.allocation_id.clone()),
        association_id: association.map(|there| there.id.clone()),
        domain: Some(ec2::DomainType::Vpc),
        instance_id: Some(String::new()),
        network_border_group: Some(scope.region.to_string()),
        network_interface_id: Some(association.map(|there| there.interface_id.clone()).unwrap_or_default()),
        network_interface_owner_id: association.map(|_| scope.account.to_string()),
        private_ip_address: interface.map(|interface| interface.private_address.to_string()),
        public_ip: Some(own.address.to_string()),
        public_ipv4_pool: Some("amazon".to_owned()),
        tags: Some(tags::shape(&own.tags)),
        ..ec2::Address::default()
    }
}
