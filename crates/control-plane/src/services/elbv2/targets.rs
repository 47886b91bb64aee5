//! Targets: registered, measured, drained, gone. What the ECS reconciler and the nodes' link build on.
//!
//! A target that is deregistered from a group in use goes on as draining. It is gone when the data plane says that nothing of it is in flight,
//! or when the deregistration delay is over, whichever is first; from a group that no listener uses it is gone at once.

use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc, time::Duration};

use state_store::{Tx, View};
use vocabulary::{Scope, Timestamp};

use super::{
    arns,
    errors::{
        invalid_configuration, invalid_target, listener_not_found, rule_not_found, target_group_not_found,
    },
    instances,
    records::{
        Does, Draining, Listener, LoadBalancer, Protocol, Target, TargetGroup, TargetType, WeightedGroup,
        load_balancer_arn, target_key,
    },
};
pub use super::{
    health::{Board, Health, Place, State},
    reports::{Report, apply_report},
};
use crate::{
    gateway::ApiError,
    services::ec2::records::{Subnet, Vpc},
};

/// Target groups have this many targets at most.
pub const MOST_TARGETS: usize = 1000;
/// Weights of a forward action go up to this.
pub const MOST_WEIGHT: u16 = 999;
/// Records changed in one transaction, which holds 128 operations at most.
pub const BATCH: usize = 50;

/// A target as requests name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetId {
    /// An IPv4 address, or the id of an instance.
    pub id: String,
    /// None: the group's port.
    pub port: Option<u16>,
    /// A zone, or `all` for an address outside the VPC.
    pub zone: Option<String>,
}

/// What others may want to know of a target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub arn: String,
    pub target_type: TargetType,
    pub protocol: Protocol,
    pub port: u16,
    pub vpc_id: String,
    pub health_check_interval_seconds: u32,
    pub deregistration_delay: Duration,
    /// Of the load balancers whose listeners forward to it.
    pub load_balancer_arns: Vec<String>,
    pub listener_arns: Vec<String>,
}

/// The target group with this ARN.
pub fn lookup(view: &View, scope: &Scope, arn: &str) -> Option<Group> {
    let group = view.get::<TargetGroup>(scope, arns::key(scope, arn, "targetgroup")?)?;
    let listeners: Vec<_> =
        view.by_index::<Listener>(scope, "target-group", arn).map(|(_, listener)| listener).collect();
    let balancers: BTreeSet<String> =
        listeners.iter().map(|listener| load_balancer_arn(scope, &listener.load_balancer)).collect();
    Some(Group {
        name: group.name.clone(),
        arn: arn.to_owned(),
        target_type: group.target_type,
        protocol: group.protocol,
        port: group.port,
        vpc_id: group.vpc_id.clone(),
        health_check_interval_seconds: group.health_check.interval_seconds,
        deregistration_delay: deregistration_delay(&group),
        load_balancer_arns: balancers.into_iter().collect(),
        listener_arns: listeners.iter().map(|listener| listener.arn(scope)).collect(),
    })
}

/// How long a target of the group may drain.
pub fn deregistration_delay(group: &TargetGroup) -> Duration {
    let given = group.attributes.get("deregistration_delay.timeout_seconds");
    Duration::from_secs(given.and_then(|seconds| seconds.parse().ok()).unwrap_or(300))
}

/// Registers a target, or takes back that it was deregistered. One that is registered already stays as it is; of any other nothing is
/// known any more, for it may be something else that has taken its address.
///
/// # Errors
/// `TargetGroupNotFound`, `InvalidTarget`, `TooManyTargets`.
pub fn register(
    tx: &mut Tx,
    scope: &Scope,
    target_group_arn: &str,
    target: &TargetId,
    now: Timestamp,
) -> Result<(), ApiError> {
    let group = group(tx, scope, target_group_arn)?;
    let port = target.port.unwrap_or(group.port);
    check(tx.view(), scope, &group, target)?;
    let key = target_key(&group.key(), &target.id, port);
    match tx.get::<Target>(scope, &key) {
        Some(there) if there.draining.is_none() => return Ok(()),
        Some(_) => {}
        // Counted without a guard: two at once may go over by one, which harms nothing.
        None if tx.view().scan_prefix::<Target>(scope, &prefix(&group)).count() >= MOST_TARGETS => {
            return Err(ApiError::new(
                &aws_shapes_elbv2::errors::TOO_MANY_TARGETS_EXCEPTION,
                format!("Target group '{target_group_arn}' cannot have more than {MOST_TARGETS} targets"),
            ));
        }
        None => {}
    }
    let made = Target {
        id: target.id.clone(),
        port,
        zone: target.zone.clone(),
        registered_at: now,
        registration: u64::try_from(tx.view().revision()).unwrap_or(0),
        draining: None,
    };
    tx.put(scope, &key, made);
    Ok(())
}

/// Whether [`register`] would take the target.
///
/// # Errors
/// As those of [`register`].
pub fn admissible(
    view: &View,
    scope: &Scope,
    target_group_arn: &str,
    target: &TargetId,
) -> Result<(), ApiError> {
    let group = arns::key(scope, target_group_arn, "targetgroup")
        .and_then(|key| view.get::<TargetGroup>(scope, key))
        .ok_or_else(|| target_group_not_found(target_group_arn))?;
    check(view, scope, &group, target)
}

