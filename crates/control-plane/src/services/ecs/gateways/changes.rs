//! What changes and goes by itself: load balancers after an update, routes that no revision knows any more, load balancers without routes.

use std::{sync::Arc, time::Duration};

use state_store::{Record, View};
use vocabulary::{Scope, Timestamp};

use super::{
    connect,
    records::{
        Association, AssociationStatus, Balancer, Failure, Gateway, GatewayStatus, Route, RouteStatus,
    },
};
use crate::{
    gateway::{ApiError, Call, Context, Principal},
    services::{
        Services,
        ecs::{
            ingress::{
                Acting,
                parts::{PORT, is},
            },
            names::invalid,
            records::Cluster,
            services::records::{Revision, Service, ServiceStatus, service_key},
        },
    },
};

/// How long a route that no revision knows yet is left to whoever makes it.
const UNCLAIMED: Duration = Duration::from_secs(10 * 60);

/// Writes a route down as far as it is made, beside what others have made of it meanwhile.
///
/// # Errors
/// `InvalidParameterException` when the route has gone or is on its way out. What was made of it goes with it then.
pub(super) async fn keep_route(call: &Call, route: &Route) -> Result<(), ApiError> {
    let kept = call.services.state.transact(|tx| {
        let Some(there) = tx.get::<Route>(call.scope(), &route.key()) else { return Ok(false) };
        let parts = there.parts.clone().and(&route.parts);
        if there.is_leaving() {
            tx.put(call.scope(), &route.key(), Route { parts, ..(*there).clone() });
            return Ok(false);
        }
        let route = Route { parts, claimed: there.claimed || route.claimed, ..route.clone() };
        tx.put(call.scope(), &route.key(), route);
        Ok::<_, ApiError>(true)
    });
    match kept.await? {
        true => Ok(()),
        false => Err(invalid("A gateway route of the service is gone. Try again.")),
    }
}

/// Writes down what has been made of a load balancer. What is known of it already stays.
pub(super) async fn keep_balancer(call: &Call, gateway: &str, balancer: &Balancer) -> Result<(), ApiError> {
    let kept = call.services.state.transact(|tx| {
        let Some(there) = tx.get::<Gateway>(call.scope(), gateway) else { return Ok(()) };
        let mut changed = (*there).clone();
        if let Some(one) = changed.balancers.iter_mut().find(|one| one.suffix == balancer.suffix) {
            one.group = one.group.take().or_else(|| balancer.group.clone());
            one.load_balancer = one.load_balancer.take().or_else(|| balancer.load_balancer.clone());
            one.listener = one.listener.take().or_else(|| balancer.listener.clone());
            if changed.balancers != there.balancers {
                tx.put(call.scope(), gateway, changed);
            }
        }
        Ok::<_, ApiError>(())
    });
    kept.await
}

/// Writes down what is gone of a load balancer that is being removed: everything of `seen` that is not in `left`. It is forgotten once
/// nothing of it is left, also nothing that was made meanwhile.
async fn forget_balancer(
    call: &Call,
    gateway: &str,
    seen: &Balancer,
    left: &Balancer,
) -> Result<(), ApiError> {
    let without = |there: &mut Option<String>, seen: &Option<String>, left: &Option<String>| {
        if left.is_none() && there == seen {
            *there = None;
        }
    };
    let forgotten = call.services.state.transact(|tx| {
        let Some(there) = tx.get::<Gateway>(call.scope(), gateway) else { return Ok(()) };
        let mut changed = (*there).clone();
        if let Some(one) = changed.balancers.iter_mut().find(|one| one.suffix == seen.suffix) {
            without(&mut one.group, &seen.group, &left.group);
            without(&mut one.load_balancer, &seen.load_balancer, &left.load_balancer);
            without(&mut one.listener, &seen.listener, &left.listener);
            one.refusal.clone_from(&left.refusal);
        }
        changed.balancers.retain(|one| one.suffix != seen.suffix || !one.is_bare());
        if changed.balancers != there.balancers {
            tx.put(call.scope(), gateway, changed);
        }
        Ok::<_, ApiError>(())
    });
    forgotten.await
}

