//! What users and the carriers of a plan tell the state: a new deployment, a stop, an answer to a hook, no place found.
//!
//! These only record; the next plan acts on them.

use std::time::Duration;

use vocabulary::{Ids, Timestamp};

use crate::{
    Deployment, DeploymentStatus, HookAction, HookStatus, Monitor, PlacementTrouble, Refused, Rollback,
    Rollout, RolloutState, RolloutStatus, Source, Stage, StartBackOff, State, StopType, Strategy,
};

/// The same text about placement is told again after this long at the earliest.
const TELL_PLACEMENT_AGAIN: Duration = Duration::from_secs(5 * 60);
/// The first and the longest pause between attempts to place.
const PLACEMENT_PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

impl State {
    /// Begins a new deployment of `revision`: CreateService, an UpdateService that makes a new revision, or a forced one.
    /// Answers its id and the rollout that it cut short, ended as STOPPED. Back-off and failure counts start from zero.
    pub fn deploy(
        &mut self,
        revision: &str,
        strategy: Strategy,
        now: Timestamp,
        ids: &mut dyn Ids,
    ) -> (String, Option<Rollout>) {
        let id = format!("ecs-svc/{}", ids.digits(19));
        let superseded =
            self.rollout.take().filter(|rollout| !rollout.status.is_over()).map(|mut rollout| {
                rollout.status = RolloutStatus::Stopped;
                rollout.status_reason = Some(format!("The deployment was superseded by deployment {id}."));
                rollout.stopped_at = Some(now);
                rollout.finished_at = Some(now);
                rollout.updated_at = now;
                rollout.settle_monitors();
                rollout
            });
        let source = self.source();
        for deployment in &mut self.deployments {
            if deployment.status == DeploymentStatus::Primary {
                deployment.status = DeploymentStatus::Active;
                deployment.updated_at = now;
            }
        }
        let staged = strategy != Strategy::Rolling;
        // Of several old revisions one stays behind the production listeners: the last that completed.
        for deployment in &mut self.deployments {
            let stays = !staged || source.as_ref().is_some_and(|source| source.deployment == deployment.id);
            deployment.production_weight = if stays { 100.0 } else { 0.0 };
            deployment.test_weight = deployment.production_weight;
        }
        let weight = if staged && source.is_some() { 0.0 } else { 100.0 };
        let target = Source { deployment: id.clone(), revision: revision.to_owned() };
        self.deployments.insert(
            0,
            Deployment {
                id: id.clone(),
                revision: revision.to_owned(),
                status: DeploymentStatus::Primary,
                created_at: now,
                updated_at: now,
                desired_count: 0,
                failed_tasks: 0,
                failed_to_start: 0,
                failed_health: 0,
                rollout_state: RolloutState::InProgress,
                rollout_state_reason: format!("ECS deployment {id} in progress."),
                start_back_off: StartBackOff::default(),
                production_weight: weight,
                test_weight: weight,
            },
        );
        self.rollout = Some(Rollout {
            target,
            sources: source.into_iter().collect(),
            status: RolloutStatus::Pending,
            status_reason: None,
            created_at: now,
            started_at: None,
            finished_at: None,
            stopped_at: None,
            updated_at: now,
            strategy,
            stage: staged.then_some(Stage::ReconcileService),
            stage_since: None,
            steps: 0,
            baking_since: None,
            ignored_alarms: None,
            triggered_alarms: Vec::new(),
            circuit_breaker: Monitor::Disabled,
            failure_count: 0,
            threshold: 0,
            alarms: Monitor::Disabled,
            hooks: Vec::new(),
            rollback: None,
        });
        self.placement = None;
        self.steady_told_at = None;
        self.stuck_told_at = None;
        (id, superseded)
    }

    /// How many tasks the PRIMARY deployment is to have, told before the next plan says it: what CreateService and UpdateService answer.
    /// A rollout in stages and a deployment that FAILED have their own numbers, which only a plan knows.
    pub fn foresee(&mut self, desired: u32) {
        let staged = self.rollout.as_ref();
        let staged = staged.is_some_and(|rollout| rollout.stage.is_some() && !rollout.status.is_over());
        let primary = self.deployments.iter_mut().find(|known| known.status == DeploymentStatus::Primary);
        if let Some(primary) = primary
            && primary.rollout_state != RolloutState::Failed
            && !staged
        {
            primary.desired_count = desired;
        }
    }

    /// StopServiceDeployment: ROLLBACK takes the rollout back to the last completed deployment, ABORT leaves everything as it is.
    ///
    /// # Errors
    /// When nothing is in progress (the clean-up of a staged rollout is past that), or there is nothing to go back to.
    pub fn request_stop(&mut self, stop: StopType, now: Timestamp) -> Result<(), Refused> {
        let primary = self.primary().map(|deployment| deployment.id.clone());
        let goes_back =
            self.last_completed.as_ref().is_some_and(|source| Some(&source.deployment) != primary.as_ref());
        let rollout = self
            .rollout
            .as_mut()
            .filter(|rollout| matches!(rollout.status, RolloutStatus::Pending | RolloutStatus::InProgress))
            .filter(|rollout| rollout.stage != Some(Stage::CleanUp))
            .ok_or(Refused::NotInProgress)?;
        match stop {
            StopType::Rollback if !goes_back => return Err(Refused::NothingToRollBackTo),
            StopType::Rollback => rollout.status = RolloutStatus::RollbackRequested,
            StopType::Abort => rollout.status = RolloutStatus::StopRequested,
        }
        rollout.updated_at = now;
        Ok(())
    }

