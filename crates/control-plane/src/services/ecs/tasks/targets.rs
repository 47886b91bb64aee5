//! Where the tasks of a request run: by its launch type, by its capacity provider strategy, or by its cluster's.

use agent_protocol::spec::LaunchType;
use aws_shapes_ecs as ecs;

use crate::{
    gateway::ApiError,
    services::ecs::{names::invalid, providers::check_strategy, records::Cluster},
};

/// Where the tasks of a request shall run.
#[derive(Debug, Clone)]
pub enum Target {
    /// On FARGATE, by this capacity provider when a strategy chose it.
    Fargate(Option<String>),
    /// On a container instance that placement picks.
    Ec2(LaunchType),
}

/// Where each of `count` tasks shall run.
pub fn targets(
    cluster: &Cluster,
    launch_type: Option<ecs::LaunchType>,
    strategy: Option<&[ecs::CapacityProviderStrategyItem]>,
    count: i32,
) -> Result<Vec<Target>, ApiError> {
    let count = count.unsigned_abs() as usize;
    match launch_type {
        Some(ecs::LaunchType::Fargate) => return Ok(vec![Target::Fargate(None); count]),
        Some(ecs::LaunchType::Ec2) => return Ok(vec![Target::Ec2(LaunchType::Ec2); count]),
        Some(ecs::LaunchType::External) => return Ok(vec![Target::Ec2(LaunchType::External); count]),
        Some(other) => return Err(invalid(format!("The launch type {} is not supported.", other.as_str()))),
        None => {}
    }
    let default = cluster.default_strategy.0.default_capacity_provider_strategy.as_deref();
    let strategy = strategy.filter(|items| !items.is_empty()).or(default).unwrap_or_default();
    if strategy.is_empty() {
        return Ok(vec![Target::Ec2(LaunchType::Ec2); count]);
    }
    check_strategy(&cluster.capacity_providers, strategy)?;
    Ok(share(strategy, count).into_iter().map(|provider| Target::Fargate(Some(provider))).collect())
}

/// Shares `count` tasks among a strategy's providers: bases first, then each next task to the provider that is
/// furthest behind its weight.
fn share(strategy: &[ecs::CapacityProviderStrategyItem], count: usize) -> Vec<String> {
    let name = |item: &ecs::CapacityProviderStrategyItem| item.capacity_provider.clone().unwrap_or_default();
    let mut chosen: Vec<String> = Vec::with_capacity(count);
    for item in strategy {
        let base = usize::try_from(item.base.unwrap_or(0)).unwrap_or(0);
        chosen.extend(std::iter::repeat_n(name(item), base.min(count - chosen.len())));
    }
    // A provider that is alone takes everything, whatever its weight.
    let least = u64::from(strategy.len() == 1);
    let weighted: Vec<(String, u64)> = strategy
        .iter()
        .map(|item| (name(item), u64::try_from(item.weight.unwrap_or(0)).unwrap_or(0).max(least)))
        .filter(|(_, weight)| *weight > 0)
        .collect();
    let mut given = vec![0u64; weighted.len()];
    while chosen.len() < count {
        // The lowest share after one more task; the earlier item on a tie.
        let next = (0..weighted.len()).min_by(|a, b| {
            let (left, right) = ((given[*a] + 1) * weighted[*b].1, (given[*b] + 1) * weighted[*a].1);
            left.cmp(&right).then(a.cmp(b))
        });
        let Some(next) = next else { break };
        given[next] += 1;
        chosen.push(weighted[next].0.clone());
    }
    chosen
}

#[cfg(test)]
mod tests {
    use aws_shapes_ecs::CapacityProviderStrategyItem;

    use super::share;

    fn item(provider: &str, base: i32, weight: i32) -> CapacityProviderStrategyItem {
        CapacityProviderStrategyItem {
            capacity_provider: Some(provider.to_owned()),
            base: Some(base),
            weight: Some(weight),
        }
    }

    #[test]
    fn bases_come_first_and_weights_share_the_rest() {
        let strategy = [item("A", 2, 1), item("B", 0, 3)];
        let count = |count: usize| {
            let shared = share(&strategy, count);
            assert_eq!(shared.len(), count);
            shared.iter().filter(|provider| *provider == "A").count()
        };
        assert_eq!(count(1), 1);
        assert_eq!(count(2), 2);
        assert_eq!(count(6), 3);
        assert_eq!(count(10), 4);
        assert_eq!(share(&[item("A", 0, 0)], 3).len(), 3, "a provider that is alone");
    }
}
