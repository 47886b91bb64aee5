//! Rules as requests write them, read and checked.

use addressing::Cidr;
use aws_shapes_ec2::{IpPermission, IpRange, UserIdGroupPair};
use state_store::Tx;
use vocabulary::Scope;

use super::super::named;
use crate::{
    gateway::ApiError,
    services::ec2::{
        errors::{error, invalid_value, missing},
        records::{RulePeer, SecurityGroupRule},
    },
};

/// One rule as a request asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub protocol: String,
    pub from_port: Option<i32>,
    pub to_port: Option<i32>,
    pub peer: RulePeer,
    pub description: Option<String>,
}

impl Asked {
    /// Whether `rule` lets the same traffic through.
    pub fn equals(&self, rule: &SecurityGroupRule) -> bool {
        self.protocol == rule.protocol
            && self.from_port == rule.from_port
            && self.to_port == rule.to_port
            && self.peer == rule.peer
    }
}

/// The members that say a single permission without `IpPermissions`.
#[derive(Debug, Default)]
pub struct Simple {
    pub protocol: Option<String>,
    pub from_port: Option<i32>,
    pub to_port: Option<i32>,
    pub cidr: Option<String>,
    pub source_group: Option<String>,
}

pub fn permissions_of(
    simple: Simple,
    given: Option<Vec<IpPermission>>,
) -> Result<Vec<IpPermission>, ApiError> {
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
pub fn protocol(given: Option<&str>) -> Result<String, ApiError> {
    let explicitly = || {
        invalid_value(
            "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.",
        )
    };
    let text = given.ok_or_else(explicitly)?.to_ascii_lowercase();
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

pub fn ports(
    protocol: &str,
    from: Option<i32>,
    to: Option<i32>,
) -> Result<(Option<i32>, Option<i32>), ApiError> {
    match protocol {
        "tcp" | "udp" => {
            let (from, to) = match (from, to) {
                (Some(-1), Some(-1)) => (0, 65535),
                (Some(from), Some(to)) => (from, to),
                _ => {
                    return Err(invalid_value(
                        "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.",
                    ));
                }
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
pub fn check_description(given: Option<&str>) -> Result<(), ApiError> {
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
pub fn take_apart(tx: &mut Tx, scope: &Scope, given: &[IpPermission]) -> Result<Vec<Asked>, ApiError> {
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
