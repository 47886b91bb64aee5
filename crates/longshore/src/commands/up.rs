//! `longshore up`: control plane and node agent of one machine in one process.
//!
//! The front door opens first, so that clients can begin; the agent, which looks at what runs on the machine and prepares
//! its network, follows while the first requests are answered.

mod routes;

use std::{
    fs,
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use control_plane::{AgentDoor, CertificateFiles, Config, ControlPlane, StoreChoice, gateway::Listening};
use host_network::{HostAddress, HostService, NetworkConfig, RESOLVER_ADDRESS, Transport};
use name_server::{NameServer, NameServerConfig, NameServerHandle, Upstream};
use node_agent::{AgentConfig, AgentHandle, METADATA_ADDRESS, NodeAgent};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::{
    entry::{self, Entry},
    process::{CleanUp, cgroup_root, init_log, lock, mode, raise_descriptor_limit, say},
    progress,
};
use crate::cli::UpArgs;
use routes::{host_ranges, local_addresses};

/// Sockets, namespaces and the lock; gone after a reboot, as the things that it is about are.
pub(super) const RUN_DIR: &str = "/run/longshore";
/// Messages that may wait for the agent. Beyond it the sender waits: all of them can be derived anew.
const AGENT_QUEUE: usize = 1024;

pub fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    init_log(args.verbose, args.log_json);
    if !rustix::process::geteuid().is_root() {
        bail!(
            "running containers takes root: it makes network interfaces, cgroups and mounts. Try: sudo longshore up"
        );
    }
    if args.ephemeral && args.store != StoreChoice::Sqlite {
        bail!("--ephemeral keeps nothing, and etcd keeps everything: choose one of the two");
    }
    raise_descriptor_limit();
    let _lock = lock(Path::new(RUN_DIR), "Longshore")?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let code = runtime.block_on(serve(args, began));
    // A blocking call that hangs (a disk that does not answer) must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(2));
    code
}

/// What `serve` needs to know about where things lie.
struct Places {
    data_dir: PathBuf,
    ephemeral: bool,
}

impl Places {
    fn choose(args: &UpArgs) -> anyhow::Result<Places> {
        if !args.ephemeral {
            return Ok(Places { data_dir: args.data_dir.clone(), ephemeral: false });
        }
        let data_dir = PathBuf::from(format!("/var/tmp/longshore-{}", std::process::id()));
        if data_dir.exists() {
            bail!("{} exists already; remove it, it is left over from an earlier run", data_dir.display());
        }
        Ok(Places { data_dir, ephemeral: true })
    }
}

async fn serve(args: UpArgs, began: Instant) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let places = Places::choose(&args)?;
    refuse_foreign_tasks(&places)?;
    // Whatever goes wrong from here on, an ephemeral platform leaves nothing.
    let _clean_up = CleanUp::new(places.ephemeral, [&places.data_dir, Path::new(RUN_DIR)]);
    let control = start_control(&args, &places).await?;
    let entry = Entry::write(&control)?;
    let agent_door = open_agent_door(&control, &args).await?;
    say(&banner(&args, &control, &places, began, entry.as_ref()));
    let mut platform = Platform::start(control, &args, &places).await?;
    if !args.log_json {
        progress::show(platform.control.transfers());
    }
    say("Ready to run tasks.");
    let code = tokio::select! {
        _ = interrupt.recv() => ExitCode::SUCCESS,
        _ = terminate.recv() => ExitCode::SUCCESS,
        () = platform.control.broken() => {
            say("A part of the platform has ended by itself; the log says why. Stopping, so that a new start can mend it.");
            ExitCode::FAILURE
        }
    };
    say(if places.ephemeral {
        "Stopping: every task ends and everything is removed."
    } else {
        "Stopping; tasks that run go on, and the next start takes them over."
    });
    if let Some(door) = agent_door {
        door.close().await;
    }
    tokio::select! {
        () = platform.stop(places.ephemeral) => Ok(code),
        _ = interrupt.recv() => bail!("stopped at once; what was left to do is done by the next start"),
    }
}

