//! Security groups: create, describe, delete; the rules in them are in [`rules`].

pub mod descriptions;
pub mod references;
pub mod rules;

use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    CreateSecurityGroupRequest, CreateSecurityGroupResult, DeleteSecurityGroupRequest,
    DeleteSecurityGroupResult, DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult,
};
use state_store::{Tx, View};
use std::sync::Arc;
use vocabulary::{Ids, Scope};

use super::{
    errors::{error, group_not_found, invalid_value, missing, vpc_not_found},
    filters::{Filtered, Filters, chosen},
    networks::{self, allow_all_outward},
    page,
    records::{DefaultNetwork, NetworkInterface, RulePeer, SecurityGroup, Vpc},
    tags,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::Tags,
};

const LONGEST_NAME: usize = 255;

fn check_text(what: &str, text: &str) -> Result<(), ApiError> {
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(character);
    if text.is_empty() {
        return Err(missing(what));
    }
    if text.len() > LONGEST_NAME || !text.chars().all(allowed) {
        return Err(invalid_value(format!(
            "Value ({text}) for parameter {what} is invalid. Character sets beyond ASCII are not supported."
        )));
    }
    Ok(())
}

pub async fn create(
    call: Call,
    input: CreateSecurityGroupRequest,
) -> Result<CreateSecurityGroupResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let name = input.group_name.unwrap_or_default();
    check_text("GroupName", &name)?;
    if name.starts_with("sg-") {
        return Err(invalid_value(format!(
            "Value ({name}) for parameter GroupName is invalid. Names may not be in the format sg-*"
        )));
    }
    let description = input.description.unwrap_or_default();
    check_text("GroupDescription", &description)?;
    let tags = tags::specified("security-group", input.tag_specifications)?;
    let group = call
        .services
        .state
        .transact(|tx| {
            let vpc_id = match &input.vpc_id {
                Some(id) => id.clone(),
                None => default_vpc(tx.view(), scope)?,
            };
            tx.get::<Vpc>(scope, &vpc_id).ok_or_else(|| vpc_not_found(&vpc_id))?;
            if tx.by_index::<SecurityGroup>(scope, "vpc", &vpc_id).iter().any(|(_, group)| group.name == name)
            {
                return Err(error(
                    "InvalidGroup.Duplicate",
                    format!("The security group '{name}' already exists for VPC '{vpc_id}'"),
                ));
            }
            let mut ids = call.services.ids();
            let group = SecurityGroup {
                id: format!("sg-{}", ids.hex(17)),
                vpc_id,
                name: name.clone(),
                description: description.clone(),
                rules: vec![allow_all_outward(&mut ids)],
                tags: tags.clone(),
            };
            tx.put(scope, &group.id, group.clone());
            Ok(group)
        })
        .await?;
    Ok(CreateSecurityGroupResult {
        security_group_arn: Some(arn(scope, &group.id)),
        tags: Some(tags::shape(&group.tags)),
        group_id: Some(group.id),
    })
}

/// The VPC that is meant when none is named.
pub fn default_vpc(view: &View, scope: &Scope) -> Result<String, ApiError> {
    view.get::<DefaultNetwork>(scope, DefaultNetwork::ID)
        .filter(|network| view.get::<Vpc>(scope, &network.vpc_id).is_some())
        .map(|network| network.vpc_id.clone())
        .ok_or_else(|| error("VPCIdNotSpecified", "No default VPC for this user"))
}

/// The group that a request names by id, or by name in the default VPC.
pub fn named(
    tx: &mut Tx,
    scope: &Scope,
    id: Option<&str>,
    name: Option<&str>,
) -> Result<Arc<SecurityGroup>, ApiError> {
    match (id, name) {
        (Some(id), _) => tx.get::<SecurityGroup>(scope, id).ok_or_else(|| group_not_found(id)),
        (None, Some(name)) => {
            let vpc_id = default_vpc(tx.view(), scope)?;
            let groups = tx.by_index::<SecurityGroup>(scope, "vpc", &vpc_id);
            let found = groups.into_iter().find(|(_, group)| group.name == name);
            found.map(|(_, group)| group).ok_or_else(|| group_not_found(name))
        }
        (None, None) => Err(missing("groupName or groupId")),
    }
}

