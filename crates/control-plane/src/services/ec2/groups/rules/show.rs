//! Rules as answers show them: one by one, and put together into permissions.

use std::collections::BTreeMap;

use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    DescribeSecurityGroupRulesRequest, DescribeSecurityGroupRulesResult, IpPermission, IpRange, Ipv6Range,
    ReferencedSecurityGroup, RevokedSecurityGroupRule, UserIdGroupPair,
};
use vocabulary::Scope;

use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::{
            errors::error,
            filters::{Filtered, Filters},
            networks, page,
            records::{RulePeer, SecurityGroup, SecurityGroupRule},
            tags,
        },
        tagging::Tags,
    },
};

struct Shown<'a> {
    group_id: &'a str,
    rule: &'a SecurityGroupRule,
}

impl Filtered for Shown<'_> {
    fn values(&self, name: &str) -> Option<Vec<String>> {
        match name {
            "group-id" => Some(vec![self.group_id.to_owned()]),
            "security-group-rule-id" => Some(vec![self.rule.id.clone()]),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &self.rule.tags
    }
}

pub async fn describe(
    call: Call,
    input: DescribeSecurityGroupRulesRequest,
) -> Result<DescribeSecurityGroupRulesResult, ApiError> {
    let scope = call.scope();
    networks::ensure_default(&call.services, scope).await?;
    let filters = Filters::new(input.filters);
    let ids = input.security_group_rule_ids.unwrap_or_default();
    if let Some(id) =
        filters.get("group-id").iter().flat_map(|ids| ids.iter()).find(|id| !id.starts_with("sg-"))
    {
        return Err(error("InvalidGroupId.Malformed", format!("The security group ID '{id}' is malformed")));
    }
    let mut found = Vec::new();
    for (group_id, group) in call.services.state.view().scan::<SecurityGroup>(scope) {
        // In the order in which they were made.
        for (position, rule) in group.rules.iter().enumerate() {
            if (ids.is_empty() || ids.contains(&rule.id)) && filters.match_all(&Shown { group_id, rule })? {
                found.push((format!("{group_id}/{position:05}"), rule_shape(scope, group_id, rule)));
            }
        }
    }
    let is = |rule: &ec2::SecurityGroupRule, id: &String| rule.security_group_rule_id.as_ref() == Some(id);
    if let Some(id) = ids.iter().find(|id| !found.iter().any(|(_, rule)| is(rule, id))) {
        return Err(error(
            "InvalidSecurityGroupRuleId.NotFound",
            format!("The security group rule ID '{id}' does not exist"),
        ));
    }
    let key = |(key, _): &(String, ec2::SecurityGroupRule)| key.clone();
    let page = page(&call, "security-group-rules", found, key, input.next_token, input.max_results)?;
    Ok(DescribeSecurityGroupRulesResult {
        security_group_rules: Some(page.items.into_iter().map(|(_, rule)| rule).collect()),
        next_token: page.next_token,
    })
}

pub fn rule_shape(scope: &Scope, group_id: &str, rule: &SecurityGroupRule) -> ec2::SecurityGroupRule {
    let (cidr_ipv4, cidr_ipv6, referenced) = peer_parts(&rule.peer);
    ec2::SecurityGroupRule {
        cidr_ipv4,
        cidr_ipv6,
        description: rule.description.clone(),
        from_port: rule.from_port.or(Some(-1)),
        to_port: rule.to_port.or(Some(-1)),
        group_id: Some(group_id.to_owned()),
        group_owner_id: Some(scope.account.to_string()),
        ip_protocol: Some(rule.protocol.clone()),
        is_egress: Some(rule.egress),
        referenced_group_info: referenced.map(|id| ReferencedSecurityGroup {
            group_id: Some(id),
            user_id: Some(scope.account.to_string()),
            ..ReferencedSecurityGroup::default()
        }),
        security_group_rule_arn: Some(
            scope.arn("ec2", format_args!("security-group-rule/{}", rule.id)).to_string(),
        ),
        security_group_rule_id: Some(rule.id.clone()),
        tags: Some(tags::shape(&rule.tags)),
        ..ec2::SecurityGroupRule::default()
    }
}