async fn start_control(args: &UpArgs, places: &Places) -> anyhow::Result<ControlPlane> {
    let config = Config {
        listen: args.listen,
        public_name: args.public_name.clone(),
        strict: args.strict,
        certificate: (args.tls_cert.clone().zip(args.tls_key.clone()))
            .map(|(certificate, key)| CertificateFiles { certificate, key }),
        certificate_names: if args.listen.ip().is_unspecified() { local_addresses() } else { Vec::new() },
        task_address: Some(METADATA_ADDRESS.into()),
        account: args.account.clone(),
        region: args.region.clone(),
        public_pool: args.public_pool,
        store: args.store.clone(),
        data_dir: places.data_dir.clone(),
        root_key: args.root_key.clone(),
        root_accounts: args.root_accounts.clone(),
        ephemeral: args.ephemeral,
        host_ranges: host_ranges().context("reading the machine's routes")?,
        session_idle_timeout: Duration::from_secs(args.session_idle_timeout),
        task_credentials_lifetime: Duration::from_secs(args.task_credentials_lifetime),
    };
    Ok(ControlPlane::start(config).await?)
}

/// The door for the agents of other machines, where one was asked for.
async fn open_agent_door(control: &ControlPlane, args: &UpArgs) -> anyhow::Result<Option<Listening>> {
    let Some(address) = args.agent_listen else { return Ok(None) };
    let encrypted = !args.agent_plain && !address.ip().is_loopback();
    let names = if address.ip().is_unspecified() { local_addresses() } else { Vec::new() };
    let opened = control.open_agent_door(AgentDoor { address, encrypted, names }).await;
    let opened = opened.with_context(|| format!("opening the agents' door on {address}"))?;
    let trusted = match &opened.authority {
        None => String::new(),
        Some(authority) => {
            format!(
                " The certificate to trust (--ca) is in {}.",
                entry::write_authority(authority)?.display()
            )
        }
    };
    let (scheme, way) = match encrypted {
        true => ("https", format!("and TLS.{trusted}")),
        false => ("http", "and no TLS. Keep it on a network that you trust.".to_owned()),
    };
    say(&format!(
        "Agents of other machines connect at {scheme}://{}: issued keys only, nothing but what agents ask, {way}",
        opened.door.address
    ));
    Ok(Some(opened.door))
}

/// Everything that runs.
struct Platform {
    control: ControlPlane,
    agent: AgentHandle,
    door: Listening,
    names: Option<NameServerHandle>,
}

impl Platform {
    /// Starts what runs tasks beside the control plane. When a part cannot be started, those before it are stopped.
    async fn start(mut control: ControlPlane, args: &UpArgs, places: &Places) -> anyhow::Result<Platform> {
        let agent = match start_agent(&mut control, args, places).await {
            Ok(agent) => agent,
            Err(error) => {
                control.stop().await;
                let advice =
                    "the node agent cannot run tasks on this machine; `longshore doctor` may tell why";
                return Err(error.context(advice));
            }
        };
        match control.open_task_door(SocketAddr::from((METADATA_ADDRESS, control.address().port()))).await {
            Ok(door) => {
                let names = start_names(&mut control).await;
                Ok(Platform { control, agent, door, names })
            }
            Err(error) => {
                agent.shutdown(mode(places.ephemeral)).await;
                control.stop().await;
                Err(error).with_context(|| format!("opening the tasks' door on {METADATA_ADDRESS}"))
            }
        }
    }

    async fn stop(self, ephemeral: bool) {
        self.agent.shutdown(mode(ephemeral)).await;
        if let Some(names) = self.names {
            names.shutdown().await;
        }
        self.door.close().await;
        self.control.stop().await;
    }
}

