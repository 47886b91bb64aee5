//! VPCs: create, delete, and the attributes that can be changed. Describing them is in [`describe`](super::describe).

use addressing::{
    Cidr,
    vpc::{RangeError, check_vpc},
};
use aws_schema::Unit;
use aws_shapes_ec2::{
    AttributeBooleanValue, CreateDefaultVpcRequest, CreateDefaultVpcResult, CreateVpcRequest,
    CreateVpcResult, DeleteVpcRequest, DescribeVpcAttributeRequest, DescribeVpcAttributeResult,
    ModifyVpcAttributeRequest, Tenancy, VpcAttributeName,
};
use state_store::Tx;
use vocabulary::{Ids, Scope};

use super::{
    describe::vpc_shape,
    errors::{dependency, error, invalid_value, missing, refuse_unsupported, unsupported, vpc_not_found},
    networks, ranges,
    records::{DefaultNetwork, InternetGateway, NetworkInterface, RouteTable, SecurityGroup, Subnet, Vpc},
    tags,
};
use crate::gateway::{ApiError, Call};

/// How many an account may have in a region; AWS begins with 5 and raises that on request.
const MOST_VPCS: usize = 200;

/// Reads a range of a request. Host bits are dropped, as EC2 does.
pub fn cidr_block(parameter: &str, text: &str) -> Result<Cidr, ApiError> {
    text.parse().map_err(|_| {
        invalid_value(format!(
            "Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR block."
        ))
    })
}

pub async fn create(call: Call, input: CreateVpcRequest) -> Result<CreateVpcResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    refuse_unsupported(&[
        ("amazonProvidedIpv6CidrBlock", input.amazon_provided_ipv6_cidr_block == Some(true)),
        ("ipv4IpamPoolId", input.ipv4_ipam_pool_id.is_some()),
        ("ipv4NetmaskLength", input.ipv4_netmask_length.is_some()),
        ("ipv6CidrBlock", input.ipv6_cidr_block.is_some()),
        ("ipv6IpamPoolId", input.ipv6_ipam_pool_id.is_some()),
        ("ipv6Pool", input.ipv6_pool.is_some()),
        ("vpcEncryptionControl", input.vpc_encryption_control.is_some()),
    ])?;
    let text = input.cidr_block.ok_or_else(|| missing("cidrBlock"))?;
    let cidr = cidr_block("cidrBlock", &text)?;
    // Two VPCs may overlap; a VPC and what this machine routes may not.
    check_vpc(cidr, &call.services.host_ranges).map_err(|problem| match problem {
        RangeError::Routed(..) => {
            error("InvalidVpc.Range", format!("The CIDR '{text}' is invalid: {problem}."))
        }
        _ => error("InvalidVpc.Range", format!("The CIDR '{text}' is invalid.")),
    })?;
    if let Some(tenancy) = input.instance_tenancy.filter(|tenancy| *tenancy != Tenancy::Default) {
        return Err(error("UnsupportedTenancy", format!("The tenancy value {tenancy} is not supported.")));
    }
    let tags = tags::specified("vpc", input.tag_specifications)?;
    let vpc = call
        .services
        .state
        .transact(|tx| {
            if tx.view().scan::<Vpc>(scope).count() >= MOST_VPCS {
                return Err(error("VpcLimitExceeded", "The maximum number of VPCs has been reached."));
            }
            let mut ids = call.services.ids();
            let vpc = Vpc {
                id: format!("vpc-{}", ids.hex(17)),
                cidr,
                is_default: false,
                enable_dns_support: true,
                enable_dns_hostnames: false,
                tags: tags.clone(),
            };
            networks::furnish(tx, scope, &vpc, None, &mut ids);
            tx.put(scope, &vpc.id, vpc.clone());
            Ok(vpc)
        })
        .await?;
    Ok(CreateVpcResult { vpc: Some(vpc_shape(scope, &vpc)) })
}

pub async fn create_default(
    call: Call,
    _: CreateDefaultVpcRequest,
) -> Result<CreateDefaultVpcResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let vpc = call
        .services
        .state
        .transact(|tx| {
            if default_vpc(tx, scope).is_some() {
                return Err(error(
                    "DefaultVpcAlreadyExists",
                    "A Default VPC already exists for this account in this region.",
                ));
            }
            networks::create_default(tx, scope, &call.services.host_ranges, &mut call.services.ids())
        })
        .await?;
    Ok(CreateDefaultVpcResult { vpc: Some(vpc_shape(scope, &vpc)) })
}

