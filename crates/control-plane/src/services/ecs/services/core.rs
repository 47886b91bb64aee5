//! From the API's words to the deployment core's, for what has passed the checks.

use std::time::Duration;

use aws_shapes_ecs as ecs;
use deployment::{
    Alarms, Canary, CircuitBreaker, Configuration, EarlySuccess, Hook, HookAction, HookStage, HookTarget,
    Linear, SourceCleanup, Strategy, Threshold,
};

/// A pause that nobody answers is given up after this, unless the hook says otherwise. Source: the guide.
const HOOK_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// The deployment configuration. `daemon`: percentages default to 0 and 100.
pub fn configuration(given: &ecs::DeploymentConfiguration, daemon: bool) -> Configuration {
    let percent =
        |given: Option<i32>, default: u32| given.map_or(default, |value| value.max(0).unsigned_abs());
    Configuration {
        minimum_healthy_percent: percent(given.minimum_healthy_percent, if daemon { 0 } else { 100 }),
        maximum_percent: percent(given.maximum_percent, if daemon { 100 } else { 200 }),
        circuit_breaker: given.deployment_circuit_breaker.as_ref().map(circuit_breaker).unwrap_or_default(),
        alarms: given.alarms.as_ref().map(alarms).unwrap_or_default(),
        strategy: strategy(given),
        bake_time: minutes(given.bake_time_in_minutes),
        hooks: given.lifecycle_hooks.iter().flatten().map(hook).collect(),
        early_success: given.early_success_criteria.as_ref().and_then(early_success),
    }
}

fn minutes(given: Option<i32>) -> Duration {
    Duration::from_secs(60 * u64::from(given.unwrap_or(0).max(0).unsigned_abs()))
}

fn circuit_breaker(given: &ecs::DeploymentCircuitBreaker) -> CircuitBreaker {
    let defaults = CircuitBreaker::default();
    let threshold = given.threshold_configuration.as_ref().and_then(|given| {
        let value = given.value?.max(0).unsigned_abs();
        match given.r#type? {
            ecs::ThresholdType::Count => Some(Threshold::Count(value)),
            ecs::ThresholdType::BoundedPercent => Some(Threshold::BoundedPercent(value)),
            ecs::ThresholdType::UnboundedPercent => Some(Threshold::UnboundedPercent(value)),
        }
    });
    CircuitBreaker {
        enable: given.enable == Some(true),
        rollback: given.rollback == Some(true),
        threshold: threshold.unwrap_or(defaults.threshold),
        reset_on_healthy_task: given.reset_on_healthy_task.unwrap_or(defaults.reset_on_healthy_task),
    }
}

fn alarms(given: &ecs::DeploymentAlarms) -> Alarms {
    Alarms {
        enable: given.enable == Some(true),
        rollback: given.rollback == Some(true),
        names: given.alarm_names.clone().unwrap_or_default(),
    }
}

pub fn strategy(given: &ecs::DeploymentConfiguration) -> Strategy {
    match given.strategy {
        None | Some(ecs::DeploymentStrategy::Rolling) => Strategy::Rolling,
        Some(ecs::DeploymentStrategy::BlueGreen) => Strategy::BlueGreen,
        Some(ecs::DeploymentStrategy::Linear) => {
            let defaults = Linear::default();
            Strategy::Linear(given.linear_configuration.as_ref().map_or(defaults, |given| {
                Linear {
                    step_percent: given.step_percent.unwrap_or(defaults.step_percent),
                    step_bake_time: given
                        .step_bake_time_in_minutes
                        .map_or(defaults.step_bake_time, |given| minutes(Some(given))),
                }
            }))
        }
        Some(ecs::DeploymentStrategy::Canary) => {
            let defaults = Canary::default();
            Strategy::Canary(
                given.canary_configuration.as_ref().map_or(defaults, |given| Canary {
                    percent: given.canary_percent.unwrap_or(defaults.percent),
                    bake_time: given
                        .canary_bake_time_in_minutes
                        .map_or(defaults.bake_time, |given| minutes(Some(given))),
                }),
            )
        }
    }
}

fn hook(given: &ecs::DeploymentLifecycleHook) -> Hook {
    let timeout = given.timeout_configuration.as_ref();
    let target = match given.target_type {
        Some(ecs::DeploymentLifecycleHookTargetType::Pause) => HookTarget::Pause,
        _ => HookTarget::Lambda(given.hook_target_arn.clone().unwrap_or_default()),
    };
    Hook {
        target,
        stages: given.lifecycle_stages.iter().flatten().map(hook_stage).collect(),
        timeout: timeout
            .and_then(|timeout| timeout.timeout_in_minutes)
            .map_or(HOOK_TIMEOUT, |given| minutes(Some(given))),
        timeout_action: timeout.and_then(|timeout| timeout.action).map_or(HookAction::Rollback, hook_action),
    }
}

pub fn hook_action(given: ecs::DeploymentLifecycleHookAction) -> HookAction {
    match given {
        ecs::DeploymentLifecycleHookAction::Rollback => HookAction::Rollback,
        ecs::DeploymentLifecycleHookAction::Continue => HookAction::Continue,
    }
}

fn hook_stage(given: &ecs::DeploymentLifecycleHookStage) -> HookStage {
    use ecs::DeploymentLifecycleHookStage as Given;
    match given {
        Given::ReconcileService => HookStage::ReconcileService,
        Given::PreScaleUp => HookStage::PreScaleUp,
        Given::PostScaleUp => HookStage::PostScaleUp,
        Given::TestTrafficShift => HookStage::TestTrafficShift,
        Given::PostTestTrafficShift => HookStage::PostTestTrafficShift,
        Given::PreProductionTrafficShift => HookStage::PreProductionTrafficShift,
        Given::ProductionTrafficShift => HookStage::ProductionTrafficShift,
        Given::PostProductionTrafficShift => HookStage::PostProductionTrafficShift,
    }
}

fn early_success(given: &ecs::DeploymentEarlySuccessCriteria) -> Option<EarlySuccess> {
    (given.enable == Some(true)).then(|| EarlySuccess {
        healthy_percent: given.healthy_percent.unwrap_or(100).max(0).unsigned_abs(),
        source_cleanup: match given.source_service_revision_cleanup {
            Some(ecs::ServiceRevisionCleanup::Deferred) => SourceCleanup::Deferred,
            _ => SourceCleanup::Blocking,
        },
    })
}
