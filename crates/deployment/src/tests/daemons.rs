//! DAEMON: one on each eligible instance.

use super::{
    fleet::{Behaviour, Fleet},
    percent, seconds, service,
};
use crate::{Phase, Scheduling, Service};

fn daemon(instances: &[&str]) -> Service {
    let mut service = service(0);
    service.scheduling = eligible(instances);
    service.configuration = percent(0, 100);
    service
}

fn eligible(instances: &[&str]) -> Scheduling {
    Scheduling::Daemon { eligible: instances.iter().map(|id| (*id).to_owned()).collect() }
}

fn instances(fleet: &Fleet) -> Vec<&str> {
    let mut instances: Vec<&str> = fleet
        .tasks
        .iter()
        .filter(|task| task.is_living())
        .filter_map(|task| task.instance.as_deref())
        .collect();
    instances.sort_unstable();
    instances
}

#[test]
fn one_on_each_instance_as_they_come_and_go() {
    let mut fleet = Fleet::steady(daemon(&["a", "b"]), 1);
    assert_eq!(instances(&fleet), ["a", "b"]);
    assert_eq!(fleet.state.primary().unwrap().desired_count, 2);
    fleet.service.scheduling = eligible(&["b", "c", "d"]);
    fleet.settle();
    assert_eq!(instances(&fleet), ["b", "c", "d"]);
    assert!(fleet.is_steady());
    let victim = fleet.tasks[0].id.clone();
    fleet.kill(&victim);
    fleet.settle();
    assert_eq!(instances(&fleet), ["b", "c", "d"]);
}

#[test]
fn a_deployment_stops_before_it_starts_and_keeps_the_minimum() {
    let mut fleet = Fleet::steady(daemon(&["a", "b", "c", "d"]), 2);
    fleet.service.configuration = percent(50, 100);
    fleet.deploy("r2", Behaviour::default());
    fleet.plan();
    let running = fleet.tasks.iter().filter(|task| task.phase == Phase::Running).count();
    assert_eq!((running, fleet.tasks.len()), (2, 4), "two stop, nothing starts beside them");
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(instances(&fleet), ["a", "b", "c", "d"]);
    for (_, plan) in &fleet.history {
        assert!(plan.start.iter().all(|start| start.instance.is_some() && start.count == 1));
    }
}

#[test]
fn no_instance_is_a_steady_daemon_too() {
    let mut fleet = Fleet::steady(daemon(&[]), 3);
    assert!(fleet.tasks.is_empty());
    fleet.run_for(seconds(60));
    assert_eq!(fleet.told("has reached a steady state."), 1);
}
