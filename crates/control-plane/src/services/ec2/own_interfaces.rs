//! Interfaces that users make themselves. There are no instances to attach them to, so they hold an address and groups, and send nothing.
//!
//! Interfaces of tasks are ECS's: as on AWS, users see them and cannot change them.

use std::{net::Ipv4Addr, sync::Arc};

use addressing::{AddressPool, MacAddress};
use aws_schema::Unit;
use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    CreateNetworkInterfaceRequest, CreateNetworkInterfaceResult, DeleteNetworkInterfaceRequest,
    DescribeNetworkInterfaceAttributeRequest, DescribeNetworkInterfaceAttributeResult,
    DetachNetworkInterfaceRequest, ModifyNetworkInterfaceAttributeRequest, PrivateIpAddressSpecification,
    ResetNetworkInterfaceAttributeRequest,
};
use state_store::Tx;
use vocabulary::{Ids, Scope};

use super::{
    describe::{attachment_shape, group_identifiers, interface_shape},
    errors::{
        error, group_not_found, interface_not_found, invalid_value, missing, refuse_unsupported,
        subnet_not_found, unsupported, vpc_not_found,
    },
    interfaces,
    networks::{self, private_dns_name},
    records::{AddressClaim, NetworkInterface, SecurityGroup, Subnet, Vpc, private_claim},
    tags,
};
use crate::gateway::{ApiError, Call};

/// EC2's quota of groups for an interface.
const MOST_GROUPS: usize = 5;
/// EC2's quota of interfaces for a region.
const MOST_INTERFACES: usize = 5000;

/// The interface, if users may change it.
///
/// # Errors
/// `InvalidNetworkInterfaceID.NotFound`; `AuthFailure` for one that belongs to a task.
pub fn changeable(tx: &mut Tx, scope: &Scope, id: &str) -> Result<NetworkInterface, ApiError> {
    let found = tx.get::<NetworkInterface>(scope, id).ok_or_else(|| interface_not_found(id))?;
    if found.requester_managed {
        return Err(ApiError::undeclared(
            "AuthFailure",
            403,
            "You do not have permission to access the specified resource.",
        ));
    }
    Ok(Arc::unwrap_or_clone(found))
}

fn checked_groups(
    tx: &mut Tx,
    scope: &Scope,
    vpc_id: &str,
    given: &[String],
) -> Result<Vec<String>, ApiError> {
    if given.len() > MOST_GROUPS {
        return Err(error(
            "SecurityGroupsPerInterfaceLimitExceeded",
            "The maximum number of security groups per interface has been reached.",
        ));
    }
    for id in given {
        let group = tx.get::<SecurityGroup>(scope, id).ok_or_else(|| group_not_found(id))?;
        if group.vpc_id != vpc_id {
            return Err(invalid_value("You have specified two resources that belong to different networks."));
        }
    }
    let mut groups = given.to_vec();
    groups.sort();
    groups.dedup();
    Ok(groups)
}

/// The one address that a request asks for.
fn wanted(
    address: Option<String>,
    addresses: Option<Vec<PrivateIpAddressSpecification>>,
) -> Result<Option<Ipv4Addr>, ApiError> {
    let mut all: Vec<String> = address.into_iter().collect();
    all.extend(addresses.into_iter().flatten().filter_map(|one| one.private_ip_address));
    all.dedup();
    let text = match all.as_slice() {
        [] => return Ok(None),
        [text] => text,
        _ => return Err(unsupported("Longshore gives an interface one private address.")),
    };
    text.parse().map(Some).map_err(|_| {
        invalid_value(format!(
            "Value ({text}) for parameter privateIpAddress is invalid. It is not an IPv4 address."
        ))
    })
}

fn claim(
    tx: &mut Tx,
    scope: &Scope,
    subnet: &Subnet,
    wanted: Option<Ipv4Addr>,
    claim: AddressClaim,
    ids: &mut impl Ids,
) -> Result<Ipv4Addr, ApiError> {
    let Some(address) = wanted else {
        return interfaces::claim_private(tx, scope, subnet, claim, ids).ok_or_else(|| {
            error(
                "InsufficientFreeAddressesInSubnet",
                format!("There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.", subnet.id),
            )
        });
    };
    if !subnet.cidr.contains(address) {
        return Err(invalid_value("Address does not fall within the subnet's address range"));
    }
    AddressPool::subnet(subnet.cidr)
        .claim(address)
        .map_err(|_| invalid_value("Address is in subnet's reserved address range"))?;
    tx.create(scope, &private_claim(&subnet.vpc_id, address), claim)
        .map_err(|_| error("InvalidIPAddress.InUse", "The specified address is already in use."))?;
    Ok(address)
}

