//! What users ask for, and what they do to tasks and machines.

use std::time::Duration;

use super::{
    super::{
        balanced::{behind, with_port},
        placing::{on_ec2, sized},
        service::{service, updated},
        *,
    },
    fleet::{FAMILIES, Family, Fleet},
    machines, sets,
    world::{Happening, KEY, Kind, SERVICE, World, short},
};
use crate::services::ecs::services::{deployments, update};

/// How many wishes a scenario has.
pub const WISHES: usize = 12;

/// The definitions, and the service.
pub async fn begin(world: &mut World) {
    let balancer = match world.kind.is_balanced() {
        true => Some(balancer(world).await),
        false => None,
    };
    if world.kind.is_on_machines() {
        machines::begin(world).await;
    }
    for family in FAMILIES {
        // Behind a load balancer it is the targets' health that counts.
        let mut definition = match world.kind {
            _ if balancer.is_some() => with_port(family.name()),
            kind if kind.is_on_machines() => on_ec2(family.name(), sized(64, 32)),
            _ => fargate(family.name()),
        };
        if family.is_checked() && balancer.is_none() {
            let container = &mut definition.container_definitions.as_mut().unwrap()[0];
            container.health_check = Some(ecs::HealthCheck {
                command: Some(vec!["CMD-SHELL".to_owned(), "true".to_owned()]),
                ..Default::default()
            });
        }
        world.fixture.register(definition).await.unwrap();
    }
    if world.kind == Kind::TaskSets {
        return sets::begin(world).await;
    }
    let count = 1 + world.random.below(6);
    let family = world.random.pick(&[Family::Good, Family::Plain, Family::Slow]);
    let mut input = service(&world.fixture, SERVICE, i32::try_from(count).unwrap());
    input.task_definition = text(family.name());
    input.network_configuration =
        Some(network(&subnets(world).iter().map(String::as_str).collect::<Vec<_>>()));
    if world.kind.is_on_machines() {
        (input.launch_type, input.network_configuration) = (Some(ecs::LaunchType::Ec2), None);
    }
    if world.kind == Kind::Daemon {
        input.scheduling_strategy = Some(ecs::SchedulingStrategy::Daemon);
        input.desired_count = None;
    }
    let configuration = configuration(world);
    input.availability_zone_rebalancing = rebalancing(world.kind, &configuration);
    input.deployment_configuration = Some(configuration);
    input.load_balancers = balancer.map(|balancer| vec![balancer]);
    input.health_check_grace_period_seconds = world.kind.is_balanced().then_some(30);
    Box::pin(world.fixture.create_service(input)).await.unwrap();
    world.acknowledged = u32::try_from(count).unwrap();
    world.tell(|| format!("a service of {count} {family:?}"));
    world.after_change();
}

/// Two target groups where traffic is to be shifted between them.
async fn balancer(world: &mut World) -> ecs::LoadBalancer {
    let blue = world.fixture.group("blue").await;
    let listener = world.fixture.listener(&blue).await;
    let mut balancer = behind(&blue);
    if world.kind.is_staged() {
        let green = world.fixture.group("green").await;
        balancer.advanced_configuration = Some(ecs::AdvancedConfiguration {
            alternate_target_group_arn: text(&green),
            production_listener_rule: text(&listener),
            role_arn: text("arn:aws:iam::000000000000:role/ecs"),
            ..Default::default()
        });
    }
    world.listener = Some(listener);
    let (_, interfaces, claims) = world.fixture.left_behind();
    world.others = (interfaces, claims);
    world.after(Duration::from_secs(1), Happening::Measure);
    balancer
}

pub fn subnets(world: &World) -> Vec<String> {
    world
        .fixture
        .services
        .state
        .read(|view| view.scan::<ec2::records::Subnet>(&scope()).map(|(id, _)| id.to_owned()).collect())
}

fn configuration(world: &mut World) -> ecs::DeploymentConfiguration {
    let (minimum, maximum) = match world.kind {
        Kind::Daemon => world.random.pick(&[(0, 100), (50, 100), (75, 100)]),
        _ => {
            world.random.pick(&[(100, 200), (100, 150), (50, 200), (50, 100), (0, 100), (0, 200), (75, 125)])
        }
    };
    ecs::DeploymentConfiguration {
        // With few tasks 150 % and 125 % may be no more than 100 %.
        minimum_healthy_percent: Some(if maximum < 200 { minimum.min(50) } else { minimum }),
        maximum_percent: Some(maximum),
        deployment_circuit_breaker: Some(ecs::DeploymentCircuitBreaker {
            enable: Some(world.random.chance(80)),
            rollback: Some(world.random.chance(80)),
            ..Default::default()
        }),
        strategy: match world.kind {
            Kind::Rolling | Kind::Instances | Kind::Daemon | Kind::TaskSets | Kind::Balanced => None,
            Kind::BlueGreen => Some(ecs::DeploymentStrategy::BlueGreen),
            Kind::Linear => Some(ecs::DeploymentStrategy::Linear),
            Kind::Canary => Some(ecs::DeploymentStrategy::Canary),
        },
        bake_time_in_minutes: world.kind.is_staged().then(|| minutes(world, 5)),
        linear_configuration: (world.kind == Kind::Linear).then(|| ecs::LinearConfiguration {
            step_percent: Some(world.random.pick(&[10.0, 25.0, 33.3, 100.0])),
            step_bake_time_in_minutes: Some(minutes(world, 3)),
        }),
        canary_configuration: (world.kind == Kind::Canary).then(|| ecs::CanaryConfiguration {
            canary_percent: Some(world.random.pick(&[5.0, 12.5, 50.0])),
            canary_bake_time_in_minutes: Some(minutes(world, 5)),
        }),
        ..Default::default()
    }
}

