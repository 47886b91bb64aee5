//! A task's interface, and the VPCs and security groups that a node has to know.

use std::net::Ipv4Addr;

pub use addressing::{Cidr, MacAddress};
use routing::config::Configuration;
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
    pub mac_address: MacAddress,
    pub private_address: Ipv4Addr,
    pub subnet_cidr: Cidr,
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

/// All VPCs that interfaces of the node are in, and all security groups that these belong to or refer to. Always the whole
/// state: a message replaces the one before it, and one with a smaller generation is ignored. It goes ahead of
/// the payloads whose tasks need what is new in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkState {
    pub generation: u64,
    pub vpcs: Vec<Vpc>,
    pub security_groups: Vec<SecurityGroup>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vpc {
    /// `vpc-…`
    pub vpc_id: String,
    pub cidr: Cidr,
    /// Of every subnet.
    pub subnets: Vec<Cidr>,
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

/// The load balancers of the node, always all of them: a message replaces the one before it. It goes behind the
/// [`NetworkState`] that has their networks and groups.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancers {
    /// Its generation orders the messages.
    pub configuration: Configuration,
    /// The interfaces that the configuration names, as the network needs them.
    pub interfaces: Vec<NetworkInterface>,
}
