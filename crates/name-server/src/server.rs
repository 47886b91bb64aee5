//! The sockets: bound to the given addresses only, UDP and TCP on each.
//!
//! What is known here is answered in the receiving loop; what has to be asked for waits in a task of its own, within a bound
//! per client and in all, so that one task that asks a lot takes nothing from the others. Beyond a bound the answer
//! is a failure at once, and clients try again.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use crate::{
    forward::{Forwarder, Upstream},
    respond::{Responder, Step, Transport},
    table::ZoneTable,
};

/// Questions that wait for others, of all clients and of one. EC2 gives an interface 1,024 packets a second.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_PER_CLIENT: usize = 64;
/// Open TCP connections, of all clients and of one.
const MAX_CONNECTIONS: usize = 256;
const MAX_CONNECTIONS_PER_CLIENT: usize = 32;
/// How long a connection may be silent, or slow to take an answer (RFC 7766 §6.2.3 asks for some seconds).
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Nobody asks in more; what is longer is cut, and cut messages are not answered.
const MAX_QUERY_BYTES: usize = 4096;
/// Before a socket that reports errors is asked again.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameServerConfig {
    /// Addresses with port, one at least. Port 0 takes any free port (for tests), the same for UDP and TCP.
    pub listen: Vec<SocketAddr>,
    pub upstream: Upstream,
}

/// Why the name server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the name server has no address to listen on")]
    NoAddress,
    #[error("the name server cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// Starts name servers.
#[derive(Debug)]
pub struct NameServer;

/// A running name server. Dropping it stops it too.
#[derive(Debug)]
pub struct NameServerHandle {
    addresses: Vec<SocketAddr>,
    loops: JoinSet<()>,
}

impl NameServer {
    /// Starts; when this returns, questions are answered from the newest table in `tables`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: NameServerConfig,
        tables: watch::Receiver<Arc<ZoneTable>>,
    ) -> Result<NameServerHandle, StartError> {
        if config.listen.is_empty() {
            return Err(StartError::NoAddress);
        }
        let mut sockets = Vec::new();
        for address in config.listen {
            sockets.push(bind(address).await.map_err(|source| StartError::Listen { address, source })?);
        }
        let addresses: Vec<SocketAddr> = sockets.iter().map(|(address, ..)| *address).collect();
        let forwarder = Forwarder::new(config.upstream, addresses.clone());
        let shared = Arc::new(Shared {
            responder: Responder::new(tables, forwarder),
            waiting: Places::new(MAX_WAITING, MAX_WAITING_PER_CLIENT),
            connections: Places::new(MAX_CONNECTIONS, MAX_CONNECTIONS_PER_CLIENT),
        });
        let mut loops = JoinSet::new();
        for (_, udp, tcp) in sockets {
            loops.spawn(serve_udp(Arc::new(udp), Arc::clone(&shared)));
            loops.spawn(serve_tcp(tcp, Arc::clone(&shared)));
        }
        Ok(NameServerHandle { addresses, loops })
    }
}

impl NameServerHandle {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops; when this returns, the addresses are free. Questions under way get no answer.
    pub async fn shutdown(mut self) {
        self.loops.shutdown().await;
    }
}

async fn bind(address: SocketAddr) -> io::Result<(SocketAddr, UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(address).await?;
    let address = tcp.local_addr()?;
    Ok((address, UdpSocket::bind(address).await?, tcp))
}

struct Shared {
    responder: Responder,
    waiting: Arc<Places>,
    connections: Arc<Places>,
}

async fn serve_udp(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; MAX_QUERY_BYTES];
    let mut waiting = JoinSet::new();
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = waiting.join_next() => continue,
        };
        let (length, client) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "receiving questions failed");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        match shared.responder.begin(&buffer[..length], client.ip(), Transport::Udp) {
            Step::Drop => {}
            Step::Reply(bytes) => send(&socket, &bytes, client).await,
            Step::Forward(pending) => match shared.waiting.take(client.ip()) {
                None => send(&socket, &pending.failure(), client).await,
                Some(place) => {
                    let (socket, shared) = (Arc::clone(&socket), Arc::clone(&shared));
                    waiting.spawn(async move {
                        let bytes = shared.responder.finish(pending).await;
                        send(&socket, &bytes, client).await;
                        drop(place);
                    });
                }
            },
        }
    }
}

/// An answer that cannot be sent is lost like any datagram; the client asks again.
async fn send(socket: &UdpSocket, bytes: &[u8], client: SocketAddr) {
    if let Err(error) = socket.send_to(bytes, client).await {
        tracing::debug!(%error, %client, "an answer could not be sent");
    }
}

async fn serve_tcp(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "taking a connection failed");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Beyond the bounds: closed at once.
        let Some(place) = shared.connections.take(client.ip()) else { continue };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            if let Err(error) = converse(stream, client.ip(), &shared).await {
                tracing::debug!(%error, %client, "a connection broke off");
            }
            drop(place);
        });
    }
}

/// Answers one question after the other until the client closes, is silent for too long, or says what is no question.
async fn converse(mut stream: TcpStream, client: IpAddr, shared: &Shared) -> io::Result<()> {
    loop {
        let Ok(query) = timeout(TCP_IDLE, receive(&mut stream)).await else { return Ok(()) };
        let Some(query) = query? else { return Ok(()) };
        let bytes = match shared.responder.begin(&query, client, Transport::Tcp) {
            Step::Drop => return Ok(()),
            Step::Reply(bytes) => bytes,
            Step::Forward(pending) => match shared.waiting.take(client) {
                None => pending.failure(),
                Some(_place) => shared.responder.finish(pending).await,
            },
        };
        let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        match timeout(TCP_IDLE, stream.write_all(&framed)).await {
            Ok(written) => written?,
            Err(_) => return Ok(()),
        }
    }
}

/// The next question; `None` at the end, or when it is longer than any question.
async fn receive(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MAX_QUERY_BYTES {
        return Ok(None);
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(Some(query))
}

/// A bounded number of places, for all clients and for each.
struct Places {
    most: usize,
    most_per_client: usize,
    taken: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

struct Place {
    places: Arc<Places>,
    client: IpAddr,
}

impl Places {
    fn new(most: usize, most_per_client: usize) -> Arc<Places> {
        Arc::new(Places { most, most_per_client, taken: Mutex::default() })
    }

    fn take(self: &Arc<Places>, client: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, clients) = &mut *taken;
        let own = clients.get(&client).copied().unwrap_or(0);
        if *all >= self.most || own >= self.most_per_client {
            return None;
        }
        *all += 1;
        clients.insert(client, own + 1);
        Some(Place { places: Arc::clone(self), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, clients) = &mut *taken;
        *all -= 1;
        match clients.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => _ = clients.remove(&self.client),
        }
    }
}
