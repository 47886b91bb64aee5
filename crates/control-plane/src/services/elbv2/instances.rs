//! Where an instance can be reached. There are no instances but those that agents register.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use state_store::{Record, View};
use vocabulary::Scope;

/// The address of an instance; its id is the instance's (`i-…`), its scope the instance's account and region. Written when an agent registers,
/// deleted when the instance is deregistered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceAddress {
    /// Where load balancers reach its host ports.
    pub address: Ipv4Addr,
    /// `us-east-1a`; none when the agent did not say.
    pub zone: Option<String>,
}

impl Record for InstanceAddress {
    const SERVICE: &'static str = "elbv2";
    const KIND: &'static str = "instance-address";
    const SCHEMA_VERSION: u32 = 1;
}

/// The instance with this id, if it is registered.
pub fn find(view: &View, scope: &Scope, instance_id: &str) -> Option<InstanceAddress> {
    view.get::<InstanceAddress>(scope, instance_id).map(|found| (*found).clone())
}