pub async fn delete(
    call: Call,
    input: DeleteSecurityGroupRequest,
) -> Result<DeleteSecurityGroupResult, ApiError> {
    let scope = call.scope();
    let id = call
        .services
        .state
        .transact(|tx| {
            let group = named(tx, scope, input.group_id.as_deref(), input.group_name.as_deref())?;
            if group.name == "default" {
                return Err(error(
                    "CannotDelete",
                    format!(
                        "the specified group: \"{}\" name: \"default\" cannot be deleted by a user",
                        group.id
                    ),
                ));
            }
            let in_use =
                || error("DependencyViolation", format!("resource {} has a dependent object", group.id));
            if !tx.by_index::<NetworkInterface>(scope, "group", &group.id).is_empty() {
                return Err(in_use());
            }
            let refers = |other: &SecurityGroup| {
                other.id != group.id
                    && other.rules.iter().any(|rule| rule.peer == RulePeer::Group(group.id.clone()))
            };
            if tx.scan::<SecurityGroup>(scope).iter().any(|(_, other)| refers(other)) {
                return Err(in_use());
            }
            tx.delete::<SecurityGroup>(scope, &group.id);
            Ok(group.id.clone())
        })
        .await?;
    Ok(DeleteSecurityGroupResult { group_id: Some(id), r#return: Some(true) })
}

struct Shown<'a>(&'a Scope, &'a SecurityGroup);

impl Filtered for Shown<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        let Shown(scope, group) = *self;
        let one = |text: &str| Some(vec![text.to_owned()]);
        match name {
            "group-id" => one(&group.id),
            "group-name" => one(&group.name),
            "vpc-id" => one(&group.vpc_id),
            "description" => one(&group.description),
            "owner-id" => one(scope.account.as_str()),
            _ => rules::show::filter_values(&group.rules, name),
        }
    }

    fn tags(&self) -> &Tags {
        &self.1.tags
    }
}

pub async fn describe(
    call: Call,
    input: DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let filters = Filters::new(input.filters);
    let names = input.group_names.unwrap_or_default();
    let view = call.services.state.view();
    let is_shown = |group: &SecurityGroup| {
        Ok((names.is_empty() || names.contains(&group.name)) && filters.match_all(&Shown(scope, group))?)
    };
    let found = chosen(&view, scope, input.group_ids, group_not_found, is_shown)?;
    if let Some(name) = names.iter().find(|name| !found.iter().any(|group| group.name == **name)) {
        return Err(group_not_found(name));
    }
    let page =
        page(&call, "security-groups", found, |group| group.id.clone(), input.next_token, input.max_results)?;
    Ok(DescribeSecurityGroupsResult {
        security_groups: Some(page.items.iter().map(|group| shape(scope, group)).collect()),
        next_token: page.next_token,
    })
}

pub fn arn(scope: &Scope, id: &str) -> String {
    scope.arn("ec2", format_args!("security-group/{id}")).to_string()
}

fn shape(scope: &Scope, group: &SecurityGroup) -> ec2::SecurityGroup {
    ec2::SecurityGroup {
        description: Some(group.description.clone()),
        group_id: Some(group.id.clone()),
        group_name: Some(group.name.clone()),
        ip_permissions: Some(rules::show::permissions(scope, &group.rules, false)),
        ip_permissions_egress: Some(rules::show::permissions(scope, &group.rules, true)),
        owner_id: Some(scope.account.to_string()),
        security_group_arn: Some(arn(scope, &group.id)),
        tags: Some(tags::shape(&group.tags)),
        vpc_id: Some(group.vpc_id.clone()),
    }
}
