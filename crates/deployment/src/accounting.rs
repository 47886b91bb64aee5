//! What tasks' ends and health count for: failures of their deployment, the circuit breaker's count, the pauses between
//! starts. Every task counts at most once, kept by [`Noted`].
//!
//! A failure is a task that ended by itself before it was RUNNING (stage 1), one whose health is bad, or one that ended by itself
//! before it was in good health (stage 2). A task that was in good health once and ends is replaced and counts for nothing, as does what
//! users, the scheduler or the infrastructure stop. Counting ends when the threshold is reached: the deployment is FAILED with
//! exactly that number. An end counts as soon as its cause is known: what is taken down for minutes is replaced at once, and replacements
//! of a broken revision would fail in dozens before the first of them had stopped.
//!
//! Pauses: the first two rounds of failed starts are repeated at once, then 10 s and twice as long each time, up to 15 minutes. A task that
//! reaches RUNNING ends it, a new deployment begins anew. A task that ends soon after it was RUNNING is replaced after 5 s, always.

use std::time::Duration;

use vocabulary::Timestamp;

use crate::{
    EndedBy, Noted, Phase, RolloutState, StartBackOff, Task, circuit_breaker_threshold, events, round::Round,
    task::Health,
};

const ROUNDS_WITHOUT_PAUSE: u32 = 2;
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
const PAUSE_AFTER_EARLY_END: Duration = Duration::from_secs(5);

enum Failure {
    ToStart,
    Health,
    EarlyEnd,
}

pub(crate) fn account(round: &mut Round<'_>) {
    // Failures before recoveries: what reaches the threshold together with a recovery has reached it.
    for task in round.tasks.clone() {
        if task.noted != Noted::Accounted && !failures(round, task) {
            return;
        }
    }
    for task in round.tasks.clone() {
        if task.noted == Noted::Nothing && round.is_healthy(task) && !recovered(round, task) {
            return;
        }
    }
    end_pauses(round);
}

/// False when the plan is full.
fn failures<'a>(round: &mut Round<'a>, task: &'a Task) -> bool {
    let failure = match task.phase {
        Phase::Pending => None,
        Phase::Stopping if task.ended.is_none() => None,
        Phase::Stopping | Phase::Stopped => {
            if !round.note(task, Noted::Accounted) {
                return false;
            }
            ended_by_itself(round, task)
        }
        Phase::Running => match round.health(task) {
            Health::Bad { event, .. } => {
                if !round.note(task, Noted::Accounted) {
                    return false;
                }
                round.report.events.push(event.to_owned());
                Some(Failure::Health)
            }
            Health::Unknown { until } => {
                if let Some(until) = until {
                    round.wake(until);
                }
                None
            }
            Health::Good => None,
        },
    };
    if let Some(failure) = failure {
        count(round, task, &failure);
    }
    true
}

fn ended_by_itself(round: &Round<'_>, task: &Task) -> Option<Failure> {
    let ended = task.ended.as_ref().filter(|ended| ended.by == EndedBy::Itself)?;
    if task.running_since.is_none() {
        return Some(Failure::ToStart);
    }
    let grace = round.service.health_check_grace_period;
    let was_healthy = task.noted == Noted::Healthy || task.health(grace, ended.at) == Health::Good;
    (!was_healthy).then_some(Failure::EarlyEnd)
}

fn count(round: &mut Round<'_>, task: &Task, failure: &Failure) {
    let now = round.now;
    let mut impaired = false;
    if let Some(back_off) = back_off(round, &task.deployment) {
        match failure {
            Failure::ToStart => impaired = failed_to_start(back_off, task.created_at, now),
            // Since it is known, not since its node's clock says that it ended.
            Failure::EarlyEnd => back_off.until = back_off.until.max(Some(now + PAUSE_AFTER_EARLY_END)),
            Failure::Health => {}
        }
    }
    if impaired {
        round.report.events.push(events::unable_to_start_consistently(&round.service.name));
    }
    let breaker = round.service.configuration.circuit_breaker.clone();
    let threshold = circuit_breaker_threshold(breaker.threshold, round.desired());
    if let Some(deployment) = round.deployment(&task.deployment)
        && deployment.rollout_state == RolloutState::InProgress
        && !(breaker.enable && deployment.failed_tasks >= threshold)
    {
        deployment.failed_tasks = deployment.failed_tasks.saturating_add(1);
        match failure {
            Failure::ToStart => deployment.failed_to_start = deployment.failed_to_start.saturating_add(1),
            Failure::Health | Failure::EarlyEnd => {
                deployment.failed_health = deployment.failed_health.saturating_add(1);
            }
        }
    }
}

/// Whether this begins a pause, which is worth telling. Tasks made before a round was counted belong to it.
fn failed_to_start(back_off: &mut StartBackOff, created_at: Timestamp, now: Timestamp) -> bool {
    if back_off.failed_at.is_some_and(|failed_at| created_at < failed_at) {
        return false;
    }
    back_off.rounds = back_off.rounds.saturating_add(1);
    back_off.failed_at = Some(now);
    let pause = pause_after(back_off.rounds);
    back_off.until = back_off.until.max(Some(now + pause));
    !pause.is_zero()
}

fn pause_after(rounds: u32) -> Duration {
    match rounds.checked_sub(ROUNDS_WITHOUT_PAUSE + 1) {
        None => Duration::ZERO,
        // Seven doublings are past the longest pause.
        Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(7)).min(LONGEST_PAUSE),
    }
}

fn back_off<'r>(round: &'r mut Round<'_>, id: &str) -> Option<&'r mut StartBackOff> {
    let sets = round.state.task_sets.iter_mut().map(|set| (&set.id, &mut set.start_back_off));
    let deployments =
        round.state.deployments.iter_mut().map(|deployment| (&deployment.id, &mut deployment.start_back_off));
    sets.chain(deployments).find(|(known, _)| *known == id).map(|(_, back_off)| back_off)
}

/// False when the plan is full.
fn recovered<'a>(round: &mut Round<'a>, task: &'a Task) -> bool {
    if !round.note(task, Noted::Healthy) {
        return false;
    }
    let breaker = &round.service.configuration.circuit_breaker;
    let threshold = circuit_breaker_threshold(breaker.threshold, round.desired());
    let (reset, enabled) = (breaker.reset_on_healthy_task, breaker.enable);
    if let Some(deployment) = round.deployment(&task.deployment)
        && reset
        && deployment.rollout_state == RolloutState::InProgress
        && !(enabled && deployment.failed_tasks >= threshold)
    {
        deployment.failed_tasks = 0;
    }
    true
}

fn end_pauses(round: &mut Round<'_>) {
    for task in round.tasks.clone() {
        if let Some(since) = task.running_since
            && let Some(back_off) = back_off(round, &task.deployment)
            && back_off.failed_at.is_some_and(|failed_at| failed_at <= since)
        {
            *back_off = StartBackOff::default();
        }
    }
}
