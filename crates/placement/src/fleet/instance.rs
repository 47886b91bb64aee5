//! Instances: how they come, change and go, and what is left of them.

use std::collections::BTreeMap;

use vocabulary::Timestamp;

use super::{Fleet, Slot};
use crate::Port;

/// For machines whose number of network interfaces has no bound that matters here.
pub const ENI_UNLIMITED: u32 = u32::MAX;

/// Whether an instance takes tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Active,
    Draining,
}

/// An instance as it was registered, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub id: String,
    pub ec2_instance_id: Option<String>,
    pub standing: Standing,
    pub connected: bool,
    /// An EXTERNAL instance, which takes tasks of that launch type only.
    pub external: bool,
    pub agent_version: Option<String>,
    pub registered_at: Timestamp,
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
    /// Ports that are taken by other than tasks.
    pub reserved_ports: Vec<Port>,
    /// Interfaces that tasks may have.
    pub enis: u32,
    pub gpus: u32,
    /// All of them: those that the agent registered and custom ones. A value may be missing.
    pub attributes: BTreeMap<String, Option<String>>,
}

impl Instance {
    /// The attribute that names its zone.
    pub const ZONE: &'static str = "ecs.availability-zone";

    pub fn zone(&self) -> &str {
        self.attributes.get(Instance::ZONE).and_then(Option::as_deref).unwrap_or_default()
    }
}

/// What is left of an instance, and what runs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    pub free_cpu: i64,
    pub free_memory: i64,
    /// Host ports taken, reserved ones included, ascending.
    pub ports: Vec<Port>,
    pub free_gpus: i64,
    pub running: u32,
    pub pending: u32,
    /// All that hold something.
    pub tasks: u32,
}

impl Fleet {
    /// Registers an instance, or takes what has changed of it.
    pub fn set_instance(&mut self, instance: Instance) {
        let slot = self.slot_for(&instance.id);
        if let Some(earlier) = self.instances[slot].take() {
            if earlier.attributes != instance.attributes
                || earlier.agent_version != instance.agent_version
                || earlier.ec2_instance_id != instance.ec2_instance_id
                || earlier.registered_at != instance.registered_at
            {
                self.forget_facts();
            }
            self.provide(slot, &earlier, false);
        } else {
            self.forget_facts();
            self.registered_count += 1;
        }
        self.provide(slot, &instance, true);
        self.registered.insert(slot);
        self.active.set(slot, instance.standing == Standing::Active);
        self.connected.set(slot, instance.connected);
        self.external.set(slot, instance.external);
        self.instances[slot] = Some(instance);
    }

    /// Deregisters an instance. Tasks on it go on holding what they hold, should it come back.
    pub fn remove_instance(&mut self, id: &str) {
        let Some(slot) = self.by_id.get(id).copied() else { return };
        let Some(instance) = self.instances[slot].take() else { return };
        self.provide(slot, &instance, false);
        for bits in [&mut self.registered, &mut self.active, &mut self.connected, &mut self.external] {
            bits.remove(slot);
        }
        self.registered_count -= 1;
        self.forget_facts();
        self.release_slot(slot);
    }

    pub fn instance(&self, id: &str) -> Option<&Instance> {
        self.instances[*self.by_id.get(id)?].as_ref()
    }

    /// Registered instances, in no particular order.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().flatten()
    }

    /// What is left of a registered instance.
    pub fn usage(&self, id: &str) -> Option<Usage> {
        let slot = *self.by_id.get(id)?;
        self.instances[slot].as_ref()?;
        let mut ports: Vec<Port> = self
            .port_users
            .iter()
            .filter(|(_, users)| users.binary_search_by_key(&slot, |user| user.0).is_ok())
            .map(|(port, _)| *port)
            .collect();
        ports.sort_unstable();
        Some(Usage {
            free_cpu: self.free_cpu[slot],
            free_memory: self.free_memory[slot],
            ports,
            free_gpus: self.free_gpus[slot],
            running: self.running[slot],
            pending: self.pending[slot],
            tasks: self.tasks[slot],
        })
    }

    /// Adds what an instance has, or takes it away.
    fn provide(&mut self, slot: Slot, instance: &Instance, comes: bool) {
        let (sign, before) = (if comes { 1 } else { -1 }, self.keys(slot));
        self.free_cpu[slot] += sign * i64::from(instance.cpu);
        self.free_memory[slot] += sign * i64::from(instance.memory);
        self.free_enis[slot] += sign * i64::from(instance.enis);
        self.free_gpus[slot] += sign * i64::from(instance.gpus);
        for port in &instance.reserved_ports {
            self.count_port(slot, *port, comes);
        }
        self.reorder(slot, before);
    }
}
