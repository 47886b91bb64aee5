//! The order among instances that may take a task.
//!
//! A few tasks are chosen for by looking at every candidate; for many, candidates are kept in heaps, one for each value of the
//! attribute that is spread over first. Both give the same answers: a placement changes the rank of its own instance alone,
//! except for attributes, whose counts are kept aside.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{Request, held};
use crate::{Constraint, Fleet, Held, Resource, Strategy, bits::Bits, fleet::Slot};

/// From how many tasks on heaps are worth being built.
const MANY: usize = 4;

/// What a strategy looks at.
enum Rule {
    /// The wanted tasks of the group on instances with the same value; the number of the entry in `Planner::spreads`.
    Value(usize),
    Instance,
    Left(Resource),
    Random,
}

/// The counts of a group over the values of an attribute.
struct Spread {
    /// By slot.
    values: Vec<u32>,
    /// By value.
    counts: Vec<u32>,
}

/// An instance's place in the order: one number for each strategy, the number of its tasks, and chance. The least is best.
type Rank = [u64; crate::rules::MOST_STRATEGIES + 2];

pub(super) struct Planner<'a> {
    fleet: &'a mut Fleet,
    request: &'a Request<'a>,
    held: Held,
    distinct: bool,
    rules: Vec<Rule>,
    spreads: Vec<Spread>,
    /// Wanted tasks of the group by slot.
    counts: Vec<u32>,
    /// Slots on which a wanted port is taken.
    blocked: Bits,
    seed: u64,
}

impl<'a> Planner<'a> {
    pub fn new(fleet: &'a mut Fleet, request: &'a Request<'a>, seed: u64) -> Planner<'a> {
        let slots = fleet.slots();
        let mut counts = vec![0; slots];
        let on = fleet.groups.get(request.group).map_or(&[][..], |group| &group.on);
        for (slot, count) in on {
            counts[*slot] = *count;
        }
        let (mut rules, mut spreads) = (Vec::new(), Vec::new());
        for strategy in request.strategies.iter().take(crate::rules::MOST_STRATEGIES) {
            rules.push(match strategy {
                Strategy::SpreadAttribute(name) => {
                    let Some(column) = fleet.column(name) else { continue };
                    let mut values = column.values.clone();
                    values.resize(slots, 0);
                    let mut of_value = vec![0; column.distinct.max(1)];
                    for (slot, count) in on.iter().filter(|(slot, _)| fleet.registered.contains(*slot)) {
                        of_value[values[*slot] as usize] += count;
                    }
                    spreads.push(Spread { values, counts: of_value });
                    Rule::Value(spreads.len() - 1)
                }
                Strategy::SpreadInstance => Rule::Instance,
                Strategy::Binpack(resource) => Rule::Left(*resource),
                Strategy::Random => Rule::Random,
            });
        }
        let mut blocked = Bits::none(slots);
        for port in &request.demand.ports {
            for (slot, _) in fleet.port_users.get(port).into_iter().flatten() {
                blocked.insert(*slot);
            }
        }
        let distinct = request.constraints.contains(&Constraint::DistinctInstance);
        Planner { fleet, request, held: held(request), distinct, rules, spreads, counts, blocked, seed }
    }

    /// Up to `count` slots, in the order in which tasks go to them.
    pub fn choose(mut self, eligible: &Bits, count: usize) -> Vec<Slot> {
        let mut candidates: Vec<Slot> = eligible.iter().filter(|slot| self.fits(*slot)).collect();
        let by_value = self.rules.iter().filter(|rule| matches!(rule, Rule::Value(_))).count();
        let first_only = by_value == 0 || (by_value == 1 && matches!(self.rules[0], Rule::Value(_)));
        let chosen = if count > MANY && first_only {
            self.by_heaps(&candidates, count)
        } else {
            self.by_looking(&mut candidates, count)
        };
        for slot in &chosen {
            self.fleet.take(*slot, &self.held, false);
        }
        chosen
    }

    fn by_looking(&mut self, candidates: &mut Vec<Slot>, count: usize) -> Vec<Slot> {
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let Some(slot) = self.best(candidates) else { break };
            self.place(slot);
            chosen.push(slot);
            if !self.fits(slot) {
                candidates.retain(|other| *other != slot);
            }
        }
        chosen
    }

