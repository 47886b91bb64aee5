//! What every task of the node shares.

use std::sync::Arc;

use agent_protocol::ControlPlane;

use crate::{
    clock::Clock,
    config::AgentConfig,
    endpoint::Directory,
    journal::Journal,
    ports::{Images, Network, Runtime},
    trash::Trash,
};

/// The machine that the agent works with.
#[derive(Clone)]
pub struct Machine {
    pub runtime: Arc<dyn Runtime>,
    pub images: Arc<dyn Images>,
    pub network: Arc<dyn Network>,
}

pub(crate) struct Node {
    pub config: AgentConfig,
    pub machine: Machine,
    pub control: Arc<dyn ControlPlane>,
    /// The tasks that the metadata endpoint answers.
    pub directory: Arc<Directory>,
    pub clock: Clock,
    pub trash: Arc<Trash>,
    pub journal: Arc<Journal>,
}
