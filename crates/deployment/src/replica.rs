//! REPLICA: how many tasks of which deployment, within the percentages.
//!
//! Every living task is kept, is to leave (its deployment is not wanted, or its instance drains), or is unhealthy. From that, in order:
//! what is on its way up and not wanted stops at once; unhealthy tasks stop where RUNNING stays at the minimum; what is too many stops;
//! a task that is to leave stops when enough others are in good health; what is missing starts in the room under the
//! maximum. Only when there is no room, or no place, room is made: tasks that are to leave stop down to the minimum, unhealthy ones
//! one by one. So the percentages are a limit that is used when needed and not an aim.

use std::collections::BTreeMap;

use crate::{
    Deployment, Phase, RolloutState, Task, Waiting, choose::Crowd, events, rebalance, rollout, round::Round,
    stages, task::Health,
};

/// The same advice is given again after this long.
const TELL_STUCK_AGAIN: std::time::Duration = std::time::Duration::from_secs(15 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Keep,
    Leave,
    Unhealthy,
}

/// What this planning is about.
struct Aim {
    /// Tasks per deployment; others are to have none.
    wanted: BTreeMap<String, u32>,
    desired: u32,
    minimum: u32,
    maximum: u32,
    /// Both revisions are held at full strength, each within the percentages by itself.
    apart: bool,
}

/// Tasks that can stand in for each other.
struct Pool {
    running: u32,
    healthy: u32,
    needed: u32,
    minimum: u32,
}

pub(crate) fn plan(round: &mut Round<'_>) {
    rebalance::consider(round);
    let aim = aim(round);
    stop_on_the_way_up(round, &aim);
    stop_unhealthy(round, &aim);
    scale_in(round, &aim);
    let leaving = select(round, &aim, Class::Leave);
    stop_leaving(round, &aim, leaving, u32::MAX, |pool, healthy| pool.healthy - healthy >= pool.needed);
    let mut missing = scale_out(round, &aim);
    if missing > 0 || (round.state.placement.is_some() && lacking(round, &aim) > 0) {
        make_room(round, &aim);
        missing = scale_out(round, &aim);
    }
    explain(round, &aim, missing);
    set_desired_counts(round, &aim);
}

fn aim(round: &Round<'_>) -> Aim {
    let bounds = round.bounds();
    let rollout = round.state.rollout.as_ref();
    let mut aim = Aim {
        wanted: BTreeMap::new(),
        desired: bounds.desired,
        minimum: bounds.minimum,
        maximum: bounds.maximum,
        apart: false,
    };
    let source = rollout::needed_source(round);
    let primary = round.primary_id();
    if is_failed(round) {
        // What a failed deployment has stays; what is missing comes from the revision before it.
        let kept = living_of(round, &primary).min(bounds.desired);
        aim.apart = !stages::shares_targets(rollout) && source.is_some();
        if let Some(source) = source {
            let rest = if aim.apart { bounds.desired } else { bounds.desired - kept };
            aim.wanted.insert(source.clone(), rest.max(living_of(round, &source)).min(bounds.desired));
        }
        aim.wanted.insert(primary, kept);
    } else if let Some(rollout) = rollout.filter(|rollout| stages::is_running_both(rollout)) {
        aim.apart = true;
        aim.wanted.insert(primary, if stages::is_scaled_up(rollout) { bounds.desired } else { 0 });
        if let Some(source) = source {
            aim.wanted.insert(source, bounds.desired);
        }
    } else {
        let moving = u32::from(round.state.rebalance.moving_since.is_some());
        aim.wanted.insert(primary, bounds.desired.saturating_add(moving));
    }
    if aim.apart {
        aim.maximum = aim.maximum.max(bounds.desired);
    }
    aim
}

fn is_failed(round: &Round<'_>) -> bool {
    round.state.primary().is_some_and(|primary| primary.rollout_state == RolloutState::Failed)
}

fn living_of(round: &Round<'_>, deployment: &str) -> u32 {
    count(round.tasks.iter().filter(|task| task.deployment == deployment && task.is_living()))
}

fn count(tasks: impl Iterator) -> u32 {
    u32::try_from(tasks.count()).unwrap_or(u32::MAX)
}

fn classify<'a>(round: &Round<'a>, aim: &Aim, task: &'a Task) -> Class {
    match (task.phase, round.health(task)) {
        (Phase::Running, Health::Bad { .. }) => Class::Unhealthy,
        _ if task.instance_draining => Class::Leave,
        _ if aim.wanted.get(&task.deployment).copied().unwrap_or(0) == 0 => Class::Leave,
        _ => Class::Keep,
    }
}

fn select<'a>(round: &Round<'a>, aim: &Aim, class: Class) -> Vec<&'a Task> {
    let tasks = round.tasks.iter().copied();
    tasks.filter(|task| round.remains(task) && classify(round, aim, task) == class).collect()
}

