//! How a rollout goes: it begins, is watched by circuit breaker and alarms, is stopped or taken back, completes.
//!
//! Taking back makes the last completed deployment PRIMARY again, with the tasks it still has; when it is gone, a new deployment of
//! its revision is made. While that is under way there is nothing further to go back to: a rollback that fails stays FAILED.

use std::time::Duration;

use vocabulary::Timestamp;

use crate::{
    DeploymentStatus, Monitor, Phase, RolloutState, RolloutStatus, Source, SourceCleanup, Stage, Strategy,
    Waiting, circuit_breaker_threshold, events, limits::percent_up, round::Round, stages,
};

/// The steady state is told again after this long.
const TELL_STEADY_AGAIN: Duration = Duration::from_secs(6 * 3600);

/// PENDING becomes IN_PROGRESS; alarms that ring already are not this rollout's doing. Source: the guide on alarms.
pub(crate) fn begin(round: &mut Round<'_>) {
    let alarms = &round.service.configuration.alarms;
    let ringing: Vec<String> =
        alarms.names.iter().filter(|name| round.service.alarms_in_alarm.contains(name)).cloned().collect();
    let now = round.now;
    if let Some(rollout) = &mut round.state.rollout
        && rollout.status == RolloutStatus::Pending
    {
        rollout.status = RolloutStatus::InProgress;
        rollout.started_at = Some(now);
        rollout.updated_at = now;
        rollout.ignored_alarms = Some(ringing);
    }
}

/// Circuit breaker and alarms.
pub(crate) fn watch(round: &mut Round<'_>) {
    let configuration = &round.service.configuration;
    let breaker = &configuration.circuit_breaker;
    let threshold = circuit_breaker_threshold(breaker.threshold, round.desired());
    let failures = round
        .state
        .primary()
        .filter(|primary| primary.rollout_state == RolloutState::InProgress)
        .map(|primary| primary.failed_tasks);
    let Some(rollout) = &mut round.state.rollout else {
        return;
    };
    if rollout.status.is_over() {
        return;
    }
    let taken_back = rollout.rollback.is_some();
    // Nothing is left to go back to once the old revision is being removed.
    let watched = rollout.stage != Some(Stage::CleanUp);
    let state = |enabled: bool| match (enabled, watched) {
        (false, _) => Monitor::Disabled,
        (true, true) => Monitor::Monitoring,
        (true, false) => Monitor::MonitoringComplete,
    };
    if !taken_back {
        rollout.circuit_breaker = state(breaker.enable);
        rollout.alarms = state(configuration.alarms.enable);
        rollout.threshold = threshold;
        rollout.failure_count = failures.unwrap_or(rollout.failure_count);
    }
    if !watched {
        return;
    }
    if breaker.enable && failures.is_some_and(|failures| failures >= threshold) {
        if !taken_back {
            rollout.circuit_breaker = Monitor::Triggered;
        }
        fail(round, "tasks failed to start", "ECS deployment circuit breaker", breaker.rollback);
        return;
    }
    let ignored = rollout.ignored_alarms.clone().unwrap_or_default();
    let ringing: Vec<String> = configuration
        .alarms
        .names
        .iter()
        .filter(|name| configuration.alarms.enable && round.service.alarms_in_alarm.contains(name))
        .filter(|name| !ignored.contains(name))
        .cloned()
        .collect();
    if !ringing.is_empty() && !taken_back {
        rollout.alarms = Monitor::Triggered;
        rollout.triggered_alarms = ringing;
        fail(round, "alarm detected", "ECS deployment alarms", configuration.alarms.rollback);
    }
}

/// What StopServiceDeployment asked for.
pub(crate) fn obey(round: &mut Round<'_>) {
    let Some(rollout) = &mut round.state.rollout else {
        return;
    };
    let now = round.now;
    match rollout.status {
        RolloutStatus::StopRequested => {
            rollout.status_reason = Some("The service deployment was stopped by a user request.".to_owned());
            end(round, RolloutStatus::Stopped);
            if let Some(primary) = round.primary() {
                primary.rollout_state = RolloutState::Failed;
                primary.rollout_state_reason =
                    format!("ECS deployment {} stopped by a user request.", primary.id);
                primary.updated_at = now;
            }
        }
        RolloutStatus::RollbackRequested => {
            if let Some(primary) = round.primary() {
                primary.rollout_state = RolloutState::Failed;
                primary.rollout_state_reason =
                    format!("ECS deployment {} rolled back by a user request.", primary.id);
                primary.updated_at = now;
            }
            if let Some(to) = round.state.last_completed.take() {
                go_back(
                    round,
                    "Service deployment rolled back by a user request.".to_owned(),
                    "ECS deployment",
                    to,
                );
            } else {
                end(round, RolloutStatus::RollbackFailed);
            }
        }
        _ => {}
    }
}

