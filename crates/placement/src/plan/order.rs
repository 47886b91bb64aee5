//! The order among instances that may take a task.
//!
//! The rank of an instance is one number for each strategy, then the number of its tasks, then its slot; the least is best.
//! Instances are not ranked one and all: the fleet keeps them in the order of what changes with every task, and the search
//! goes along that order until nothing better can come. Strategies before the one that the order is by have least values
//! that are known beforehand; once an instance has them, those behind it can only be worse. Where that does not help (few
//! candidates, `random`), every candidate is looked at.

use std::sync::Arc;

use super::{Request, held};
use crate::{
    Constraint, Fleet, Held, Resource, Strategy,
    bits::Bits,
    fleet::{Column, Slot},
    rules::MOST_STRATEGIES,
};

/// Up to so many candidates are looked at one and all.
const FEW: usize = 64;

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
    column: Arc<Column>,
    /// By value.
    counts: Vec<u32>,
    /// Values that some candidate may have.
    alive: Vec<bool>,
}

impl Spread {
    fn value(&self, slot: Slot) -> usize {
        self.column.values.get(slot).map_or(0, |value| *value as usize)
    }
}

/// One number for each strategy, and the number of tasks.
type Rank = [u64; MOST_STRATEGIES + 1];

pub(super) struct Planner<'a> {
    fleet: &'a mut Fleet,
    request: &'a Request<'a>,
    held: Held,
    distinct: bool,
    rules: Vec<Rule>,
    spreads: Vec<Spread>,
    /// Wanted tasks of the group by slot.
    counts: Vec<u32>,
    /// No instance has fewer tasks of the group.
    least: u32,
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
        let everywhere = on.len() >= fleet.registered_count;
        let least = if everywhere { on.iter().map(|(_, count)| *count).min().unwrap_or(0) } else { 0 };
        let (mut rules, mut spreads) = (Vec::new(), Vec::new());
        for strategy in request.strategies.iter().take(MOST_STRATEGIES) {
            rules.push(match strategy {
                Strategy::SpreadAttribute(name) => {
                    let Some(column) = fleet.column(name) else { continue };
                    let mut spread = Spread {
                        counts: vec![0; column.population.len()],
                        alive: column.population.iter().map(|instances| *instances > 0).collect(),
                        column,
                    };
                    for (slot, count) in on.iter().filter(|(slot, _)| fleet.registered.contains(*slot)) {
                        let value = spread.value(*slot);
                        spread.counts[value] += count;
                    }
                    spreads.push(spread);
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
        Planner {
            fleet,
            request,
            held: held(request),
            distinct,
            rules,
            spreads,
            counts,
            least,
            blocked,
            seed,
        }
    }

    /// Up to `count` slots, in the order in which tasks go to them.
    pub fn choose(mut self, eligible: &Bits, count: usize) -> Vec<Slot> {
        let few: Vec<Slot> = eligible.iter().take(FEW + 1).collect();
        let source = if few.len() <= FEW { None } else { self.source() };
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let best = match source {
                None => self.best_of_all(eligible),
                Some((at, resource)) => self.search(eligible, at, resource),
            };
            let Some(slot) = best else { break };
            self.place(slot);
            chosen.push(slot);
        }
        for slot in &chosen {
            self.fleet.take(*slot, &self.held, false);
        }
        chosen
    }

    /// How many strategies come before the one that the search goes along, and what that one is by: a resource, or the
    /// number of tasks behind all strategies. None: the order is nobody's.
    fn source(&self) -> Option<(usize, Option<Resource>)> {
        let found = self.rules.iter().position(|rule| matches!(rule, Rule::Left(_) | Rule::Random));
        match found.map(|at| (at, &self.rules[at])) {
            None => Some((self.rules.len(), None)),
            Some((at, Rule::Left(resource))) => Some((at, Some(*resource))),
            Some(_) => None,
        }
    }

    fn best_of_all(&self, eligible: &Bits) -> Option<Slot> {
        let mut best: Option<(Rank, Slot)> = None;
        for slot in eligible.iter().filter(|slot| self.fits(*slot)) {
            self.compare(&mut best, slot);
        }
        best.map(|(_, slot)| slot)
    }

    /// Goes along the order of `resource`, or of the number of tasks, with `before` strategies before it.
    fn search(&mut self, eligible: &Bits, before: usize, resource: Option<Resource>) -> Option<Slot> {
        let bounds: Vec<u64> = self.rules[..before].iter().map(|rule| self.least_score(rule)).collect();
        let mut best: Option<(Rank, Slot)> = None;
        let mut seen: Vec<Vec<bool>> =
            self.spreads.iter().map(|spread| vec![false; spread.alive.len()]).collect();
        for slot in self.fleet.in_order(resource, self.request.demand) {
            if let Some((rank, _)) = &best
                && rank[..before] == bounds[..]
                && (resource.is_none() || self.score(before, slot) > rank[before])
            {
                return best.map(|(_, slot)| slot);
            }
            if eligible.contains(slot) && self.fits(slot) {
                for (spread, seen) in self.spreads.iter().zip(&mut seen) {
                    seen[spread.value(slot)] = true;
                }
                self.compare(&mut best, slot);
            }
        }
        // All candidates were seen: values without one will have none for the rest of the request either.
        for (spread, seen) in self.spreads.iter_mut().zip(seen) {
            spread.alive = seen;
        }
        best.map(|(_, slot)| slot)
    }

    /// The least that the rule can say of any candidate.
    fn least_score(&self, rule: &Rule) -> u64 {
        match rule {
            Rule::Value(spread) => {
                let spread = &self.spreads[*spread];
                let alive = spread.counts.iter().zip(&spread.alive).filter(|(_, alive)| **alive);
                u64::from(alive.map(|(count, _)| *count).min().unwrap_or(0))
            }
            Rule::Instance => u64::from(self.least),
            Rule::Left(_) | Rule::Random => 0,
        }
    }

    /// Takes the slot for the best if its rank is less, looking no further than needed.
    fn compare(&self, best: &mut Option<(Rank, Slot)>, slot: Slot) {
        let Some((rank, of)) = best else {
            *best = Some((self.rank(slot), slot));
            return;
        };
        for (at, best_score) in rank.iter().enumerate().take(self.rules.len() + 1) {
            let own = self.score(at, slot);
            if own != *best_score {
                if own < *best_score {
                    *best = Some((self.rank(slot), slot));
                }
                return;
            }
        }
        *of = slot.min(*of);
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
            let value = spread.value(slot);
            spread.counts[value] += 1;
        }
        if !self.request.demand.ports.is_empty() {
            self.blocked.insert(slot);
        }
    }

    fn rank(&self, slot: Slot) -> Rank {
        let mut rank = [0; MOST_STRATEGIES + 1];
        for (at, place) in rank.iter_mut().enumerate().take(self.rules.len() + 1) {
            *place = self.score(at, slot);
        }
        rank
    }

    fn score(&self, at: usize, slot: Slot) -> u64 {
        match self.rules.get(at) {
            Some(Rule::Value(spread)) => {
                let spread = &self.spreads[*spread];
                u64::from(spread.counts[spread.value(slot)])
            }
            Some(Rule::Instance) => u64::from(self.counts[slot]),
            Some(Rule::Left(Resource::Cpu)) => u64::try_from(self.fleet.free_cpu[slot]).unwrap_or(0),
            Some(Rule::Left(Resource::Memory)) => u64::try_from(self.fleet.free_memory[slot]).unwrap_or(0),
            Some(Rule::Random) => self.chance(slot, at),
            None => u64::from(self.fleet.tasks[slot]),
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
