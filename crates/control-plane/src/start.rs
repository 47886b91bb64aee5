//! Puts the control plane together.

use std::{
    fs::Permissions,
    io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use addressing::Cidr;
use agent_protocol::AcsMessage;
use blob_store::{BlobError, BlobStore, FileBlobStore, Limits};
use name_server::ZoneTable;
use state_store::{SqliteOptions, SqliteStore, State, StateError, Store, StoreError};
use telemetry_store::{MetricStore, TelemetryStore};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use vocabulary::{AccountId, Region, Transfers};

use crate::{
    agents::{AgentLink, Agents, Node, connected, dispatch},
    doors::{
        CertificateFiles, Certificates, TlsError,
        bootstrap::{self, RootKey},
    },
    gateway::{ApiError, Gateway, Listening, Trust},
    names, reconcilers,
    registry::{Authorize, Registry, catalog::Catalog, permission::ByPolicies, token::TokenKey},
    secret::{self, InstallationSecret, SealingKey, StoreKeyError},
    services::{
        self, Services, Settings,
        cloudtrail::{Trail, chain},
        logs::Logs,
        paging::PageTokens,
        s3::content::ContentStore,
    },
    upkeep,
};

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    /// `host:port` for repository URIs; `localhost:PORT` when none is given.
    pub public_name: Option<String>,
    /// Hold the strict rule on loopback too. On any other address it holds anyway.
    pub strict: bool,
    /// The front door's certificate where it is strict; one of the platform's own when none is given.
    pub certificate: Option<CertificateFiles>,
    /// Further names and addresses that a certificate of the platform's own is for.
    pub certificate_names: Vec<String>,
    /// Where tasks and the agent of this machine will reach the platform, as soon as that door is opened.
    pub task_address: Option<IpAddr>,
    pub account: AccountId,
    pub region: Region,
    pub public_pool: Cidr,
    pub store: StoreChoice,
    /// Where images, logs and, with the embedded store, all state lie.
    pub data_dir: PathBuf,
    /// The file of the root key; one in the data directory when none is named. Servers on one store share a root key.
    pub root_key: Option<PathBuf>,
    /// Accounts beside `account` whose root is to have a key at a strict door.
    pub root_accounts: Vec<AccountId>,
    /// Keep nothing beyond this run: logs and state stay in memory.
    pub ephemeral: bool,
    /// Ranges that the machine routes itself.
    pub host_ranges: Vec<Cidr>,
    /// How long nothing may happen in a session before it ends.
    pub session_idle_timeout: Duration,
    /// How long the credentials of a task's role hold; on AWS, six hours.
    pub task_credentials_lifetime: Duration,
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
        "a certificate is for a strict front door: on any address but loopback, or with the strict rule asked for there"
    )]
    CertificateWithoutStrict,
    #[error("the front door cannot have TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("the root's access key cannot be made or read: {0}")]
    AccessKey(#[source] ApiError),
    #[error("the state store cannot be opened")]
    Store(#[from] StoreError),
    #[error("the root key cannot be used: {0}")]
    RootKey(#[source] io::Error),
    #[error(transparent)]
    StoreKey(#[from] StoreKeyError),
    #[error("the tables cannot be read")]
    State(#[from] StateError),
    #[error("what an earlier run left of container instances and sessions cannot be put right: {0}")]
    Agents(#[source] ApiError),
    #[error("the blob store cannot be opened")]
    Blobs(#[from] BlobError),
    #[error("the log store cannot be opened")]
    Telemetry(#[from] telemetry_store::StoreError),
    #[error("the data directory {} cannot be used: {source}", .path.display())]
    DataDir { path: PathBuf, source: io::Error },
}

/// A door for the agents of other machines.
#[derive(Debug, Clone)]
pub struct AgentDoor {
    pub address: SocketAddr,
    /// Whether it has TLS.
    pub encrypted: bool,
    /// Further names and addresses that it is reached by.
    pub names: Vec<String>,
}

/// One that is open.
#[derive(Debug)]
pub struct OpenAgentDoor {
    pub door: Listening,
    /// The certificate that agents have to trust, in PEM; none without TLS, or where the operator brought one.
    pub authority: Option<String>,
}

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    services: Arc<Services>,
    door: Listening,
    background: Vec<JoinHandle<()>>,
    node_seal: Arc<SealingKey>,
    strict: Option<StrictDoor>,
    certificates: Certificates,
}

/// A front door that lets in who has a key, and nobody else.
#[derive(Debug)]
pub struct StrictDoor {
    /// The certificate that clients have to trust, in PEM; none where the operator brought one.
    pub authority: Option<String>,
    /// A key of the account's root; none where all of them are switched off.
    pub root_key: Option<RootKey>,
    /// The same for the roots of further accounts.
    pub other_roots: Vec<(AccountId, Option<RootKey>)>,
}

impl ControlPlane {
    /// Starts; when this returns, the front door answers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(config: Config) -> Result<ControlPlane, StartError> {
        let strict = config.strict || !config.listen.ip().is_loopback();
        if config.certificate.is_some() && !strict {
            return Err(StartError::CertificateWithoutStrict);
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
            let opened = match &config.root_key {
                Some(path) => InstallationSecret::open_file(path),
                None => InstallationSecret::open(&config.data_dir),
            };
            opened.map_err(StartError::RootKey)?
        };
        // The same after a restart, and no other server's.
        let server = secret::server_name(&config.data_dir).map_err(data_dir)?;
        let store: Arc<dyn Store> = match &config.store {
            StoreChoice::Sqlite if config.ephemeral => Arc::new(SqliteStore::in_memory()?),
            StoreChoice::Sqlite => {
                Arc::new(SqliteStore::open(&config.data_dir.join("state"), &SqliteOptions::default())?)
            }
            StoreChoice::Etcd(endpoints) => open_etcd(endpoints).await?,
        };
        let seal = secret::open_store_key(&*store, &secret).await?;
        let state = State::open(store, services::tables().sealed_with(Arc::new(seal))).await?;
        let telemetry = if config.ephemeral {
            TelemetryStore::ephemeral(telemetry_store::Options::default())?
        } else {
            TelemetryStore::open(&config.data_dir.join("logs"), telemetry_store::Options::default())?
        };
        let audit = if config.ephemeral {
            TelemetryStore::ephemeral(telemetry_store::Options::default())?
        } else {
            TelemetryStore::open(&config.data_dir.join("audit"), telemetry_store::Options::default())?
        };
        let metrics = if config.ephemeral {
            MetricStore::ephemeral()?
        } else {
            MetricStore::open(&config.data_dir.join("metrics"))?
        };
        let blobs: Arc<dyn BlobStore> =
            Arc::new(FileBlobStore::open(config.data_dir.join("blobs"), Limits::default())?);
        let page_tokens = PageTokens::new(secret.derive("page tokens"));
        let chain = if config.ephemeral {
            None
        } else {
            let key = chain::Key::new(secret.derive(chain::KEY_PURPOSE));
            let directory = config.data_dir.join("audit").join(chain::DIRECTORY);
            Some(chain::Writer::open(&directory, key).map_err(data_dir)?)
        };
        let trail = Trail::start(audit, state.clone(), chain);
        let policies = Arc::new(ByPolicies::default());
        let registry = Registry::new(
            Catalog::new(state.clone()),
            blobs,
            TokenKey::new(secret.derive("registry passwords")),
            Arc::clone(&policies) as Arc<dyn Authorize>,
        )
        .recording(trail.clone());
        let public_name = public_name(config.public_name, listen);
        let certificates = Certificates::new(
            config.certificate,
            (!config.ephemeral).then(|| config.data_dir.join("tls")),
            secret.sealing("the authority of the front door"),
        );
        let tls = match strict {
            false => None,
            true => {
                let names = certified_names(&public_name, listen, config.certificate_names);
                Some(certificates.tls(names)?)
            }
        };
        let objects =
            ContentStore::open(&config.data_dir.join("objects"), secret.derive("objects"), !config.ephemeral)
                .map_err(data_dir)?;
        let services = Arc::new(Services {
            objects,
            logs: Logs::new(state.clone(), telemetry, page_tokens.clone()),
            metrics,
            state,
            trail,
            holders: Default::default(),
            registry,
            page_tokens,
            settings: Settings {
                account: config.account,
                region: config.region,
                listen,
                public_name,
                public_pool: config.public_pool,
                secure: tls.is_some(),
                task_endpoint: (config.task_address.filter(|_| strict))
                    .map(|address| format!("http://{}", SocketAddr::new(address, listen.port()))),
                task_credentials_lifetime: config.task_credentials_lifetime,
            },
            host_ranges: config.host_ranges,
            target_health: Default::default(),
            certificate_keys: SealingKey::new(secret.derive("keys of certificates")),
            authorization_messages: SealingKey::new(secret.derive("authorization messages")),
            identity_keys: Default::default(),
            agents: Agents::default(),
            placing: Default::default(),
            sessions: services::ssm::sessions::Sessions::new(config.session_idle_timeout),
            purge_definitions: tokio::sync::Notify::new(),
        });
        policies.know(&services);
        connected::forget_earlier(&services).await.map_err(StartError::Agents)?;
        services::ssm::sessions::forget_earlier(&services).await.map_err(StartError::Agents)?;
        let (mut root_key, mut other_roots) = (None, Vec::new());
        if strict {
            let own = services.settings.account.clone();
            root_key = bootstrap::root_key(&services, &own).await.map_err(StartError::AccessKey)?;
            for account in config.root_accounts.into_iter().filter(|account| *account != own) {
                let key = bootstrap::root_key(&services, &account).await.map_err(StartError::AccessKey)?;
                other_roots.push((account, key));
            }
        }
        let gateway = Arc::new(Gateway::new(Arc::clone(&services), services::operations()));
        let door = gateway
            .listen(
                listener,
                if strict { Trust::Strict } else { Trust::Open },
                tls.as_ref().map(|tls| tls.acceptor.clone()),
            )
            .map_err(|source| StartError::Listen { address: listen, source })?;
        let reconciled = Arc::clone(&services);
        let drained = Arc::clone(&services);
        let (evaluated, evaluator) = (Arc::clone(&services), server.clone());
        let background = vec![
            tokio::spawn(upkeep::run(Arc::clone(&services))),
            tokio::spawn(upkeep::renew_credentials(Arc::clone(&services))),
            tokio::spawn(services::cloudwatch::meters::run(Arc::clone(&services))),
            tokio::spawn(async move {
                if let Err(error) = services::cloudwatch::alarms::run::run(evaluated, evaluator).await {
                    tracing::error!(%error, "alarms are no longer evaluated; a restart is needed");
                }
            }),
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
        let node_seal = Arc::new(secret.sealing("the node's journal"));
        let strict = strict.then(|| StrictDoor {
            authority: tls.and_then(|tls| tls.authority),
            root_key,
            other_roots,
        });
        Ok(ControlPlane { services, door, background, node_seal, strict, certificates })
    }

    /// What clients of a strict front door need; none where the door is open.
    pub fn strict_door(&self) -> Option<&StrictDoor> {
        self.strict.as_ref()
    }

    /// Images that clients are pushing.
    pub fn transfers(&self) -> Transfers {
        self.services.registry.transfers.clone()
    }

    /// The address of the front door.
    pub fn address(&self) -> SocketAddr {
        self.door.address
    }

    /// The services behind the door, for what runs beside it in this process.
    pub fn services(&self) -> Arc<Services> {
        Arc::clone(&self.services)
    }

    /// What the embedded agent seals its journal with.
    pub fn node_seal(&self) -> Arc<SealingKey> {
        Arc::clone(&self.node_seal)
    }

    /// What the embedded agent talks to.
    pub fn agent_link(&self) -> Arc<AgentLink> {
        Arc::new(AgentLink::new(Arc::clone(&self.services)))
    }

    /// Tells the agent behind `messages` what to run, from now on.
    pub fn connect_agent(&mut self, messages: mpsc::Sender<AcsMessage>) {
        let services = Arc::clone(&self.services);
        // Not in the task, so that the node can be reached as soon as the platform says that it is ready.
        let joined = services.agents.streams.join(None, messages.clone());
        self.background.push(tokio::spawn(async move {
            let _joined = joined;
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
        gateway.listen(listener, Trust::Strict, None)
    }

    /// Opens a door for the agents of container instances, on any address: it answers what they ask and nothing else, and only with an
    /// issued key's signature. See [`agents::door`](crate::agents::door).
    ///
    /// # Errors
    /// When the address cannot be listened on, or there can be no certificate.
    pub async fn open_agent_door(&self, asked: AgentDoor) -> Result<OpenAgentDoor, StartError> {
        let address = asked.address;
        let failed = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let tls = match asked.encrypted {
            true => {
                let name = address.to_string();
                Some(self.certificates.tls(certified_names(&name, address, asked.names))?)
            }
            false => None,
        };
        let gateway = Arc::new(Gateway::new(Arc::clone(&self.services), services::operations()));
        let acceptor = tls.as_ref().map(|tls| tls.acceptor.clone());
        let door = gateway.listen(listener, Trust::Agents, acceptor).map_err(failed)?;
        Ok(OpenAgentDoor { door, authority: tls.and_then(|tls| tls.authority) })
    }

    /// Stops answering and lets go of the stores.
    pub async fn stop(self) {
        self.services.agents.close();
        for task in &self.background {
            task.abort();
        }
        self.door.close().await;
        if let Err(error) = self.services.metrics.close().await {
            tracing::warn!(%error, "the metric store did not close cleanly");
        }
        if let Err(error) = self.services.logs.telemetry.close().await {
            tracing::warn!(%error, "the log store did not close cleanly");
        }
        self.services.trail.close().await;
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

/// `host:port` by which clients reach the door: what they were told, or what the address suggests.
fn public_name(given: Option<String>, listen: SocketAddr) -> String {
    let port = listen.port();
    match given {
        Some(name) if has_port(&name) => name,
        Some(name) => format!("{name}:{port}"),
        None if listen.ip().is_loopback() => format!("localhost:{port}"),
        None if listen.ip().is_unspecified() => format!("{}:{port}", host_name()),
        None => listen.to_string(),
    }
}

fn has_port(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
    })
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    if name.is_empty() || name == "(none)" { "localhost".to_owned() } else { name }
}

/// The names and addresses that a certificate of our own is for, each once.
fn certified_names(public_name: &str, listen: SocketAddr, more: Vec<String>) -> Vec<String> {
    let host = public_name.rsplit_once(':').map_or(public_name, |(host, _)| host);
    let mut names = vec![host.trim_start_matches('[').trim_end_matches(']').to_owned()];
    if !listen.ip().is_unspecified() {
        names.push(listen.ip().to_string());
    }
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    names.extend(more);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

#[cfg(test)]
mod tests {
    use super::{certified_names, public_name};

    #[test]
    fn the_outside_name_follows_from_the_address() {
        let of = |given: Option<&str>, listen: &str| {
            public_name(given.map(str::to_owned), listen.parse().unwrap())
        };
        assert_eq!(of(None, "127.0.0.1:4566"), "localhost:4566");
        assert_eq!(of(None, "192.0.2.7:4566"), "192.0.2.7:4566");
        assert_eq!(of(None, "[2001:db8::7]:4566"), "[2001:db8::7]:4566");
        assert_eq!(of(Some("door.example"), "0.0.0.0:4566"), "door.example:4566");
        assert_eq!(of(Some("door.example:443"), "0.0.0.0:4566"), "door.example:443");
        assert_eq!(
            certified_names(
                "[2001:db8::7]:4566",
                "[2001:db8::7]:4566".parse().unwrap(),
                vec!["localhost".to_owned()]
            ),
            ["2001:db8::7", "localhost", "127.0.0.1", "::1"]
        );
    }
}