/// The primary deployment FAILED `because`, as `who` found; it is taken back when that was asked for and is possible.
pub(crate) fn fail(round: &mut Round<'_>, because: &str, who: &str, roll_back: bool) {
    let now = round.now;
    let Some(primary) = round.primary() else {
        return;
    };
    primary.rollout_state = RolloutState::Failed;
    primary.rollout_state_reason = format!("{who}: {because}.");
    primary.updated_at = now;
    let failed = primary.source();
    let event = events::deployment_failed(&round.service.name, &failed.deployment, because);
    round.report.events.push(event);
    let taken_back = round.state.rollout.as_ref().is_some_and(|rollout| rollout.rollback.is_some());
    let to = round.state.last_completed.clone().filter(|to| roll_back && to.deployment != failed.deployment);
    match to {
        Some(to) if !taken_back => {
            round.state.last_completed = None;
            go_back(round, format!("{who}: {because}."), who, to);
        }
        _ => {
            if let Some(rollout) = &mut round.state.rollout {
                rollout.status_reason = Some(format!("{who}: {because}."));
                rollout.stopped_at = rollout.stopped_at.or(Some(now));
            }
            let status = if taken_back { RolloutStatus::RollbackFailed } else { RolloutStatus::Stopped };
            end(round, status);
        }
    }
}

fn go_back(round: &mut Round<'_>, reason: String, who: &str, mut to: Source) {
    let now = round.now;
    // Traffic that was shifted goes back to who had it, when the completed deployment has no task any more.
    let source = round.state.rollout.as_ref().filter(|rollout| rollout.strategy != Strategy::Rolling);
    let source = source.and_then(|rollout| rollout.sources.first()).cloned();
    if let Some(source) = source
        && round.deployment(&to.deployment).is_none()
        && round.deployment(&source.deployment).is_some()
    {
        to = source;
    }
    for deployment in &mut round.state.deployments {
        deployment.status = DeploymentStatus::Active;
        let keeps = deployment.id == to.deployment || stages::shares_targets(round.state.rollout.as_ref());
        deployment.production_weight = if keeps { 100.0 } else { 0.0 };
        deployment.test_weight = deployment.production_weight;
    }
    let to = if round.deployment(&to.deployment).is_some() {
        to
    } else {
        // Its tasks are gone: its revision is deployed anew, within this rollout.
        let (rollout, completed) = (round.state.rollout.take(), round.state.last_completed.take());
        let (id, _) = round.state.deploy(&to.revision, Strategy::Rolling, now, round.ids);
        round.state.rollout = rollout;
        round.state.last_completed = completed;
        Source { deployment: id, revision: to.revision }
    };
    if let Some(primary) = round.deployment(&to.deployment) {
        primary.status = DeploymentStatus::Primary;
        primary.rollout_state = RolloutState::InProgress;
        primary.rollout_state_reason = format!("{who}: rolling back to deploymentId {}.", to.deployment);
        primary.updated_at = now;
        primary.failed_tasks = 0;
        primary.start_back_off = crate::StartBackOff::default();
        primary.production_weight = 100.0;
        primary.test_weight = 100.0;
    }
    round.report.events.push(events::rolling_back(&round.service.name, &to.deployment));
    if let Some(rollout) = &mut round.state.rollout {
        rollout.settle_monitors();
        rollout.roll_back(reason, to, now);
    }
    round.state.placement = None;
}

fn end(round: &mut Round<'_>, status: RolloutStatus) {
    let now = round.now;
    if let Some(rollout) = &mut round.state.rollout {
        rollout.status = status;
        rollout.finished_at = Some(now);
        rollout.updated_at = now;
        if status == RolloutStatus::Stopped {
            rollout.stopped_at = rollout.stopped_at.or(Some(now));
        }
        rollout.settle_monitors();
        round.plan.finished.push(rollout.clone());
    }
}

/// The service is gone; what was under way ends with it.
pub(crate) fn end_with_service(round: &mut Round<'_>) {
    if let Some(rollout) = &mut round.state.rollout
        && !rollout.status.is_over()
    {
        rollout.status_reason = Some("The service was deleted.".to_owned());
        end(round, RolloutStatus::Stopped);
    }
}

/// Deployments without tasks are over, except the primary and one that may still be needed.
pub(crate) fn forget_drained(round: &mut Round<'_>) {
    let needed = needed_source(round);
    let tasks = &round.tasks;
    let over = round.state.deployments.extract_if(.., |deployment| {
        deployment.status != DeploymentStatus::Primary
            && needed.as_deref() != Some(deployment.id.as_str())
            && !tasks.iter().any(|task| task.deployment == deployment.id && task.phase != Phase::Stopped)
    });
    let now = round.now;
    round.plan.inactive.extend(over.map(|mut deployment| {
        deployment.desired_count = 0;
        deployment.updated_at = now;
        deployment
    }));
}

