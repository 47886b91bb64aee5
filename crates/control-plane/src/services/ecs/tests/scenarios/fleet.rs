//! The simulated node: runs what it is told to, as the definition's family says that it behaves, and reports as a node does: whole
//! statements, numbered, repeated until they arrive.

use std::{collections::BTreeMap, time::Duration};

use agent_protocol::state::{StopCode, TaskStateChange};
use vocabulary::Timestamp;

use super::{
    super::*,
    world::{Happening, World, short},
};
use crate::services::ecs::records::Task;

/// After so long a load balancer knows how a target does.
const FIRST_VERDICT: Duration = Duration::from_secs(12);

/// What tasks of a family do; the definitions are made with these names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Runs, and its check passes.
    Good,
    /// Runs, without a check.
    Plain,
    /// Takes long to start, and its check to pass.
    Slow,
    /// Fails to start more often than not.
    Flaky,
    /// Never starts.
    Broken,
    /// Ends soon after it runs.
    Short,
    /// Its check fails.
    Sick,
}

pub const FAMILIES: [Family; 7] =
    [Family::Good, Family::Plain, Family::Slow, Family::Flaky, Family::Broken, Family::Short, Family::Sick];

impl Family {
    pub fn name(self) -> &'static str {
        match self {
            Family::Good => "good",
            Family::Plain => "plain",
            Family::Slow => "slow",
            Family::Flaky => "flaky",
            Family::Broken => "broken",
            Family::Short => "short",
            Family::Sick => "sick",
        }
    }

    fn of(name: &str) -> Family {
        FAMILIES.into_iter().find(|family| family.name() == name).unwrap()
    }

    pub fn is_checked(self) -> bool {
        !matches!(self, Family::Plain | Family::Short)
    }
}

/// The next thing to happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Run,
    FailToStart,
    Healthy,
    Unhealthy,
    End,
    Stopped,
}

#[derive(Debug, Clone)]
pub struct NodeTask {
    arn: String,
    family: Family,
    sequence: u64,
    payload: i64,
    status: TaskStatus,
    started_at: Option<Timestamp>,
    health: HealthStatus,
    end: Option<(StopCode, &'static str)>,
    told_to_stop: bool,
}

#[derive(Default)]
pub struct Fleet {
    tasks: BTreeMap<String, NodeTask>,
    works: bool,
}

impl Fleet {
    /// From now on everything that is started works, whatever its family.
    pub fn works_now(&mut self) {
        self.works = true;
    }

    /// Ids of tasks that run.
    pub fn running(&self) -> Vec<String> {
        let running = self.tasks.iter().filter(|(_, task)| task.status == TaskStatus::Running);
        running.map(|(id, _)| id.clone()).collect()
    }

    /// What a request to the task would show: no verdict yet, an answer, or none.
    pub fn answers(&self, id: &str, now: Timestamp) -> Option<bool> {
        let task = self.tasks.get(id).filter(|task| task.status == TaskStatus::Running);
        let since = task.and_then(|task| task.started_at);
        match (task, since) {
            (Some(task), Some(since)) if since + FIRST_VERDICT <= now => {
                Some(self.works || !matches!(task.family, Family::Sick | Family::Short))
            }
            (Some(_), _) => None,
            (None, _) => Some(false),
        }
    }

    /// What the node was told arrives. An old message has no effect.
    pub fn payload(world: &mut World, record: &Task, sequence: i64, stop: bool) {
        let id = record.id.clone();
        match world.fleet.tasks.get_mut(&id) {
            Some(known) if sequence < known.payload => return,
            // Said again: the last word is repeated, since it may not have arrived.
            Some(known) if sequence == known.payload => return Fleet::repeat(world, &id),
            Some(known) => known.payload = sequence,
            None => {
                let task = NodeTask {
                    arn: record.arn(&scope()),
                    family: Family::of(&record.family),
                    sequence: 0,
                    payload: sequence,
                    status: TaskStatus::Pending,
                    started_at: None,
                    health: HealthStatus::Unknown,
                    end: None,
                    told_to_stop: false,
                };
                world.fleet.tasks.insert(id.clone(), task);
                if !stop {
                    Fleet::start(world, &id);
                }
            }
        }
        if stop {
            Fleet::stop(world, &id);
        }
    }