fn pool<'a>(round: &Round<'a>, aim: &Aim, of: &Task) -> Pool {
    let apart = aim.apart && aim.wanted.get(&of.deployment).copied().unwrap_or(0) > 0;
    let members = || {
        round
            .tasks
            .iter()
            .copied()
            .filter(|task| round.remains(task) && task.phase == Phase::Running)
            .filter(|task| !apart || task.deployment == of.deployment)
    };
    Pool {
        running: count(members()),
        healthy: count(members().filter(|task| round.is_healthy(task))),
        needed: aim.desired,
        minimum: aim.minimum,
    }
}

fn reason(round: &Round<'_>, task: &Task) -> String {
    match (task.phase, task.health(round.service.health_check_grace_period, round.now)) {
        (Phase::Running, Health::Bad { stop_reason, .. }) => stop_reason.to_owned(),
        _ => events::scaling_reason(&round.primary_id()),
    }
}

fn stop<'a>(round: &mut Round<'a>, task: &'a Task) -> bool {
    let reason = reason(round, task);
    round.stop(task, reason)
}

fn stop_on_the_way_up(round: &mut Round<'_>, aim: &Aim) {
    for task in select(round, aim, Class::Leave) {
        if task.phase == Phase::Pending && !spared(round, task) && !stop(round, task) {
            return;
        }
    }
}

/// Protected tasks are left alone, and looked at again when that ends.
fn spared(round: &mut Round<'_>, task: &Task) -> bool {
    let protected = task.is_protected(round.now);
    if protected && let Some(until) = task.protected_until {
        round.wake(until);
        match round.report.waiting.iter_mut().find_map(|waiting| match waiting {
            Waiting::Protection { tasks } => Some(tasks),
            _ => None,
        }) {
            Some(tasks) if tasks.contains(&task.id) => {}
            Some(tasks) => tasks.push(task.id.clone()),
            None => round.wait(Waiting::Protection { tasks: vec![task.id.clone()] }),
        }
    }
    protected
}

fn stop_unhealthy(round: &mut Round<'_>, aim: &Aim) {
    for task in select(round, aim, Class::Unhealthy) {
        let pool = pool(round, aim, task);
        if pool.running > pool.minimum && !stop(round, task) {
            return;
        }
    }
}

fn scale_in(round: &mut Round<'_>, aim: &Aim) {
    for (deployment, wanted) in &aim.wanted {
        let mut kept = select(round, aim, Class::Keep);
        kept.retain(|task| task.deployment == *deployment);
        let mut excess = kept.len().saturating_sub(*wanted as usize);
        if excess == 0 {
            continue;
        }
        kept.retain(|task| !spared(round, task));
        let mut crowd = Crowd::of(round);
        while excess > 0
            && let Some(task) = crowd.next(round, &kept)
        {
            kept.retain(|other| other.id != task.id);
            let pool = pool(round, aim, task);
            let lowers_healthy = round.is_healthy(task) && pool.healthy <= pool.minimum;
            if lowers_healthy || (task.phase == Phase::Running && pool.running <= pool.minimum) {
                round.wait(Waiting::Minimum { minimum: pool.minimum });
                break;
            }
            if !stop(round, task) {
                return;
            }
            crowd.leave(task);
            excess -= 1;
        }
    }
}

/// Stops up to `most` of `leaving` while `enough(pool, 1 if the task is in good health)` holds.
fn stop_leaving<'a>(
    round: &mut Round<'a>,
    aim: &Aim,
    mut leaving: Vec<&'a Task>,
    mut most: u32,
    enough: impl Fn(&Pool, u32) -> bool,
) {
    leaving.retain(|task| task.phase == Phase::Running && !spared(round, task));
    let mut crowd = Crowd::of(round);
    while most > 0
        && let Some(task) = crowd.next(round, &leaving)
    {
        leaving.retain(|other| other.id != task.id);
        let healthy = u32::from(round.is_healthy(task));
        if !enough(&pool(round, aim, task), healthy) {
            continue;
        }
        if !stop(round, task) {
            return;
        }
        crowd.leave(task);
        most -= 1;
    }
}

/// Starts what is missing where there is room and no pause; answers how many the maximum holds back.
fn scale_out(round: &mut Round<'_>, aim: &Aim) -> u32 {
    let zone = rebalance::zone_with_fewest(round);
    let mut held_back = 0;
    for (deployment, wanted) in &aim.wanted {
        let missing = missing(round, aim, deployment, *wanted);
        if missing == 0 || !may_start(round, deployment) {
            continue;
        }
        let room = room(round, aim, deployment);
        round.start(deployment, missing.min(room), None, zone.clone());
        held_back += missing - missing.min(room);
    }
    held_back
}

