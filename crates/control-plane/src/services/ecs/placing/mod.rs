//! Container instances as placement sees them, and tasks placed on them inside transactions.
//!
//! The core (`placement`) chooses; here its fleets are kept in step with the tables, requests are made of definitions, and
//! what was chosen is written. A placement is guarded by the instance's [`InstanceLoad`]: each one on an instance counts it up,
//! so that of two transactions that did not know of each other the second is run again.

mod fleets;
mod needs;
mod rules;
mod shapes;

use std::{collections::BTreeMap, sync::Arc};

use agent_protocol::spec::LaunchType;
use aws_shapes_ecs::Failure;
use placement::{Held, Phase, Request, Stoppable, Strategy};
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

pub use fleets::Fleets;
pub use needs::Needs;
pub use rules::{Rules, of_definition};
pub use shapes::remaining;

use super::{
    names::invalid,
    records::{InstanceLoad, Task, TaskInterface},
    tasks::launch::{self, Launch, Launched, Made},
};
use crate::{gateway::ApiError, services::Services};
use fleets::Reserved;

/// What is passed through to where tasks are written.
struct Around<'a, I> {
    services: &'a Services,
    launch: &'a Launch<'a>,
    now: Timestamp,
    ids: &'a mut I,
}

/// How many tasks are to be placed, on which instances.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub launch_type: LaunchType,
    /// On the instances of this capacity provider only.
    pub provider: Option<&'a str>,
    pub count: usize,
}

/// Places tasks on container instances, and adds what came of it to `launched`.
///
/// # Errors
/// `InvalidParameterException` when the cluster has no active container instance and the task is not a service's, and for
/// constraints and strategies that are none.
pub fn place(
    tx: &mut Tx,
    services: &Services,
    launch: &Launch<'_>,
    Wanted { launch_type, provider, count }: Wanted<'_>,
    now: Timestamp,
    ids: &mut impl Ids,
    launched: &mut Launched,
) -> Result<(), ApiError> {
    let needs = Needs::of(tx.view(), launch)?;
    let mut rules = Rules::of(launch)?;
    if let Some(provider) = provider {
        rules.constraints.push(rules::of_provider(provider)?);
    }
    let group = launch.group();
    let request = Request {
        group: &group,
        demand: &needs.demand,
        required: &needs.required,
        constraints: &rules.constraints,
        strategies: &rules.strategies,
        external: launch_type == LaunchType::External,
    };
    let seed = ids.hex(16);
    let seed = u64::from_str_radix(&seed, 16).unwrap_or(0);
    let plan = fleets::choose(tx, services, launch, &request, count, seed);
    let mut around = Around { services, launch, now, ids };
    let zones = zones(services, launch, &plan.chosen);
    for (instance, zone) in plan.chosen.iter().zip(zones) {
        match write(tx, &mut around, &request, (launch_type, provider), instance, zone)? {
            Ok(task) => launched.tasks.push(task),
            Err(failure) => launched.failures.push(failure),
        }
    }
    Reserved::settle(tx, services, launch.scope, &launch.cluster.name);
    let Some(shortfall) = plan.shortfall else { return Ok(()) };
    if shortfall.refusals.is_empty() && !group.starts_with("service:") {
        return Err(invalid("No Container Instances were found in your cluster."));
    }
    launched.unplaced = Some(shortfall.text());
    launched.failures.extend(
        shortfall
            .refusals
            .iter()
            .map(|refusal| failure(launch.scope, launch, &refusal.instance, &refusal.reason.to_string())),
    );
    Ok(())
}

/// Starts one task on each of the given instances: what StartTask and DAEMON services do. Constraints are not looked at,
/// nor whether the instance is draining.
///
/// # Errors
/// As [`place`].
pub fn place_on(
    tx: &mut Tx,
    services: &Services,
    launch: &Launch<'_>,
    instances: &[String],
    now: Timestamp,
    ids: &mut impl Ids,
    launched: &mut Launched,
) -> Result<(), ApiError> {
    let needs = Needs::of(tx.view(), launch)?;
    let group = launch.group();
    for instance in instances {
        let cluster = &launch.cluster.name;
        let known = services.placing.with(&services.state, launch.scope, cluster, |known| {
            known.fleet.instance(instance).map(|known| (known.external, known.zone().to_owned()))
        });
        let (external, zone) = known.unwrap_or_default();
        let request = Request {
            group: &group,
            demand: &needs.demand,
            required: &needs.required,
            constraints: &[],
            strategies: &[],
            external,
        };
        let launch_type = if external { LaunchType::External } else { LaunchType::Ec2 };
        launch::check(launch, launch_type)?;
        match fleets::check(tx, services, launch, &request, instance) {
            Ok(()) => {
                let mut around = Around { services, launch, now, ids: &mut *ids };
                match write(tx, &mut around, &request, (launch_type, None), instance, zone)? {
                    Ok(task) => launched.tasks.push(task),
                    Err(failure) => launched.failures.push(failure),
                }
                Reserved::settle(tx, services, launch.scope, cluster);
            }
            Err(None) => launched.failures.push(failure(launch.scope, launch, instance, "MISSING")),
            Err(Some(reason)) => {
                launched.failures.push(failure(launch.scope, launch, instance, &reason.to_string()));
                launched.unplaced = Some(
                    placement::Shortfall {
                        missing: 1,
                        refusals: vec![placement::Refusal { instance: instance.clone(), reason }],
                    }
                    .text(),
                );
            }
        }
    }
    Ok(())
}

