//! The deployment controller changes while tasks run.

use super::{
    fleet::{Behaviour, Fleet},
    of, service,
};
use crate::{CannotHandOver, Controller, RolloutState, Stability};

fn ids(fleet: &Fleet) -> Vec<String> {
    let mut ids: Vec<String> =
        fleet.tasks.iter().filter(|task| task.is_living()).map(|task| task.id.clone()).collect();
    ids.sort();
    ids
}

#[test]
fn tasks_go_on_under_another_controller_and_back() {
    let mut fleet = Fleet::steady(service(3), 1);
    let before = ids(&fleet);
    let source = fleet.state.give_to_task_sets(3, fleet.now).unwrap().unwrap();
    assert_eq!(source.revision, "r1");
    let set = fleet.state.task_sets[0].clone();
    assert_eq!(
        (&set.id, set.computed_desired_count, set.stability),
        (&source.deployment, 3, Stability::SteadyState)
    );
    fleet.service.controller = Controller::External;
    fleet.settle();
    assert_eq!(ids(&fleet), before, "nothing starts and nothing stops");
    fleet.state.task_sets[0].scale_percent = 50.0;
    fleet.settle();
    assert_eq!(of(&fleet.tasks, &set.id).len(), 2);

    let made = fleet.now;
    fleet.settle();
    fleet.state.take_from_task_sets(Some(&set.id), ("r1", made), 3, fleet.now).unwrap();
    assert_eq!(fleet.state.primary().unwrap().created_at, made);
    assert_eq!(fleet.state.primary().unwrap().rollout_state, RolloutState::InProgress, "one is missing");
    fleet.service.controller = Controller::Ecs;
    fleet.settle();
    assert!(fleet.is_steady());
    assert_eq!(ids(&fleet).len(), 3);
    assert_eq!(fleet.state.last_completed.as_ref().unwrap().revision, "r1");
    fleet.deploy("r2", Behaviour::default());
    assert_eq!(fleet.state.give_to_task_sets(3, fleet.now), Err(CannotHandOver::StillDeploying));
    fleet.settle();
    assert!(fleet.is_steady());
}

#[test]
fn only_a_primary_set_that_is_alone_is_taken_over() {
    let mut fleet = Fleet::steady(service(1), 2);
    fleet.state.give_to_task_sets(1, fleet.now).unwrap();
    let set = fleet.state.task_sets[0].clone();
    let taken = |fleet: &Fleet, primary: Option<&str>| fleet.state.only_task_set(primary).cloned();
    assert_eq!(taken(&fleet, None), Err(CannotHandOver::NoPrimary));
    assert_eq!(taken(&fleet, Some("ecs-svc/9")), Err(CannotHandOver::NoPrimary));
    assert_eq!(taken(&fleet, Some(&set.id)), Ok(set.clone()));
    fleet.state.task_sets.push(crate::TaskSet { id: "ecs-svc/9".to_owned(), ..set.clone() });
    assert_eq!(taken(&fleet, Some(&set.id)), Err(CannotHandOver::SeveralTaskSets));
}
