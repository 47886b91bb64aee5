//! `longshore agent`: this machine as a container instance of a cluster.
//!
//! Everything that it makes has names of its own (interfaces, rules, cgroups, directories), so that it can run beside a platform on the
//! same machine. It stays registered until it is taken out of the cluster: by DeregisterContainerInstance, or as it ends with
//! `--ephemeral`.

mod description;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use agent_protocol::{ControlError, ControlPlane};
use anyhow::{Context, bail};
use control_plane::secret::InstallationSecret;
use host_network::{
    HostAddress, HostService, METADATA_ADDRESS, Network, NetworkConfig, RESOLVER_ADDRESS, Transport,
};
use name_server::{NameServer, NameServerConfig, NameServerHandle, Upstream, ZoneTable};
use node_agent::{
    AgentConfig, AgentHandle, Machine, NodeAgent,
    imds::{Imds, ImdsConfig, InstanceIdentity},
    remote::{Remote, RemoteConfig},
};
use request_auth::Credentials;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    client,
    process::{CleanUp, cgroup_root, init_log, lock, mode, raise_descriptor_limit, say},
};
use crate::cli::AgentArgs;

/// How long leaving the cluster may take: a control plane that is gone must not keep the machine from ending.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

pub fn run(args: AgentArgs) -> anyhow::Result<ExitCode> {
    init_log(args.verbose, args.log_json);
    if !rustix::process::geteuid().is_root() {
        bail!(
            "running containers takes root: it makes network interfaces, cgroups and mounts. Try: sudo longshore agent"
        );
    }
    let credentials = credentials()?;
    raise_descriptor_limit();
    let _lock = lock(&args.run_dir, "A Longshore agent")?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let code = runtime.block_on(serve(args, credentials));
    // A blocking call that hangs must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(2));
    code
}

fn credentials() -> anyhow::Result<Credentials> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        (Some(access_key), Some(secret)) => {
            Ok(Credentials { access_key, secret, session_token: variable("AWS_SESSION_TOKEN") })
        }
        _ => bail!(
            "the agent signs what it sends: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (on the platform's own machine: eval \"$(longshore env)\")"
        ),
    }
}

async fn serve(args: AgentArgs, credentials: Credentials) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let data_dir = match args.ephemeral {
        true => PathBuf::from(format!("/var/tmp/longshore-agent-{}", std::process::id())),
        false => args.data_dir.clone(),
    };
    let _clean_up = CleanUp::new(args.ephemeral, [&data_dir, &args.run_dir]);
    fs::create_dir_all(&data_dir).with_context(|| format!("making {}", data_dir.display()))?;
    let place = Place::find(&args).await?;
    let started = tokio::select! {
        started = Instance::start(&args, credentials, &data_dir, &place) => Some(started),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let instance = match started {
        Some(Ok(instance)) => instance,
        Some(Err(error)) => {
            place.give_up().await;
            return Err(error);
        }
        // It was still waiting for the control plane.
        None => {
            place.give_up().await;
            return Ok(ExitCode::SUCCESS);
        }
    };
    say(&format!(
        "This machine is {}; it is ready to run tasks.",
        instance.remote.link.container_instance_arn()
    ));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    say(match args.ephemeral {
        true => "Stopping: every task ends, the machine leaves the cluster, and everything is removed.",
        false => "Stopping; tasks that run go on, and the next start takes them over.",
    });
    tokio::select! {
        () = instance.stop(args.ephemeral) => Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => bail!("stopped at once; what was left to do is done by the next start"),
    }
}

/// The machine's network, and what is near on it.
struct Place {
    network: Network,
    metadata: Ipv4Addr,
    /// None for an external instance.
    instance_metadata: Option<Ipv4Addr>,
    resolver: Ipv4Addr,
    /// The port of the platform that is on this machine, too: its tasks' door and its name server are near.
    platform: Option<u16>,
    /// Where published ports are reached.
    address: Option<Ipv4Addr>,
}

