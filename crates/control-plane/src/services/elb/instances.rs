//! Instances of a classic load balancer: registered, measured, drained, gone.

use aws_shapes_elb as elb;
use aws_shapes_elb::{
    DeregisterEndPointsInput, DeregisterEndPointsOutput, DescribeEndPointStateInput,
    DescribeEndPointStateOutput, RegisterEndPointsInput, RegisterEndPointsOutput, errors,
};
use std::{collections::BTreeMap, time::Duration};

use state_store::{Tx, View};
use vocabulary::{Scope, Timestamp};

use super::{
    balancers::{change, get, see},
    configuration::{registration, target_group_arn},
    records::LoadBalancer,
};
use crate::{
    gateway::{ApiError, Call},
    services::{
        Services,
        elbv2::{
            health::{Board, Health, Place, State},
            instances,
        },
    },
};

/// Of one load balancer.
pub const MOST_INSTANCES: usize = 1000;

fn unknown(id: &str) -> ApiError {
    ApiError::new(&errors::INVALID_END_POINT_EXCEPTION, format!("Could not find EC2 instance {id}."))
}

/// Registers an instance. One that is registered already stays as it is; one that drains is taken back.
///
/// # Errors
/// `LoadBalancerNotFound`, `InvalidInstance`.
pub fn register(
    tx: &mut Tx,
    scope: &Scope,
    name: &str,
    instance_id: &str,
    now: Timestamp,
) -> Result<(), ApiError> {
    let found = get(tx, scope, name)?;
    let mut balancer = (*found).clone();
    add(tx, scope, &mut balancer, instance_id, now)?;
    if balancer != *found {
        tx.put(scope, name, balancer);
    }
    Ok(())
}

fn add(
    tx: &Tx,
    scope: &Scope,
    balancer: &mut LoadBalancer,
    instance_id: &str,
    now: Timestamp,
) -> Result<(), ApiError> {
    if instances::find(tx.view(), scope, instance_id).is_none() {
        return Err(unknown(instance_id));
    }
    if balancer.instances.len() >= MOST_INSTANCES && !balancer.instances.contains_key(instance_id) {
        return Err(ApiError::new(
            &errors::INVALID_END_POINT_EXCEPTION,
            format!("A load balancer can have {MOST_INSTANCES} instances at most."),
        ));
    }
    balancer.draining.remove(instance_id);
    balancer.instances.entry(instance_id.to_owned()).or_insert(now);
    Ok(())
}

/// Begins to drain an instance, or takes it out at once where connections are not drained. Nothing happens to one that is not registered.
///
/// # Errors
/// `LoadBalancerNotFound`.
pub fn deregister(
    tx: &mut Tx,
    scope: &Scope,
    name: &str,
    instance_id: &str,
    now: Timestamp,
) -> Result<(), ApiError> {
    let found = get(tx, scope, name)?;
    let mut balancer = (*found).clone();
    remove(&mut balancer, instance_id, now);
    if balancer != *found {
        tx.put(scope, name, balancer);
    }
    Ok(())
}

fn remove(balancer: &mut LoadBalancer, instance_id: &str, now: Timestamp) {
    if balancer.instances.remove(instance_id).is_none() {
        return;
    }
    if let Some(seconds) = balancer.attributes.draining_seconds {
        let until = now + Duration::from_secs(u64::from(seconds));
        balancer.draining.insert(instance_id.to_owned(), until);
    }
}

/// How an instance does. All listeners ask it the same; the first that knows answers.
pub fn health(
    view: &View,
    board: &Board,
    scope: &Scope,
    name: &str,
    instance_id: &str,
    now: Timestamp,
) -> Health {
    match see(view, scope, name) {
        Ok(balancer) => health_of(view, board, scope, &balancer, instance_id, now),
        Err(_) => Health::absent(),
    }
}

fn health_of(
    view: &View,
    board: &Board,
    scope: &Scope,
    balancer: &LoadBalancer,
    instance_id: &str,
    now: Timestamp,
) -> Health {
    if balancer.draining.get(instance_id).is_some_and(|until| *until > now) {
        return Health::new(
            State::Draining,
            "Target.DeregistrationInProgress",
            "Instance deregistration currently in progress.",
        );
    }
    let Some(since) = balancer.instances.get(instance_id) else { return Health::absent() };
    let zone = instances::find(view, scope, instance_id).and_then(|instance| instance.zone);
    if zone.is_some_and(|zone| balancer.nodes.iter().all(|node| node.zone != zone)) {
        let text = "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.";
        return Health::new(State::Unused, "Target.NotInUse", text);
    }
    let place = |(port, listener): (&u16, &super::records::Listener)| Place {
        target_group_arn: target_group_arn(scope, balancer, *port),
        id: instance_id.to_owned(),
        port: listener.instance_port,
        registration: registration(*since),
    };
    let measured = balancer.listeners.iter().find_map(|listener| board.of(&place(listener)));
    measured.unwrap_or_else(|| {
        Health::new(
            State::Initial,
            "Elb.RegistrationInProgress",
            "Instance registration is still in progress.",
        )
    })
}

