//! Capacity providers: the two that every account has. Those of one's own need instances to provide, which come later.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    CapacityProvider, CapacityProviderStatus, DescribeCapacityProvidersRequest,
    DescribeCapacityProvidersResponse,
};

use super::{missing, names::own_resource};
use crate::gateway::{ApiError, Call};

/// The capacity providers that every account has.
pub const AWS_PROVIDERS: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

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
