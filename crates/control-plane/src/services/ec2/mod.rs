//! EC2, as far as containers need it: networks, interfaces, security groups, addresses.

mod describe;
mod errors;
mod filters;
mod groups;
pub mod interfaces;
pub mod networks;
pub mod records;
pub mod state;
mod tags;

use aws_shapes_ec2 as ec2;
use state_store::Tables;

use super::paging::Page;
use crate::gateway::{ApiError, Call, Operations};
use groups::rules;

/// Declares the service's records.
pub fn tables(tables: Tables) -> Tables {
    tables
        .with::<records::DefaultNetwork>()
        .with::<records::Vpc>()
        .with::<records::Subnet>()
        .with::<records::SecurityGroup>()
        .with::<records::NetworkInterface>()
        .with::<records::AddressClaim>()
        .with::<records::RangeClaim>()
}

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(ec2::SERVICE)
        .on::<ec2::DescribeVpcs, _, _>(describe::vpcs)
        .on::<ec2::DescribeSubnets, _, _>(describe::subnets)
        .on::<ec2::DescribeNetworkInterfaces, _, _>(describe::network_interfaces)
        .on::<ec2::DescribeAvailabilityZones, _, _>(describe::availability_zones)
        .on::<ec2::DescribeRegions, _, _>(describe::regions)
        .on::<ec2::CreateSecurityGroup, _, _>(groups::create)
        .on::<ec2::DeleteSecurityGroup, _, _>(groups::delete)
        .on::<ec2::DescribeSecurityGroups, _, _>(groups::describe)
        .on::<ec2::DescribeSecurityGroupRules, _, _>(rules::describe)
        .on::<ec2::AuthorizeSecurityGroupIngress, _, _>(rules::authorize_ingress)
        .on::<ec2::AuthorizeSecurityGroupEgress, _, _>(rules::authorize_egress)
        .on::<ec2::RevokeSecurityGroupIngress, _, _>(rules::revoke_ingress)
        .on::<ec2::RevokeSecurityGroupEgress, _, _>(rules::revoke_egress)
        .on::<ec2::ModifySecurityGroupRules, _, _>(rules::modify)
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
