//! The stages of BLUE_GREEN, LINEAR and CANARY: both revisions run at full strength while traffic goes over by weights.
//!
//! ```text
//! RECONCILE_SERVICE ► PRE_SCALE_UP ► SCALE_UP ► POST_SCALE_UP ► TEST_TRAFFIC_SHIFT ► POST_TEST_TRAFFIC_SHIFT
//!   ► PRODUCTION_TRAFFIC_SHIFT (once per step, each with its hooks and its wait) ► POST_PRODUCTION_TRAFFIC_SHIFT
//!   ► BAKE_TIME ► CLEAN_UP
//! ```
//!
//! A stage is left when its own work is done and its hooks have succeeded. A step's wait begins with the shift of its weight; a plan that
//! comes late makes one step, not those it missed. A service's first deployment has nobody to take traffic from: it
//! gets all of it at once and does not bake. A rollout that fails or is taken back leaves the stages, all traffic goes back at once.

use std::time::Duration;

use crate::{
    HookStage, Rollout, RolloutStatus, Stage, Strategy, Waiting,
    hooks::{self, Hooks},
    rollout,
    round::Round,
};

/// Whether both revisions are to run at full strength.
pub(crate) fn is_running_both(rollout: &Rollout) -> bool {
    rollout.status == RolloutStatus::InProgress && rollout.stage.is_some_and(|stage| stage < Stage::CleanUp)
}

/// Whether the target is to have tasks.
pub(crate) fn is_scaled_up(rollout: &Rollout) -> bool {
    rollout.stage.is_none_or(|stage| stage >= Stage::ScaleUp)
}

/// Whether all deployments are behind the same target groups.
pub(crate) fn shares_targets(rollout: Option<&Rollout>) -> bool {
    rollout.is_none_or(|rollout| rollout.strategy == Strategy::Rolling)
}

/// Goes on as far as it can now. Ends: each turn of the loop goes a stage or a step further, or waits.
pub(crate) fn advance(round: &mut Round<'_>) {
    while let Some(rollout) = &round.state.rollout {
        let Some(stage) = rollout.stage.filter(|_| rollout.status == RolloutStatus::InProgress) else {
            return;
        };
        let ready = match stage {
            Stage::ReconcileService => hooked(round, HookStage::ReconcileService, 0),
            Stage::PreScaleUp => hooked(round, HookStage::PreScaleUp, 0),
            Stage::ScaleUp => scaled_up(round),
            Stage::PostScaleUp => hooked(round, HookStage::PostScaleUp, 0),
            Stage::TestTrafficShift => {
                shift_test(round);
                hooked(round, HookStage::TestTrafficShift, 0)
            }
            Stage::PostTestTrafficShift => hooked(round, HookStage::PostTestTrafficShift, 0),
            Stage::ProductionTrafficShift => shift_production(round),
            Stage::PostProductionTrafficShift => hooked(round, HookStage::PostProductionTrafficShift, 0),
            Stage::BakeTime => baked(round),
            Stage::CleanUp => return,
        };
        if !ready {
            return;
        }
        if let Some(rollout) = &mut round.state.rollout {
            rollout.stage = Some(next(stage));
            rollout.stage_since = Some(round.now);
            rollout.updated_at = round.now;
        }
    }
}

fn next(stage: Stage) -> Stage {
    match stage {
        Stage::ReconcileService => Stage::PreScaleUp,
        Stage::PreScaleUp => Stage::ScaleUp,
        Stage::ScaleUp => Stage::PostScaleUp,
        Stage::PostScaleUp => Stage::TestTrafficShift,
        Stage::TestTrafficShift => Stage::PostTestTrafficShift,
        Stage::PostTestTrafficShift => Stage::ProductionTrafficShift,
        Stage::ProductionTrafficShift => Stage::PostProductionTrafficShift,
        Stage::PostProductionTrafficShift => Stage::BakeTime,
        Stage::BakeTime | Stage::CleanUp => Stage::CleanUp,
    }
}

fn scaled_up(round: &Round<'_>) -> bool {
    let primary = round.primary_id();
    let healthy = round
        .tasks
        .iter()
        .filter(|task| task.deployment == primary && !task.instance_draining && round.is_healthy(task))
        .count();
    healthy >= round.desired() as usize
}

