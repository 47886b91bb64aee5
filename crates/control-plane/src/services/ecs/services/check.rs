//! Whether a service can be as it is wanted: what depends on nothing but the request, and what depends on its task definition.
//!
//! Texts are AWS's where they are known.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{DeploymentControllerType, errors};

use super::{asked::Wanted, names::not_implemented};
use crate::{
    gateway::ApiError,
    services::ecs::{
        names::invalid,
        placing::Rules,
        providers::check_strategy,
        records::{Cluster, TaskDefinition},
    },
};

/// Tasks of a service, by AWS's quota.
pub const MOST_TASKS: i32 = 5000;
/// Services of a cluster, by AWS's quota.
pub const MOST_SERVICES: usize = 5000;
const MOST_CONSTRAINTS: usize = 10;
const MOST_STRATEGIES: usize = 5;
const MOST_ALARMS: usize = 10;
/// 24 hours; of bake times.
const LONGEST_BAKE_MINUTES: i32 = 1440;
/// Hooks of a configuration.
const MOST_HOOKS: usize = 20;

/// The number of tasks that is asked for.
///
/// # Errors
/// `InvalidParameterException`.
pub fn desired_count(given: i32) -> Result<u32, ApiError> {
    match given {
        0..=MOST_TASKS => Ok(given.unsigned_abs()),
        ..0 => Err(invalid("The desired count must be at least 0.")),
        _ => Err(invalid(format!("The desired count of a service can be {MOST_TASKS} at most."))),
    }
}

/// Where its tasks run, as far as checks care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capacity {
    Fargate,
    Instances,
    External,
}

