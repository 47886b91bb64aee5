//! CreateCapacityProvider, UpdateCapacityProvider, DeleteCapacityProvider, DescribeCapacityProviders.

use aws_shapes_ecs as ecs;
use aws_shapes_ecs::{
    CapacityProviderStatus, CapacityProviderUpdateStatus, CreateCapacityProviderRequest,
    CreateCapacityProviderResponse, DeleteCapacityProviderRequest, DeleteCapacityProviderResponse,
    DescribeCapacityProvidersRequest, DescribeCapacityProvidersResponse, UpdateCapacityProviderRequest,
    UpdateCapacityProviderResponse,
};
use vocabulary::{Arn, Scope};

use super::{AWS_PROVIDERS, CapacityProvider, arn, is_own};
use crate::{
    convert::AwsJson,
    gateway::{ApiError, Call},
    services::ecs::{
        missing,
        names::{invalid, is_valid, own_resource},
        records::Cluster,
        services::names::not_implemented,
        tags,
    },
};

/// Of one's own, in an account and region. Source: the guide's quotas.
const MOST_OWN: usize = 500;
/// Of DescribeCapacityProviders.
const MOST_PAGE: i32 = 10;

fn not_found(name: &str) -> ApiError {
    invalid(format!(
        "The specified capacity provider '{name}' was not found. Specify a valid capacity provider and try again."
    ))
}

/// The name in a name or an ARN.
fn named(scope: &Scope, given: Option<String>) -> Result<String, ApiError> {
    let given = given.unwrap_or_default();
    Ok(own_resource(scope, &given, "capacity-provider")?.unwrap_or(given))
}

/// Refuses what would need an Auto Scaling group that answers.
fn refuse_scaling(
    scaling: Option<&ecs::ManagedScaling>,
    protection: Option<ecs::ManagedTerminationProtection>,
    draining: Option<ecs::ManagedDraining>,
) -> Result<(), ApiError> {
    if scaling.is_some_and(|given| given.status == Some(ecs::ManagedScalingStatus::Enabled)) {
        return Err(not_implemented("managed scaling of capacity providers (it needs Auto Scaling groups)"));
    }
    if protection == Some(ecs::ManagedTerminationProtection::Enabled) {
        return Err(invalid(
            "The managed termination protection setting for the capacity provider is invalid. To enable managed termination protection for a capacity provider, the managed scaling setting must also be enabled.",
        ));
    }
    if draining == Some(ecs::ManagedDraining::Enabled) {
        return Err(not_implemented("managed draining of capacity providers (it needs Auto Scaling groups)"));
    }
    Ok(())
}

pub async fn create(
    call: Call,
    input: CreateCapacityProviderRequest,
) -> Result<CreateCapacityProviderResponse, ApiError> {
    let scope = call.scope();
    let name = input.name.unwrap_or_default();
    let reserved = ["aws", "ecs", "fargate"];
    if !is_valid(&name) || reserved.iter().any(|word| name.to_ascii_lowercase().starts_with(word)) {
        return Err(invalid(
            "The specified capacity provider name is invalid. It can have up to 255 letters, numbers, underscores and hyphens, and cannot begin with aws, ecs or fargate.",
        ));
    }
    if input.managed_instances_provider.is_some() || input.cluster.is_some() {
        return Err(not_implemented("capacity providers of managed instances"));
    }
    let Some(mut group) = input.auto_scaling_group_provider else {
        return Err(invalid("autoScalingGroupProvider must be specified."));
    };
    let of_group = group.auto_scaling_group_arn.as_deref().and_then(|text| text.parse::<Arn>().ok());
    if of_group.is_none_or(|arn| arn.service() != "autoscaling") {
        return Err(invalid("The specified Auto Scaling group ARN is invalid."));
    }
    refuse_scaling(
        group.managed_scaling.as_ref(),
        group.managed_termination_protection,
        group.managed_draining,
    )?;
    group.managed_scaling.get_or_insert_default().status = Some(ecs::ManagedScalingStatus::Disabled);
    group.managed_termination_protection = Some(ecs::ManagedTerminationProtection::Disabled);
    group.managed_draining = Some(ecs::ManagedDraining::Disabled);
    let provider = CapacityProvider {
        name,
        group: AwsJson(group),
        tags: tags::checked(input.tags)?,
        created_at: call.now(),
        updated: false,
    };
    let made = call.services.state.transact(|tx| {
        if tx.get::<CapacityProvider>(scope, &provider.name).is_some() {
            return Err(invalid(
                "The specified capacity provider already exists. To change the configuration of an existing capacity provider, update the capacity provider.",
            ));
        }
        let all: Vec<_> = tx.view().scan::<CapacityProvider>(scope).map(|(_, other)| other).collect();
        if all.len() >= MOST_OWN {
            return Err(ApiError::new(
                &ecs::errors::LIMIT_EXCEEDED_EXCEPTION,
                format!("An account can have {MOST_OWN} capacity providers at most."),
            ));
        }
        let group = &provider.group.0.auto_scaling_group_arn;
        if all.iter().any(|other| other.group.0.auto_scaling_group_arn == *group) {
            return Err(invalid(
                "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique Auto Scaling group ARN and try again.",
            ));
        }
        tx.put(scope, &provider.name, provider.clone());
        Ok::<_, ApiError>(())
    });
    made.await?;
    Ok(CreateCapacityProviderResponse { capacity_provider: Some(shape(scope, &provider, true)) })
}

