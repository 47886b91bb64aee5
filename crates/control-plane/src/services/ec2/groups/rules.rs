//! The rules of security groups: authorize, revoke, modify.
//!
//! The API has two forms of a rule: permissions (a protocol, a port range, and many peers) and rules proper (one peer and an id).
//! A group keeps rules; permissions are taken apart on the way in ([`parse`]) and put together on the way out ([`show`]).

pub mod parse;
pub mod show;

use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    AuthorizeSecurityGroupEgressRequest, AuthorizeSecurityGroupEgressResult,
    AuthorizeSecurityGroupIngressRequest, AuthorizeSecurityGroupIngressResult, IpPermission, IpRange,
    Ipv6Range, ModifySecurityGroupRulesRequest, ModifySecurityGroupRulesResult,
    RevokeSecurityGroupEgressRequest, RevokeSecurityGroupEgressResult, RevokeSecurityGroupIngressRequest,
    RevokeSecurityGroupIngressResult, RevokedSecurityGroupRule, UserIdGroupPair,
};
use vocabulary::Ids;

use super::named;
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::{
            errors::{error, group_not_found, invalid_value},
            networks,
            records::{RulePeer, SecurityGroup, SecurityGroupRule},
            tags,
        },
        tagging::Tags,
    },
};
use parse::{Simple, check_description, permissions_of, ports, protocol, take_apart};
use show::{revoked_shape, rule_shape};

/// EC2's quota of rules per group and direction.
const MOST_RULES: usize = 60;

/// A group that is not there is complained of before anything else.
fn check_exists(call: &Call, group_id: Option<&str>) -> Result<(), ApiError> {
    match group_id {
        Some(id) if call.services.state.view().get::<SecurityGroup>(call.scope(), id).is_none() => {
            Err(group_not_found(id))
        }
        _ => Ok(()),
    }
}

async fn authorize(
    call: &Call,
    egress: bool,
    group: (Option<String>, Option<String>),
    permissions: Vec<IpPermission>,
    new_tags: Tags,
) -> Result<Vec<ec2::SecurityGroupRule>, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    call.services
        .state
        .transact(|tx| {
            let found = named(tx, scope, group.0.as_deref(), group.1.as_deref())?;
            let mut record = (*found).clone();
            let mut added = Vec::new();
            let asked = take_apart(tx, scope, &permissions)?;
            let there = record.rules.iter().filter(|rule| rule.egress == egress).count();
            if there + asked.len() > MOST_RULES {
                return Err(error(
                    "RulesPerSecurityGroupLimitExceeded",
                    "The maximum number of rules per security group has been reached.",
                ));
            }
            for asked in asked {
                if let Some(rule) =
                    record.rules.iter().find(|rule| rule.egress == egress && asked.equals(rule))
                {
                    if added.iter().any(|one: &ec2::SecurityGroupRule| {
                        one.security_group_rule_id.as_ref() == Some(&rule.id)
                    }) {
                        return Err(invalid_value("The same permission must not appear multiple times"));
                    }
                    return Err(error(
                        "InvalidPermission.Duplicate",
                        format!("the specified rule \"{}\" already exists", describe_rule(rule)),
                    ));
                }
                let rule = SecurityGroupRule {
                    id: format!("sgr-{}", call.services.ids().hex(17)),
                    egress,
                    protocol: asked.protocol,
                    from_port: asked.from_port,
                    to_port: asked.to_port,
                    peer: asked.peer,
                    description: asked.description,
                    tags: new_tags.clone(),
                };
                added.push(rule_shape(scope, &record.id, &rule));
                record.rules.push(rule);
            }
            let id = record.id.clone();
            tx.put(scope, &id, record);
            Ok::<_, ApiError>(added)
        })
        .await
}

