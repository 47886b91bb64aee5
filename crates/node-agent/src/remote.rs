//! The control plane over a network: registers this machine as a container instance, keeps a connection to it, and carries the calls of
//! [`ControlPlane`] over that.
//!
//! A connection is made like this, again and again with growing pauses: RegisterContainerInstance (with the ARN of before, so that the machine
//! stays the same instance), DiscoverPollEndpoint, the websocket. While there is none every call is
//! [`ControlError::Unavailable`], which callers repeat; tasks go on. What the control plane says goes to the agent in order.
//!
//! Every request is signed. Nothing is kept but the instance's ARN, in one file.

mod api;
mod link;
mod registration;
mod socket;
mod telemetry;

use std::{path::PathBuf, sync::Arc, time::Duration};

use agent_protocol::{AcsMessage, ControlError, acs};
use request_auth::Credentials;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

use crate::journal;
pub use api::{Api, JsonService, Socket};
pub use link::RemoteLink;
pub use registration::{InstanceDescription, PortReservations};

/// Messages that may wait for the agent; beyond it the connection is not read.
const QUEUE: usize = 1024;
/// The published agent's pauses between connections: from a quarter of a second to two minutes, half again longer each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// A connection that lasted so long was a good one: the next pause is short again.
const GOOD_CONNECTION: Duration = Duration::from_secs(10);

/// Where the control plane is, and who this machine is there.
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// `http://HOST:PORT` or `https://…`.
    pub endpoint: String,
    pub region: String,
    pub credentials: Credentials,
    pub cluster: String,
    pub instance: InstanceDescription,
    /// The instance profile that the machine is to have.
    pub instance_profile: Option<String>,
    /// Keeps the instance's ARN.
    pub state_file: PathBuf,
    /// The certificate of the platform's authority, in PEM; the machine's own are trusted as well.
    pub authority: Option<String>,
}

/// What is kept over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Registered {
    container_instance_arn: String,
    cluster: String,
}

/// A machine that is registered; dropping it ends the connection and leaves the machine registered.
#[derive(Debug)]
pub struct Remote {
    pub link: Arc<RemoteLink>,
    connecting: JoinHandle<()>,
    api: Arc<Api>,
    config: Arc<RemoteConfig>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.connecting.abort();
    }
}

impl Remote {
    /// Registers the machine unless it was registered before, and begins to keep a connection. What the control plane says comes out of
    /// the receiver.
    ///
    /// # Errors
    /// When the control plane refuses the registration: the cluster is not there, the key signs nothing. One that cannot be reached is tried
    /// for as long as it takes.
    pub async fn start(config: RemoteConfig) -> Result<(Remote, mpsc::Receiver<AcsMessage>), ControlError> {
        let config = Arc::new(config);
        let api = Arc::new(Api::new(&config)?);
        let earlier: Option<Registered> = journal::read_json(&config.state_file);
        let arn = match earlier.filter(|earlier| earlier.cluster == config.cluster) {
            Some(earlier) => earlier.container_instance_arn,
            None => register_at_first(&config, &api).await?,
        };
        let link = Arc::new(RemoteLink::new(arn));
        let (sender, receiver) = mpsc::channel(QUEUE);
        let keeper = Keeper {
            config: Arc::clone(&config),
            api: Arc::clone(&api),
            link: Arc::clone(&link),
            messages: sender,
        };
        let connecting = tokio::spawn(keeper.keep_connected());
        Ok((Remote { link, connecting, api, config }, receiver))
    }

    /// What the machine was registered as: `instanceId` and so on.
    pub fn identity(&self) -> &serde_json::Value {
        &self.config.instance.identity
    }

    /// Takes the machine out of the cluster. `force`: also when tasks run on it.
    ///
    /// # Errors
    /// Those of DeregisterContainerInstance.
    pub async fn deregister(&self, force: bool) -> Result<(), ControlError> {
        registration::deregister(&self.api, &self.config.cluster, &self.link.container_instance_arn(), force)
            .await?;
        // A file that stays names an instance that is gone; the next registration replaces it.
        let _ = std::fs::remove_file(&self.config.state_file);
        Ok(())
    }
}

async fn register_at_first(config: &RemoteConfig, api: &Api) -> Result<String, ControlError> {
    let mut pause = Pause::default();
    loop {
        match register(config, api, None).await {
            Err(ControlError::Unavailable(reason)) => {
                tracing::warn!(reason, endpoint = config.endpoint, "the control plane cannot be reached yet");
                pause.wait().await;
            }
            other => return other,
        }
    }
}

