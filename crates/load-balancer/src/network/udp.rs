//! Datagrams: each client's flow has a target, and a socket of its own toward it by which answers find back.
//!
//! UDP has no end, so a flow ends when nothing was said for a while, when its target may get nothing more, or when the table is full and
//! it is the quietest of a few. What cannot be passed on at once is lost, as datagrams may be.

use std::{
    cell::RefCell,
    collections::HashMap,
    io::{self, ErrorKind},
    net::{SocketAddr, SocketAddrV4},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::UdpSocket,
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::{
    Meter, Outward, Plan,
    steering::{Ends, FlowGuard, choose},
    tcp::{Counted, MOST_ATTEMPTS},
};
use crate::{Counter, Lasting};

/// As network load balancers have it: a flow of UDP that is quiet for so long is over.
const IDLE: Duration = Duration::from_secs(120);
/// Flows of one listener on one interface. Each has a descriptor.
const MOST_FLOWS: usize = 4096;
/// How many are looked at for the quietest when the table is full.
const SAMPLE: usize = 16;
const LARGEST_DATAGRAM: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; LARGEST_DATAGRAM].into_boxed_slice());
}

struct Flow {
    toward: UdpSocket,
    /// Milliseconds since the listener began.
    last: AtomicU64,
}

/// A flow as long as it goes on. What passes its answers on may still hold its socket for a moment after that.
struct Entry {
    flow: Arc<Flow>,
    driver: AbortHandle,
    /// Of one in the client's name: over as soon as it is no longer in the table, so that the client's next one may begin.
    _lasting: Option<Lasting>,
}

struct Table {
    begun: Instant,
    flows: Mutex<HashMap<SocketAddrV4, Entry>>,
}

impl Table {
    fn locked(&self) -> MutexGuard<'_, HashMap<SocketAddrV4, Entry>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        // Half a billion years.
        self.begun.elapsed().as_millis() as u64
    }

    fn make_room(&self) {
        let mut flows = self.locked();
        if flows.len() < MOST_FLOWS {
            return;
        }
        let quietest = flows
            .iter()
            .take(SAMPLE)
            .min_by_key(|(_, entry)| entry.flow.last.load(Ordering::Relaxed))
            .map(|(client, _)| *client);
        if let Some(entry) = quietest.and_then(|client| flows.remove(&client)) {
            entry.driver.abort();
        }
    }
}

/// Passes datagrams both ways until it is dropped, and all flows with it.
pub(super) async fn serve(
    socket: UdpSocket,
    reached: SocketAddrV4,
    plan: watch::Receiver<Arc<Plan>>,
    outward: Arc<Outward>,
) {
    let socket = Arc::new(socket);
    let table = Arc::new(Table { begun: Instant::now(), flows: Mutex::default() });
    let mut drivers = JoinSet::new();
    let mut datagram = vec![0; LARGEST_DATAGRAM];
    loop {
        while drivers.try_join_next().is_some() {}
        let (length, client) = match socket.recv_from(&mut datagram).await {
            Ok((length, SocketAddr::V4(client))) => (length, client),
            Ok(_) => continue,
            Err(error) => {
                tracing::debug!(%error, "a datagram could not be received");
                continue;
            }
        };
        let meter = Arc::clone(&plan.borrow().meter);
        let known = table.locked().get(&client).map(|entry| Arc::clone(&entry.flow));
        let flow = match known {
            Some(flow) => {
                if let Err(error) = flow.toward.try_send(&datagram[..length]) {
                    tracing::trace!(%error, %client, "a datagram was lost");
                }
                flow
            }
            None => {
                let plan = Arc::clone(&plan.borrow());
                match begin(Ends { client, reached }, &plan, &outward, &table).await {
                    Ok(Some((flow, guard, lasting))) => {
                        table.make_room();
                        // A new socket is not yet known to be writable, which it is: this does not wait.
                        if let Err(error) = flow.toward.send(&datagram[..length]).await {
                            tracing::trace!(%error, %client, "a datagram was lost");
                        }
                        let driving = answers(
                            Arc::clone(&flow),
                            guard,
                            client,
                            Arc::clone(&socket),
                            Arc::clone(&table),
                            meter.clone(),
                        );
                        let mut flows = table.locked();
                        let driver = drivers.spawn(driving);
                        let entry = Entry { flow: Arc::clone(&flow), driver, _lasting: lasting };
                        flows.insert(client, entry);
                        flow
                    }
                    Ok(None) => continue,
                    Err(error) => {
                        tracing::debug!(%error, %client, "a flow could not begin");
                        continue;
                    }
                }
            }
        };
        meter.add(0, Counter::ProcessedBytes, length as u64);
        flow.last.store(table.now(), Ordering::Relaxed);
    }
}