impl Place {
    async fn find(args: &AgentArgs) -> anyhow::Result<Place> {
        let platform = platform_port(&args.endpoint)?;
        let mut config = NetworkConfig::for_instance(args.run_dir.join("net"));
        if args.external {
            // No instance of EC2, and so without its metadata.
            config.instance_metadata = None;
        }
        if let Some(port) = platform {
            let address = HostAddress::Address(METADATA_ADDRESS);
            config.services.push(HostService { address, protocol: Transport::Tcp, port });
        }
        let (metadata, resolver) = (config.metadata, config.resolver);
        let instance_metadata = config.instance_metadata;
        let network = Network::start(config).await.context("setting the machine's network up")?;
        let node = network.bridge().await?.map(|(_, node)| node);
        let address = match (args.address, platform) {
            (Some(address), _) => Some(address),
            // What the platform of this machine reaches by the bridge, too.
            (None, Some(_)) => node,
            (None, None) => own_address(&args.endpoint).or(node),
        };
        Ok(Place { network, metadata, instance_metadata, resolver, platform, address })
    }

    /// Removes what was made, unless tasks of an earlier run are in it.
    async fn give_up(&self) {
        if self.network.list().await.is_ok_and(|attached| attached.is_empty())
            && let Err(error) = self.network.teardown().await
        {
            tracing::warn!(%error, "the network could not be removed");
        }
    }
}

struct Instance {
    remote: Remote,
    agent: AgentHandle,
    names: Option<NameServerHandle>,
    /// Ends with the instance.
    _imds: Option<Imds>,
}

impl Instance {
    async fn start(
        args: &AgentArgs,
        credentials: Credentials,
        data_dir: &Path,
        place: &Place,
    ) -> anyhow::Result<Instance> {
        let exe = std::env::current_exe().context("finding this program's own file")?;
        let mut config = AgentConfig::new(
            data_dir.join("node"),
            args.run_dir.join("node"),
            exe,
            Arc::new(root_key(args, data_dir)?.sealing("the node's journal")),
        );
        config.cgroup_root = cgroup_root("/longshore-agent");
        config.metadata_listen = Some(SocketAddr::from((place.metadata, 80)));
        // The published agent's name for it.
        config.metadata_files =
            std::env::var("ECS_ENABLE_CONTAINER_METADATA").is_ok_and(|value| value == "true");
        config.instance_metadata = place.instance_metadata.map(|address| format!("http://{address}"));
        // The agents' door is not for tasks.
        let near = place.platform.map(|port| format!("http://{METADATA_ADDRESS}:{port}"));
        config.endpoint_url = args.task_endpoint.clone().or(near);
        let authority = client::authority(args.ca.as_deref())?;
        config.authority.clone_from(&authority);
        let remote = RemoteConfig {
            endpoint: args.endpoint.clone(),
            region: args.region.to_string(),
            credentials,
            cluster: args.cluster.clone(),
            instance: description::describe(args, data_dir, place)?,
            instance_profile: args.instance_profile.clone(),
            state_file: data_dir.join("instance.json"),
            authority: authority.clone(),
        };
        let (remote, messages) = Remote::start(remote).await.map_err(|error| advice(error, args))?;
        config.cluster_arn = remote.link.cluster_arn();
        config.container_instance_arn = remote.link.container_instance_arn();
        let imds = start_imds(args, place, &remote).await?;
        let machine = Machine::with_network(&config, std::future::ready(Ok(place.network.clone()))).await?;
        let link = Arc::clone(&remote.link);
        let agent = NodeAgent::start_on(machine, config, link, messages).await?;
        Ok(Instance { remote, agent, names: start_names(place).await, _imds: imds })
    }

    async fn stop(self, ephemeral: bool) {
        self.agent.shutdown(mode(ephemeral)).await;
        if let Some(names) = self.names {
            names.shutdown().await;
        }
        if ephemeral {
            match tokio::time::timeout(LEAVE_TIMEOUT, self.remote.deregister(true)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the machine could not leave the cluster"),
                Err(_) => {
                    tracing::warn!("the control plane does not answer: the machine stays in the cluster");
                }
            }
        }
    }
}

