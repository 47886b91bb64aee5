//! The side that nodes see: what they are told, and where their reports go in.

mod dispatch;
mod link;

pub use dispatch::dispatch;
pub use link::AgentLink;
