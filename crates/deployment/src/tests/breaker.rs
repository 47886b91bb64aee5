//! What fails a deployment, at which count, and what follows.

use super::{
    fleet::{Behaviour, Checked, Fleet},
    of, seconds, service,
};
use crate::{
    Alarms, CircuitBreaker, Configuration, Monitor, Phase, Refused, RolloutState, RolloutStatus, StopType,
    Threshold, circuit_breaker_threshold,
};

fn breaking(rollback: bool) -> Configuration {
    Configuration {
        circuit_breaker: CircuitBreaker { enable: true, rollback, ..CircuitBreaker::default() },
        ..Configuration::default()
    }
}

const NEVER_STARTS: u32 = 100;

#[test]
fn thresholds() {
    let bounded: Vec<u32> = [1, 3, 10, 25, 100, 400, 800]
        .iter()
        .map(|desired| circuit_breaker_threshold(Threshold::BoundedPercent(50), *desired))
        .collect();
    assert_eq!(bounded, [3, 3, 5, 13, 50, 200, 200]);
    assert_eq!(circuit_breaker_threshold(Threshold::UnboundedPercent(50), 1), 1);
    assert_eq!(circuit_breaker_threshold(Threshold::UnboundedPercent(10), 3000), 300);
    assert_eq!(circuit_breaker_threshold(Threshold::Count(7), 100), 7);
}

/// Deploys `broken` over a steady service and watches it fail at exactly `threshold` and go back.
fn check_fails_and_goes_back(desired: u32, threshold: u32, broken: Behaviour, seed: u64) {
    let mut service = service(desired);
    service.configuration = breaking(true);
    let mut fleet = Fleet::steady(service, seed);
    let good = fleet.state.deployments[0].id.clone();
    let bad = fleet.deploy("r2", broken);
    fleet.until("failed", |fleet| fleet.state.rollout.as_ref().unwrap().rollback.is_some());
    let over = fleet.history.iter().flat_map(|(_, plan)| &plan.inactive);
    let failed = fleet.state.deployments.iter().chain(over).find(|it| it.id == bad).cloned().unwrap();
    assert_eq!(failed.rollout_state, RolloutState::Failed);
    assert_eq!(failed.rollout_state_reason, "ECS deployment circuit breaker: tasks failed to start.");
    assert_eq!(failed.failed_tasks, threshold, "of {desired}");
    let rollout = fleet.state.rollout.clone().unwrap();
    assert_eq!((rollout.failure_count, rollout.threshold), (threshold, threshold));
    assert_eq!(rollout.circuit_breaker, Monitor::Triggered);
    assert_eq!(rollout.rollback.unwrap().to.deployment, good);
    // Until then it had been in progress with fewer.
    let before = fleet.history.iter().rev().find_map(|(_, plan)| {
        plan.state.deployments.iter().find(|it| it.id == bad && it.rollout_state == RolloutState::InProgress)
    });
    assert!(before.unwrap().failed_tasks < threshold);
    fleet.settle();
    assert!(fleet.is_steady());
    let primary = fleet.state.primary().unwrap();
    assert_eq!((&primary.id, primary.revision.as_str()), (&good, "r1"));
    assert_eq!(fleet.state.rollout.as_ref().unwrap().status, RolloutStatus::RollbackSuccessful);
    assert_eq!(fleet.told(&format!("(deployment {bad}) deployment failed: tasks failed to start.")), 1);
    assert_eq!(fleet.told(&format!("rolling back to deployment {good}.")), 1);
    assert_eq!(of(&fleet.tasks, &good).len(), desired as usize);
}

#[test]
fn a_revision_that_never_runs_fails_at_the_threshold() {
    for (desired, threshold) in [(1, 3), (3, 3), (10, 5), (25, 13), (100, 50)] {
        let broken = Behaviour { fail_to_start: NEVER_STARTS, start: (500, 3_000), ..Behaviour::default() };
        check_fails_and_goes_back(desired, threshold, broken, u64::from(desired));
    }
}

/// Its failures count before the tasks have stopped: what is under way when the last one counts is all that is too much.
#[test]
fn no_more_is_started_than_fails_while_tasks_take_long_to_stop() {
    for (desired, threshold) in [(1, 3), (3, 3), (10, 5), (25, 13), (100, 50)] {
        let broken = Behaviour {
            fail_to_start: NEVER_STARTS,
            start: (10, 100),
            stop: (60_000, 90_000),
            ..Behaviour::default()
        };
        let mut service = service(desired);
        service.configuration = breaking(true);
        let mut fleet = Fleet::steady(service, u64::from(desired));
        let bad = fleet.deploy("r2", broken);
        fleet.until("failed", |fleet| fleet.state.rollout.as_ref().unwrap().rollback.is_some());
        let started = fleet.tasks.iter().filter(|task| task.deployment == bad).count();
        assert!(started < (threshold + desired) as usize, "{started} of {desired} at {threshold}");
    }
}

