//! What the endpoint may tell, kept up to date by the tasks themselves.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use agent_protocol::spec::{NetworkMode, TaskSpec};
use task_lifecycle::TaskFacts;

use super::stats::Samples;
use crate::ports::{LocalImage, Sandbox};

/// One task as the endpoint sees it.
pub(crate) struct TaskView {
    state: Mutex<ViewState>,
}

#[derive(Clone)]
pub(crate) struct ViewState {
    pub spec: Arc<TaskSpec>,
    pub facts: TaskFacts,
    pub images: Vec<Option<LocalImage>>,
    pub sandbox: Option<Arc<dyn Sandbox>>,
    /// Of the containers, where each has its own.
    pub addresses: Vec<Ipv4Addr>,
    samples: Arc<Mutex<Samples>>,
    /// What the task was last seen to hold on the disk; 0 before it was looked at.
    stored_bytes: Arc<AtomicU64>,
}

impl ViewState {
    /// What was last read of the containers' use.
    pub(super) fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Ordering::Relaxed)
    }
}

impl TaskView {
    pub(crate) fn new(spec: Arc<TaskSpec>, facts: TaskFacts) -> TaskView {
        let images = vec![None; spec.containers.len()];
        TaskView {
            state: Mutex::new(ViewState {
                spec,
                facts,
                images,
                sandbox: None,
                addresses: Vec::new(),
                samples: Arc::default(),
                stored_bytes: Arc::default(),
            }),
        }
    }

    pub(crate) fn snapshot(&self) -> ViewState {
        self.lock().clone()
    }

    pub(crate) fn set_facts(&self, facts: TaskFacts) {
        self.lock().facts = facts;
    }

    pub(crate) fn set_spec(&self, spec: Arc<TaskSpec>) {
        self.lock().spec = spec;
    }

    pub(crate) fn set_image(&self, container: usize, image: LocalImage) {
        self.lock().images[container] = Some(image);
    }

    pub(crate) fn set_sandbox(&self, sandbox: Option<Arc<dyn Sandbox>>) {
        self.lock().sandbox = sandbox;
    }

    fn lock(&self) -> MutexGuard<'_, ViewState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_stored_bytes(&self, bytes: u64) {
        self.lock().stored_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_addresses(&self, addresses: Vec<Ipv4Addr>) {
        self.lock().addresses = addresses;
    }

    fn addresses(&self) -> Vec<Ipv4Addr> {
        let state = self.lock();
        let own = state.spec.network_interface.iter().map(|interface| interface.private_address);
        own.chain(state.addresses.iter().copied()).collect()
    }

    /// Whether it asks from the machine's own addresses.
    fn shares_the_hosts(&self) -> bool {
        self.lock().spec.network_mode == NetworkMode::Host
    }
}

/// All tasks of the node that can ask.
#[derive(Default)]
pub(crate) struct Directory {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_address: HashMap<Ipv4Addr, Arc<TaskView>>,
    /// Tasks in the host's network.
    others: Vec<Arc<TaskView>>,
}

impl Directory {
    pub(crate) fn insert(&self, task: &Arc<TaskView>) {
        let mut known = self.lock();
        for address in task.addresses() {
            known.by_address.insert(address, Arc::clone(task));
        }
        if task.shares_the_hosts() {
            known.others.push(Arc::clone(task));
        }
    }

    /// Only if it is the one that is known: its address may have gone to another task.
    pub(crate) fn remove(&self, task: &Arc<TaskView>) {
        let mut known = self.lock();
        for address in task.addresses() {
            if known.by_address.get(&address).is_some_and(|other| Arc::ptr_eq(other, task)) {
                known.by_address.remove(&address);
            }
        }
        known.others.retain(|other| !Arc::ptr_eq(other, task));
    }

    /// The tasks that a request from `source` may be of: the one that has the address, or those that share the host's.
    pub(crate) fn candidates(&self, source: IpAddr) -> Vec<Arc<TaskView>> {
        let known = self.lock();
        let own = match source {
            IpAddr::V4(address) => known.by_address.get(&address),
            IpAddr::V6(address) => {
                address.to_ipv4_mapped().and_then(|address| known.by_address.get(&address))
            }
        };
        match own {
            Some(task) => vec![Arc::clone(task)],
            None => known.others.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
