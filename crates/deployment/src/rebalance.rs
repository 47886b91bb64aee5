//! Moves tasks of a steady service to zones that have too few: one more is started, and when all are in good health one
//! goes from the zone with the most. It needs a maximum above the desired count.
//!
//! Zones are out of balance when two differ by more than one task. A move after which the tasks are spread no more evenly (the place
//! was not to be had) is followed by a pause that doubles up to an hour.

use std::{collections::BTreeMap, time::Duration};

use crate::{Phase, RolloutState, events, round::Round};

/// A move that has not led to a task in good health by then is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10 * 60);
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Begins a move, ends one, or leaves all as it is.
pub(crate) fn consider(round: &mut Round<'_>) {
    if !is_quiet(round) {
        round.state.rebalance.moving_since = None;
        return;
    }
    let zones = zones(round);
    let (desired, maximum) = (round.desired(), round.bounds().maximum);
    let settled = round.tasks.iter().copied().all(|task| match task.phase {
        Phase::Stopped => true,
        _ => round.is_healthy(task) && !task.instance_draining,
    });
    let living: u32 = zones.values().sum();
    let moving = round.state.rebalance.moving_since;
    let given_up = moving.is_some_and(|since| round.until(since, GIVE_UP_AFTER).is_none());
    match moving {
        Some(_) if settled && living > desired => end_move(round, zones),
        Some(_) if given_up => fruitless(round),
        Some(_) => {}
        None if !settled || living != desired => {}
        None if spread(&zones) >= 2 && maximum > desired => begin_move(round, &zones),
        None if spread(&zones) < 2 && std::mem::take(&mut round.state.rebalance.told) => {
            round.report.events.push(events::balanced(&round.service.name, &zones));
        }
        None => {}
    }
}

fn is_quiet(round: &Round<'_>) -> bool {
    round.service.zone_rebalancing
        && round.service.zones.len() > 1
        && round.state.deployments.len() == 1
        && round.state.primary().is_some_and(|primary| primary.rollout_state == RolloutState::Completed)
}

fn begin_move(round: &mut Round<'_>, zones: &BTreeMap<String, u32>) {
    if let Some(not_before) = round.state.rebalance.not_before
        && round.now < not_before
    {
        round.wake(not_before);
        return;
    }
    let now = round.now;
    let rebalance = &mut round.state.rebalance;
    rebalance.moving_since = Some(now);
    rebalance.unevenness = unevenness(zones);
    if !std::mem::replace(&mut rebalance.told, true) {
        round.report.events.push(events::out_of_balance(&round.service.name, zones));
    }
    round.until(now, GIVE_UP_AFTER);
}

/// The task in excess goes by the usual choice: from the zone with the most.
fn end_move(round: &mut Round<'_>, mut zones: BTreeMap<String, u32>) {
    if let Some(most) = zones.values_mut().max() {
        *most -= 1;
    }
    if unevenness(&zones) < round.state.rebalance.unevenness {
        round.state.rebalance.moving_since = None;
        round.state.rebalance.fruitless = 0;
        round.state.rebalance.not_before = None;
    } else {
        fruitless(round);
    }
}

fn fruitless(round: &mut Round<'_>) {
    let rebalance = &mut round.state.rebalance;
    let pause = FIRST_PAUSE.saturating_mul(1 << rebalance.fruitless.min(8)).min(LONGEST_PAUSE);
    rebalance.fruitless = rebalance.fruitless.saturating_add(1);
    rebalance.moving_since = None;
    rebalance.not_before = Some(round.now + pause);
}

/// Where a move goes.
pub(crate) fn zone_with_fewest(round: &Round<'_>) -> Option<String> {
    round.state.rebalance.moving_since?;
    zones(round).into_iter().min_by_key(|(_, count)| *count).map(|(zone, _)| zone)
}

/// Living tasks per zone, also of zones without any.
fn zones(round: &Round<'_>) -> BTreeMap<String, u32> {
    let mut zones: BTreeMap<String, u32> = round.service.zones.iter().map(|zone| (zone.clone(), 0)).collect();
    for zone in round.tasks.iter().filter(|task| round.remains(task)).filter_map(|task| task.zone.as_ref()) {
        *zones.entry(zone.clone()).or_default() += 1;
    }
    zones
}

fn spread(zones: &BTreeMap<String, u32>) -> u32 {
    zones.values().max().unwrap_or(&0) - zones.values().min().unwrap_or(&0)
}

/// Smaller is more even: the sum of squares.
fn unevenness(zones: &BTreeMap<String, u32>) -> u64 {
    zones.values().map(|count| u64::from(*count).pow(2)).sum()
}