/// How many more tasks the maximum allows.
fn room(round: &Round<'_>, aim: &Aim, deployment: &str) -> u32 {
    let counts = |of: &str| !aim.apart || of == deployment;
    let living = count(round.tasks.iter().filter(|task| round.remains(task) && counts(&task.deployment)));
    let starts = round.plan.start.iter().filter(|start| counts(&start.deployment));
    let starting: u32 = starts.map(|start| start.count).sum();
    aim.maximum.saturating_sub(living.saturating_add(starting))
}

fn missing(round: &Round<'_>, aim: &Aim, deployment: &str, wanted: u32) -> u32 {
    let kept = select(round, aim, Class::Keep).into_iter().filter(|task| task.deployment == deployment);
    let starting: u32 =
        round.plan.start.iter().filter(|start| start.deployment == deployment).map(|start| start.count).sum();
    wanted.saturating_sub(count(kept)).saturating_sub(starting)
}

fn lacking(round: &Round<'_>, aim: &Aim) -> u32 {
    aim.wanted.iter().map(|(deployment, wanted)| missing(round, aim, deployment, *wanted)).sum()
}

/// Whether the deployment may start tasks now. The caller knows that it has to.
pub(crate) fn may_start(round: &mut Round<'_>, id: &str) -> bool {
    let Some(deployment) = round.deployment(id) else {
        return false;
    };
    let (failed, pause) = (deployment.rollout_state == RolloutState::Failed, deployment.start_back_off.until);
    if failed {
        round.wait(Waiting::Failed { deployment: id.to_owned() });
        return false;
    }
    may_start_after(round, id, pause)
}

pub(crate) fn may_start_after(round: &mut Round<'_>, id: &str, pause: Option<vocabulary::Timestamp>) -> bool {
    if let Some(until) = pause.filter(|until| round.now < *until) {
        round.wake(until);
        round.wait(Waiting::StartBackOff { deployment: id.to_owned(), until });
        return false;
    }
    let retry_at = round.state.placement.as_ref().map(|placement| placement.retry_at);
    if let Some(until) = retry_at.filter(|until| round.now < *until) {
        round.wake(until);
        round.wait(Waiting::Placement { until });
        return false;
    }
    true
}

fn make_room(round: &mut Round<'_>, aim: &Aim) {
    let lacking = lacking(round, aim);
    let leaving = select(round, aim, Class::Leave);
    stop_leaving(round, aim, leaving, lacking, |pool, healthy| {
        pool.running > pool.minimum && (healthy == 0 || pool.healthy > pool.minimum)
    });
    // One unhealthy task at a time: the next when its replacement has shown what it is.
    let unsettled = select(round, aim, Class::Keep).into_iter().any(|task| !round.is_healthy(task));
    if unsettled || !round.plan.start.is_empty() || !round.plan.stop.is_empty() {
        return;
    }
    let mut unhealthy = select(round, aim, Class::Unhealthy);
    unhealthy.retain(|task| {
        let wanted = aim.wanted.get(&task.deployment).copied().unwrap_or(0);
        !aim.apart
            || missing(round, aim, &task.deployment, wanted) > 0 && room(round, aim, &task.deployment) == 0
    });
    if let Some(task) = Crowd::of(round).next(round, &unhealthy) {
        stop(round, task);
    }
}

fn explain(round: &mut Round<'_>, aim: &Aim, held_back: u32) {
    let leaving = select(round, aim, Class::Leave);
    if !leaving.is_empty() {
        round.wait(Waiting::Minimum { minimum: aim.minimum });
    }
    if held_back == 0 {
        return;
    }
    round.wait(Waiting::Maximum { maximum: aim.maximum });
    let settled = round.tasks.iter().copied().all(|task| match task.phase {
        Phase::Pending | Phase::Stopping => false,
        Phase::Running => {
            !matches!(round.health(task), Health::Unknown { .. }) && !task.is_protected(round.now)
        }
        Phase::Stopped => true,
    });
    if !settled || !round.plan.stop.is_empty() || !round.plan.start.is_empty() {
        return;
    }
    let told = round.state.stuck_told_at;
    if told.and_then(|told| round.until(told, TELL_STUCK_AGAIN)).is_none() {
        round.report.events.push(events::stuck_by_configuration(&round.service.name));
        round.state.stuck_told_at = Some(round.now);
    }
}

/// What DescribeServices shows: what a deployment is to have, or what is left of it.
fn set_desired_counts(round: &mut Round<'_>, aim: &Aim) {
    let mut left: BTreeMap<&str, u32> = BTreeMap::new();
    for task in round.tasks.iter().filter(|task| round.remains(task)) {
        *left.entry(&task.deployment).or_default() += 1;
    }
    let desired = |deployment: &Deployment| {
        let wanted = aim.wanted.get(&deployment.id).map(|wanted| (*wanted).min(aim.desired));
        wanted.or_else(|| left.get(deployment.id.as_str()).copied()).unwrap_or(0)
    };
    for deployment in &mut round.state.deployments {
        deployment.desired_count = desired(deployment);
    }
}