async fn begin(
    ends: Ends,
    plan: &Plan,
    outward: &Outward,
    table: &Table,
) -> io::Result<Option<(Arc<Flow>, FlowGuard, Option<Lasting>)>> {
    let mut tried: Vec<SocketAddrV4> = Vec::new();
    while let Some((place, backend)) = choose(&plan.pools, ends, &tried) {
        let guard = backend.begin();
        let client = plan.groups[place].as_client.then_some(ends.client);
        match outward.datagrams(backend.address, client).await {
            Ok((toward, lasting)) => {
                let last = AtomicU64::new(table.now());
                return Ok(Some((Arc::new(Flow { toward, last }), guard, lasting)));
            }
            // Not to this target, as it is the client or has the client's port from elsewhere.
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable && tried.len() + 1 < MOST_ATTEMPTS => {
                tracing::debug!(%error, client = %ends.client, "a target cannot see the client");
                tried.push(backend.address);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Passes the target's answers back, until the flow ends.
async fn answers(
    flow: Arc<Flow>,
    mut guard: FlowGuard,
    client: SocketAddrV4,
    socket: Arc<UdpSocket>,
    table: Arc<Table>,
    meter: Arc<Meter>,
) {
    let _counted = Counted::begin(&meter);
    loop {
        let quiet_at = table.begun + Duration::from_millis(flow.last.load(Ordering::Relaxed)) + IDLE;
        let ready = tokio::select! {
            ready = flow.toward.readable() => ready,
            () = sleep_until(quiet_at) => {
                let last = Duration::from_millis(flow.last.load(Ordering::Relaxed));
                if (table.begun + last).elapsed() >= IDLE { break } else { continue }
            }
            () = guard.cut() => break,
        };
        if ready.is_err() {
            break;
        }
        let passed = SCRATCH.with_borrow_mut(|scratch| {
            let length = flow.toward.try_recv(scratch)?;
            flow.last.store(table.now(), Ordering::Relaxed);
            // What the client's side does not take now is lost.
            let _ = socket.try_send_to(&scratch[..length], client.into());
            meter.add(0, Counter::ProcessedBytes, length as u64);
            Ok::<_, io::Error>(())
        });
        match passed {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // Nobody listens there: the next datagram begins anew.
            Err(_) => break,
        }
    }
    let mut flows = table.locked();
    // Another may have begun in its place.
    if flows.get(&client).is_some_and(|entry| Arc::ptr_eq(&entry.flow, &flow)) {
        flows.remove(&client);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn who_makes_room_may_begin_anew_at_once() {
        let table = Table { begun: Instant::now(), flows: Mutex::default() };
        let toward = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        // Held as by drivers that have not yet noticed.
        let flow = Arc::new(Flow { toward, last: AtomicU64::new(0) });
        let driver = tokio::spawn(std::future::pending::<()>());
        let lasting = Arc::new(());
        for number in 0..MOST_FLOWS as u32 {
            let entry = Entry {
                flow: Arc::clone(&flow),
                driver: driver.abort_handle(),
                _lasting: Some(Box::new(Arc::clone(&lasting))),
            };
            table.locked().insert(SocketAddrV4::new(Ipv4Addr::from_bits(number), 53), entry);
        }
        assert_eq!(Arc::strong_count(&lasting), MOST_FLOWS + 1);
        table.make_room();
        assert_eq!((table.locked().len(), Arc::strong_count(&lasting)), (MOST_FLOWS - 1, MOST_FLOWS));
        // Where there is room nobody has to go.
        table.make_room();
        assert_eq!(table.locked().len(), MOST_FLOWS - 1);
        assert!(driver.await.expect_err("ended").is_cancelled());
    }
}
