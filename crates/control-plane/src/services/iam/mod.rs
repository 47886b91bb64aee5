//! Identity and Access Management.

pub mod access_keys;

use aws_shapes_iam as iam;
use state_store::Tables;

use crate::gateway::Operations;

/// Declares the service's records.
pub fn tables(tables: Tables) -> Tables {
    tables.with::<access_keys::AccessKey>()
}

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(iam::SERVICE);
}