/// Carries a gateway's settings over to its load balancers, each as far as it goes, and says how that went.
pub(super) async fn apply(call: &Call, name: &str) -> Result<(), ApiError> {
    let scope = call.scope();
    let view = call.services.state.view();
    let Some(gateway) = view.get::<Gateway>(scope, name) else { return Ok(()) };
    let routes: Vec<Arc<Route>> =
        view.scan_prefix::<Route>(scope, &format!("{name}/")).map(|(_, route)| route).collect();
    drop(view);
    let mut failures = Vec::new();
    match Acting::begin(call, &gateway.role_arn, &gateway.arn(scope), &gateway.propagated()) {
        Err(error) => failures.push(failure(&gateway.role_arn, "sts:AssumeRole", &error)),
        Ok(acting) => {
            for balancer in &gateway.balancers {
                apply_to(&acting, &gateway, balancer, &mut failures).await;
                let Some(header) = gateway.test_header() else { continue };
                for route in routes.iter().filter(|route| route.balancer == balancer.suffix) {
                    let (outcome, at, operation) = match (&route.parts.test_rule, &balancer.listener) {
                        (Some(rule), _) => {
                            let host = route.host(scope);
                            let changed = acting.change_rule(rule, &connect::test_rule(&host, header)).await;
                            (changed, rule, "elasticloadbalancing:ModifyRule")
                        }
                        (None, Some(listener)) => {
                            let made = connect::first_test_rule(&acting, route, listener, header).await;
                            (made.map(drop), listener, "elasticloadbalancing:CreateRule")
                        }
                        (None, None) => continue,
                    };
                    if let Err(error) = outcome {
                        failures.push(failure(at, operation, &error));
                    }
                }
            }
        }
    }
    call.services
        .state
        .transact(|tx| {
            let Some(there) = tx.get::<Gateway>(scope, name) else { return Ok(()) };
            // Another update has come meanwhile, and is carried over by its own.
            if there.status != GatewayStatus::UpdateInProgress || there.updated_at != gateway.updated_at {
                return Ok(());
            }
            let mut done = (*there).clone();
            done.failures.clone_from(&failures);
            (done.status, done.status_reason) = match failures.len() {
                0 => (GatewayStatus::UpdateComplete, None),
                count => (
                    GatewayStatus::UpdateFailed,
                    Some(format!("{count} operations on resources of the gateway failed.")),
                ),
            };
            tx.put(scope, name, done);
            Ok::<_, ApiError>(())
        })
        .await
}

fn failure(arn: &str, operation: &str, error: &ApiError) -> Failure {
    Failure {
        arn: arn.to_owned(),
        operation: operation.to_owned(),
        code: error.code.to_string(),
        message: error.message.clone(),
    }
}

async fn apply_to(acting: &Acting, gateway: &Gateway, balancer: &Balancer, failures: &mut Vec<Failure>) {
    let (Some(arn), Some(group)) = (&balancer.load_balancer, &balancer.group) else { return };
    if let Err(error) = acting.set_attributes(arn, &connect::attributes(gateway)).await {
        failures.push(failure(arn, "elasticloadbalancing:ModifyLoadBalancerAttributes", &error));
    }
    let groups = balancer.group.iter().chain(gateway.inbound_group()).cloned().collect();
    if let Err(error) = acting.set_security_groups(arn, groups).await {
        failures.push(failure(arn, "elasticloadbalancing:SetSecurityGroups", &error));
    }
    let outcome = match gateway.inbound_group() {
        Some(_) => (acting.forbid(group, PORT, None).await, "ec2:RevokeSecurityGroupIngress"),
        None => (acting.admit(group, PORT, None).await, "ec2:AuthorizeSecurityGroupIngress"),
    };
    if let (Err(error), operation) = outcome {
        failures.push(failure(group, operation, &error));
    }
}

/// Whether a service has use for the route.
fn is_needed(view: &View, scope: &Scope, route: &Route) -> bool {
    let key = service_key(&route.cluster, &route.service);
    let Some(service) = view.get::<Service>(scope, &key) else { return false };
    if service.status == ServiceStatus::Inactive {
        return false;
    }
    let knows = |revision: &Revision| revision.connections.iter().any(|one| one.route == route.key());
    let mut revisions = view.scan_prefix::<Revision>(scope, &format!("{key}/")).map(|(_, revision)| revision);
    revisions.any(|revision| is_current(&service, &revision.id) && knows(&revision))
}

/// Whether tasks of the revision run or may yet be started: what a deployment that is over began from is not kept for its sake.
fn is_current(service: &Service, revision: &str) -> bool {
    let state = &service.state;
    let under_way = state.rollout.iter().filter(|rollout| !rollout.status.is_over()).flat_map(|rollout| {
        rollout.sources.iter().chain([&rollout.target]).chain(rollout.rollback.iter().map(|back| &back.to))
    });
    state.deployments.iter().any(|deployment| deployment.revision == revision)
        || state.last_completed.iter().chain(under_way).any(|source| source.revision == revision)
}

/// Removes the routes of a service that are of no use to it. For whoever has failed to make use of them.
///
/// # Errors
/// The first; the others are gone through all the same.
pub async fn release(call: &Call, cluster: &str, service: &str) -> Result<(), ApiError> {
    let scope = call.scope();
    let view = call.services.state.view();
    let own = |route: &Route| route.cluster == cluster && route.service == service;
    let idle: Vec<Arc<Route>> = view
        .scan::<Route>(scope)
        .map(|(_, route)| route)
        .filter(|route| own(route) && !is_needed(&view, scope, route))
        .collect();
    drop(view);
    let mut outcome = Ok(());
    for route in idle {
        outcome = outcome.and(remove_route(call, &route).await);
        outcome = outcome.and(tidy(call, &route.gateway).await);
    }
    outcome
}

