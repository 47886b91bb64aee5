//! Key Management Service.

use aws_shapes_kms as kms;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(kms::SERVICE);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables
}