#[test]
fn a_revision_that_fails_its_checks_fails_at_the_threshold() {
    for (desired, threshold) in [(1, 3), (3, 3), (10, 5), (25, 13), (100, 50)] {
        for check in [Checked::Container(3_000), Checked::Target(3_000)] {
            let broken = Behaviour { unhealthy: 100, start: (500, 3_000), check, ..Behaviour::default() };
            check_fails_and_goes_back(desired, threshold, broken, u64::from(desired));
        }
    }
}

#[test]
fn a_revision_that_ends_right_away_fails_at_the_threshold() {
    for (desired, threshold) in [(1, 3), (3, 3), (10, 5), (25, 13), (100, 50)] {
        let broken = Behaviour { end_early: 100, check: Checked::Nothing, ..Behaviour::default() };
        check_fails_and_goes_back(desired, threshold, broken, u64::from(desired));
    }
}

#[test]
fn without_rollback_a_failed_deployment_starts_nothing_more_and_the_old_one_stays() {
    let mut service = service(3);
    service.configuration = breaking(false);
    let mut fleet = Fleet::steady(service, 1);
    let good = fleet.state.deployments[0].id.clone();
    let bad = fleet.deploy("r2", Behaviour { fail_to_start: NEVER_STARTS, ..Behaviour::default() });
    fleet.settle();
    assert_eq!(fleet.state.primary().unwrap().id, bad);
    assert_eq!(fleet.state.rollout.as_ref().unwrap().status, RolloutStatus::Stopped);
    assert_eq!(of(&fleet.tasks, &good).len(), 3);
    let victim = fleet.tasks[0].id.clone();
    fleet.kill(&victim);
    fleet.settle();
    assert_eq!(
        (of(&fleet.tasks, &good).len(), of(&fleet.tasks, &bad).len()),
        (3, 0),
        "the old one is kept whole"
    );
    fleet.deploy("r3", Behaviour::default());
    fleet.settle();
    assert!(fleet.is_steady());
}

#[test]
fn a_first_deployment_has_nothing_to_go_back_to() {
    let mut service = service(1);
    service.configuration = breaking(true);
    let mut fleet = Fleet::new(service, 2);
    fleet.deploy("r1", Behaviour { fail_to_start: NEVER_STARTS, ..Behaviour::default() });
    fleet.settle();
    let primary = fleet.state.primary().unwrap();
    assert_eq!((primary.rollout_state, primary.failed_tasks), (RolloutState::Failed, 3));
    assert!(fleet.tasks.is_empty());
    assert_eq!(fleet.told("rolling back"), 0);
}

#[test]
fn a_healthy_task_resets_the_count_unless_it_is_cumulative() {
    for (reset, counted) in [(true, 0), (false, 2)] {
        let mut service = service(1);
        service.configuration = breaking(true);
        service.configuration.circuit_breaker.reset_on_healthy_task = reset;
        service.configuration.alarms = Alarms { enable: true, rollback: false, names: Vec::new() };
        // Stays in progress after the task is in good health.
        service.configuration.bake_time = seconds(3600);
        let mut fleet = Fleet::new(service, 3);
        fleet.deploy("r1", Behaviour { fail_to_start: NEVER_STARTS, ..Behaviour::default() });
        // The second start is under way and will fail too; the third succeeds.
        fleet.until("a failure", |fleet| fleet.state.deployments[0].failed_tasks == 1);
        fleet.behaviours.insert("r1".to_owned(), Behaviour::default());
        fleet.until("good", |fleet| fleet.tasks.iter().any(|task| task.noted == crate::Noted::Healthy));
        assert_eq!(fleet.state.deployments[0].failed_tasks, counted);
    }
}

#[test]
fn starts_pause_longer_and_longer_and_a_new_deployment_does_not() {
    let mut fleet = Fleet::new(service(1), 4);
    fleet.deploy("r1", Behaviour { fail_to_start: NEVER_STARTS, ..Behaviour::default() });
    fleet.run_for(seconds(3 * 3600));
    let starts: Vec<_> =
        fleet.history.iter().filter(|(_, plan)| !plan.start.is_empty()).map(|(at, _)| *at).collect();
    let pauses: Vec<u64> = starts.windows(2).map(|pair| pair[1].since(pair[0]).as_secs() - 1).collect();
    assert_eq!(pauses[..10], [0, 0, 10, 20, 40, 80, 160, 320, 640, 900]);
    assert!(pauses[10..].iter().all(|pause| *pause == 900));
    assert!(fleet.told("is unable to consistently start tasks successfully") > 0);
    let deployed = fleet.now;
    fleet.deploy("r2", Behaviour::default());
    fleet.plan();
    assert_eq!(fleet.tasks.iter().filter(|task| task.created_at == deployed).count(), 1);
    fleet.settle();
    assert!(fleet.is_steady());
}

#[test]
fn a_task_that_runs_ends_the_pauses() {
    let mut fleet = Fleet::new(service(1), 5);
    fleet.deploy("r1", Behaviour { fail_to_start: NEVER_STARTS, ..Behaviour::default() });
    fleet.run_for(seconds(60));
    assert!(fleet.state.deployments[0].start_back_off.rounds > 3);
    fleet.behaviours.insert("r1".to_owned(), Behaviour::default());
    fleet.settle();
    assert_eq!(fleet.state.deployments[0].start_back_off.rounds, 0);
}

