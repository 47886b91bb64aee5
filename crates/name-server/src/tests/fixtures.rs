//! A name server on loopback, a client of it, and an upstream whose answers the test decides.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{name, query};
use crate::{
    NameServer, NameServerConfig, NameServerHandle, PrivateNames, Upstream, View, ZoneTable, Zones,
    message::{Code, Message},
    record::{Data, Record, RecordType},
    zone::Zone,
};

/// Far beyond what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) struct Lab {
    pub server: NameServerHandle,
    pub publish: watch::Sender<Arc<ZoneTable>>,
    udp: UdpSocket,
}

impl Lab {
    pub async fn start(upstream: Upstream) -> Lab {
        let (publish, tables) = watch::channel(Arc::new(table(1)));
        let config = NameServerConfig { listen: vec![loopback()], upstream };
        let server = NameServer::start(config, tables).await.unwrap();
        let udp = UdpSocket::bind(loopback()).await.unwrap();
        udp.connect(server.addresses()[0]).await.unwrap();
        Lab { server, publish, udp }
    }

    pub async fn send(&self, bytes: &[u8]) {
        self.udp.send(bytes).await.unwrap();
    }

    pub async fn receive(&self) -> Message {
        let mut buffer = vec![0; 65535];
        let length = timeout(PATIENCE, self.udp.recv(&mut buffer)).await.expect("an answer").unwrap();
        Message::read(&buffer[..length]).unwrap()
    }

    pub async fn ask_message(&self, query: &Message) -> Message {
        self.send(&query.write(4096)).await;
        let answer = self.receive().await;
        assert_eq!(answer.id, query.id);
        assert!(answer.response);
        // One question is repeated, and several are not.
        let repeated = if query.questions.len() == 1 { query.questions.as_slice() } else { &[] };
        assert_eq!(answer.questions, repeated);
        answer
    }

    pub async fn ask(&self, text: &str, kind: RecordType) -> Message {
        self.ask_message(&query(77, text, kind)).await
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.addresses()[0]).await.unwrap()
    }
}

pub(crate) async fn tcp_send(stream: &mut TcpStream, message: &Message) {
    let bytes = message.write(65535);
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
}

/// The next message; `None` when the other side has closed.
pub(crate) async fn tcp_receive(stream: &mut TcpStream) -> Option<Message> {
    let read = async {
        let mut bytes = vec![0; usize::from(stream.read_u16().await.ok()?)];
        stream.read_exact(&mut bytes).await.ok()?;
        Some(Message::read(&bytes).unwrap())
    };
    timeout(PATIENCE, read).await.expect("an answer or the end")
}

/// The VPC 172.31.0.0/16 seen from loopback, and the zone `shop.local` with more addresses than a datagram holds.
pub(crate) fn table(generation: u64) -> ZoneTable {
    let mut zone = Zone::new(name("shop.local"), 1);
    for last in 0..100 {
        zone.add(name("many.shop.local"), 60, &Data::A([172, 31, 1, last].into())).unwrap();
    }
    zone.add(name("far.shop.local"), 60, &Data::Cname(name("www.example.com"))).unwrap();
    let range = "172.31.0.0/16".parse().unwrap();
    let view = View {
        sources: vec!["127.0.0.0/8".parse().unwrap()],
        dns_support: true,
        private_names: vec![PrivateNames { range, domain: Some(name("ec2.internal")) }],
        zones: Zones::from_iter([Arc::new(zone)]),
    };
    ZoneTable::new(generation, vec![view])
}

/// A server that answers what `answer` says, `None` meaning silence; over TCP with `true`.
pub(crate) struct FakeUpstream {
    pub address: SocketAddr,
    asked: Arc<AtomicUsize>,
    _loops: JoinSet<()>,
}

impl FakeUpstream {
    pub async fn start(
        answer: impl Fn(&Message, bool) -> Vec<Message> + Send + Sync + 'static,
    ) -> FakeUpstream {
        let tcp = TcpListener::bind(loopback()).await.unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).await.unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(answer);
        let mut loops = JoinSet::new();
        let (of_udp, counter) = (Arc::clone(&answer), Arc::clone(&asked));
        loops.spawn(async move {
            let mut buffer = vec![0; 4096];
            loop {
                let (length, client) = udp.recv_from(&mut buffer).await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                for message in of_udp(&Message::read(&buffer[..length]).unwrap(), false) {
                    udp.send_to(&message.write(65535), client).await.unwrap();
                }
            }
        });
        let counter = Arc::clone(&asked);
        loops.spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
                let Some(query) = tcp_receive(&mut stream).await else { continue };
                for message in answer(&query, true) {
                    tcp_send(&mut stream, &message).await;
                }
            }
        });
        FakeUpstream { address, asked, _loops: loops }
    }

    /// Answers every question with this address.
    pub async fn with_address(address: [u8; 4]) -> FakeUpstream {
        FakeUpstream::start(move |query, _| vec![address_answer(query, 300, address)]).await
    }

    /// How many questions came in, over UDP and TCP.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn fixed(&self) -> Upstream {
        Upstream::Fixed(vec![self.address])
    }
}

pub(crate) fn address_answer(query: &Message, ttl_seconds: u32, address: [u8; 4]) -> Message {
    let mut reply = query.reply(Code::NO_ERROR);
    let name = query.questions[0].name.clone();
    reply.answers.push(Record::new(name, ttl_seconds, &Data::A(address.into())).unwrap());
    reply
}
