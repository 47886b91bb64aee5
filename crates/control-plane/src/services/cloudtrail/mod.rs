//! CloudTrail.

use aws_shapes_cloudtrail as cloudtrail;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(cloudtrail::SERVICE);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables
}
