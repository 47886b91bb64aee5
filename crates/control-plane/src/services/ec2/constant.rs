//! What is the same for everyone here, and what there is none of.
//!
//! Network ACLs, DHCP options and account limits cannot be changed, so describing them is describing the platform. Of instances,
//! volumes, NAT gateways and the like there are none and none can be made: their lists are empty, and naming one is the error that AWS
//! has for an unknown id.

use std::sync::Arc;

use aws_shapes_ec2 as ec2;
use state_store::View;
use vocabulary::Scope;

use super::{
    addresses::MOST_ADDRESSES,
    errors::error,
    filters::{Filtered, Filters, one},
    groups, networks, page,
    records::{Subnet, Vpc},
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

static NO_TAGS: Tags = Tags::new();

pub async fn account_attributes(
    call: Call,
    input: ec2::DescribeAccountAttributesRequest,
) -> Result<ec2::DescribeAccountAttributesResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let default = call.services.state.read(|view| groups::default_vpc(view, scope));
    let all = [
        ("supported-platforms", "VPC".to_owned()),
        ("vpc-max-security-groups-per-interface", "5".to_owned()),
        ("max-elastic-ips", MOST_ADDRESSES.to_string()),
        ("vpc-max-elastic-ips", MOST_ADDRESSES.to_string()),
        ("max-instances", "0".to_owned()),
        ("default-vpc", default.unwrap_or_else(|_| "none".to_owned())),
    ];
    let wanted: Vec<&str> = input.attribute_names.iter().flatten().map(|name| name.as_str()).collect();
    let chosen = all.into_iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(name));
    let attributes = chosen.map(|(name, value)| ec2::AccountAttribute {
        attribute_name: Some(name.to_owned()),
        attribute_values: Some(vec![ec2::AccountAttributeValue { attribute_value: Some(value) }]),
    });
    Ok(ec2::DescribeAccountAttributesResult { account_attributes: Some(attributes.collect()) })
}

/// The id of the region's DHCP options: always the same for an account and region.
pub fn dhcp_options_id(scope: &Scope) -> String {
    // FNV-1a: the id has to be stable and to look like one, no more.
    let text = format!("{}/{}", scope.account, scope.region);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("dopt-{hash:017x}")
}

struct Options<'a>(&'a Scope);

impl Filtered for Options<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        match name {
            "dhcp-options-id" => one(dhcp_options_id(self.0)),
            "key" => Some(vec!["domain-name".to_owned(), "domain-name-servers".to_owned()]),
            "value" => Some(vec![networks::domain(self.0), "AmazonProvidedDNS".to_owned()]),
            "owner-id" => one(&self.0.account),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &NO_TAGS
    }
}

pub async fn dhcp_options(
    call: Call,
    input: ec2::DescribeDhcpOptionsRequest,
) -> Result<ec2::DescribeDhcpOptionsResult, ApiError> {
    let scope = call.scope();
    let own = dhcp_options_id(scope);
    if let Some(id) = input.dhcp_options_ids.iter().flatten().find(|id| **id != own) {
        return Err(error(
            "InvalidDhcpOptionID.NotFound",
            format!("The dhcpOption ID '{id}' does not exist"),
        ));
    }
    let mut found = Vec::new();
    if Filters::new(input.filters).match_all(&Options(scope))? {
        let configuration = |key: &str, value: String| ec2::DhcpConfiguration {
            key: Some(key.to_owned()),
            values: Some(vec![ec2::AttributeValue { value: Some(value) }]),
        };
        found.push(ec2::DhcpOptions {
            dhcp_configurations: Some(vec![
                configuration("domain-name", networks::domain(scope)),
                configuration("domain-name-servers", "AmazonProvidedDNS".to_owned()),
            ]),
            dhcp_options_id: Some(own.clone()),
            owner_id: Some(scope.account.to_string()),
            tags: Some(Vec::new()),
        });
    }
    let page = page(&call, "dhcp-options", found, |_| own.clone(), input.next_token, input.max_results)?;
    Ok(ec2::DescribeDhcpOptionsResult { dhcp_options: Some(page.items), next_token: page.next_token })
}