/// The default VPC, unless it was deleted.
pub fn default_vpc(tx: &mut Tx, scope: &Scope) -> Option<std::sync::Arc<Vpc>> {
    let network = tx.get::<DefaultNetwork>(scope, DefaultNetwork::ID)?;
    tx.get::<Vpc>(scope, &network.vpc_id)
}

pub async fn delete(call: Call, input: DeleteVpcRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let id = input.vpc_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let vpc = tx.get::<Vpc>(scope, &id).ok_or_else(|| vpc_not_found(&id))?;
            let groups = tx.by_index::<SecurityGroup>(scope, "vpc", &id);
            let tables = tx.by_index::<RouteTable>(scope, "vpc", &id);
            let in_use = groups.iter().any(|(_, group)| group.name != "default")
                || tables.iter().any(|(_, table)| table.main_association.is_none())
                || !tx.by_index::<Subnet>(scope, "vpc", &id).is_empty()
                || !tx.by_index::<InternetGateway>(scope, "vpc", &id).is_empty()
                || !tx.by_index::<NetworkInterface>(scope, "vpc", &id).is_empty();
            if in_use {
                return Err(dependency(format!("The vpc '{id}' has dependencies and cannot be deleted.")));
            }
            for (group, _) in groups {
                tx.delete::<SecurityGroup>(scope, &group);
            }
            for (table, _) in tables {
                tx.delete::<RouteTable>(scope, &table);
            }
            ranges::release(tx, scope, &vpc);
            tx.delete::<Vpc>(scope, &id);
            Ok(())
        })
        .await?;
    Ok(Unit)
}

fn boolean(value: bool) -> Option<AttributeBooleanValue> {
    Some(AttributeBooleanValue { value: Some(value) })
}

pub async fn describe_attribute(
    call: Call,
    input: DescribeVpcAttributeRequest,
) -> Result<DescribeVpcAttributeResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let id = input.vpc_id.unwrap_or_default();
    let vpc =
        call.services.state.read(|view| view.get::<Vpc>(scope, &id)).ok_or_else(|| vpc_not_found(&id))?;
    let mut result = DescribeVpcAttributeResult { vpc_id: Some(id), ..DescribeVpcAttributeResult::default() };
    match input.attribute {
        Some(VpcAttributeName::EnableDnsSupport) => {
            result.enable_dns_support = boolean(vpc.enable_dns_support);
        }
        Some(VpcAttributeName::EnableDnsHostnames) => {
            result.enable_dns_hostnames = boolean(vpc.enable_dns_hostnames);
        }
        Some(VpcAttributeName::EnableNetworkAddressUsageMetrics) => {
            result.enable_network_address_usage_metrics = boolean(false);
        }
        _ => return Err(missing("attribute")),
    }
    Ok(result)
}

/// DNS support gives a VPC's tasks their name server; host names give them a name. Both show when a task starts.
pub async fn modify_attribute(call: Call, input: ModifyVpcAttributeRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let id = input.vpc_id.unwrap_or_default();
    let support = input.enable_dns_support.and_then(|given| given.value);
    let names = input.enable_dns_hostnames.and_then(|given| given.value);
    let metrics = input.enable_network_address_usage_metrics.and_then(|given| given.value);
    match [support, names, metrics].iter().flatten().count() {
        0 => return Err(missing("attribute")),
        1 => {}
        _ => {
            return Err(error(
                "InvalidParameterCombination",
                "Fields for multiple attribute types specified: only one attribute can be modified at a time.",
            ));
        }
    }
    if metrics == Some(true) {
        return Err(unsupported("Longshore keeps no metrics of the addresses that a VPC uses."));
    }
    call.services
        .state
        .transact(|tx| {
            let found = tx.get::<Vpc>(scope, &id).ok_or_else(|| vpc_not_found(&id))?;
            let mut vpc = (*found).clone();
            if support.is_some_and(|support| support != vpc.enable_dns_support) {
                let interfaces = tx.by_index::<NetworkInterface>(scope, "vpc", &id);
                if interfaces.iter().any(|(_, one)| one.attachment.is_some()) {
                    return Err(dependency(format!(
                        "Tasks run in '{id}'. Longshore switches the DNS support of a VPC only while there are none; stop them first."
                    )));
                }
            }
            vpc.enable_dns_support = support.unwrap_or(vpc.enable_dns_support);
            vpc.enable_dns_hostnames = names.unwrap_or(vpc.enable_dns_hostnames);
            tx.put(scope, &id, vpc);
            Ok(())
        })
        .await?;
    Ok(Unit)
}
