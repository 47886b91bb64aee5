//! The loop that evaluates alarms, on the one server of all that holds the office.
//!
//! Alarms with periods of a minute and more are evaluated once a minute, some seconds after it has begun, when what was measured in the minute
//! before has come in; those with shorter periods at every turn; those that were put since at once. Composite alarms are evaluated whenever
//! an alarm has changed. Every commit carries the proof that this server still holds the office.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use metrics::{alarm::State, composite::Rule};
use state_store::{Fence, Leadership, Notice, Record, StateError, View};
use tokio::time::MissedTickBehavior;
use vocabulary::{Scope, Timestamp};

use super::{Change, change, evaluate::verdict};
use crate::{
    convert::AwsJson,
    gateway::ApiError,
    services::{
        Services,
        cloudwatch::records::{Alarm, Watches, arn},
    },
};

/// The office of whoever evaluates.
const OFFICE: &str = "alarms";
/// How long the office stays with a leader that died.
const TENURE_SECONDS: i64 = 10;
/// Between two turns: the shortest period that an alarm can have.
const TURN: Duration = Duration::from_secs(10);
/// How long after a minute has begun the one before is evaluated.
pub(super) const SETTLED_SECONDS: i64 = 15;
/// Alarms that are evaluated at the same time.
const WORKERS: usize = 8;
/// Composite alarms may rest on each other this deep.
const DEEPEST: usize = 16;

/// Evaluates whenever this server is the leader, until the process ends.
///
/// # Errors
/// When the tables stop following the store.
pub async fn run(services: Arc<Services>, server: String) -> Result<(), StateError> {
    loop {
        let store = services.state.store().clone();
        let mut leadership = Leadership::campaign(store, OFFICE, &server, TENURE_SECONDS).await?;
        let fence = leadership.fence().clone();
        tokio::select! {
            outcome = lead(&services, &fence) => outcome?,
            () = leadership.lost() => {}
        }
        tracing::warn!("this server no longer evaluates alarms; it stands for election again");
    }
}

/// Works until a commit is refused because another leads.
async fn lead(services: &Arc<Services>, fence: &Fence) -> Result<(), StateError> {
    let mut changes = services.state.changes();
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut schedule = Schedule::default();
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            notice = changes.next() => match notice? {
                Notice::Changes(touched) => {
                    let alarm = |service, kind| service == Alarm::SERVICE && kind == Alarm::KIND;
                    if !touched.iter().any(|one| alarm(one.service, one.kind)) {
                        continue;
                    }
                }
                Notice::Resync => {}
            },
        }
        match turn(services, Some(fence), &mut schedule, services.now()).await {
            Ok(()) => {}
            Err(error) if is_deposed(&error) => return Ok(()),
            Err(error) => {
                tracing::error!(%error, cause = ?error.cause, "alarms could not be evaluated; it is tried again");
            }
        }
    }
}

fn is_deposed(error: &ApiError) -> bool {
    let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<StateError>());
    matches!(cause, Some(StateError::NotLeader))
}

/// When each alarm was evaluated last.
#[derive(Debug, Default)]
pub struct Schedule(HashMap<(Scope, String), Evaluated>);

#[derive(Debug, Clone, Copy)]
struct Evaluated {
    /// The time, in turns of its own.
    turn: i64,
    configured_at: Timestamp,
}

impl Schedule {
    /// Whether an alarm is due, which it then is not until its next turn.
    fn take(&mut self, scope: &Scope, alarm: &Alarm, now: Timestamp) -> bool {
        let Watches::Metric(AwsJson(given)) = &alarm.watches else { return false };
        let of_queries =
            given.metrics.iter().flatten().filter_map(|query| query.metric_stat.as_ref()?.period);
        let period = given.period.or_else(|| of_queries.max()).unwrap_or(60);
        let seconds = now.as_millis().div_euclid(1000);
        let turn = if period < 60 {
            seconds.div_euclid(i64::from(period.max(10)))
        } else {
            (seconds - SETTLED_SECONDS).div_euclid(60)
        };
        let this = Evaluated { turn, configured_at: alarm.configured_at };
        let before = self.0.insert((scope.clone(), alarm.name.clone()), this);
        before.is_none_or(|before| before.turn != turn || before.configured_at != alarm.configured_at)
    }
}

