//! CloudTrail: every call of an API in an append-only trail, and looking it up.
//!
//! The gateway records ([`Recording`]), as does the registry for transfers that are no API calls, and ECS what it does in infrastructure
//! roles; nobody else writes. Events lie in files of their own beside the logs, one per day, and go after ninety days; a chain ([`chain`])
//! shows whether they are as they were written. Trails that deliver to buckets, event data stores and insights are not there: their
//! operations answer 501.

pub mod chain;
mod event;
mod lookup;
mod recording;
mod redact;
mod resources;
mod trail;

use aws_shapes_cloudtrail as cloudtrail;

pub use event::{Caller, Entry};
pub use recording::Recording;
pub use trail::{KEPT_DAYS, Place, Trail};

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(cloudtrail::SERVICE).on::<cloudtrail::LookupEvents, _, _>(lookup::events);
}

/// Declares the service's records.
pub fn tables(tables: state_store::Tables) -> state_store::Tables {
    tables
}

#[cfg(test)]
mod tests;
