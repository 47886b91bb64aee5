//! Real requests over loopback: clients and targets that say exactly what they are told to.

mod changes;
mod hostile;
mod http2;
mod http2_hostile;
mod messages;
mod mutual_tls;
mod routes;

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex},
};

use routing::config::{
    Action, Configuration, Forward, Interface, Listener, ListenerAttributes, ListenerProtocol, LoadBalancer,
    LoadBalancerAttributes, LoadBalancerKind, Outcome, Protocol, ProtocolVersion, Rule, Scheme, Target,
    TargetGroup, TargetGroupAttributes, WeightedTargetGroup,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    AccessLog, Counter, DataPlane, HostSockets, Options,
    network::tests::{own_address, soon},
};

/// A load balancer with one listener, and its target groups.
struct Bench {
    configuration: Configuration,
    address: SocketAddrV4,
    plane: DataPlane,
    lines: Arc<Lines>,
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>, Mutex<Vec<String>>);

impl AccessLog for Lines {
    fn record(&self, load_balancer_arn: &str, line: String) {
        assert!([BALANCER, CLASSIC].contains(&load_balancer_arn));
        self.0.lock().expect("not poisoned").push(line);
    }

    fn record_connection(&self, load_balancer_arn: &str, line: String) {
        assert_eq!(load_balancer_arn, BALANCER);
        self.1.lock().expect("not poisoned").push(line);
    }
}

const BALANCER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/0123456789abcdef";

const CLASSIC: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/web";

fn forward(arns: &[(&str, u32)]) -> Action {
    let target_groups = arns
        .iter()
        .map(|(arn, weight)| WeightedTargetGroup { arn: (*arn).to_owned(), weight: *weight })
        .collect();
    Action::Forward(Forward { target_groups, stickiness_seconds: None })
}

fn outcome(action: Action) -> Outcome {
    Outcome { transforms: Vec::new(), action }
}

fn group(arn: &str) -> TargetGroup {
    TargetGroup {
        arn: arn.to_owned(),
        name: arn.to_owned(),
        protocol: Protocol::Http,
        version: ProtocolVersion::Http1,
        health_check: None,
        attributes: TargetGroupAttributes::default(),
        targets: Vec::new(),
    }
}

