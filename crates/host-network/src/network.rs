//! The asynchronous face: each call is carried out by the engine on a thread of its own, in order of arrival.
//!
//! Requests to the kernel take tens of microseconds and exclude each other there anyhow, so one thread that blocks
//! is faster than many that wait for each other, and it stays in the namespace it was started in.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::PathBuf,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use addressing::Cidr;
use tokio::sync::oneshot;

use crate::{
    engine::Engine,
    error::NetworkError,
    sources::Sources,
    spec::{
        Attached, DesiredNetwork, EniId, GroupId, InterfaceSpec, NetworkConfig, Publish, Reconciled,
        SecurityGroupSpec, VpcId, VpcSpec,
    },
};

/// How often the default route and the host's own forwarding are looked at, while there is a VPC.
const UPLINK_INTERVAL: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(&mut Engine) -> Next + Send>;

enum Next {
    GoOn,
    /// Ends the thread; then, with everything released, gives the answer.
    Stop(Box<dyn FnOnce() + Send>),
}

/// This machine's part of the network. Clones mean the same one. When the last is dropped everything stays as it is,
/// for the next start to adopt; [`Network::teardown`] removes it.
#[derive(Debug, Clone)]
pub struct Network {
    jobs: mpsc::Sender<Job>,
    sources: Sources,
}

impl Network {
    /// Starts in the network namespace of the calling thread: adopts the interfaces that an earlier run with the
    /// same prefix and run directory left, removes its other leftovers, and loads the rules. Needs root.
    ///
    /// Fails with [`NetworkError::InUse`] while another process has the prefix in this namespace.
    pub async fn start(config: NetworkConfig) -> Result<Network, NetworkError> {
        check(&config)?;
        let (jobs, receiver) = mpsc::channel::<Job>();
        let (started, start) = oneshot::channel();
        thread::Builder::new()
            .name("lsh-network".to_owned())
            .spawn(move || {
                let opened = hold(&config.prefix).and_then(|lock| Ok((lock, Engine::start(config)?)));
                match opened {
                    Ok((lock, mut engine)) => {
                        let sources = engine.sources.clone();
                        let answer =
                            started.send(Ok(sources)).ok().and_then(|()| run(&mut engine, &receiver));
                        // The slots' thread ends before someone else may have the prefix.
                        drop(engine);
                        drop(lock);
                        if let Some(answer) = answer {
                            answer();
                        }
                    }
                    Err(error) => {
                        // Whoever wanted to know may be gone.
                        let _ = started.send(Err(error));
                    }
                }
            })
            .map_err(NetworkError::Namespace)?;
        let sources = start.await.map_err(|_| NetworkError::Stopped)??;
        Ok(Network { jobs, sources })
    }

    /// What has flows appear as others at their targets.
    pub fn sources(&self) -> Sources {
        self.sources.clone()
    }

    /// Makes the VPC and its subnets, or changes them to `spec`.
    pub async fn ensure_vpc(&self, spec: VpcSpec) -> Result<(), NetworkError> {
        self.call(move |engine| engine.ensure_vpc(spec)).await
    }

    /// Removes a VPC without interfaces. One that does not exist is as good as removed.
    pub async fn remove_vpc(&self, id: VpcId) -> Result<(), NetworkError> {
        self.call(move |engine| engine.remove_vpc(&id)).await
    }

    /// The VPCs and the security groups that are there, those of an earlier run included.
    pub async fn known(&self) -> Result<(BTreeSet<VpcId>, BTreeSet<GroupId>), NetworkError> {
        self.call(|engine| Ok(engine.known())).await
    }

    /// The ranges the host routes by itself (its default route left out): default VPCs are chosen around them.
    pub async fn host_ranges(&self) -> Result<Vec<Cidr>, NetworkError> {
        self.call(Engine::host_ranges).await
    }

