//! Tasks: what they take of their instances, and where the tasks of a group are.

use super::{Fleet, Slot};
use crate::{Held, Phase};

/// Where the wanted tasks of a group are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group {
    /// Slots with wanted tasks of the group, ascending, each with how many.
    pub on: Vec<(Slot, u32)>,
    /// All tasks of the group, also those that are to stop.
    tasks: usize,
}

impl Group {
    pub fn count(&self, slot: Slot) -> u32 {
        self.on.binary_search_by_key(&slot, |entry| entry.0).map_or(0, |at| self.on[at].1)
    }

    fn change(&mut self, slot: Slot, comes: bool) {
        match (self.on.binary_search_by_key(&slot, |entry| entry.0), comes) {
            (Ok(at), true) => self.on[at].1 += 1,
            (Err(at), true) => self.on.insert(at, (slot, 1)),
            (Ok(at), false) if self.on[at].1 > 1 => self.on[at].1 -= 1,
            (Ok(at), false) => _ = self.on.remove(at),
            (Err(_), false) => {}
        }
    }
}

impl Fleet {
    /// A task has been placed, or has changed.
    pub fn set_task(&mut self, id: &str, held: Held) {
        if let Some(known) = self.held.get_mut(id) {
            if *known == held {
                return;
            }
            let earlier = std::mem::replace(known, held.clone());
            self.hold(&earlier, false);
        } else {
            self.held.insert(id.to_owned(), held.clone());
        }
        self.hold(&held, true);
    }

    /// A task has stopped: what it held is free.
    pub fn remove_task(&mut self, id: &str) {
        if let Some(held) = self.held.remove(id) {
            self.hold(&held, false);
        }
    }

    fn hold(&mut self, held: &Held, comes: bool) {
        let slot = self.slot_for(&held.instance);
        self.take(slot, held, comes);
        let group = match self.groups.get_mut(&held.group) {
            Some(group) => group,
            None => self.groups.entry(held.group.clone()).or_default(),
        };
        if held.wanted {
            group.change(slot, comes);
        }
        if comes {
            group.tasks += 1;
        } else {
            group.tasks -= 1;
            if group.tasks == 0 {
                self.groups.remove(&held.group);
            }
            self.release_slot(slot);
        }
    }

    /// Takes what a task needs of the instance in the slot, or gives it back; its group is not touched.
    pub(crate) fn take(&mut self, slot: Slot, held: &Held, comes: bool) {
        let (sign, before) = (if comes { -1 } else { 1 }, self.keys(slot));
        self.free_cpu[slot] += sign * i64::from(held.demand.cpu);
        self.free_memory[slot] += sign * i64::from(held.demand.memory);
        self.free_enis[slot] += sign * i64::from(held.demand.enis);
        self.free_gpus[slot] += sign * i64::from(held.demand.gpus);
        for port in &held.demand.ports {
            self.count_port(slot, *port, comes);
        }
        let mut count = |column: fn(&mut Fleet) -> &mut Vec<u32>| {
            let counted = &mut column(self)[slot];
            *counted = if comes { *counted + 1 } else { *counted - 1 };
        };
        count(|fleet| &mut fleet.tasks);
        match held.phase {
            Phase::Pending => count(|fleet| &mut fleet.pending),
            Phase::Running => count(|fleet| &mut fleet.running),
            Phase::Ending => {}
        }
        self.reorder(slot, before);
    }
}