/// The container instances on which a DAEMON service has a task, by id, ascending.
///
/// # Errors
/// For constraints that are none.
pub fn daemon_instances(
    tx: &mut Tx,
    services: &Services,
    launch: &Launch<'_>,
    launch_type: LaunchType,
) -> Result<Vec<String>, ApiError> {
    let needs = Needs::of(tx.view(), launch)?;
    let rules = Rules::of(launch)?;
    let group = launch.group();
    let request = Request {
        group: &group,
        demand: &needs.demand,
        required: &needs.required,
        constraints: &rules.constraints,
        strategies: &[],
        external: launch_type == LaunchType::External,
    };
    let cluster = &launch.cluster.name;
    Ok(services.placing.with(&services.state, launch.scope, cluster, |known| known.fleet.eligible(&request)))
}

/// Which `count` of a service's tasks are stopped first, as ids: placement the other way round. Give the oldest first.
pub fn stop_order(
    services: &Services,
    scope: &Scope,
    cluster: &str,
    tasks: &[Arc<Task>],
    strategies: &[Strategy],
    count: usize,
) -> Vec<String> {
    let given: Vec<Stoppable<'_>> = tasks
        .iter()
        .map(|task| Stoppable {
            id: &task.id,
            instance: task.container_instance.as_deref(),
            zone: &task.availability_zone,
        })
        .collect();
    let order = services
        .placing
        .with(&services.state, scope, cluster, |known| known.fleet.stop_order(&given, strategies, count));
    order.into_iter().map(|position| given[position].id.to_owned()).collect()
}

/// The zones of instances, in their order.
fn zones(services: &Services, launch: &Launch<'_>, instances: &[String]) -> Vec<String> {
    services.placing.with(&services.state, launch.scope, &launch.cluster.name, |known| {
        let zone = |id: &String| known.fleet.instance(id).map(|known| known.zone().to_owned());
        instances.iter().map(|id| zone(id).unwrap_or_default()).collect()
    })
}

/// Writes a task on its instance. The inner error is a failure of this task alone.
fn write<I: Ids>(
    tx: &mut Tx,
    around: &mut Around<'_, I>,
    request: &Request<'_>,
    (launch_type, provider): (LaunchType, Option<&str>),
    instance: &str,
    zone: String,
) -> Result<Result<Task, Failure>, ApiError> {
    let Around { services, launch, now, ids } = around;
    let cluster = &launch.cluster.name;
    let interface: Option<TaskInterface> = if request.demand.enis == 0 {
        None
    } else {
        let Some(subnets) = needs::subnets_in(tx.view(), launch, &zone) else {
            return Ok(Err(failure(launch.scope, launch, instance, "ATTRIBUTE")));
        };
        Some(launch::interface(tx, services, launch, Some(&subnets), *now, *ids)?.0)
    };
    let key = format!("{cluster}/{instance}");
    let load = tx.get::<InstanceLoad>(launch.scope, &key).map_or(0, |load| load.placements);
    tx.put(launch.scope, &key, InstanceLoad { placements: load + 1 });
    let overrides = &launch.overrides.0;
    let shape = &launch.definition.definition.0;
    let made = Made {
        launch_type,
        capacity_provider: provider.map(str::to_owned),
        platform_version: None,
        container_instance: Some(instance.to_owned()),
        availability_zone: zone,
        cpu: overrides.cpu.clone().or_else(|| shape.cpu.clone()),
        memory: overrides.memory.clone().or_else(|| shape.memory.clone()),
        ephemeral_storage_gib: None,
        interface,
        reserved: Some(request.demand.clone()),
    };
    let task = launch::write(tx, launch, made, *now, *ids);
    let held = Held {
        instance: instance.to_owned(),
        group: request.group.to_owned(),
        demand: request.demand.clone(),
        wanted: true,
        phase: Phase::Pending,
    };
    Reserved::note(tx, &task.id, held);
    Ok(Ok(task))
}

/// A failure as RunTask and StartTask show it.
fn failure(scope: &Scope, launch: &Launch<'_>, instance: &str, reason: &str) -> Failure {
    let arn = scope.arn("ecs", format_args!("container-instance/{}/{instance}", launch.cluster.name));
    Failure { arn: Some(arn.to_string()), reason: Some(reason.to_owned()), detail: None }
}

/// Registered instances and what is left of them, for those who show them.
pub fn usage(
    services: &Services,
    scope: &Scope,
    cluster: &str,
    instances: &[String],
) -> BTreeMap<String, placement::Usage> {
    services.placing.with(&services.state, scope, cluster, |known| {
        let of = |id: &String| Some((id.clone(), known.fleet.usage(id)?));
        instances.iter().filter_map(of).collect()
    })
}
