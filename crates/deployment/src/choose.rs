//! Which task goes when one has to: the least useful first (not running yet, then in bad health, then not yet in good health), then
//! from the zone with the most of the service's tasks, then from the instance with the most, then the youngest.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{Phase, Task, round::Round, task::Health};

/// Tasks per place, of those that remain.
pub(crate) struct Crowd<'a> {
    zones: BTreeMap<&'a str, u32>,
    instances: BTreeMap<&'a str, u32>,
}

impl<'a> Crowd<'a> {
    pub fn of(round: &Round<'a>) -> Crowd<'a> {
        let mut crowd = Crowd { zones: BTreeMap::new(), instances: BTreeMap::new() };
        for task in round.tasks.iter().copied().filter(|task| round.remains(task)) {
            if let Some(zone) = &task.zone {
                *crowd.zones.entry(zone).or_default() += 1;
            }
            if let Some(instance) = &task.instance {
                *crowd.instances.entry(instance).or_default() += 1;
            }
        }
        crowd
    }

    pub fn leave(&mut self, task: &'a Task) {
        for (counts, place) in [(&mut self.zones, &task.zone), (&mut self.instances, &task.instance)] {
            if let Some(count) = place.as_deref().and_then(|place| counts.get_mut(place)) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// The next to go of `candidates`.
    pub fn next(&self, round: &Round<'a>, candidates: &[&'a Task]) -> Option<&'a Task> {
        let in_place = |counts: &BTreeMap<&str, u32>, place: &Option<String>| {
            place.as_deref().and_then(|place| counts.get(place).copied()).unwrap_or(0)
        };
        candidates.iter().copied().min_by_key(|task| {
            (
                usefulness(round, task),
                Reverse(in_place(&self.zones, &task.zone)),
                Reverse(in_place(&self.instances, &task.instance)),
                Reverse(task.running_since),
                task.id.as_str(),
            )
        })
    }
}

fn usefulness<'a>(round: &Round<'a>, task: &'a Task) -> u8 {
    match (task.phase, round.health(task)) {
        (Phase::Running, Health::Good) => 3,
        (Phase::Running, Health::Unknown { .. }) => 2,
        (Phase::Running, Health::Bad { .. }) => 1,
        _ => 0,
    }
}
