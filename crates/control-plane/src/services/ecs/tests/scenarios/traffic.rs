//! The pretended load balancer: how targets do, who gets requests.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use super::{
    super::{balanced::measured, *},
    world::{Happening, World},
};
use crate::services::elbv2::{
    health::{Health, State},
    records::Target,
    targets, upkeep,
};

/// Between two rounds of checks.
const INTERVAL: Duration = Duration::from_secs(10);

pub fn registered(world: &World) -> Vec<Target> {
    world
        .fixture
        .services
        .state
        .read(|view| view.scan::<Target>(&scope()).map(|(_, target)| (*target).clone()).collect())
}

/// Every target is checked; those that have drained are taken out.
pub async fn measure(world: &mut World) {
    let mut all = BTreeMap::new();
    let view = world.fixture.services.state.view();
    for task in world.tasks() {
        for place in task.targets.iter().filter_map(|place| measured(&view, place)) {
            let health = match world.fleet.answers(&task.id, world.now()) {
                None => Health::new(
                    State::Initial,
                    "Elb.InitialHealthChecking",
                    "Initial health checks in progress",
                ),
                Some(true) => Health::healthy(),
                Some(false) => Health::new(State::Unhealthy, "Target.Timeout", "Request timed out"),
            };
            all.insert(place, health);
        }
    }
    let mut changed = world.fixture.services.target_health.subscribe();
    world.fixture.services.target_health.replace(all, HashSet::new());
    upkeep::end_drained(&world.fixture.services, world.now()).await.unwrap();
    if changed.has_changed().unwrap() {
        changed.mark_unchanged();
        world.look_soon();
    }
    world.after_change();
    world.after(INTERVAL, Happening::Measure);
}

/// Whether every target of the task was found healthy.
pub fn is_served(world: &World, task: &records::Task) -> bool {
    let view = world.fixture.services.state.view();
    let board = &world.fixture.services.target_health;
    !task.targets.is_empty()
        && task.targets.iter().all(|place| {
            let health = measured(&view, place).and_then(|place| board.of(&place));
            health.is_some_and(|health| health.state == State::Healthy)
        })
}

/// The groups that get requests.
pub fn busy_groups(world: &World) -> Vec<String> {
    let Some(listener) = &world.listener else { return Vec::new() };
    let weights =
        world.fixture.services.state.read(|view| targets::weights(view, &scope(), listener)).unwrap();
    weights.into_iter().filter(|(_, weight)| *weight > 0).map(|(group, _)| group).collect()
}

/// Tasks that get requests and answer them.
pub fn serving(world: &World, groups: &[String]) -> usize {
    let tasks = world.tasks();
    let served = tasks.iter().filter(|task| is_served(world, task));
    let in_one = |place: &records::TaskTarget| {
        place.at.target_group().is_some_and(|arn| groups.iter().any(|group| group == arn))
    };
    served.filter(|task| task.targets.iter().any(in_one)).count()
}
