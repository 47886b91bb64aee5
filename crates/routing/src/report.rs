//! What a node says about targets. States, reason codes and descriptions are those of `DescribeTargetHealth`.

use serde::{Deserialize, Serialize};

/// The health of one target, and whether it can be let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetReport {
    pub target_group_arn: String,
    /// The target's id as registered.
    pub target_id: String,
    pub port: u16,
    /// As the configuration has it: which registration was measured.
    pub registration: u64,
    pub health: Health,
    /// Of a draining target: no request and no connection of it is left.
    pub drained: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub state: HealthState,
    /// Unset when healthy.
    pub reason: Option<HealthReason>,
    /// Unset when healthy. As AWS words it: `Health checks failed with these codes: [502]`.
    pub description: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// Registered or being checked for the first time.
    Initial,
    Healthy,
    Unhealthy,
    /// Its target group is in no rule.
    Unused,
    Draining,
    /// Health checks are switched off.
    Unavailable,
}

impl HealthState {
    pub fn name(self) -> &'static str {
        match self {
            HealthState::Initial => "initial",
            HealthState::Healthy => "healthy",
            HealthState::Unhealthy => "unhealthy",
            HealthState::Unused => "unused",
            HealthState::Draining => "draining",
            HealthState::Unavailable => "unavailable",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthReason {
    RegistrationInProgress,
    InitialHealthChecking,
    ResponseCodeMismatch,
    Timeout,
    FailedHealthChecks,
    NotInUse,
    DeregistrationInProgress,
    HealthCheckDisabled,
    InternalError,
}

impl HealthReason {
    /// The code: `Target.Timeout`.
    pub fn code(self) -> &'static str {
        match self {
            HealthReason::RegistrationInProgress => "Elb.RegistrationInProgress",
            HealthReason::InitialHealthChecking => "Elb.InitialHealthChecking",
            HealthReason::ResponseCodeMismatch => "Target.ResponseCodeMismatch",
            HealthReason::Timeout => "Target.Timeout",
            HealthReason::FailedHealthChecks => "Target.FailedHealthChecks",
            HealthReason::NotInUse => "Target.NotInUse",
            HealthReason::DeregistrationInProgress => "Target.DeregistrationInProgress",
            HealthReason::HealthCheckDisabled => "Target.HealthCheckDisabled",
            HealthReason::InternalError => "Elb.InternalError",
        }
    }
}
