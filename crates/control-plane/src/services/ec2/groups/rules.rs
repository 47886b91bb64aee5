//! The rules of security groups: authorize, revoke, modify, describe.
//!
//! The API has two forms of a rule: permissions (a protocol, a port range, and many peers) and rules proper (one peer and an id).
//! A group keeps rules; permissions are taken apart on the way in and put together on the way out.

use std::collections::BTreeMap;

use addressing::Cidr;
use aws_shapes_ec2 as ec2;
use aws_shapes_ec2::{
    AuthorizeSecurityGroupEgressRequest, AuthorizeSecurityGroupEgressResult,
    AuthorizeSecurityGroupIngressRequest, AuthorizeSecurityGroupIngressResult,
    DescribeSecurityGroupRulesRequest, DescribeSecurityGroupRulesResult, IpPermission, IpRange, Ipv6Range,
    ModifySecurityGroupRulesRequest, ModifySecurityGroupRulesResult, ReferencedSecurityGroup,
    RevokeSecurityGroupEgressRequest, RevokeSecurityGroupEgressResult, RevokeSecurityGroupIngressRequest,
    RevokeSecurityGroupIngressResult, RevokedSecurityGroupRule, UserIdGroupPair,
};
use state_store::Tx;
use vocabulary::{Ids, Scope};

use super::named;
use crate::{
    gateway::{ApiError, Call},
    services::{
        ec2::{
            errors::{error, group_not_found, invalid_value, missing},
            filters::{Filtered, Filters},
            networks, page,
            records::{RulePeer, SecurityGroup, SecurityGroupRule},
            tags,
        },
        tagging::Tags,
    },
};

/// EC2's quota of rules per group and direction.
const MOST_RULES: usize = 60;

/// One rule as a request asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    protocol: String,
    from_port: Option<i32>,
    to_port: Option<i32>,
    peer: RulePeer,
    pub(super) description: Option<String>,
}

impl Asked {
    /// Whether `rule` lets the same traffic through.
    pub(super) fn equals(&self, rule: &SecurityGroupRule) -> bool {
        self.protocol == rule.protocol
            && self.from_port == rule.from_port
            && self.to_port == rule.to_port
            && self.peer == rule.peer
    }
}

/// The members that say a single permission without `IpPermissions`.
#[derive(Debug, Default)]
struct Simple {
    protocol: Option<String>,
    from_port: Option<i32>,
    to_port: Option<i32>,
    cidr: Option<String>,
    source_group: Option<String>,
}

fn permissions_of(simple: Simple, given: Option<Vec<IpPermission>>) -> Result<Vec<IpPermission>, ApiError> {
    let given = given.unwrap_or_default();
    if !given.is_empty() {
        return Ok(given);
    }
    if simple.protocol.is_none() && simple.cidr.is_none() && simple.source_group.is_none() {
        return Err(missing("ipPermissions"));
    }
    Ok(vec![IpPermission {
        ip_protocol: Some(simple.protocol.unwrap_or_else(|| "-1".to_owned())),
        from_port: simple.from_port,
        to_port: simple.to_port,
        ip_ranges: simple.cidr.map(|cidr| vec![IpRange { cidr_ip: Some(cidr), description: None }]),
        user_id_group_pairs: simple
            .source_group
            .map(|name| vec![UserIdGroupPair { group_name: Some(name), ..UserIdGroupPair::default() }]),
        ..IpPermission::default()
    }])
}

/// Protocol name (`-1`, `tcp`, `udp`, `icmp`, `icmpv6` or a number) in EC2's spelling.
fn protocol(given: Option<&str>) -> Result<String, ApiError> {
    let text = given.ok_or_else(|| missing("ipProtocol"))?.to_ascii_lowercase();
    let invalid = || invalid_value(format!("Invalid value '{text}' for IP protocol. Unknown protocol."));
    Ok(match text.as_str() {
        "-1" | "all" => "-1".to_owned(),
        "tcp" | "6" => "tcp".to_owned(),
        "udp" | "17" => "udp".to_owned(),
        "icmp" | "1" => "icmp".to_owned(),
        "icmpv6" | "58" => "icmpv6".to_owned(),
        number => number.parse::<u8>().map_err(|_| invalid())?.to_string(),
    })
}