/// Everything that needs no task definition. With the controllers EXTERNAL and CODE_DEPLOY the latter may come with the task sets.
///
/// # Errors
/// The first rule broken.
pub fn settings(wanted: &Wanted, cluster: &Cluster) -> Result<(), ApiError> {
    let (settings, revision) = (&wanted.settings, &wanted.revision);
    let controller = settings.deployment_controller.as_ref().and_then(|given| given.r#type);
    let daemon = settings.scheduling_strategy == Some(ecs::SchedulingStrategy::Daemon);
    let strategy = revision.capacity_provider_strategy.as_deref().unwrap_or_default();
    if revision.launch_type.is_some() && !strategy.is_empty() {
        return Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    if revision.launch_type == Some(ecs::LaunchType::ManagedInstances) {
        return Err(not_implemented("managed instances"));
    }
    if !strategy.is_empty() {
        check_strategy(&cluster.capacity_providers, strategy)?;
    }
    if daemon && !strategy.is_empty() {
        return Err(invalid(
            "Capacity provider strategies are not supported with the DAEMON scheduling strategy.",
        ));
    }
    if daemon && controller != Some(DeploymentControllerType::Ecs) {
        return Err(invalid(
            "The DAEMON scheduling strategy is supported with the ECS deployment controller only.",
        ));
    }
    let capacity = capacity(revision, cluster);
    if daemon && capacity == Capacity::Fargate {
        return Err(invalid("The daemon scheduling strategy is not supported for Fargate tasks."));
    }
    placement(settings, capacity, daemon)?;
    platform(revision, capacity)?;
    deployment(settings, controller, daemon)?;
    rebalancing(settings, revision, daemon)?;
    let grace = settings.health_check_grace_period_seconds;
    let balanced = revision.load_balancers.as_ref().is_some_and(|given| !given.is_empty())
        || revision.gateway_connectors.is_some();
    let by_task_set = controller == Some(DeploymentControllerType::External);
    if grace.is_some_and(|seconds| seconds < 0) {
        return Err(invalid("The health check grace period must be between 0 and 2147483647 seconds."));
    }
    if grace.is_some_and(|seconds| seconds > 0) && !balanced && !by_task_set {
        return Err(invalid(
            "Health check grace period is only valid for services configured to use load balancers",
        ));
    }
    Ok(())
}

/// By launch type, strategy, or the cluster's strategy.
fn capacity(revision: &ecs::ServiceRevision, cluster: &Cluster) -> Capacity {
    let default = cluster.default_strategy.0.default_capacity_provider_strategy.as_deref();
    let own = revision.capacity_provider_strategy.as_deref().filter(|own| !own.is_empty());
    let first =
        own.or(default).and_then(|items| items.first()).and_then(|item| item.capacity_provider.as_deref());
    match (revision.launch_type, first) {
        (Some(ecs::LaunchType::Fargate), _) | (None, Some("FARGATE" | "FARGATE_SPOT")) => Capacity::Fargate,
        (Some(ecs::LaunchType::External), _) => Capacity::External,
        _ => Capacity::Instances,
    }
}

fn placement(settings: &ecs::Service, capacity: Capacity, daemon: bool) -> Result<(), ApiError> {
    let constraints = settings.placement_constraints.as_deref().unwrap_or_default();
    let strategies = settings.placement_strategy.as_deref().unwrap_or_default();
    if capacity == Capacity::Fargate && !constraints.is_empty() {
        return Err(invalid("Placement constraints are not supported with FARGATE launch type."));
    }
    if capacity == Capacity::Fargate && !strategies.is_empty() {
        return Err(invalid("Placement strategies are not supported with FARGATE launch type."));
    }
    if constraints.len() > MOST_CONSTRAINTS {
        return Err(invalid(format!("placementConstraints can have at most {MOST_CONSTRAINTS} items.")));
    }
    if strategies.len() > MOST_STRATEGIES {
        return Err(invalid(format!("placementStrategies can have at most {MOST_STRATEGIES} items.")));
    }
    if daemon && !strategies.is_empty() {
        return Err(invalid("Placement strategies are not supported with the DAEMON scheduling strategy."));
    }
    let distinct = ecs::PlacementConstraintType::DistinctInstance;
    if daemon && constraints.iter().any(|constraint| constraint.r#type == Some(distinct)) {
        return Err(invalid(
            "The distinctInstance constraint is not supported with the DAEMON scheduling strategy.",
        ));
    }
    Rules::parse(constraints, strategies)?;
    Ok(())
}

fn platform(revision: &ecs::ServiceRevision, capacity: Capacity) -> Result<(), ApiError> {
    match (revision.platform_version.as_deref(), capacity) {
        (None, _) | (Some("LATEST" | "1.4.0" | "1.3.0"), Capacity::Fargate) => Ok(()),
        (Some(_), Capacity::Fargate) => Err(ApiError::new(
            &errors::PLATFORM_UNKNOWN_EXCEPTION,
            "The specified platform version does not exist.",
        )),
        (Some(_), _) => Err(invalid("The platform version must be null when specifying an EC2 launch type.")),
    }
}

fn deployment(
    settings: &ecs::Service,
    controller: Option<DeploymentControllerType>,
    daemon: bool,
) -> Result<(), ApiError> {
    let Some(given) = &settings.deployment_configuration else { return Ok(()) };
    let (minimum, maximum) =
        (given.minimum_healthy_percent.unwrap_or(100), given.maximum_percent.unwrap_or(200));
    if minimum < 0 || maximum < 0 {
        return Err(invalid("The percentages of a deployment configuration cannot be negative."));
    }
    if daemon && maximum != 100 {
        return Err(invalid(
            "The daemon scheduling strategy does not support values for maximumPercent other than 100",
        ));
    }
    if daemon && minimum >= 100 {
        return Err(invalid(
            "The daemon scheduling strategy does not support a minimumHealthyPercent of 100: it would block deployments.",
        ));
    }
    if minimum == 100 && maximum == 100 {
        return Err(invalid(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ));
    }
    if minimum > maximum || maximum == 0 {
        return Err(invalid(
            "maximumPercent must be greater than 0 and not less than minimumHealthyPercent.",
        ));
    }
    let own = controller == Some(DeploymentControllerType::Ecs);
    let breaker = given.deployment_circuit_breaker.as_ref();
    if breaker.is_some_and(|breaker| breaker.enable == Some(true)) && !own {
        return Err(invalid(
            "Deployment circuit breaker feature is only supported with the ECS deployment controller.",
        ));
    }
    if let Some(threshold) = breaker.and_then(|breaker| breaker.threshold_configuration.as_ref()) {
        let most = match threshold.r#type {
            Some(ecs::ThresholdType::Count) => MOST_TASKS,
            Some(ecs::ThresholdType::BoundedPercent) => 100,
            Some(ecs::ThresholdType::UnboundedPercent) | None => 1000,
        };
        if !(1..=most).contains(&threshold.value.unwrap_or(0)) {
            return Err(invalid(format!(
                "The value of thresholdConfiguration must be between 1 and {most}."
            )));
        }
    }
    alarms(given.alarms.as_ref(), own)?;
    strategy(given, own, daemon)
}

fn alarms(given: Option<&ecs::DeploymentAlarms>, own: bool) -> Result<(), ApiError> {
    let Some(given) = given else { return Ok(()) };
    let names = given.alarm_names.as_deref().unwrap_or_default();
    if given.enable == Some(true) && !own {
        return Err(invalid("Deployment alarms are only supported with the ECS deployment controller."));
    }
    if given.enable == Some(true) && names.is_empty() {
        return Err(invalid("alarmNames cannot be empty when deployment alarms are enabled."));
    }
    if names.len() > MOST_ALARMS {
        return Err(invalid(format!("alarmNames can have at most {MOST_ALARMS} items.")));
    }
    Ok(())
}

fn strategy(given: &ecs::DeploymentConfiguration, own: bool, daemon: bool) -> Result<(), ApiError> {
    use ecs::DeploymentStrategy::{Canary, Linear, Rolling};
    let strategy = given.strategy.unwrap_or(Rolling);
    if strategy != Rolling && !own {
        return Err(invalid(format!(
            "The deployment strategy {} is only supported with the ECS deployment controller.",
            strategy.as_str()
        )));
    }
    if strategy != Rolling && daemon {
        return Err(invalid("The DAEMON scheduling strategy supports the ROLLING deployment strategy only."));
    }
    let bakes = |minutes: Option<i32>| (0..=LONGEST_BAKE_MINUTES).contains(&minutes.unwrap_or(0));
    let canary = given.canary_configuration.as_ref();
    let linear = given.linear_configuration.as_ref();
    if canary.is_some() && strategy != Canary {
        return Err(invalid("canaryConfiguration is only valid with the CANARY deployment strategy."));
    }
    if linear.is_some() && strategy != Linear {
        return Err(invalid("linearConfiguration is only valid with the LINEAR deployment strategy."));
    }
    if !bakes(given.bake_time_in_minutes)
        || !bakes(canary.and_then(|canary| canary.canary_bake_time_in_minutes))
        || !bakes(linear.and_then(|linear| linear.step_bake_time_in_minutes))
    {
        return Err(invalid(format!("Bake times must be between 0 and {LONGEST_BAKE_MINUTES} minutes.")));
    }
    if canary
        .and_then(|canary| canary.canary_percent)
        .is_some_and(|percent| !(0.1..=100.0).contains(&percent))
    {
        return Err(invalid("canaryPercent must be between 0.1 and 100.0."));
    }
    if linear.and_then(|linear| linear.step_percent).is_some_and(|percent| !(3.0..=100.0).contains(&percent))
    {
        return Err(invalid("stepPercent must be between 3.0 and 100.0."));
    }
    let hooks = given.lifecycle_hooks.as_deref().unwrap_or_default();
    if hooks.len() > MOST_HOOKS {
        return Err(invalid(format!("lifecycleHooks can have at most {MOST_HOOKS} items.")));
    }
    for hook in hooks {
        if strategy == Rolling {
            return Err(invalid("Lifecycle hooks are not supported with the ROLLING deployment strategy."));
        }
        if hook.target_type != Some(ecs::DeploymentLifecycleHookTargetType::Pause) {
            return Err(not_implemented("lifecycle hooks that invoke AWS Lambda functions"));
        }
        if hook.lifecycle_stages.as_ref().is_none_or(Vec::is_empty) {
            return Err(invalid("lifecycleStages cannot be empty."));
        }
    }
    Ok(())
}

/// Whether tasks can be moved between zones: a replicated service whose first strategy, if any, spreads over zones.
pub fn can_rebalance(settings: &ecs::Service, revision: &ecs::ServiceRevision) -> bool {
    let strategies = settings.placement_strategy.as_deref().unwrap_or_default();
    let spreads = strategies.first().is_none_or(|first| {
        first.r#type == Some(ecs::PlacementStrategyType::Spread)
            && first.field.as_deref() == Some("attribute:ecs.availability-zone")
    });
    let by_zone = |constraint: &ecs::PlacementConstraint| {
        constraint.expression.as_deref().is_some_and(|text| text.contains("ecs.availability-zone"))
    };
    let pinned = settings.placement_constraints.iter().flatten().any(by_zone);
    let classic =
        revision.load_balancers.iter().flatten().any(|balancer| balancer.load_balancer_name.is_some());
    let configuration = settings.deployment_configuration.as_ref();
    let room = configuration.and_then(|given| given.maximum_percent).unwrap_or(200) > 100;
    spreads
        && !pinned
        && !classic
        && room
        && settings.scheduling_strategy != Some(ecs::SchedulingStrategy::Daemon)
}

fn rebalancing(
    settings: &ecs::Service,
    revision: &ecs::ServiceRevision,
    daemon: bool,
) -> Result<(), ApiError> {
    if settings.availability_zone_rebalancing != Some(ecs::AvailabilityZoneRebalancing::Enabled) {
        return Ok(());
    }
    if daemon {
        return Err(invalid(
            "Availability Zone rebalancing is not supported with the DAEMON scheduling strategy.",
        ));
    }
    if !can_rebalance(settings, revision) {
        return Err(invalid(
            "Availability Zone rebalancing needs a maximumPercent above 100, no Classic Load Balancer, no constraint on the Availability Zone, and no placement strategy or one that spreads over Availability Zones first.",
        ));
    }
    Ok(())
}

/// Whether tasks of the definition can run so.
///
/// # Errors
/// The first rule broken.
pub fn definition(
    revision: &ecs::ServiceRevision,
    definition: &TaskDefinition,
    cluster: &Cluster,
) -> Result<(), ApiError> {
    let shape = &definition.definition.0;
    let (needed, name) = match capacity(revision, cluster) {
        Capacity::Fargate => (ecs::Compatibility::Fargate, "FARGATE"),
        Capacity::Instances => (ecs::Compatibility::Ec2, "EC2"),
        Capacity::External => (ecs::Compatibility::External, "EXTERNAL"),
    };
    if !shape.compatibilities.iter().flatten().any(|compatible| *compatible == needed) {
        return Err(invalid(format!("Task definition does not support launch_type {name}.")));
    }
    let awsvpc = shape.network_mode == Some(ecs::NetworkMode::Awsvpc);
    let network =
        revision.network_configuration.as_ref().and_then(|given| given.awsvpc_configuration.as_ref());
    match (awsvpc, network) {
        (true, None) => {
            Err(invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified."))
        }
        (false, Some(_)) => Err(invalid(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
        _ => Ok(()),
    }
}
