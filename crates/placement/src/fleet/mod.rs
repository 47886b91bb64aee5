//! All container instances of a cluster and what is taken of them, laid out so that a question about all of them costs
//! microseconds at thousands of instances.
//!
//! Instances live in slots. What every placement looks at (free CPU, memory, the number of tasks) lies in columns; what is
//! true or false of an instance lies in bit sets; ports and task groups know their slots. Instances and tasks come, change
//! and go in any order: a task on an instance that is not registered is remembered, and counts once the instance is.

mod attributes;
mod instance;
mod orders;
mod select;
mod tasks;

use std::collections::HashMap;

use crate::{Held, Port, bits::Bits};
use attributes::Truths;
pub(crate) use attributes::{Column, Columns};
pub use instance::{ENI_UNLIMITED, Instance, Standing, Usage};
use orders::Orders;
use tasks::Group;

/// The number of an instance's place in the columns.
pub(crate) type Slot = usize;

/// A cluster's instances and tasks. See the module's introduction.
#[derive(Debug, Default)]
pub struct Fleet {
    pub(crate) by_id: HashMap<String, Slot>,
    /// None: no instance of that id is registered; its tasks are remembered.
    pub(crate) instances: Vec<Option<Instance>>,
    pub(crate) ids: Vec<String>,
    /// Slots that nothing refers to.
    unused: Vec<Slot>,

    pub(crate) free_cpu: Vec<i64>,
    pub(crate) free_memory: Vec<i64>,
    pub(crate) free_enis: Vec<i64>,
    pub(crate) free_gpus: Vec<i64>,
    /// Tasks that hold something, running or not.
    pub(crate) tasks: Vec<u32>,
    /// Those of them whose last status is RUNNING.
    pub(crate) running: Vec<u32>,
    /// Those of them that do not run yet.
    pending: Vec<u32>,
    /// Host ports that are taken.
    pub(crate) port_counts: Vec<u32>,

    pub(crate) orders: Orders,

    pub(crate) registered: Bits,
    pub(crate) registered_count: usize,
    /// Not draining.
    pub(crate) active: Bits,
    pub(crate) connected: Bits,
    pub(crate) external: Bits,

    /// Slots on which a port is taken, ascending, each with how many times.
    pub(crate) port_users: HashMap<Port, Vec<(Slot, u32)>>,
    pub(crate) held: HashMap<String, Held>,
    pub(crate) groups: HashMap<String, Group>,

    pub(crate) columns: Columns,
    pub(crate) truths: Truths,
}

impl Fleet {
    pub fn new() -> Fleet {
        Fleet::default()
    }

    /// Slots in use and unused.
    pub(crate) fn slots(&self) -> usize {
        self.instances.len()
    }

    /// Registered instances.
    pub fn len(&self) -> usize {
        self.registered_count
    }

    pub fn is_empty(&self) -> bool {
        self.registered_count == 0
    }

    /// Tasks that hold something.
    pub fn tasks_held(&self) -> usize {
        self.held.len()
    }

    /// The tasks that hold something of an instance, ascending.
    pub fn tasks_on(&self, instance: &str) -> Vec<&str> {
        let on = self.held.iter().filter(|(_, held)| held.instance == instance);
        let mut ids: Vec<&str> = on.map(|(id, _)| id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    /// Whether the task is known to hold something.
    pub fn holds(&self, task: &str) -> bool {
        self.held.contains_key(task)
    }

    /// The slot of an id, made if there is none.
    fn slot_for(&mut self, id: &str) -> Slot {
        if let Some(slot) = self.by_id.get(id) {
            return *slot;
        }
        let slot = self.unused.pop().unwrap_or_else(|| {
            self.instances.push(None);
            self.ids.push(String::new());
            self.free_cpu.push(0);
            self.free_memory.push(0);
            self.free_enis.push(0);
            self.free_gpus.push(0);
            self.tasks.push(0);
            self.running.push(0);
            self.pending.push(0);
            self.port_counts.push(0);
            self.orders.add(self.instances.len() - 1);
            self.instances.len() - 1
        });
        id.clone_into(&mut self.ids[slot]);
        self.by_id.insert(id.to_owned(), slot);
        slot
    }

    /// Gives the slot back if neither an instance nor a task refers to it.
    fn release_slot(&mut self, slot: Slot) {
        if self.instances[slot].is_none() && self.tasks[slot] == 0 {
            let id = std::mem::take(&mut self.ids[slot]);
            self.by_id.remove(&id);
            self.unused.push(slot);
        }
    }

    /// Takes a port, or gives it back.
    fn count_port(&mut self, slot: Slot, port: Port, taken: bool) {
        let users = self.port_users.entry(port).or_default();
        match (users.binary_search_by_key(&slot, |user| user.0), taken) {
            (Ok(at), true) => users[at].1 += 1,
            (Err(at), true) => {
                users.insert(at, (slot, 1));
                self.port_counts[slot] += 1;
            }
            (Ok(at), false) if users[at].1 > 1 => users[at].1 -= 1,
            (Ok(at), false) => {
                users.remove(at);
                self.port_counts[slot] -= 1;
            }
            (Err(_), false) => {}
        }
        if users.is_empty() {
            self.port_users.remove(&port);
        }
    }
}
