//! DAEMON: one task on each eligible instance.
//!
//! An instance has its old task stopped before the new one starts, since the maximum is 100 %; how many instances are without a task at a time
//! is what the minimum leaves. A task on an instance that is not eligible any more stops at once.

use std::collections::BTreeMap;

use crate::{Phase, Task, Waiting, events, replica::may_start, round::Round, task::Health};

pub(crate) fn plan(round: &mut Round<'_>, eligible: &[String]) {
    let primary = round.primary_id();
    let minimum = round.bounds().minimum;
    let mut by_instance: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in round.tasks.clone().into_iter().filter(|task| task.is_living()) {
        let instance =
            task.instance.as_deref().filter(|instance| eligible.iter().any(|known| known == instance));
        match instance {
            Some(instance) if !task.instance_draining => by_instance.entry(instance).or_default().push(task),
            _ => drop(round.stop(task, events::scaling_reason(&primary))),
        }
    }
    for tasks in by_instance.values_mut() {
        // Of several on one instance the newest revision's, then the oldest task, stays.
        tasks.sort_by_key(|task| (task.deployment != primary, task.created_at, task.id.as_str()));
        for task in tasks.iter().skip(1) {
            round.stop(task, events::scaling_reason(&primary));
        }
        let Some(task) = tasks.first().copied() else {
            continue;
        };
        if let (Phase::Running, Health::Bad { stop_reason, .. }) = (task.phase, round.health(task)) {
            round.stop(task, stop_reason.to_owned());
        } else if task.deployment != primary && may_leave(round, task, minimum) {
            round.stop(task, events::scaling_reason(&primary));
        }
    }
    start(round, eligible, &primary);
    set_desired_counts(round, &primary);
}

fn may_leave<'a>(round: &mut Round<'a>, task: &'a Task, minimum: u32) -> bool {
    if task.is_protected(round.now) {
        if let Some(until) = task.protected_until {
            round.wake(until);
        }
        round.wait(Waiting::Protection { tasks: vec![task.id.clone()] });
        return false;
    }
    // A failed deployment takes nothing from the one before it.
    let failed = round.state.primary().is_some_and(|it| it.rollout_state == crate::RolloutState::Failed);
    if failed {
        return false;
    }
    let healthy =
        round.tasks.iter().copied().filter(|task| round.remains(task) && round.is_healthy(task)).count();
    let allowed = !round.is_healthy(task) || healthy > minimum as usize;
    if !allowed {
        round.wait(Waiting::Minimum { minimum });
    }
    allowed
}

/// Where nothing is left of any task.
fn start(round: &mut Round<'_>, eligible: &[String], primary: &str) {
    let mut vacant: Vec<&String> = eligible
        .iter()
        .filter(|instance| {
            !round
                .tasks
                .iter()
                .any(|task| task.phase != Phase::Stopped && task.instance.as_ref() == Some(*instance))
        })
        .collect();
    vacant.sort_unstable();
    vacant.dedup();
    if vacant.is_empty() || !may_start(round, primary) {
        return;
    }
    for instance in vacant {
        if round.start(primary, 1, Some(instance), None) == 0 {
            return;
        }
    }
}

fn set_desired_counts(round: &mut Round<'_>, primary: &str) {
    let desired = round.desired();
    let mut left: BTreeMap<&str, u32> = BTreeMap::new();
    for task in round.tasks.iter().filter(|task| round.remains(task)) {
        *left.entry(&task.deployment).or_default() += 1;
    }
    for deployment in &mut round.state.deployments {
        deployment.desired_count = if deployment.id == primary {
            desired
        } else {
            left.get(deployment.id.as_str()).copied().unwrap_or(0)
        };
    }
}