async fn register(config: &RemoteConfig, api: &Api, earlier: Option<&str>) -> Result<String, ControlError> {
    let arn = registration::register(api, &config.cluster, &config.instance, earlier).await?;
    let registered = Registered { container_instance_arn: arn.clone(), cluster: config.cluster.clone() };
    if let Err(error) = journal::write_json(&config.state_file, &registered) {
        tracing::error!(%error, "the instance's ARN could not be kept: after a restart the machine is another instance");
    }
    Ok(arn)
}

struct Keeper {
    config: Arc<RemoteConfig>,
    api: Arc<Api>,
    link: Arc<RemoteLink>,
    messages: mpsc::Sender<AcsMessage>,
}

impl Keeper {
    async fn keep_connected(self) {
        let mut pause = Pause::default();
        loop {
            let began = Instant::now();
            let ended = self.connect().await;
            if self.messages.is_closed() {
                return;
            }
            match ended {
                Ok(()) => tracing::info!("the connection to the control plane has ended"),
                Err(error) => tracing::warn!(%error, "no connection to the control plane"),
            }
            if began.elapsed() > GOOD_CONNECTION {
                pause = Pause::default();
            }
            pause.wait().await;
        }
    }

    /// One connection, to its end.
    async fn connect(&self) -> Result<(), ControlError> {
        let earlier = self.link.container_instance_arn();
        let arn = match register(&self.config, &self.api, Some(&earlier)).await {
            // The instance was taken out of the cluster, or the control plane forgot it: this machine is a new one.
            Err(ControlError::Refused { code, message }) if code == "InvalidParameterException" => {
                tracing::warn!(message, "the machine is registered anew");
                register(&self.config, &self.api, None).await?
            }
            other => other?,
        };
        self.link.set_container_instance_arn(&arn);
        let endpoints = registration::discover(&self.api, &self.config.cluster, &arn).await?;
        let socket = self
            .api
            .open_socket(&endpoints.messages, &messages_query(&arn, self.config.instance_profile.as_deref()))
            .await?;
        tracing::info!(container_instance = arn, "connected to the control plane");
        let telemetry = telemetry::Telemetry {
            api: Arc::clone(&self.api),
            endpoint: endpoints.telemetry,
            arn: arn.clone(),
        };
        socket::serve(socket, &self.link, &self.messages, telemetry).await;
        // For the agent: what goes on over this connection alone has ended.
        let close = acs::CloseMessage { message: Some("the connection ended".to_owned()) };
        let _ = self.messages.send(AcsMessage::Close(close)).await;
        Ok(())
    }
}

/// What the published agent asks for with its handshake.
fn messages_query(arn: &str, profile: Option<&str>) -> Vec<(&'static str, String)> {
    let mut query = vec![
        ("agentHash", "longshore".to_owned()),
        ("agentVersion", env!("CARGO_PKG_VERSION").to_owned()),
        ("clusterArn", cluster_of(arn)),
        ("containerInstanceArn", arn.to_owned()),
        ("protocolVersion", "2".to_owned()),
        ("sendCredentials", "true".to_owned()),
        ("seqNum", "1".to_owned()),
    ];
    // In the order of names, as the signature has them.
    query.extend(profile.map(|profile| ("instanceProfile", profile.to_owned())));
    query.sort();
    query
}

/// The cluster's ARN, out of an instance's.
pub(crate) fn cluster_of(instance: &str) -> String {
    match instance.split_once(":container-instance/") {
        Some((before, resource)) => {
            format!("{before}:cluster/{}", resource.split('/').next().unwrap_or_default())
        }
        None => String::new(),
    }
}

/// Growing pauses with some jitter, so that a fleet does not come back in one moment.
#[derive(Debug)]
struct Pause {
    next: Duration,
}

impl Default for Pause {
    fn default() -> Pause {
        Pause { next: FIRST_PAUSE }
    }
}

impl Pause {
    async fn wait(&mut self) {
        // A fifth more at most. Time's own noise is random enough for this.
        let noise = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos() % 200);
        tokio::time::sleep(self.next + self.next * noise / 1000).await;
        self.next = (self.next * 3 / 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_known_from_the_instance() {
        let arn = "arn:aws:ecs:us-east-1:000000000000:container-instance/web/0123";
        assert_eq!(cluster_of(arn), "arn:aws:ecs:us-east-1:000000000000:cluster/web");
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_two_minutes() {
        let mut pause = Pause::default();
        let mut last = Duration::ZERO;
        for _ in 0..30 {
            let before = Instant::now();
            pause.wait().await;
            last = before.elapsed();
        }
        assert!(last >= LONGEST_PAUSE && last <= LONGEST_PAUSE * 6 / 5 + FIRST_PAUSE, "{last:?}");
    }
}