fn target(address: SocketAddr) -> Target {
    Target {
        id: address.ip().to_string(),
        address: address.ip(),
        port: address.port(),
        zone: None,
        draining: false,
        registration: 0,
    }
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Options::default())
    }

    fn with(options: Options) -> Bench {
        let address = SocketAddrV4::new(own_address(), 7000);
        let interface = Interface {
            id: "eni-1".into(),
            subnet_id: "subnet-1".into(),
            vpc_id: "vpc-1".into(),
            zone: "us-east-1a".into(),
            private_address: *address.ip(),
            public_address: None,
            mac: "02:00:00:00:00:01".into(),
            security_groups: Vec::new(),
        };
        let listener = Listener {
            arn: "listener".into(),
            protocol: ListenerProtocol::Http,
            port: address.port(),
            ssl_policy: None,
            alpn_policy: None,
            certificates: Vec::new(),
            client_certificates: Default::default(),
            attributes: ListenerAttributes::default(),
            rules: Vec::new(),
            default: outcome(forward(&[("group", 1)])),
        };
        let balancer = LoadBalancer {
            arn: BALANCER.into(),
            name: "web".into(),
            dns_name: "web-1.us-east-1.elb.localhost".into(),
            kind: LoadBalancerKind::Application,
            scheme: Scheme::Internal,
            attributes: LoadBalancerAttributes::default(),
            interfaces: vec![interface],
            listeners: vec![listener],
        };
        let configuration = Configuration {
            generation: 0,
            load_balancers: vec![balancer],
            target_groups: vec![group("group")],
        };
        let lines = Arc::new(Lines::default());
        let log: Arc<dyn AccessLog> = Arc::clone(&lines) as _;
        let options = Options { log: Some(log), ..options };
        Bench { configuration, address, plane: DataPlane::start_with(Arc::new(HostSockets), options), lines }
    }

    fn balancer(&mut self) -> &mut LoadBalancer {
        &mut self.configuration.load_balancers[0]
    }

    fn listener(&mut self) -> &mut Listener {
        &mut self.balancer().listeners[0]
    }

    fn rule(&mut self, rule: Rule) {
        self.listener().rules.push(rule);
    }

    fn group(&mut self) -> &mut TargetGroup {
        &mut self.configuration.target_groups[0]
    }

    fn add(&mut self, address: SocketAddr) {
        self.group().targets.push(target(address));
    }

    /// Puts the configuration as it is now in force.
    async fn apply(&mut self) {
        self.configuration.generation += 1;
        let generation = self.configuration.generation;
        self.plane.apply(self.configuration.clone());
        let mut reports = self.plane.reports();
        soon(reports.wait_for(|reports| reports.generation == generation)).await.expect("it runs");
    }

    async fn connect(&self) -> Client {
        Client { stream: soon(TcpStream::connect(self.address)).await.expect("connected"), input: Vec::new() }
    }

    /// One request on a connection of its own, and its whole answer.
    async fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.send(request).await;
        client.answer().await
    }

    fn count(&self, counter: Counter) -> u64 {
        self.plane.meters().snapshot().get(BALANCER).map_or(0, |counts| counts.get(counter))
    }

    /// Waits until something has been counted.
    async fn counted(&self, counter: Counter, count: u64) {
        soon(async {
            while self.count(counter) < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
}

/// An answer, its chunks put together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

impl Client {
    async fn send(&mut self, text: impl AsRef<[u8]>) {
        soon(self.stream.write_all(text.as_ref())).await.expect("sent");
    }

    /// Reads until `end` is found; what came before and with it.
    async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.input, end) {
                return self.input.drain(..at + end.len()).collect();
            }
            assert!(self.more().await, "ended after {:?}", String::from_utf8_lossy(&self.input));
        }
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.input.len() < length {
            assert!(self.more().await, "ended after {} of {length}", self.input.len());
        }
        self.input.drain(..length).collect()
    }

    async fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        match soon(self.stream.read(&mut piece)).await {
            Ok(length) => {
                self.input.extend_from_slice(&piece[..length]);
                length > 0
            }
            Err(_) => false,
        }
    }

    /// Everything until the connection ends.
    async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.input)
    }

    async fn head(&mut self) -> String {
        String::from_utf8(self.until(b"\r\n\r\n").await).expect("text")
    }

    async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let status = head[9..12].parse().expect("a status");
        let body = if let Some(length) = header(&head, "Content-Length") {
            self.exactly(length.parse().expect("a number")).await
        } else if header(&head, "Transfer-Encoding").is_some() {
            let mut body = Vec::new();
            loop {
                let line = self.until(b"\r\n").await;
                let size = std::str::from_utf8(&line).expect("text").trim();
                let length = usize::from_str_radix(size, 16).expect("a size");
                body.extend(self.exactly(length).await);
                assert_eq!(self.until(b"\r\n").await, b"\r\n");
                if length == 0 {
                    break body;
                }
            }
        } else if status == 204 || status == 304 || status == 101 {
            Vec::new()
        } else {
            self.rest().await
        };
        Answer { status, head, body }
    }
}

/// What came on a target's connection.
type Connection = Client;

/// Targets that have been connected to, one after the other.
struct Origin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Origin {
    async fn new() -> Origin {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        Origin { listener, address }
    }

    async fn accept(&self) -> Connection {
        let (stream, _) = soon(self.listener.accept()).await.expect("accepted");
        Client { stream, input: Vec::new() }
    }

    /// Answers every request on every connection; `{}` stands for the request's first line.
    fn serve(self, answer: &'static str) -> SocketAddr {
        let address = self.address;
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.listener.accept().await {
                tokio::spawn(respond(Client { stream, input: Vec::new() }, answer));
            }
        });
        address
    }
}

async fn respond(mut connection: Connection, answer: &'static str) {
    loop {
        while memchr::memmem::find(&connection.input, b"\r\n\r\n").is_none() {
            // Kept for as long as the client likes.
            let mut piece = [0; 4096];
            match connection.stream.read(&mut piece).await {
                Ok(length) if length > 0 => connection.input.extend_from_slice(&piece[..length]),
                _ => return,
            }
        }
        let head = connection.head().await;
        let first = head.lines().next().unwrap_or_default();
        let text = answer.replace("{}", first);
        let message = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        connection.send(message).await;
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";
