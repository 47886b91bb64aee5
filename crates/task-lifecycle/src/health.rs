//! What the results of a container's check mean, as Docker reads them.
//!
//! A success makes a container HEALTHY at once and resets the count. A failure counts, except in the start period
//! before the first success; `retries` failures in a row make it UNHEALTHY. Until either, it is UNKNOWN. The first check
//! comes one interval after the start, the next one interval after the end of the one before.

use vocabulary::Timestamp;

use crate::{HealthFacts, HealthSchedule, HealthStatus};

/// Of a container that starts (again).
pub(crate) fn started(schedule: &HealthSchedule, now: Timestamp) -> HealthFacts {
    HealthFacts { next_check_at: Some(now + schedule.interval), ..HealthFacts::default() }
}

/// After a check has ended, `since` the container's start.
pub(crate) fn checked(
    schedule: &HealthSchedule,
    health: &mut HealthFacts,
    passed: bool,
    since: Timestamp,
    now: Timestamp,
) {
    health.check_in_flight = false;
    health.next_check_at = Some(now + schedule.interval);
    if passed {
        health.status = HealthStatus::Healthy;
        health.failing_streak = 0;
        health.ever_passed = true;
        return;
    }
    if !health.ever_passed && now < since + schedule.start_period {
        return;
    }
    health.failing_streak = health.failing_streak.saturating_add(1);
    if health.failing_streak >= schedule.retries {
        health.status = HealthStatus::Unhealthy;
    }
}
