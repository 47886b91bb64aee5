//! What this core remembers of a service between plans. The caller stores it with the service's record and gives it back.

use serde::{Deserialize, Serialize};
use vocabulary::Timestamp;

use crate::{HookStage, HookTarget, Strategy};

/// Everything remembered. A new service starts with the default; [`State::deploy`] gives it its first deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Newest first, exactly one of them PRIMARY once there is any. One that is over (INACTIVE) is taken out.
    pub deployments: Vec<Deployment>,
    /// For the controllers EXTERNAL and CODE_DEPLOY, which have no deployments. The caller adds, scales and marks them.
    #[serde(default)]
    pub task_sets: Vec<TaskSet>,
    /// The service deployment (the operation) under way, or the last one.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// The last deployment that completed: where a rollback goes.
    #[serde(default)]
    pub last_completed: Option<Source>,
    /// Set while tasks could not be placed.
    #[serde(default)]
    pub placement: Option<PlacementTrouble>,
    #[serde(default)]
    pub rebalance: Rebalance,
    /// When the steady state was last told, while it lasts.
    #[serde(default)]
    pub steady_told_at: Option<Timestamp>,
    /// When it was told that the percentages leave no way to go on.
    #[serde(default)]
    pub stuck_told_at: Option<Timestamp>,
}

/// A deployment: the tasks of one revision that were started for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployment {
    /// `ecs-svc/` and 19 digits; its tasks' `startedBy`.
    pub id: String,
    /// The service revision, in any form the caller likes (opaque here).
    pub revision: String,
    pub status: DeploymentStatus,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// How many tasks it is to have; what DescribeServices gives.
    pub desired_count: u32,
    /// `failedTasks`: consecutive failures, or all when they are not reset by a healthy task.
    pub failed_tasks: u32,
    /// Of all its failures: tasks that never reached RUNNING (stage 1).
    pub failed_to_start: u32,
    /// Of all its failures: tasks that failed a health check, or ended before they were in good health (stage 2).
    pub failed_health: u32,
    pub rollout_state: RolloutState,
    pub rollout_state_reason: String,
    #[serde(default)]
    pub start_back_off: StartBackOff,
    /// Percent of the production traffic; 100 for every deployment of a ROLLING rollout, which share their target groups.
    pub production_weight: f64,
    /// Percent of the test listener's traffic.
    pub test_weight: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStatus {
    Primary,
    Active,
}

/// `DeploymentRolloutState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RolloutState {
    InProgress,
    Completed,
    Failed,
}

/// Pauses between starts of tasks that keep failing before they run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartBackOff {
    /// Failed rounds of starts in a row.
    pub rounds: u32,
    /// When the last such round was counted. Tasks made before belong to it.
    pub failed_at: Option<Timestamp>,
    /// No start before this.
    pub until: Option<Timestamp>,
}

/// A deployment with its revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub deployment: String,
    pub revision: String,
}

/// A service deployment: the operation that takes the service to a revision, and back if need be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    pub target: Source,
    pub sources: Vec<Source>,
    pub status: RolloutStatus,
    #[serde(default)]
    pub status_reason: Option<String>,
    pub created_at: Timestamp,
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// When it was stopped by the user, superseded or began to be taken back.
    #[serde(default)]
    pub stopped_at: Option<Timestamp>,
    pub updated_at: Timestamp,
    /// As it was when the rollout began.
    pub strategy: Strategy,
    /// For strategies other than ROLLING.
    #[serde(default)]
    pub stage: Option<Stage>,
    /// When the stage, or the step within it, began its wait.
    #[serde(default)]
    pub stage_since: Option<Timestamp>,
    /// Steps of the production traffic that were made.
    #[serde(default)]
    pub steps: u32,
    /// Since when the target has all it needs, for the bake time of a ROLLING rollout.
    #[serde(default)]
    pub baking_since: Option<Timestamp>,
    /// Alarms that were in ALARM when it began; they are not held against it.
    #[serde(default)]
    pub ignored_alarms: Option<Vec<String>>,
    #[serde(default)]
    pub triggered_alarms: Vec<String>,
    pub circuit_breaker: Monitor,
    pub failure_count: u32,
    pub threshold: u32,
    pub alarms: Monitor,
    #[serde(default)]
    pub hooks: Vec<HookRun>,
    #[serde(default)]
    pub rollback: Option<Rollback>,
}

