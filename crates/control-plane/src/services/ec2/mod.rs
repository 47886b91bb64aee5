//! EC2, as far as containers need it: networks, interfaces, security groups, addresses.

mod addresses;
mod constant;
mod describe;
mod errors;
mod filters;
mod gateways;
pub mod groups;
pub mod interfaces;
pub mod networks;
mod own_interfaces;
mod ranges;
pub mod records;
mod route_tables;
mod routes;
pub mod routing;
pub mod state;
mod subnets;
mod tags;
mod vpcs;

#[cfg(test)]
mod tests;

use aws_shapes_ec2 as ec2;
use state_store::Tables;

use super::paging::Page;
use crate::gateway::{ApiError, Call, Operations};
use groups::{descriptions, references, rules};

/// Declares the service's records.
pub fn tables(tables: Tables) -> Tables {
    tables
        .with::<records::DefaultNetwork>()
        .with::<records::Vpc>()
        .with::<records::Subnet>()
        .with::<records::SecurityGroup>()
        .with::<records::NetworkInterface>()
        .with::<records::AddressClaim>()
        .with::<records::RangeHolders>()
        .with::<records::InternetGateway>()
        .with::<records::RouteTable>()
        .with::<records::ElasticAddress>()
}

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(ec2::SERVICE)
        .on::<ec2::CreateVpc, _, _>(vpcs::create)
        .on::<ec2::CreateDefaultVpc, _, _>(vpcs::create_default)
        .on::<ec2::DescribeVpcs, _, _>(describe::vpcs)
        .on::<ec2::DescribeVpcAttribute, _, _>(vpcs::describe_attribute)
        .on::<ec2::ModifyVpcAttribute, _, _>(vpcs::modify_attribute)
        .on::<ec2::DeleteVpc, _, _>(vpcs::delete)
        .on::<ec2::CreateSubnet, _, _>(subnets::create)
        .on::<ec2::CreateDefaultSubnet, _, _>(subnets::create_default)
        .on::<ec2::DescribeSubnets, _, _>(describe::subnets)
        .on::<ec2::ModifySubnetAttribute, _, _>(subnets::modify_attribute)
        .on::<ec2::DeleteSubnet, _, _>(subnets::delete)
        .on::<ec2::CreateInternetGateway, _, _>(gateways::create)
        .on::<ec2::AttachInternetGateway, _, _>(gateways::attach)
        .on::<gateways::DescribeInternetGateways, _, _>(gateways::describe)
        .on::<ec2::DetachInternetGateway, _, _>(gateways::detach)
        .on::<ec2::DeleteInternetGateway, _, _>(gateways::delete)
        .on::<ec2::CreateRouteTable, _, _>(route_tables::create)
        .on::<ec2::DescribeRouteTables, _, _>(route_tables::describe)
        .on::<ec2::AssociateRouteTable, _, _>(route_tables::associate)
        .on::<ec2::DisassociateRouteTable, _, _>(route_tables::disassociate)
        .on::<ec2::ReplaceRouteTableAssociation, _, _>(route_tables::replace_association)
        .on::<ec2::DeleteRouteTable, _, _>(route_tables::delete)
        .on::<ec2::CreateRoute, _, _>(routes::create)
        .on::<ec2::ReplaceRoute, _, _>(routes::replace)
        .on::<ec2::DeleteRoute, _, _>(routes::delete)
        .on::<ec2::CreateNetworkInterface, _, _>(own_interfaces::create)
        .on::<ec2::DescribeNetworkInterfaces, _, _>(describe::network_interfaces)
        .on::<ec2::DescribeNetworkInterfaceAttribute, _, _>(own_interfaces::describe_attribute)
        .on::<ec2::ModifyNetworkInterfaceAttribute, _, _>(own_interfaces::modify_attribute)
        .on::<ec2::ResetNetworkInterfaceAttribute, _, _>(own_interfaces::reset_attribute)
        .on::<ec2::DetachNetworkInterface, _, _>(own_interfaces::detach)
        .on::<ec2::DeleteNetworkInterface, _, _>(own_interfaces::delete)
        .on::<ec2::AllocateAddress, _, _>(addresses::allocate)
        .on::<ec2::AssociateAddress, _, _>(addresses::associate)
        .on::<ec2::DescribeAddresses, _, _>(addresses::describe)
        .on::<ec2::DisassociateAddress, _, _>(addresses::disassociate)
        .on::<ec2::ReleaseAddress, _, _>(addresses::release)
        .on::<ec2::DescribeAvailabilityZones, _, _>(describe::availability_zones)
        .on::<ec2::DescribeRegions, _, _>(describe::regions)
        .on::<ec2::CreateSecurityGroup, _, _>(groups::create)
        .on::<ec2::DeleteSecurityGroup, _, _>(groups::delete)
        .on::<ec2::DescribeSecurityGroups, _, _>(groups::describe)
        .on::<ec2::DescribeSecurityGroupRules, _, _>(rules::show::describe)
        .on::<ec2::AuthorizeSecurityGroupIngress, _, _>(rules::authorize_ingress)
        .on::<ec2::AuthorizeSecurityGroupEgress, _, _>(rules::authorize_egress)
        .on::<ec2::RevokeSecurityGroupIngress, _, _>(rules::revoke_ingress)
        .on::<ec2::RevokeSecurityGroupEgress, _, _>(rules::revoke_egress)
        .on::<ec2::ModifySecurityGroupRules, _, _>(rules::modify)
        .on::<ec2::UpdateSecurityGroupRuleDescriptionsIngress, _, _>(descriptions::update_ingress)
        .on::<ec2::UpdateSecurityGroupRuleDescriptionsEgress, _, _>(descriptions::update_egress)
        .on::<ec2::GetSecurityGroupsForVpc, _, _>(references::for_vpc)
        .on::<ec2::DescribeSecurityGroupReferences, _, _>(references::references)
        .on::<ec2::DescribeStaleSecurityGroups, _, _>(references::stale)
        .on::<ec2::DescribeAccountAttributes, _, _>(constant::account_attributes)
        .on::<ec2::DescribeDhcpOptions, _, _>(constant::dhcp_options)
        .on::<ec2::DescribeNetworkAcls, _, _>(constant::network_acls)
        .on::<ec2::DescribeInstances, _, _>(constant::instances)
        .on::<ec2::DescribeInstanceStatus, _, _>(constant::instance_status)
        .on::<ec2::DescribeVolumes, _, _>(constant::volumes)
        .on::<ec2::DescribeNatGateways, _, _>(constant::nat_gateways)
        .on::<ec2::DescribeEgressOnlyInternetGateways, _, _>(constant::egress_only_internet_gateways)
        .on::<ec2::DescribeVpcEndpoints, _, _>(constant::vpc_endpoints)
        .on::<ec2::DescribeVpcPeeringConnections, _, _>(constant::vpc_peering_connections)
        .on::<ec2::DescribePrefixLists, _, _>(constant::prefix_lists)
        .on::<ec2::DescribeManagedPrefixLists, _, _>(constant::managed_prefix_lists)
        .on::<ec2::CreateTags, _, _>(tags::create)
        .on::<ec2::DeleteTags, _, _>(tags::delete)
        .on::<ec2::DescribeTags, _, _>(tags::describe);
}

/// Cuts a list to the page that a request asks for; 1000 unless it says less.
fn page<T>(
    call: &Call,
    list: &str,
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> String,
    token: Option<String>,
    size: Option<i32>,
) -> Result<Page<T>, ApiError> {
    let size = match size {
        None => 1000,
        Some(size @ 5..=1000) => size.unsigned_abs() as usize,
        Some(_) => {
            return Err(errors::invalid_value(
                "Value for parameter maxResults is invalid. Expecting a value between 5 and 1000.",
            ));
        }
    };
    let list = format!("ec2/{}/{list}", call.scope());
    let page = call.services.page_tokens.page(&list, items, key, token.as_deref(), size);
    page.map_err(|_| errors::error("InvalidNextToken", "The token is not valid."))
}
