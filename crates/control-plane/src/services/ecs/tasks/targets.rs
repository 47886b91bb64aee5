//! Where the tasks of a request run: by its launch type, by its capacity provider strategy, or by its cluster's.

use std::collections::BTreeMap;

use agent_protocol::spec::LaunchType;
use aws_shapes_ecs as ecs;

use super::launch::{Launch, Where};
use crate::{gateway::ApiError, services::ecs::providers::check_strategy};

/// Where the tasks of a request shall run.
#[derive(Debug, Clone)]
pub enum Target {
    /// On FARGATE, by this capacity provider when a strategy chose it.
    Fargate(Option<String>),
    /// On a container instance that placement picks.
    Ec2(LaunchType),
}

/// Where each of the tasks shall run.
pub fn targets(launch: &Launch<'_>) -> Result<Vec<Target>, ApiError> {
    let count = launch.count;
    match launch.place {
        Where::LaunchType(LaunchType::Fargate) => Ok(vec![Target::Fargate(None); count]),
        Where::LaunchType(launch_type) => Ok(vec![Target::Ec2(launch_type); count]),
        Where::Instances(instances) => Ok(vec![Target::Ec2(LaunchType::Ec2); instances.len()]),
        Where::Strategy { items, running } => {
            check_strategy(&launch.cluster.capacity_providers, items)?;
            let providers = share(items, running, count).into_iter();
            Ok(providers.map(|provider| Target::Fargate(Some(provider))).collect())
        }
    }
}

/// Shares `count` tasks among a strategy's providers, beside those that are `running`: bases first, then each next task
/// to the provider that is furthest behind its weight.
fn share(
    strategy: &[ecs::CapacityProviderStrategyItem],
    running: &BTreeMap<String, u32>,
    count: usize,
) -> Vec<String> {
    let positive = |number: Option<i32>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
    // A provider that is alone takes everything, whatever its weight.
    let least = u64::from(strategy.len() == 1);
    // Of each provider: how much of its base is open, how much it has beyond the base, its weight.
    let mut shares: Vec<(&str, u64, u64, u64)> = strategy
        .iter()
        .map(|item| {
            let name = item.capacity_provider.as_deref().unwrap_or_default();
            let has = u64::from(running.get(name).copied().unwrap_or(0));
            let base = positive(item.base);
            (name, base.saturating_sub(has), has.saturating_sub(base), positive(item.weight).max(least))
        })
        .collect();
    let mut chosen: Vec<String> = Vec::with_capacity(count);
    while chosen.len() < count {
        if let Some(behind) = shares.iter_mut().find(|share| share.1 > 0) {
            behind.1 -= 1;
            chosen.push(behind.0.to_owned());
            continue;
        }
        // The lowest share after one more task; the earlier item on a tie.
        let next = shares.iter_mut().filter(|share| share.3 > 0).min_by(|a, b| {
            let (left, right) = ((a.2 + 1) * b.3, (b.2 + 1) * a.3);
            left.cmp(&right)
        });
        let Some(next) = next else { break };
        next.2 += 1;
        chosen.push(next.0.to_owned());
    }
    chosen
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
            let shared = share(&strategy, &BTreeMap::new(), count);
            assert_eq!(shared.len(), count);
            shared.iter().filter(|provider| *provider == "A").count()
        };
        assert_eq!(count(1), 1);
        assert_eq!(count(2), 2);
        assert_eq!(count(6), 3);
        assert_eq!(count(10), 4);
        assert_eq!(share(&[item("A", 0, 0)], &BTreeMap::new(), 3).len(), 3, "a provider that is alone");
    }

    #[test]
    fn what_runs_already_counts() {
        let strategy = [item("A", 2, 1), item("B", 0, 3)];
        let running = |a, b| BTreeMap::from([("A".to_owned(), a), ("B".to_owned(), b)]);
        assert_eq!(share(&strategy, &running(1, 0), 2), ["A", "B"]);
        assert_eq!(share(&strategy, &running(3, 0), 3), ["B"; 3]);
        assert_eq!(share(&strategy, &running(0, 6), 3), ["A"; 3], "the base is filled again");
    }
}