/// Every VPC has one network ACL, for all its subnets, that lets everything through; it has the VPC's digits.
fn acl_id(vpc_id: &str) -> String {
    vpc_id.replacen("vpc-", "acl-", 1)
}

struct Acl<'a>(&'a Scope, ec2::NetworkAcl);

impl Filtered for Acl<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        let acl = &self.1;
        let associations = || acl.associations.iter().flatten();
        let entries = || acl.entries.iter().flatten();
        match name {
            "network-acl-id" => one(acl.network_acl_id.as_deref()?),
            "vpc-id" => one(acl.vpc_id.as_deref()?),
            "default" => one(true),
            "owner-id" => one(&self.0.account),
            "association.association-id" => {
                Some(associations().filter_map(|one| one.network_acl_association_id.clone()).collect())
            }
            "association.network-acl-id" => {
                Some(associations().filter_map(|one| one.network_acl_id.clone()).collect())
            }
            "association.subnet-id" => Some(associations().filter_map(|one| one.subnet_id.clone()).collect()),
            "entry.cidr" => Some(entries().filter_map(|one| one.cidr_block.clone()).collect()),
            "entry.egress" => {
                Some(entries().filter_map(|one| one.egress).map(|egress| egress.to_string()).collect())
            }
            "entry.protocol" => Some(entries().filter_map(|one| one.protocol.clone()).collect()),
            "entry.rule-action" => {
                Some(entries().filter_map(|one| one.rule_action).map(|action| action.to_string()).collect())
            }
            "entry.rule-number" => {
                Some(entries().filter_map(|one| one.rule_number).map(|number| number.to_string()).collect())
            }
            "entry.ipv6-cidr"
            | "entry.icmp.code"
            | "entry.icmp.type"
            | "entry.port-range.from"
            | "entry.port-range.to" => Some(Vec::new()),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &NO_TAGS
    }
}

pub async fn network_acls(
    call: Call,
    input: ec2::DescribeNetworkAclsRequest,
) -> Result<ec2::DescribeNetworkAclsResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let filters = Filters::new(input.filters);
    let ids = input.network_acl_ids.unwrap_or_default();
    let view = call.services.state.view();
    let vpcs: Vec<Arc<Vpc>> = view.scan::<Vpc>(scope).map(|(_, vpc)| vpc).collect();
    if let Some(id) = ids.iter().find(|id| !vpcs.iter().any(|vpc| acl_id(&vpc.id) == **id)) {
        return Err(error(
            "InvalidNetworkAclID.NotFound",
            format!("The networkAcl ID '{id}' does not exist"),
        ));
    }
    let mut found = Vec::new();
    for vpc in vpcs {
        let acl = Acl(scope, network_acl(&view, scope, &vpc));
        if (ids.is_empty() || ids.contains(&acl_id(&vpc.id))) && filters.match_all(&acl)? {
            found.push(acl.1);
        }
    }
    let key = |acl: &ec2::NetworkAcl| acl.network_acl_id.clone().unwrap_or_default();
    let page = page(&call, "network-acls", found, key, input.next_token, input.max_results)?;
    Ok(ec2::DescribeNetworkAclsResult { network_acls: Some(page.items), next_token: page.next_token })
}