fn ports(protocol: &str, from: Option<i32>, to: Option<i32>) -> Result<(Option<i32>, Option<i32>), ApiError> {
    match protocol {
        "tcp" | "udp" => {
            let (from, to) = match (from, to) {
                (None, None) | (Some(-1), Some(-1)) => (0, 65535),
                (Some(from), Some(to)) => (from, to),
                (Some(_), None) => return Err(missing("toPort")),
                (None, Some(_)) => return Err(missing("fromPort")),
            };
            let range = 0..=65535;
            if !range.contains(&from) || !range.contains(&to) || from > to {
                return Err(invalid_value(format!("Invalid TCP/UDP port range ({from}:{to})")));
            }
            Ok((Some(from), Some(to)))
        }
        "icmp" | "icmpv6" => {
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            if !(-1..=255).contains(&kind) || !(-1..=255).contains(&code) {
                return Err(invalid_value(format!("ICMP type ({kind}) or code ({code}) out of range")));
            }
            Ok((Some(kind), Some(code)))
        }
        // Ports mean nothing to other protocols, and EC2 drops them.
        _ => Ok((None, None)),
    }
}

fn cidr(text: &str) -> Result<Cidr, ApiError> {
    text.parse().map_err(|_| invalid_value(format!("CIDR block {text} is malformed")))
}

fn ipv6_cidr(text: &str) -> Result<String, ApiError> {
    let malformed = || invalid_value(format!("CIDR block {text} is malformed"));
    let (address, length) = text.split_once('/').ok_or_else(malformed)?;
    address.parse::<std::net::Ipv6Addr>().map_err(|_| malformed())?;
    length.parse::<u8>().ok().filter(|length| *length <= 128).ok_or_else(malformed)?;
    Ok(text.to_ascii_lowercase())
}

/// Up to 255 characters of EC2's set.
pub(super) fn check_description(given: Option<&str>) -> Result<(), ApiError> {
    let Some(text) = given else { return Ok(()) };
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || ". _-:/()#,@[]+=&;{}!$*".contains(character);
    if text.len() > 255 || !text.chars().all(allowed) {
        return Err(invalid_value(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
        ));
    }
    Ok(())
}

