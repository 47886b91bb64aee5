//! Task sets, whose deployment is in somebody else's hands: made, scaled, made primary and deleted as users please, and held at their share
//! of the service's desired count by the scheduler.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    super::{
        service::{service, updated},
        *,
    },
    fleet::{FAMILIES, Family},
    user,
    world::{KEY, SERVICE, World, short},
};
use crate::services::ecs::{
    records::Task,
    services::{
        records::{Service, TaskSet},
        task_sets,
    },
};

/// Sets of a service, by AWS's quota.
const MOST: usize = 5;
const SCALES: [f64; 6] = [0.0, 12.5, 25.0, 50.0, 75.0, 100.0];

/// A service without anything that its tasks are made of, and its first set.
pub async fn begin(world: &mut World) {
    let count = 1 + world.random.below(6);
    let input = ecs::CreateServiceRequest {
        task_definition: None,
        launch_type: None,
        network_configuration: None,
        deployment_controller: Some(ecs::DeploymentController {
            r#type: Some(ecs::DeploymentControllerType::External),
        }),
        ..service(&world.fixture, SERVICE, i32::try_from(count).unwrap())
    };
    Box::pin(world.fixture.create_service(input)).await.unwrap();
    world.acknowledged = u32::try_from(count).unwrap();
    world.tell(|| format!("a service of {count}, without a set"));
    make(world, Family::Good, 100.0).await;
}

/// Makes a set; asking once more with the same token makes no other.
async fn make(world: &mut World, family: Family, percent: f64) {
    let token = format!("token-{}", world.random.below(1 << 30));
    let subnets = user::subnets(world);
    let input = ecs::CreateTaskSetRequest {
        service: text(SERVICE),
        cluster: text("default"),
        task_definition: text(family.name()),
        launch_type: Some(ecs::LaunchType::Fargate),
        network_configuration: Some(network(&subnets.iter().map(String::as_str).collect::<Vec<_>>())),
        scale: Some(scaled(percent)),
        client_token: text(&token),
        ..Default::default()
    };
    let made = task_sets::create(world.fixture.call(), input.clone()).await;
    let there = names(world).len();
    let made = match made {
        Ok(made) => made.task_set.unwrap(),
        Err(error) => {
            assert_eq!((&*error.code, there), ("LimitExceededException", MOST), "{error:?}");
            return;
        }
    };
    if world.random.chance(30) {
        let again = task_sets::create(world.fixture.call(), input).await.unwrap().task_set.unwrap();
        assert_eq!(again.task_set_arn, made.task_set_arn);
        assert_eq!(names(world).len(), there);
    }
    world.tell(|| format!("a set {} of {percent} % {family:?}", short(made.id.as_deref().unwrap())));
    world.after_change();
}

fn scaled(percent: f64) -> ecs::Scale {
    ecs::Scale { unit: Some(ecs::ScaleUnit::Percent), value: Some(percent) }
}

/// `ecs-svc/DIGITS` of all sets, also of those that are being deleted.
fn names(world: &World) -> Vec<String> {
    let service = world.service_record().unwrap();
    service.state.task_sets.iter().map(|set| set.id.clone()).collect()
}

/// One of the sets, if there is any.
fn any(world: &mut World) -> Option<String> {
    let names = names(world);
    (!names.is_empty()).then(|| names[world.random.below(names.len())].clone())
}

pub async fn wish(world: &mut World) {
    match world.random.below(100) {
        0..15 => {
            let count = i32::try_from(world.random.below(9)).unwrap();
            world.tell(|| format!("scale to {count}"));
            let input = ecs::UpdateServiceRequest { desired_count: Some(count), ..updated(SERVICE) };
            user::ask(world, input).await;
        }
        15..35 => {
            let (family, percent) = (world.random.pick(&FAMILIES), world.random.pick(&SCALES));
            make(world, family, percent).await;
        }
        35..50 => {
            let Some(set) = any(world) else { return };
            let percent = world.random.pick(&SCALES);
            scale(world, &set, percent).await;
        }
        50..65 => {
            let Some(set) = any(world) else { return };
            let force = world.random.chance(60);
            delete(world, &set, force).await;
        }
        65..72 => {
            let Some(set) = any(world) else { return };
            make_primary(world, &set).await;
        }
        72..80 => user::stop_a_task(world).await,
        80..90 => user::kill_a_task(world),
        90..94 => user::lose_all(world),
        _ => world.end_and_begin_again().await,
    }
}

/// A set that is being deleted is left as it is, and says so.
fn only_draining<T>(world: &World, set: &str, asked: Result<T, ApiError>) {
    if let Err(error) = asked {
        let draining = state(world, set).draining;
        assert!(draining && error.code == INVALID, "{set}: {error:?}");
    }
}

fn state(world: &World, set: &str) -> deployment::TaskSet {
    let service = world.service_record().unwrap();
    service.state.task_sets.iter().find(|known| known.id == set).unwrap().clone()
}

async fn scale(world: &mut World, set: &str, percent: f64) {
    world.tell(|| format!("{} is to have {percent} %", short(set)));
    let input = ecs::UpdateTaskSetRequest {
        cluster: text("default"),
        service: text(SERVICE),
        task_set: text(set),
        scale: Some(scaled(percent)),
    };
    let asked = task_sets::update(world.fixture.call(), input).await;
    only_draining(world, set, asked);
    world.after_change();
}

