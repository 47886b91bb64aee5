//! Where sockets come from.
//!
//! A load balancer's node is a network interface with a namespace of its own: its listeners and its connections to targets are sockets
//! of that namespace, so that addresses, ports and security groups are those of the interface. This crate knows no namespaces; who
//! composes it hands sockets in.

use std::{io, net::SocketAddrV4};

use futures_util::future::BoxFuture;
use tokio::net::TcpSocket;

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
}

/// Sockets of the machine itself, whatever the interface: for tests, benchmarks and load balancers without a network of their
/// own.
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
}
