//! What there is: one task of the service as its record and its targets' health say.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vocabulary::Timestamp;

/// A task without any check counts as healthy this long after it is RUNNING. Source: the guide.
pub(crate) const HEALTHY_WITHOUT_CHECKS: Duration = Duration::from_secs(40);

/// One task of the service. Tasks whose end was accounted for ([`Noted::Accounted`] and [`Phase::Stopped`]) may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The 32 hex digits.
    pub id: String,
    /// The deployment (or task set) that started it: `ecs-svc/DIGITS`.
    pub deployment: String,
    pub phase: Phase,
    pub created_at: Timestamp,
    /// When it reached RUNNING, also when it no longer is.
    pub running_since: Option<Timestamp>,
    /// The containers' own health checks; [`Check::None`] when no essential container has one.
    pub container_health: Check,
    /// Its targets' health over all target groups, the worst: with the groups' ARN and reason in [`Check::Bad`].
    pub target_health: Check,
    /// Service discovery's view.
    pub discovery_health: Check,
    /// How it ended, for [`Phase::Stopped`]; how it ends, for [`Phase::Stopping`], once that is known.
    pub ended: Option<Ended>,
    /// What a plan has said about it before: store [`Plan::notes`](crate::Plan::notes) with the task.
    pub noted: Noted,
    pub zone: Option<String>,
    pub instance: Option<String>,
    /// The instance is DRAINING (or its agent is gone for good): the task is to be replaced elsewhere.
    pub instance_draining: bool,
    /// Scale-in protection.
    pub protected_until: Option<Timestamp>,
}

/// Where it is in its life, as far as a service cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// PROVISIONING, PENDING or ACTIVATING, and wanted.
    Pending,
    /// RUNNING, and wanted.
    Running,
    /// DEACTIVATING, STOPPING, DEPROVISIONING, or anything before with `desiredStatus` STOPPED.
    Stopping,
    Stopped,
}

/// What one kind of check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// There is no such check (also: a target group that no load balancer uses).
    None,
    /// No verdict yet.
    Waiting,
    Good,
    Bad {
        /// The `stoppedReason` that follows, see [`events`](crate::events).
        stop_reason: String,
        /// The service event that tells it.
        event: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub by: EndedBy,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndedBy {
    /// TaskFailedToStart, EssentialContainerExited: counts against its deployment.
    Itself,
    /// A plan of this service.
    Scheduler,
    /// StopTask.
    User,
    /// SpotInterruption, TerminationNotice, an instance that went away.
    Infrastructure,
}

/// What was taken into account of a task already, so that nothing counts twice. Only grows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Noted {
    #[default]
    Nothing,
    /// It was in good health once.
    Healthy,
    /// Its end or its bad health was counted, or needs no count.
    Accounted,
}

/// A verdict over all checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health<'a> {
    Good,
    /// Not yet, with the time when it will be by itself.
    Unknown {
        until: Option<Timestamp>,
    },
    Bad {
        stop_reason: &'a str,
        event: &'a str,
    },
}

impl Task {
    /// Wanted and not on its way down.
    pub fn is_living(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Running)
    }

    pub(crate) fn is_protected(&self, now: Timestamp) -> bool {
        self.protected_until.is_some_and(|until| now < until)
    }

    /// Of a RUNNING task. With `grace` after the start, bad health is no verdict.
    pub(crate) fn health(&self, grace: Duration, now: Timestamp) -> Health<'_> {
        let since = self.running_since.unwrap_or(now);
        let checks = [&self.container_health, &self.target_health, &self.discovery_health];
        for check in checks {
            if let Check::Bad { stop_reason, event } = check {
                return match since + grace {
                    end if now < end => Health::Unknown { until: Some(end) },
                    _ => Health::Bad { stop_reason, event },
                };
            }
        }
        if checks.contains(&&Check::Waiting) {
            return Health::Unknown { until: None };
        }
        if checks.contains(&&Check::Good) {
            return Health::Good;
        }
        match since + HEALTHY_WITHOUT_CHECKS {
            end if now < end => Health::Unknown { until: Some(end) },
            _ => Health::Good,
        }
    }
}