async fn delete(world: &mut World, set: &str, force: bool) {
    world.tell(|| format!("delete {}, force: {force}", short(set)));
    let scaled = state(world, set).scale_percent > 0.0;
    let input = ecs::DeleteTaskSetRequest {
        cluster: text("default"),
        service: text(SERVICE),
        task_set: text(set),
        force: Some(force),
    };
    let asked = task_sets::delete(world.fixture.call(), input).await;
    assert_eq!(asked.is_ok(), force || !scaled, "{asked:?}");
    world.after_change();
}

async fn make_primary(world: &mut World, set: &str) {
    world.tell(|| format!("{} is to be primary", short(set)));
    let input = ecs::UpdateServicePrimaryTaskSetRequest {
        cluster: text("default"),
        service: text(SERVICE),
        primary_task_set: text(set),
    };
    let asked = task_sets::make_primary(world.fixture.call(), input).await;
    only_draining(world, set, asked);
    world.after_change();
}

/// Two good sets, one of them primary, of which one has a part of the count only; no other.
pub async fn last_wish(world: &mut World) {
    let count = world.random.pick(&[0, 1, 2, 3, 5, 8]);
    world.tell(|| format!("at last: {count} good ones"));
    user::ask(world, ecs::UpdateServiceRequest { desired_count: Some(count), ..updated(SERVICE) }).await;
    for set in names(world) {
        delete(world, &set, true).await;
    }
    // As many as there may be are there until one of them has drained.
    world.run_until("a set has drained", |world| names(world).len() + 2 <= MOST).await;
    let part = world.random.pick(&SCALES);
    make(world, Family::Good, 100.0).await;
    make(world, Family::Good, part).await;
    let primary = names(world).iter().rev().nth(1).unwrap().clone();
    make_primary(world, &primary).await;
}

/// As many tasks of the set as are wanted or on their way.
fn living<'a>(tasks: &'a [Arc<Task>], set: &'a str) -> impl Iterator<Item = &'a Arc<Task>> {
    tasks
        .iter()
        .filter(move |task| task.started_by.as_deref() == Some(set) && super::checker::is_living(task))
}

/// What one look has done: no set has more tasks by it than its share, and none in good health goes that is within it.
pub fn compare(before: &[Arc<Task>], healthy: &BTreeSet<String>, after: &[Arc<Task>], service: &Service) {
    for set in &service.state.task_sets {
        let wanted = set.computed_desired_count as usize;
        let (had, has) = (living(before, &set.id).count(), living(after, &set.id).count());
        assert!(has <= had.max(wanted), "{had} tasks of {} became {has}, above its {wanted}", set.id);
        let share = f64::from(service.desired_count) * set.scale_percent / 100.0;
        let share = if set.draining { 0.0 } else { share.ceil() };
        assert!((f64::from(set.computed_desired_count) - share).abs() < 0.5, "{set:?} of {share}");
        let gone = living(before, &set.id)
            .filter(|task| healthy.contains(&task.id))
            .filter(|task| !living(after, &set.id).any(|remains| remains.id == task.id))
            .count();
        assert!(
            gone == 0 || has >= wanted,
            "{gone} tasks in good health of {} went: {has} of {wanted}",
            set.id
        );
    }
}

/// Every set is at its share and steady.
pub fn is_settled(service: &ecs::Service) -> bool {
    let sets = service.task_sets.as_deref().unwrap();
    sets.len() == 2
        && sets.iter().all(|set| {
            set.stability_status == Some(ecs::StabilityStatus::SteadyState)
                && set.running_count == set.computed_desired_count
                && set.pending_count == Some(0)
        })
}

/// What was acknowledged last has come true.
pub fn fulfilled(world: &World, service: &ecs::Service) {
    assert_eq!(service.desired_count, i32::try_from(world.acknowledged).ok());
    let sets = service.task_sets.as_deref().unwrap();
    let statuses: Vec<_> = sets.iter().map(|set| set.status.as_deref().unwrap()).collect();
    assert!(statuses.contains(&"PRIMARY") && statuses.contains(&"ACTIVE"), "{statuses:?}");
    let mut all = 0;
    for set in sets {
        let percent = set.scale.as_ref().and_then(|scale| scale.value).unwrap();
        let share = (f64::from(world.acknowledged) * percent / 100.0).ceil();
        assert!((f64::from(set.computed_desired_count.unwrap()) - share).abs() < 0.5, "{set:#?}");
        all += set.computed_desired_count.unwrap();
    }
    assert_eq!((service.running_count, service.pending_count), (Some(all), Some(0)));
    let steady = service.events.iter().flatten().filter_map(|event| event.message.as_deref());
    assert!(steady.filter(|told| told.ends_with("has reached a steady state.")).count() > 0);
}

/// With the service its sets have gone.
pub fn nothing_left(world: &World) {
    let left = world
        .fixture
        .services
        .state
        .read(|view| view.scan_prefix::<TaskSet>(&scope(), &format!("{KEY}/")).count());
    assert_eq!(left, 0);
    assert_eq!(names(world), [""; 0]);
}
