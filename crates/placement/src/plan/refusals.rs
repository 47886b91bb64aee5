//! Why instances do not take a task, and which of them comes closest.

use std::cmp::Reverse;

use super::Request;
use crate::{Constraint, Fleet, Reason, bits::Bits, fleet::Slot, plan::MOST_PORTS};

/// Refusals that are told: a cluster of thousands says the same thing too often.
const MOST_TOLD: usize = 100;

/// An instance that did not take the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub instance: String,
    pub reason: Reason,
}

/// What could not be placed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// How many tasks have no place.
    pub missing: usize,
    /// The closest match first, 100 at most; none when the cluster has no active instance.
    pub refusals: Vec<Refusal>,
}

impl Shortfall {
    /// What a service's event says behind `was unable to place a task `.
    pub fn text(&self) -> String {
        let why = match self.refusals.first() {
            None => "Reason: No Container Instances were found in your cluster.".to_owned(),
            Some(closest) => format!(
                "The closest matching (container-instance {}) {}.",
                closest.instance,
                closest.reason.of_closest()
            ),
        };
        format!(
            "because no container instance met all of its requirements. {why} For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
        )
    }
}

/// `chosen`: slots of the tasks of the same request that have a place, and have taken what they need.
pub(super) fn shortfall(
    fleet: &mut Fleet,
    request: &Request<'_>,
    chosen: &[Slot],
    missing: usize,
) -> Shortfall {
    let members: Vec<Bits> = request
        .constraints
        .iter()
        .filter_map(|constraint| match constraint {
            Constraint::MemberOf(expression) => Some(fleet.matching(expression)),
            Constraint::DistinctInstance => None,
        })
        .collect();
    let required = equipped(fleet, request);
    let fleet = &*fleet;
    let mut active = fleet.active.clone();
    active.keep(&fleet.registered);
    let mut refused: Vec<(Reason, i64, Slot)> = active
        .iter()
        .filter(|slot| fleet.external.contains(*slot) == request.external)
        .filter_map(|slot| Some((slot, reason(fleet, request, slot, &required, &members, chosen)?)))
        .map(|(slot, reason)| (reason, short_of(fleet, request, slot), slot))
        .collect();
    // The reason met last, then the least that is lacking, then the id.
    refused.sort_unstable_by(|a, b| {
        let key = |entry: &(Reason, i64, Slot)| (Reverse(entry.0), entry.1);
        key(a).cmp(&key(b)).then_with(|| fleet.ids[a.2].cmp(&fleet.ids[b.2]))
    });
    refused.truncate(MOST_TOLD);
    let told =
        refused.into_iter().map(|(reason, _, slot)| Refusal { instance: fleet.ids[slot].clone(), reason });
    Shortfall { missing, refusals: told.collect() }
}

/// How much CPU and memory are lacking.
fn short_of(fleet: &Fleet, request: &Request<'_>, slot: Slot) -> i64 {
    let lacking = |free: i64, wanted: u32| (i64::from(wanted) - free).max(0);
    lacking(fleet.free_cpu[slot], request.demand.cpu)
        + lacking(fleet.free_memory[slot], request.demand.memory)
}

/// The instances that have what the definition needs.
pub(super) fn equipped(fleet: &mut Fleet, request: &Request<'_>) -> Bits {
    let mut bits = fleet.registered.clone();
    for requirement in request.required {
        bits.keep(fleet.with_attribute(requirement));
    }
    bits
}

/// The first reason why the instance does not take a task. `required`: those that are equipped for it; `members`: the sets
/// of the `memberOf` constraints.
pub(super) fn reason(
    fleet: &Fleet,
    request: &Request<'_>,
    slot: Slot,
    required: &Bits,
    members: &[Bits],
    chosen: &[Slot],
) -> Option<Reason> {
    if !fleet.connected.contains(slot) {
        return Some(Reason::Agent);
    }
    if !required.contains(slot) {
        return Some(Reason::Attribute);
    }
    if members.iter().any(|members| !members.contains(slot)) {
        return Some(Reason::MemberOf);
    }
    let hosts = || fleet.groups.get(request.group).is_some_and(|group| group.count(slot) > 0);
    if request.constraints.contains(&Constraint::DistinctInstance) && (chosen.contains(&slot) || hosts()) {
        return Some(Reason::DistinctInstance);
    }
    let demand = request.demand;
    let taken = |port| {
        let users = fleet.port_users.get(port);
        users.is_some_and(|users| users.binary_search_by_key(&slot, |user| user.0).is_ok())
    };
    let ports = fleet.port_counts[slot] as usize + demand.ports.len();
    if !demand.ports.is_empty() && (ports > MOST_PORTS as usize || demand.ports.iter().any(taken)) {
        return Some(Reason::Ports);
    }
    [
        (fleet.free_gpus[slot], demand.gpus, Reason::Gpu),
        (fleet.free_enis[slot], demand.enis, Reason::Eni),
        (fleet.free_cpu[slot], demand.cpu, Reason::Cpu),
        (fleet.free_memory[slot], demand.memory, Reason::Memory),
    ]
    .into_iter()
    .find(|(free, wanted, _)| *free < i64::from(*wanted))
    .map(|(_, _, reason)| reason)
}
