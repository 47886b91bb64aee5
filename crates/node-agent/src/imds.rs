//! The instance metadata service, version 2: what programs on the machine and its containers ask at 169.254.169.254.
//!
//! A session begins with `PUT /latest/api/token`; without its token nothing is told ("Use IMDSv2" of the EC2 user guide, with
//! `HttpTokens=required`). A token is not given out to a request that a proxy passed on, and, where the hop limit is 1, not to containers:
//! then only the machine's own programs have the role of the instance. With the limit of 2 containers on the bridge have it as well, as on an
//! instance that was started for ECS. Tasks in VPCs (`awsvpc`) are on no instance and never reach it.
//!
//! The role is that of the machine's instance profile. Its credentials come from the control plane, which decides whether the agent may have
//! them, and are fetched anew before they end. Nothing of this is kept on disk.

mod documents;
mod role;
mod server;
#[cfg(test)]
mod tests;
mod tokens;

use std::{net::Ipv4Addr, net::SocketAddr, sync::Arc};

use agent_protocol::ControlPlane;

pub use server::Imds;

/// What the machine tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceIdentity {
    /// `i-…`
    pub instance_id: String,
    pub account: String,
    pub region: String,
    pub availability_zone: String,
    /// Where published ports are reached.
    pub private_address: Option<Ipv4Addr>,
}

/// How the service is set up.
#[derive(Clone)]
pub struct ImdsConfig {
    pub listen: SocketAddr,
    pub identity: InstanceIdentity,
    /// Where the role's credentials come from; none for a machine without an instance profile.
    pub role: Option<Arc<dyn ControlPlane>>,
    /// How far answers to `PUT` reach: 1 for the machine alone, 2 or more for its containers as well.
    pub hop_limit: u8,
}

impl std::fmt::Debug for ImdsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImdsConfig")
            .field("listen", &self.listen)
            .field("identity", &self.identity)
            .field("hop_limit", &self.hop_limit)
            .finish_non_exhaustive()
    }
}