/// The old revision beside the primary that is kept running: through a staged rollout until it is cleaned up, and behind a
/// deployment that FAILED.
pub(crate) fn needed_source(round: &Round<'_>) -> Option<String> {
    let rollout = round.state.rollout.as_ref()?;
    let failed = round.state.primary().is_some_and(|primary| primary.rollout_state == RolloutState::Failed);
    if !failed && !stages::is_running_both(rollout) {
        return None;
    }
    let source = rollout.sources.first()?;
    let primary = round.primary_id();
    round
        .state
        .deployments
        .iter()
        .find(|known| known.id == source.deployment && known.id != primary)
        .map(|known| known.id.clone())
}

/// Everything is there: the deployment is COMPLETED, and with it its rollout.
pub(crate) fn complete(round: &mut Round<'_>) {
    let Some(primary) = round.state.primary().filter(|it| it.rollout_state == RolloutState::InProgress)
    else {
        return;
    };
    let (id, source) = (primary.id.clone(), primary.source());
    let rollout = round.state.rollout.clone().filter(|rollout| !rollout.status.is_over());
    let taken_back = rollout.as_ref().is_some_and(|rollout| rollout.rollback.is_some());
    if rollout.as_ref().is_some_and(|rollout| rollout.stage.is_some_and(|stage| stage != Stage::CleanUp)) {
        return;
    }
    let rolling = rollout.as_ref().is_some_and(|rollout| rollout.stage.is_none());
    let early = round.service.configuration.early_success.filter(|_| rolling && !taken_back);
    if !is_there(round, &id, early) || !bake(round, rolling && !taken_back) {
        return;
    }
    let now = round.now;
    if let Some(primary) = round.primary() {
        primary.rollout_state = RolloutState::Completed;
        primary.rollout_state_reason = format!("ECS deployment {id} completed.");
        primary.updated_at = now;
    }
    round.state.last_completed = Some(source);
    round.report.events.push(events::deployment_completed(&round.service.name, &id));
    if rollout.is_some() {
        end(round, if taken_back { RolloutStatus::RollbackSuccessful } else { RolloutStatus::Successful });
    }
}

fn is_there(round: &Round<'_>, primary: &str, early: Option<crate::EarlySuccess>) -> bool {
    let desired = round.desired();
    let wanted = early.map_or(desired, |early| percent_up(desired, early.healthy_percent));
    let healthy = round
        .tasks
        .iter()
        .filter(|task| task.deployment == primary && round.remains(task) && !task.instance_draining)
        .filter(|task| round.is_healthy(task))
        .count();
    let deferred = early.is_some_and(|early| early.source_cleanup == SourceCleanup::Deferred);
    let others_gone =
        deferred || round.tasks.iter().all(|task| task.deployment == primary || task.phase == Phase::Stopped);
    healthy >= wanted as usize && others_gone && (early.is_some() || round.plan.start.is_empty())
}

/// Whether the alarms were watched for as long as asked. Of the strategies in stages only ROLLING does it here.
fn bake(round: &mut Round<'_>, rolling: bool) -> bool {
    let configuration = &round.service.configuration;
    if !rolling || !configuration.alarms.enable || configuration.bake_time.is_zero() {
        return true;
    }
    let now = round.now;
    let since = match &mut round.state.rollout {
        Some(rollout) => *rollout.baking_since.get_or_insert(now),
        None => return true,
    };
    match round.until(since, configuration.bake_time) {
        Some(until) => {
            round.wait(Waiting::Bake { until });
            false
        }
        None => true,
    }
}

/// The steady state is told once when it is reached, and again every six hours while it lasts.
pub(crate) fn tell_steady(round: &mut Round<'_>) {
    let desired = round.desired() as usize;
    let done = round.state.deployments.len() == 1
        && round.state.primary().is_some_and(|primary| primary.rollout_state == RolloutState::Completed)
        && round.state.rebalance.moving_since.is_none();
    let there: Vec<_> = round.tasks.iter().filter(|task| task.phase != Phase::Stopped).copied().collect();
    let steady = done
        && round.plan.start.is_empty()
        && round.plan.stop.is_empty()
        && there.len() == desired
        && there.iter().all(|task| round.is_healthy(task) && !task.instance_draining);
    if !steady {
        round.state.steady_told_at = None;
        return;
    }
    let due: Option<Timestamp> =
        round.state.steady_told_at.and_then(|told| round.until(told, TELL_STEADY_AGAIN));
    if due.is_none() {
        round.report.events.push(events::steady_state(&round.service.name));
        round.state.steady_told_at = Some(round.now);
        round.until(round.now, TELL_STEADY_AGAIN);
    }
}
