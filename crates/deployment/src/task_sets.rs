//! EXTERNAL and CODE_DEPLOY: each task set is held at its share of the desired count; who gets traffic is the user's business.

use crate::{
    Phase, Stability, Task, TaskSet, choose::Crowd, events, replica::may_start_after, round::Round,
    task::Health,
};

pub(crate) fn plan(round: &mut Round<'_>) {
    let mut sets = std::mem::take(&mut round.state.task_sets);
    for task in round.tasks.clone().into_iter().filter(|task| task.is_living()) {
        if !sets.iter().any(|set| set.id == task.deployment) {
            round.stop(task, events::scaling_reason(&task.deployment));
        }
    }
    sets.retain_mut(|set| hold(round, set));
    round.state.task_sets = sets;
}

/// False when it was being deleted and nothing is left of it.
fn hold(round: &mut Round<'_>, set: &mut TaskSet) -> bool {
    set.computed_desired_count = if set.draining { 0 } else { share(round.desired(), set.scale_percent) };
    let tasks: Vec<&Task> = round.tasks.iter().copied().filter(|task| task.deployment == set.id).collect();
    for task in tasks.iter().copied() {
        if let (Phase::Running, Health::Bad { stop_reason, .. }) = (task.phase, round.health(task)) {
            round.stop(task, stop_reason.to_owned());
        }
    }
    let mut living: Vec<&Task> = tasks.iter().copied().filter(|task| round.remains(task)).collect();
    let wanted = set.computed_desired_count as usize;
    let missing = wanted.saturating_sub(living.len());
    if missing > 0 && may_start_after(round, &set.id, set.start_back_off.until) {
        round.start(&set.id, u32::try_from(missing).unwrap_or(u32::MAX), None, None);
    }
    let mut excess = living.len().saturating_sub(wanted);
    if !set.draining {
        living.retain(|task| !task.is_protected(round.now));
    }
    let mut crowd = Crowd::of(round);
    while excess > 0
        && let Some(task) = crowd.next(round, &living)
        && round.stop(task, events::scaling_reason(&set.id))
    {
        living.retain(|other| other.id != task.id);
        crowd.leave(task);
        excess -= 1;
    }
    settle(round, set);
    let gone = set.draining && tasks.iter().all(|task| task.phase == Phase::Stopped);
    if gone {
        round.plan.drained_task_sets.push(set.id.clone());
    }
    !gone
}

/// `computedDesiredCount`.
fn share(desired: u32, percent: f64) -> u32 {
    let share = (f64::from(desired) * percent.clamp(0.0, 100.0) / 100.0).ceil();
    // A share of a u32 fits.
    share as u32
}

fn settle(round: &mut Round<'_>, set: &mut TaskSet) {
    let there: Vec<&Task> = round
        .tasks
        .iter()
        .copied()
        .filter(|task| task.deployment == set.id && task.phase != Phase::Stopped)
        .collect();
    let steady = there.len() == set.computed_desired_count as usize
        && there.iter().all(|task| round.is_healthy(task) && round.remains(task));
    let stability = if steady { Stability::SteadyState } else { Stability::Stabilizing };
    if stability != set.stability {
        set.stability = stability;
        set.stability_at = round.now;
        set.updated_at = round.now;
        if steady && !set.draining {
            round.report.events.push(events::task_set_steady_state(&round.service.name, &set.id));
        }
    }
}
