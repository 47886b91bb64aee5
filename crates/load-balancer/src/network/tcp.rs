//! Connections: each is accepted, given a target and relayed to it, with TLS ended or begun on the way where the listener or the target
//! group says so.
//!
//! A target that cannot be connected to has got nothing yet, so another one is tried. A client for whom there is none is told by a reset,
//! as the packet-level load balancers of AWS do.

use std::{
    io,
    net::{SocketAddr, SocketAddrV4},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::{
    Meter, Outward, Plan,
    log::{self, Passed},
    proxy_protocol,
    relay::{Connection, Volume, relay},
    steering::{Ends, FlowGuard, choose},
};
use crate::{Counter, Lasting, application::cipher_name};

/// How many targets a connection is tried with. More would keep a client waiting for longer than it waits.
pub(super) const MOST_ATTEMPTS: usize = 3;
/// A target of the same network answers at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a handshake of TLS may take, on either side.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failure to accept, mostly for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

impl<T: Connection> Connection for server::TlsStream<T> {
    fn break_off(&self) {
        self.get_ref().0.break_off();
    }
}

impl<T: Connection> Connection for client::TlsStream<T> {
    fn break_off(&self) {
        self.get_ref().0.break_off();
    }
}

/// Accepts until it is dropped. The connections go on by themselves.
pub(super) async fn serve(
    listener: TcpListener,
    plan: watch::Receiver<Arc<Plan>>,
    outward: Arc<Outward>,
    room: Arc<Semaphore>,
) {
    loop {
        let (client, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (plan, outward) = (Arc::clone(&plan.borrow()), Arc::clone(&outward));
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            plan.meter.one(0, Counter::RejectedConnections);
            client.break_off();
            continue;
        };
        let counted = Counted::begin(&plan.meter);
        tokio::spawn(async move {
            let Some(ends) = ends(&client, from) else { return };
            // Small messages are passed on as they come.
            let _ = client.set_nodelay(true);
            connection(client, ends, &plan, &outward).await;
            drop((place, counted));
        });
    }
}

/// A flow that is counted as active until this is dropped.
pub(super) struct Counted(Arc<Meter>);

impl Counted {
    pub(super) fn begin(meter: &Arc<Meter>) -> Counted {
        meter.one(0, Counter::NewConnections);
        meter.one(0, Counter::ActiveConnections);
        Counted(Arc::clone(meter))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.one_less(0, Counter::ActiveConnections);
    }
}

fn ends(client: &TcpStream, from: SocketAddr) -> Option<Ends> {
    match (from, client.local_addr().ok()?) {
        (SocketAddr::V4(client), SocketAddr::V4(reached)) => Some(Ends { client, reached }),
        // The network has no IPv6.
        _ => None,
    }
}

async fn connection(client: TcpStream, ends: Ends, plan: &Plan, outward: &Outward) {
    let mut entry = log::Entry::begin(ends);
    match &plan.tls {
        None => entry.passed = with_target(client, ends, plan, outward, None).await,
        Some(tls) => encrypted(client, tls, plan, outward, &mut entry).await,
    }
    if let Some(log) = &plan.log {
        log.record(&entry);
    }
}

/// A connection on which the client speaks TLS.
async fn encrypted(
    client: TcpStream,
    tls: &Arc<rustls::ServerConfig>,
    plan: &Plan,
    outward: &Outward,
    entry: &mut log::Entry,
) {
    let ends = entry.ends;
    let accepting = TlsAcceptor::from(Arc::clone(tls)).accept(client);
    match timeout(HANDSHAKE_TIMEOUT, accepting).await {
        Ok(Ok(client)) => {
            let session = client.get_ref().1;
            let protocol = session.alpn_protocol().map(<[u8]>::to_vec);
            if plan.log.is_some() {
                entry.greeted = Some(greeted(session, entry.began.elapsed()));
            }
            entry.passed = with_target(client, ends, plan, outward, protocol).await;
        }
        Ok(Err(error)) => {
            plan.meter.one(0, Counter::ClientTlsErrors);
            entry.alert = log::alert(&error);
            tracing::debug!(%error, client = %ends.client, "no TLS with a client");
        }
        Err(_) => {
            plan.meter.one(0, Counter::ClientTlsErrors);
            tracing::debug!(client = %ends.client, "a client did not finish its TLS handshake");
        }
    }
}

fn greeted(session: &rustls::ServerConnection, took: Duration) -> log::Greeted {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let group = session.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
    log::Greeted {
        took,
        cipher: session.negotiated_cipher_suite().map_or_else(String::new, cipher_name),
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "tlsv13",
            _ => "tlsv12",
        },
        group: group.unwrap_or("-").to_ascii_lowercase(),
        server_name: session.server_name().map(str::to_owned),
        protocol: session.alpn_protocol().map(text),
    }
}

