//! When a target is healthy.
//!
//! A target begins as initial. It is healthy after its first good check, as the guide says of newly registered targets; from then on it takes
//! as many checks in a row as the thresholds say to change its state. A failed check of an initial target counts towards the unhealthy
//! threshold. Reasons are those of the last failed check; texts are AWS's.

use crate::report::{Health, HealthReason, HealthState};

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    Good,
    /// The target answered with a code that is not among the good ones.
    Mismatch {
        code: u16,
    },
    /// No answer in time.
    TimedOut,
    /// No connection, or one that broke off, or an answer that is none.
    Failed,
}

/// The machine of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checks {
    state: HealthState,
    reason: Option<HealthReason>,
    description: Option<String>,
    /// Checks in a row that speak against the state.
    against: u32,
}

impl Default for Checks {
    fn default() -> Checks {
        Checks::new()
    }
}

impl Checks {
    /// A target that has not been checked yet.
    pub fn new() -> Checks {
        Checks {
            state: HealthState::Initial,
            reason: Some(HealthReason::RegistrationInProgress),
            description: Some("Target registration is in progress".to_owned()),
            against: 0,
        }
    }

    /// The first check is under way.
    pub fn begin(&mut self) {
        if self.reason == Some(HealthReason::RegistrationInProgress) {
            self.reason = Some(HealthReason::InitialHealthChecking);
            self.description = Some("Initial health checks in progress".to_owned());
        }
    }

    pub fn state(&self) -> HealthState {
        self.state
    }

    /// What is reported of it.
    pub fn health(&self) -> Health {
        Health { state: self.state, reason: self.reason, description: self.description.clone() }
    }

    /// Takes a check's result in; whether anything that is reported has changed.
    pub fn observe(
        &mut self,
        result: &CheckResult,
        healthy_threshold: u32,
        unhealthy_threshold: u32,
    ) -> bool {
        let good = *result == CheckResult::Good;
        let (speaks_against, threshold) = match self.state {
            HealthState::Healthy => (!good, unhealthy_threshold),
            HealthState::Initial if good => (true, 1),
            HealthState::Initial => (true, unhealthy_threshold),
            _ => (good, healthy_threshold),
        };
        let before = (self.state, self.reason, self.description.clone());
        if speaks_against {
            self.against += 1;
        } else {
            self.against = 0;
        }
        if speaks_against && self.against >= threshold.max(1) {
            self.against = 0;
            self.state = if good { HealthState::Healthy } else { HealthState::Unhealthy };
            if good {
                (self.reason, self.description) = (None, None);
            }
        }
        if self.state == HealthState::Unhealthy && !good {
            let (reason, description) = reason(result);
            (self.reason, self.description) = (Some(reason), Some(description));
        }
        before != (self.state, self.reason, self.description.clone())
    }
}

fn reason(result: &CheckResult) -> (HealthReason, String) {
    match result {
        CheckResult::Mismatch { code } => {
            (HealthReason::ResponseCodeMismatch, format!("Health checks failed with these codes: [{code}]"))
        }
        CheckResult::TimedOut => (HealthReason::Timeout, "Request timed out".to_owned()),
        CheckResult::Failed | CheckResult::Good => {
            (HealthReason::FailedHealthChecks, "Health checks failed".to_owned())
        }
    }
}

/// Of a target that is not checked because nothing refers to its group.
pub fn unused() -> Health {
    Health {
        state: HealthState::Unused,
        reason: Some(HealthReason::NotInUse),
        description: Some(
            "Target group is not configured to receive traffic from the load balancer".to_owned(),
        ),
    }
}

/// Of a target that is leaving.
pub fn draining() -> Health {
    Health {
        state: HealthState::Draining,
        reason: Some(HealthReason::DeregistrationInProgress),
        description: Some("Target deregistration is in progress".to_owned()),
    }
}

/// Of a target whose group has its checks switched off.
pub fn unchecked() -> Health {
    Health {
        state: HealthState::Unavailable,
        reason: Some(HealthReason::HealthCheckDisabled),
        description: Some("Health checks are disabled for this target group".to_owned()),
    }
}
