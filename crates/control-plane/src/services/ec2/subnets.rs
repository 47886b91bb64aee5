//! Subnets: create, delete, and the attribute that can be changed. Describing them is in [`describe`](super::describe).

use addressing::{
    Cidr,
    vpc::{RangeError, check_subnet},
};
use aws_schema::Unit;
use aws_shapes_ec2::{
    CreateDefaultSubnetRequest, CreateDefaultSubnetResult, CreateSubnetRequest, CreateSubnetResult,
    DeleteSubnetRequest, ModifySubnetAttributeRequest,
};
use state_store::Tx;
use vocabulary::{Ids, Scope};

use super::{
    describe::{subnet_shape, zone_id},
    errors::{
        dependency, error, invalid_value, missing, refuse_unsupported, subnet_not_found, vpc_not_found,
    },
    networks::{self, ZONES},
    records::{NetworkInterface, RouteTable, Subnet, Vpc},
    tags,
    vpcs::{cidr_block, default_vpc},
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

/// EC2's quota.
const MOST_SUBNETS: usize = 200;
/// Default subnets are /20s.
const DEFAULT_LENGTH: u8 = 20;

/// The zone that a request names by name or id; the first when it names none.
fn zone(scope: &Scope, name: Option<String>, id: Option<String>) -> Result<String, ApiError> {
    let zones: Vec<String> = ZONES.iter().map(|letter| format!("{}{letter}", scope.region)).collect();
    let (parameter, given, found) = match (name, id) {
        (Some(_), Some(_)) => {
            return Err(error(
                "InvalidParameterCombination",
                "Only one of 'availabilityZone' and 'availabilityZoneId' can be given.",
            ));
        }
        (Some(name), None) => ("availabilityZone", name.clone(), zones.iter().find(|zone| **zone == name)),
        (None, Some(id)) => ("availabilityZoneId", id.clone(), zones.iter().find(|zone| zone_id(zone) == id)),
        (None, None) => ("availabilityZone", String::new(), zones.first()),
    };
    found.cloned().ok_or_else(|| {
        invalid_value(format!(
            "Value ({given}) for parameter {parameter} is invalid. Subnets can currently only be created in the following availability zones: {}.",
            zones.join(", ")
        ))
    })
}

pub async fn create(call: Call, input: CreateSubnetRequest) -> Result<CreateSubnetResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    refuse_unsupported(&[
        ("ipv4IpamPoolId", input.ipv4_ipam_pool_id.is_some()),
        ("ipv4NetmaskLength", input.ipv4_netmask_length.is_some()),
        ("ipv6CidrBlock", input.ipv6_cidr_block.is_some()),
        ("ipv6IpamPoolId", input.ipv6_ipam_pool_id.is_some()),
        ("ipv6Native", input.ipv6_native == Some(true)),
        ("outpostArn", input.outpost_arn.is_some()),
    ])?;
    let vpc_id = input.vpc_id.ok_or_else(|| missing("vpcId"))?;
    let text = input.cidr_block.ok_or_else(|| {
        error("MissingParameter", "Either 'cidrBlock' or 'ipv6CidrBlock' should be provided.")
    })?;
    let cidr = cidr_block("cidrBlock", &text)?;
    let tags = tags::specified("subnet", input.tag_specifications)?;
    let zone = zone(scope, input.availability_zone, input.availability_zone_id)?;
    let subnet = call
        .services
        .state
        .transact(|tx| {
            let vpc = tx.get::<Vpc>(scope, &vpc_id).ok_or_else(|| vpc_not_found(&vpc_id))?;
            let existing = ranges_in(tx, scope, &vpc_id);
            if existing.len() >= MOST_SUBNETS {
                return Err(error("SubnetLimitExceeded", "The maximum number of subnets has been reached."));
            }
            check_subnet(cidr, vpc.cidr, &existing).map_err(|problem| match problem {
                RangeError::Conflict(..) => error(
                    "InvalidSubnet.Conflict",
                    format!("The CIDR '{text}' conflicts with another subnet"),
                ),
                _ => error("InvalidSubnet.Range", format!("The CIDR '{text}' is invalid.")),
            })?;
            let subnet = Subnet {
                id: format!("subnet-{}", call.services.ids().hex(17)),
                vpc_id: vpc_id.clone(),
                cidr,
                availability_zone: zone.clone(),
                default_for_zone: false,
                map_public_ip_on_launch: false,
                tags: tags.clone(),
            };
            tx.put(scope, &subnet.id, subnet.clone());
            Ok(subnet)
        })
        .await?;
    Ok(CreateSubnetResult { subnet: Some(subnet_shape(&call.services.state.view(), scope, &subnet)) })
}

fn ranges_in(tx: &mut Tx, scope: &Scope, vpc_id: &str) -> Vec<Cidr> {
    tx.by_index::<Subnet>(scope, "vpc", vpc_id).iter().map(|(_, subnet)| subnet.cidr).collect()
}

