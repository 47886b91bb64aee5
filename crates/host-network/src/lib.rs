//! The network of one machine: namespaces for tasks, their elastic network interfaces, security groups and public
//! addresses, made of Linux namespaces, veth pairs, routes and nftables.
//!
//! A VPC is routed (see `docs/decisions/0001-vpc-is-routed.md`). Each interface is a veth pair; the host has a route
//! to its one address and answers ARP for everyone else's, so every packet between tasks passes the host's rules, and
//! no task sees another's frames. What this crate guarantees:
//!
//! - A task's address is reachable from the host, and from tasks of its VPC, exactly as its security groups say.
//! - A packet for a VPC or public address that no interface holds never leaves the machine.
//! - A task cannot send with another address, IPv4 or hardware, and reaches on the host only what
//!   [`NetworkConfig::services`] lists. [`Sources`] gives flows that the composer names another source, after that check.
//! - A change that breaks off leaves an interface closed, never open.
//! - Nothing of the host's own is changed but the forwarding setting of its default route's link, which is put back
//!   and confined meanwhile (see `uplink`). Everything made carries the prefix, the table's name or the route protocol given to it.
//! - A container on the node's bridge is reached through the ports that are published for it, and by its neighbours.
//! - Tasks and their network outlive the process; the next start adopts them.
//!
//! It does not choose addresses (`addressing` does), resolve names, or know tasks and accounts.
//!
//! ```no_run
//! use std::collections::BTreeSet;
//! use host_network::{
//!     EniId, GroupId, HostAddress, HostService, InterfaceSpec, Network, NetworkConfig, Peer, Ports, Rule,
//!     SecurityGroupSpec, Traffic, Transport, VpcId, VpcSpec,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = NetworkConfig::new("/run/longshore/network");
//! // The API for tasks, at http://169.254.170.2:4566. Listeners bind after `start`, which adds the addresses.
//! config.services.push(HostService { address: HostAddress::Metadata, protocol: Transport::Tcp, port: 4566 });
//! let network = Network::start(config).await?;
//!
//! let cidr = addressing::vpc::choose_default_vpc(&network.host_ranges().await?).ok_or("no range is free")?;
//! let subnets = addressing::vpc::default_subnets(cidr);
//! let vpc_id = VpcId::new("vpc-0a1b2c3d4e5f60718")?;
//! network.ensure_vpc(VpcSpec { id: vpc_id.clone(), cidr, subnets: subnets.to_vec() }).await?;
//!
//! let web = GroupId::new("sg-0a1b2c3d4e5f60718")?;
//! let mut rules = SecurityGroupSpec::new(web.clone());
//! rules.ingress.push(Rule { traffic: Traffic::Tcp(Ports::one(8443)), peer: Peer::Cidr("0.0.0.0/0".parse()?) });
//! network.set_security_group(rules).await?;
//!
//! let eni_id = EniId::new("eni-0a1b2c3d4e5f60718")?;
//! let attached = network
//!     .attach(InterfaceSpec {
//!         eni_id: eni_id.clone(),
//!         vpc_id,
//!         subnet: subnets[0],
//!         address: subnets[0].nth(4).ok_or("a subnet has more addresses")?,
//!         mac: "02:11:22:33:44:55".parse()?,
//!         security_groups: BTreeSet::from([web]),
//!         public_address: Some("198.18.0.7".parse()?),
//!         published: vec![],
//!     })
//!     .await?;
//! println!("run the task in {}", attached.netns_path.display());
//!
//! network.detach(eni_id).await?; // after its last process has ended
//! network.teardown().await?; // or just drop it: the next start adopts what runs
//! # Ok(())
//! # }
//! ```

mod adopt;
mod bridge;
mod engine;
mod entry;
mod error;
mod groups;
mod interfaces;
mod isolated;
mod namespace;
mod netlink;
mod network;
mod nft;
mod probe;
mod reconcile;
mod records;
mod ruleset;
mod slot;
mod sockets;
mod sources;
mod spec;
mod state;
mod sysctl;
mod uplink;
mod vpcs;

#[cfg(test)]
mod tests;

pub use error::NetworkError;
pub use netlink::NetlinkError;
pub use network::Network;
pub use probe::{Finding, Verdict, probe};
pub use sockets::{NamespaceSockets, datagrams_in, stream_in};
pub use sources::{Appearance, Appearing, Sources};
pub use spec::{
    Attached, DesiredNetwork, EniId, GroupId, HostAddress, HostService, INSTANCE_METADATA_ADDRESS, IdError,
    InterfaceSpec, METADATA_ADDRESS, NetworkConfig, Peer, Ports, Publish, Published, RESOLVER_ADDRESS,
    Reconciled, Rule, SecurityGroupSpec, Traffic, Transport, VpcId, VpcSpec,
};