/// What programs on an instance ask about it.
async fn start_imds(args: &AgentArgs, place: &Place, remote: &Remote) -> anyhow::Result<Option<Imds>> {
    let Some(address) = place.instance_metadata else { return Ok(None) };
    let identity: serde_json::Value = remote.identity().clone();
    let text = |name: &str| identity[name].as_str().unwrap_or_default().to_owned();
    let zone = args.availability_zone.clone().unwrap_or_else(|| format!("{}a", args.region));
    let arn = remote.link.container_instance_arn();
    let config = ImdsConfig {
        listen: SocketAddr::from((address, 80)),
        identity: InstanceIdentity {
            instance_id: text("instanceId"),
            account: arn.split(':').nth(4).unwrap_or_default().to_owned(),
            region: args.region.to_string(),
            availability_zone: zone,
            private_address: place.address,
        },
        role: args.instance_profile.as_ref().map(|_| Arc::clone(&remote.link) as Arc<dyn ControlPlane>),
        hop_limit: args.metadata_hop_limit,
    };
    Imds::start(config).await.map(Some).with_context(|| format!("serving instance metadata at {address}"))
}

/// The machine's own: what it seals, no other machine opens.
fn root_key(args: &AgentArgs, data_dir: &Path) -> anyhow::Result<InstallationSecret> {
    if args.ephemeral {
        return Ok(InstallationSecret::ephemeral());
    }
    InstallationSecret::open(data_dir).context("the machine's root key cannot be used")
}

fn advice(error: ControlError, args: &AgentArgs) -> anyhow::Error {
    let missing = matches!(&error, ControlError::Refused { code, .. } if code == "ClusterNotFoundException");
    let error = anyhow::Error::new(error);
    match missing {
        true => error.context(format!(
            "there is no cluster {0}; make it with: aws ecs create-cluster --cluster-name {0}",
            args.cluster
        )),
        false => error.context("the machine could not be registered"),
    }
}

/// The port of a control plane that is on this machine.
fn platform_port(endpoint: &str) -> anyhow::Result<Option<u16>> {
    let address = resolve(endpoint).with_context(|| format!("{endpoint} cannot be reached"))?;
    Ok(address.ip().is_loopback().then_some(address.port()))
}

fn resolve(endpoint: &str) -> anyhow::Result<SocketAddr> {
    let (scheme, rest) = endpoint.split_once("://").context("give http://HOST:PORT")?;
    let authority = rest.split('/').next().unwrap_or(rest);
    let port = if scheme == "https" { 443 } else { 80 };
    let with_port = match authority.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
        _ => format!("{authority}:{port}"),
    };
    with_port.to_socket_addrs()?.next().context("the name has no address")
}

/// The machine's own address on the way to the control plane.
fn own_address(endpoint: &str) -> Option<Ipv4Addr> {
    let target = resolve(endpoint).ok()?;
    // Nothing is sent: the kernel only chooses the way.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(target).ok()?;
    match socket.local_addr().ok()? {
        SocketAddr::V4(address) => Some(*address.ip()),
        SocketAddr::V6(_) => None,
    }
}

/// Answers containers' questions for names: from the machine's resolvers, or the platform's beside it, which knows its own names as well.
async fn start_names(place: &Place) -> Option<NameServerHandle> {
    let upstream = match place.platform.is_some() {
        true => Upstream::Fixed(vec![SocketAddr::from((RESOLVER_ADDRESS, name_server::PORT))]),
        false => Upstream::FromResolvConf(PathBuf::from("/etc/resolv.conf")),
    };
    let listen = vec![SocketAddr::from((place.resolver, name_server::PORT))];
    let (_, zones) = watch::channel(Arc::new(ZoneTable::default()));
    match NameServer::start(NameServerConfig { listen, upstream }, zones).await {
        Ok(names) => Some(names),
        Err(error) => {
            say(&format!("Tasks cannot look up names: {error}."));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_of_this_machine_is_known_by_its_address() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4566", Some(4566)),
            ("http://localhost:4570/", Some(4570)),
            ("http://192.0.2.7:4567", None),
            ("https://192.0.2.7", None),
        ] {
            assert_eq!(platform_port(endpoint).unwrap(), expected, "{endpoint}");
        }
        assert!(platform_port("127.0.0.1:4566").is_err());
    }
}
