//! The data plane of connections and datagrams: network load balancers, and the TCP and SSL listeners of classic ones.
//!
//! Listeners follow the configuration: one that stays the same stays open, and only its plan, by which new flows are given targets, is
//! replaced. Flows go on by themselves: neither a new configuration nor a listener's end touches those that have a target. They end when
//! both sides have finished, when they are idle, or when their target is cut off: unhealthy or deregistered, where the target group says
//! that this ends connections.
//!
//! A target sees the load balancer's address, or, where its group says so (`preserve_client_ip`), the client's: then who composes this crate
//! is asked, for each flow, to have it appear so ([`outward`]). The header of the PROXY protocol tells it too.
//!
//! Not here: whether targets are healthy (told by the caller), requests.

mod log;
mod outward;
mod plan;
mod proxy_protocol;
mod relay;
mod steering;
mod tcp;
mod udp;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddrV4,
    sync::Arc,
    time::Duration,
};

use routing::{
    config::{
        Certificate, Configuration, Interface, Listener, ListenerProtocol, LoadBalancer, LoadBalancerKind,
    },
    report::HealthState,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{Semaphore, watch},
    task::AbortHandle,
};

use crate::{AccessLog, Meters, Sockets, application::Meter};
use outward::Outward;
use plan::Group;
pub(crate) use plan::{HealthMap, Place, address as socket_address, place};
use steering::{Backend, Pool};

/// Connections of all listeners together: each has two descriptors, of which a process has some ten thousand at least.
const MOST_CONNECTIONS: usize = 8192;

/// What a listener does with new flows, as of now.
#[derive(Debug)]
pub(crate) struct Plan {
    pools: Vec<Pool>,
    /// One for each pool.
    groups: Vec<Group>,
    idle: Duration,
    /// Ends the clients' TLS.
    tls: Option<Arc<rustls::ServerConfig>>,
    /// Begins TLS to targets, whose certificates are not looked at.
    to_targets: Arc<rustls::ClientConfig>,
    /// Counts what the load balancer does.
    meter: Arc<Meter>,
    /// Told of connections.
    log: Option<log::Log>,
}

/// One socket that listens: the interface, its address, the port, and whether datagrams are meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Door {
    interface_id: String,
    address: SocketAddrV4,
    datagrams: bool,
}

struct Running {
    plan: watch::Sender<Arc<Plan>>,
    certificates: Vec<Certificate>,
    serving: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A door that could not be opened.
#[derive(Debug)]
pub(crate) struct Closed {
    pub load_balancer_arn: String,
    pub listener_arn: String,
    pub reason: String,
}

/// Makes the TLS side of a listener from its certificates.
pub(crate) type MakeTls<'a> = &'a (dyn Fn(&Listener) -> Result<Arc<rustls::ServerConfig>, String> + Sync);

/// Everything that runs.
pub(crate) struct NetworkPlane {
    sockets: Arc<dyn Sockets>,
    to_targets: Arc<rustls::ClientConfig>,
    room: Arc<Semaphore>,
    meters: Meters,
    log: Option<Arc<dyn AccessLog>>,
    doors: BTreeMap<Door, Running>,
    backends: BTreeMap<Place, Arc<Backend>>,
}

impl NetworkPlane {
    pub(crate) fn new(sockets: Arc<dyn Sockets>, to_targets: Arc<rustls::ClientConfig>) -> NetworkPlane {
        NetworkPlane {
            sockets,
            to_targets,
            room: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            meters: Meters::default(),
            log: None,
            doors: BTreeMap::new(),
            backends: BTreeMap::new(),
        }
    }

    /// Counts there from now on.
    pub(crate) fn counting(self, meters: Meters) -> NetworkPlane {
        NetworkPlane { meters, ..self }
    }

    /// Tells of connections there, for load balancers that have access logs.
    pub(crate) fn logging(self, log: Option<Arc<dyn AccessLog>>) -> NetworkPlane {
        NetworkPlane { log, ..self }
    }

    /// Brings listeners and targets to a configuration and the health that is known. Also called when only health has changed; what stays the same
    /// is not touched. Answers what could not be opened: it is tried again with the next call.
    pub(crate) async fn apply(
        &mut self,
        configuration: &Configuration,
        health: &HealthMap,
        make_tls: MakeTls<'_>,
    ) -> Vec<Closed> {
        self.follow_targets(configuration, health);
        let (mut wanted, mut closed) = (BTreeSet::new(), Vec::new());
        // What is gone goes first: its port may be another one's now.
        let listeners: Vec<(&LoadBalancer, &Listener, &Interface, Door)> = configuration
            .load_balancers
            .iter()
            .flat_map(|balancer| {
                let own = balancer.listeners.iter().filter(|listener| !listener.protocol.is_http());
                own.flat_map(move |listener| {
                    balancer.interfaces.iter().flat_map(move |interface| {
                        doors(listener, interface).map(move |door| (balancer, listener, interface, door))
                    })
                })
            })
            .collect();
        wanted.extend(listeners.iter().map(|(.., door)| door.clone()));
        self.doors.retain(|door, _| wanted.contains(door));
        for (balancer, listener, interface, door) in listeners {
            let opened =
                match self.plan(configuration, health, balancer, listener, interface, &door, make_tls) {
                    Ok(plan) => {
                        self.open(door, plan, listener, interface).await.map_err(|error| error.to_string())
                    }
                    Err(reason) => Err(reason),
                };
            if let Err(reason) = opened {
                closed.push(Closed {
                    load_balancer_arn: balancer.arn.clone(),
                    listener_arn: listener.arn.clone(),
                    reason,
                });
            }
        }
        closed
    }

