use proptest::prelude::*;

use crate::{
    health::{CheckResult, Checks},
    report::{HealthReason, HealthState},
};

fn after(results: &[CheckResult], healthy: u32, unhealthy: u32) -> Checks {
    let mut checks = Checks::new();
    checks.begin();
    for result in results {
        checks.observe(result, healthy, unhealthy);
    }
    checks
}

use CheckResult::{Failed, Good, TimedOut};

#[test]
fn states_change_at_their_thresholds() {
    let checks = Checks::new();
    assert_eq!(checks.health().reason, Some(HealthReason::RegistrationInProgress));
    assert_eq!(after(&[], 5, 2).health().reason, Some(HealthReason::InitialHealthChecking));
    // The first good check of a new target is enough.
    assert_eq!(after(&[Good], 5, 2).state(), HealthState::Healthy);
    assert_eq!(after(&[Failed, Good], 5, 2).state(), HealthState::Healthy);
    assert_eq!(after(&[Failed], 5, 2).state(), HealthState::Initial);
    assert_eq!(after(&[Failed, Failed], 5, 2).state(), HealthState::Unhealthy);
    let down = [Good, Failed, Failed];
    assert_eq!(after(&down[..2], 3, 2).state(), HealthState::Healthy);
    assert_eq!(after(&down, 3, 2).state(), HealthState::Unhealthy);
    assert_eq!(after(&[Good, Failed, Good, Failed], 3, 2).state(), HealthState::Healthy);
    let up = [Failed, Failed, Good, Good, Good];
    assert_eq!(after(&up[..4], 3, 2).state(), HealthState::Unhealthy);
    assert_eq!(after(&up, 3, 2).state(), HealthState::Healthy);
}

#[test]
fn reasons_are_those_of_the_last_failure() {
    let mismatch = CheckResult::Mismatch { code: 502 };
    let health = after(&[Failed, mismatch.clone()], 5, 2).health();
    assert_eq!(health.reason.map(HealthReason::code), Some("Target.ResponseCodeMismatch"));
    assert_eq!(health.description.as_deref(), Some("Health checks failed with these codes: [502]"));
    let health = after(&[mismatch, Failed, TimedOut], 5, 2).health();
    assert_eq!(health.reason.map(HealthReason::code), Some("Target.Timeout"));
    assert_eq!(health.description.as_deref(), Some("Request timed out"));
    let health = after(&[Failed, Failed, Good], 5, 2).health();
    assert_eq!(health.reason, Some(HealthReason::FailedHealthChecks));
    assert_eq!(after(&[Good], 5, 2).health().reason, None);
}

proptest! {
    /// A state only changes after as many results in a row as its threshold says, and the same result again changes nothing more.
    #[test]
    fn thresholds_hold(results in proptest::collection::vec(any::<bool>(), 0..60), healthy in 2..6_u32, unhealthy in 2..6_u32) {
        let mut checks = Checks::new();
        let (mut good_in_row, mut bad_in_row) = (0, 0);
        for good in results {
            let before = checks.state();
            if good { good_in_row += 1; bad_in_row = 0 } else { bad_in_row += 1; good_in_row = 0 }
            checks.observe(if good { &Good } else { &Failed }, healthy, unhealthy);
            match (before, checks.state()) {
                (HealthState::Initial, HealthState::Healthy) => prop_assert!(good),
                (HealthState::Unhealthy, HealthState::Healthy) => prop_assert!(good_in_row >= healthy),
                (HealthState::Healthy | HealthState::Initial, HealthState::Unhealthy) => prop_assert!(bad_in_row >= unhealthy),
                (before, now) => prop_assert_eq!(before, now),
            }
            prop_assert_eq!(checks.health().reason.is_none(), checks.state() == HealthState::Healthy);
        }
    }

    /// It converges: enough of the same, and the state is that, for good.
    #[test]
    fn the_same_again_settles(results in proptest::collection::vec(any::<bool>(), 0..20), good: bool, healthy in 2..6_u32, unhealthy in 2..6_u32) {
        let (last, expected) = if good { (Good, HealthState::Healthy) } else { (Failed, HealthState::Unhealthy) };
        let mut checks = Checks::new();
        for good in results {
            checks.observe(if good { &Good } else { &Failed }, healthy, unhealthy);
        }
        for _ in 0..healthy.max(unhealthy) {
            checks.observe(&last, healthy, unhealthy);
        }
        prop_assert_eq!(checks.state(), expected);
        prop_assert!(!checks.observe(&last, healthy, unhealthy));
    }
}
