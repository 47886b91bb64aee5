//! What the agent needs of a machine: containers, images, a network. Narrow traits over the crates that really do it
//! ([`crate::adapters`]), so that everything that decides or orders things here can be tested without a kernel.

use std::{
    collections::BTreeSet,
    future::Future,
    io,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use agent_protocol::{
    RegistryLogin,
    spec::{NetworkInterface, NetworkState, PortMapping},
    state::NetworkBinding,
};
use container_runtime::{
    AttachConfig, ContainerConfig, ContainerStats, ContainerStatus, Event, ExecConfig, ExecOutcome,
    LogPosition, LogRecord, RuntimeError, Statuses, TaskSandbox, WindowSize,
};
use image_store::ImageConfig;
use load_balancer::{Appearance, Lasting};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpSocket,
};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Runs sandboxes: one process per task that holds its containers and outlives the agent.
pub trait Runtime: Send + Sync + 'static {
    fn launch(&self, sandbox: TaskSandbox) -> BoxFuture<'_, Result<Arc<dyn Sandbox>, RuntimeError>>;

    /// Finds the sandbox in a directory again.
    fn adopt<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Adopted, RuntimeError>>;

    /// Removes every sandbox whose task is not known.
    fn sweep(&self, known_task_ids: BTreeSet<String>) -> BoxFuture<'_, Result<(), RuntimeError>>;

    /// A task is coming: what takes a while after a quiet time may begin now.
    fn nudge(&self) {}

    /// Removes what belongs to no task: idle sandboxes, the runtime's own groups and directories.
    fn dispose(&self) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

pub enum Adopted {
    Running(Arc<dyn Sandbox>),
    /// It is gone, and its containers with it.
    Dead {
        statuses: Statuses,
        outputs: Arc<dyn Outputs>,
    },
}

/// Containers' output, which outlives them.
pub trait Outputs: Send + Sync + 'static {
    fn tail(&self, name: &str, from: LogPosition) -> Box<dyn Tail>;
}

/// A container's output from a position on.
pub trait Tail: Send + 'static {
    /// What there is, at least one record and at most `limit`; empty after the last. Cancel-safe.
    fn next_batch(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<LogRecord>, RuntimeError>>;

    /// Everything before `position` may be deleted.
    fn acknowledge(&self, position: LogPosition);
}

/// A sandbox that runs.
pub trait Sandbox: Outputs {
    fn create(&self, config: ContainerConfig) -> BoxFuture<'_, Result<ContainerStatus, RuntimeError>>;
    fn start<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<ContainerStatus, RuntimeError>>;
    fn signal<'a>(&'a self, name: &'a str, signal: i32) -> BoxFuture<'a, Result<(), RuntimeError>>;
    fn kill_all<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>>;
    fn exec<'a>(
        &'a self,
        name: &'a str,
        config: ExecConfig,
    ) -> BoxFuture<'a, Result<ExecOutcome, RuntimeError>>;
    /// Runs a further process in a running container and talks to it.
    fn attach<'a>(
        &'a self,
        name: &'a str,
        config: AttachConfig,
    ) -> BoxFuture<'a, Result<Conversation, RuntimeError>>;
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), RuntimeError>>;
    /// Ends every container and the sandbox; its output stays.
    fn shutdown(&self) -> BoxFuture<'_, Result<(), RuntimeError>>;
    fn statuses(&self) -> Statuses;
    /// What happened since `seen`, and what happens from now on.
    fn events(&self, seen: Statuses) -> Box<dyn Events>;
    fn stats(&self, name: &str) -> Option<ContainerStats>;
}

/// A process that is talked to. It ends when this is dropped.
pub struct Conversation {
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Of a terminal: all that comes from it.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Standard error, without a terminal.
    pub errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub process: Box<dyn Process>,
}

/// What else can be done with it.
pub trait Process: Send + 'static {
    /// # Errors
    /// When its terminal is gone.
    fn resize(&self, size: WindowSize) -> io::Result<()>;
    /// To its group.
    fn signal(&mut self, signal: i32) -> BoxFuture<'_, Result<(), RuntimeError>>;
    /// Waits for its end. Cancel-safe.
    fn ended(&mut self) -> BoxFuture<'_, Result<ExecOutcome, RuntimeError>>;
}

pub trait Events: Send + 'static {
    /// `None` after the sandbox was shut down.
    fn next(&mut self) -> BoxFuture<'_, Option<Event>>;
}

