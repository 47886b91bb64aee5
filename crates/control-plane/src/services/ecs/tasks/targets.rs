//! Where the tasks of a request run: by its launch type, by its capacity provider strategy, or by its cluster's.

use std::collections::BTreeMap;

use agent_protocol::spec::LaunchType;
use aws_shapes_ecs as ecs;

use placement::Provider;

use super::launch::{Launch, Where};
use crate::{
    gateway::ApiError,
    services::ecs::providers::{check_strategy, is_own},
};

/// Where the tasks of a request shall run.
#[derive(Debug, Clone)]
pub enum Target {
    /// On FARGATE, by this capacity provider when a strategy chose it.
    Fargate(Option<String>),
    /// On a container instance that placement picks, of this capacity provider when a strategy chose it.
    Ec2(LaunchType, Option<String>),
}

/// Where each of the tasks shall run.
pub fn targets(launch: &Launch<'_>) -> Result<Vec<Target>, ApiError> {
    let count = launch.count;
    match launch.place {
        Where::LaunchType(LaunchType::Fargate) => Ok(vec![Target::Fargate(None); count]),
        Where::LaunchType(launch_type) => Ok(vec![Target::Ec2(launch_type, None); count]),
        Where::Instances(_) => Ok(Vec::new()),
        Where::Strategy { items, running } => {
            check_strategy(&launch.cluster.capacity_providers, items)?;
            let providers = share(items, running, count).into_iter();
            let target = |provider: String| match is_own(&provider) {
                true => Target::Ec2(LaunchType::Ec2, Some(provider)),
                false => Target::Fargate(Some(provider)),
            };
            Ok(providers.map(target).collect())
        }
    }
}

/// Which provider each task goes to.
fn share(
    strategy: &[ecs::CapacityProviderStrategyItem],
    running: &BTreeMap<String, u32>,
    count: usize,
) -> Vec<String> {
    let positive = |number: Option<i32>| number.unwrap_or(0).max(0).unsigned_abs();
    let name = |item: &ecs::CapacityProviderStrategyItem| item.capacity_provider.clone().unwrap_or_default();
    let providers: Vec<Provider> = strategy
        .iter()
        .map(|item| Provider {
            base: positive(item.base),
            weight: positive(item.weight),
            running: running.get(&name(item)).copied().unwrap_or(0),
        })
        .collect();
    placement::share(&providers, count).into_iter().map(|position| name(&strategy[position])).collect()
}