fn has_source(round: &Round<'_>) -> bool {
    round.state.rollout.as_ref().is_some_and(|rollout| !rollout.sources.is_empty())
}

fn shift_test(round: &mut Round<'_>) {
    let primary = round.primary_id();
    for deployment in &mut round.state.deployments {
        deployment.test_weight = if deployment.id == primary { 100.0 } else { 0.0 };
    }
}

/// Makes the steps that are due. True when all traffic has gone over and the last step's hooks are through.
fn shift_production(round: &mut Round<'_>) -> bool {
    if !has_source(round) {
        return hooked(round, HookStage::PreProductionTrafficShift, 1)
            && hooked(round, HookStage::ProductionTrafficShift, 1);
    }
    loop {
        let Some(rollout) = round.state.rollout.clone() else {
            return false;
        };
        let (step, shifted) = (rollout.steps, weight_after(rollout.strategy, rollout.steps));
        if step > 0 {
            if !hooked(round, HookStage::ProductionTrafficShift, step) {
                return false;
            }
            if shifted >= 100.0 {
                return true;
            }
            let since = rollout.stage_since.unwrap_or(round.now);
            if let Some(until) = round.until(since, step_wait(rollout.strategy)) {
                round.wait(Waiting::Bake { until });
                return false;
            }
        }
        if !hooked(round, HookStage::PreProductionTrafficShift, step + 1) {
            return false;
        }
        set_production(round, step + 1, weight_after(rollout.strategy, step + 1));
    }
}

fn set_production(round: &mut Round<'_>, step: u32, percent: f64) {
    // Sums and differences leave digits behind that mean nothing, and that a record is not read back with.
    let plain = |percent: f64| (percent * 1000.0).round() / 1000.0;
    let primary = round.primary_id();
    let source = round.state.rollout.as_ref().and_then(|rollout| rollout.sources.first()).cloned();
    for deployment in &mut round.state.deployments {
        deployment.production_weight = match () {
            () if deployment.id == primary => plain(percent),
            () if source.as_ref().is_some_and(|source| source.deployment == deployment.id) => {
                plain(100.0 - percent)
            }
            () => 0.0,
        };
    }
    if let Some(rollout) = &mut round.state.rollout {
        rollout.steps = step;
        rollout.stage_since = Some(round.now);
        rollout.updated_at = round.now;
    }
}

/// Percent of the production traffic that the target has after so many steps.
fn weight_after(strategy: Strategy, steps: u32) -> f64 {
    match (strategy, steps) {
        (_, 0) => 0.0,
        (Strategy::Linear(linear), steps) => (linear.step_percent.max(1.0) * f64::from(steps)).min(100.0),
        (Strategy::Canary(canary), 1) => canary.percent.min(100.0),
        (Strategy::Canary(_) | Strategy::BlueGreen | Strategy::Rolling, _) => 100.0,
    }
}

fn step_wait(strategy: Strategy) -> Duration {
    match strategy {
        Strategy::Linear(linear) => linear.step_bake_time,
        Strategy::Canary(canary) => canary.bake_time,
        Strategy::BlueGreen | Strategy::Rolling => Duration::ZERO,
    }
}

fn baked(round: &mut Round<'_>) -> bool {
    if !has_source(round) {
        return true;
    }
    let since = round.state.rollout.as_ref().and_then(|rollout| rollout.stage_since).unwrap_or(round.now);
    match round.until(since, round.service.configuration.bake_time) {
        Some(until) => {
            round.wait(Waiting::Bake { until });
            false
        }
        None => true,
    }
}

/// Whether the stage's hooks have succeeded. One that failed fails the rollout.
fn hooked(round: &mut Round<'_>, stage: HookStage, step: u32) -> bool {
    match hooks::run(round, stage, step) {
        Hooks::Done => true,
        Hooks::Waiting => false,
        Hooks::Failed => {
            rollout::fail(round, "lifecycle hook failed", "ECS deployment lifecycle hook", true);
            false
        }
    }
}
