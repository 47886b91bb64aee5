//! The agent of a node: runs the tasks that the control plane assigns to this machine.
//!
//! It takes ACS messages, keeps what it was told and what it observed in a journal before it acts, and runs each task as an
//! actor around the pure core `task-lifecycle` ([`task`]). Containers live in sandboxes that outlive the agent; after a restart it finds
//! them again and goes on. Upward it reports state changes ([`outbox`]) and ships output ([`logs`]); to the tasks themselves it serves
//! metadata and credentials ([`endpoint`]).
//!
//! What holds: a payload older than the last one seen for its task has no effect; STOPPED is said only when nothing of the task
//! is left on the node; what was not taken by the control plane is said again, until it is.
//!
//! Not here: which tasks run where (the control plane), how containers, images and interfaces are made ([`ports`] over their crates).

mod adapters;
mod agent;
mod balancers;
mod clock;
mod config;
mod endpoint;
pub mod imds;
mod journal;
mod logs;
mod node;
mod outbox;
mod ports;
pub mod remote;
mod retry;
mod streams;
mod task;
mod trash;

pub use agent::{AgentError, AgentHandle, NodeAgent, ShutdownMode};
pub use config::{AgentConfig, METADATA_ADDRESS};
pub use node::Machine;
pub use ports::{
    Adopted, BoxFuture, BridgeEndpoint, Bridged, Conversation, Events, ImageRequest, Images,
    InterfaceSockets, LocalImage, Network, Outputs, Process, Runtime, Sandbox, Tail,
};

#[cfg(test)]
mod tests;
