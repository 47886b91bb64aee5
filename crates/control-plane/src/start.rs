//! Puts the control plane together.

mod config;
mod stores;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use agent_protocol::AcsMessage;
use blob_store::BlobError;
use name_server::ZoneTable;
use state_store::{StateError, StoreError};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};
use vocabulary::{AccountId, Transfers};

pub use config::{AgentDoor, Config, StoreChoice};
use config::{certified_names, public_name};
use stores::Stores;

use crate::{
    agents::{AgentLink, Agents, Node, connected, dispatch},
    doors::{
        Certificates, TlsError,
        bootstrap::{self, RootKey},
    },
    gateway::{ApiError, Gateway, Listening, Trust},
    names, reconcilers,
    registry::{Authorize, Registry, catalog::Catalog, permission::ByPolicies, token::TokenKey},
    secret::{SealingKey, StoreKeyError},
    services::{self, Services, Settings, logs::Logs, paging::PageTokens},
    upkeep,
};

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

/// An open door for the agents of other machines.
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
        let Stores { secret, server, state, telemetry, metrics, blobs, objects, trail } =
            Stores::open(&config).await?;
        let page_tokens = PageTokens::new(secret.derive("page tokens"));
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
        let background = background(&services, &server);
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

/// Begins what goes on as long as the control plane runs.
fn background(services: &Arc<Services>, server: &str) -> Vec<JoinHandle<()>> {
    let of = || (Arc::clone(services), server.to_owned());
    let ((evaluated, evaluator), (reconciled, reconciler)) = (of(), of());
    let drained = Arc::clone(services);
    vec![
        tokio::spawn(upkeep::run(Arc::clone(services))),
        tokio::spawn(upkeep::renew_credentials(Arc::clone(services))),
        tokio::spawn(services::cloudwatch::meters::run(Arc::clone(services))),
        tokio::spawn(async move {
            if let Err(error) = services::cloudwatch::alarms::run::run(evaluated, evaluator).await {
                tracing::error!(%error, "alarms are no longer evaluated; a restart is needed");
            }
        }),
        tokio::spawn(async move {
            if let Err(error) = reconcilers::run(reconciled, reconciler).await {
                tracing::error!(%error, "services are no longer reconciled; a restart is needed");
            }
        }),
        tokio::spawn(async move {
            if let Err(error) = services::elbv2::upkeep::run(drained).await {
                tracing::error!(%error, "targets no longer leave their groups; a restart is needed");
            }
        }),
    ]
}