    /// Sets a group's rules; live for every interface that has the group.
    pub async fn set_security_group(&self, spec: SecurityGroupSpec) -> Result<(), NetworkError> {
        self.call(move |engine| engine.set_security_group(spec)).await
    }

    /// Removes a group that no interface has and no rule names. One that does not exist is as good as removed.
    pub async fn remove_security_group(&self, id: GroupId) -> Result<(), NetworkError> {
        self.call(move |engine| engine.remove_security_group(&id)).await
    }

    /// Says which addresses on other machines belong to a group. Those on this one belong by being attached.
    pub async fn set_remote_members(
        &self,
        id: GroupId,
        members: BTreeSet<Ipv4Addr>,
    ) -> Result<(), NetworkError> {
        self.call(move |engine| engine.set_remote_members(&id, members)).await
    }

    /// Makes the interface, in a namespace of its own with `lo` and `eth0` up. Its VPC and groups exist already.
    /// Attaching the same again returns what is there.
    pub async fn attach(&self, spec: InterfaceSpec) -> Result<Attached, NetworkError> {
        self.call(move |engine| engine.attach(spec)).await
    }

    /// Makes an interface on the node's bridge, in a namespace of its own, and publishes `ports` at the node's addresses. Address and
    /// ephemeral ports are chosen. One that is there already is answered as it is. Detached like any other.
    pub async fn attach_bridged(&self, id: EniId, ports: Vec<Publish>) -> Result<Attached, NetworkError> {
        self.call(move |engine| engine.attach_bridged(id, &ports)).await
    }

    /// The bridge's range, and the node's address on it, which stands for the node inside of it.
    pub async fn bridge(&self) -> Result<Option<(Cidr, Ipv4Addr)>, NetworkError> {
        self.call(|engine| Ok(engine.state.bridge().map(|range| (range, addressing::vpc::router(range)))))
            .await
    }

    /// Removes the interface, and its namespace as far as no process is left in it. Returns when link, namespace file
    /// and tracked connections are gone. One that does not exist is as good as removed.
    pub async fn detach(&self, eni_id: EniId) -> Result<(), NetworkError> {
        let gone = self.call(move |engine| engine.detach(&eni_id)).await?;
        gone.await.map_err(|_| NetworkError::Stopped)?
    }

    /// Changes which groups an attached interface has.
    pub async fn set_interface_groups(
        &self,
        eni_id: EniId,
        groups: BTreeSet<GroupId>,
    ) -> Result<(), NetworkError> {
        self.call(move |engine| engine.set_interface_groups(&eni_id, groups)).await
    }

    /// Gives an attached interface this public address, in place of the one it may have.
    pub async fn associate_public(&self, eni_id: EniId, address: Ipv4Addr) -> Result<(), NetworkError> {
        self.call(move |engine| engine.associate_public(&eni_id, address)).await
    }

    /// Takes an attached interface's public address away; connections by way of it end.
    pub async fn disassociate_public(&self, eni_id: EniId) -> Result<(), NetworkError> {
        self.call(move |engine| engine.disassociate_public(&eni_id)).await
    }

    /// All attached interfaces, by id.
    pub async fn list(&self) -> Result<Vec<Attached>, NetworkError> {
        self.call(|engine| Ok(engine.list())).await
    }

    /// A namespace with nothing but `lo` (network mode `none`), made when there is none of this name
    /// (1–64 of `[a-z0-9-]`).
    pub async fn isolated(&self, name: String) -> Result<PathBuf, NetworkError> {
        self.call(move |engine| engine.isolated(&name)).await
    }

    pub async fn release_isolated(&self, name: String) -> Result<(), NetworkError> {
        self.call(move |engine| engine.release_isolated(&name)).await
    }

    pub async fn list_isolated(&self) -> Result<BTreeSet<String>, NetworkError> {
        self.call(|engine| engine.list_isolated()).await
    }

