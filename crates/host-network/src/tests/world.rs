//! The test's host, its outside, and ways to send traffic between namespaces.

use std::{
    collections::BTreeSet,
    fs::File,
    future::Future,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU8, Ordering},
    thread,
    time::Duration,
};

use addressing::{Cidr, MacAddress};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
    sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket},
};

use crate::{
    Attached, EniId, GroupId, InterfaceSpec, Network, NetworkConfig, Peer, Ports, Rule, SecurityGroupSpec,
    Traffic, VpcId, VpcSpec, namespace,
    netlink::{Message, NextHop, ROUTE_PROTOCOL, Rtnetlink, route},
    nft::Nft,
};

/// Allowed traffic arrives within this or not at all.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long a refused connection is waited for.
pub(super) const BRIEF: Duration = Duration::from_millis(400);

pub(super) const HOST_OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
pub(super) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);

pub(super) struct World {
    pub directory: tempfile::TempDir,
    pub config: NetworkConfig,
    pub outside: PathBuf,
    next: AtomicU8,
}

/// Runs `body` on a thread whose network and mounts are its own: everything it leaves behind ends with it.
pub(super) fn on_a_host<F: Future<Output = ()>>(body: impl FnOnce(World) -> F + Send) {
    let result = thread::scope(|scope| {
        let host = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("these tests need root");
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .expect("private mounts");
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(body(World::new()));
        });
        host.join()
    });
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

impl World {
    fn new() -> World {
        let directory = tempfile::tempdir_in("/var/tmp").expect("a directory");
        let outside = directory.path().join("outside");
        let mut host = namespace::prepare_inside().expect("lo up");
        let mut inside = namespace::create(&outside, namespace::prepare_inside).expect("a namespace");
        let file = File::open(&outside).expect("the namespace");
        let mac = |last| MacAddress::new([2, 0, 0, 0, 1, last]).expect("unicast");
        host.request_all(vec![route::add_veth("up0", mac(1), "up0", file.as_raw_fd())]).expect("an uplink");
        let index = |socket: &mut Rtnetlink| socket.link("up0").expect("listed").expect("there").index;
        let (here, there) = (index(&mut host), index(&mut inside));
        inside
            .request_all(vec![route::set_link_up(there), route::add_address(there, OUTSIDE, 24)])
            .expect("outside up");
        host.request_all(vec![
            route::add_address(here, HOST_OUTSIDE, 24),
            foreign(route::add_route(
                Cidr::ANYWHERE,
                NextHop::Gateway { index: here, router: OUTSIDE },
                ROUTE_PROTOCOL,
            )),
        ])
        .expect("host up");
        let mut config = NetworkConfig::new(directory.path().join("run"));
        config.warm_namespaces = 2;
        World { directory, config, outside, next: AtomicU8::new(4) }
    }

    pub async fn start(&self) -> Network {
        Network::start(self.config.clone()).await.expect("the network starts")
    }

    /// Started, with a VPC of two subnets and the groups `sg-closed` (nothing in) and `sg-open` (everything in).
    pub async fn network(&self) -> Network {
        let network = self.start().await;
        self.fill(&network).await;
        network
    }

    pub async fn fill(&self, network: &Network) {
        network.ensure_vpc(vpc()).await.expect("a VPC");
        network.set_security_group(SecurityGroupSpec::new(sg("closed"))).await.expect("a group");
        network.set_security_group(allowing("open", vec![Rule::everything()])).await.expect("a group");
    }

    /// An interface in the first subnet with the next free address.
    pub fn interface(&self, groups: &[&str]) -> InterfaceSpec {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        InterfaceSpec {
            eni_id: eni(number),
            vpc_id: vpc().id,
            subnet: vpc().subnets[0],
            address: Ipv4Addr::new(172, 31, 0, number),
            mac: MacAddress::new([2, 0, 0, 0, 0, number]).expect("unicast"),
            security_groups: groups.iter().map(|name| sg(name)).collect::<BTreeSet<_>>(),
            public_address: None,
            published: vec![],
        }
    }

    pub async fn task(&self, network: &Network, groups: &[&str]) -> Attached {
        network.attach(self.interface(groups)).await.expect("attached")
    }

    pub async fn public_task(&self, network: &Network, groups: &[&str], last: u8) -> Attached {
        let mut spec = self.interface(groups);
        spec.public_address = Some(Ipv4Addr::new(198, 18, 0, last));
        network.attach(spec).await.expect("attached")
    }

    /// What nft lists of our table, empty when there is none.
    pub fn ruleset(&self) -> String {
        Nft::new(&self.config.nft).output("list the table", &["list", "ruleset"]).expect("nft lists")
    }
}

/// Makes a request for a route one for someone else's.
pub(super) fn foreign(request: Message) -> Message {
    let mut bytes = request.finish(0);
    let protocol = &mut bytes[16 + 5];
    assert_eq!(std::mem::replace(protocol, 4 /* RTPROT_STATIC */), ROUTE_PROTOCOL);
    Message::from_bytes(bytes)
}

pub(super) fn vpc() -> VpcSpec {
    let cidr = |text: &str| text.parse().expect("a range");
    VpcSpec {
        id: VpcId::new("vpc-1").expect("an id"),
        cidr: cidr("172.31.0.0/16"),
        subnets: vec![cidr("172.31.0.0/20"), cidr("172.31.16.0/20")],
    }
}

pub(super) fn sg(name: &str) -> GroupId {
    GroupId::new(format!("sg-{name}")).expect("an id")
}

pub(super) fn eni(number: u8) -> EniId {
    EniId::new(format!("eni-{number}")).expect("an id")
}

pub(super) fn allowing(name: &str, ingress: Vec<Rule>) -> SecurityGroupSpec {
    SecurityGroupSpec { ingress, ..SecurityGroupSpec::new(sg(name)) }
}

