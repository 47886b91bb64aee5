//! The container instances that services run on: drained, taken back, joined by others.

use std::collections::BTreeSet;

use super::{
    super::{
        instance::set,
        placing::{attribute, machine},
        *,
    },
    world::{World, short},
};
use crate::services::ecs::records::{ContainerInstance, InstanceStatus, Task};

const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];

/// How many there may be; each has room for more tasks than a scenario has.
const MOST: usize = 6;

/// With one of them drained, 75 % of the others are fewer than they are.
const ENOUGH: usize = 5;

pub async fn begin(world: &mut World) {
    for _ in 0..2 + world.random.below(3) {
        join(world).await;
    }
}

async fn join(world: &mut World) {
    let zone = ZONES[world.machines.len() % ZONES.len()];
    let mut request = machine(zone);
    // What definitions with a health check need.
    for name in
        ["ecs.capability.container-health-check", "com.amazonaws.ecs.capability.docker-remote-api.1.24"]
    {
        request.attributes.get_or_insert_default().push(attribute(name, None));
    }
    let id = world.fixture.machine(request).await;
    world.tell(|| format!("{} joins in {zone}", short(&id)));
    world.machines.push(id);
}

/// Ids of those that take tasks.
pub fn active(world: &World) -> BTreeSet<String> {
    let is_active = |id: &&String| {
        let record = world
            .fixture
            .services
            .state
            .read(|view| view.get::<ContainerInstance>(&scope(), &format!("default/{id}")));
        record.is_some_and(|record| record.status == InstanceStatus::Active)
    };
    world.machines.iter().filter(is_active).cloned().collect()
}

/// Whether the task is where tasks may be.
pub fn takes_tasks(world: &World, task: &Task) -> bool {
    task.container_instance.as_ref().is_some_and(|id| active(world).contains(id))
}

/// One is drained, or taken back, or a new one joins.
pub async fn wish(world: &mut World) {
    if world.machines.len() < MOST && world.random.chance(20) {
        join(world).await;
    } else {
        let id = world.machines[world.random.below(world.machines.len())].clone();
        let drains = active(world).contains(&id);
        change(world, &id, drains).await;
    }
    world.after_change();
}

async fn change(world: &mut World, id: &str, drains: bool) {
    let status = match drains {
        true => ecs::ContainerInstanceStatus::Draining,
        false => ecs::ContainerInstanceStatus::Active,
    };
    world.tell(|| format!("{} is to be {status:?}", short(id)));
    assert_eq!(set(&world.fixture, id, status).await.failures, Some(vec![]));
}

/// In the end all take tasks but one, which is drained: enough of them that a daemon's minimum leaves one to be replaced.
pub async fn settle(world: &mut World) {
    while world.kind.is_on_machines() && world.machines.len() < ENOUGH {
        join(world).await;
    }
    let Some((drained, others)) =
        world.machines.clone().split_first().map(|(one, all)| (one.clone(), all.to_vec()))
    else {
        return;
    };
    for id in others {
        change(world, &id, false).await;
    }
    change(world, &drained, true).await;
    world.after_change();
}