pub async fn create(
    call: Call,
    input: CreateNetworkInterfaceRequest,
) -> Result<CreateNetworkInterfaceResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    refuse_unsupported(&[
        ("connectionTrackingSpecification", input.connection_tracking_specification.is_some()),
        ("enablePrimaryIpv6", input.enable_primary_ipv6 == Some(true)),
        ("interfaceType", input.interface_type.is_some()),
        ("ipv4PrefixCount", input.ipv4_prefix_count.is_some_and(|count| count != 0)),
        ("ipv4Prefixes", input.ipv4_prefixes.is_some_and(|given| !given.is_empty())),
        ("ipv6AddressCount", input.ipv6_address_count.is_some_and(|count| count != 0)),
        ("ipv6Addresses", input.ipv6_addresses.is_some_and(|given| !given.is_empty())),
        ("ipv6PrefixCount", input.ipv6_prefix_count.is_some_and(|count| count != 0)),
        ("ipv6Prefixes", input.ipv6_prefixes.is_some_and(|given| !given.is_empty())),
        ("operator", input.operator.is_some()),
        (
            "secondaryPrivateIpAddressCount",
            input.secondary_private_ip_address_count.is_some_and(|count| count != 0),
        ),
    ])?;
    let subnet_id = input.subnet_id.ok_or_else(|| missing("subnetId"))?;
    let wanted = wanted(input.private_ip_address, input.private_ip_addresses)?;
    let tags = tags::specified("network-interface", input.tag_specifications)?;
    let description = input.description.unwrap_or_default();
    let given = input.groups.unwrap_or_default();
    let token = input.client_token;
    let interface = call
        .services
        .state
        .transact(|tx| {
            let subnet = tx.get::<Subnet>(scope, &subnet_id).ok_or_else(|| subnet_not_found(&subnet_id))?;
            let vpc = tx.get::<Vpc>(scope, &subnet.vpc_id).ok_or_else(|| vpc_not_found(&subnet.vpc_id))?;
            if token.is_some() {
                let all = tx.scan::<NetworkInterface>(scope);
                if let Some((_, made)) = all.into_iter().find(|(_, one)| one.client_token == token) {
                    if made.subnet_id != subnet_id || made.description != description {
                        return Err(error(
                            "IdempotentParameterMismatch",
                            "The client token was used before with other parameters.",
                        ));
                    }
                    return Ok((*made).clone());
                }
            }
            if tx.view().scan::<NetworkInterface>(scope).count() >= MOST_INTERFACES {
                return Err(error(
                    "NetworkInterfaceLimitExceeded",
                    "The maximum number of network interfaces has been reached.",
                ));
            }
            let security_groups = match given.as_slice() {
                [] => {
                    let all = tx.by_index::<SecurityGroup>(scope, "vpc", &vpc.id);
                    all.into_iter().filter(|(_, group)| group.name == "default").map(|(id, _)| id).collect()
                }
                given => checked_groups(tx, scope, &vpc.id, given)?,
            };
            let mut ids = call.services.ids();
            let id = format!("eni-{}", ids.hex(17));
            let own = AddressClaim { scope: scope.clone(), owner: id.clone() };
            let private_address = claim(tx, scope, &subnet, wanted, own, &mut ids)?;
            let interface = NetworkInterface {
                vpc_id: vpc.id.clone(),
                subnet_id: subnet_id.clone(),
                availability_zone: subnet.availability_zone.clone(),
                mac_address: MacAddress::generate(&mut ids),
                private_address,
                private_dns_name: private_dns_name(scope, &vpc, private_address),
                security_groups,
                public: None,
                description: description.clone(),
                requester_managed: false,
                attachment: None,
                created_at: call.now(),
                client_token: token.clone(),
                tags: tags.clone(),
                id,
            };
            tx.put(scope, &interface.id, interface.clone());
            Ok(interface)
        })
        .await?;
    let view = call.services.state.view();
    Ok(CreateNetworkInterfaceResult {
        network_interface: Some(interface_shape(&view, scope, &interface)),
        client_token: token,
    })
}

pub async fn delete(call: Call, input: DeleteNetworkInterfaceRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let id = input.network_interface_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let found = tx.get::<NetworkInterface>(scope, &id).ok_or_else(|| interface_not_found(&id))?;
            if found.attachment.is_some() {
                return Err(invalid_value(format!("Network interface '{id}' is currently in use.")));
            }
            changeable(tx, scope, &id)?;
            interfaces::delete(tx, scope, &id);
            Ok(())
        })
        .await?;
    Ok(Unit)
}

