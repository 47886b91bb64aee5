//! The threads that carry requests.
//!
//! Each has a runtime of its own, with connections, connections to targets, memory and counters that no other thread touches: nothing on the
//! way of a request waits for a lock. A listening socket is watched by one thread; who is connected goes to the thread that has the fewest
//! connections, and stays there.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_local},
    time::{interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    buffer::Buffer,
    clock::Clock,
    connection::Client,
    connection_log::{self, Greeting},
    http2,
    log::AccessLog,
    metrics::Counter,
    request::TlsFacts,
    snapshot::{Door, ListenerConfig, Slot},
    stream::Stream,
    upstream::Pool,
    watch::{SWEEP_INTERVAL, Watch},
};
use crate::{Sockets, http1::head::Reader};

/// A client has so long for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After accepting failed for want of descriptors or memory, so long nothing is accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a thread is told.
pub(crate) enum Command {
    /// The listeners as they are now, and new sockets that this thread is to watch.
    Configure {
        listeners: Arc<BTreeMap<Door, Arc<ListenerConfig>>>,
        opened: Vec<(Door, std::net::TcpListener)>,
        done: oneshot::Sender<()>,
    },
    /// Someone has connected at a door.
    Connection { door: Door, stream: std::net::TcpStream, peer: SocketAddr, counted: Counted },
}

/// What threads know of each other.
pub(crate) struct Peers<Sender = mpsc::UnboundedSender<Command>> {
    pub commands: Vec<Sender>,
    /// Connections of each thread.
    pub connections: Arc<[AtomicUsize]>,
    /// Of all threads together.
    pub most_connections: usize,
}

/// What a thread has of the others: it does not keep them alive, so that all end when the plane does.
pub(crate) type WeakPeers = Peers<mpsc::WeakUnboundedSender<Command>>;

impl Peers {
    pub(crate) fn weak(&self) -> WeakPeers {
        Peers {
            commands: self.commands.iter().map(mpsc::UnboundedSender::downgrade).collect(),
            connections: Arc::clone(&self.connections),
            most_connections: self.most_connections,
        }
    }
}

pub(crate) struct Worker {
    pub index: usize,
    pub sockets: Arc<dyn Sockets>,
    pub to_targets: Arc<rustls::ClientConfig>,
    pub to_targets_http2: Arc<rustls::ClientConfig>,
    pub log: Option<Arc<dyn AccessLog>>,
    pub clock: Clock,
    pub pool: Pool,
    pub http2: http2::Pool,
    peers: WeakPeers,
    slots: RefCell<HashMap<Door, Rc<Slot>>>,
    accepting: RefCell<HashMap<Door, JoinHandle<()>>>,
    watches: RefCell<Vec<Weak<Watch>>>,
}

/// What every thread is made with.
#[derive(Clone)]
pub(crate) struct Equipment {
    pub sockets: Arc<dyn Sockets>,
    pub to_targets: Arc<rustls::ClientConfig>,
    pub log: Option<Arc<dyn AccessLog>>,
}

