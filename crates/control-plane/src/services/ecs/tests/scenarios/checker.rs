//! What must hold after every step, whatever has happened, and what must have come true in the end.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use deployment::Bounds;

use super::{
    super::*,
    machines, sets, traffic,
    world::{KEY, Kind, SERVICE, World},
};
use crate::services::ecs::{
    records::{DesiredStatus, Task},
    services::records::ServiceEvents,
};

pub fn is_living(task: &Task) -> bool {
    task.desired_status == DesiredStatus::Running && task.state.last_status <= TaskStatus::Running
}

/// Judged apart from the scheduler's own judgement: RUNNING, and its check has passed or it runs for 40 seconds; behind a load
/// balancer, its targets were found healthy.
fn is_healthy(world: &World, task: &Task) -> bool {
    if world.kind.is_balanced() {
        return is_living(task)
            && task.state.last_status == TaskStatus::Running
            && traffic::is_served(world, task);
    }
    let family = super::fleet::FAMILIES.into_iter().find(|family| family.name() == task.family).unwrap();
    is_living(task)
        && task.state.last_status == TaskStatus::Running
        && match (family.is_checked(), task.state.health_status) {
            (true, health) => health == HealthStatus::Healthy,
            (false, _) => task.state.started_at.is_some_and(|at| at + Duration::from_secs(40) <= world.now()),
        }
}

/// What a failure is understood by.
fn picture(world: &World, tasks: &[Arc<Task>]) -> String {
    let view = world.fixture.services.state.view();
    let board = &world.fixture.services.target_health;
    let lines = tasks.iter().map(|task| {
        let targets: Vec<String> = task
            .targets
            .iter()
            .map(|place| {
                let measured =
                    super::super::balanced::measured(&view, place).and_then(|place| board.of(&place));
                format!("{}:{} {:?}", place.id, place.port, measured.map(|health| health.state))
            })
            .collect();
        format!(
            "\n  {} of {:?}: {:?}, to be {:?}, check {:?}, since {:?}, targets {targets:?}",
            task.id,
            task.started_by,
            task.state.last_status,
            task.desired_status,
            task.state.health_status,
            task.state.started_at
        )
    });
    lines.collect()
}

/// The tasks before the reconciler looked.
pub struct Before {
    tasks: Vec<Arc<Task>>,
    healthy: BTreeSet<String>,
    busy: Vec<String>,
    serving: usize,
}

impl Before {
    pub fn of(world: &World) -> Before {
        let tasks = world.tasks();
        // A daemon has no business on an instance that is drained.
        let counts = |task: &Arc<Task>| {
            is_healthy(world, task) && (world.kind != Kind::Daemon || machines::takes_tasks(world, task))
        };
        let healthy = tasks.iter().filter(|task| counts(task)).map(|task| task.id.clone()).collect();
        let busy = traffic::busy_groups(world);
        let serving = traffic::serving(world, &busy);
        Before { tasks, healthy, busy, serving }
    }

    /// What one look has done, by its own doing.
    pub fn compare(self, world: &World) {
        let service = world.service_record().unwrap();
        if service.status != crate::services::ecs::services::records::ServiceStatus::Active {
            return;
        }
        if world.kind == Kind::TaskSets {
            let after = world.tasks();
            sets::compare(&self.tasks, &self.healthy, &after, &service);
            return by_the_scheduler(&self.tasks, &after);
        }
        let asked = service.settings.0.deployment_configuration.as_ref().unwrap();
        let percent = |given: Option<i32>| u32::try_from(given.unwrap()).unwrap();
        let configuration = deployment::Configuration {
            minimum_healthy_percent: percent(asked.minimum_healthy_percent),
            maximum_percent: percent(asked.maximum_percent),
            ..Default::default()
        };
        let desired = match world.kind {
            Kind::Daemon => u32::try_from(machines::active(world).len()).unwrap(),
            _ => service.desired_count,
        };
        let bounds = Bounds::new(desired, &configuration);
        let after = world.tasks();
        // In stages each revision has the percentages to itself.
        let of: Vec<Option<&str>> = match world.kind.is_staged() {
            true => service.state.deployments.iter().map(|it| Some(it.id.as_str())).collect(),
            false => vec![None],
        };
        let maximum =
            if world.kind.is_staged() { bounds.maximum.max(bounds.desired) } else { bounds.maximum };
        if world.kind == Kind::Daemon {
            for machine in &world.machines {
                let on =
                    |task: &&Arc<Task>| is_living(task) && task.container_instance.as_ref() == Some(machine);
                let (had, has) = (self.tasks.iter().filter(on).count(), after.iter().filter(on).count());
                assert!(has <= had.max(1), "{had} tasks on {machine} became {has}");
            }
        }
        for of in of.into_iter().filter(|_| world.kind != Kind::Daemon) {
            let counts =
                |task: &Arc<Task>| is_living(task) && (of.is_none() || task.started_by.as_deref() == of);
            let living = |tasks: &[Arc<Task>]| tasks.iter().filter(|task| counts(task)).count();
            let (had, has) = (living(&self.tasks), living(&after));
            assert!(
                has <= had || has <= maximum as usize,
                "{had} tasks became {has}, above the maximum of {maximum}"
            );
        }
        let busy = traffic::busy_groups(world);
        // Who takes a deployment back wants the traffic back at once.
        let taken_back = service.state.rollout.as_ref().is_some_and(|rollout| rollout.rollback.is_some());
        if busy != self.busy && self.serving > 0 && service.desired_count > 0 && !taken_back {
            let serving = traffic::serving(world, &busy);
            assert!(serving > 0, "the traffic of {} tasks goes to none: {busy:?}", self.serving);
        }
        let remaining =
            after.iter().filter(|task| is_living(task) && self.healthy.contains(&task.id)).count();
        let stopped: Vec<String> = after
            .iter()
            .filter(|task| !is_living(task) && self.healthy.contains(&task.id))
            .map(|task| format!("{} of {:?}: {:?}", task.id, task.started_by, task.state.stopped_reason))
            .collect();
        assert!(
            remaining == self.healthy.len() || remaining >= bounds.minimum as usize,
            "of {} tasks in good health {remaining} remain, fewer than the minimum of {}: {stopped:#?}\nbefore: {}\nafter: {}",
            self.healthy.len(),
            bounds.minimum,
            picture(world, &self.tasks),
            picture(world, &after)
        );
        by_the_scheduler(&self.tasks, &after);
    }
}