/// Keeps images.
pub trait Images: Send + Sync + 'static {
    /// Makes an image present, at once when it is, and keeps it until `holder` releases it. The error is the
    /// text behind `CannotPullContainerError: `.
    fn ensure(&self, request: ImageRequest) -> BoxFuture<'_, Result<LocalImage, String>>;

    /// `holder` needs none of its images any more.
    fn release<'a>(&'a self, holder: &'a str) -> BoxFuture<'a, ()>;

    /// Nobody but these needs images any more.
    fn retain<'a>(&'a self, holders: &'a BTreeSet<String>) -> BoxFuture<'a, ()>;

    /// Makes room, if there is need, of images that nobody holds. Called every now and then.
    fn collect_garbage(&self) -> BoxFuture<'_, ()>;
}

#[derive(Debug, Clone)]
pub struct ImageRequest {
    pub image: String,
    /// The task's id.
    pub holder: String,
    pub login: Option<RegistryLogin>,
}

/// An image that is there.
#[derive(Debug, Clone)]
pub struct LocalImage {
    /// `sha256:…` of the manifest.
    pub manifest_digest: String,
    /// `sha256:…` of the configuration: Docker's image id.
    pub config_digest: String,
    pub config: ImageConfig,
    /// Topmost first.
    pub lower_dirs: Vec<PathBuf>,
}

/// A container's interface on the node's bridge (network mode `bridge`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeEndpoint {
    /// `eni-b-TASK-INDEX`: told apart from interfaces of a VPC by that alone.
    pub id: String,
    pub ports: Vec<PortMapping>,
}

/// An interface on the bridge that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridged {
    /// The namespace's file.
    pub netns: PathBuf,
    pub address: Ipv4Addr,
    /// The ports as they were published.
    pub bindings: Vec<NetworkBinding>,
}

/// Interfaces and security groups.
pub trait Network: Send + Sync + 'static {
    /// Brings VPCs and security groups to this state.
    fn apply(&self, state: NetworkState) -> BoxFuture<'_, Result<(), String>>;

    /// Makes the interface in a namespace of its own, and answers the namespace's file. One that is there already is
    /// answered as it is.
    fn attach<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<PathBuf, String>>;

    /// The same, and one that is there already gets these groups and this public address.
    fn hold<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<PathBuf, String>>;

    /// Makes sockets in the namespace of an attached interface, for use outside of it.
    ///
    /// # Errors
    /// When it cannot be entered.
    fn sockets(&self, netns: &Path) -> io::Result<Arc<dyn InterfaceSockets>>;

    /// An unbound stream socket in a namespace, whose file may be below `/proc`. Nothing else of the namespace is touched.
    fn stream_in<'a>(&'a self, netns: &'a Path) -> BoxFuture<'a, io::Result<TcpSocket>>;

    /// The same for datagrams; it does not block.
    fn datagrams_in<'a>(&'a self, netns: &'a Path) -> BoxFuture<'a, io::Result<std::net::UdpSocket>>;

    /// Makes an interface on the node's bridge and publishes its ports. One that is there already is answered as it is. The error is
    /// fit for `stoppedReason`.
    fn attach_bridged<'a>(&'a self, endpoint: &'a BridgeEndpoint) -> BoxFuture<'a, Result<Bridged, String>>;

    /// One that is not there is as good as detached.
    fn detach_bridged<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), String>>;

    /// One that is not there is as good as detached.
    fn detach<'a>(&'a self, interface: &'a NetworkInterface) -> BoxFuture<'a, Result<(), String>>;

    /// Detaches every interface but these.
    fn retain<'a>(&'a self, interface_ids: &'a BTreeSet<String>) -> BoxFuture<'a, Result<(), String>>;

    /// Removes everything that was made on the machine.
    fn remove_everything(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// Sockets of an interface that has no process in it. They are driven by the runtime that asks for them.
pub trait InterfaceSockets: Send + Sync + 'static {
    /// An unbound stream socket.
    fn stream(&self) -> BoxFuture<'_, io::Result<TcpSocket>>;

    /// A listening socket that does not block.
    fn listen(&self, address: SocketAddrV4) -> BoxFuture<'_, io::Result<std::net::TcpListener>>;

    /// A datagram socket that does not block, bound to `address`; port 0 is any free one.
    fn datagrams(&self, address: SocketAddrV4) -> BoxFuture<'_, io::Result<std::net::UdpSocket>>;

    /// Has a flow of one of them appear as a client's, as [`load_balancer::Sockets::appear`] says.
    fn appear(&self, appearance: Appearance) -> BoxFuture<'_, io::Result<Lasting>>;
}
