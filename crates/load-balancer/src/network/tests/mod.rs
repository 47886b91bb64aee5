//! Real connections over loopback addresses that no other process of the tests has.

mod appearances;
mod flows;
mod plans;
mod tls;

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use routing::{
    config::{
        Action, Configuration, Forward, Interface, Listener, ListenerAttributes, ListenerProtocol,
        LoadBalancer, LoadBalancerAttributes, LoadBalancerKind, Outcome, Protocol, ProtocolVersion, Scheme,
        Target, TargetGroup, TargetGroupAttributes, WeightedTargetGroup,
    },
    report::HealthState,
};
use rustls::{
    ClientConfig, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::{Closed, HealthMap, NetworkPlane};
use crate::{HostSockets, Sockets};

pub(crate) const CERTIFICATE: &[u8] = include_bytes!("certificate.pem");
pub(crate) const KEY: &[u8] = include_bytes!("key.pem");
/// Longer than anything here takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(20);

/// An address that this process has alone: tests of several processes may run at once.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high.clamp(1, 254), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// What is waited for, or the test fails.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// A load balancer with one listener on port 7000, and one target group.
pub(crate) struct Bench {
    plane: NetworkPlane,
    pub(crate) configuration: Configuration,
    health: HealthMap,
    pub(crate) address: SocketAddrV4,
}

impl Bench {
    pub(crate) fn new(protocol: ListenerProtocol) -> Bench {
        Bench::with(protocol, Arc::new(HostSockets))
    }

    fn with(protocol: ListenerProtocol, sockets: Arc<dyn Sockets>) -> Bench {
        let address = own_address();
        let forward = Forward {
            target_groups: vec![WeightedTargetGroup { arn: "group".into(), weight: 1 }],
            stickiness_seconds: None,
        };
        let listener = Listener {
            arn: "listener".into(),
            protocol,
            port: 7000,
            ssl_policy: None,
            alpn_policy: None,
            certificates: Vec::new(),
            client_certificates: Default::default(),
            attributes: ListenerAttributes::default(),
            rules: Vec::new(),
            default: Outcome { transforms: Vec::new(), action: Action::Forward(forward) },
        };
        let interface = Interface {
            id: "eni-1".into(),
            subnet_id: "subnet-1".into(),
            vpc_id: "vpc-1".into(),
            zone: "us-east-1a".into(),
            private_address: address,
            public_address: None,
            mac: "02:00:00:00:00:01".into(),
            security_groups: Vec::new(),
        };
        let balancer = LoadBalancer {
            arn: "balancer".into(),
            name: "web".into(),
            dns_name: "web-1.us-east-1.elb.localhost".into(),
            kind: LoadBalancerKind::Network,
            scheme: Scheme::Internal,
            attributes: LoadBalancerAttributes { cross_zone: false, ..LoadBalancerAttributes::default() },
            interfaces: vec![interface],
            listeners: vec![listener],
        };
        let group = TargetGroup {
            arn: "group".into(),
            name: "group".into(),
            protocol: Protocol::Tcp,
            version: ProtocolVersion::Http1,
            health_check: None,
            attributes: TargetGroupAttributes::default(),
            targets: Vec::new(),
        };
        let configuration =
            Configuration { generation: 1, load_balancers: vec![balancer], target_groups: vec![group] };
        let plane = NetworkPlane::new(sockets, crate::tls::to_targets());
        Bench { plane, configuration, health: HealthMap::new(), address: SocketAddrV4::new(address, 7000) }
    }

    pub(crate) fn group(&mut self) -> &mut TargetGroup {
        &mut self.configuration.target_groups[0]
    }

    fn listener(&mut self) -> &mut Listener {
        &mut self.configuration.load_balancers[0].listeners[0]
    }

    pub(crate) fn add(&mut self, target: SocketAddrV4) {
        self.group().targets.push(Target {
            id: target.ip().to_string(),
            address: (*target.ip()).into(),
            port: target.port(),
            zone: Some("us-east-1a".into()),
            draining: false,
            registration: 0,
        });
        self.set(target, HealthState::Healthy);
    }

    fn set(&mut self, target: SocketAddrV4, state: HealthState) {
        self.health.insert(place(target), state);
    }

    async fn apply(&mut self) -> Vec<Closed> {
        self.plane.apply(&self.configuration, &self.health, &|_| Ok(Arc::new(server_tls()))).await
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.expect("a connection")
    }

    /// Asks a target made by [`named`] for its name.
    async fn ask(&self) -> String {
        let mut answer = String::new();
        let mut client = self.connect().await;
        soon(client.read_to_string(&mut answer)).await.expect("a name");
        answer
    }

    fn flows(&self, target: SocketAddrV4) -> usize {
        self.plane.flows(&place(target))
    }

    /// Waits until the target has so many flows.
    async fn has_flows(&self, target: SocketAddrV4, count: usize) {
        soon(async {
            while self.flows(target) != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn place(target: SocketAddrV4) -> super::Place {
    ("group".into(), target.ip().to_string(), target.port())
}

pub(crate) async fn bound() -> (TcpListener, SocketAddrV4) {
    let listener = TcpListener::bind((own_address(), 0)).await.expect("a port");
    let std::net::SocketAddr::V4(address) = listener.local_addr().expect("bound") else {
        unreachable!("IPv4")
    };
    (listener, address)
}

/// Says its name to whoever connects, and ends.
async fn named(name: &'static str) -> SocketAddrV4 {
    let (listener, address) = bound().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(name.as_bytes()).await.expect("said");
        }
    });
    address
}

/// Sends everything back.
pub(crate) async fn echo() -> SocketAddrV4 {
    let (listener, address) = bound().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                // The test may end it in any way.
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

fn server_tls() -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).expect("TLS")
}
