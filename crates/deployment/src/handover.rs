//! Another deployment controller: what runs goes on running, under the new one's name.
//!
//! A deployment that is over and a task set are the same tasks, so a change of the controller moves them as they are. Nothing is started or
//! stopped by it; the next plan holds what there is then.

use vocabulary::Timestamp;

use crate::{Deployment, DeploymentStatus, RolloutState, Source, Stability, StartBackOff, State, TaskSet};

/// Why the controller cannot change now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotHandOver {
    #[error("a deployment is under way")]
    StillDeploying,
    #[error("there are several task sets")]
    SeveralTaskSets,
    #[error("there is no primary task set")]
    NoPrimary,
}

impl State {
    /// From the one deployment to a task set of the same name with all of the desired count. Answers the deployment's revision; none when the
    /// service has no deployment yet, and gets no set.
    ///
    /// # Errors
    /// While a deployment is under way.
    pub fn give_to_task_sets(
        &mut self,
        desired: u32,
        now: Timestamp,
    ) -> Result<Option<Source>, CannotHandOver> {
        let under_way = self.rollout.as_ref().is_some_and(|rollout| !rollout.status.is_over())
            || self.deployments.len() > 1
            || self.primary().is_some_and(|primary| primary.rollout_state == RolloutState::InProgress);
        if under_way {
            return Err(CannotHandOver::StillDeploying);
        }
        let Some(deployment) = self.deployments.pop() else { return Ok(None) };
        let stable = deployment.rollout_state == RolloutState::Completed;
        let source = deployment.source();
        *self = State {
            task_sets: vec![TaskSet {
                id: deployment.id,
                scale_percent: 100.0,
                draining: false,
                computed_desired_count: desired,
                stability: if stable { Stability::SteadyState } else { Stability::Stabilizing },
                stability_at: deployment.updated_at,
                updated_at: now,
                start_back_off: deployment.start_back_off,
            }],
            ..State::default()
        };
        Ok(Some(source))
    }

    /// From the one task set, which has to be the primary, to a deployment of the same name. With the set's revision, and when
    /// the set was made.
    ///
    /// # Errors
    /// With several sets, or without a primary one.
    pub fn take_from_task_sets(
        &mut self,
        primary: Option<&str>,
        (revision, created_at): (&str, Timestamp),
        desired: u32,
        now: Timestamp,
    ) -> Result<(), CannotHandOver> {
        let set = self.only_task_set(primary)?.clone();
        let stable = set.stability == Stability::SteadyState && set.computed_desired_count == desired;
        let deployment = Deployment {
            id: set.id.clone(),
            revision: revision.to_owned(),
            status: DeploymentStatus::Primary,
            created_at,
            updated_at: now,
            desired_count: desired,
            failed_tasks: 0,
            failed_to_start: 0,
            failed_health: 0,
            rollout_state: if stable { RolloutState::Completed } else { RolloutState::InProgress },
            rollout_state_reason: match stable {
                true => format!("ECS deployment {} completed.", set.id),
                false => format!("ECS deployment {} in progress.", set.id),
            },
            start_back_off: StartBackOff::default(),
            production_weight: 100.0,
            test_weight: 100.0,
        };
        *self = State {
            last_completed: stable.then(|| deployment.source()),
            deployments: vec![deployment],
            ..State::default()
        };
        Ok(())
    }

    /// The one set of the service, which is its primary.
    ///
    /// # Errors
    /// When it is not so.
    pub fn only_task_set(&self, primary: Option<&str>) -> Result<&TaskSet, CannotHandOver> {
        match self.task_sets.as_slice() {
            [set] if Some(set.id.as_str()) == primary && !set.draining => Ok(set),
            [] | [_] => Err(CannotHandOver::NoPrimary),
            _ => Err(CannotHandOver::SeveralTaskSets),
        }
    }
}
