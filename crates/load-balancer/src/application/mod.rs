//! Requests: HTTP/1.1, HTTP/2, gRPC and WebSocket, as application and classic load balancers carry them.
//!
//! [`ApplicationPlane`] owns the threads. It turns a configuration into a snapshot, opens what is new, hands all of it to the threads and
//! returns when each has it: from then on no request is decided by what was before. Connections stay, whatever changes. What targets
//! are like (health, load, draining) is kept beside the snapshots and outlives them.

mod answer;
mod buffer;
mod classic_log;
mod clock;
mod connection;
mod connection_log;
mod decide;
mod exchange;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http2;
pub(crate) mod log;
mod logging;
mod metrics;
mod pick;
mod pump;
mod request;
mod respond;
mod response;
mod snapshot;
mod stream;
mod target;
mod upstream;
mod watch;
mod worker;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use routing::{config::Configuration, report::HealthState};
use tokio::sync::{mpsc, oneshot};

pub(crate) use classic_log::Times;
pub use log::AccessLog;
pub(crate) use metrics::Metrics as Meter;
pub use metrics::{Counter, Counts};
pub(crate) use worker::cipher_name;

use self::{
    metrics::Metrics,
    snapshot::{Door, Lasting},
    target::TargetState,
    worker::{Command, Equipment, Peers, Worker},
};
use crate::{
    Sockets,
    network::{Closed, HealthMap, Place, place},
    tls,
};

/// Clients' connections of all threads: each may need a second descriptor toward a target, and a process has some twenty thousand.
const MOST_CONNECTIONS: usize = 8192;
/// More threads than this only share the load of accepting.
const MOST_THREADS: usize = 16;

/// How requests are carried.
pub struct Options {
    /// Takes the lines of load balancers whose access logs are switched on.
    pub log: Option<Arc<dyn AccessLog>>,
    /// Clients' connections of all listeners together; who comes beyond is turned away.
    pub most_connections: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { log: None, most_connections: MOST_CONNECTIONS }
    }
}

/// Everything that carries requests.
pub(crate) struct ApplicationPlane {
    sockets: Arc<dyn Sockets>,
    peers: Peers,
    threads: Vec<JoinHandle<()>>,
    /// Doors that are open, and the thread that watches them.
    open: BTreeMap<Door, usize>,
    state: State,
    /// Of the configuration that the threads have.
    generation: Option<u64>,
}

struct State {
    origin: Instant,
    threads: usize,
    targets: BTreeMap<Place, Arc<TargetState>>,
    /// Until when what is in flight on a draining target may go on.
    draining_until: BTreeMap<Place, Instant>,
    turns: BTreeMap<String, Arc<AtomicUsize>>,
    metrics: Meters,
    next_number: u64,
}

/// What is counted, by load balancer and target group.
#[derive(Debug, Clone, Default)]
pub struct Meters(Arc<std::sync::Mutex<BTreeMap<String, Arc<Metrics>>>>);

impl Meters {
    /// Those of the load balancer with this ARN, which belongs to `threads` threads that count.
    pub(crate) fn of(&self, arn: &str, threads: usize) -> Arc<Metrics> {
        let mut metrics = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(metrics.entry(arn.to_owned()).or_insert_with(|| Arc::new(Metrics::new(threads))))
    }

    /// All counts since the beginning, by the ARN of the load balancer or target group.
    pub fn snapshot(&self) -> BTreeMap<String, Counts> {
        let metrics = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        metrics.iter().map(|(arn, metrics)| (arn.clone(), metrics.counts())).collect()
    }
}

