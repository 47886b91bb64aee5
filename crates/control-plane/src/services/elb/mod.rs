//! Elastic Load Balancing, the classic kind.

pub mod configuration;
mod policies;
pub mod records;

use aws_shapes_elb as elb;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(elb::SERVICE);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables.with::<records::LoadBalancer>()
}
