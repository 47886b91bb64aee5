//! Sockets of a namespace for threads outside of it.
//!
//! A socket belongs for good to the network namespace of the thread that made it; binding, connecting, reading and writing
//! may happen anywhere. So only the making needs a thread inside, and everything else is done by whichever runtime
//! drives the sockets: a load balancer has its own addresses, ports and security groups without a process of its own.
//!
//! There is one thread per namespace, as no other thread of the process may ever change its namespace. Stream sockets are made
//! ahead, so that a connection outward does not wait for a thread to wake. The namespace lives at least as long as its
//! sockets; when its interface is detached they lead nowhere.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    net::{SocketAddrV4, TcpStream as StdTcpStream, UdpSocket as StdUdpSocket},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{AddressFamily, SockFlag, SockType, socket},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    sync::oneshot,
};

use crate::sysctl;

/// Stream sockets kept ready: enough for the connections of a moment, few against the limit of open files.
const READY: usize = 32;
/// Connections that wait to be accepted; the kernel's own limit for a namespace.
const BACKLOG: u32 = 4096;

enum Job {
    /// Fill up what is ready.
    Refill,
    Stream(oneshot::Sender<io::Result<OwnedFd>>),
    Datagram(SocketAddrV4, oneshot::Sender<io::Result<StdUdpSocket>>),
}

type Ready = Arc<Mutex<VecDeque<OwnedFd>>>;

/// Makes sockets inside one namespace. The thread ends with the last clone.
#[derive(Debug, Clone)]
pub struct NamespaceSockets {
    netns: PathBuf,
    jobs: mpsc::Sender<Job>,
    ready: Ready,
}

impl NamespaceSockets {
    /// Enters the namespace kept at `netns` ([`crate::Attached::netns_path`]). A file system operation and a new thread: some
    /// tens of microseconds.
    ///
    /// # Errors
    /// When there is no namespace, or this process may not enter it.
    pub fn enter(netns: &Path) -> io::Result<NamespaceSockets> {
        let file = File::open(netns)?;
        let (jobs, receiver) = mpsc::channel();
        let (entered, outcome) = mpsc::sync_channel(1);
        let ready = Ready::default();
        let theirs = Arc::clone(&ready);
        thread::Builder::new().name("lsh-sockets".to_owned()).stack_size(128 << 10).spawn(move || {
            let inside = setns(&file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
            drop(file);
            let failed = inside.is_err();
            if !failed {
                settle();
            }
            if entered.send(inside).is_ok() && !failed {
                make(&receiver, &theirs);
            }
        })?;
        outcome.recv().map_err(|_| ended())??;
        Ok(NamespaceSockets { netns: netns.to_owned(), jobs, ready })
    }

    /// The namespace they are made in.
    pub fn netns(&self) -> &Path {
        &self.netns
    }

    /// An unbound stream socket.
    ///
    /// # Errors
    /// When this process has too many files open.
    pub async fn stream(&self) -> io::Result<TcpSocket> {
        let taken = {
            let mut ready = lock(&self.ready);
            (ready.pop_front(), ready.len())
        };
        let socket = match taken {
            (Some(socket), left) => {
                if left == READY / 2 {
                    self.jobs.send(Job::Refill).map_err(|_| ended())?;
                }
                socket
            }
            (None, _) => self.made(Job::Stream).await?,
        };
        Ok(TcpSocket::from_std_stream(StdTcpStream::from(socket)))
    }

    /// Listens at an address of the namespace; 0.0.0.0 is every one.
    ///
    /// # Errors
    /// When the port is taken or the address is not one of the namespace's.
    pub async fn listen(&self, address: SocketAddrV4) -> io::Result<TcpListener> {
        let socket = self.stream().await?;
        // Connections of an earlier process that are still closing do not keep the port.
        socket.set_reuseaddr(true)?;
        socket.bind(address.into())?;
        socket.listen(BACKLOG)
    }

    /// Connects from the namespace's own address.
    ///
    /// # Errors
    /// Those of a connection; the caller sets the time limit.
    pub async fn connect(&self, address: SocketAddrV4) -> io::Result<TcpStream> {
        self.stream().await?.connect(address.into()).await
    }

    /// A datagram socket, bound to `address`; port 0 is any free one.
    ///
    /// # Errors
    /// When the port is taken or the address is not one of the namespace's.
    pub async fn datagram(&self, address: SocketAddrV4) -> io::Result<UdpSocket> {
        UdpSocket::from_std(self.made(|answer| Job::Datagram(address, answer)).await?)
    }

    async fn made<T>(&self, job: impl FnOnce(oneshot::Sender<io::Result<T>>) -> Job) -> io::Result<T> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// One unbound stream socket of a namespace, which is otherwise left as it is. The namespace's file may be below `/proc`.
///
/// # Errors
/// When there is no namespace, or this process may not enter it.
pub async fn stream_in(netns: &Path) -> io::Result<TcpSocket> {
    let socket = inside(netns, create).await?;
    Ok(TcpSocket::from_std_stream(StdTcpStream::from(socket)))
}

/// The same for datagrams. It does not block.
///
/// # Errors
/// Those of [`stream_in`].
pub async fn datagrams_in(netns: &Path) -> io::Result<StdUdpSocket> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let create = move || Ok(socket(AddressFamily::Inet, SockType::Datagram, flags, None)?);
    Ok(StdUdpSocket::from(inside(netns, create).await?))
}

/// Makes something in a thread that enters a namespace and ends.
async fn inside(
    netns: &Path,
    create: impl FnOnce() -> io::Result<OwnedFd> + Send + 'static,
) -> io::Result<OwnedFd> {
    let netns = netns.to_owned();
    let (answer, answered) = oneshot::channel();
    thread::Builder::new().name("lsh-socket".to_owned()).stack_size(128 << 10).spawn(move || {
        let made = File::open(netns)
            .and_then(|file| setns(&file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from))
            .and_then(|()| create());
        // Whoever asked may have given up.
        drop(answer.send(made));
    })?;
    answered.await.map_err(|_| ended())?
}

fn make(jobs: &mpsc::Receiver<Job>, ready: &Ready) {
    refill(ready);
    while let Ok(job) = jobs.recv() {
        // Whoever asked may have given up.
        match job {
            Job::Refill => {}
            Job::Stream(answer) => drop(answer.send(create())),
            Job::Datagram(address, answer) => {
                let bound = StdUdpSocket::bind(address)
                    .and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
                drop(answer.send(bound));
                continue;
            }
        }
        refill(ready);
    }
    lock(ready).clear();
}

fn refill(ready: &Ready) {
    while lock(ready).len() < READY {
        match create() {
            Ok(socket) => lock(ready).push_back(socket),
            // Whoever needs one is told.
            Err(_) => return,
        }
    }
}

fn create() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    Ok(socket(AddressFamily::Inet, SockType::Stream, flags, None)?)
}

/// Such a namespace makes many connections to few addresses: ports of those that have just ended are used again.
fn settle() {
    if let Err(error) = sysctl::write_if_present("net/ipv4/tcp_tw_reuse", "1") {
        tracing::debug!(%error, "a setting of a namespace is left as it is");
    }
}

fn lock(ready: &Ready) -> MutexGuard<'_, VecDeque<OwnedFd>> {
    ready.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ended() -> io::Error {
    io::Error::other("the thread that makes a namespace's sockets has ended")
}
