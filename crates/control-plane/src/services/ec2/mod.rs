//! EC2, as far as containers need it: networks, interfaces, security groups, addresses.

pub mod interfaces;
pub mod networks;
pub mod records;
pub mod state;

use aws_shapes_ec2 as ec2;
use state_store::Tables;

use crate::gateway::Operations;

/// Declares the service's records.
pub fn tables(tables: Tables) -> Tables {
    tables
        .with::<records::DefaultNetwork>()
        .with::<records::Vpc>()
        .with::<records::Subnet>()
        .with::<records::SecurityGroup>()
        .with::<records::NetworkInterface>()
        .with::<records::AddressClaim>()
        .with::<records::RangeClaim>()
}

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(ec2::SERVICE);
}
