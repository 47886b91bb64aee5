//! Parameter Store.

use state_store::Tables;

use crate::gateway::ServiceOperations;

/// Registers the handlers.
pub fn register(_: ServiceOperations<'_>) {}

/// Declares the records.
pub fn tables(tables: Tables) -> Tables {
    tables
}
