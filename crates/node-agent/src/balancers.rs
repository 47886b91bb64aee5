//! The load balancers of the node: their interfaces, the data plane on them, and what it says about targets.
//!
//! A load balancer's interface is attached like a task's, in a namespace of its own, so that addresses, security groups and public addresses
//! are the same thing for both; no process runs in it. Its sockets are made inside and driven by the agent's own runtime.
//!
//! Nothing but the interfaces outlives the agent: it remembers which they are, so that they are not taken for leavings after a restart, and
//! gets everything else from the control plane anew. Interfaces that can not be attached yet are tried again; the data plane tries their
//! listeners until they are there. What the data plane counts is told to the control plane as it grows ([`metering`]).

mod logs;
mod metering;
mod sockets;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use agent_protocol::{
    ControlError, TargetHealthReport,
    spec::{LoadBalancers, NetworkInterface},
};
use load_balancer::{DataPlane, Options, Reports};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::{journal, node::Node, retry::Backoff};
use logs::Lines;
use sockets::Doors;

/// How long after a failure interfaces are tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long the end of the agent waits for the last lines of access logs to be taken.
const LAST_DELIVERY: Duration = Duration::from_secs(5);

/// The node's load balancers. They end when this is dropped; their interfaces stay.
pub(crate) struct Balancers {
    wanted: watch::Sender<LoadBalancers>,
    running: JoinHandle<()>,
    metering: JoinHandle<()>,
    node: Arc<Node>,
    lines: Arc<Lines>,
    delivering: JoinHandle<()>,
}

impl Drop for Balancers {
    fn drop(&mut self) {
        self.running.abort();
        self.metering.abort();
        self.delivering.abort();
    }
}

impl Balancers {
    /// Starts without any load balancer.
    pub(crate) fn start(node: &Arc<Node>) -> Balancers {
        let (wanted, states) = watch::channel(LoadBalancers::default());
        let lines = Arc::<Lines>::default();
        let holder = Holder::new(Arc::clone(node), Arc::clone(&lines));
        let metering = tokio::spawn(metering::run(Arc::clone(node), holder.plane.meters().clone()));
        let running = tokio::spawn(holder.run(states));
        let delivering = tokio::spawn(logs::run(Arc::clone(node), Arc::clone(&lines)));
        Balancers { wanted, running, metering, node: Arc::clone(node), lines, delivering }
    }

    /// Takes the newest state; one that is not newer has no effect. Does not wait.
    pub(crate) fn set(&self, state: LoadBalancers) {
        self.wanted.send_if_modified(|current| {
            let newer = state.configuration.generation > current.configuration.generation;
            if newer {
                *current = state;
            }
            newer
        });
    }

    /// Ends every connection, and delivers the last lines of access logs. The interfaces stay.
    pub(crate) async fn stop(&mut self) {
        self.running.abort();
        self.metering.abort();
        self.delivering.abort();
        // Cancelled, as they were asked to be.
        let _ = (&mut self.running).await;
        let _ = (&mut self.delivering).await;
        let last = logs::deliver(&self.node, &self.lines, logs::Taken::All);
        if tokio::time::timeout(LAST_DELIVERY, last).await.is_err() {
            tracing::warn!("lines of access logs were not taken in time and are lost");
        }
    }
}

/// Ids of the interfaces that an earlier agent had for load balancers.
pub(crate) fn remembered(node: &Node) -> BTreeSet<String> {
    let interfaces: Vec<NetworkInterface> = journal::read_json(&file(node)).unwrap_or_default();
    interfaces.into_iter().map(|interface| interface.interface_id).collect()
}

fn file(node: &Node) -> PathBuf {
    node.config.data_dir.join("balancers.json")
}

struct Holder {
    node: Arc<Node>,
    plane: DataPlane,
    lines: Arc<Lines>,
    doors: Arc<Doors>,
    /// Interfaces that are there, as they were last asked for.
    held: BTreeMap<String, NetworkInterface>,
    /// Those of an earlier agent and those that are to go: detached when the data plane no longer uses them.
    unwanted: BTreeMap<String, NetworkInterface>,
    /// What is to be; none before anything was said, when nothing is known to be unwanted.
    told: Option<LoadBalancers>,
}

impl Holder {
    fn new(node: Arc<Node>, lines: Arc<Lines>) -> Holder {
        let doors = Arc::<Doors>::default();
        let options = Options { log: Some(Arc::clone(&lines) as _), ..Options::default() };
        let plane = DataPlane::start_with(Arc::clone(&doors) as Arc<dyn load_balancer::Sockets>, options);
        let earlier: Vec<NetworkInterface> = journal::read_json(&file(&node)).unwrap_or_default();
        let unwanted =
            earlier.into_iter().map(|interface| (interface.interface_id.clone(), interface)).collect();
        Holder { node, plane, lines, doors, held: BTreeMap::new(), unwanted, told: None }
    }