    /// The candidate of the least rank, each compared no further than needed.
    fn best(&self, candidates: &[Slot]) -> Option<Slot> {
        let (first, rest) = candidates.split_first()?;
        let (mut best, mut rank) = (*first, self.rank(*first));
        let last = self.rules.len() + 2;
        for slot in rest {
            for at in 0..last {
                let own = self.score(at, *slot);
                if own > rank[at] {
                    break;
                }
                if own < rank[at] {
                    best = *slot;
                    rank = self.rank(*slot);
                    break;
                }
            }
        }
        Some(best)
    }

    /// As [`Planner::by_looking`], when at most the first strategy looks at attributes.
    fn by_heaps(&mut self, candidates: &[Slot], count: usize) -> Vec<Slot> {
        let grouped = matches!(self.rules.first(), Some(Rule::Value(_)));
        let value_of = |planner: &Planner<'_>, slot: Slot| {
            if grouped { planner.spreads[0].values[slot] as usize } else { 0 }
        };
        let values = if grouped { self.spreads[0].counts.len() } else { 1 };
        let mut ranked: Vec<Vec<Reverse<(Rank, Slot)>>> = vec![Vec::new(); values];
        for slot in candidates {
            ranked[value_of(self, *slot)].push(Reverse((self.rank_within(*slot), *slot)));
        }
        let mut heaps: Vec<BinaryHeap<_>> = ranked.into_iter().map(BinaryHeap::from).collect();
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let best = heaps
                .iter()
                .enumerate()
                .filter_map(|(value, heap)| {
                    let Reverse((rank, slot)) = heap.peek()?;
                    let count = if grouped { self.spreads[0].counts[value] } else { 0 };
                    Some((count, rank, *slot, value))
                })
                .min();
            let Some((_, _, slot, value)) = best else { break };
            heaps[value].pop();
            self.place(slot);
            chosen.push(slot);
            if self.fits(slot) {
                heaps[value].push(Reverse((self.rank_within(slot), slot)));
            }
        }
        chosen
    }

    fn fits(&self, slot: Slot) -> bool {
        self.fleet.has_room(slot, self.request.demand)
            && !self.blocked.contains(slot)
            && !(self.distinct && self.counts[slot] > 0)
    }

    fn place(&mut self, slot: Slot) {
        self.fleet.take(slot, &self.held, true);
        self.counts[slot] += 1;
        for spread in &mut self.spreads {
            spread.counts[spread.values[slot] as usize] += 1;
        }
        if !self.request.demand.ports.is_empty() {
            self.blocked.insert(slot);
        }
    }

    fn rank(&self, slot: Slot) -> Rank {
        let mut rank = [0; crate::rules::MOST_STRATEGIES + 2];
        for (at, place) in rank.iter_mut().enumerate().take(self.rules.len() + 2) {
            *place = self.score(at, slot);
        }
        rank
    }

    /// The rank among instances of the same value: the first strategy's count, which they share, left out.
    fn rank_within(&self, slot: Slot) -> Rank {
        let mut rank = self.rank(slot);
        if matches!(self.rules.first(), Some(Rule::Value(_))) {
            rank[0] = 0;
        }
        rank
    }

    fn score(&self, at: usize, slot: Slot) -> u64 {
        match self.rules.get(at) {
            Some(Rule::Value(spread)) => {
                let spread = &self.spreads[*spread];
                u64::from(spread.counts[spread.values[slot] as usize])
            }
            Some(Rule::Instance) => u64::from(self.counts[slot]),
            Some(Rule::Left(Resource::Cpu)) => u64::try_from(self.fleet.free_cpu[slot]).unwrap_or(0),
            Some(Rule::Left(Resource::Memory)) => u64::try_from(self.fleet.free_memory[slot]).unwrap_or(0),
            Some(Rule::Random) => self.chance(slot, at),
            None if at == self.rules.len() => u64::from(self.fleet.tasks[slot]),
            None => self.chance(slot, at),
        }
    }

    /// The same for the same seed, slot and number of tasks on it (SplitMix64's finish).
    fn chance(&self, slot: Slot, at: usize) -> u64 {
        let mut word = self.seed ^ (slot as u64) << 24 ^ u64::from(self.fleet.tasks[slot]) << 4 ^ at as u64;
        word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}
