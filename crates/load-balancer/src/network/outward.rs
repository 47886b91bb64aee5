//! Sockets of one interface toward targets, which see the load balancer's address or the client's.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
};

use routing::config::Interface;
use tokio::net::{TcpStream, UdpSocket};

use crate::{Appearance, Lasting, Sockets};

/// How many ports a flow is tried from that is to appear as a client's. One that another connection has to the same target is a rare draw.
const MOST_PORTS: usize = 4;

/// Makes them.
pub(super) struct Outward {
    sockets: Arc<dyn Sockets>,
    interface: String,
    own: Ipv4Addr,
}

/// A socket, and what its appearance lasts by.
pub(super) type As<T> = (T, Option<Lasting>);

impl Outward {
    pub(super) fn new(sockets: Arc<dyn Sockets>, interface: &Interface) -> Outward {
        Outward { sockets, interface: interface.id.clone(), own: interface.private_address }
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
        let mut tried = 1;
        loop {
            let socket = self.sockets.stream(&self.interface).await?;
            // A port may have connections to several targets, and those that have just ended.
            socket.set_reuseaddr(true)?;
            socket.bind((self.own, 0).into())?;
            let own = bound(socket.local_addr()?)?;
            match self.appear(Appearance { datagrams: false, own, target, client }).await {
                Ok(lasting) => return Ok((socket.connect(target.into()).await?, Some(lasting))),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried < MOST_PORTS => tried += 1,
                Err(error) => return Err(error),
            }
        }
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
