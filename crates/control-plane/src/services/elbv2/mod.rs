//! Elastic Load Balancing v2.

mod arns;
mod errors;
pub mod health;
pub mod instances;
pub mod records;
pub mod targets;

use aws_shapes_elbv2 as elbv2;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(elbv2::SERVICE);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables
        .with::<records::LoadBalancer>()
        .with::<records::Listener>()
        .with::<records::TargetGroup>()
        .with::<records::Target>()
        .with::<instances::InstanceAddress>()
}