async fn start_agent(
    control: &mut ControlPlane,
    args: &UpArgs,
    places: &Places,
) -> anyhow::Result<AgentHandle> {
    let port = control.address().port();
    let exe = std::env::current_exe().context("finding this program's own file")?;
    let run_dir = PathBuf::from(RUN_DIR);
    let mut config =
        AgentConfig::new(places.data_dir.join("node"), run_dir.join("node"), exe, control.node_seal());
    config.transfers = control.transfers();
    config.cgroup_root = cgroup_root("/longshore");
    config.endpoint_url = Some(format!("http://{METADATA_ADDRESS}:{port}"));
    let mut network = NetworkConfig::new(run_dir.join("net"));
    network.public_range = Some(args.public_pool);
    network.services.push(HostService { address: HostAddress::Metadata, protocol: Transport::Tcp, port });
    let (sender, receiver) = mpsc::channel(AGENT_QUEUE);
    let agent = NodeAgent::start(config, network, control.agent_link(), receiver).await?;
    control.connect_agent(sender);
    Ok(agent)
}

/// Answers the tasks' questions for names. A machine where something else has taken the port runs tasks all the same.
async fn start_names(control: &mut ControlPlane) -> Option<NameServerHandle> {
    let config = NameServerConfig {
        listen: vec![SocketAddr::from((RESOLVER_ADDRESS, name_server::PORT))],
        upstream: Upstream::FromResolvConf(PathBuf::from("/etc/resolv.conf")),
    };
    match NameServer::start(config, control.zones()).await {
        Ok(names) => Some(names),
        Err(error) => {
            say(&format!(
                "Tasks cannot look up names: {error}. Another name server on this machine may hold the port."
            ));
            None
        }
    }
}

fn banner(
    args: &UpArgs,
    control: &ControlPlane,
    places: &Places,
    began: Instant,
    entry: Option<&Entry>,
) -> String {
    let listen = control.address();
    let kept = if places.ephemeral {
        "nothing is kept".to_owned()
    } else {
        format!("kept in {}", places.data_dir.display())
    };
    let flag = if listen.port() == 4566 { String::new() } else { format!(" --listen {listen}") };
    let (scheme, access, flag) = match entry {
        None => (
            "http",
            "loopback only; keys that Longshore did not issue act as the account's root".to_owned(),
            flag,
        ),
        Some(entry) => ("https", entry.tell(), String::new()),
    };
    format!(
        "Longshore {version} answers on {scheme}://{listen} after {millis} ms\n\
         \n  account  {account}, region {region}; {kept}\
         \n  access   {access}\
         \n  clients  eval \"$(longshore env{flag})\"\n",
        version = env!("CARGO_PKG_VERSION"),
        millis = began.elapsed().as_millis(),
        account = args.account,
        region = args.region,
    )
}

/// Refuses to start where tasks of another data directory run: the agent would end them as unknown.
fn refuse_foreign_tasks(places: &Places) -> anyhow::Result<()> {
    for index in fs::read_dir(Path::new(RUN_DIR).join("node/shims")).into_iter().flatten().flatten() {
        let path = index.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(dir) = task_dir(&path).filter(|dir| !dir.starts_with(&places.data_dir)) else { continue };
        if !dir.exists() || UnixStream::connect(path.with_extension("sock")).is_err() {
            // Its shim is gone, or what it was kept with: the sweep takes what is left.
            continue;
        }
        // `DATA_DIR/node/tasks/…`
        let of = dir.ancestors().find(|part| part.ends_with("node")).and_then(Path::parent).unwrap_or(&dir);
        bail!(
            "tasks of another platform run on this machine, kept in {0}; start that one with `longshore up --data-dir {0}` and stop its tasks first",
            of.display()
        );
    }
    Ok(())
}

/// The directory of a task, as its sandbox's index names it.
fn task_dir(index: &Path) -> Option<PathBuf> {
    let text: serde_json::Value = serde_json::from_slice(&fs::read(index).ok()?).ok()?;
    Some(PathBuf::from(text.get("dir")?.as_str()?))
}