pub async fn update(
    call: Call,
    input: UpdateCapacityProviderRequest,
) -> Result<UpdateCapacityProviderResponse, ApiError> {
    let scope = call.scope();
    let name = named(scope, input.name)?;
    if input.managed_instances_provider.is_some() || input.cluster.is_some() {
        return Err(not_implemented("capacity providers of managed instances"));
    }
    if !is_own(&name) {
        return Err(invalid(format!("The capacity provider {name} is reserved and cannot be updated.")));
    }
    let Some(given) = input.auto_scaling_group_provider else {
        return Err(invalid("autoScalingGroupProvider must be specified."));
    };
    refuse_scaling(
        given.managed_scaling.as_ref(),
        given.managed_termination_protection,
        given.managed_draining,
    )?;
    let updated = call
        .services
        .state
        .transact(|tx| {
            let found = tx.get::<CapacityProvider>(scope, &name).ok_or_else(|| not_found(&name))?;
            let mut provider = (*found).clone();
            if let Some(scaling) = &given.managed_scaling {
                let there = provider.group.0.managed_scaling.get_or_insert_default();
                there.target_capacity = scaling.target_capacity.or(there.target_capacity);
                there.minimum_scaling_step_size =
                    scaling.minimum_scaling_step_size.or(there.minimum_scaling_step_size);
                there.maximum_scaling_step_size =
                    scaling.maximum_scaling_step_size.or(there.maximum_scaling_step_size);
                there.instance_warmup_period =
                    scaling.instance_warmup_period.or(there.instance_warmup_period);
            }
            provider.updated = true;
            tx.put(scope, &name, provider.clone());
            Ok::<_, ApiError>(provider)
        })
        .await?;
    Ok(UpdateCapacityProviderResponse { capacity_provider: Some(shape(scope, &updated, true)) })
}

pub async fn delete(
    call: Call,
    input: DeleteCapacityProviderRequest,
) -> Result<DeleteCapacityProviderResponse, ApiError> {
    let scope = call.scope();
    let name = named(scope, input.capacity_provider)?;
    if !is_own(&name) {
        return Err(invalid(format!("The capacity provider {name} is reserved and cannot be deleted.")));
    }
    let deleted = call
        .services
        .state
        .transact(|tx| {
            let found = tx.get::<CapacityProvider>(scope, &name).ok_or_else(|| not_found(&name))?;
            let uses = |cluster: &Cluster| cluster.active && cluster.capacity_providers.contains(&name);
            if let Some((_, cluster)) = tx.scan::<Cluster>(scope).into_iter().find(|(_, cluster)| uses(cluster)) {
                return Err(invalid(format!(
                    "The capacity provider cannot be deleted because it is associated with cluster: {}. Remove the capacity provider from the cluster and try again.",
                    cluster.name
                )));
            }
            tx.delete::<CapacityProvider>(scope, &name);
            Ok::<_, ApiError>(found)
        })
        .await?;
    let shown = ecs::CapacityProvider {
        status: Some(CapacityProviderStatus::Inactive),
        update_status: Some(CapacityProviderUpdateStatus::DeleteComplete),
        ..shape(scope, &deleted, true)
    };
    Ok(DeleteCapacityProviderResponse { capacity_provider: Some(shown) })
}

pub async fn describe(
    call: Call,
    input: DescribeCapacityProvidersRequest,
) -> Result<DescribeCapacityProvidersResponse, ApiError> {
    let scope = call.scope();
    let with_tags = input.include.iter().flatten().any(|field| *field == ecs::CapacityProviderField::Tags);
    let view = call.services.state.view();
    let given = input.capacity_providers.filter(|given| !given.is_empty());
    let (names, next_token) = match given {
        Some(given) => {
            (given.into_iter().map(|text| named(scope, Some(text))).collect::<Result<Vec<_>, _>>()?, None)
        }
        None => {
            let own = view.scan::<CapacityProvider>(scope).map(|(name, _)| name.to_owned());
            let mut all: Vec<String> =
                AWS_PROVIDERS.iter().map(|name| (*name).to_owned()).chain(own).collect();
            all.sort();
            let size = input.max_results.unwrap_or(MOST_PAGE);
            if !(1..=MOST_PAGE).contains(&size) {
                return Err(invalid(format!("maxResults must be between 1 and {MOST_PAGE}.")));
            }
            let list = "DescribeCapacityProviders";
            let page =
                crate::services::ecs::page(&call, list, all, Clone::clone, input.next_token, Some(size))?;
            (page.items, page.next_token)
        }
    };
    let (mut providers, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        if !is_own(&name) {
            providers.push(ecs::CapacityProvider {
                capacity_provider_arn: Some(arn(scope, &name)),
                status: Some(CapacityProviderStatus::Active),
                r#type: ecs::CapacityProviderType::parse(&name),
                tags: Some(Vec::new()),
                name: Some(name),
                ..Default::default()
            });
            continue;
        }
        match view.get::<CapacityProvider>(scope, &name) {
            Some(provider) => providers.push(shape(scope, &provider, with_tags)),
            None => failures.push(missing(arn(scope, &name))),
        }
    }
    Ok(DescribeCapacityProvidersResponse {
        capacity_providers: Some(providers),
        failures: Some(failures),
        next_token,
    })
}

fn shape(scope: &Scope, provider: &CapacityProvider, with_tags: bool) -> ecs::CapacityProvider {
    ecs::CapacityProvider {
        capacity_provider_arn: Some(provider.arn(scope)),
        name: Some(provider.name.clone()),
        status: Some(CapacityProviderStatus::Active),
        r#type: Some(ecs::CapacityProviderType::Ec2Autoscaling),
        auto_scaling_group_provider: Some(provider.group.0.clone()),
        update_status: provider.updated.then_some(CapacityProviderUpdateStatus::UpdateComplete),
        tags: Some(if with_tags { tags::shape(&provider.tags) } else { Vec::new() }),
        ..Default::default()
    }
}
