//! What EC2 keeps: networks and what is in them. Ids are EC2's own (`vpc-` and 17 hex digits).

use std::net::Ipv4Addr;

use addressing::{Cidr, MacAddress};
use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{AccountId, Scope, Timestamp};

use crate::services::tagging::Tags;

/// Where things lie that are unique on the whole platform, whatever account and region they belong to.
pub fn global() -> Scope {
    Scope::new(AccountId::local(), "global".parse().expect("a valid region name"))
}

macro_rules! record {
    ($type:ident, $kind:literal) => {
        impl Record for $type {
            const SERVICE: &'static str = "ec2";
            const KIND: &'static str = $kind;
            const SCHEMA_VERSION: u32 = 1;
        }
    };
    ($type:ident, $kind:literal, indexes: $indexes:expr) => {
        impl Record for $type {
            const SERVICE: &'static str = "ec2";
            const KIND: &'static str = $kind;
            const SCHEMA_VERSION: u32 = 1;

            fn indexes(&self) -> Vec<(&'static str, String)> {
                let indexes: fn(&$type) -> Vec<(&'static str, String)> = $indexes;
                indexes(self)
            }
        }
    };
}

/// That the default network of an account and region was made, so that it does not come back when it is deleted.
/// Its id is [`DefaultNetwork::ID`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DefaultNetwork {
    pub vpc_id: String,
}

impl DefaultNetwork {
    pub const ID: &'static str = "default";
}

record!(DefaultNetwork, "default-network");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Vpc {
    pub id: String,
    pub cidr: Cidr,
    pub is_default: bool,
    pub enable_dns_support: bool,
    pub enable_dns_hostnames: bool,
    pub tags: Tags,
}

record!(Vpc, "vpc");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Subnet {
    pub id: String,
    pub vpc_id: String,
    pub cidr: Cidr,
    /// `us-east-1a`
    pub availability_zone: String,
    pub default_for_zone: bool,
    pub map_public_ip_on_launch: bool,
    pub tags: Tags,
}

record!(Subnet, "subnet", indexes: |subnet| vec![("vpc", subnet.vpc_id.clone())]);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub id: String,
    pub vpc_id: String,
    pub name: String,
    pub description: String,
    pub rules: Vec<SecurityGroupRule>,
    pub tags: Tags,
}

record!(SecurityGroup, "security-group", indexes: |group| vec![("vpc", group.vpc_id.clone())]);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    /// `sgr-…`
    pub id: String,
    pub egress: bool,
    /// `-1`, `tcp`, `udp`, `icmp` or a protocol number.
    pub protocol: String,
    /// First port, or ICMP type; −1 for all.
    pub from_port: Option<i32>,
    /// Last port, or ICMP code; −1 for all.
    pub to_port: Option<i32>,
    pub peer: RulePeer,
    pub description: Option<String>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RulePeer {
    Cidr(Cidr),
    /// Kept and shown; the platform has no IPv6 traffic to let through.
    Ipv6Cidr(String),
    Group(String),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NetworkInterface {
    pub id: String,
    pub vpc_id: String,
    pub subnet_id: String,
    pub availability_zone: String,
    pub mac_address: MacAddress,
    pub private_address: Ipv4Addr,
    /// Empty in a VPC whose DNS support or host names are switched off.
    pub private_dns_name: String,
    pub security_groups: Vec<String>,
    pub public: Option<PublicAssociation>,
    pub description: String,
    /// Whether a service of the platform made it for itself; users cannot delete such an interface.
    pub requester_managed: bool,
    pub attachment: Option<Attachment>,
    pub created_at: Timestamp,
    /// The token of the request that made it: the same one makes no second.
    pub client_token: Option<String>,
    pub tags: Tags,
}

record!(NetworkInterface, "network-interface", indexes: |interface| {
    let mut indexes = vec![("vpc", interface.vpc_id.clone()), ("subnet", interface.subnet_id.clone())];
    indexes.extend(interface.security_groups.iter().map(|group| ("group", group.clone())));
    indexes
});

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublicAssociation {
    pub address: Ipv4Addr,
    /// Of an elastic address; none for one that lives as long as the interface.
    pub allocation_id: Option<String>,
    pub association_id: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attachment {
    /// `ela-attach-…` for a task's interface, `eni-attach-…` for a load balancer's.
    pub id: String,
    pub attached_at: Timestamp,
    /// The service that has it, `amazon-elb`; none for a task, whose account has it.
    #[serde(default)]
    pub service: Option<String>,
}

/// That an address is taken. A public one is claimed in [`global`] under itself; a private one in its VPC's scope, as
/// [`private_claim`] says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddressClaim {
    pub scope: Scope,
    /// The interface or allocation that has it.
    pub owner: String,
}

record!(AddressClaim, "address-claim");

/// The id of the claim of a private address.
pub fn private_claim(vpc_id: &str, address: Ipv4Addr) -> String {
    format!("{vpc_id}/{address}")
}

/// Which VPCs have their ranges within one /16. Its id is that /16; it lies in [`global`]. The ranges in it never overlap: see
/// [`ranges`](super::ranges).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RangeHolders {
    pub holders: Vec<RangeHolder>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeHolder {
    pub scope: Scope,
    pub vpc_id: String,
    pub range: Cidr,
}

record!(RangeHolders, "range-holders");

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct InternetGateway {
    /// `igw-…`
    pub id: String,
    /// The VPC it is attached to.
    pub vpc_id: Option<String>,
    pub tags: Tags,
}

record!(InternetGateway, "internet-gateway", indexes: |gateway| {
    gateway.vpc_id.iter().map(|vpc| ("vpc", vpc.clone())).collect()
});

/// A route table. The route within the VPC (`local`) is in every one and not kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RouteTable {
    /// `rtb-…`
    pub id: String,
    pub vpc_id: String,
    /// Of the association with the VPC itself, which the main table has.
    pub main_association: Option<String>,
    pub associations: Vec<SubnetAssociation>,
    /// The internet gateway that 0.0.0.0/0 goes to. Nothing else can be routed to.
    pub outside: Option<String>,
    /// The token of the request that made it: the same one makes no second.
    pub client_token: Option<String>,
    pub tags: Tags,
}

record!(RouteTable, "route-table", indexes: |table| vec![("vpc", table.vpc_id.clone())]);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetAssociation {
    /// `rtbassoc-…`
    pub id: String,
    pub subnet_id: String,
}

/// An elastic address: public, and the account's until it is released. Whose it is at the moment stands in the interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ElasticAddress {
    /// `eipalloc-…`
    pub allocation_id: String,
    pub address: Ipv4Addr,
    pub association: Option<AddressAssociation>,
    pub tags: Tags,
}

record!(ElasticAddress, "elastic-address");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressAssociation {
    /// `eipassoc-…`
    pub id: String,
    pub interface_id: String,
}
