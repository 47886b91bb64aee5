//! ROLLING: percentages, health, scale, steady state.

use std::collections::BTreeSet;

use super::{
    fleet::{Behaviour, Checked, Fleet},
    of, percent, seconds, service,
};
use crate::{Bounds, EndedBy, Phase, RolloutState, RolloutStatus, Waiting};

#[test]
fn percentages_are_exact() {
    let bounds = |desired, minimum, maximum| {
        let bounds = Bounds::new(desired, &percent(minimum, maximum));
        (bounds.minimum, bounds.maximum)
    };
    assert_eq!(bounds(3, 100, 200), (3, 6));
    assert_eq!(bounds(3, 50, 150), (2, 4));
    assert_eq!(bounds(1, 50, 150), (1, 1));
    assert_eq!(bounds(7, 33, 133), (3, 9));
    assert_eq!(bounds(0, 100, 200), (0, 0));
    assert_eq!(bounds(10, 0, 100), (0, 10));
}

#[test]
fn a_new_service_starts_all_at_once_and_tells_its_steady_state_once() {
    let mut fleet = Fleet::steady(service(3), 1);
    assert_eq!(of(&fleet.tasks, &fleet.state.deployments[0].id).len(), 3);
    fleet.run_for(seconds(3600));
    assert_eq!(fleet.told("has reached a steady state."), 1);
    assert_eq!(fleet.told("deployment completed."), 1);
    assert_eq!(fleet.state.rollout.as_ref().unwrap().status, RolloutStatus::Successful);
    fleet.run_for(seconds(5 * 3600 + 100));
    assert_eq!(fleet.told("has reached a steady state."), 2, "again after six hours");
}

#[test]
fn without_checks_a_task_counts_as_healthy_after_40_seconds() {
    let mut fleet = Fleet::new(service(1), 1);
    fleet.deploy("r1", Behaviour { check: Checked::Nothing, ..Behaviour::default() });
    fleet.run_for(seconds(40));
    assert_eq!(fleet.state.deployments[0].rollout_state, RolloutState::InProgress);
    fleet.run_for(seconds(1));
    assert_eq!(fleet.state.deployments[0].rollout_state, RolloutState::Completed);
}

#[test]
fn old_tasks_go_only_when_new_ones_are_in_good_health() {
    let mut fleet = Fleet::steady(service(3), 2);
    let old = fleet.state.deployments[0].id.clone();
    let new = fleet.deploy("r2", Behaviour::default());
    fleet.run_for(seconds(5));
    assert_eq!((of(&fleet.tasks, &old).len(), of(&fleet.tasks, &new).len()), (3, 3));
    fleet.run_for(seconds(1));
    assert_eq!((of(&fleet.tasks, &old).len(), of(&fleet.tasks, &new).len()), (0, 3));
    fleet.settle();
    assert!(fleet.is_steady());
    let ids: Vec<_> = fleet.state.deployments.iter().map(|it| &it.id).collect();
    assert_eq!(ids, [&new], "the old one is over");
    assert_eq!(fleet.told("has stopped 3 running tasks: (task "), 1);
}

#[test]
fn without_room_above_old_tasks_make_it_down_to_the_minimum() {
    let mut fleet = Fleet::steady(service(4), 3);
    fleet.service.configuration = percent(50, 100);
    let old = fleet.state.deployments[0].id.clone();
    let new = fleet.deploy("r2", Behaviour::default());
    fleet.plan();
    assert_eq!((of(&fleet.tasks, &old).len(), of(&fleet.tasks, &new).len()), (2, 2));
    fleet.settle();
    assert!(fleet.is_steady());
}

#[test]
fn percentages_that_leave_no_way_are_told() {
    let mut fleet = Fleet::steady(service(2), 4);
    fleet.service.configuration = percent(100, 100);
    fleet.deploy("r2", Behaviour::default());
    fleet.run_for(seconds(60));
    assert_eq!(fleet.told("was unable to stop or start tasks during a deployment because of the service"), 1);
    assert!(fleet.last_report.waiting.contains(&Waiting::Maximum { maximum: 2 }));
    fleet.service.configuration = percent(50, 100);
    fleet.settle();
    assert!(fleet.is_steady());
}

