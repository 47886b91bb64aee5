//! The side that nodes see: what they are told, and where their reports go in.
//!
//! The node of this machine is told over a channel and reports by function calls ([`AgentLink`]). Container instances connect
//! ([`door`]): a session carries what they are told and what they call ([`session`], [`calls`]), another connection their telemetry.

mod balancers;
mod calls;
pub mod connected;
mod dispatch;
pub mod door;
mod link;
mod pulls;
pub(crate) mod session;
pub mod streams;
pub(crate) mod telemetry;

pub use connected::{Agents, InstanceKey};
pub use dispatch::{Node, dispatch};
pub use link::AgentLink;