#[test]
fn alarms_fail_a_deployment_also_while_it_bakes() {
    let mut service = service(2);
    service.configuration.alarms = Alarms { enable: true, rollback: true, names: vec!["5xx".to_owned()] };
    service.configuration.bake_time = seconds(300);
    let mut fleet = Fleet::steady(service, 6);
    let good = fleet.state.deployments[0].id.clone();
    let bad = fleet.deploy("r2", Behaviour::default());
    fleet.run_for(seconds(200));
    assert_eq!(fleet.state.deployments[0].rollout_state, RolloutState::InProgress);
    assert_eq!(of(&fleet.tasks, &bad).len(), 2);
    assert_eq!(fleet.state.deployments.len(), 1, "the old one is gone already");
    fleet.service.alarms_in_alarm = vec!["other".to_owned(), "5xx".to_owned()];
    fleet.settle();
    assert!(fleet.is_steady());
    let primary = fleet.state.primary().unwrap();
    assert_eq!(primary.revision, "r1");
    assert_ne!(primary.id, good, "its tasks were gone");
    assert_eq!(fleet.told("deployment failed: alarm detected."), 1);
    let rollout = fleet.state.rollout.clone().unwrap();
    assert_eq!(rollout.triggered_alarms, ["5xx"]);
    assert_eq!(rollout.status, RolloutStatus::RollbackSuccessful);
    // It rings on: the next deployment may be what silences it.
    fleet.deploy("r3", Behaviour::default());
    fleet.settle();
    assert_eq!(fleet.state.primary().unwrap().revision, "r3");
    assert!(fleet.is_steady());
}

#[test]
fn a_rollback_that_fails_too_stays_failed() {
    let mut service = service(1);
    service.configuration = breaking(true);
    let mut fleet = Fleet::steady(service, 7);
    fleet.deploy("r2", Behaviour { fail_to_start: NEVER_STARTS, ..Behaviour::default() });
    fleet
        .behaviours
        .insert("r1".to_owned(), Behaviour { fail_to_start: NEVER_STARTS, ..Behaviour::default() });
    fleet.until("two failures", |fleet| fleet.state.primary().unwrap().failed_tasks == 2);
    for task in fleet.tasks.clone().iter().filter(|task| task.phase == Phase::Running) {
        fleet.kill(&task.id);
    }
    fleet.settle();
    assert_eq!(fleet.state.rollout.as_ref().unwrap().status, RolloutStatus::RollbackFailed);
    assert_eq!(fleet.state.primary().unwrap().rollout_state, RolloutState::Failed);
}

#[test]
fn a_user_takes_a_deployment_back_or_stops_it_where_it_is() {
    let mut fleet = Fleet::steady(service(2), 8);
    assert_eq!(fleet.state.request_stop(StopType::Rollback, fleet.now), Err(Refused::NotInProgress));
    let slow = Behaviour { check: Checked::Container(600_000), ..Behaviour::default() };
    fleet.deploy("r2", slow.clone());
    fleet.run_for(seconds(5));
    fleet.state.request_stop(StopType::Rollback, fleet.now).unwrap();
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.state.primary().unwrap().revision, "r1");
    assert_eq!(fleet.state.rollout.as_ref().unwrap().status, RolloutStatus::RollbackSuccessful);

    let third = fleet.deploy("r3", slow);
    fleet.run_for(seconds(5));
    fleet.state.request_stop(StopType::Abort, fleet.now).unwrap();
    fleet.settle();
    assert_eq!(fleet.state.rollout.as_ref().unwrap().status, RolloutStatus::Stopped);
    assert_eq!((of(&fleet.tasks, &third).len(), fleet.tasks.len()), (2, 4), "all stay as they are");

    let mut fresh = Fleet::new(service(1), 9);
    fresh.deploy("r1", Behaviour::default());
    assert_eq!(fresh.state.request_stop(StopType::Rollback, fresh.now), Err(Refused::NothingToRollBackTo));
}

#[test]
fn what_finds_no_place_is_told_sparingly_and_counts() {
    let mut service = service(2);
    service.configuration = breaking(true);
    let mut fleet = Fleet::steady(service, 10);
    fleet.places = Some(0);
    fleet.deploy("r2", Behaviour::default());
    fleet.until("taken back", |fleet| fleet.state.rollout.as_ref().unwrap().rollback.is_some());
    assert_eq!(fleet.told("was unable to place a task because no container instance met all of its"), 1);
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.state.primary().unwrap().revision, "r1");
}

#[test]
fn old_tasks_make_place_when_there_is_none_as_far_as_the_minimum_allows() {
    let mut fleet = Fleet::steady(service(2), 11);
    fleet.service.configuration.minimum_healthy_percent = 50;
    fleet.places = Some(0);
    fleet.deploy("r2", Behaviour::default());
    fleet.run_for(seconds(1));
    assert_eq!(fleet.tasks.iter().filter(|task| task.phase == Phase::Running).count(), 1);
    fleet.places = None;
    fleet.settle();
    assert!(fleet.is_steady());
}
