//! The endpoint that tasks know at 169.254.170.2: who they are and which credentials they have.
//!
//! Whoever asks is known by the address that the request comes from: an interface's private address belongs to one task.
//! The container's id in the path says which of its containers. A task gets an answer about itself only, and credentials only
//! for an id of its own; tasks in the host's network, which share its addresses, are known by these unguessable ids alone.

mod documents;
pub(crate) mod file;
mod server;
mod stats;
mod traffic;
mod view;

pub(crate) use server::{Server, ServerError};
pub(crate) use view::{Directory, TaskView};

#[cfg(test)]
mod tests;