/// What was stopped says by whom, and why.
fn by_the_scheduler(before: &[Arc<Task>], after: &[Arc<Task>]) {
    for task in after {
        let was = before.iter().find(|before| before.id == task.id);
        if was.is_some_and(|was| is_living(was) && !is_living(task)) {
            assert_eq!(task.state.stop_code.as_deref(), Some("ServiceSchedulerInitiated"));
            assert!(task.state.stopped_reason.is_some());
        }
    }
}

/// After every step.
pub async fn always(world: &mut World) {
    let tasks = world.tasks();
    let service = world.service_record().unwrap();
    let there = tasks.iter().filter(|task| task.state.last_status != TaskStatus::Stopped);
    // Every task that is not STOPPED has its interface, and nothing else has one.
    let interfaces =
        world.fixture.services.state.read(|view| view.count_all::<ec2::records::NetworkInterface>());
    let interfaces = interfaces - world.others.0;
    let wanted = if world.kind.is_on_machines() { 0 } else { there.clone().count() };
    assert_eq!(interfaces, wanted, "interfaces leak, or tasks lack theirs");
    // Every target that gets requests is a task that may have them.
    for target in traffic::registered(world).iter().filter(|target| target.draining.is_none()) {
        let holder = there.clone().find(|task| task.targets.iter().any(|place| place.id == target.id));
        assert!(
            holder.is_some_and(|task| task.state.last_status == TaskStatus::Running),
            "the target {} is of no running task: {holder:?}",
            target.id
        );
    }
    // No task of a deployment that is over.
    let sets = service.state.task_sets.iter().map(|set| set.id.as_str());
    let known: BTreeSet<&str> =
        service.state.deployments.iter().map(|it| it.id.as_str()).chain(sets).collect();
    for task in there {
        let of = task.started_by.as_deref().unwrap();
        assert!(known.contains(of), "{} is a task of {of}, which is over", task.id);
    }
    let primaries =
        service.state.deployments.iter().filter(|it| it.status == deployment::DeploymentStatus::Primary);
    assert!(primaries.count() == 1 || service.state.deployments.is_empty());
    events(world);
}

/// Newest first, no more than a hundred, none twice.
fn events(world: &World) {
    let kept = world.fixture.services.state.read(|view| view.get::<ServiceEvents>(&scope(), KEY));
    let Some(kept) = kept else { return };
    assert!(kept.events.len() <= 100);
    let ids: BTreeSet<&str> = kept.events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), kept.events.len(), "an event twice");
    assert!(
        kept.events
            .iter()
            .zip(kept.events.iter().skip(1))
            .all(|(newer, older)| newer.created_at >= older.created_at)
    );
}

/// As the waiter `services-stable` has it, and the deployment is over.
pub fn is_settled(kind: Kind, service: &ecs::Service) -> bool {
    if kind == Kind::TaskSets {
        return sets::is_settled(service);
    }
    let deployments = service.deployments.as_deref().unwrap();
    deployments.len() == 1
        && service.running_count == service.desired_count
        && service.pending_count == Some(0)
        && deployments[0].rollout_state == Some(ecs::DeploymentRolloutState::Completed)
}

/// What was acknowledged has come true.
pub async fn fulfilled(world: &mut World) {
    let service = world.fixture.service(SERVICE).await;
    if world.kind == Kind::TaskSets {
        return sets::fulfilled(world, &service);
    }
    if world.kind == Kind::Daemon {
        world.acknowledged = u32::try_from(machines::active(world).len()).unwrap();
    }
    let desired = i32::try_from(world.acknowledged).unwrap();
    assert_eq!((service.desired_count, service.running_count), (Some(desired), Some(desired)));
    let running: Vec<_> = world.tasks().into_iter().filter(|task| is_living(task)).collect();
    assert_eq!(running.len(), world.acknowledged as usize);
    assert!(running.iter().all(|task| task.family == "good" && is_healthy(world, task)));
    if world.kind.is_on_machines() {
        assert!(
            running.iter().all(|task| machines::takes_tasks(world, task)),
            "{}",
            picture(world, &running)
        );
    }
    if world.kind == Kind::Daemon {
        let served: BTreeSet<_> = running.iter().filter_map(|task| task.container_instance.clone()).collect();
        assert_eq!(served, machines::active(world));
    }
    let told = service.events.unwrap();
    let completed =
        told.iter().position(|event| event.message.as_deref().unwrap().ends_with("deployment completed."));
    assert!(completed.is_some(), "{told:#?}");
}

/// Of a service that was deleted.
pub fn nothing_left(world: &World) {
    if world.kind == Kind::TaskSets {
        sets::nothing_left(world);
    }
    assert!(world.tasks().iter().all(|task| task.state.last_status == TaskStatus::Stopped));
    let (_, interfaces, claims) = world.fixture.left_behind();
    assert_eq!((interfaces, claims), world.others);
    assert!(traffic::registered(world).iter().all(|target| target.draining.is_some()), "targets leak");
}