/// `ServiceDeploymentStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RolloutStatus {
    Pending,
    InProgress,
    Successful,
    StopRequested,
    Stopped,
    RollbackRequested,
    RollbackInProgress,
    RollbackSuccessful,
    RollbackFailed,
}

impl RolloutStatus {
    pub fn is_over(self) -> bool {
        matches!(
            self,
            RolloutStatus::Successful
                | RolloutStatus::Stopped
                | RolloutStatus::RollbackSuccessful
                | RolloutStatus::RollbackFailed
        )
    }
}

/// `ServiceDeploymentLifecycleStage`, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stage {
    ReconcileService,
    PreScaleUp,
    ScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
    BakeTime,
    CleanUp,
}

/// `ServiceDeploymentRollbackMonitorsStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Monitor {
    Triggered,
    Monitoring,
    MonitoringComplete,
    Disabled,
}

/// A rollout that is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    pub reason: String,
    pub started_at: Timestamp,
    pub to: Source,
}

/// One run of a lifecycle hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HookRun {
    /// `hookId`.
    pub id: String,
    pub target: HookTarget,
    pub stage: HookStage,
    /// The step of the traffic shift it belongs to; 0 elsewhere.
    pub step: u32,
    /// The hook's place in the configuration.
    pub index: usize,
    pub status: HookStatus,
    pub started_at: Timestamp,
    pub expires_at: Timestamp,
    pub timeout_action: HookAction,
}

/// `DeploymentLifecycleHookStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookStatus {
    /// A pause, until ContinueServiceDeployment.
    AwaitingAction,
    /// A function that was invoked, or is to be.
    InProgress,
    Succeeded,
    Failed,
    TimedOut,
}

/// `DeploymentLifecycleHookAction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum HookAction {
    Rollback,
    Continue,
}

/// `StopServiceDeploymentStopType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StopType {
    Abort,
    Rollback,
}

/// A task set of an EXTERNAL or CODE_DEPLOY service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSet {
    /// `ecs-svc/` and 19 digits; its tasks' `startedBy`.
    pub id: String,
    /// `scale.value`, in percent of the service's desired count. The caller changes it.
    pub scale_percent: f64,
    /// Being deleted: everything is stopped. The caller sets it, and removes the set when [`Plan::drained_task_sets`](crate::Plan) names it.
    pub draining: bool,
    /// `computedDesiredCount`: the share of the desired count, rounded up.
    pub computed_desired_count: u32,
    pub stability: Stability,
    pub stability_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default)]
    pub start_back_off: StartBackOff,
}

/// `StabilityStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stability {
    Stabilizing,
    SteadyState,
}

/// Starts that found no place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacementTrouble {
    /// Rounds in a row.
    pub rounds: u32,
    /// No start before this.
    pub retry_at: Timestamp,
    /// The last text told, and when.
    pub told: Option<(String, Timestamp)>,
}

/// A move of one task to a zone with fewer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rebalance {
    /// Since when one task more than desired is wanted.
    pub moving_since: Option<Timestamp>,
    /// The moves were told as a whole.
    pub told: bool,
    /// Moves that did not help in a row.
    pub fruitless: u32,
    /// No move before this.
    pub not_before: Option<Timestamp>,
    /// How unevenly the zones were filled when the move began.
    pub unevenness: u64,
}

/// Why a request about a rollout was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there is no service deployment in progress")]
    NotInProgress,
    #[error("there is no completed deployment to roll back to")]
    NothingToRollBackTo,
    #[error("the lifecycle hook {0} does not await an action")]
    HookNotWaiting(String),
}
