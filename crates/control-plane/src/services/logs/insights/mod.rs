//! Logs Insights: queries over the events of some groups.
//!
//! [`language`] reads a query, [`engine`] applies it to events, [`running`] keeps it going in the background. A query is a
//! record, so that its id means something after a restart; see [`running`] about results.

mod aggregate;
mod calls;
mod engine;
mod event;
mod language;
mod running;

pub use self::{
    calls::{QueryRecord, describe, fields_of_group, forget, record, results, start, stop},
    running::Queries,
};

#[cfg(test)]
mod tests;
