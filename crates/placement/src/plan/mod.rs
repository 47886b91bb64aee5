//! Choosing instances for tasks.
//!
//! Filter, then order: instances without the resources or the attributes, or for which a constraint does not hold, are out;
//! among the rest the first strategy decides, the next ones among those that it holds equal, and at last the number of tasks. Several tasks of one request are chosen for one after another, each as if those before were placed.
//! Planning leaves the fleet as it was: what is committed comes back through [`Fleet::set_task`].

mod order;
mod refusals;

use crate::{Constraint, Demand, Fleet, Held, Phase, Reason, Strategy, bits::Bits, fleet::Slot};
use order::Planner;
pub use refusals::{Refusal, Shortfall};

/// The most host ports that may be taken on one instance, reserved ones included; a quota of the developer guide.
pub const MOST_PORTS: u32 = 100;

/// An attribute that an instance must have, with one of these values if any are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    pub name: String,
    pub values: Vec<String>,
}

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub group: &'a str,
    pub demand: &'a Demand,
    pub required: &'a [Requirement],
    pub constraints: &'a [Constraint],
    pub strategies: &'a [Strategy],
    /// For EXTERNAL instances, or for all others.
    pub external: bool,
}

/// Where the tasks go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Ids of instances, one for each task, in the order in which they were chosen.
    pub chosen: Vec<String>,
    /// Why not all tasks have a place.
    pub shortfall: Option<Shortfall>,
}

impl Fleet {
    /// Chooses instances for `count` tasks. `seed` decides where tasks go at random.
    pub fn plan(&mut self, request: &Request<'_>, count: usize, seed: u64) -> Plan {
        let strategies = request.strategies;
        for strategy in strategies {
            match strategy {
                Strategy::SpreadAttribute(name) => self.prepare_column(name),
                Strategy::Binpack(resource) => self.prepare_order(*resource),
                Strategy::SpreadInstance | Strategy::Random => {}
            }
        }
        let eligible = self.suitable(request, true);
        let slots = Planner::new(self, request, seed).choose(&eligible, count);
        let chosen: Vec<String> = slots.iter().map(|slot| self.ids[*slot].clone()).collect();
        let missing = count - chosen.len();
        let shortfall = (missing > 0).then(|| {
            // Refused is what the last task met, with those before it placed.
            let held = held(request);
            slots.iter().for_each(|slot| self.take(*slot, &held, true));
            let shortfall = refusals::shortfall(self, request, &slots, missing);
            slots.iter().for_each(|slot| self.take(*slot, &held, false));
            shortfall
        });
        Plan { chosen, shortfall }
    }

    /// Whether a task may be started on the given instance, whatever constraints say; draining or not.
    ///
    /// # Errors
    /// The first reason against it; `None` when there is no such instance.
    pub fn check(&mut self, request: &Request<'_>, instance: &str) -> Result<(), Option<Reason>> {
        let slot =
            self.by_id.get(instance).copied().filter(|slot| self.registered.contains(*slot)).ok_or(None)?;
        let free = Request { constraints: &[], ..*request };
        let required = refusals::equipped(self, &free);
        match refusals::reason(self, &free, slot, &required, &[], &[]) {
            None => Ok(()),
            Some(reason) => Err(Some(reason)),
        }
    }

    /// The instances on which a DAEMON service has a task, ascending by id: active ones that have what the definition
    /// needs and fulfil the constraints. An agent that is away for a while does not change that.
    pub fn eligible(&mut self, request: &Request<'_>) -> Vec<String> {
        let bits = self.suitable(request, false);
        let mut ids: Vec<String> = bits.iter().map(|slot| self.ids[slot].clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// Instances to which nothing but their load and distinctness may stand against.
    fn suitable(&mut self, request: &Request<'_>, connected: bool) -> Bits {
        let mut bits = self.active.clone();
        bits.keep(&self.registered);
        if connected {
            bits.keep(&self.connected);
        }
        bits = if request.external {
            bits.keep(&self.external);
            bits
        } else {
            self.external.missing_from(&bits)
        };
        for requirement in request.required {
            bits.keep(self.with_attribute(requirement));
        }
        for constraint in request.constraints {
            if let Constraint::MemberOf(expression) = constraint {
                bits.keep(&self.matching(expression));
            }
        }
        bits
    }

    pub(crate) fn with_attribute(&mut self, requirement: &Requirement) -> &Bits {
        let key = format!("{requirement:?}");
        self.kept(&key, |instance| match instance.attributes.get(&requirement.name) {
            None => false,
            Some(value) => {
                let wanted = |value: &String| requirement.values.contains(value);
                requirement.values.is_empty() || value.as_ref().is_some_and(wanted)
            }
        })
    }

    /// Whether the demand fits into what is left, ports aside.
    pub(crate) fn has_room(&self, slot: Slot, demand: &Demand) -> bool {
        self.free_cpu[slot] >= i64::from(demand.cpu)
            && self.free_memory[slot] >= i64::from(demand.memory)
            && self.free_enis[slot] >= i64::from(demand.enis)
            && self.free_gpus[slot] >= i64::from(demand.gpus)
            && (demand.ports.is_empty()
                || self.port_counts[slot] as usize + demand.ports.len() <= MOST_PORTS as usize)
    }
}

/// A task of the request, wherever it is.
fn held(request: &Request<'_>) -> Held {
    Held {
        instance: String::new(),
        group: request.group.to_owned(),
        demand: request.demand.clone(),
        wanted: true,
        phase: Phase::Pending,
    }
}
