//! The network of one machine: namespaces for tasks, their interfaces, security groups and public addresses.
//! (Docs below.)

mod adopt;
mod engine;
mod entry;
mod error;
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
mod spec;
mod state;
mod sysctl;
#[cfg(test)]
mod tests;
mod uplink;

pub use error::NetworkError;
pub use netlink::NetlinkError;
pub use network::Network;
pub use probe::{Finding, Verdict, probe};
pub use spec::{
    Attached, DesiredNetwork, EniId, GroupId, HostAddress, HostService, IdError, InterfaceSpec,
    METADATA_ADDRESS, NetworkConfig, Peer, Ports, RESOLVER_ADDRESS, Reconciled, Rule, SecurityGroupSpec,
    Traffic, Transport, VpcId, VpcSpec,
};