impl ApplicationPlane {
    /// Starts the threads: as many as the machine has cores.
    pub(crate) fn new(
        sockets: Arc<dyn Sockets>,
        to_targets: Arc<rustls::ClientConfig>,
        options: Options,
    ) -> ApplicationPlane {
        let Options { log, most_connections } = options;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        let (commands, receivers): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::unbounded_channel()).unzip();
        let peers = Peers {
            commands,
            connections: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            most_connections,
        };
        let equipment = Equipment { sockets: Arc::clone(&sockets), to_targets, log };
        let threads = receivers.into_iter().enumerate().filter_map(|(index, commands)| {
            let (equipment, peers) = (equipment.clone(), peers.weak());
            let spawned =
                std::thread::Builder::new().name(format!("lsh-requests-{index}")).spawn(move || {
                    carry(index, equipment, peers, commands);
                });
            spawned.inspect_err(|error| tracing::error!(%error, "a thread for requests did not start")).ok()
        });
        let threads: Vec<_> = threads.collect();
        ApplicationPlane {
            sockets,
            state: State {
                origin: Instant::now(),
                threads: peers.commands.len(),
                targets: BTreeMap::new(),
                draining_until: BTreeMap::new(),
                turns: BTreeMap::new(),
                metrics: Meters::default(),
                next_number: 0,
            },
            peers,
            threads,
            open: BTreeMap::new(),
            generation: None,
        }
    }

    /// What is counted.
    pub(crate) fn meters(&self) -> Meters {
        self.state.metrics.clone()
    }

    /// Brings listeners and targets to a configuration and the health that is known. When it returns, every new request is decided by
    /// them. Also called when only health has changed. Answers what could not be opened: it is tried again with the next call.
    pub(crate) async fn apply(&mut self, configuration: &Configuration, health: &HealthMap) -> Vec<Closed> {
        let leaving = self.state.follow_targets(configuration, health);
        if self.generation == Some(configuration.generation) {
            return Vec::new();
        }
        let make_tls = |balancer: &routing::config::LoadBalancer, listener: &routing::config::Listener| {
            let protocols: &[&[u8]] =
                if balancer.attributes.http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
            tls::of_listener(listener, protocols)
        };
        let (mut listeners, unusable) = snapshot::listeners(configuration, &mut self.state, &make_tls);
        let mut closed: Vec<Closed> = unusable
            .into_iter()
            .map(|(load_balancer_arn, listener_arn, reason)| Closed {
                load_balancer_arn,
                listener_arn,
                reason,
            })
            .collect();
        self.open.retain(|door, _| listeners.contains_key(door));
        let mut opened: Vec<Vec<_>> = self.peers.commands.iter().map(|_| Vec::new()).collect();
        let wanted: Vec<Door> =
            listeners.keys().filter(|door| !self.open.contains_key(door)).cloned().collect();
        for door in wanted {
            match self.listen(&door).await {
                Ok(socket) => {
                    let to = self.open.len() % opened.len();
                    opened[to].push((door.clone(), socket));
                    self.open.insert(door, to);
                }
                Err(error) => {
                    tracing::warn!(%error, address = %door.address, "a listener could not be opened");
                    if let Some(listener) = listeners.remove(&door) {
                        closed.push(Closed {
                            load_balancer_arn: listener.balancer.arn.clone(),
                            listener_arn: listener.arn.clone(),
                            reason: error.to_string(),
                        });
                    }
                }
            }
        }
        self.tell(Arc::new(listeners), opened).await;
        // Not before every thread knows who is there instead.
        leaving.leave();
        // What could not be opened is tried again.
        self.generation = closed.is_empty().then_some(configuration.generation);
        closed
    }

    /// How many requests a target has in flight.
    pub(crate) fn flows(&self, place: &Place) -> usize {
        self.state.targets.get(place).map_or(0, |target| target.outstanding() as usize)
    }

    /// Ends what is in flight on targets whose time to drain is over.
    pub(crate) fn cut_late(&mut self) {
        let now = Instant::now();
        for (place, until) in &self.state.draining_until {
            if *until <= now
                && let Some(target) = self.state.targets.get(place)
            {
                target.cut.store(true, Ordering::Relaxed);
            }
        }
    }

    async fn listen(&self, door: &Door) -> std::io::Result<std::net::TcpListener> {
        /// A port that was given up a moment ago is free when the thread that had it has seen to that.
        const TRIES: u32 = 20;
        let mut tries = 0;
        loop {
            match self.sockets.listen(&door.interface, door.address).await {
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                result => return result,
            }
        }
    }

    async fn tell(
        &self,
        listeners: Arc<BTreeMap<Door, Arc<snapshot::ListenerConfig>>>,
        opened: Vec<Vec<(Door, std::net::TcpListener)>>,
    ) {
        let mut waiting = Vec::new();
        for (commands, opened) in self.peers.commands.iter().zip(opened) {
            let (done, told) = oneshot::channel();
            let listeners = Arc::clone(&listeners);
            if commands.send(Command::Configure { listeners, opened, done }).is_ok() {
                waiting.push(told);
            }
        }
        for told in waiting {
            // A thread that has ended decides nothing.
            let _ = told.await;
        }
    }
}

