//! What a network consists of, as the composer states it: VPCs, interfaces, security groups, and the services of
//! the host that tasks may reach. Plain values with checked names; addresses and ranges come from `addressing`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::Ipv4Addr,
    path::PathBuf,
};

use addressing::{Cidr, DEFAULT_PUBLIC_RANGE, MacAddress};
use serde::{Deserialize, Serialize};

use crate::netlink::ROUTE_PROTOCOL;

/// Where tasks find credentials and task metadata, as on AWS.
pub const METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);
/// Where programs on an instance find its metadata and the credentials of its role.
pub const INSTANCE_METADATA_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Where tasks find the name server, besides their VPC's base + 2.
pub const RESOLVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// How this machine's part of the network is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Interfaces on the host are named `PREFIX-…`; at most 6 of `[a-z0-9]`. One process per prefix and namespace.
    pub prefix: String,
    /// The nftables table (family `inet`) that everything lives in; `[a-z][a-z0-9-]*`, at most 32.
    pub table: String,
    /// Holds the tasks' namespaces (`netns/`) and what is needed to adopt them after a restart. Belongs on a file
    /// system that is empty after a reboot (`/run/…`). Made when missing.
    pub run_dir: PathBuf,
    /// Public addresses come from this range; it gets an unreachable route. `None`: there are none, and nobody has one.
    pub public_range: Option<Cidr>,
    /// Keep a network of the node's own beside VPCs, for containers whose ports are published at the node's addresses.
    pub bridge: bool,
    /// The address that the host holds for credentials and metadata. Tasks ask [`METADATA_ADDRESS`] whatever it is: on a machine
    /// where another network holds that, port 80 of it is translated.
    pub metadata: Ipv4Addr,
    /// The same for the name server, and [`RESOLVER_ADDRESS`].
    pub resolver: Ipv4Addr,
    /// The address that the host holds for [`INSTANCE_METADATA_ADDRESS`], to which port 80 of that is translated for tasks: the address
    /// itself may be the machine's own provider's. `None`: tasks do not reach it.
    pub instance_metadata: Option<Ipv4Addr>,
    /// Marks this network's routes (`ip route` shows `proto N`), so that it finds its own again and lets others' be.
    pub route_protocol: u8,
    /// What tasks may reach on the host; everything else there is closed to them.
    pub services: Vec<HostService>,
    /// How many namespaces are kept prepared (0–256). Each start of a task takes one and it is replaced afterwards.
    pub warm_namespaces: usize,
    /// The `nft` program.
    pub nft: PathBuf,
}

impl NetworkConfig {
    /// The defaults: prefix `lsh`, table `longshore`, public range 198.18.0.0/16, 24 prepared namespaces, `nft` from
    /// the search path; tasks reach port 80 of the metadata address and port 53 of the resolver.
    pub fn new(run_dir: impl Into<PathBuf>) -> NetworkConfig {
        let service = |address, protocol, port| HostService { address, protocol, port };
        NetworkConfig {
            prefix: "lsh".to_owned(),
            table: "longshore".to_owned(),
            run_dir: run_dir.into(),
            public_range: Some(DEFAULT_PUBLIC_RANGE),
            bridge: false,
            metadata: METADATA_ADDRESS,
            resolver: RESOLVER_ADDRESS,
            instance_metadata: None,
            route_protocol: ROUTE_PROTOCOL,
            services: vec![
                service(HostAddress::Metadata, Transport::Tcp, 80),
                service(HostAddress::Resolver, Transport::Udp, 53),
                service(HostAddress::Resolver, Transport::Tcp, 53),
            ],
            warm_namespaces: 24,
            nft: PathBuf::from("nft"),
        }
    }

    /// Those of a container instance's agent, which may share the machine with a platform and its network: prefix `lsha`, table
    /// `longshore-agent`, link-local addresses and a route protocol of its own, a bridge, no public addresses.
    pub fn for_instance(run_dir: impl Into<PathBuf>) -> NetworkConfig {
        let own = NetworkConfig::new(run_dir);
        let metadata =
            HostService { address: HostAddress::InstanceMetadata, protocol: Transport::Tcp, port: 80 };
        NetworkConfig {
            prefix: "lsha".to_owned(),
            table: "longshore-agent".to_owned(),
            public_range: None,
            bridge: true,
            metadata: Ipv4Addr::new(169, 254, 171, 2),
            resolver: Ipv4Addr::new(169, 254, 171, 3),
            instance_metadata: Some(Ipv4Addr::new(169, 254, 171, 4)),
            route_protocol: ROUTE_PROTOCOL + 1,
            warm_namespaces: 8,
            services: own.services.iter().copied().chain([metadata]).collect(),
            ..own
        }
    }
}

/// A port of the host that tasks may reach, past their groups' egress rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostService {
    pub address: HostAddress,
    pub protocol: Transport,
    pub port: u16,
}

/// Which of the host's addresses a service is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostAddress {
    /// [`METADATA_ADDRESS`].
    Metadata,
    /// [`INSTANCE_METADATA_ADDRESS`], where the network has it.
    InstanceMetadata,
    /// [`RESOLVER_ADDRESS`], and base + 2 of every VPC. Port 53 of the latter is translated to the former, so a
    /// name server listens on one address.
    Resolver,
    /// Base + 1 of every subnet.
    Router,
    /// An address of the host that tasks have a route to.
    Address(Ipv4Addr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    Tcp,
    Udp,
}

/// A port of the node that leads to a port of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Published {
    pub protocol: Transport,
    pub host_port: u16,
    pub container_port: u16,
}

