//! Systems Manager: Parameter Store and Session Manager, a half each.

pub mod parameters;
pub mod sessions;

use aws_shapes_ssm as ssm;
use state_store::Tables;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    parameters::register(operations.service(ssm::SERVICE));
    sessions::register(operations.service(ssm::SERVICE));
}

/// Declares the service's records.
pub fn tables(tables: Tables) -> Tables {
    sessions::tables(parameters::tables(tables))
}
