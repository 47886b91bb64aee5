//! Certificate Manager.

use aws_shapes_acm as acm;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(acm::SERVICE);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables
}