    /// How many flows a target has.
    pub(crate) fn flows(&self, place: &Place) -> usize {
        self.backends.get(place).map_or(0, |backend| backend.flows())
    }

    /// Keeps one backend for each target, and cuts off those that are to lose their flows.
    fn follow_targets(&mut self, configuration: &Configuration, health: &HealthMap) {
        let mut left = std::mem::take(&mut self.backends);
        for group in &configuration.target_groups {
            for target in &group.targets {
                let Some(address) = plan::address(target) else { continue };
                let place = plan::place(group, target);
                let backend = left
                    .remove(&place)
                    .filter(|backend| backend.address == address)
                    .unwrap_or_else(|| Backend::new(address));
                backend.set_ends_with_registration(group.attributes.terminate_when_draining_ends);
                let unhealthy = health.get(&place) == Some(&HealthState::Unhealthy);
                backend.cut(unhealthy && group.attributes.terminate_when_unhealthy);
                self.backends.insert(place, backend);
            }
        }
        // The control plane lets a target go when its draining is over.
        left.values().for_each(|backend| backend.leave());
    }

    #[expect(clippy::too_many_arguments, reason = "each is one side of what a plan follows from")]
    fn plan(
        &self,
        configuration: &Configuration,
        health: &HealthMap,
        balancer: &LoadBalancer,
        listener: &Listener,
        interface: &Interface,
        door: &Door,
        make_tls: MakeTls<'_>,
    ) -> Result<Plan, String> {
        let zone = &interface.zone;
        let (pools, groups) = plan::pools(configuration, balancer, listener, zone, health, &self.backends);
        let idle_seconds = match balancer.kind {
            LoadBalancerKind::Classic => balancer.attributes.idle_timeout_seconds,
            LoadBalancerKind::Network | LoadBalancerKind::Application => {
                listener.attributes.tcp_idle_timeout_seconds
            }
        };
        let running = self.doors.get(door).filter(|running| running.certificates == listener.certificates);
        let tls = match running.and_then(|running| running.plan.borrow().tls.clone()) {
            _ if listener.protocol != ListenerProtocol::Tls => None,
            // Clients resume their sessions with it.
            Some(before) => Some(before),
            None => Some(make_tls(listener)?),
        };
        let idle = Duration::from_secs(idle_seconds.max(1).into());
        // One of a kind that carries requests too counts there with all threads, of which flows use the first.
        let meter = self.meters.of(&balancer.arn, 1);
        let log = log::Log::of(self.log.as_ref(), balancer, listener);
        Ok(Plan { pools, groups, idle, tls, to_targets: Arc::clone(&self.to_targets), meter, log })
    }

    async fn open(
        &mut self,
        door: Door,
        plan: Plan,
        listener: &Listener,
        interface: &Interface,
    ) -> io::Result<()> {
        let plan = Arc::new(plan);
        if let Some(running) = self.doors.get_mut(&door) {
            running.plan.send_replace(plan);
            running.certificates.clone_from(&listener.certificates);
            return Ok(());
        }
        let (plan, plans) = watch::channel(plan);
        let outward = Arc::new(Outward::new(Arc::clone(&self.sockets), interface));
        let serving = if door.datagrams {
            let socket = UdpSocket::from_std(self.sockets.datagrams(&interface.id, door.address).await?)?;
            tokio::spawn(udp::serve(socket, door.address, plans, outward)).abort_handle()
        } else {
            let socket = TcpListener::from_std(self.sockets.listen(&interface.id, door.address).await?)?;
            tokio::spawn(tcp::serve(socket, plans, outward, Arc::clone(&self.room))).abort_handle()
        };
        let certificates = listener.certificates.clone();
        self.doors.insert(door, Running { plan, certificates, serving });
        Ok(())
    }
}

/// The sockets that a listener has on an interface.
fn doors(listener: &Listener, interface: &Interface) -> impl Iterator<Item = Door> + use<> {
    let kinds: &[bool] = match listener.protocol {
        ListenerProtocol::Tcp | ListenerProtocol::Tls => &[false],
        ListenerProtocol::Udp => &[true],
        ListenerProtocol::TcpUdp => &[false, true],
        ListenerProtocol::Http | ListenerProtocol::Https => &[],
    };
    let (interface_id, port) = (interface.id.clone(), listener.port);
    let address = SocketAddrV4::new(interface.private_address, port);
    kinds.iter().map(move |datagrams| Door {
        interface_id: interface_id.clone(),
        address,
        datagrams: *datagrams,
    })
}