    fn start(world: &mut World, id: &str) {
        let works = world.fleet.works;
        let family = world.fleet.tasks[id].family;
        let wait = match family {
            Family::Slow if !works => world.random.millis(20_000, 200_000),
            _ => world.random.millis(300, 4_000),
        };
        let fails = match family {
            _ if works => false,
            Family::Broken => true,
            Family::Flaky => world.random.chance(60),
            _ => world.faulty && world.random.chance(3),
        };
        let next = if fails { Next::FailToStart } else { Next::Run };
        world.after(wait, Happening::Node { id: id.to_owned(), next });
        Fleet::say(world, id);
    }

    fn stop(world: &mut World, id: &str) {
        let wait = world.random.millis(100, 30_000);
        let task = world.fleet.tasks.get_mut(id).unwrap();
        if task.status == TaskStatus::Stopped {
            return Fleet::repeat(world, id);
        }
        if !std::mem::replace(&mut task.told_to_stop, true) {
            world.after(wait, Happening::Node { id: id.to_owned(), next: Next::Stopped });
        }
    }

    pub fn happens(world: &mut World, id: &str, next: Next) {
        let works = world.fleet.works;
        let now = world.now();
        let (ends_after, checked_after) =
            (world.random.millis(100, 3_000), world.random.millis(1_000, 40_000));
        let Some(task) = world.fleet.tasks.get_mut(id) else { return };
        let family = task.family;
        let mut then = None;
        match (task.status, next) {
            (TaskStatus::Stopped, _) => return,
            (TaskStatus::Pending, Next::Run) if !task.told_to_stop => {
                task.status = TaskStatus::Running;
                task.started_at = Some(now);
                then = match family {
                    Family::Short if !works => Some((ends_after, Next::End)),
                    Family::Sick if !works => Some((checked_after, Next::Unhealthy)),
                    family if family.is_checked() => Some((checked_after, Next::Healthy)),
                    _ => None,
                };
            }
            (TaskStatus::Pending, Next::FailToStart) if !task.told_to_stop => {
                task.status = TaskStatus::Stopped;
                task.end = Some((StopCode::TaskFailedToStart, "CannotPullContainerError: not found"));
            }
            (TaskStatus::Running, Next::Healthy) if family.is_checked() => {
                task.health = HealthStatus::Healthy;
            }
            (TaskStatus::Running, Next::Unhealthy) if family.is_checked() => {
                task.health = HealthStatus::Unhealthy;
            }
            (TaskStatus::Running, Next::End) => {
                task.status = TaskStatus::Stopped;
                task.end = Some((StopCode::EssentialContainerExited, "Essential container in task exited"));
            }
            (_, Next::Stopped) => task.status = TaskStatus::Stopped,
            _ => return,
        }
        let status = task.status;
        if let Some((wait, next)) = then {
            world.after(wait, Happening::Node { id: id.to_owned(), next });
        }
        world.tell(|| format!("node {} {next:?} -> {status:?}", short(id)));
        Fleet::say(world, id);
    }

    /// The machine loses its power and comes back: nothing of what ran is left.
    pub fn lose_all(world: &mut World) {
        for id in world.fleet.running() {
            let wait = world.random.millis(0, 30_000);
            world.after(wait, Happening::Node { id, next: Next::End });
        }
    }

    /// A report goes out: it may be lost and repeated, be late, arrive twice.
    fn say(world: &mut World, id: &str) {
        world.fleet.tasks.get_mut(id).unwrap().sequence += 1;
        Fleet::repeat(world, id);
    }

    /// The last statement once more, as it was.
    fn repeat(world: &mut World, id: &str) {
        let task = &world.fleet.tasks[id];
        if task.sequence == 0 {
            return;
        }
        let change = statement(task);
        let wait = match world.random.below(100) {
            // Lost, and repeated by the node's outbox.
            0..6 if world.faulty => world.random.millis(2_000, 20_000),
            // Overtaken by later ones.
            6..12 if world.faulty => world.random.millis(300, 2_000),
            _ => world.random.millis(1, 50),
        };
        if world.faulty && world.random.chance(6) {
            let again = world.random.millis(0, 15_000);
            world.after(again, Happening::Report(Box::new(change.clone())));
        }
        world.after(wait, Happening::Report(Box::new(change)));
    }
}

fn statement(task: &NodeTask) -> TaskStateChange {
    let mut change = report(&task.arn, task.sequence, task.status);
    change.started_at = task.started_at;
    change.health_status = task.health;
    change.containers[0].health_status = task.health;
    if task.status == TaskStatus::Stopped
        && let Some((code, reason)) = task.end
    {
        change.stop_code = Some(code);
        change.reason = text(reason);
        change.containers[0].exit_code = Some(1);
    }
    change
}