/// Begins to drain a target. Nothing happens to one that is not registered, or drains already.
///
/// # Errors
/// `TargetGroupNotFound`.
pub fn deregister(
    tx: &mut Tx,
    scope: &Scope,
    target_group_arn: &str,
    target: &TargetId,
    now: Timestamp,
) -> Result<(), ApiError> {
    let group = group(tx, scope, target_group_arn)?;
    let port = target.port.unwrap_or(group.port);
    let key = target_key(&group.key(), &target.id, port);
    let Some(there) = tx.get::<Target>(scope, &key).filter(|there| there.draining.is_none()) else {
        return Ok(());
    };
    let delay = deregistration_delay(&group);
    let used = tx.view().by_index::<Listener>(scope, "target-group", target_group_arn).next().is_some();
    if used && !delay.is_zero() {
        let draining = Some(Draining { since: now, until: now + delay });
        tx.put(scope, &key, Target { draining, ..(*there).clone() });
    } else {
        tx.delete::<Target>(scope, &key);
    }
    Ok(())
}

/// How a target does at the moment.
pub fn health(
    view: &View,
    board: &Board,
    scope: &Scope,
    target_group_arn: &str,
    target: &TargetId,
    now: Timestamp,
) -> Health {
    let group =
        arns::key(scope, target_group_arn, "targetgroup").and_then(|key| view.get::<TargetGroup>(scope, key));
    let Some(group) = group else { return Health::absent() };
    let key = target_key(&group.key(), &target.id, target.port.unwrap_or(group.port));
    match view.get::<Target>(scope, &key) {
        Some(there) => health_of(view, board, scope, &group, &there, now),
        None => Health::absent(),
    }
}

/// How a registered target does.
pub fn health_of(
    view: &View,
    board: &Board,
    scope: &Scope,
    group: &TargetGroup,
    target: &Target,
    now: Timestamp,
) -> Health {
    let arn = group.arn(scope);
    match target.draining {
        Some(draining) if draining.until <= now => return Health::absent(),
        Some(_) => {
            let text = "Target deregistration is in progress";
            return Health::new(State::Draining, "Target.DeregistrationInProgress", text);
        }
        None => {}
    }
    let zones = zones_in_use(view, scope, &arn);
    if zones.is_empty() {
        let text = "Target group is not configured to receive traffic from the load balancer";
        return Health::new(State::Unused, "Target.NotInUse", text);
    }
    if zone_of(view, scope, group, target).is_some_and(|zone| !zones.contains(&zone)) {
        let text = "Target is in an Availability Zone that is not enabled for the load balancer";
        return Health::new(State::Unused, "Target.NotInUse", text);
    }
    board.of(&place(&arn, target)).unwrap_or_else(|| {
        Health::new(State::Initial, "Elb.RegistrationInProgress", "Target registration is in progress")
    })
}

/// By what the measurements of a registered target are known.
pub fn place(target_group_arn: &str, target: &Target) -> Place {
    Place {
        target_group_arn: target_group_arn.to_owned(),
        id: target.id.clone(),
        port: target.port,
        registration: target.registration,
    }
}

/// The zones of the load balancers that forward to the group; empty: none does.
pub fn zones_in_use(view: &View, scope: &Scope, target_group_arn: &str) -> BTreeSet<String> {
    let listeners = view.by_index::<Listener>(scope, "target-group", target_group_arn);
    let balancers: BTreeSet<String> = listeners.map(|(_, listener)| listener.load_balancer.clone()).collect();
    balancers
        .iter()
        .filter_map(|key| view.get::<LoadBalancer>(scope, key))
        .flat_map(|balancer| balancer.nodes.iter().map(|node| node.zone.clone()).collect::<Vec<_>>())
        .collect()
}

/// The zone that a target is in; none for an address outside the VPC.
pub fn zone_of(view: &View, scope: &Scope, group: &TargetGroup, target: &Target) -> Option<String> {
    if let Some(zone) = &target.zone {
        return Some(zone.clone()).filter(|zone| zone != "all");
    }
    match group.target_type {
        TargetType::Ip => {
            let address: Ipv4Addr = target.id.parse().ok()?;
            let mut subnets = view.by_index::<Subnet>(scope, "vpc", &group.vpc_id);
            subnets
                .find(|(_, subnet)| subnet.cidr.contains(address))
                .map(|(_, subnet)| subnet.availability_zone.clone())
        }
        TargetType::Instance => instances::find(view, scope, &target.id)?.zone,
    }
}

