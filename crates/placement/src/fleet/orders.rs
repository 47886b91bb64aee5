//! Instances in the order of what tasks change: the number of their tasks, and what is left of CPU and memory. The latter
//! two are kept from the first time that someone packs by them.

use std::collections::BTreeSet;

use super::{Fleet, Slot};
use crate::{Demand, Resource};

#[derive(Debug, Default)]
pub(crate) struct Orders {
    tasks: BTreeSet<(u32, Slot)>,
    cpu: Option<BTreeSet<(i64, Slot)>>,
    memory: Option<BTreeSet<(i64, Slot)>>,
}

/// What an instance is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keys {
    tasks: u32,
    cpu: i64,
    memory: i64,
}

impl Orders {
    pub fn add(&mut self, slot: Slot) {
        self.tasks.insert((0, slot));
        for order in [&mut self.cpu, &mut self.memory].into_iter().flatten() {
            order.insert((0, slot));
        }
    }
}

impl Fleet {
    pub(super) fn keys(&self, slot: Slot) -> Keys {
        Keys { tasks: self.tasks[slot], cpu: self.free_cpu[slot], memory: self.free_memory[slot] }
    }

    /// The slot's keys have changed.
    pub(super) fn reorder(&mut self, slot: Slot, before: Keys) {
        let now = self.keys(slot);
        if now.tasks != before.tasks {
            self.orders.tasks.remove(&(before.tasks, slot));
            self.orders.tasks.insert((now.tasks, slot));
        }
        let resources = [
            (&mut self.orders.cpu, before.cpu, now.cpu),
            (&mut self.orders.memory, before.memory, now.memory),
        ];
        for (order, before, now) in resources {
            if let Some(order) = order
                && now != before
            {
                order.remove(&(before, slot));
                order.insert((now, slot));
            }
        }
    }

    /// Has the order by a resource kept from now on.
    pub(crate) fn prepare_order(&mut self, resource: Resource) {
        let (order, free) = match resource {
            Resource::Cpu => (&mut self.orders.cpu, &self.free_cpu),
            Resource::Memory => (&mut self.orders.memory, &self.free_memory),
        };
        if order.is_none() {
            *order = Some(free.iter().enumerate().map(|(slot, free)| (*free, slot)).collect());
        }
    }

    /// Slots from where the least is left that is enough for the demand, or from the fewest tasks; among equals by number.
    pub(crate) fn in_order(
        &self,
        resource: Option<Resource>,
        demand: &Demand,
    ) -> impl Iterator<Item = Slot> + '_ {
        let (order, least) = match resource {
            None => (None, 0),
            Some(Resource::Cpu) => (self.orders.cpu.as_ref(), i64::from(demand.cpu)),
            Some(Resource::Memory) => (self.orders.memory.as_ref(), i64::from(demand.memory)),
        };
        let by_tasks = order.is_none().then(|| self.orders.tasks.iter().map(|(_, slot)| *slot));
        let by_resource = order.map(|order| order.range((least, 0)..).map(|(_, slot)| *slot));
        by_tasks.into_iter().flatten().chain(by_resource.into_iter().flatten())
    }
}
