//! The load balancers of a service: whether they can be, and which target groups the tasks of a revision belong to.
//!
//! With a ROLLING deployment every revision's tasks are in the same target groups. With the other strategies a load balancer
//! has two, and each revision takes the one that its predecessor is not in; which one stands in the revision's
//! `resolvedConfiguration`.

mod classic;

use aws_shapes_ecs as ecs;
use state_store::View;
use vocabulary::Scope;

use super::{asked::Wanted, records::Revision};
use crate::{
    gateway::ApiError,
    services::{
        ecs::{
            gateways::Connection,
            names::invalid,
            records::{Registrar, TaskDefinition},
        },
        elbv2::{records::TargetType, targets},
    },
};

/// Target groups of a service. Source: the guide's quotas.
const MOST_TARGET_GROUPS: usize = 5;

/// Where the tasks of a revision are registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub at: Registrar,
    pub container: String,
    pub port: u16,
}

/// Those of a revision: its load balancers' in their order, then its gateways'.
pub fn attachments(revision: &Revision) -> Vec<Attachment> {
    let connected = revision.connections.iter().filter_map(|connection| {
        Some(Attachment {
            at: Registrar::TargetGroupArn(connection.chosen.clone()),
            container: connection.container.clone(),
            port: u16::try_from(connection.port).ok()?,
        })
    });
    of_balancers(&revision.details.0).into_iter().chain(connected).collect()
}

fn of_balancers(details: &ecs::ServiceRevision) -> Vec<Attachment> {
    let in_use = in_use(details).into_iter().filter_map(|balancer| {
        Some(Attachment {
            at: match (balancer.target_group_arn, balancer.load_balancer_name) {
                (Some(arn), _) => Registrar::TargetGroupArn(arn),
                (None, name) => Registrar::LoadBalancerName(name?),
            },
            container: balancer.container_name?,
            port: u16::try_from(balancer.container_port?).ok()?,
        })
    });
    in_use.collect()
}

/// A revision's load balancers, each with the one target group that its tasks are in, of two.
pub fn in_use(details: &ecs::ServiceRevision) -> Vec<ecs::LoadBalancer> {
    let resolved = details.resolved_configuration.as_ref().and_then(|given| given.load_balancers.as_deref());
    let given = details.load_balancers.iter().flatten().enumerate();
    let in_use = given.map(|(index, balancer)| {
        let chosen = resolved.and_then(|all| all.get(index)?.target_group_arn.clone());
        ecs::LoadBalancer {
            target_group_arn: chosen.or_else(|| balancer.target_group_arn.clone()),
            advanced_configuration: None,
            ..balancer.clone()
        }
    });
    in_use.collect()
}

/// Whether every load balancer exists, fits the definition, and has what the deployment strategy needs.
///
/// # Errors
/// `InvalidParameterException` for the first that does not.
pub fn check(
    view: &View,
    scope: &Scope,
    wanted: &Wanted,
    definition: &TaskDefinition,
) -> Result<(), ApiError> {
    let balancers = wanted.revision.load_balancers.as_deref().unwrap_or_default();
    if balancers.len() > MOST_TARGET_GROUPS {
        return Err(invalid(format!("load balancers can have at most {MOST_TARGET_GROUPS} items.")));
    }
    let configuration = wanted.settings.deployment_configuration.as_ref();
    let strategy = configuration.and_then(|given| given.strategy).unwrap_or(ecs::DeploymentStrategy::Rolling);
    let rolling = strategy == ecs::DeploymentStrategy::Rolling;
    if balancers.is_empty()
        && wanted.connections.is_empty()
        && matches!(strategy, ecs::DeploymentStrategy::Linear | ecs::DeploymentStrategy::Canary)
    {
        return Err(invalid(format!(
            "The deployment strategy {} needs a load balancer whose traffic can be shifted.",
            strategy.as_str()
        )));
    }
    for balancer in balancers {
        if let Some(name) = &balancer.load_balancer_name {
            container(balancer, definition)?;
            classic::check(view, scope, wanted, definition, balancer, name)?;
            continue;
        }
        let Some(arn) = &balancer.target_group_arn else {
            return Err(invalid("targetGroupArn must be specified for each load balancer."));
        };
        container(balancer, definition)?;
        group(view, scope, arn, definition)?;
        match (&balancer.advanced_configuration, rolling) {
            (None, true) => {}
            (Some(_), true) => {
                return Err(invalid(
                    "advancedConfiguration is not supported with the ROLLING deployment strategy.",
                ));
            }
            (None, false) => {
                return Err(invalid(
                    "advancedConfiguration field is required for all loadBalancers when using a non-ROLLING deployment strategy.",
                ));
            }
            (Some(advanced), false) => self::advanced(view, scope, arn, advanced, definition)?,
        }
    }
    Ok(())
}