/// Takes permissions apart into rules.
pub(super) fn take_apart(tx: &mut Tx, scope: &Scope, given: &[IpPermission]) -> Result<Vec<Asked>, ApiError> {
    let mut asked: Vec<Asked> = Vec::new();
    for permission in given {
        let protocol = protocol(permission.ip_protocol.as_deref())?;
        let (from_port, to_port) = ports(&protocol, permission.from_port, permission.to_port)?;
        let mut peers: Vec<(RulePeer, Option<String>)> = Vec::new();
        for range in permission.ip_ranges.iter().flatten() {
            peers.push((
                RulePeer::Cidr(cidr(range.cidr_ip.as_deref().unwrap_or_default())?),
                range.description.clone(),
            ));
        }
        for range in permission.ipv6_ranges.iter().flatten() {
            peers.push((
                RulePeer::Ipv6Cidr(ipv6_cidr(range.cidr_ipv6.as_deref().unwrap_or_default())?),
                range.description.clone(),
            ));
        }
        for pair in permission.user_id_group_pairs.iter().flatten() {
            let group = named(tx, scope, pair.group_id.as_deref(), pair.group_name.as_deref())?;
            peers.push((RulePeer::Group(group.id.clone()), pair.description.clone()));
        }
        if permission.prefix_list_ids.as_ref().is_some_and(|lists| !lists.is_empty()) {
            return Err(error("InvalidPrefixListID.NotFound", "The prefix list does not exist"));
        }
        if peers.is_empty() {
            return Err(missing("cidrIp, cidrIpv6 or groupId of the permission"));
        }
        for (peer, description) in peers {
            check_description(description.as_deref())?;
            asked.push(Asked { protocol: protocol.clone(), from_port, to_port, peer, description });
        }
    }
    Ok(asked)
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
            for asked in take_apart(tx, scope, &permissions)? {
                if let Some(rule) =
                    record.rules.iter().find(|rule| rule.egress == egress && asked.equals(rule))
                {
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
            if record.rules.iter().filter(|rule| rule.egress == egress).count() > MOST_RULES {
                return Err(error(
                    "RulesPerSecurityGroupLimitExceeded",
                    "The maximum number of rules per security group has been reached.",
                ));
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

pub async fn authorize_ingress(
    call: Call,
    input: AuthorizeSecurityGroupIngressRequest,
) -> Result<AuthorizeSecurityGroupIngressResult, ApiError> {
    let simple = Simple {
        protocol: input.ip_protocol,
        from_port: input.from_port,
        to_port: input.to_port,
        cidr: input.cidr_ip,
        source_group: input.source_security_group_name,
    };
    let permissions = permissions_of(simple, input.ip_permissions)?;
    let tags = tags::specified("security-group-rule", input.tag_specifications)?;
    let rules = authorize(&call, false, (input.group_id, input.group_name), permissions, tags).await?;
    Ok(AuthorizeSecurityGroupIngressResult { r#return: Some(true), security_group_rules: Some(rules) })
}

pub async fn authorize_egress(
    call: Call,
    input: AuthorizeSecurityGroupEgressRequest,
) -> Result<AuthorizeSecurityGroupEgressResult, ApiError> {
    let simple = Simple {
        protocol: input.ip_protocol,
        from_port: input.from_port,
        to_port: input.to_port,
        cidr: input.cidr_ip,
        source_group: input.source_security_group_name,
    };
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
    let simple = Simple {
        protocol: input.ip_protocol,
        from_port: input.from_port,
        to_port: input.to_port,
        cidr: input.cidr_ip,
        source_group: input.source_security_group_name,
    };
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
    let simple = Simple {
        protocol: input.ip_protocol,
        from_port: input.from_port,
        to_port: input.to_port,
        cidr: input.cidr_ip,
        source_group: input.source_security_group_name,
    };
    let ids = input.security_group_rule_ids.unwrap_or_default();
    let permissions = if ids.is_empty() { permissions_of(simple, input.ip_permissions)? } else { Vec::new() };
    let revoked = revoke(&call, true, (input.group_id, None), ids, permissions).await?;
    Ok(RevokeSecurityGroupEgressResult {
        r#return: Some(true),
        revoked_security_group_rules: Some(revoked),
        ..RevokeSecurityGroupEgressResult::default()
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
                let permission = IpPermission {
                    ip_protocol: wanted.ip_protocol,
                    from_port: wanted.from_port,
                    to_port: wanted.to_port,
                    ip_ranges: wanted
                        .cidr_ipv4
                        .map(|cidr| vec![IpRange { cidr_ip: Some(cidr), description: None }]),
                    ipv6_ranges: wanted
                        .cidr_ipv6
                        .map(|cidr| vec![Ipv6Range { cidr_ipv6: Some(cidr), description: None }]),
                    user_id_group_pairs: wanted
                        .referenced_group_id
                        .map(|id| vec![UserIdGroupPair { group_id: Some(id), ..UserIdGroupPair::default() }]),
                    ..IpPermission::default()
                };
                let Some(asked) = take_apart(tx, scope, &[permission])?.pop() else { continue };
                let rule = record.rules.iter_mut().find(|rule| rule.id == id).ok_or_else(|| {
                    error(
                        "InvalidSecurityGroupRuleId.NotFound",
                        format!("The security group rule ID '{id}' does not exist"),
                    )
                })?;
                (rule.protocol, rule.from_port, rule.to_port, rule.peer) =
                    (asked.protocol, asked.from_port, asked.to_port, asked.peer);
                rule.description = wanted.description;
            }
            tx.put(scope, &group_id, record);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(ModifySecurityGroupRulesResult { r#return: Some(true) })
}

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
    let mut found = Vec::new();
    for (group_id, group) in call.services.state.view().scan::<SecurityGroup>(scope) {
        for rule in &group.rules {
            if (ids.is_empty() || ids.contains(&rule.id)) && filters.match_all(&Shown { group_id, rule })? {
                found.push(rule_shape(scope, group_id, rule));
            }
        }
    }
    let id_of = |rule: &ec2::SecurityGroupRule| rule.security_group_rule_id.clone().unwrap_or_default();
    if let Some(id) = ids.iter().find(|id| !found.iter().any(|rule| id_of(rule) == **id)) {
        return Err(error(
            "InvalidSecurityGroupRuleId.NotFound",
            format!("The security group rule ID '{id}' does not exist"),
        ));
    }
    found.sort_by_key(id_of);
    let page = page(&call, "security-group-rules", found, id_of, input.next_token, input.max_results)?;
    Ok(DescribeSecurityGroupRulesResult {
        security_group_rules: Some(page.items),
        next_token: page.next_token,
    })
}

fn rule_shape(scope: &Scope, group_id: &str, rule: &SecurityGroupRule) -> ec2::SecurityGroupRule {
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

fn revoked_shape(group_id: &str, rule: &SecurityGroupRule) -> RevokedSecurityGroupRule {
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
                })
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
        _ => return None,
    };
    Some(values)
}