/// Gives a listener's default action (by the listener's ARN or its default rule's) or a rule these target groups to forward to. Its stickiness stays.
///
/// # Errors
/// `ListenerNotFound`, `RuleNotFound`; `InvalidConfigurationRequest` when it does not forward; `TargetGroupNotFound`.
pub fn set_weights(
    tx: &mut Tx,
    scope: &Scope,
    listener_or_rule_arn: &str,
    weights: &[(String, u16)],
) -> Result<(), ApiError> {
    for (arn, _) in weights {
        group(tx, scope, arn)?;
    }
    let (found, rule) = forwarding(tx, scope, listener_or_rule_arn)?;
    let mut listener = (*found).clone();
    let actions = match rule {
        None => &mut listener.default_actions,
        Some(priority) => match listener.rules.get_mut(&priority) {
            Some(rule) => &mut rule.actions,
            None => return Err(rule_not_found(listener_or_rule_arn)),
        },
    };
    let forward = actions.iter_mut().find_map(|action| match &mut action.does {
        Does::Forward { groups, .. } => Some(groups),
        Does::Redirect(_) | Does::FixedResponse { .. } => None,
    });
    let Some(groups) = forward else {
        return Err(invalid_configuration(format!("'{listener_or_rule_arn}' forwards to no target group")));
    };
    *groups = weights
        .iter()
        .map(|(arn, weight)| WeightedGroup { arn: arn.clone(), weight: Some((*weight).min(MOST_WEIGHT)) })
        .collect();
    if listener != *found {
        tx.put(scope, &listener.key(), listener);
    }
    Ok(())
}

/// The target groups and weights that a listener's default action or a rule forwards to; none when there is no such listener or rule.
pub fn weights(view: &View, scope: &Scope, listener_or_rule_arn: &str) -> Option<Vec<(String, u16)>> {
    let of = |actions: &[super::records::Action]| {
        let groups = actions.iter().filter_map(|action| match &action.does {
            Does::Forward { groups, .. } => Some(groups),
            Does::Redirect(_) | Does::FixedResponse { .. } => None,
        });
        groups.flatten().map(|group| (group.arn.clone(), group.weight.unwrap_or(1))).collect()
    };
    if let Some(key) = arns::key(scope, listener_or_rule_arn, "listener") {
        return Some(of(&view.get::<Listener>(scope, key)?.default_actions));
    }
    let (key, id) = arns::rule_key(scope, listener_or_rule_arn)?;
    let listener = view.get::<Listener>(scope, key)?;
    if listener.default_rule_id == id {
        return Some(of(&listener.default_actions));
    }
    listener.rules.values().find(|rule| rule.id == id).map(|rule| of(&rule.actions))
}

/// The listener, and the priority of the rule in it; none: its default action.
fn forwarding(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<(Arc<Listener>, Option<u32>), ApiError> {
    if let Some(key) = arns::key(scope, arn, "listener") {
        let listener = tx.get::<Listener>(scope, key).ok_or_else(|| listener_not_found(arn))?;
        return Ok((listener, None));
    }
    let (key, id) = arns::rule_key(scope, arn).ok_or_else(|| rule_not_found(arn))?;
    let listener = tx.get::<Listener>(scope, key).ok_or_else(|| rule_not_found(arn))?;
    if listener.default_rule_id == id {
        return Ok((listener, None));
    }
    let priority = listener.rules.iter().find(|(_, rule)| rule.id == id).map(|(priority, _)| *priority);
    priority.map(|priority| (listener, Some(priority))).ok_or_else(|| rule_not_found(arn))
}

fn group(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<Arc<TargetGroup>, ApiError> {
    let key = arns::key(scope, arn, "targetgroup").ok_or_else(|| target_group_not_found(arn))?;
    tx.get::<TargetGroup>(scope, key).ok_or_else(|| target_group_not_found(arn))
}

/// What the keys of the group's targets begin with.
pub fn prefix(group: &TargetGroup) -> String {
    format!("{}/", group.key())
}

/// Whether the group can have the target.
fn check(view: &View, scope: &Scope, group: &TargetGroup, target: &TargetId) -> Result<(), ApiError> {
    let id = &target.id;
    match group.target_type {
        TargetType::Instance => {
            if target.id.parse::<Ipv4Addr>().is_ok() {
                return Err(invalid_target(format!(
                    "The following targets are not valid instance IDs: '{id}'"
                )));
            }
            if instances::find(view, scope, id).is_none() {
                return Err(invalid_target(format!(
                    "The following targets are not in a running state and cannot be registered: '{id}'"
                )));
            }
        }
        TargetType::Ip => {
            let address: Ipv4Addr = id
                .parse()
                .map_err(|_| invalid_target(format!("The IP address '{id}' is not a valid IPv4 address")))?;
            let vpc = view.get::<Vpc>(scope, &group.vpc_id);
            let inside = vpc.is_some_and(|vpc| vpc.cidr.contains(address));
            let elsewhere = target.zone.as_deref() == Some("all");
            if !inside && !elsewhere {
                return Err(invalid_target(format!(
                    "The IP address '{id}' is outside the VPC: its Availability Zone must be 'all'"
                )));
            }
            if !inside && !may_lie_outside(address) {
                return Err(invalid_target(format!(
                    "The IP address '{id}' is not within a valid private range"
                )));
            }
        }
    }
    Ok(())
}

/// RFC 1918 and RFC 6598: what AWS lets targets outside the VPC have.
fn may_lie_outside(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private() || (first == 100 && (64..128).contains(&second))
}