/// The container and its port are in the definition.
fn container(balancer: &ecs::LoadBalancer, definition: &TaskDefinition) -> Result<(), ApiError> {
    let (Some(name), Some(port)) = (&balancer.container_name, balancer.container_port) else {
        return Err(invalid("containerName and containerPort must be specified for each load balancer."));
    };
    let mut containers = definition.definition.0.container_definitions.iter().flatten();
    let Some(container) = containers.find(|container| container.name.as_ref() == Some(name)) else {
        return Err(invalid(format!("The container {name} does not exist in the task definition.")));
    };
    let mut mappings = container.port_mappings.iter().flatten();
    if !mappings.any(|mapping| mapping.container_port == Some(port)) {
        return Err(invalid(format!("The container {name} did not have a container port {port} defined.")));
    }
    Ok(())
}

/// The target group exists, is behind a load balancer and takes what the tasks have.
fn group(view: &View, scope: &Scope, arn: &str, definition: &TaskDefinition) -> Result<(), ApiError> {
    let Some(group) = targets::lookup(view, scope, arn) else {
        return Err(invalid(format!("The specified target group does not exist. targetGroupArn: {arn}")));
    };
    if group.load_balancer_arns.is_empty() {
        return Err(invalid(format!(
            "The target group with targetGroupArn {arn} does not have an associated load balancer."
        )));
    }
    let mode = definition.definition.0.network_mode;
    let (kind, fits) = match group.target_type {
        TargetType::Ip => ("ip", mode == Some(ecs::NetworkMode::Awsvpc)),
        TargetType::Instance => {
            ("instance", mode != Some(ecs::NetworkMode::Awsvpc) && mode != Some(ecs::NetworkMode::None))
        }
    };
    if fits {
        return Ok(());
    }
    let mode = mode.map_or("bridge", |mode| mode.as_str());
    Err(invalid(format!(
        "The provided target group {arn} has target type {kind}, which is incompatible with the {mode} network mode specified in the task definition."
    )))
}

/// What traffic is shifted with: a second target group, and a rule that forwards to one of the two.
fn advanced(
    view: &View,
    scope: &Scope,
    arn: &str,
    advanced: &ecs::AdvancedConfiguration,
    definition: &TaskDefinition,
) -> Result<(), ApiError> {
    let (Some(alternate), Some(production)) =
        (&advanced.alternate_target_group_arn, &advanced.production_listener_rule)
    else {
        return Err(invalid(
            "alternateTargetGroupArn and productionListenerRule must be specified in advancedConfiguration.",
        ));
    };
    if advanced.role_arn.as_deref().unwrap_or_default().is_empty() {
        return Err(invalid("roleArn must be specified in advancedConfiguration."));
    }
    if alternate == arn {
        return Err(invalid("alternateTargetGroupArn must differ from targetGroupArn."));
    }
    if targets::lookup(view, scope, alternate).is_none() {
        return Err(invalid(format!(
            "The specified target group does not exist. targetGroupArn: {alternate}"
        )));
    }
    if targets::lookup(view, scope, alternate).is_some_and(|group| !group.load_balancer_arns.is_empty()) {
        group(view, scope, alternate, definition)?;
    }
    let rules = [
        ("productionListenerRule", Some(production)),
        ("testListenerRule", advanced.test_listener_rule.as_ref()),
    ];
    for (what, rule) in rules {
        let Some(rule) = rule else { continue };
        let Some(weights) = targets::weights(view, scope, rule) else {
            return Err(invalid(format!("The {what} {rule} does not exist.")));
        };
        if !weights.iter().any(|(group, _)| group == arn || group == alternate) {
            return Err(invalid(format!(
                "The {what} {rule} does not forward to a target group of the service."
            )));
        }
    }
    Ok(())
}

/// Which of two target groups the next revision takes: the one that `source`, which traffic goes to now, is not in.
/// One whose deployment shifts no traffic takes the one that `source` is in.
pub fn resolve(
    details: &mut ecs::ServiceRevision,
    connections: &mut [Connection],
    source: Option<&Revision>,
) {
    let before = source.map(attachments).unwrap_or_default();
    let taken = |arn: &String| before.iter().any(|attachment| attachment.at.target_group() == Some(arn));
    for connection in connections {
        let there = source.iter().flat_map(|source| &source.connections);
        let there = there.filter(|one| one.route == connection.route).map(|one| one.chosen.clone()).next();
        connection.chosen = match (&connection.alternate, there) {
            (Some(other), Some(there)) if there == connection.target_group => other.clone(),
            (None, Some(there)) => there,
            _ => connection.target_group.clone(),
        };
    }
    let balancers = details.load_balancers.iter().flatten();
    let resolved: Vec<ecs::ServiceRevisionLoadBalancer> = balancers
        .map(|balancer| {
            let advanced = balancer.advanced_configuration.as_ref();
            let alternate = advanced.and_then(|given| given.alternate_target_group_arn.clone());
            let first = balancer.target_group_arn.clone();
            let free = match (&first, alternate) {
                (Some(arn), Some(other)) if taken(arn) && !taken(&other) => Some(other),
                _ => first,
            };
            ecs::ServiceRevisionLoadBalancer {
                production_listener_rule: advanced.and_then(|given| given.production_listener_rule.clone()),
                target_group_arn: free,
            }
        })
        .collect();
    details.resolved_configuration = (!resolved.is_empty())
        .then(|| ecs::ResolvedConfiguration { load_balancers: Some(resolved), ..Default::default() });
}