    /// Brings everything to `desired`; interfaces that are as desired are not touched. Returns when what was detached
    /// is gone.
    pub async fn reconcile(&self, desired: DesiredNetwork) -> Result<Reconciled, NetworkError> {
        let (report, gone) = self.call(move |engine| engine.reconcile(desired)).await?;
        for one in gone {
            one.await.map_err(|_| NetworkError::Stopped)??;
        }
        Ok(report)
    }

    /// Follows changes of the host's default route and forwarding now; happens by itself every few seconds.
    pub async fn refresh_uplinks(&self) -> Result<(), NetworkError> {
        self.call(Engine::refresh_uplinks).await
    }

    /// How many prepared namespaces are waiting.
    pub async fn warm(&self) -> Result<usize, NetworkError> {
        self.call(|engine| Ok(engine.slots.ready())).await
    }

    /// Removes everything that was ever made under this prefix and run directory. Every later call fails with
    /// [`NetworkError::Stopped`].
    pub async fn teardown(&self) -> Result<(), NetworkError> {
        let (answer, answered) = oneshot::channel();
        self.submit(Box::new(move |engine| {
            let result = engine.teardown();
            // The caller may have been cancelled: what it asked for has happened all the same.
            Next::Stop(Box::new(move || drop(answer.send(result))))
        }))?;
        answered.await.map_err(|_| NetworkError::Stopped)?
    }

    async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine) -> Result<T, NetworkError> + Send + 'static,
    ) -> Result<T, NetworkError> {
        let (answer, answered) = oneshot::channel();
        self.submit(Box::new(move |engine| {
            // The same here.
            drop(answer.send(job(engine)));
            Next::GoOn
        }))?;
        answered.await.map_err(|_| NetworkError::Stopped)?
    }

    fn submit(&self, job: Job) -> Result<(), NetworkError> {
        self.jobs.send(job).map_err(|_| NetworkError::Stopped)
    }
}

/// Until the last [`Network`] is dropped, or torn down: then what to do when all is released.
fn run(engine: &mut Engine, jobs: &mpsc::Receiver<Job>) -> Option<Box<dyn FnOnce() + Send>> {
    loop {
        match jobs.recv_timeout(UPLINK_INTERVAL) {
            Ok(job) => {
                if let Next::Stop(answer) = job(engine) {
                    return Some(answer);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = engine.refresh_uplinks() {
                    tracing::warn!(%error, "cannot follow the host's default route");
                }
            }
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Names of abstract sockets belong to the network namespace and end with their holder: just what a lock on a
/// namespace's interfaces needs.
fn hold(prefix: &str) -> Result<UnixDatagram, NetworkError> {
    let address = SocketAddr::from_abstract_name(format!("longshore-network-{prefix}"));
    address.and_then(|address| UnixDatagram::bind_addr(&address)).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => NetworkError::InUse(prefix.to_owned()),
        _ => NetworkError::Config(format!("cannot hold the prefix '{prefix}': {error}")),
    })
}

fn check(config: &NetworkConfig) -> Result<(), NetworkError> {
    let NetworkConfig { prefix, table, run_dir, public_range, warm_namespaces, .. } = config;
    let refused = |reason: String| Err(NetworkError::Config(reason));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !(1..=6).contains(&prefix.len()) || !prefix.bytes().all(plain) {
        return refused(format!("the prefix '{prefix}' is not 1–6 of a-z and 0-9"));
    }
    let starts_well = table.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !starts_well || table.len() > 32 || !table.bytes().all(|byte| plain(byte) || byte == b'-') {
        return refused(format!("the table '{table}' is not a letter and at most 31 of a-z, 0-9 and hyphen"));
    }
    if !run_dir.is_absolute() {
        return refused(format!("the run directory {} is not absolute", run_dir.display()));
    }
    if let Some(range) = public_range
        && !(8..=28).contains(&range.prefix_len())
    {
        return refused(format!("the public range {range} is not between /8 and /28"));
    }
    if *warm_namespaces > 256 {
        return refused(format!("{warm_namespaces} prepared namespaces are more than 256"));
    }
    Ok(())
}