/// `protocol` is what was agreed with the client: the target is offered the same.
async fn with_target(
    client: impl Connection,
    ends: Ends,
    plan: &Plan,
    outward: &Outward,
    protocol: Option<Vec<u8>>,
) -> Passed {
    let Some(Reached { mut guard, stream: mut target, group, took, lasting: _lasting }) =
        reach(ends, plan, outward).await
    else {
        client.break_off();
        return Passed::default();
    };
    let mut passed = Passed { reached: Some((guard.backend().address, took)), ..Passed::default() };
    let _ = target.set_nodelay(true);
    let greeting = match group.proxy_protocol {
        Some(proxy_protocol::Version::One) => proxy_protocol::version_1(ends.client, ends.reached),
        Some(proxy_protocol::Version::Two) => proxy_protocol::version_2(ends.client, ends.reached),
        None => Vec::new(),
    };
    // Fits into the empty buffer of a new connection.
    if let Err(error) = target.write_all(&greeting).await {
        tracing::debug!(%error, target = %guard.backend().address, "a target broke off at once");
        client.break_off();
        return passed;
    }
    if !group.encrypted {
        passed.volume = until_cut(client, target, &mut guard, plan).await;
        return passed;
    }
    match encrypt(target, guard.backend().address, plan, protocol).await {
        Ok(target) => {
            let agreed = target.get_ref().1.alpn_protocol();
            passed.target_protocol = agreed.map(|agreed| String::from_utf8_lossy(agreed).into_owned());
            passed.volume = until_cut(client, target, &mut guard, plan).await;
        }
        Err(error) => {
            plan.meter.one(0, Counter::TargetTlsErrors);
            tracing::debug!(%error, target = %guard.backend().address, "no TLS with a target");
            client.break_off();
        }
    }
    passed
}

async fn until_cut(
    mut client: impl Connection,
    mut target: impl Connection,
    guard: &mut FlowGuard,
    plan: &Plan,
) -> Volume {
    let mut volume = Volume::default();
    let over = tokio::select! {
        ended = relay(&mut client, &mut target, plan.idle, &mut volume) => Some(ended),
        () = guard.cut() => None,
    };
    plan.meter.add(0, Counter::ProcessedBytes, volume.from_client_bytes + volume.from_target_bytes);
    match over {
        Some(ended) => tracing::trace!(?ended, ?volume, "a connection ended"),
        None => {
            client.break_off();
            target.break_off();
        }
    }
    volume
}

/// A target that was connected to.
struct Reached<'a> {
    guard: FlowGuard,
    stream: TcpStream,
    group: &'a super::Group,
    /// Connecting to it.
    took: Duration,
    /// Of a connection in the client's name: for as long as it lasts.
    lasting: Option<Lasting>,
}

/// Connects to a target of the plan; where one does not answer, to another.
async fn reach<'a>(ends: Ends, plan: &'a Plan, outward: &Outward) -> Option<Reached<'a>> {
    let mut tried: Vec<SocketAddrV4> = Vec::new();
    while tried.len() < MOST_ATTEMPTS {
        let (place, backend) = choose(&plan.pools, ends, &tried)?;
        let (guard, group) = (backend.begin(), &plan.groups[place]);
        let (client, began) = (group.as_client.then_some(ends.client), Instant::now());
        match timeout(CONNECT_TIMEOUT, outward.connect(backend.address, client)).await {
            // A target that was cut off meanwhile gets nothing.
            Ok(Ok((stream, lasting))) if !guard.is_cut() => {
                return Some(Reached { guard, stream, group, took: began.elapsed(), lasting });
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                plan.meter.one(0, Counter::TargetConnectionErrors);
                tracing::debug!(%error, target = %backend.address, "a target does not answer");
            }
            Err(_) => {
                plan.meter.one(0, Counter::TargetConnectionErrors);
                tracing::debug!(target = %backend.address, "a target does not answer in time");
            }
        }
        tried.push(backend.address);
    }
    None
}

async fn encrypt<T: AsyncRead + AsyncWrite + Unpin>(
    target: T,
    address: SocketAddrV4,
    plan: &Plan,
    protocol: Option<Vec<u8>>,
) -> io::Result<client::TlsStream<T>> {
    let mut config = rustls::ClientConfig::clone(&plan.to_targets);
    config.alpn_protocols = protocol.into_iter().collect();
    let name = ServerName::IpAddress((*address.ip()).into());
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, target);
    timeout(HANDSHAKE_TIMEOUT, connecting).await.map_err(|_| io::ErrorKind::TimedOut)?
}
