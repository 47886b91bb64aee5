//! What was asked for: the service as its records say, in the words of the API model with all defaults filled in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One service. Nothing here is changed by a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// The short name, as events give it.
    pub name: String,
    pub status: ServiceStatus,
    /// `desiredCount`. Not looked at for [`Scheduling::Daemon`].
    pub desired_count: u32,
    pub scheduling: Scheduling,
    pub controller: Controller,
    pub configuration: Configuration,
    /// `healthCheckGracePeriodSeconds`: how long after a task's start bad health is not held against it.
    pub health_check_grace_period: Duration,
    /// Whether its tasks are behind load balancers (then a stop is told as draining).
    pub load_balanced: bool,
    /// Names of the CloudWatch alarms that are in state ALARM now, whether named in the configuration or not.
    pub alarms_in_alarm: Vec<String>,
    /// `availabilityZoneRebalancing` is ENABLED.
    pub zone_rebalancing: bool,
    /// The zones the service can have tasks in: its subnets' zones, or those of the instances its tasks fit on. One or none turns
    /// rebalancing off.
    pub zones: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceStatus {
    Active,
    /// Being deleted: everything is stopped.
    Draining,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheduling {
    Replica,
    Daemon {
        /// The instances (any id that [`Task::instance`](crate::Task::instance) uses too) that are ACTIVE and meet the placement
        /// constraints: each is to have one task.
        eligible: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Controller {
    Ecs,
    /// Task sets, made and scaled by the user ([`State::task_sets`](crate::State)).
    External,
    /// Task sets, made and scaled by CodeDeploy.
    CodeDeploy,
}

/// `deploymentConfiguration`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// Default 100; 0 for DAEMON.
    pub minimum_healthy_percent: u32,
    /// Default 200; 100 for DAEMON.
    pub maximum_percent: u32,
    pub circuit_breaker: CircuitBreaker,
    pub alarms: Alarms,
    pub strategy: Strategy,
    /// `bakeTimeInMinutes`: how long both revisions stay after all traffic has shifted; with ROLLING how long the alarms are watched.
    pub bake_time: Duration,
    pub hooks: Vec<Hook>,
    /// `earlySuccessCriteria`, when enabled.
    pub early_success: Option<EarlySuccess>,
}

impl Default for Configuration {
    fn default() -> Configuration {
        Configuration {
            minimum_healthy_percent: 100,
            maximum_percent: 200,
            circuit_breaker: CircuitBreaker::default(),
            alarms: Alarms::default(),
            strategy: Strategy::Rolling,
            bake_time: Duration::ZERO,
            hooks: Vec::new(),
            early_success: None,
        }
    }
}

/// `deploymentCircuitBreaker`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircuitBreaker {
    pub enable: bool,
    pub rollback: bool,
    pub threshold: Threshold,
    /// Whether a task that reaches good health sets the count to zero.
    pub reset_on_healthy_task: bool,
}

impl Default for CircuitBreaker {
    fn default() -> CircuitBreaker {
        CircuitBreaker {
            enable: false,
            rollback: false,
            threshold: Threshold::BoundedPercent(50),
            reset_on_healthy_task: true,
        }
    }
}

/// `thresholdConfiguration`: percentages are of the desired count, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Threshold {
    Count(u32),
    /// At least 3, at most 200.
    BoundedPercent(u32),
    UnboundedPercent(u32),
}

/// The `alarms` of a deployment configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarms {
    pub enable: bool,
    pub rollback: bool,
    pub names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Strategy {
    Rolling,
    BlueGreen,
    Linear(Linear),
    Canary(Canary),
}

/// `linearConfiguration`. The default is 10 % every 6 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Linear {
    pub step_percent: f64,
    pub step_bake_time: Duration,
}

impl Default for Linear {
    fn default() -> Linear {
        Linear { step_percent: 10.0, step_bake_time: Duration::from_secs(6 * 60) }
    }
}

/// `canaryConfiguration`. The default is 5 %, the rest after 10 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    pub percent: f64,
    pub bake_time: Duration,
}

impl Default for Canary {
    fn default() -> Canary {
        Canary { percent: 5.0, bake_time: Duration::from_secs(10 * 60) }
    }
}

/// One of `lifecycleHooks`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    pub target: HookTarget,
    pub stages: Vec<HookStage>,
    /// `timeoutInMinutes`.
    pub timeout: Duration,
    /// What the end of that time means.
    pub timeout_action: crate::HookAction,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookTarget {
    /// `hookTargetArn`. Somebody else invokes it and answers with [`State::hook_result`](crate::State::hook_result).
    Lambda(String),
    /// Waits for ContinueServiceDeployment.
    Pause,
}

/// `DeploymentLifecycleHookStage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookStage {
    ReconcileService,
    PreScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
}

/// `earlySuccessCriteria` that are enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlySuccess {
    /// Of the desired count; rounded up.
    pub healthy_percent: u32,
    pub source_cleanup: SourceCleanup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceCleanup {
    /// The deployment completes when the tasks of the revisions before are gone.
    Blocking,
    /// They go afterwards.
    Deferred,
}