/// Takes out instances that drain and on which, by all their listeners, nothing is in flight any more.
///
/// `measured`: what a report says of the made-up target groups, as scope, load balancer, instance, and whether it is drained. Of an
/// instance that was changed after the configuration of the report's `generation` it says nothing.
///
/// # Errors
/// When the state cannot be changed; the next report says the same again.
pub async fn end_drained(
    services: &Services,
    generation: u64,
    measured: Vec<(Scope, String, String, bool)>,
) -> Result<(), ApiError> {
    let mut drained: BTreeMap<(Scope, String), BTreeMap<String, bool>> = BTreeMap::new();
    for (scope, name, instance, over) in measured {
        *drained.entry((scope, name)).or_default().entry(instance).or_insert(true) &= over;
    }
    drained.values_mut().for_each(|instances| instances.retain(|_, over| *over));
    for ((scope, name), instances) in drained.iter().filter(|(_, instances)| !instances.is_empty()) {
        services
            .state
            .transact(|tx| {
                let changed = tx.view().revisions::<LoadBalancer>(scope, name).map(|(_, changed)| changed);
                let known = changed.and_then(|at| u64::try_from(at).ok()).is_some_and(|at| at <= generation);
                let Some(found) = tx.get::<LoadBalancer>(scope, name).filter(|_| known) else {
                    return Ok::<_, ApiError>(());
                };
                let mut balancer = (*found).clone();
                balancer.draining.retain(|id, _| !instances.contains_key(id));
                if balancer != *found {
                    tx.put(scope, name, balancer);
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}

fn ids(given: Option<Vec<elb::Instance>>) -> Vec<String> {
    given.unwrap_or_default().into_iter().filter_map(|one| one.instance_id).collect()
}

/// As the API shows instances.
pub fn shapes<'a>(ids: impl Iterator<Item = &'a String>) -> Vec<elb::Instance> {
    ids.map(|id| elb::Instance { instance_id: Some(id.clone()) }).collect()
}

pub async fn register_call(
    call: Call,
    input: RegisterEndPointsInput,
) -> Result<RegisterEndPointsOutput, ApiError> {
    let (given, name) = (ids(input.instances), input.load_balancer_name.unwrap_or_default());
    let instances = change(&call, &name, |tx, balancer| {
        for id in &given {
            add(tx, call.scope(), balancer, id, call.now())?;
        }
        Ok(shapes(balancer.instances.keys()))
    });
    Ok(RegisterEndPointsOutput { instances: Some(instances.await?) })
}

pub async fn deregister_call(
    call: Call,
    input: DeregisterEndPointsInput,
) -> Result<DeregisterEndPointsOutput, ApiError> {
    let (given, name) = (ids(input.instances), input.load_balancer_name.unwrap_or_default());
    let instances = change(&call, &name, |_, balancer| {
        for id in &given {
            if !balancer.instances.contains_key(id) && !balancer.draining.contains_key(id) {
                return Err(unknown(id));
            }
            remove(balancer, id, call.now());
        }
        Ok(shapes(balancer.instances.keys()))
    });
    Ok(DeregisterEndPointsOutput { instances: Some(instances.await?) })
}

pub async fn describe_health(
    call: Call,
    input: DescribeEndPointStateInput,
) -> Result<DescribeEndPointStateOutput, ApiError> {
    let scope = call.scope();
    let view = call.services.state.view();
    let balancer = see(&view, scope, &input.load_balancer_name.unwrap_or_default())?;
    let mut wanted = ids(input.instances);
    if wanted.is_empty() {
        wanted = balancer.instances.keys().chain(balancer.draining.keys()).cloned().collect();
    }
    let mut states = Vec::new();
    for id in wanted {
        let health = health_of(&view, &call.services.target_health, scope, &balancer, &id, call.now());
        let (state, reason, description) = match health.state {
            State::Absent => return Err(unknown(&id)),
            State::Healthy => ("InService", "N/A", None),
            State::Draining => ("InService", "N/A", health.description),
            State::Initial => ("OutOfService", "ELB", health.description),
            State::Unused => ("OutOfService", "ELB", health.description),
            State::Unhealthy => (
                "OutOfService",
                "Instance",
                Some("Instance has failed at least the UnhealthyThreshold number of health checks consecutively.".to_owned()),
            ),
            State::Unavailable => ("Unknown", "ELB", health.description),
        };
        states.push(elb::InstanceState {
            instance_id: Some(id),
            state: Some(state.to_owned()),
            reason_code: Some(reason.to_owned()),
            description: Some(description.unwrap_or_else(|| "N/A".to_owned())),
        });
    }
    Ok(DescribeEndPointStateOutput { instance_states: Some(states) })
}