impl Published {
    /// The node's port, which belongs to one.
    pub(crate) fn of_node(&self) -> (Transport, u16) {
        (self.protocol, self.host_port)
    }
}

/// Ports that are to be published; without a host port as many in a row of the ephemeral range are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Publish {
    pub protocol: Transport,
    /// The first of the node's.
    pub host_port: Option<u16>,
    /// The first of the interface's.
    pub container_port: u16,
    /// How many in a row; at least 1.
    pub count: u16,
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Refuses anything but the prefix and 1–40 of `[a-z0-9-]`: ids become names in the kernel.
            pub fn new(id: impl Into<String>) -> Result<$name, IdError> {
                let id = id.into();
                let plain = |rest: &str| {
                    let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                    (1..=40).contains(&rest.len()) && rest.bytes().all(safe)
                };
                match id.strip_prefix($prefix).is_some_and(plain) {
                    true => Ok($name(id)),
                    false => Err(IdError { prefix: $prefix, id: id.chars().take(64).collect() }),
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(id: String) -> Result<$name, IdError> {
                $name::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(/// A VPC's id, `vpc-…`.
    VpcId, "vpc-");
id!(/// An elastic network interface's id, `eni-…`.
    EniId, "eni-");
id!(/// A security group's id, `sg-…`.
    GroupId, "sg-");

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{id}' is not '{prefix}' and 1–40 lower-case letters, digits and hyphens")]
pub struct IdError {
    prefix: &'static str,
    id: String,
}

/// A VPC: the host holds its routers' and its resolver's addresses and routes its whole range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcSpec {
    pub id: VpcId,
    /// /16 to /28, disjoint from every other VPC and from what the host routes.
    pub cidr: Cidr,
    /// Disjoint ranges inside `cidr`.
    pub subnets: Vec<Cidr>,
}

/// An elastic network interface, of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSpec {
    pub eni_id: EniId,
    pub vpc_id: VpcId,
    /// One of the VPC's subnets: gives the prefix length and the router (base + 1).
    pub subnet: Cidr,
    pub address: Ipv4Addr,
    pub mac: MacAddress,
    /// What any of them allows is allowed (1–16). An interface without a group has no traffic at all.
    pub security_groups: BTreeSet<GroupId>,
    /// Reached at this address too, and reaches outside. Of the configured public range.
    pub public_address: Option<Ipv4Addr>,
    /// Ports of the node that lead here; each belongs to one interface. Only those of the bridge have any.
    #[serde(default)]
    pub published: Vec<Published>,
}

/// A security group's rules. Stateful: answers to what one direction allowed pass in the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupSpec {
    pub id: GroupId,
    /// What may come in; nothing else does.
    pub ingress: Vec<Rule>,
    /// What may go out; nothing else does.
    pub egress: Vec<Rule>,
}

impl SecurityGroupSpec {
    /// As EC2 makes one: nothing comes in, everything goes out.
    pub fn new(id: GroupId) -> SecurityGroupSpec {
        SecurityGroupSpec { id, ingress: vec![], egress: vec![Rule::everything()] }
    }
}

/// Allows `traffic` from (ingress) or to (egress) `peer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    pub traffic: Traffic,
    pub peer: Peer,
}

impl Rule {
    /// All protocols, everywhere: the egress rule of a new group.
    pub fn everything() -> Rule {
        Rule { traffic: Traffic::All, peer: Peer::Cidr(Cidr::ANYWHERE) }
    }
}

/// Protocol and ports of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traffic {
    /// `-1`.
    All,
    Tcp(Ports),
    Udp(Ports),
    /// `None` is any (`-1`). A code needs a type.
    Icmp {
        icmp_type: Option<u8>,
        code: Option<u8>,
    },
    /// Another protocol by number.
    Protocol(u8),
}

/// Destination ports, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    pub const ALL: Ports = Ports { first: 0, last: u16::MAX };

    /// `None` when `first` is above `last`.
    pub fn new(first: u16, last: u16) -> Option<Ports> {
        (first <= last).then_some(Ports { first, last })
    }

    pub fn one(port: u16) -> Ports {
        Ports { first: port, last: port }
    }

    pub fn first(self) -> u16 {
        self.first
    }

    pub fn last(self) -> u16 {
        self.last
    }
}

/// The other side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Peer {
    Cidr(Cidr),
    /// The private addresses of the group's interfaces, on this machine and (see `set_remote_members`) others.
    Group(GroupId),
    /// A prefix list's entries.
    Prefixes(Vec<Cidr>),
}

/// Everything that shall exist, for convergence after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredNetwork {
    pub vpcs: Vec<VpcSpec>,
    pub security_groups: Vec<SecurityGroupSpec>,
    pub interfaces: Vec<InterfaceSpec>,
    /// Members of groups whose interfaces are on other machines.
    pub remote_members: BTreeMap<GroupId, BTreeSet<Ipv4Addr>>,
    /// Names of namespaces with nothing but `lo` (network mode `none`).
    pub isolated: BTreeSet<String>,
}

/// An interface that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    pub spec: InterfaceSpec,
    /// The namespace to run the task in: a file to open and `setns` to. Has `lo` and `eth0`, both up.
    pub netns_path: PathBuf,
    /// The host's end of it.
    pub host_interface: String,
}

/// What [`crate::Network::reconcile`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Already there as desired; groups and public address may have been brought up to date.
    pub kept: Vec<EniId>,
    /// Made, in a new namespace: a task that ran there before is gone.
    pub attached: Vec<EniId>,
    pub detached: Vec<EniId>,
    /// Desired but not possible, with the reason.
    pub failed: Vec<(EniId, String)>,
}
