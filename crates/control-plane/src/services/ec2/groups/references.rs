//! Security groups seen from elsewhere: those a VPC can use, and those that refer across VPCs.

use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    DescribeSecurityGroupReferencesRequest, DescribeSecurityGroupReferencesResult,
    DescribeStaleSecurityGroupsRequest, DescribeStaleSecurityGroupsResult, GetSecurityGroupsForVpcRequest,
    GetSecurityGroupsForVpcResult,
};
use vocabulary::Scope;

use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::{
            errors::{group_not_found, vpc_not_found},
            filters::{Filtered, Filters, one},
            networks, page,
            records::{SecurityGroup, Vpc},
            tags,
        },
        tagging::Tags,
    },
};

struct Shown<'a>(&'a Scope, &'a SecurityGroup);

impl Filtered for Shown<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        match name {
            "group-id" => one(&self.1.id),
            "group-name" => one(&self.1.name),
            "description" => one(&self.1.description),
            "owner-id" => one(&self.0.account),
            "primary-vpc-id" => one(&self.1.vpc_id),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &self.1.tags
    }
}

pub async fn for_vpc(
    call: Call,
    input: GetSecurityGroupsForVpcRequest,
) -> Result<GetSecurityGroupsForVpcResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let vpc_id = input.vpc_id.unwrap_or_default();
    let filters = Filters::new(input.filters);
    let view = call.services.state.view();
    view.get::<Vpc>(scope, &vpc_id).ok_or_else(|| vpc_not_found(&vpc_id))?;
    let mut found = Vec::new();
    for (_, group) in view.by_index::<SecurityGroup>(scope, "vpc", &vpc_id) {
        if filters.match_all(&Shown(scope, &group))? {
            found.push(ec2::SecurityGroupForVpc {
                description: Some(group.description.clone()),
                group_id: Some(group.id.clone()),
                group_name: Some(group.name.clone()),
                owner_id: Some(scope.account.to_string()),
                primary_vpc_id: Some(vpc_id.clone()),
                tags: Some(tags::shape(&group.tags)),
            });
        }
    }
    let key = |group: &ec2::SecurityGroupForVpc| group.group_id.clone().unwrap_or_default();
    let list = format!("security-groups-for/{vpc_id}");
    let page = page(&call, &list, found, key, input.next_token, input.max_results)?;
    Ok(GetSecurityGroupsForVpcResult {
        security_group_for_vpcs: Some(page.items),
        next_token: page.next_token,
    })
}

/// VPCs are not joined to others here, so no group is referred to from one.
pub async fn references(
    call: Call,
    input: DescribeSecurityGroupReferencesRequest,
) -> Result<DescribeSecurityGroupReferencesResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let view = call.services.state.view();
    let ids = input.group_id.unwrap_or_default();
    match ids.iter().find(|id| view.get::<SecurityGroup>(scope, id).is_none()) {
        Some(unknown) => Err(group_not_found(unknown)),
        None => Ok(DescribeSecurityGroupReferencesResult { security_group_reference_set: Some(Vec::new()) }),
    }
}

/// A rule is stale when the peering it went through is gone; without peerings there is none.
pub async fn stale(
    call: Call,
    input: DescribeStaleSecurityGroupsRequest,
) -> Result<DescribeStaleSecurityGroupsResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let vpc_id = input.vpc_id.unwrap_or_default();
    match call.services.state.read(|view| view.get::<Vpc>(scope, &vpc_id)) {
        None => Err(vpc_not_found(&vpc_id)),
        Some(_) => Ok(DescribeStaleSecurityGroupsResult {
            stale_security_group_set: Some(Vec::new()),
            next_token: None,
        }),
    }
}