pub(super) fn tcp(first: u16, last: u16, peer: Peer) -> Rule {
    Rule { traffic: Traffic::Tcp(Ports::new(first, last).expect("a range")), peer }
}

pub(super) fn cidr(text: &str) -> Peer {
    Peer::Cidr(text.parse().expect("a range"))
}

/// Where a socket is: in a task's namespace, outside, or (`None`) on the host.
pub(super) type At<'a> = Option<&'a Path>;

pub(super) fn at(task: &Attached) -> At<'_> {
    Some(&task.netns_path)
}

/// Runs `body` in a namespace. Sockets stay in the one they were made in.
pub(super) fn inside<T: Send>(place: At<'_>, body: impl FnOnce() -> T + Send) -> T {
    let Some(path) = place else { return body() };
    let file = File::open(path).expect("the namespace");
    thread::scope(|scope| {
        let body = scope.spawn(|| {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET).expect("entering");
            body()
        });
        body.join().expect("no panic")
    })
}

/// Answers every TCP connection with the address it came from, and every datagram likewise, until the test ends.
pub(super) fn serve(place: At<'_>, address: Ipv4Addr, port: u16) {
    let (listener, datagrams) = inside(place, || {
        let at = (address, port);
        (TcpListener::bind(at).expect("listening"), UdpSocket::bind(at).expect("bound"))
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { break };
            if let Ok(peer) = stream.peer_addr() {
                // The peer may be gone already.
                let _ = stream.write_all(peer.ip().to_string().as_bytes());
            }
        }
    });
    thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = datagrams.recv_from(&mut buffer) {
            let _ = datagrams.send_to(peer.ip().to_string().as_bytes(), peer);
        }
    });
}

/// The source address the server saw, or `None` when no connection came about in `wait`.
fn ask_tcp(place: At<'_>, to: Ipv4Addr, port: u16, wait: Duration) -> Option<Ipv4Addr> {
    inside(place, || {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((to, port)), wait).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.parse().ok()
    })
}

pub(super) fn reaches(place: At<'_>, to: Ipv4Addr, port: u16) -> Ipv4Addr {
    match ask_tcp(place, to, port, PATIENCE) {
        Some(source) => source,
        None => panic!("{place:?} does not reach {to}:{port}"),
    }
}

pub(super) fn refused(place: At<'_>, to: Ipv4Addr, port: u16) {
    if let Some(source) = ask_tcp(place, to, port, BRIEF) {
        panic!("{place:?} reaches {to}:{port} as {source}");
    }
}

/// Receives datagrams, to see what arrives where no answer would find its way back.
pub(super) struct Sink(UdpSocket);

impl Sink {
    pub fn open(place: At<'_>, address: Ipv4Addr, port: u16) -> Sink {
        let socket = inside(place, || UdpSocket::bind((address, port)).expect("bound"));
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Sink(socket)
    }

    /// What has arrived before the datagram `last`, which does arrive.
    pub fn until(&self, last: &str) -> Vec<String> {
        self.until_with_sources(last).into_iter().map(|(text, _)| text).collect()
    }

    /// And from where.
    pub fn until_with_sources(&self, last: &str) -> Vec<(String, Ipv4Addr)> {
        let mut arrived = vec![];
        loop {
            let mut buffer = [0; 64];
            let (length, from) =
                self.0.recv_from(&mut buffer).unwrap_or_else(|_| panic!("'{last}' does not arrive"));
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let SocketAddr::V4(from) = from else { unreachable!("IPv4") };
            if text == last {
                return arrived;
            }
            arrived.push((text, *from.ip()));
        }
    }
}

/// Sends a datagram and does not care what becomes of it.
pub(super) fn send(place: At<'_>, to: Ipv4Addr, port: u16, text: &str) {
    let socket = inside(place, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("bound"));
    // Some refusals are told to the sender at once.
    let _ = socket.send_to(text.as_bytes(), (to, port));
}

fn ask_udp(place: At<'_>, to: Ipv4Addr, port: u16, wait: Duration) -> Option<Ipv4Addr> {
    let socket = inside(place, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("bound"));
    socket.set_read_timeout(Some(wait)).expect("a timeout");
    socket.send_to(b"?", (to, port)).ok()?;
    let mut buffer = [0; 64];
    let (length, _) = socket.recv_from(&mut buffer).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()?.parse().ok()
}

pub(super) fn reaches_udp(place: At<'_>, to: Ipv4Addr, port: u16) {
    assert!(ask_udp(place, to, port, PATIENCE).is_some(), "{place:?} does not reach {to}:{port} by UDP");
}

pub(super) fn refused_udp(place: At<'_>, to: Ipv4Addr, port: u16) {
    assert_eq!(ask_udp(place, to, port, BRIEF), None, "{place:?} reaches {to}:{port} by UDP");
}

/// Whether an echo request is answered. From a task's namespace, where any process may ping.
fn ping(place: At<'_>, to: Ipv4Addr, wait: Duration) -> bool {
    let socket = inside(place, || {
        socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp)
            .expect("a ping socket")
    });
    // The standard library's socket is for datagrams of any kind.
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(wait)).expect("a timeout");
    let request = [8, 0, 0, 0, 0, 0, 0, 1];
    socket.send_to(&request, (to, 0)).is_ok() && socket.recv_from(&mut [0; 64]).is_ok()
}

pub(super) fn pings(place: At<'_>, to: Ipv4Addr) {
    assert!(ping(place, to, PATIENCE), "{place:?} cannot ping {to}");
}

pub(super) fn pings_not(place: At<'_>, to: Ipv4Addr) {
    assert!(!ping(place, to, BRIEF), "{place:?} pings {to}");
}
