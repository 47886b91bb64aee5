//! Flows in their client's name, with somebody who remembers what was asked for in place of a network.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicUsize},
    },
};

use futures_util::future::BoxFuture;
use tokio::net::TcpSocket;

use super::*;
use crate::{Appearance, Lasting};

/// Sockets of this machine; appearances are written down.
#[derive(Default)]
struct Remembering {
    current: Arc<Mutex<BTreeMap<usize, Appearance>>>,
    asked: AtomicUsize,
    /// So many own ports are said to be taken.
    taken: AtomicU32,
    /// Targets that have a flow of the client's already.
    busy: Mutex<Vec<SocketAddrV4>>,
}

struct Entry(Arc<Mutex<BTreeMap<usize, Appearance>>>, usize);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.lock().expect("unpoisoned").remove(&self.1);
    }
}

impl Remembering {
    fn current(&self) -> Vec<Appearance> {
        self.current.lock().expect("unpoisoned").values().copied().collect()
    }

    async fn until_over(&self) {
        soon(async {
            while !self.current().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn remember(&self, appearance: Appearance) -> io::Result<Lasting> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if self.busy.lock().expect("unpoisoned").contains(&appearance.target) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        if self.taken.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        self.current.lock().expect("unpoisoned").insert(number, appearance);
        Ok(Box::new(Entry(Arc::clone(&self.current), number)))
    }
}

impl Sockets for Remembering {
    fn stream<'a>(&'a self, interface: &'a str) -> BoxFuture<'a, io::Result<TcpSocket>> {
        HostSockets.stream(interface)
    }

    fn listen<'a>(
        &'a self,
        interface: &'a str,
        address: SocketAddrV4,
    ) -> BoxFuture<'a, io::Result<std::net::TcpListener>> {
        HostSockets.listen(interface, address)
    }

    fn datagrams<'a>(
        &'a self,
        interface: &'a str,
        address: SocketAddrV4,
    ) -> BoxFuture<'a, io::Result<std::net::UdpSocket>> {
        HostSockets.datagrams(interface, address)
    }

    fn appear<'a>(
        &'a self,
        _interface: &'a str,
        appearance: Appearance,
    ) -> BoxFuture<'a, io::Result<Lasting>> {
        Box::pin(async move { self.remember(appearance) })
    }
}

fn bench(protocol: ListenerProtocol) -> (Bench, Arc<Remembering>) {
    let sockets = Arc::new(Remembering::default());
    let mut bench = Bench::with(protocol, Arc::clone(&sockets) as Arc<dyn Sockets>);
    bench.group().attributes.preserve_client_address = true;
    (bench, sockets)
}

fn v4(address: io::Result<std::net::SocketAddr>) -> SocketAddrV4 {
    match address.expect("an address") {
        std::net::SocketAddr::V4(address) => address,
        std::net::SocketAddr::V6(_) => unreachable!("IPv4"),
    }
}

#[tokio::test]
async fn a_connection_appears_as_the_clients_for_as_long_as_it_lasts() {
    let (mut bench, sockets) = bench(ListenerProtocol::Tcp);
    let (listener, target) = bound().await;
    bench.add(target);
    bench.apply().await;
    let client = bench.connect().await;
    let (stream, own) = soon(listener.accept()).await.expect("a connection");
    let expected = Appearance { datagrams: false, own: v4(Ok(own)), target, client: v4(client.local_addr()) };
    assert_eq!(sockets.current(), [expected]);
    assert_eq!(expected.own.ip(), bench.address.ip(), "the interface's own address");
    assert!((16_384..32_768).contains(&expected.own.port()), "none of those that the kernel gives out");
    drop((client, stream));
    sockets.until_over().await;
    // Without the attribute nothing is asked for.
    bench.group().attributes.preserve_client_address = false;
    bench.apply().await;
    let client = bench.connect().await;
    let (stream, _) = soon(listener.accept()).await.expect("a connection");
    assert_eq!(sockets.asked.load(Ordering::Relaxed), 1);
    drop((client, stream));
}

#[tokio::test]
async fn another_port_is_tried_where_one_is_taken_and_another_target_where_none_will_do() {
    let (mut bench, sockets) = bench(ListenerProtocol::Tcp);
    let (busy, free) = (named("busy").await, named("free").await);
    bench.add(busy);
    sockets.taken.store(2, Ordering::Relaxed);
    bench.apply().await;
    assert_eq!(bench.ask().await, "busy");
    assert_eq!(sockets.asked.load(Ordering::Relaxed), 3);
    sockets.busy.lock().expect("unpoisoned").push(busy);
    bench.add(free);
    bench.apply().await;
    for _ in 0..10 {
        assert_eq!(bench.ask().await, "free");
    }
    sockets.until_over().await;
}

#[tokio::test]
async fn datagrams_appear_as_the_clients_until_their_flow_ends() {
    let (mut bench, sockets) = bench(ListenerProtocol::Udp);
    let targets = [
        UdpSocket::bind((own_address(), 0)).await.expect("a port"),
        UdpSocket::bind((own_address(), 0)).await.expect("a port"),
    ];
    let [busy, free] = targets.each_ref().map(|socket| v4(socket.local_addr()));
    bench.add(busy);
    bench.add(free);
    sockets.busy.lock().expect("unpoisoned").push(busy);
    bench.apply().await;
    for _ in 0..4 {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        client.connect(bench.address).await.expect("connected");
        client.send(b"?").await.expect("sent");
        let (_, own) = soon(targets[1].recv_from(&mut [0])).await.expect("a datagram");
        let (own, client) = (v4(Ok(own)), v4(client.local_addr()));
        assert_eq!(own.ip(), bench.address.ip());
        let current = sockets.current();
        assert_eq!(current.last(), Some(&Appearance { datagrams: true, own, target: free, client }));
    }
    assert_eq!(sockets.current().len(), 4);
    // The listener goes, and all flows with it.
    bench.configuration.load_balancers[0].listeners.clear();
    bench.apply().await;
    sockets.until_over().await;
}
