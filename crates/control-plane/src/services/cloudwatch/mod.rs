//! CloudWatch: metrics and alarms.

use aws_shapes_cloudwatch as cloudwatch;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(cloudwatch::SERVICE);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables
}