    /// ContinueServiceDeployment: an answer to a pause.
    ///
    /// # Errors
    /// When that hook is not one that waits.
    pub fn answer_hook(&mut self, hook_id: &str, action: HookAction, now: Timestamp) -> Result<(), Refused> {
        let rollout = self
            .rollout
            .as_mut()
            .filter(|rollout| !rollout.status.is_over())
            .ok_or_else(|| Refused::HookNotWaiting(hook_id.to_owned()))?;
        let run = rollout
            .hooks
            .iter_mut()
            .find(|run| run.id == hook_id && run.status == HookStatus::AwaitingAction)
            .ok_or_else(|| Refused::HookNotWaiting(hook_id.to_owned()))?;
        run.status = match action {
            HookAction::Continue => HookStatus::Succeeded,
            HookAction::Rollback => HookStatus::Failed,
        };
        rollout.updated_at = now;
        Ok(())
    }

    /// What a function that a hook names answered. Late answers have no effect.
    pub fn hook_result(&mut self, hook_id: &str, succeeded: bool, now: Timestamp) {
        if let Some(rollout) = &mut self.rollout
            && let Some(run) =
                rollout.hooks.iter_mut().find(|run| run.id == hook_id && run.status == HookStatus::InProgress)
        {
            run.status = if succeeded { HookStatus::Succeeded } else { HookStatus::Failed };
            rollout.updated_at = now;
        }
    }

    /// Some of a plan's starts of `deployment` found no place. `event` is the text of
    /// [`events::unable_to_place`](crate::events::unable_to_place); it comes back when it is to be told, since the same
    /// is not told with every attempt.
    ///
    /// A failed round counts as one failure of the deployment under way ("the scheduler could not launch the task"), unless
    /// `makes_room`: tasks of the service are still on their way down and may free the place.
    pub fn placement_failed(
        &mut self,
        deployment: &str,
        event: String,
        makes_room: bool,
        now: Timestamp,
    ) -> Option<String> {
        let (rounds, told) = match self.placement.take() {
            Some(before) => (before.rounds.saturating_add(1), before.told),
            None => (1, None),
        };
        let pause = PLACEMENT_PAUSE.0.saturating_mul(1 << (rounds - 1).min(8)).min(PLACEMENT_PAUSE.1);
        let tells =
            told.as_ref().is_none_or(|(text, at)| *text != event || *at + TELL_PLACEMENT_AGAIN <= now);
        self.placement = Some(PlacementTrouble {
            rounds,
            retry_at: now + pause,
            told: if tells { Some((event.clone(), now)) } else { told },
        });
        self.steady_told_at = None;
        if !makes_room
            && let Some(deployment) = self.deployments.iter_mut().find(|known| known.id == deployment)
            && deployment.rollout_state == RolloutState::InProgress
        {
            deployment.failed_tasks = deployment.failed_tasks.saturating_add(1);
            deployment.failed_to_start = deployment.failed_to_start.saturating_add(1);
        }
        tells.then_some(event)
    }

    /// All of a plan's starts found their place.
    pub fn placed(&mut self) {
        self.placement = None;
    }

    /// The capacity changed: the next plan may try again at once.
    pub fn retry_placement(&mut self, now: Timestamp) {
        if let Some(placement) = &mut self.placement {
            placement.retry_at = placement.retry_at.min(now);
        }
    }

    /// The deployment that the service is to run.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| deployment.status == DeploymentStatus::Primary)
    }

    /// What a new deployment would replace: the last completed one while it gets traffic, else the one with the most that has
    /// not failed. The caller asks for it *before* [`State::deploy`] to give the new revision the other target group.
    pub fn source(&self) -> Option<Source> {
        let gets_traffic = |source: &&Source| {
            let mut deployments = self.deployments.iter();
            deployments.any(|it| it.id == source.deployment && it.production_weight > 0.0)
        };
        let completed = self.last_completed.as_ref().filter(gets_traffic);
        let busiest = || {
            // Of equals the last is taken: the newest.
            self.deployments.iter().rev().max_by(|a, b| {
                let rank = |deployment: &Deployment| deployment.rollout_state != RolloutState::Failed;
                a.production_weight.total_cmp(&b.production_weight).then(rank(a).cmp(&rank(b)))
            })
        };
        completed.cloned().or_else(|| busiest().map(Deployment::source))
    }
}

impl Deployment {
    pub(crate) fn source(&self) -> Source {
        Source { deployment: self.id.clone(), revision: self.revision.clone() }
    }
}

impl Rollout {
    /// Monitoring ends with the rollout; what was triggered stays so.
    pub(crate) fn settle_monitors(&mut self) {
        for monitor in [&mut self.circuit_breaker, &mut self.alarms] {
            if *monitor == Monitor::Monitoring {
                *monitor = Monitor::MonitoringComplete;
            }
        }
    }

    pub(crate) fn roll_back(&mut self, reason: String, to: Source, now: Timestamp) {
        self.status = RolloutStatus::RollbackInProgress;
        self.status_reason = Some(reason.clone());
        self.rollback = Some(Rollback { reason, started_at: now, to });
        self.stopped_at = Some(now);
        self.updated_at = now;
        self.stage = None;
        self.stage_since = None;
    }
}