    async fn run(mut self, mut states: watch::Receiver<LoadBalancers>) {
        let mut reports = self.plane.reports();
        let mut again: Option<Instant> = None;
        loop {
            tokio::select! {
                changed = states.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let state = states.borrow_and_update().clone();
                    self.lines.follow(&state.configuration);
                    self.plane.apply(state.configuration.clone());
                    self.told = Some(state);
                    again = self.follow().await;
                }
                () = at(again) => again = self.follow().await,
                changed = reports.changed() => if changed.is_err() {
                    tracing::error!("the data plane of the load balancers has ended");
                    return;
                },
            }
            let newest = reports.borrow_and_update().clone();
            self.report(&newest).await;
        }
    }

    /// Brings the interfaces to these; answers when what failed is to be tried again.
    async fn follow(&mut self) -> Option<Instant> {
        let wanted = self.told.as_ref()?.interfaces.clone();
        let ids: BTreeSet<&str> = wanted.iter().map(|interface| interface.interface_id.as_str()).collect();
        let gone: Vec<String> = self.held.keys().filter(|id| !ids.contains(id.as_str())).cloned().collect();
        for id in gone {
            self.doors.close(&id);
            if let Some(interface) = self.held.remove(&id) {
                self.unwanted.insert(id, interface);
            }
        }
        self.unwanted.retain(|id, _| !ids.contains(id.as_str()));
        // Before they are made, so that none is made that nobody knows of.
        let all: Vec<&NetworkInterface> = wanted.iter().chain(self.unwanted.values()).collect();
        if let Err(error) = journal::write_json(&file(&self.node), &all) {
            tracing::warn!(%error, "the interfaces of load balancers could not be remembered");
        }
        let mut failed = false;
        for interface in &wanted {
            failed |= !self.hold(interface).await;
        }
        for (id, interface) in std::mem::take(&mut self.unwanted) {
            if let Err(reason) = self.node.machine.network.detach(&interface).await {
                tracing::warn!(id, reason, "a load balancer's interface could not be detached");
                self.unwanted.insert(id, interface);
                failed = true;
            }
        }
        failed.then(|| Instant::now() + RETRY)
    }

    /// Whether the interface is as it is to be.
    async fn hold(&mut self, interface: &NetworkInterface) -> bool {
        let id = &interface.interface_id;
        if self.held.get(id) == Some(interface) {
            return true;
        }
        let network = &self.node.machine.network;
        let entered = match network.hold(interface).await {
            Ok(netns) => network.sockets(&netns).map_err(|error| error.to_string()),
            Err(reason) => Err(reason),
        };
        match entered {
            Ok(sockets) => {
                // One whose groups have changed keeps what it has open.
                if !self.held.contains_key(id) {
                    self.doors.open(id, sockets);
                }
                self.held.insert(id.clone(), interface.clone());
                true
            }
            Err(reason) => {
                tracing::warn!(id, reason, "a load balancer's interface could not be attached");
                false
            }
        }
    }

    /// Says how targets do, until it is taken or something newer is to be said.
    async fn report(&self, reports: &Reports) {
        let Some(told) = self.told.as_ref().filter(|_| reports.generation > 0) else { return };
        // One without listeners takes connections, in a manner of speaking, when its interfaces are there.
        let attached = |arn: &&String| {
            let balancer = told.configuration.load_balancers.iter().find(|balancer| balancer.arn == **arn);
            balancer.is_some_and(|balancer| {
                balancer.interfaces.iter().all(|interface| self.held.contains_key(&interface.id))
            })
        };
        let mut newest = self.plane.reports();
        newest.mark_unchanged();
        let report = TargetHealthReport {
            generation: reports.generation,
            targets: reports.targets.clone(),
            listening: reports.listening.iter().filter(attached).cloned().collect(),
        };
        let mut backoff = Backoff::default();
        loop {
            match self.node.control.report_target_health(report.clone()).await {
                Ok(()) => return,
                Err(error @ ControlError::Refused { .. }) => {
                    return tracing::debug!(%error, "a report of targets was refused");
                }
                Err(error) => tracing::debug!(%error, "a report of targets was not taken"),
            }
            tokio::select! {
                () = backoff.wait() => {}
                // It goes on with that.
                _ = newest.changed() => return,
            }
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
