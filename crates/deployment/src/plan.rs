//! The one entry: from a snapshot to a plan and a report.

use vocabulary::{Ids, Timestamp};

use crate::{
    Controller, Deployment, HookRun, Noted, Phase, Rollout, Scheduling, Service, ServiceStatus, State, Task,
    accounting, daemon, events, replica, rollout, round::Round, stages, task_sets,
};

/// What bounds one plan. What did not fit comes with the next, which is due at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Starts, stops and notes together, so that carrying them out fits one transaction. At least 1.
    pub changes: usize,
}

/// What to do. Everything in it belongs into one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// To be stored in place of the old one.
    pub state: State,
    pub start: Vec<Start>,
    pub stop: Vec<Stop>,
    /// To be stored with the tasks: what was taken into account of them.
    pub notes: Vec<(String, Noted)>,
    /// Deployments that are over, as they were last: INACTIVE now.
    pub inactive: Vec<Deployment>,
    /// Rollouts that ended with this plan (the last of them also stays in the state).
    pub finished: Vec<Rollout>,
    /// Functions to invoke; the answers come back by [`State::hook_result`].
    pub invoke: Vec<HookRun>,
    /// Task sets that were being deleted and have no task left.
    pub drained_task_sets: Vec<String>,
    /// The service was being deleted and nothing is left of it: it is INACTIVE.
    pub service_inactive: bool,
    /// When to plan again even if nothing happens.
    pub wake_at: Option<Timestamp>,
}

/// Tasks to start. Those that cannot be placed are told to [`State::placement_failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The deployment or task set.
    pub deployment: String,
    pub count: u32,
    /// For DAEMON services: the instance it is for.
    pub instance: Option<String>,
    /// For a move between zones: where it should go, if that can be chosen.
    pub zone: Option<String>,
}

/// A task to stop with stop code ServiceSchedulerInitiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub task: String,
    /// The `stoppedReason`.
    pub reason: String,
}

/// What to tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Service events, oldest first. What only the caller knows is told by it, with the texts of [`events`](crate::events):
    /// ids of started tasks, registered targets, placement failures.
    pub events: Vec<String>,
    /// Why something did not happen.
    pub waiting: Vec<Waiting>,
}

/// Why something that is wanted was not done in this plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Tasks of the deployment keep failing to start.
    StartBackOff { deployment: String, until: Timestamp },
    /// No place was found.
    Placement { until: Timestamp },
    /// RUNNING and PENDING tasks are at the maximum.
    Maximum { maximum: u32 },
    /// Stopping one more would leave fewer in good health than the minimum.
    Minimum { minimum: u32 },
    /// Tasks are protected.
    Protection { tasks: Vec<String> },
    /// The bake time.
    Bake { until: Timestamp },
    /// A lifecycle hook.
    Hook { id: String },
    /// The deployment failed and starts nothing.
    Failed { deployment: String },
    /// What is left did not fit into this plan.
    Limit,
}

/// Plans for one service.
///
/// `tasks` are all tasks of the service that are not [`Noted::Accounted`] *and* stopped; passing those too changes nothing.
pub fn plan(
    service: &Service,
    state: &State,
    tasks: &[Task],
    limits: Limits,
    now: Timestamp,
    ids: &mut dyn Ids,
) -> (Plan, Report) {
    let mut round = Round::new(service, state, tasks, limits, now, ids);
    accounting::account(&mut round);
    match (service.status, service.controller) {
        (ServiceStatus::Draining, _) => drain(&mut round),
        (ServiceStatus::Active, Controller::Ecs) => deploy(&mut round),
        (ServiceStatus::Active, Controller::External | Controller::CodeDeploy) => task_sets::plan(&mut round),
    }
    round.finish()
}

/// Everything goes, protected or not.
fn drain(round: &mut Round<'_>) {
    let living: Vec<&Task> = round.tasks.iter().copied().filter(|task| task.is_living()).collect();
    for task in living {
        let reason = events::scaling_reason(&task.deployment);
        round.stop(task, reason);
    }
    if round.tasks.iter().all(|task| task.phase == Phase::Stopped) {
        round.plan.service_inactive = true;
        round.plan.inactive = std::mem::take(&mut round.state.deployments);
        round.plan.drained_task_sets = round.state.task_sets.drain(..).map(|set| set.id).collect();
        rollout::end_with_service(round);
    }
}

fn deploy(round: &mut Round<'_>) {
    if round.state.primary().is_none() {
        return;
    }
    rollout::begin(round);
    rollout::watch(round);
    rollout::obey(round);
    stages::advance(round);
    rollout::forget_drained(round);
    match &round.service.scheduling {
        Scheduling::Replica => replica::plan(round),
        Scheduling::Daemon { eligible } => daemon::plan(round, eligible),
    }
    rollout::complete(round);
    rollout::tell_steady(round);
}
