//! Which tasks are stopped first.

use super::*;
use crate::{Provider, Resource, Stoppable, share};

/// Names of the tasks, in the order in which they are stopped.
fn order<'a>(fleet: &Fleet, tasks: &[Stoppable<'a>], strategies: &[Strategy], count: usize) -> Vec<&'a str> {
    fleet.stop_order(tasks, strategies, count).into_iter().map(|task| tasks[task].id).collect()
}

fn on<'a>(id: &'a str, instance: &'a str, zone: &'a str) -> Stoppable<'a> {
    Stoppable { id, instance: Some(instance), zone }
}

#[test]
fn the_fullest_zone_and_instance_lose_first() {
    let tasks =
        [on("1", "a1", "a"), on("2", "b1", "b"), on("3", "a2", "a"), on("4", "a2", "a"), on("5", "b1", "b")];
    // Zone a has three, of which two are on a2; then both zones have two, and both of b are on one instance.
    assert_eq!(order(&Fleet::new(), &tasks, &[], 3), ["4", "5", "3"]);
}

#[test]
fn tasks_without_instances_are_spread_over_zones() {
    let fargate = |id, zone| Stoppable { id, instance: None, zone };
    let tasks = [fargate("1", "a"), fargate("2", "b"), fargate("3", "b"), fargate("4", "b")];
    assert_eq!(order(&Fleet::new(), &tasks, &[], 2), ["4", "3"]);
    assert_eq!(order(&Fleet::new(), &tasks, &[], 9).len(), 4);
}

#[test]
fn binpack_empties_the_emptiest() {
    let mut fleet = fleet(2, &["a"]);
    let small = demand(100, 100);
    for (id, instance) in [("1", "000"), ("2", "000"), ("3", "001")] {
        fleet.set_task(id, held(instance, "service:web", &small));
    }
    let tasks = [on("1", "000", "a"), on("2", "000", "a"), on("3", "001", "a")];
    let binpack = [Strategy::Binpack(Resource::Memory)];
    assert_eq!(order(&fleet, &tasks, &binpack, 3), ["3", "2", "1"]);
}

#[test]
fn bases_come_first_and_weights_share_the_rest() {
    let provider = |base, weight| Provider { base, weight, running: 0 };
    let mixed = [provider(2, 1), provider(0, 3)];
    let first = |count: usize| {
        let shared = share(&mixed, count);
        assert_eq!(shared.len(), count);
        shared.into_iter().filter(|provider| *provider == 0).count()
    };
    assert_eq!([1, 2, 6, 10].map(first), [1, 2, 3, 4]);
    assert_eq!(share(&[provider(0, 0)], 3), [0; 3], "a provider that is alone");
    assert_eq!(share(&[provider(1, 0), provider(0, 0)], 3), [0], "without weights the base is all");
    assert_eq!(share(&[], 3), [0; 0]);
}

#[test]
fn what_runs_already_counts() {
    let with = |first, second| {
        let of = |base, weight, running| Provider { base, weight, running };
        share(&[of(2, 1, first), of(0, 3, second)], 3)
    };
    assert_eq!(with(1, 0), [0, 1, 1]);
    assert_eq!(with(3, 0), [1; 3]);
    assert_eq!(with(0, 6), [0; 3], "the base is filled again");
}
