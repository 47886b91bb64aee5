//! Puts the control plane together.

use std::{
    fs::Permissions,
    io,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use addressing::Cidr;
use agent_protocol::AcsMessage;
use blob_store::{BlobError, BlobStore, FileBlobStore, Limits};
use name_server::ZoneTable;
use state_store::{SqliteOptions, SqliteStore, State, StateError, Store, StoreError};
use telemetry_store::TelemetryStore;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use vocabulary::{AccountId, Region};

use crate::{
    agents::{AgentLink, Agents, Node, connected, dispatch},
    gateway::{ApiError, Gateway, Listening, Trust},
    names, reconcilers,
    registry::{Authorize, Registry, catalog::Catalog, token::Access, token::TokenKey},
    secret::{InstallationSecret, SealingKey},
    services::{self, Services, Settings, logs::Logs, paging::PageTokens},
    upkeep,
};

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// `host:port` for repository URIs; `localhost:PORT` when none is given.
    pub public_name: Option<String>,
    pub account: AccountId,
    pub region: Region,
    pub public_pool: Cidr,
    pub store: StoreChoice,
    /// Where images, logs and, with the embedded store, all state lie.
    pub data_dir: PathBuf,
    /// Keep nothing beyond this run: logs and state stay in memory.
    pub ephemeral: bool,
    /// Ranges that the machine routes itself.
    pub host_ranges: Vec<Cidr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChoice {
    Sqlite,
    /// Endpoints, `http://host:port`.
    Etcd(Vec<String>),
}

/// Why the control plane could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{} cannot be listened on: {source}", .address)]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "{0} is not a loopback address: on any other the front door needs issued keys and TLS, which are not there yet. Use 127.0.0.1."
    )]
    NotLoopback(SocketAddr),
    #[error("the state store cannot be opened")]
    Store(#[from] StoreError),
    #[error("the tables cannot be read")]
    State(#[from] StateError),
    #[error("what an earlier run left of container instances cannot be put right: {0}")]
    Agents(#[source] ApiError),
    #[error("the blob store cannot be opened")]
    Blobs(#[from] BlobError),
    #[error("the log store cannot be opened")]
    Telemetry(#[from] telemetry_store::StoreError),
    #[error("the data directory {} cannot be used: {source}", .path.display())]
    DataDir { path: PathBuf, source: io::Error },
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    services: Arc<Services>,
    door: Listening,
    background: Vec<JoinHandle<()>>,
}

impl ControlPlane {
    /// Starts; when this returns, the front door answers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<ControlPlane, StartError> {
        if !config.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(config.listen));
        }
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| StartError::Listen { address: config.listen, source })?;
        let listen =
            listener.local_addr().map_err(|source| StartError::Listen { address: config.listen, source })?;
        let data_dir = |source| StartError::DataDir { path: config.data_dir.clone(), source };
        make_private(&config.data_dir).map_err(data_dir)?;
        let secret = if config.ephemeral {
            InstallationSecret::ephemeral()
        } else {
            InstallationSecret::open(&config.data_dir).map_err(data_dir)?
        };
        let store: Arc<dyn Store> = match &config.store {
            StoreChoice::Sqlite if config.ephemeral => Arc::new(SqliteStore::in_memory()?),
            StoreChoice::Sqlite => {
                Arc::new(SqliteStore::open(&config.data_dir.join("state"), &SqliteOptions::default())?)
            }
            StoreChoice::Etcd(endpoints) => open_etcd(endpoints).await?,
        };
        let state = State::open(store, services::tables()).await?;
        let telemetry = if config.ephemeral {
            TelemetryStore::ephemeral(telemetry_store::Options::default())?
        } else {
            TelemetryStore::open(&config.data_dir.join("logs"), telemetry_store::Options::default())?
        };
        let blobs: Arc<dyn BlobStore> =
            Arc::new(FileBlobStore::open(config.data_dir.join("blobs"), Limits::default())?);
        let page_tokens = PageTokens::new(secret.derive("page tokens"));
        let registry = Registry::new(
            Catalog::new(state.clone()),
            blobs,
            TokenKey::new(secret.derive("registry passwords")),
            Arc::new(OwnAccount),
        );
        let services = Arc::new(Services {
            logs: Logs::new(state.clone(), telemetry, page_tokens.clone()),
            state,
            holders: Default::default(),
            registry,
            page_tokens,
            settings: Settings {
                account: config.account,
                region: config.region,
                listen,
                public_name: config.public_name.unwrap_or_else(|| format!("localhost:{}", listen.port())),
                public_pool: config.public_pool,
            },
            host_ranges: config.host_ranges,
            target_health: Default::default(),
            certificate_keys: SealingKey::new(secret.derive("keys of certificates")),
            agents: Agents::default(),
            placing: Default::default(),
            purge_definitions: tokio::sync::Notify::new(),
        });
        connected::forget_earlier(&services).await.map_err(StartError::Agents)?;
        let gateway = Arc::new(Gateway::new(Arc::clone(&services), services::operations()));
        let door = gateway
            .listen(listener, Trust::Open)
            .map_err(|source| StartError::Listen { address: listen, source })?;
        // The same after a restart, and no other server's: it comes from what lies in this one's directory.
        let server = hex::encode(secret.derive("server name"));
        let reconciled = Arc::clone(&services);
        let drained = Arc::clone(&services);
        let background = vec![
            tokio::spawn(upkeep::run(Arc::clone(&services))),
            tokio::spawn(async move {
                if let Err(error) = reconcilers::run(reconciled, server).await {
                    tracing::error!(%error, "services are no longer reconciled; a restart is needed");
                }
            }),
            tokio::spawn(async move {
                if let Err(error) = services::elbv2::upkeep::run(drained).await {
                    tracing::error!(%error, "targets no longer leave their groups; a restart is needed");
                }
            }),
        ];
        Ok(ControlPlane { services, door, background })
    }

    /// The address of the front door.
    pub fn address(&self) -> SocketAddr {
        self.door.address
    }

    /// The services behind the door, for what runs beside it in this process.
    pub fn services(&self) -> Arc<Services> {
        Arc::clone(&self.services)
    }

    /// What the embedded agent talks to.
    pub fn agent_link(&self) -> Arc<AgentLink> {
        Arc::new(AgentLink::new(Arc::clone(&self.services)))
    }

    /// Tells the agent behind `messages` what to run, from now on.
    pub fn connect_agent(&mut self, messages: mpsc::Sender<AcsMessage>) {
        let services = Arc::clone(&self.services);
        self.background.push(tokio::spawn(async move {
            if let Err(error) = dispatch(services, Node::Embedded, messages).await {
                tracing::error!(%error, "the agent is no longer told what to run; a restart is needed");
            }
        }));
    }

    /// What the name server of this machine answers by itself, now and whenever it changes.
    pub fn zones(&mut self) -> watch::Receiver<Arc<ZoneTable>> {
        let state = self.services.state.clone();
        let (publish, tables) = watch::channel(Arc::new(names::table(&state.view())));
        self.background.push(tokio::spawn(async move {
            if let Err(error) = names::follow(state, publish).await {
                tracing::error!(%error, "the name server no longer hears of changes; a restart is needed");
            }
        }));
        tables
    }

    /// Waits until a part that everything else relies on has ended by itself, which none of them does while all is well.
    pub async fn broken(&mut self) {
        let (ended, _, _) = futures_util::future::select_all(&mut self.background).await;
        if let Err(error) = ended {
            tracing::error!(%error, "a background task failed");
        }
    }

    /// Opens a second door for the tasks of this machine, where only issued keys count.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn open_task_door(&self, address: SocketAddr) -> io::Result<Listening> {
        let listener = TcpListener::bind(address).await?;
        // A gateway of its own: what tasks take of its room, the operator does not miss.
        let gateway = Arc::new(Gateway::new(Arc::clone(&self.services), services::operations()));
        gateway.listen(listener, Trust::Strict)
    }

    /// Opens a door for the agents of container instances, on any address: it answers what they ask and nothing else, and only with an
    /// issued key's signature. Without TLS; see [`agents::door`](crate::agents::door).
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn open_agent_door(&self, address: SocketAddr) -> io::Result<Listening> {
        let listener = TcpListener::bind(address).await?;
        let gateway = Arc::new(Gateway::new(Arc::clone(&self.services), services::operations()));
        gateway.listen(listener, Trust::Agents)
    }

    /// Stops answering and lets go of the stores.
    pub async fn stop(self) {
        self.services.agents.close();
        for task in &self.background {
            task.abort();
        }
        self.door.close().await;
        if let Err(error) = self.services.logs.telemetry.close().await {
            tracing::warn!(%error, "the log store did not close cleanly");
        }
        self.services.state.clone().close().await;
    }
}

/// Makes a directory that its owner alone can look into: keys, environments and output lie there.
fn make_private(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))
}

async fn open_etcd(endpoints: &[String]) -> Result<Arc<dyn Store>, StoreError> {
    Ok(Arc::new(state_store::EtcdStore::connect(state_store::EtcdOptions::new(endpoints.to_vec())).await?))
}

/// An account's principals may use its own registry, and no other. Repository policies widen this once there are policies.
struct OwnAccount;

impl Authorize for OwnAccount {
    fn may(&self, access: &Access, _: &str, _: &str) -> bool {
        access.scope.account == access.account
    }
}
