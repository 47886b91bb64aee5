//! A task's interface, and the security groups of a node.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The elastic network interface of an `awsvpc` task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkInterface {
    /// `eni-…`
    pub interface_id: String,
    pub attachment_arn: String,
    pub vpc_id: String,
    pub subnet_id: String,
    /// `02:…`, lower case, with colons.
    pub mac_address: String,
    pub private_address: Ipv4Addr,
    pub subnet_cidr: Cidr,
    /// The blocks of the VPC: what is reached without translation.
    pub vpc_cidrs: Vec<Cidr>,
    /// The subnet's base address + 1.
    pub router_address: Ipv4Addr,
    /// The VPC's base address + 2 first.
    pub dns_servers: Vec<Ipv4Addr>,
    #[serde(default)]
    pub dns_search_domains: Vec<String>,
    /// `ip-172-31-x-y.REGION.compute.internal`
    pub private_dns_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_address: Option<Ipv4Addr>,
    pub security_group_ids: Vec<String>,
}

/// An IPv4 block with its base address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    pub address: Ipv4Addr,
    /// 0 to 32.
    pub prefix_length: u8,
}

/// Text that is not `ADDRESS/LENGTH`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IPv4 CIDR block")]
pub struct InvalidCidr(String);

impl std::str::FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidCidr(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let address = address.parse().map_err(|_| invalid())?;
        let prefix_length = length.parse().ok().filter(|length| *length <= 32).ok_or_else(invalid)?;
        Ok(Cidr { address, prefix_length })
    }
}

impl TryFrom<String> for Cidr {
    type Error = InvalidCidr;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> String {
        cidr.to_string()
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_length)
    }
}

/// All security groups that interfaces of the node belong to or refer to. Always the whole state: a message replaces the
/// one before it, and one with a smaller generation is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkState {
    pub generation: u64,
    pub security_groups: Vec<SecurityGroup>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    /// `sg-…`
    pub group_id: String,
    pub ingress: Vec<SecurityRule>,
    pub egress: Vec<SecurityRule>,
    /// Private addresses of every interface in the group, also on other nodes: what rules by group compare with.
    pub member_addresses: Vec<Ipv4Addr>,
}

/// Traffic that is let through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityRule {
    pub protocol: RuleProtocol,
    pub peer: RulePeer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RuleProtocol {
    All,
    Tcp {
        from_port: u16,
        to_port: u16,
    },
    Udp {
        from_port: u16,
        to_port: u16,
    },
    /// `None`: any type or code.
    Icmp {
        icmp_type: Option<u8>,
        icmp_code: Option<u8>,
    },
    /// Another IP protocol by its number, all of it.
    Number(u8),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RulePeer {
    Cidr(Cidr),
    /// Members of another (or the same) group.
    SecurityGroup(String),
}