/// Evaluates what is due, then the composite alarms.
///
/// # Errors
/// Those of the state store.
pub async fn turn(
    services: &Arc<Services>,
    fence: Option<&Fence>,
    schedule: &mut Schedule,
    now: Timestamp,
) -> Result<(), ApiError> {
    let view = services.state.view();
    let mut known = HashSet::new();
    let mut due = Vec::new();
    for found in view.scan_all::<Alarm>() {
        if schedule.take(&found.scope, &found.value, now) {
            due.push((found.scope.clone(), Arc::clone(&found.value)));
        }
        known.insert((found.scope, found.value.name.clone()));
    }
    drop(view);
    schedule.0.retain(|alarm, _| known.contains(alarm));
    let mut outcomes = stream::iter(due)
        .map(|(scope, alarm)| async move {
            match verdict(services, &scope, &alarm, now).await {
                Ok(Some(change)) => apply(services, fence, &scope, &alarm, change, now).await,
                Ok(None) => Ok(()),
                Err(error) => {
                    tracing::warn!(alarm = alarm.name, %error, "an alarm could not be evaluated");
                    Ok(())
                }
            }
        })
        .buffer_unordered(WORKERS);
    while let Some(outcome) = outcomes.next().await {
        outcome?;
    }
    composites(services, fence, now).await
}

/// Changes the state of an alarm, unless it was put anew or has changed meanwhile.
async fn apply(
    services: &Services,
    fence: Option<&Fence>,
    scope: &Scope,
    seen: &Alarm,
    to: Change,
    now: Timestamp,
) -> Result<(), ApiError> {
    services
        .state
        .transact(|tx| {
            if let Some(fence) = fence {
                tx.fence(fence);
            }
            let there = tx.get::<Alarm>(scope, &seen.name).filter(|there| {
                there.state == seen.state
                    && there.configured_at == seen.configured_at
                    && there.state_updated_at == seen.state_updated_at
            });
            if let Some(there) = there {
                change(tx, scope, &there, to.clone(), now);
            }
            Ok::<_, ApiError>(())
        })
        .await
}

/// Evaluates composite alarms until none of them changes any more.
async fn composites(services: &Services, fence: Option<&Fence>, now: Timestamp) -> Result<(), ApiError> {
    for _ in 0..DEEPEST {
        let changed = changed_composites(&services.state.view());
        if changed.is_empty() {
            return Ok(());
        }
        for (scope, alarm, to) in changed {
            apply(services, fence, &scope, &alarm, to, now).await?;
        }
    }
    tracing::warn!(
        "composite alarms rest on each other in a circle; they are evaluated again with the next change"
    );
    Ok(())
}

fn changed_composites(view: &View) -> Vec<(Scope, Arc<Alarm>, Change)> {
    let mut changed = Vec::new();
    for found in view.scan_all::<Alarm>() {
        let Watches::Composite(AwsJson(given)) = &found.value.watches else { continue };
        let Some(Ok(rule)) = given.alarm_rule.as_deref().map(str::parse::<Rule>) else { continue };
        let scope = &found.scope;
        let state = |name: &str| state_of(view, scope, name);
        let is = if rule.holds(&state) { State::Alarm } else { State::Ok };
        if is != found.value.state {
            let reason = reason(scope, &rule, &state, is);
            changed.push((
                scope.clone(),
                Arc::clone(&found.value),
                Change { state: is, reason, reason_data: None },
            ));
        }
    }
    changed
}

/// How the alarm with a name or ARN stands.
fn state_of(view: &View, scope: &Scope, name: &str) -> Option<State> {
    let prefix = arn(scope, "");
    let name = name.strip_prefix(&prefix).unwrap_or(name);
    view.get::<Alarm>(scope, name).map(|alarm| alarm.state)
}

fn reason(scope: &Scope, rule: &Rule, state: &dyn Fn(&str) -> Option<State>, is: State) -> String {
    let told: Vec<String> = rule
        .children()
        .into_iter()
        .map(|name| {
            let state = state(name).map_or("absent", State::as_str);
            let arn = if name.starts_with("arn:") { name.to_owned() } else { arn(scope, name) };
            format!("{arn} is {state}")
        })
        .collect();
    let text = format!("{} by its rule: {}", is.as_str(), told.join(", "));
    text.chars().take(1023).collect()
}