fn minutes(world: &mut World, most: usize) -> i32 {
    i32::try_from(world.random.below(most + 1)).unwrap()
}

/// Tasks are moved between zones where the maximum allows it.
fn rebalancing(
    kind: Kind,
    configuration: &ecs::DeploymentConfiguration,
) -> Option<ecs::AvailabilityZoneRebalancing> {
    match configuration.maximum_percent {
        _ if kind == Kind::Daemon => None,
        Some(maximum) if maximum > 100 => Some(ecs::AvailabilityZoneRebalancing::Enabled),
        _ => Some(ecs::AvailabilityZoneRebalancing::Disabled),
    }
}

pub async fn ask(world: &mut World, input: ecs::UpdateServiceRequest) {
    let asked = update::update(world.fixture.call(), input).await.unwrap().service.unwrap();
    world.acknowledged = u32::try_from(asked.desired_count.unwrap()).unwrap();
    world.after_change();
}

/// Something at random.
pub async fn wish(world: &mut World) {
    if world.kind == Kind::TaskSets {
        return sets::wish(world).await;
    }
    if world.kind.is_on_machines() && world.random.chance(30) {
        return machines::wish(world).await;
    }
    let choice = world.random.below(100);
    match choice {
        // A daemon has as many tasks as there are instances.
        0..22 if world.kind == Kind::Daemon => machines::wish(world).await,
        0..22 => {
            let count = i32::try_from(world.random.below(9)).unwrap();
            world.tell(|| format!("scale to {count}"));
            ask(world, ecs::UpdateServiceRequest { desired_count: Some(count), ..updated(SERVICE) }).await;
        }
        22..50 => {
            let family = world.random.pick(&FAMILIES);
            world.tell(|| format!("deploy {family:?}"));
            let input = ecs::UpdateServiceRequest {
                task_definition: text(family.name()),
                force_new_deployment: Some(true),
                ..updated(SERVICE)
            };
            ask(world, input).await;
        }
        50..56 => {
            let configuration = configuration(world);
            world.tell(|| format!("configure {configuration:?}"));
            let input = ecs::UpdateServiceRequest {
                availability_zone_rebalancing: rebalancing(world.kind, &configuration),
                deployment_configuration: Some(configuration),
                ..updated(SERVICE)
            };
            ask(world, input).await;
        }
        56..66 => stop_a_task(world).await,
        66..78 => kill_a_task(world),
        78..84 => lose_all(world),
        84..92 => world.end_and_begin_again().await,
        _ => stop_deployment(world).await,
    }
}

pub async fn stop_a_task(world: &mut World) {
    let tasks = world.tasks();
    let living: Vec<_> =
        tasks.iter().filter(|task| task.state.last_status < TaskStatus::Deactivating).collect();
    if living.is_empty() {
        return;
    }
    let arn = living[world.random.below(living.len())].arn(&scope());
    world.tell(|| format!("a user stops {}", short(&arn)));
    world.fixture.stop(&arn, None).await.unwrap();
    world.after_change();
}

pub fn lose_all(world: &mut World) {
    world.tell(|| "the machine loses everything".to_owned());
    Fleet::lose_all(world);
}

pub fn kill_a_task(world: &mut World) {
    let running = world.fleet.running();
    if !running.is_empty() {
        let id = running[world.random.below(running.len())].clone();
        world.tell(|| format!("{} ends by itself", short(&id)));
        Fleet::happens(world, &id, super::fleet::Next::End);
    }
}

/// Takes the deployment under way back, or leaves it where it is.
async fn stop_deployment(world: &mut World) {
    let input = ecs::ListServiceDeploymentsRequest { service: text(SERVICE), ..Default::default() };
    let listed = deployments::list(world.fixture.call(), input).await.unwrap().service_deployments.unwrap();
    let arn = listed[0].service_deployment_arn.clone();
    let stop_type = world
        .random
        .pick(&[ecs::StopServiceDeploymentStopType::Rollback, ecs::StopServiceDeploymentStopType::Abort]);
    let input = ecs::StopServiceDeploymentRequest { service_deployment_arn: arn, stop_type: Some(stop_type) };
    match deployments::stop(world.fixture.call(), input).await {
        Ok(_) => world.tell(|| format!("{stop_type:?} the deployment")),
        // Nothing is under way, or there is nothing to go back to.
        Err(error) => assert!(["ConflictException", INVALID].contains(&&*error.code), "{error:?}"),
    }
    world.after_change();
}

/// What must come true.
pub async fn last_wish(world: &mut World) {
    if world.kind == Kind::TaskSets {
        return sets::last_wish(world).await;
    }
    // One task at 50 % and 150 % cannot be replaced: the minimum and the maximum are both one.
    let count = world.random.pick(&[0, 2, 3, 4, 5, 6, 7, 8]);
    world.tell(|| format!("at last: {count} good ones"));
    let input = ecs::UpdateServiceRequest {
        desired_count: (world.kind != Kind::Daemon).then_some(count),
        task_definition: text(Family::Good.name()),
        force_new_deployment: Some(true),
        ..updated(SERVICE)
    };
    ask(world, input).await;
}

pub async fn delete(world: &mut World) {
    world.tell(|| "delete the service".to_owned());
    world.fixture.delete_service(SERVICE, true).await.unwrap();
    assert!(world.service_record().is_some(), "{KEY}");
    world.after_change();
}
