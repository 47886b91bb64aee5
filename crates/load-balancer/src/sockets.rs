//! Where sockets come from.
//!
//! A load balancer's node is a network interface with a namespace of its own: its listeners and its connections to targets are sockets
//! of that namespace, so that addresses, ports and security groups are those of the interface. This crate knows no namespaces; who
//! composes it hands sockets in.

use std::{io, net::SocketAddrV4};

use futures_util::future::BoxFuture;
use tokio::net::TcpSocket;

/// A flow that its target is to see coming from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appearance {
    pub datagrams: bool,
    /// What the socket toward the target is bound to.
    pub own: SocketAddrV4,
    pub target: SocketAddrV4,
    pub client: SocketAddrV4,
}

/// What ends when it is dropped.
pub type Lasting = Box<dyn Send + Sync>;

/// Makes sockets. Called from every thread of the data plane, inside a tokio runtime.
pub trait Sockets: Send + Sync + 'static {
    /// An unbound stream socket of the interface (`eni-…`), to connect with.
    ///
    /// # Errors
    /// When the interface is not there, or no more files may be opened.
    fn stream<'a>(&'a self, interface: &'a str) -> BoxFuture<'a, io::Result<TcpSocket>>;

    /// A listening socket of the interface that does not block.
    ///
    /// # Errors
    /// Also when the port is taken.
    fn listen<'a>(
        &'a self,
        interface: &'a str,
        address: SocketAddrV4,
    ) -> BoxFuture<'a, io::Result<std::net::TcpListener>>;

    /// A datagram socket of the interface, bound to `address`; port 0 is any free one. It does not block.
    ///
    /// # Errors
    /// Also when the port is taken.
    fn datagrams<'a>(
        &'a self,
        interface: &'a str,
        address: SocketAddrV4,
    ) -> BoxFuture<'a, io::Result<std::net::UdpSocket>>;

    /// Has what a socket of the interface sends, which is bound and not yet connected, come from the client in the eyes of the target, and
    /// the answers to the socket, until what is returned is dropped.
    ///
    /// # Errors
    /// `AddrInUse` when the socket's own port is not free for that target: with another one it may be possible. `AddrNotAvailable` when
    /// the target has a flow from the client's address and port already, or is the client.
    fn appear<'a>(&'a self, interface: &'a str, appearance: Appearance)
    -> BoxFuture<'a, io::Result<Lasting>>;
}

/// Sockets of the machine itself, whatever the interface: for tests, benchmarks and load balancers without a network of their
/// own. They cannot appear as a client's.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostSockets;

/// As the kernel's own limit usually is.
const BACKLOG: u32 = 4096;

impl Sockets for HostSockets {
    fn stream<'a>(&'a self, _interface: &'a str) -> BoxFuture<'a, io::Result<TcpSocket>> {
        Box::pin(async { TcpSocket::new_v4() })
    }

    fn listen<'a>(
        &'a self,
        _interface: &'a str,
        address: SocketAddrV4,
    ) -> BoxFuture<'a, io::Result<std::net::TcpListener>> {
        Box::pin(async move {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(address.into())?;
            socket.listen(BACKLOG)?.into_std()
        })
    }

    fn datagrams<'a>(
        &'a self,
        _interface: &'a str,
        address: SocketAddrV4,
    ) -> BoxFuture<'a, io::Result<std::net::UdpSocket>> {
        Box::pin(async move {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
    }

    fn appear<'a>(
        &'a self,
        _interface: &'a str,
        _appearance: Appearance,
    ) -> BoxFuture<'a, io::Result<Lasting>> {
        Box::pin(async { Err(io::Error::from(io::ErrorKind::Unsupported)) })
    }
}