#[test]
fn a_killed_task_is_replaced_and_counts_for_nothing() {
    let mut fleet = Fleet::steady(service(3), 5);
    let victim = fleet.tasks[0].id.clone();
    fleet.kill(&victim);
    fleet.plan();
    assert_eq!(fleet.tasks.iter().filter(|task| task.is_living()).count(), 3, "at once");
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.state.deployments[0].failed_tasks, 0);
    assert_eq!(fleet.told("has reached a steady state."), 2);
}

#[test]
fn an_unhealthy_task_is_replaced_before_it_stops_when_there_is_room() {
    let mut fleet = Fleet::steady(service(2), 6);
    let sick = fleet.tasks[0].id.clone();
    fleet.sicken(&sick);
    fleet.plan();
    let living = fleet.tasks.iter().filter(|task| task.is_living()).count();
    assert_eq!(living, 3, "the replacement is on its way");
    fleet.until("the sick one goes", |fleet| {
        fleet.tasks.iter().all(|task| task.id != sick || task.phase != Phase::Running)
    });
    let stop = fleet.history.iter().flat_map(|(_, plan)| &plan.stop).find(|stop| stop.task == sick).unwrap();
    assert_eq!(stop.reason, "Task failed container health checks");
    assert_eq!(fleet.told("failed container health checks."), 1);
    fleet.settle();
    assert!(fleet.is_steady());
}

#[test]
fn unhealthy_tasks_without_room_go_one_by_one() {
    let mut fleet = Fleet::steady(service(3), 7);
    fleet.service.configuration = percent(100, 100);
    for id in fleet.tasks.iter().map(|task| task.id.clone()).collect::<Vec<_>>() {
        fleet.sicken(&id);
    }
    fleet.plan();
    assert_eq!(fleet.tasks.iter().filter(|task| task.phase == Phase::Running).count(), 2);
    fleet.settle();
    assert!(fleet.is_steady());
}

#[test]
fn bad_health_within_the_grace_period_is_no_verdict() {
    let mut service = service(1);
    service.health_check_grace_period = seconds(60);
    let mut fleet = Fleet::new(service, 8);
    fleet.deploy("r1", Behaviour { unhealthy: 100, check: Checked::Target(5_000), ..Behaviour::default() });
    fleet.run_for(seconds(60));
    assert_eq!(fleet.state.deployments[0].failed_tasks, 0);
    assert_eq!(fleet.tasks.len(), 1);
    fleet.run_for(seconds(2));
    assert_eq!(fleet.state.deployments[0].failed_tasks, 1);
    assert_eq!(fleet.state.deployments[0].failed_health, 1);
}

#[test]
fn scale_in_spares_zones_with_few_and_protected_tasks() {
    let mut service = service(6);
    service.zones = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let mut fleet = Fleet::new(service, 9);
    fleet.zones = fleet.service.zones.clone();
    fleet.deploy("r1", Behaviour::default());
    fleet.settle();
    let protected: BTreeSet<String> = fleet
        .tasks
        .iter()
        .filter(|task| task.zone.as_deref() == Some("a"))
        .map(|task| task.id.clone())
        .collect();
    let until = fleet.now + seconds(600);
    for task in fleet.tasks.iter_mut().filter(|task| protected.contains(&task.id)) {
        task.protected_until = Some(until);
    }
    fleet.service.desired_count = 3;
    fleet.run_for(seconds(60));
    let zones: Vec<_> = fleet.tasks.iter().filter_map(|task| task.zone.as_deref()).collect();
    assert_eq!(zones.iter().filter(|zone| **zone == "a").count(), 2, "protected");
    assert_eq!(zones.len(), 3);
    assert_eq!(fleet.told("has stopped 3 running tasks"), 1);
    fleet.service.desired_count = 1;
    fleet.run_for(seconds(60));
    assert_eq!(fleet.tasks.len(), 2);
    assert!(matches!(&fleet.last_report.waiting[..], [Waiting::Protection { tasks }] if tasks.len() == 2));
    fleet.settle();
    assert_eq!(fleet.tasks.len(), 1, "protection ends");
}