/// No interface of a user is attached, so there is none to detach.
pub async fn detach(call: Call, input: DetachNetworkInterfaceRequest) -> Result<Unit, ApiError> {
    let id = input.attachment_id.unwrap_or_default();
    let attached = call.services.state.read(|view| {
        let mut all = view.scan::<NetworkInterface>(call.scope());
        all.any(|(_, one)| one.attachment.as_ref().is_some_and(|attachment| attachment.id == id))
    });
    Err(if attached {
        error("OperationNotPermitted", "You are not allowed to manage 'ela-attach' attachments.")
    } else {
        error("InvalidAttachmentID.NotFound", format!("The attachment ID '{id}' does not exist"))
    })
}

pub async fn describe_attribute(
    call: Call,
    input: DescribeNetworkInterfaceAttributeRequest,
) -> Result<DescribeNetworkInterfaceAttributeResult, ApiError> {
    let scope = call.scope();
    let id = input.network_interface_id.unwrap_or_default();
    let view = call.services.state.view();
    let interface = view.get::<NetworkInterface>(scope, &id).ok_or_else(|| interface_not_found(&id))?;
    let mut result = DescribeNetworkInterfaceAttributeResult {
        network_interface_id: Some(id),
        ..DescribeNetworkInterfaceAttributeResult::default()
    };
    match input.attribute.ok_or_else(|| missing("attribute"))? {
        ec2::NetworkInterfaceAttribute::Description => {
            result.description = Some(ec2::AttributeValue { value: Some(interface.description.clone()) });
        }
        ec2::NetworkInterfaceAttribute::GroupSet => {
            result.groups = Some(group_identifiers(&view, scope, &interface));
        }
        ec2::NetworkInterfaceAttribute::SourceDestCheck => {
            result.source_dest_check = Some(ec2::AttributeBooleanValue { value: Some(true) });
        }
        ec2::NetworkInterfaceAttribute::Attachment => result.attachment = attachment_shape(scope, &interface),
        ec2::NetworkInterfaceAttribute::AssociatePublicIpAddress => {
            let own = interface.public.as_ref().is_some_and(|public| public.allocation_id.is_none());
            result.associate_public_ip_address = Some(own);
        }
    }
    Ok(result)
}

pub async fn modify_attribute(
    call: Call,
    input: ModifyNetworkInterfaceAttributeRequest,
) -> Result<Unit, ApiError> {
    let scope = call.scope();
    refuse_unsupported(&[
        ("associatePublicIpAddress", input.associate_public_ip_address == Some(true)),
        ("associatedSubnetIds", input.associated_subnet_ids.is_some_and(|given| !given.is_empty())),
        ("connectionTrackingSpecification", input.connection_tracking_specification.is_some()),
        ("enaSrdSpecification", input.ena_srd_specification.is_some()),
        ("enablePrimaryIpv6", input.enable_primary_ipv6 == Some(true)),
        ("sourceDestCheck", input.source_dest_check.is_some_and(|given| given.value == Some(false))),
    ])?;
    let id = input.network_interface_id.unwrap_or_default();
    let attachment = input.attachment.and_then(|changes| changes.attachment_id);
    let description = input.description.and_then(|given| given.value);
    let groups = input.groups.filter(|groups| !groups.is_empty());
    call.services
        .state
        .transact(|tx| {
            let mut interface = changeable(tx, scope, &id)?;
            if let Some(attachment) = &attachment {
                return Err(error(
                    "InvalidAttachmentID.NotFound",
                    format!("The attachment ID '{attachment}' does not exist"),
                ));
            }
            if let Some(groups) = &groups {
                interface.security_groups = checked_groups(tx, scope, &interface.vpc_id, groups)?;
            }
            if let Some(description) = &description {
                interface.description.clone_from(description);
            }
            tx.put(scope, &id, interface);
            Ok(())
        })
        .await?;
    Ok(Unit)
}

/// The one attribute that can be reset is whether the source of packets is checked: here it always is.
pub async fn reset_attribute(
    call: Call,
    input: ResetNetworkInterfaceAttributeRequest,
) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let id = input.network_interface_id.unwrap_or_default();
    call.services.state.transact(|tx| changeable(tx, scope, &id).map(drop)).await?;
    Ok(Unit)
}
