//! Which of a service's tasks are stopped first: placement the other way round.
//!
//! `spread` stops where the most are, `binpack` where the most is left once the task has stopped, `random` any. It works on
//! the tasks that it is given, on FARGATE as on instances.

use std::collections::HashMap;

use crate::{Fleet, Resource, Strategy};

/// A task that may be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stoppable<'a> {
    pub id: &'a str,
    /// None on FARGATE.
    pub instance: Option<&'a str>,
    pub zone: &'a str,
}

impl Fleet {
    /// The first `count` to be stopped, as positions in `tasks`. Without strategies: as for a service that has none.
    pub fn stop_order(&self, tasks: &[Stoppable<'_>], strategies: &[Strategy], count: usize) -> Vec<usize> {
        let default = Strategy::service_default();
        let strategies = if strategies.is_empty() { &default } else { strategies };
        // Of each strategy: where each task counts, and how many count there.
        let mut counted: Vec<(Vec<usize>, Vec<i64>)> =
            strategies.iter().map(|strategy| self.count_places(tasks, strategy)).collect();
        // What the stopped tasks give back, by instance.
        let mut given_back: HashMap<&str, (i64, i64)> = HashMap::new();
        let mut rest: Vec<usize> = (0..tasks.len()).collect();
        let mut stopped: Vec<usize> = Vec::new();
        while stopped.len() < count && !rest.is_empty() {
            let mut best = rest.clone();
            for (strategy, (places, counts)) in strategies.iter().zip(&counted) {
                let score = |task: usize| match strategy {
                    Strategy::SpreadAttribute(_) | Strategy::SpreadInstance => counts[places[task]],
                    Strategy::Binpack(resource) => self.left_after(&tasks[task], *resource, &given_back),
                    Strategy::Random => 0,
                };
                let Some(most) = best.iter().map(|task| score(*task)).max() else { break };
                best.retain(|task| score(*task) == most);
            }
            // The last of what is left: callers give the oldest first.
            let Some(task) = best.last().copied() else { break };
            rest.retain(|other| *other != task);
            for (places, counts) in &mut counted {
                counts[places[task]] -= 1;
            }
            if let Some(instance) = tasks[task].instance {
                let (cpu, memory) = self.demand_of(tasks[task].id);
                let back = given_back.entry(instance).or_default();
                *back = (back.0 + cpu, back.1 + memory);
            }
            stopped.push(task);
        }
        stopped
    }

    /// The number of each task's place, and how many tasks each place has.
    fn count_places(&self, tasks: &[Stoppable<'_>], strategy: &Strategy) -> (Vec<usize>, Vec<i64>) {
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let places = tasks.iter().map(|task| {
            let next = numbers.len();
            *numbers.entry(self.place_of(task, strategy)).or_insert(next)
        });
        let places: Vec<usize> = places.collect();
        let mut counts = vec![0; numbers.len()];
        places.iter().for_each(|place| counts[*place] += 1);
        (places, counts)
    }

    fn place_of(&self, task: &Stoppable<'_>, strategy: &Strategy) -> String {
        match strategy {
            Strategy::SpreadInstance => task.instance.unwrap_or_default().to_owned(),
            Strategy::SpreadAttribute(name) if name == crate::Instance::ZONE => task.zone.to_owned(),
            Strategy::SpreadAttribute(name) => task
                .instance
                .and_then(|id| self.instance(id)?.attributes.get(name).cloned().flatten())
                .unwrap_or_default(),
            Strategy::Binpack(_) | Strategy::Random => String::new(),
        }
    }

    /// What is left of the task's instance once the task and those stopped before it are gone.
    fn left_after(
        &self,
        task: &Stoppable<'_>,
        resource: Resource,
        given_back: &HashMap<&str, (i64, i64)>,
    ) -> i64 {
        let Some(instance) = task.instance else { return 0 };
        let Some(slot) = self.by_id.get(instance).copied() else { return 0 };
        let (own, back) = (self.demand_of(task.id), given_back.get(instance).copied().unwrap_or_default());
        match resource {
            Resource::Cpu => self.free_cpu[slot] + own.0 + back.0,
            Resource::Memory => self.free_memory[slot] + own.1 + back.1,
        }
    }

    /// CPU and memory that the task holds.
    fn demand_of(&self, task: &str) -> (i64, i64) {
        let demand = self.held.get(task).map(|held| &held.demand);
        demand.map_or((0, 0), |demand| (i64::from(demand.cpu), i64::from(demand.memory)))
    }
}
