//! Capacity providers: the two that every account has, and those of one's own.
//!
//! On AWS one's own stand for an Auto Scaling group, whose instances are its capacity. Here the machines are the operator's: an instance
//! belongs to a provider when its agent says so by [`INSTANCE_ATTRIBUTE`], and tasks that a strategy gives to the provider are placed on
//! those instances. The Auto Scaling group's ARN is kept as the provider's name for where its machines come from. Nothing scales,
//! protects or drains machines that belong to somebody else, so those settings are refused when they are switched on.

mod calls;

use agent_protocol::state::TaskStatus;
use aws_shapes_ecs as ecs;
use serde::{Deserialize, Serialize};
use state_store::{Record, Tx, View};
use vocabulary::{Scope, Timestamp};

use super::{
    names::invalid,
    records::{Attribute, Task},
    services::records::{Revision, Service, ServiceStatus, revision_key},
};
use crate::{convert::AwsJson, gateway::ApiError, services::tagging::Tags};
pub use calls::{create, delete, describe, update};

/// A capacity provider of one's own; its id is its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CapacityProvider {
    pub name: String,
    /// As the API shows it, defaults filled in.
    pub group: AwsJson<ecs::AutoScalingGroupProvider>,
    pub tags: Tags,
    pub created_at: Timestamp,
    /// Whether it was ever updated.
    pub updated: bool,
}

impl Record for CapacityProvider {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "capacity-provider";
    const SCHEMA_VERSION: u32 = 1;
}

impl CapacityProvider {
    pub fn arn(&self, scope: &Scope) -> String {
        arn(scope, &self.name)
    }
}

/// The ARN of the provider with this name.
pub fn arn(scope: &Scope, name: &str) -> String {
    scope.arn("ecs", format_args!("capacity-provider/{name}")).to_string()
}

/// Whether a provider of that name would be one's own, rather than FARGATE's.
pub fn is_own(name: &str) -> bool {
    !AWS_PROVIDERS.contains(&name)
}

/// The constraint that only the provider's instances fulfil.
pub fn constraint(name: &str) -> String {
    format!("attribute:{INSTANCE_ATTRIBUTE} == {name}")
}

/// The provider that an instance belongs to. `registered`: the attributes that its agent registered it with.
pub fn of_instance(
    view: &View,
    scope: &Scope,
    cluster: &str,
    id: &str,
    registered: &[ecs::Attribute],
) -> Option<String> {
    let custom = view.get::<Attribute>(scope, &format!("{cluster}/{id}/{INSTANCE_ATTRIBUTE}"));
    let own = || registered.iter().find(|one| one.name.as_deref() == Some(INSTANCE_ATTRIBUTE));
    match custom {
        Some(custom) => custom.value.clone(),
        None => own()?.value.clone(),
    }
}

/// The capacity providers that every account has.
pub const AWS_PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

/// The attribute of a container instance that says which capacity provider it belongs to. `longshore agent --capacity-provider` sets it.
pub const INSTANCE_ATTRIBUTE: &str = "longshore.capacity-provider";

/// Whether nothing in the cluster runs by the provider, nor would: no task that is not STOPPED, no service's strategy.
///
/// # Errors
/// `ResourceInUseException`, in AWS's words.
pub fn check_unused(tx: &mut Tx, scope: &Scope, cluster: &str, name: &str) -> Result<(), ApiError> {
    let prefix = format!("{cluster}/");
    let runs = |task: &Task| {
        task.state.last_status != TaskStatus::Stopped && task.capacity_provider.as_deref() == Some(name)
    };
    let tasks = tx.scan_prefix::<Task>(scope, &prefix);
    let services = tx.scan_prefix::<Service>(scope, &prefix);
    let wants = |service: &Service| {
        let deployments = service.state.deployments.iter().map(|deployment| deployment.revision.clone());
        let sets = service
            .state
            .task_sets
            .iter()
            .filter_map(|set| Some(set.id.strip_prefix("ecs-svc/")?.to_owned()));
        deployments.chain(sets).any(|id| {
            let revision = tx.view().get::<Revision>(scope, &revision_key(cluster, &service.name, &id));
            revision.is_some_and(|revision| {
                let strategy = revision.details.0.capacity_provider_strategy.iter().flatten();
                strategy.into_iter().any(|item| item.capacity_provider.as_deref() == Some(name))
            })
        })
    };
    let there = |service: &Service| service.status != ServiceStatus::Inactive;
    if tasks.iter().any(|(_, task)| runs(task))
        || services.iter().any(|(_, service)| there(service) && wants(service))
    {
        return Err(ApiError::new(
            &ecs::errors::RESOURCE_IN_USE_EXCEPTION,
            "The specified capacity provider is in use and cannot be removed.",
        ));
    }
    Ok(())
}

const MOST_PROVIDERS: usize = 20;
const LARGEST_BASE: i32 = 100_000;
const LARGEST_WEIGHT: i32 = 1000;

/// Checks a strategy against the providers of its cluster.
///
/// # Errors
/// `InvalidParameterException` for the first rule broken.
pub fn check_strategy(
    associated: &[String],
    strategy: &[ecs::CapacityProviderStrategyItem],
) -> Result<(), ApiError> {
    let name = |item: &ecs::CapacityProviderStrategyItem| item.capacity_provider.clone().unwrap_or_default();
    if strategy.len() > MOST_PROVIDERS {
        return Err(invalid(format!(
            "The specified capacity provider strategy can have {MOST_PROVIDERS} capacity providers at most."
        )));
    }
    if strategy.iter().any(|item| is_own(&name(item))) && !strategy.iter().all(|item| is_own(&name(item))) {
        return Err(invalid(
            "A capacity provider strategy cannot contain a mix of capacity providers using Auto Scaling groups and Fargate providers. Specify one or the other and try again.",
        ));
    }
    for (position, item) in strategy.iter().enumerate() {
        if !associated.contains(&name(item)) {
            return Err(invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.",
            ));
        }
        if strategy[..position].iter().any(|other| name(other) == name(item)) {
            return Err(invalid(
                "The specified capacity provider strategy cannot contain duplicate capacity providers.",
            ));
        }
        if !(0..=LARGEST_BASE).contains(&item.base.unwrap_or(0)) {
            return Err(invalid(format!("The base must be between 0 and {LARGEST_BASE}.")));
        }
        if !(0..=LARGEST_WEIGHT).contains(&item.weight.unwrap_or(0)) {
            return Err(invalid(format!("The weight must be between 0 and {LARGEST_WEIGHT}.")));
        }
    }
    if strategy.iter().filter(|item| item.base.unwrap_or(0) > 0).count() > 1 {
        return Err(invalid(
            "The specified capacity provider strategy can have one capacity provider with a base only.",
        ));
    }
    if strategy.len() > 1 && strategy.iter().all(|item| item.weight.unwrap_or(0) == 0) {
        return Err(invalid(
            "The specified capacity provider strategy must have a capacity provider with a weight greater than 0.",
        ));
    }
    Ok(())
}