pub async fn create_default(
    call: Call,
    input: CreateDefaultSubnetRequest,
) -> Result<CreateDefaultSubnetResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    refuse_unsupported(&[("ipv6Native", input.ipv6_native == Some(true))])?;
    if input.availability_zone.is_none() && input.availability_zone_id.is_none() {
        return Err(missing("availabilityZone"));
    }
    let zone = zone(scope, input.availability_zone, input.availability_zone_id)?;
    let subnet = call
        .services
        .state
        .transact(|tx| {
            let vpc = default_vpc(tx, scope).ok_or_else(|| {
                error("DefaultVpcDoesNotExist", "No default VPC exists for this account in this region.")
            })?;
            let subnets = tx.by_index::<Subnet>(scope, "vpc", &vpc.id);
            let there = subnets.iter().find(|(_, one)| one.default_for_zone && one.availability_zone == zone);
            if let Some((id, _)) = there {
                return Err(error(
                    "DefaultSubnetAlreadyExistsInAvailabilityZone",
                    format!("'{id}' is already the default subnet in {zone}."),
                ));
            }
            let existing: Vec<Cidr> = subnets.iter().map(|(_, subnet)| subnet.cidr).collect();
            let cidr = free_default_range(vpc.cidr, &existing).ok_or_else(|| {
                error("InvalidSubnet.Conflict", "No range for a default subnet is free in the default VPC.")
            })?;
            let subnet = Subnet {
                id: format!("subnet-{}", call.services.ids().hex(17)),
                vpc_id: vpc.id.clone(),
                cidr,
                availability_zone: zone.clone(),
                default_for_zone: true,
                map_public_ip_on_launch: true,
                tags: Tags::new(),
            };
            tx.put(scope, &subnet.id, subnet.clone());
            Ok(subnet)
        })
        .await?;
    Ok(CreateDefaultSubnetResult { subnet: Some(subnet_shape(&call.services.state.view(), scope, &subnet)) })
}

/// The first /20 of the VPC that no subnet touches.
fn free_default_range(vpc: Cidr, existing: &[Cidr]) -> Option<Cidr> {
    let step = 1u32 << (32 - DEFAULT_LENGTH);
    let count = u32::try_from(vpc.size()).ok()? / step;
    (0..count)
        .filter_map(|index| Cidr::new(vpc.nth(index * step)?, DEFAULT_LENGTH).ok())
        .find(|candidate| check_subnet(*candidate, vpc, existing).is_ok())
}

pub async fn delete(call: Call, input: DeleteSubnetRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let id = input.subnet_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let subnet = tx.get::<Subnet>(scope, &id).ok_or_else(|| subnet_not_found(&id))?;
            if !tx.by_index::<NetworkInterface>(scope, "subnet", &id).is_empty() {
                return Err(dependency(format!("The subnet '{id}' has dependencies and cannot be deleted.")));
            }
            for (table_id, table) in tx.by_index::<RouteTable>(scope, "vpc", &subnet.vpc_id) {
                if table.associations.iter().any(|one| one.subnet_id == id) {
                    let mut table = (*table).clone();
                    table.associations.retain(|one| one.subnet_id != id);
                    tx.put(scope, &table_id, table);
                }
            }
            tx.delete::<Subnet>(scope, &id);
            Ok(())
        })
        .await?;
    Ok(Unit)
}

pub async fn modify_attribute(call: Call, input: ModifySubnetAttributeRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    refuse_unsupported(&[
        ("assignIpv6AddressOnCreation", is_on(input.assign_ipv6_address_on_creation)),
        ("customerOwnedIpv4Pool", input.customer_owned_ipv4_pool.is_some()),
        ("disableLniAtDeviceIndex", is_on(input.disable_lni_at_device_index)),
        ("enableDns64", is_on(input.enable_dns64)),
        ("enableLniAtDeviceIndex", input.enable_lni_at_device_index.is_some()),
        (
            "enableResourceNameDnsAAAARecordOnLaunch",
            is_on(input.enable_resource_name_dns_aaaa_record_on_launch),
        ),
        ("enableResourceNameDnsARecordOnLaunch", is_on(input.enable_resource_name_dns_a_record_on_launch)),
        ("mapCustomerOwnedIpOnLaunch", is_on(input.map_customer_owned_ip_on_launch)),
        ("privateDnsHostnameTypeOnLaunch", input.private_dns_hostname_type_on_launch.is_some()),
    ])?;
    let id = input.subnet_id.ok_or_else(|| missing("subnetId"))?;
    let public = input.map_public_ip_on_launch.and_then(|given| given.value);
    call.services
        .state
        .transact(|tx| {
            let found = tx.get::<Subnet>(scope, &id).ok_or_else(|| subnet_not_found(&id))?;
            let mut subnet = (*found).clone();
            subnet.map_public_ip_on_launch = public.unwrap_or(subnet.map_public_ip_on_launch);
            tx.put(scope, &id, subnet);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(Unit)
}

fn is_on(given: Option<aws_shapes_ec2::AttributeBooleanValue>) -> bool {
    given.is_some_and(|given| given.value == Some(true))
}
