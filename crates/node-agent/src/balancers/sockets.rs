//! Sockets by interface, for the data plane.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddrV4, TcpListener, UdpSocket},
    sync::{Arc, PoisonError, RwLock},
};

use load_balancer::{Appearance, Lasting, Sockets};
use tokio::net::TcpSocket;

use crate::ports::{BoxFuture, InterfaceSockets};

/// Interfaces that sockets can be opened on.
#[derive(Default)]
pub(super) struct Doors(RwLock<HashMap<String, Arc<dyn InterfaceSockets>>>);

impl Doors {
    pub(super) fn open(&self, interface: &str, sockets: Arc<dyn InterfaceSockets>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(interface.to_owned(), sockets);
    }

    /// What is open stays open.
    pub(super) fn close(&self, interface: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(interface);
    }

    fn of(&self, interface: &str) -> io::Result<Arc<dyn InterfaceSockets>> {
        let doors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{interface} is not attached yet"));
        doors.get(interface).cloned().ok_or_else(missing)
    }
}

impl Sockets for Doors {
    fn stream<'a>(&'a self, interface: &'a str) -> BoxFuture<'a, io::Result<TcpSocket>> {
        Box::pin(async { self.of(interface)?.stream().await })
    }

    fn listen<'a>(
        &'a self,
        interface: &'a str,
        address: SocketAddrV4,
    ) -> BoxFuture<'a, io::Result<TcpListener>> {
        Box::pin(async move { self.of(interface)?.listen(address).await })
    }

    fn datagrams<'a>(
        &'a self,
        interface: &'a str,
        address: SocketAddrV4,
    ) -> BoxFuture<'a, io::Result<UdpSocket>> {
        Box::pin(async move { self.of(interface)?.datagrams(address).await })
    }

    fn appear<'a>(
        &'a self,
        interface: &'a str,
        appearance: Appearance,
    ) -> BoxFuture<'a, io::Result<Lasting>> {
        Box::pin(async move { self.of(interface)?.appear(appearance).await })
    }
}