impl Drop for ApplicationPlane {
    fn drop(&mut self) {
        self.peers.commands.clear();
        for thread in self.threads.drain(..) {
            // Its panic has been reported already.
            let _ = thread.join();
        }
    }
}

fn carry(
    index: usize,
    equipment: Equipment,
    peers: worker::WeakPeers,
    commands: mpsc::UnboundedReceiver<Command>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
    match runtime {
        Ok(runtime) => runtime.block_on(Worker::run(index, equipment, peers, commands)),
        Err(error) => tracing::error!(%error, "a thread for requests has no runtime"),
    }
}

/// Targets that are to get nothing any more.
struct Leaving {
    draining: Vec<(Arc<TargetState>, bool)>,
    gone: Vec<Arc<TargetState>>,
}

impl Leaving {
    fn leave(self) {
        for (target, draining) in self.draining {
            target.draining.store(draining, Ordering::Release);
        }
        // The control plane lets a target go when its draining is over.
        for target in self.gone {
            target.cut.store(true, Ordering::Relaxed);
        }
    }
}

impl State {
    fn follow_targets(&mut self, configuration: &Configuration, health: &HealthMap) -> Leaving {
        let mut leaving = Leaving { draining: Vec::new(), gone: Vec::new() };
        let mut left = std::mem::take(&mut self.targets);
        let mut draining = std::mem::take(&mut self.draining_until);
        let groups = configuration.target_groups.iter();
        let http = groups.filter(|group| {
            matches!(group.protocol, routing::config::Protocol::Http | routing::config::Protocol::Https)
        });
        for group in http {
            for target in &group.targets {
                let place = place(group, target);
                let state = left
                    .remove(&place)
                    .filter(|state| {
                        state.address == std::net::SocketAddr::new(target.address, target.port)
                            && state.zone == target.zone
                            // Cut off for good: one that comes back begins anew.
                            && (target.draining || !state.cut.load(Ordering::Relaxed))
                    })
                    .unwrap_or_else(|| {
                        self.next_number += 1;
                        Arc::new(TargetState::new(&place, target, self.next_number, self.origin))
                    });
                if target.draining {
                    let delay = Duration::from_secs(group.attributes.deregistration_delay_seconds.into());
                    let until = draining.remove(&place).unwrap_or_else(|| Instant::now() + delay);
                    self.draining_until.insert(place.clone(), until);
                }
                state.set_health(health.get(&place).copied().unwrap_or(HealthState::Initial));
                leaving.draining.push((Arc::clone(&state), target.draining));
                self.targets.insert(place, state);
            }
        }
        leaving.gone.extend(left.into_values());
        leaving
    }
}

impl Lasting for State {
    fn target(&self, place: &Place) -> Option<Arc<TargetState>> {
        self.targets.get(place).cloned()
    }

    fn turn(&mut self, group: &str) -> Arc<AtomicUsize> {
        Arc::clone(self.turns.entry(group.to_owned()).or_default())
    }

    fn metrics(&mut self, arn: &str) -> Arc<Metrics> {
        self.metrics.of(arn, self.threads)
    }
}

#[cfg(test)]
mod tests;