fn network_acl(view: &View, scope: &Scope, vpc: &Vpc) -> ec2::NetworkAcl {
    let id = acl_id(&vpc.id);
    let associations =
        view.by_index::<Subnet>(scope, "vpc", &vpc.id).map(|(subnet_id, _)| ec2::NetworkAclAssociation {
            network_acl_association_id: Some(subnet_id.replacen("subnet-", "aclassoc-", 1)),
            network_acl_id: Some(id.clone()),
            subnet_id: Some(subnet_id.to_owned()),
        });
    let entry = |egress: bool, number: i32, action: ec2::RuleAction| ec2::NetworkAclEntry {
        cidr_block: Some("0.0.0.0/0".to_owned()),
        egress: Some(egress),
        protocol: Some("-1".to_owned()),
        rule_action: Some(action),
        rule_number: Some(number),
        ..ec2::NetworkAclEntry::default()
    };
    let entries = [true, false].into_iter().flat_map(|egress| {
        // The last is the one that every ACL ends with.
        [entry(egress, 100, ec2::RuleAction::Allow), entry(egress, 32767, ec2::RuleAction::Deny)]
    });
    ec2::NetworkAcl {
        associations: Some(associations.collect()),
        entries: Some(entries.collect()),
        is_default: Some(true),
        network_acl_id: Some(id.clone()),
        owner_id: Some(scope.account.to_string()),
        tags: Some(Vec::new()),
        vpc_id: Some(vpc.id.clone()),
    }
}

/// That there is nothing of a kind: whoever names one of it has the wrong id. `text` has `{}` where that goes.
fn none(ids: Option<Vec<String>>, code: &'static str, text: &str) -> Result<(), ApiError> {
    match ids.iter().flatten().next() {
        Some(id) => Err(error(code, text.replacen("{}", id, 1))),
        None => Ok(()),
    }
}

macro_rules! empty {
    ($function:ident, $request:ident . $ids:ident, $result:ident . $list:ident, $code:literal, $text:literal) => {
        pub async fn $function(_: Call, input: ec2::$request) -> Result<ec2::$result, ApiError> {
            none(input.$ids, $code, $text)?;
            Ok(ec2::$result { $list: Some(Vec::new()), ..ec2::$result::default() })
        }
    };
}

empty!(
    instances,
    DescribeInstancesRequest.instance_ids,
    DescribeInstancesResult.reservations,
    "InvalidInstanceID.NotFound",
    "The instance ID '{}' does not exist"
);
empty!(
    instance_status,
    DescribeInstanceStatusRequest.instance_ids,
    DescribeInstanceStatusResult.instance_statuses,
    "InvalidInstanceID.NotFound",
    "The instance ID '{}' does not exist"
);
empty!(
    volumes,
    DescribeVolumesRequest.volume_ids,
    DescribeVolumesResult.volumes,
    "InvalidVolume.NotFound",
    "The volume '{}' does not exist."
);
empty!(
    nat_gateways,
    DescribeNatGatewaysRequest.nat_gateway_ids,
    DescribeNatGatewaysResult.nat_gateways,
    "NatGatewayNotFound",
    "The Nat Gateway {} was not found"
);
empty!(
    egress_only_internet_gateways,
    DescribeEgressOnlyInternetGatewaysRequest.egress_only_internet_gateway_ids,
    DescribeEgressOnlyInternetGatewaysResult.egress_only_internet_gateways,
    "InvalidGatewayID.NotFound",
    "The eigw ID '{}' does not exist"
);
empty!(
    vpc_endpoints,
    DescribeVpcEndpointsRequest.vpc_endpoint_ids,
    DescribeVpcEndpointsResult.vpc_endpoints,
    "InvalidVpcEndpointId.NotFound",
    "The Vpc Endpoint Id '{}' does not exist"
);
empty!(
    vpc_peering_connections,
    DescribeVpcPeeringConnectionsRequest.vpc_peering_connection_ids,
    DescribeVpcPeeringConnectionsResult.vpc_peering_connections,
    "InvalidVpcPeeringConnectionID.NotFound",
    "The vpcPeeringConnection ID '{}' does not exist"
);
empty!(
    prefix_lists,
    DescribePrefixListsRequest.prefix_list_ids,
    DescribePrefixListsResult.prefix_lists,
    "InvalidPrefixListID.NotFound",
    "The prefix list ID '{}' does not exist"
);
empty!(
    managed_prefix_lists,
    DescribeManagedPrefixListsRequest.prefix_list_ids,
    DescribeManagedPrefixListsResult.prefix_lists,
    "InvalidPrefixListID.NotFound",
    "The prefix list ID '{}' does not exist"
);