impl Worker {
    /// Runs until the commands end.
    pub(crate) async fn run(
        index: usize,
        equipment: Equipment,
        peers: WeakPeers,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        let mut http2 = rustls::ClientConfig::clone(&equipment.to_targets);
        http2.alpn_protocols = vec![b"h2".to_vec()];
        let worker = Rc::new(Worker {
            index,
            sockets: equipment.sockets,
            to_targets: equipment.to_targets,
            to_targets_http2: Arc::new(http2),
            log: equipment.log,
            clock: Clock::new(),
            pool: Pool::default(),
            http2: http2::Pool::default(),
            peers,
            slots: RefCell::default(),
            accepting: RefCell::default(),
            watches: RefCell::default(),
        });
        let mut sweeps = interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Configure { listeners, opened, done }) => {
                        worker.configure(&listeners, opened);
                        // Nobody waits for it any more when the plane is being dropped.
                        let _ = done.send(());
                    }
                    Some(Command::Connection { door, stream, peer, counted }) => {
                        worker.hand_over(&door, stream, peer, counted);
                    }
                    None => return,
                },
                _ = sweeps.tick() => worker.sweep(),
            }
        }
    }

    fn configure(
        self: &Rc<Worker>,
        listeners: &BTreeMap<Door, Arc<ListenerConfig>>,
        opened: Vec<(Door, std::net::TcpListener)>,
    ) {
        let mut slots = self.slots.borrow_mut();
        slots.retain(|door, slot| {
            let listener = listeners.get(door).cloned();
            let stays = listener.is_some();
            slot.set(listener);
            stays
        });
        for (door, listener) in listeners {
            slots.entry(door.clone()).or_insert_with(|| {
                let slot = Rc::new(Slot::default());
                slot.set(Some(Arc::clone(listener)));
                slot
            });
        }
        drop(slots);
        let mut accepting = self.accepting.borrow_mut();
        accepting.retain(|door, task| {
            let stays = listeners.contains_key(door);
            if !stays {
                task.abort();
            }
            stays
        });
        for (door, socket) in opened {
            match TcpListener::from_std(socket) {
                Ok(listener) => {
                    let task = spawn_local(Rc::clone(self).accept(door.clone(), listener));
                    if let Some(before) = accepting.insert(door, task) {
                        before.abort();
                    }
                }
                Err(error) => tracing::warn!(%error, address = %door.address, "a listener cannot be watched"),
            }
        }
    }

    async fn accept(self: Rc<Worker>, door: Door, listener: TcpListener) {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // A client that was gone already, or no descriptors left: neither ends the listener.
                    tracing::debug!(%error, address = %door.address, "accepting failed");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(slot) = self.slots.borrow().get(&door).cloned() else { return };
            let Some(config) = slot.current() else { return };
            let metrics = &config.balancer.metrics;
            let counts = self.peers.connections.iter().map(|count| count.load(Ordering::Relaxed));
            let counts: Vec<usize> = counts.collect();
            if counts.iter().sum::<usize>() >= self.peers.most_connections {
                metrics.one(self.index, Counter::RejectedConnections);
                continue;
            }
            metrics.one(self.index, Counter::NewConnections);
            let fewest = (0..counts.len()).min_by_key(|index| (counts[*index], *index != self.index));
            let to = fewest.unwrap_or(self.index);
            self.peers.connections[to].fetch_add(1, Ordering::Relaxed);
            let counted = Counted(Arc::clone(&self.peers.connections), to);
            if to == self.index {
                self.begin(slot, stream, peer, counted);
                continue;
            }
            if let Ok(stream) = stream.into_std() {
                let Some(commands) = self.peers.commands[to].upgrade() else { return };
                let handed = Command::Connection { door: door.clone(), stream, peer, counted };
                if commands.send(handed).is_err() {
                    return;
                }
            }
        }
    }

    /// Takes a connection that another thread has accepted.
    fn hand_over(
        self: &Rc<Worker>,
        door: &Door,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        counted: Counted,
    ) {
        let slot = self.slots.borrow().get(door).cloned();
        if let (Some(slot), Ok(stream)) = (slot, TcpStream::from_std(stream)) {
            self.begin(slot, stream, peer, counted);
        }
    }

    fn begin(self: &Rc<Worker>, slot: Rc<Slot>, stream: TcpStream, peer: SocketAddr, counted: Counted) {
        let worker = Rc::clone(self);
        spawn_local(async move {
            worker.serve(slot, stream, peer).await;
            drop(counted);
        });
    }

    async fn serve(self: Rc<Worker>, slot: Rc<Slot>, stream: TcpStream, peer: SocketAddr) {
        let Some(config) = slot.current() else { return };
        let balancer = Arc::clone(&config.balancer);
        balancer.metrics.one(self.index, Counter::ActiveConnections);
        let _ = stream.set_nodelay(true);
        if let Some((stream, tls, http2)) = self.greet(&config, stream, peer).await {
            drop(config);
            self.clock.tick();
            if http2 {
                http2::serve(&self, slot, stream, peer, tls).await;
            } else {
                // Large, and moved once.
                Box::pin(self.client(slot, stream, peer, tls).serve()).await;
            }
        }
        balancer.metrics.one_less(self.index, Counter::ActiveConnections);
    }

    /// TLS, where the listener wants it: what it says, and whether HTTP/2 was agreed on.
    async fn greet(
        &self,
        config: &ListenerConfig,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Option<(Stream, Option<TlsFacts>, bool)> {
        let began = Instant::now();
        let log = |greeting: Greeting<'_>| connection_log::record(self, config, peer, began, &greeting);
        let Some(tls) = &config.tls else {
            log(Greeting::Plain);
            return Some((Stream::Plain(stream), None, false));
        };
        let accepted = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(Arc::clone(tls)).accept(stream)).await;
        match accepted {
            Ok(Ok(stream)) => {
                let session = stream.get_ref().1;
                let facts = TlsFacts {
                    version: match session.protocol_version() {
                        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                        _ => "TLSv1.2",
                    },
                    cipher: session.negotiated_cipher_suite().map_or_else(String::new, cipher_name),
                    server_name: session.server_name().map(str::to_owned),
                    client_certificate: config.clients.tell(session.peer_certificates().unwrap_or_default()),
                };
                let http2 = session.alpn_protocol() == Some(b"h2");
                log(Greeting::Encrypted(&facts, session.peer_certificates()));
                Some((Stream::FromClient(Box::new(stream)), Some(facts), http2))
            }
            other => {
                log(Greeting::Failed(other.ok().and_then(Result::err)));
                config.balancer.metrics.one(self.index, Counter::ClientTlsErrors);
                None
            }
        }
    }

    fn client(
        self: &Rc<Worker>,
        slot: Rc<Slot>,
        stream: Stream,
        peer: SocketAddr,
        tls: Option<TlsFacts>,
    ) -> Client {
        Client {
            worker: Rc::clone(self),
            watch: self.watch(&slot),
            slot,
            stream,
            input: Buffer::default(),
            reader: Reader::default(),
            answers: Reader::default(),
            peer,
            tls: tls.map(Rc::new),
            opened_ms: self.clock.now_ms(),
        }
    }

    /// Keeps time for a connection of the listener.
    pub(crate) fn watch(&self, slot: &Rc<Slot>) -> Rc<Watch> {
        let watch = Rc::new(Watch::new(Rc::clone(slot)));
        self.watches.borrow_mut().push(Rc::downgrade(&watch));
        watch
    }

    fn sweep(&self) {
        self.clock.tick();
        let now_ms = self.clock.now_ms();
        self.watches.borrow_mut().retain(|watch| match watch.upgrade() {
            Some(watch) => {
                watch.sweep(now_ms);
                true
            }
            None => false,
        });
        self.pool.sweep(now_ms);
        self.http2.sweep(now_ms);
    }
}

/// A connection that a thread has, counted until it ends.
pub(crate) struct Counted(Arc<[AtomicUsize]>, usize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0[self.1].fetch_sub(1, Ordering::Relaxed);
    }
}

/// As OpenSSL and access logs call them.
pub(crate) fn cipher_name(suite: rustls::SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name
            .trim_start_matches("TLS_")
            .replace("_WITH_", "-")
            .replace("AES_128", "AES128")
            .replace("AES_256", "AES256")
            .replace("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305")
            .replace('_', "-"),
    }
}
