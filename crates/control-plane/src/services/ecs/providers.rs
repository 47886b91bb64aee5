//! Capacity providers: the two that every account has. Those of one's own need instances to provide, which come later.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    CapacityProvider, CapacityProviderStatus, DescribeCapacityProvidersRequest,
    DescribeCapacityProvidersResponse,
};

use super::{
    missing,
    names::{invalid, own_resource},
};
use crate::gateway::{ApiError, Call};

/// The capacity providers that every account has.
pub const AWS_PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

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

pub async fn describe(
    call: Call,
    input: DescribeCapacityProvidersRequest,
) -> Result<DescribeCapacityProvidersResponse, ApiError> {
    let scope = call.scope();
    let arn = |name: &str| scope.arn("ecs", format_args!("capacity-provider/{name}")).to_string();
    let given = input.capacity_providers.filter(|given| !given.is_empty());
    let names = match given {
        None => AWS_PROVIDERS.map(str::to_owned).to_vec(),
        Some(given) => given
            .into_iter()
            .map(|text| Ok(own_resource(scope, &text, "capacity-provider")?.unwrap_or(text)))
            .collect::<Result<Vec<_>, ApiError>>()?,
    };
    let (mut providers, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        if !AWS_PROVIDERS.contains(&name.as_str()) {
            failures.push(missing(arn(&name)));
            continue;
        }
        providers.push(CapacityProvider {
            capacity_provider_arn: Some(arn(&name)),
            status: Some(CapacityProviderStatus::Active),
            r#type: ecs::CapacityProviderType::parse(&name),
            tags: Some(Vec::new()),
            name: Some(name),
            ..CapacityProvider::default()
        });
    }
    Ok(DescribeCapacityProvidersResponse {
        capacity_providers: Some(providers),
        failures: Some(failures),
        next_token: None,
    })
}
