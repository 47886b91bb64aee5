//! Secrets Manager.

use aws_shapes_secretsmanager as secretsmanager;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(secretsmanager::SERVICE);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables
}