#[test]
fn old_protected_tasks_hold_a_deployment_up() {
    let mut fleet = Fleet::steady(service(2), 10);
    let until = fleet.now + seconds(900);
    fleet.tasks[0].protected_until = Some(until);
    fleet.deploy("r2", Behaviour::default());
    fleet.run_for(seconds(800));
    assert_eq!(fleet.state.deployments[0].rollout_state, RolloutState::InProgress);
    assert_eq!(fleet.state.deployments.len(), 2);
    fleet.settle();
    assert!(fleet.is_steady());
}

#[test]
fn draining_instances_lose_pending_tasks_at_once_and_running_ones_within_the_percentages() {
    let mut fleet = Fleet::steady(service(2), 11);
    for task in &mut fleet.tasks {
        task.instance_draining = true;
    }
    fleet.plan();
    assert_eq!(fleet.tasks.iter().filter(|task| task.is_living()).count(), 4);
    for task in fleet.tasks.iter_mut().filter(|task| task.phase == Phase::Pending) {
        task.instance_draining = true;
    }
    fleet.plan();
    let running = fleet.tasks.iter().filter(|task| task.phase == Phase::Running).count();
    let stopping = fleet.tasks.iter().filter(|task| task.phase == Phase::Stopping).count();
    assert_eq!((running, stopping), (2, 2));
    fleet.settle();
    assert!(fleet.is_steady());
    assert!(fleet.tasks.iter().all(|task| !task.instance_draining));
}

#[test]
fn a_deployment_that_overtakes_another_ends_it() {
    let mut fleet = Fleet::steady(service(3), 12);
    fleet.deploy("r2", Behaviour { check: Checked::Container(60_000), ..Behaviour::default() });
    fleet.run_for(seconds(10));
    let (third, superseded) =
        fleet.state.deploy("r3", crate::Strategy::Rolling, fleet.now, &mut vocabulary::SeededIds::new(77));
    fleet.behaviours.insert("r3".to_owned(), Behaviour::default());
    let superseded = superseded.unwrap();
    assert_eq!(superseded.status, RolloutStatus::Stopped);
    assert!(superseded.status_reason.unwrap().contains("superseded"));
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.state.deployments[0].id, third);
    assert_eq!(fleet.state.deployments.len(), 1);
}

#[test]
fn a_forced_deployment_of_the_same_revision_replaces_every_task() {
    let mut fleet = Fleet::steady(service(2), 13);
    let before: BTreeSet<String> = fleet.tasks.iter().map(|task| task.id.clone()).collect();
    fleet.deploy("r1", Behaviour::default());
    fleet.settle();
    assert!(fleet.is_steady());
    assert!(fleet.tasks.iter().all(|task| !before.contains(&task.id)));
}

#[test]
fn a_service_that_is_deleted_drains_to_nothing() {
    let mut fleet = Fleet::steady(service(3), 14);
    fleet.tasks[0].protected_until = Some(fleet.now + seconds(10_000));
    fleet.service.status = crate::ServiceStatus::Draining;
    fleet.settle();
    let last = &fleet.history.last().unwrap().1;
    assert!(last.service_inactive);
    assert_eq!(last.inactive.len(), 1);
    assert!(fleet.tasks.is_empty());
}

#[test]
fn a_task_that_a_user_stops_is_replaced_without_a_count() {
    let mut fleet = Fleet::new(service(1), 15);
    fleet.deploy("r1", Behaviour::default());
    fleet.run_for(seconds(2));
    let id = fleet.tasks[0].id.clone();
    fleet.end(&id, EndedBy::User);
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.state.deployments[0].failed_tasks, 0);
}

#[test]
fn early_success_completes_before_all_are_there() {
    let mut fleet = Fleet::steady(service(10), 16);
    fleet.service.configuration.maximum_percent = 150;
    fleet.service.configuration.early_success =
        Some(crate::EarlySuccess { healthy_percent: 50, source_cleanup: crate::SourceCleanup::Deferred });
    let new = fleet.deploy("r2", Behaviour::default());
    fleet.until("completed", |fleet| fleet.state.deployments[0].rollout_state == RolloutState::Completed);
    assert!(of(&fleet.tasks, &new).len() < 10 || fleet.state.deployments.len() == 2);
    fleet.settle();
    assert!(fleet.is_steady(), "the rest follows");
    assert_eq!(of(&fleet.tasks, &new).len(), 10);
}
