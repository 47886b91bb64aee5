//! What can go wrong, on what.

use std::{io, net::Ipv4Addr, path::PathBuf};

use addressing::{Cidr, vpc::RangeError};

use crate::{
    netlink::NetlinkError,
    spec::{EniId, GroupId, VpcId},
};

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("invalid network configuration: {0}")]
    Config(String),
    #[error("another process holds the network with the interface prefix '{0}'")]
    InUse(String),
    #[error("the network was torn down or its thread ended")]
    Stopped,
    #[error("VPC {vpc_id}: {source}")]
    Range {
        vpc_id: VpcId,
        #[source]
        source: RangeError,
    },
    #[error("VPC {0} does not exist here")]
    UnknownVpc(VpcId),
    #[error("VPC {vpc_id} or subnet {subnet} still has interface {eni_id}")]
    VpcInUse { vpc_id: VpcId, subnet: Cidr, eni_id: EniId },
    #[error("security group {0} does not exist here")]
    UnknownGroup(GroupId),
    #[error("security group {0} is still held by an interface or named by a rule")]
    GroupInUse(GroupId),
    #[error("security group {group_id}: {reason}")]
    Rules { group_id: GroupId, reason: String },
    #[error("interface {0} does not exist here")]
    UnknownInterface(EniId),
    #[error("interface {eni_id}: {reason}")]
    Interface { eni_id: EniId, reason: String },
    #[error("interface {eni_id}: address {address} belongs to {holder}")]
    AddressInUse { eni_id: EniId, address: Ipv4Addr, holder: EniId },
    /// The kernel refused; `what` says which step on what.
    #[error("{what}: {source}")]
    Netlink {
        what: String,
        #[source]
        source: NetlinkError,
    },
    #[error("nft could not {what}: {message}")]
    Nft { what: String, message: String },
    #[error("{what} {path}: {source}", path = path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot make a network namespace: {0}")]
    Namespace(#[source] io::Error),
}

/// Says on what a kernel request failed.
pub(crate) trait During<T> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, NetworkError>;
}

impl<T> During<T> for Result<T, NetlinkError> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, NetworkError> {
        self.map_err(|source| NetworkError::Netlink { what: what(), source })
    }
}

/// Says on which file an operation failed.
pub(crate) trait OnFile<T> {
    fn on_file(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T, NetworkError>;
}

impl<T> OnFile<T> for io::Result<T> {
    fn on_file(self, what: &'static str, path: impl Into<PathBuf>) -> Result<T, NetworkError> {
        self.map_err(|source| NetworkError::File { what, path: path.into(), source })
    }
}
