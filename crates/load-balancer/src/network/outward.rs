//! Sockets of one interface toward targets, which see the load balancer's address or the client's.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use routing::config::Interface;
use tokio::net::{TcpStream, UdpSocket};

use crate::{Appearance, Lasting, Sockets};

/// Ports of connections that appear as clients'. The kernel gives no port out while any socket is bound to it by hand, whatever its target,
/// also for a minute after its end; so these are not among those that it gives out (32768 and above), which all other connections need.
/// Bound by hand, a port may have connections to several targets.
const PORTS: Range<u16> = 16_384..32_768;

/// How many of them a connection is tried from. One that another connection has to the same target is a rare draw.
const MOST_PORTS: usize = 16;

/// Makes them.
pub(super) struct Outward {
    sockets: Arc<dyn Sockets>,
    interface: String,
    own: Ipv4Addr,
    /// Of the ports, counted on without end: each is used again as late as possible.
    next: AtomicU16,
}

/// A socket, and what its appearance lasts by.
pub(super) type As<T> = (T, Option<Lasting>);

impl Outward {
    pub(super) fn new(sockets: Arc<dyn Sockets>, interface: &Interface) -> Outward {
        // An interface has several of these, and they should not meet.
        let next = AtomicU16::new(RandomState::new().hash_one(&interface.id) as u16);
        Outward { sockets, interface: interface.id.clone(), own: interface.private_address, next }
    }

    /// Connects to a target, in a client's name if there is one.
    pub(super) async fn connect(
        &self,
        target: SocketAddrV4,
        client: Option<SocketAddrV4>,
    ) -> io::Result<As<TcpStream>> {
        let Some(client) = client else {
            let socket = self.sockets.stream(&self.interface).await?;
            return Ok((socket.connect(target.into()).await?, None));
        };
        let mut left = MOST_PORTS;
        loop {
            left -= 1;
            // For another reason than that the port is taken, no other port will do.
            let taken = |error: &io::Error, kind| left > 0 && error.kind() == kind;
            let socket = self.sockets.stream(&self.interface).await?;
            socket.set_reuseaddr(true)?;
            let own = SocketAddrV4::new(self.own, self.port());
            match socket.bind(own.into()) {
                Err(error) if taken(&error, io::ErrorKind::AddrInUse) => continue,
                bound => bound?,
            }
            let lasting = match self.appear(Appearance { datagrams: false, own, target, client }).await {
                Err(error) if taken(&error, io::ErrorKind::AddrInUse) => continue,
                appearing => appearing?,
            };
            match socket.connect(target.into()).await {
                Err(error) if taken(&error, io::ErrorKind::AddrNotAvailable) => {}
                connected => return Ok((connected?, Some(lasting))),
            }
        }
    }

    fn port(&self) -> u16 {
        PORTS.start + self.next.fetch_add(1, Ordering::Relaxed) % (PORTS.end - PORTS.start)
    }

    /// A datagram socket that is connected to a target.
    pub(super) async fn datagrams(
        &self,
        target: SocketAddrV4,
        client: Option<SocketAddrV4>,
    ) -> io::Result<As<UdpSocket>> {
        let address = SocketAddrV4::new(if client.is_some() { self.own } else { Ipv4Addr::UNSPECIFIED }, 0);
        let socket = UdpSocket::from_std(self.sockets.datagrams(&self.interface, address).await?)?;
        let lasting = match client {
            Some(client) => {
                // No other socket has the port.
                let own = bound(socket.local_addr()?)?;
                Some(self.appear(Appearance { datagrams: true, own, target, client }).await?)
            }
            None => None,
        };
        socket.connect(SocketAddr::V4(target)).await?;
        Ok((socket, lasting))
    }

    async fn appear(&self, appearance: Appearance) -> io::Result<Lasting> {
        self.sockets.appear(&self.interface, appearance).await
    }
}

fn bound(address: SocketAddr) -> io::Result<SocketAddrV4> {
    match address {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}
