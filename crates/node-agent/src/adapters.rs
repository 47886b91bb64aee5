//! The real machine behind the [`crate::ports`]: each adapter translates, and decides nothing.

mod images;
mod network;
mod runtime;

use std::sync::Arc;

use container_runtime::RuntimeConfig;
use host_network::NetworkConfig;
use image_store::{ImageStore, StoreOptions};
use vocabulary::Transfers;

use crate::{AgentConfig, AgentError, node::Machine};

impl Machine {
    /// This machine: images under `DATA_DIR/images`, sandboxes and the network as configured. Must be called within a tokio runtime,
    /// as root, by a process that holds `network`'s prefix alone.
    ///
    /// # Errors
    /// When the image store, the runtime or the network cannot be set up.
    pub async fn real(config: &AgentConfig, network: NetworkConfig) -> Result<Machine, AgentError> {
        Machine::with_network(config, host_network::Network::start(network)).await
    }

    /// The same over a network that is started otherwise.
    ///
    /// # Errors
    /// The same.
    pub async fn with_network(
        config: &AgentConfig,
        network: impl Future<Output = Result<host_network::Network, host_network::NetworkError>>,
    ) -> Result<Machine, AgentError> {
        let failed = |what| {
            move |error: &dyn std::fmt::Display| AgentError::Machine { what, reason: error.to_string() }
        };
        let runtime = container_runtime::Runtime::new(RuntimeConfig {
            exe: config.exe.clone(),
            shim_args: vec!["shim".to_owned()],
            run_dir: config.run_dir.join("shims"),
            cgroup_root: config.cgroup_root.clone(),
        })
        .map_err(|error| failed("the container runtime cannot be set up")(&error))?;
        runtime.prepare(config.idle_shims);
        let options = StoreOptions { authority: config.authority.clone(), ..StoreOptions::default() };
        let (store, network) =
            tokio::join!(ImageStore::open(config.data_dir.join("images"), options), network,);
        let store = store.map_err(|error| failed("the image store cannot be opened")(&error))?;
        let network = network.map_err(|error| failed("the network cannot be set up")(&error))?;
        Ok(Machine::over(runtime, store, network, config.transfers.clone()))
    }

    /// The same over parts that were set up elsewhere.
    pub fn over(
        runtime: container_runtime::Runtime,
        store: ImageStore,
        network: host_network::Network,
        transfers: Transfers,
    ) -> Machine {
        Machine {
            runtime: Arc::new(runtime::RealRuntime(runtime)),
            images: Arc::new(images::RealImages { store, transfers }),
            network: Arc::new(network::RealNetwork::new(network)),
        }
    }
}
