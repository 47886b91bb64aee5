//! Task sets, moves between zones, small plans, the state's form on disk.

use std::collections::BTreeMap;

use super::{
    START,
    fleet::{Behaviour, Fleet},
    of, seconds, service,
};
use crate::{Controller, Limits, Stability, StartBackOff, State, TaskSet};

fn task_set(id: &str, scale_percent: f64) -> TaskSet {
    TaskSet {
        id: id.to_owned(),
        scale_percent,
        draining: false,
        computed_desired_count: 0,
        stability: Stability::Stabilizing,
        stability_at: START,
        updated_at: START,
        start_back_off: StartBackOff::default(),
    }
}

#[test]
fn task_sets_hold_their_share_rounded_up() {
    let mut service = service(5);
    service.controller = Controller::External;
    let mut fleet = Fleet::new(service, 1);
    fleet.behaviours.insert("r1".to_owned(), Behaviour::default());
    fleet.state.task_sets = vec![task_set("ecs-svc/1", 50.0), task_set("ecs-svc/2", 0.0)];
    fleet.settle();
    assert_eq!((of(&fleet.tasks, "ecs-svc/1").len(), of(&fleet.tasks, "ecs-svc/2").len()), (3, 0));
    assert!(fleet.state.task_sets.iter().all(|set| set.stability == Stability::SteadyState));
    assert_eq!(fleet.told("(service web, taskSet ecs-svc/1) has reached a steady state."), 1);
    fleet.state.task_sets[1].scale_percent = 100.0;
    fleet.plan();
    assert_eq!(fleet.state.task_sets[1].stability, Stability::Stabilizing);
    fleet.settle();
    assert_eq!((of(&fleet.tasks, "ecs-svc/1").len(), of(&fleet.tasks, "ecs-svc/2").len()), (3, 5));
    fleet.state.task_sets[0].draining = true;
    fleet.settle();
    assert_eq!(of(&fleet.tasks, "ecs-svc/1").len(), 0);
    assert_eq!(fleet.state.task_sets.len(), 1);
    let drained: Vec<_> = fleet.history.iter().flat_map(|(_, plan)| plan.drained_task_sets.clone()).collect();
    assert_eq!(drained, ["ecs-svc/1"]);
    assert_eq!(fleet.told("(service web, taskSet ecs-svc/1) has stopped 3 running tasks: (task "), 1);
}

fn zones(fleet: &Fleet) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for zone in fleet.tasks.iter().filter_map(|task| task.zone.clone()) {
        *zones.entry(zone).or_default() += 1;
    }
    zones
}

#[test]
fn an_uneven_service_moves_tasks_one_by_one_starting_first() {
    let mut service = service(6);
    service.zones = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
    service.zone_rebalancing = true;
    let mut fleet = Fleet::new(service, 2);
    fleet.zones = vec!["a".to_owned()];
    fleet.deploy("r1", Behaviour::default());
    fleet.settle();
    assert_eq!(
        zones(&fleet),
        BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 2), ("c".to_owned(), 2)])
    );
    assert!(fleet.is_steady());
    assert_eq!(
        fleet.told("is not AZ balanced with 6 tasks in a, 0 tasks in b, 0 tasks in c. AZ Rebalancing in"),
        1
    );
    assert_eq!(fleet.told("is AZ balanced with 2 tasks in a, 2 tasks in b, 2 tasks in c."), 1);
    let most = fleet.history.iter().map(|(_, plan)| plan.start.iter().map(|it| it.count).sum::<u32>());
    assert_eq!(most.filter(|count| *count == 1).count(), 4, "four moves");
}

#[test]
fn moves_that_do_not_help_pause() {
    let mut service = service(3);
    service.zones = vec!["a".to_owned(), "b".to_owned()];
    service.zone_rebalancing = true;
    let mut fleet = Fleet::new(service, 3);
    fleet.zones = vec!["a".to_owned()];
    fleet.deploy("r1", Behaviour::default());
    // Zone b cannot be had: what is started for it lands in a.
    for _ in 0..5_000 {
        fleet.step();
        for task in &mut fleet.tasks {
            task.zone = Some("a".to_owned());
        }
        if fleet.now.since(START) > seconds(4 * 3600) {
            break;
        }
    }
    let moves = fleet.history.iter().filter(|(_, plan)| !plan.start.is_empty()).count();
    assert!((3..=12).contains(&moves), "{moves}");
}

#[test]
fn small_plans_lead_to_the_same_end() {
    let mut fleet = Fleet::new(service(25), 4);
    fleet.limits = Limits { changes: 1 };
    fleet.deploy("r1", Behaviour::default());
    fleet.settle();
    fleet.deploy("r2", Behaviour::default());
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(fleet.tasks.len(), 25);
}

#[test]
fn the_state_survives_being_stored() {
    let mut fleet = Fleet::steady(service(2), 5);
    fleet.deploy("r2", Behaviour::default());
    fleet.run_for(seconds(3));
    let stored = serde_json::to_string(&fleet.state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&stored).unwrap(), fleet.state);
}

#[test]
fn a_snapshot_from_before_a_plan_does_no_harm_to_what_it_names() {
    let mut fleet = Fleet::steady(service(2), 6);
    let (state, tasks) = (fleet.state.clone(), fleet.tasks.clone());
    fleet.service.desired_count = 1;
    let mut ids = vocabulary::SeededIds::new(1);
    let plan = |ids: &mut vocabulary::SeededIds| {
        crate::plan(&fleet.service, &state, &tasks, super::LIMITS, fleet.now, ids).0
    };
    assert_eq!(plan(&mut ids), plan(&mut ids), "the same snapshot, the same plan");
}
