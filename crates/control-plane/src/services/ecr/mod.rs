//! Elastic Container Registry.

use aws_shapes_ecr as ecr;
use state_store::Tables;

use crate::gateway::Operations;

/// Declares the service's records.
pub fn tables(tables: Tables) -> Tables {
    crate::registry::records::tables(tables)
}

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(ecr::SERVICE);
}