pub fn revoked_shape(group_id: &str, rule: &SecurityGroupRule) -> RevokedSecurityGroupRule {
    let (cidr_ipv4, cidr_ipv6, referenced_group_id) = peer_parts(&rule.peer);
    RevokedSecurityGroupRule {
        cidr_ipv4,
        cidr_ipv6,
        referenced_group_id,
        description: rule.description.clone(),
        from_port: rule.from_port.or(Some(-1)),
        to_port: rule.to_port.or(Some(-1)),
        group_id: Some(group_id.to_owned()),
        ip_protocol: Some(rule.protocol.clone()),
        is_egress: Some(rule.egress),
        security_group_rule_id: Some(rule.id.clone()),
        ..RevokedSecurityGroupRule::default()
    }
}

/// IPv4 range, IPv6 range, group: one of the three.
fn peer_parts(peer: &RulePeer) -> (Option<String>, Option<String>, Option<String>) {
    match peer {
        RulePeer::Cidr(range) => (Some(range.to_string()), None, None),
        RulePeer::Ipv6Cidr(range) => (None, Some(range.clone()), None),
        RulePeer::Group(id) => (None, None, Some(id.clone())),
    }
}

/// Puts the rules of one direction together into permissions: one for each protocol and port range.
pub fn permissions(scope: &Scope, rules: &[SecurityGroupRule], egress: bool) -> Vec<IpPermission> {
    let mut grouped: BTreeMap<(&str, Option<i32>, Option<i32>), IpPermission> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.egress == egress) {
        let key = (rule.protocol.as_str(), rule.from_port, rule.to_port);
        let permission = grouped.entry(key).or_insert_with(|| IpPermission {
            ip_protocol: Some(rule.protocol.clone()),
            from_port: rule.from_port,
            to_port: rule.to_port,
            ip_ranges: Some(Vec::new()),
            ipv6_ranges: Some(Vec::new()),
            prefix_list_ids: Some(Vec::new()),
            user_id_group_pairs: Some(Vec::new()),
        });
        let description = rule.description.clone();
        match &rule.peer {
            RulePeer::Cidr(range) => permission
                .ip_ranges
                .get_or_insert_default()
                .push(IpRange { cidr_ip: Some(range.to_string()), description }),
            RulePeer::Ipv6Cidr(range) => permission
                .ipv6_ranges
                .get_or_insert_default()
                .push(Ipv6Range { cidr_ipv6: Some(range.clone()), description }),
            RulePeer::Group(id) => {
                permission.user_id_group_pairs.get_or_insert_default().push(UserIdGroupPair {
                    group_id: Some(id.clone()),
                    user_id: Some(scope.account.to_string()),
                    description,
                    ..UserIdGroupPair::default()
                });
            }
        }
    }
    grouped.into_values().collect()
}

/// The filters of DescribeSecurityGroups that look at rules: `ip-permission.cidr` and its like.
pub fn filter_values(rules: &[SecurityGroupRule], name: &str) -> Option<Vec<String>> {
    let (egress, field) = match name.strip_prefix("egress.ip-permission.") {
        Some(field) => (true, field),
        None => (false, name.strip_prefix("ip-permission.")?),
    };
    let rules = rules.iter().filter(|rule| rule.egress == egress);
    let port = |port: Option<i32>| port.map(|port| port.to_string());
    let values: Vec<String> = match field {
        "cidr" => rules.filter_map(|rule| peer_parts(&rule.peer).0).collect(),
        "ipv6-cidr" => rules.filter_map(|rule| peer_parts(&rule.peer).1).collect(),
        "group-id" => rules.filter_map(|rule| peer_parts(&rule.peer).2).collect(),
        "from-port" => rules.filter_map(|rule| port(rule.from_port)).collect(),
        "to-port" => rules.filter_map(|rule| port(rule.to_port)).collect(),
        "protocol" => rules.map(|rule| rule.protocol.clone()).collect(),
        // Rules name groups by id, so EC2 finds none by these.
        "group-name" | "prefix-list-id" | "user-id" => Vec::new(),
        _ => return None,
    };
    Some(values)
}