/// As in EC2's error text: `peer: 0.0.0.0/0, TCP, from port: 80, to port: 80, ALLOW`.
fn describe_rule(rule: &SecurityGroupRule) -> String {
    let peer = match &rule.peer {
        RulePeer::Cidr(range) => range.to_string(),
        RulePeer::Ipv6Cidr(range) => range.clone(),
        RulePeer::Group(id) => id.clone(),
    };
    let protocol = if rule.protocol == "-1" { "ALL".to_owned() } else { rule.protocol.to_uppercase() };
    match (rule.from_port, rule.to_port) {
        (Some(from), Some(to)) => {
            format!("peer: {peer}, {protocol}, from port: {from}, to port: {to}, ALLOW")
        }
        _ => format!("peer: {peer}, {protocol}, ALLOW"),
    }
}

/// The one rule that a request may have outside its permissions; four requests have the same members for it.
macro_rules! simple {
    ($input:ident) => {
        Simple {
            protocol: $input.ip_protocol,
            from_port: $input.from_port,
            to_port: $input.to_port,
            cidr: $input.cidr_ip,
            source_group: $input.source_security_group_name,
        }
    };
}

pub async fn authorize_ingress(
    call: Call,
    input: AuthorizeSecurityGroupIngressRequest,
) -> Result<AuthorizeSecurityGroupIngressResult, ApiError> {
    let simple = simple!(input);
    check_exists(&call, input.group_id.as_deref())?;
    let permissions = permissions_of(simple, input.ip_permissions)?;
    let tags = tags::specified("security-group-rule", input.tag_specifications)?;
    let rules = authorize(&call, false, (input.group_id, input.group_name), permissions, tags).await?;
    Ok(AuthorizeSecurityGroupIngressResult { r#return: Some(true), security_group_rules: Some(rules) })
}

pub async fn authorize_egress(
    call: Call,
    input: AuthorizeSecurityGroupEgressRequest,
) -> Result<AuthorizeSecurityGroupEgressResult, ApiError> {
    let simple = simple!(input);
    check_exists(&call, input.group_id.as_deref())?;
    let permissions = permissions_of(simple, input.ip_permissions)?;
    let tags = tags::specified("security-group-rule", input.tag_specifications)?;
    let rules = authorize(&call, true, (input.group_id, None), permissions, tags).await?;
    Ok(AuthorizeSecurityGroupEgressResult { r#return: Some(true), security_group_rules: Some(rules) })
}

async fn revoke(
    call: &Call,
    egress: bool,
    group: (Option<String>, Option<String>),
    rule_ids: Vec<String>,
    permissions: Vec<IpPermission>,
) -> Result<Vec<RevokedSecurityGroupRule>, ApiError> {
    let scope = call.scope();
    call.services
        .state
        .transact(|tx| {
            let found = named(tx, scope, group.0.as_deref(), group.1.as_deref())?;
            let mut record = (*found).clone();
            let mut revoked = Vec::new();
            let mut remove = |record: &mut SecurityGroup, position: usize| {
                let rule = record.rules.remove(position);
                revoked.push(revoked_shape(&record.id, &rule));
            };
            for id in &rule_ids {
                let position =
                    record.rules.iter().position(|rule| rule.id == *id && rule.egress == egress).ok_or_else(
                        || {
                            error(
                                "InvalidSecurityGroupRuleId.NotFound",
                                format!("The security group rule ID '{id}' does not exist"),
                            )
                        },
                    )?;
                remove(&mut record, position);
            }
            for asked in take_apart(tx, scope, &permissions)? {
                let position = record
                    .rules
                    .iter()
                    .position(|rule| rule.egress == egress && asked.equals(rule))
                    .ok_or_else(|| {
                        error(
                            "InvalidPermission.NotFound",
                            "The specified rule does not exist in this security group.",
                        )
                    })?;
                remove(&mut record, position);
            }
            let id = record.id.clone();
            tx.put(scope, &id, record);
            Ok::<_, ApiError>(revoked)
        })
        .await
}

pub async fn revoke_ingress(
    call: Call,
    input: RevokeSecurityGroupIngressRequest,
) -> Result<RevokeSecurityGroupIngressResult, ApiError> {
    let simple = simple!(input);
    check_exists(&call, input.group_id.as_deref())?;
    let ids = input.security_group_rule_ids.unwrap_or_default();
    let permissions = if ids.is_empty() { permissions_of(simple, input.ip_permissions)? } else { Vec::new() };
    let revoked = revoke(&call, false, (input.group_id, input.group_name), ids, permissions).await?;
    Ok(RevokeSecurityGroupIngressResult {
        r#return: Some(true),
        revoked_security_group_rules: Some(revoked),
        ..RevokeSecurityGroupIngressResult::default()
    })
}

pub async fn revoke_egress(
    call: Call,
    input: RevokeSecurityGroupEgressRequest,
) -> Result<RevokeSecurityGroupEgressResult, ApiError> {
    let simple = simple!(input);
    check_exists(&call, input.group_id.as_deref())?;
    let ids = input.security_group_rule_ids.unwrap_or_default();
    let permissions = if ids.is_empty() { permissions_of(simple, input.ip_permissions)? } else { Vec::new() };
    let revoked = revoke(&call, true, (input.group_id, None), ids, permissions).await?;
    Ok(RevokeSecurityGroupEgressResult {
        r#return: Some(true),
        revoked_security_group_rules: Some(revoked),
        ..RevokeSecurityGroupEgressResult::default()
    })
}

/// The rule of an update, as a permission: with one peer.
fn one_rule(wanted: &ec2::SecurityGroupRuleRequest) -> Result<IpPermission, ApiError> {
    let given = [&wanted.cidr_ipv4, &wanted.cidr_ipv6, &wanted.prefix_list_id, &wanted.referenced_group_id];
    // What the rule is comes before who its peer is.
    let protocol = protocol(wanted.ip_protocol.as_deref())?;
    ports(&protocol, wanted.from_port, wanted.to_port)?;
    match given.into_iter().flatten().count() {
        0 => {
            return Err(error(
                "MissingParameter",
                "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId",
            ));
        }
        1 => {}
        _ => {
            return Err(error(
                "InvalidParameterCombination",
                "Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified",
            ));
        }
    }
    let cidr = |cidr: &String| vec![IpRange { cidr_ip: Some(cidr.clone()), description: None }];
    let ipv6 = |cidr: &String| vec![Ipv6Range { cidr_ipv6: Some(cidr.clone()), description: None }];
    let list = |id: &String| vec![ec2::PrefixListId { prefix_list_id: Some(id.clone()), description: None }];
    let group =
        |id: &String| vec![UserIdGroupPair { group_id: Some(id.clone()), ..UserIdGroupPair::default() }];
    Ok(IpPermission {
        ip_protocol: Some(protocol),
        from_port: wanted.from_port,
        to_port: wanted.to_port,
        ip_ranges: wanted.cidr_ipv4.as_ref().map(cidr),
        ipv6_ranges: wanted.cidr_ipv6.as_ref().map(ipv6),
        prefix_list_ids: wanted.prefix_list_id.as_ref().map(list),
        user_id_group_pairs: wanted.referenced_group_id.as_ref().map(group),
    })
}

pub async fn modify(
    call: Call,
    input: ModifySecurityGroupRulesRequest,
) -> Result<ModifySecurityGroupRulesResult, ApiError> {
    let scope = call.scope();
    let group_id = input.group_id.unwrap_or_default();
    let updates = input.security_group_rules.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let found =
                tx.get::<SecurityGroup>(scope, &group_id).ok_or_else(|| group_not_found(&group_id))?;
            let mut record = (*found).clone();
            for update in &updates {
                let id = update.security_group_rule_id.as_deref().unwrap_or_default();
                let wanted = update.security_group_rule.clone().unwrap_or_default();
                let Some(asked) = take_apart(tx, scope, &[one_rule(&wanted)?])?.pop() else { continue };
                let rule = record.rules.iter_mut().find(|rule| rule.id == id).ok_or_else(|| {
                    error(
                        "InvalidSecurityGroupRuleId.NotFound",
                        format!("The security group rule ID '{id}' does not exist"),
                    )
                })?;
                (rule.protocol, rule.from_port, rule.to_port, rule.peer) =
                    (asked.protocol, asked.from_port, asked.to_port, asked.peer);
                check_description(wanted.description.as_deref())?;
                rule.description = wanted.description;
            }
            tx.put(scope, &group_id, record);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(ModifySecurityGroupRulesResult { r#return: Some(true) })
}