async fn remove_route(call: &Call, seen: &Route) -> Result<(), ApiError> {
    let scope = call.scope();
    let begun = call.services.state.transact(|tx| {
        let Some(there) = tx.get::<Route>(scope, &seen.key()) else { return Ok(None) };
        // What has become of it since it was seen counts.
        if is_needed(tx.view(), scope, &there) {
            return Ok(None);
        }
        let leaving = Route { status: RouteStatus::DeleteInProgress, ..(*there).clone() };
        tx.put(scope, &seen.key(), leaving.clone());
        Ok::<_, ApiError>(Some(leaving))
    });
    let Some(mut route) = begun.await? else { return Ok(()) };
    let known = route.parts.clone();
    let outcome = remove_parts(call, &mut route).await;
    call.services
        .state
        .transact(|tx| {
            let there = tx.get::<Route>(scope, &route.key()).filter(|there| there.is_leaving());
            let Some(there) = there else { return Ok(()) };
            // What was made of it meanwhile goes next time.
            if there.parts != known {
                return Ok(());
            }
            match &outcome {
                Ok(()) => _ = tx.delete::<Route>(scope, &route.key()),
                Err(error) => {
                    let failed = Route {
                        status: RouteStatus::DeleteFailed,
                        reason: Some(error.message.clone()),
                        ..route.clone()
                    };
                    tx.put(scope, &route.key(), failed);
                }
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    outcome
}

/// Whether another route needs the security group of this one's service, or is about to find it.
fn needs_group(other: &Route, route: &Route) -> bool {
    let of_service = (&other.cluster, &other.service) == (&route.cluster, &route.service);
    let has = other.parts.service_group == route.parts.service_group;
    let making = other.parts.service_group.is_none() && !other.is_leaving();
    other.key() != route.key() && (has || (of_service && making))
}

async fn remove_parts(call: &Call, route: &mut Route) -> Result<(), ApiError> {
    let scope = call.scope();
    let view = call.services.state.view();
    let Some(gateway) = view.get::<Gateway>(scope, &route.gateway) else { return Ok(()) };
    let balancer = gateway.balancers.iter().find(|one| one.suffix == route.balancer).cloned();
    // Another of the service's routes may need the same.
    let others: Vec<Arc<Route>> =
        view.scan::<Route>(scope).map(|(_, other)| other).filter(|other| needs_group(other, route)).collect();
    drop(view);
    let acting = Acting::begin(call, &gateway.role_arn, &gateway.arn(scope), &gateway.propagated())?
        .after(route.reason.clone());
    let parts = &mut route.parts;
    for rule in [&mut parts.test_rule, &mut parts.rule] {
        if let Some(arn) = rule.as_deref() {
            acting.delete_rule(arn).await?;
            *rule = None;
        }
    }
    for group in [&mut parts.target_group, &mut parts.alternate] {
        if let Some(arn) = group.as_deref() {
            acting.delete_target_group(arn).await?;
            *group = None;
        }
    }
    let Some(group) = parts.service_group.clone() else { return Ok(()) };
    if let Some(from) = balancer.and_then(|balancer| balancer.group) {
        for port in std::mem::take(&mut parts.ports) {
            if !others
                .iter()
                .any(|other| other.balancer == route.balancer && other.parts.ports.contains(&port))
            {
                acting.forbid(&group, port, Some(&from)).await?;
            }
        }
    }
    if others.is_empty() {
        acting.delete_security_group(&group).await?;
    }
    parts.service_group = None;
    Ok(())
}

/// Removes a gateway's load balancers that have no routes, and the gateway when it is to go.
///
/// # Errors
/// The first that could not be removed, after the others were: the next attempt goes on there.
pub(super) async fn tidy(call: &Call, name: &str) -> Result<(), ApiError> {
    let scope = call.scope();
    let begun = call.services.state.transact(|tx| {
        let Some(there) = tx.get::<Gateway>(scope, name) else { return Ok(None) };
        let routes = tx.scan_prefix::<Route>(scope, &format!("{name}/"));
        let mut gateway = (*there).clone();
        for balancer in &mut gateway.balancers {
            balancer.leaving |= !routes.iter().any(|(_, route)| route.balancer == balancer.suffix);
        }
        if gateway.balancers != there.balancers {
            tx.put(scope, name, gateway.clone());
        }
        Ok::<_, ApiError>(Some(gateway))
    });
    let Some(gateway) = begun.await? else { return Ok(()) };
    let mut outcome = Ok(());
    for balancer in gateway.balancers.iter().filter(|balancer| balancer.leaving) {
        let mut left = balancer.clone();
        let removed = remove_balancer(call, &gateway, &mut left).await;
        let refusal = removed.as_ref().err().filter(|error| is(error, "AccessDenied"));
        left.refusal = refusal.map(|error| error.message.clone());
        outcome = outcome.and(removed);
        forget_balancer(call, name, balancer, &left).await?;
    }
    let ended = call.services.state.transact(|tx| {
        if tx.get::<Gateway>(scope, name).is_some_and(|there| there.deleted && there.balancers.is_empty()) {
            tx.delete::<Gateway>(scope, name);
        }
        Ok::<_, ApiError>(())
    });
    outcome.and(ended.await)
}

async fn remove_balancer(call: &Call, gateway: &Gateway, left: &mut Balancer) -> Result<(), ApiError> {
    let arn = gateway.arn(call.scope());
    if left.is_bare() {
        return Ok(());
    }
    let acting =
        Acting::begin(call, &gateway.role_arn, &arn, &gateway.propagated())?.after(left.refusal.clone());
    if let Some(arn) = &left.load_balancer {
        acting.delete_load_balancer(arn).await?;
        (left.load_balancer, left.listener) = (None, None);
    }
    if let Some(group) = &left.group {
        acting.delete_security_group(group).await?;
        left.group = None;
    }
    Ok(())
}

/// Removes the gateway's routes that no service needs, and what stood there for them alone.
///
/// # Errors
/// The first; the others are gone through all the same.
pub(super) async fn settle(call: &Call, gateway: &str) -> Result<(), ApiError> {
    let scope = call.scope();
    let view = call.services.state.view();
    let idle = |route: &Route| {
        let making = !route.claimed && !route.is_leaving() && call.now().since(route.updated_at) < UNCLAIMED;
        !making && !is_needed(&view, scope, route)
    };
    let routes = view.scan_prefix::<Route>(scope, &format!("{gateway}/"));
    let idle: Vec<Arc<Route>> = routes.map(|(_, route)| route).filter(|route| idle(route)).collect();
    drop(view);
    let mut outcome = Ok(());
    for route in idle {
        outcome = outcome.and(remove_route(call, &route).await);
    }
    outcome.and(tidy(call, gateway).await)
}

/// Carries on what is left to do, and removes what is of no use any more.
///
/// # Errors
/// The first; the others are gone through all the same.
pub async fn sweep(services: &Arc<Services>, now: Timestamp) -> Result<(), ApiError> {
    let mut outcome = Ok(());
    for (scope, gateway) in all::<Gateway>(services) {
        let call = own_call(services, scope.clone(), now);
        if gateway.status == GatewayStatus::UpdateInProgress {
            outcome = outcome.and(apply(&call, &gateway.name).await);
        }
        outcome = outcome.and(later(settle(&call, &gateway.name).await));
    }
    for (scope, association) in all::<Association>(services) {
        let call = own_call(services, scope, now);
        outcome = outcome.and(part(&call, &association).await);
    }
    outcome
}

/// The last interfaces go in a moment.
fn later(done: Result<(), ApiError>) -> Result<(), ApiError> {
    match done {
        Err(error) if is(&error, "DependencyViolation") => Ok(()),
        done => done,
    }
}

/// Ends an association that is being ended and has no routes any more, or whose cluster is gone.
async fn part(call: &Call, association: &Association) -> Result<(), ApiError> {
    let scope = call.scope();
    let key = super::records::association_key(&association.gateway, &association.cluster);
    call.services
        .state
        .transact(|tx| {
            let Some(there) = tx.get::<Association>(scope, &key) else { return Ok(()) };
            let gone = tx.get::<Cluster>(scope, &there.cluster).is_none_or(|cluster| !cluster.active);
            let routes = tx.scan_prefix::<Route>(scope, &format!("{}/", there.gateway));
            let used = routes.iter().any(|(_, route)| route.cluster == there.cluster);
            if !used && (gone || there.status == AssociationStatus::Disassociating) {
                tx.delete::<Association>(scope, &key);
            }
            Ok::<_, ApiError>(())
        })
        .await
}

fn all<R: Record>(services: &Services) -> Vec<(Scope, Arc<R>)> {
    services.state.read(|view| view.scan_all::<R>().map(|found| (found.scope, found.value)).collect())
}

/// A call of the platform's own, in an account.
fn own_call(services: &Arc<Services>, scope: Scope, now: Timestamp) -> Call {
    let context = Context {
        principal: Principal::root(&scope.account, "ecs.amazonaws.com"),
        scope,
        request_id: "gateways".to_owned(),
        now,
        host: String::new(),
        origin: Default::default(),
    };
    Call { services: Arc::clone(services), context: Arc::new(context) }
}
