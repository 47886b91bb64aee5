//! Replication between the regions of one account.

use aws_shapes_ecr as ecr;
use aws_shapes_ecr::{
    DescribeImageReplicationStatusRequest, DescribeImageReplicationStatusResponse, DescribeRegistryRequest,
    DescribeRegistryResponse, PutReplicationConfigurationRequest, PutReplicationConfigurationResponse,
    ReplicationConfiguration, ReplicationStatus, errors,
};
use vocabulary::{Region, Scope};

use super::errors::invalid;
use super::images::{identifier, required};
use super::{Target, catalog};
use crate::gateway::{ApiError, Call};
use crate::registry::error::CatalogError;
use crate::registry::records::{Replication, ReplicationRule};

pub async fn describe_registry(
    call: Call,
    _: DescribeRegistryRequest,
) -> Result<DescribeRegistryResponse, ApiError> {
    let rules = catalog(&call).state().read(|view| view.get::<Replication>(call.scope(), Replication::ID));
    let rules = rules.iter().flat_map(|replication| &replication.rules).map(shape).collect();
    Ok(DescribeRegistryResponse {
        registry_id: Some(call.scope().account.to_string()),
        replication_configuration: Some(ReplicationConfiguration { rules: Some(rules) }),
    })
}

pub async fn put(
    call: Call,
    input: PutReplicationConfigurationRequest,
) -> Result<PutReplicationConfigurationResponse, ApiError> {
    let scope = call.scope();
    let configuration = input.replication_configuration.unwrap_or_default();
    let rules = configuration.rules.clone().unwrap_or_default();
    let rules = rules.iter().map(|rule| checked(scope, rule)).collect::<Result<Vec<_>, _>>()?;
    let replication = Replication { rules, since: call.now() };
    let stored = catalog(&call).state().transact(|tx| {
        tx.put(scope, Replication::ID, replication.clone());
        Ok::<_, CatalogError>(())
    });
    stored.await?;
    Ok(PutReplicationConfigurationResponse { replication_configuration: Some(configuration) })
}

pub async fn status(
    call: Call,
    input: DescribeImageReplicationStatusRequest,
) -> Result<DescribeImageReplicationStatusResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let id = input.image_id.unwrap_or_default();
    let image = required(&call, &target, &id)?;
    let destinations = call.services.registry.destinations(&target.scope, &target.name);
    let statuses = destinations.into_iter().map(|to| {
        let there = catalog(&call).image_by_digest(&to, &target.name, &image.digest).is_some();
        ecr::ImageReplicationStatus {
            failure_code: None,
            region: Some(to.region.to_string()),
            registry_id: Some(to.account.to_string()),
            status: Some(if there { ReplicationStatus::Complete } else { ReplicationStatus::InProgress }),
        }
    });
    Ok(DescribeImageReplicationStatusResponse {
        image_id: Some(identifier(&image.digest, id.image_tag.as_deref())),
        replication_statuses: Some(statuses.collect()),
        repository_name: Some(target.name),
    })
}

fn checked(scope: &Scope, rule: &ecr::ReplicationRule) -> Result<ReplicationRule, ApiError> {
    if rule.delete_replication.as_ref().is_some_and(|delete| delete.enabled == Some(true)) {
        return Err(ApiError::undeclared(
            "NotImplemented",
            501,
            "Longshore does not replicate deletions yet.",
        ));
    }
    let at = "Invalid parameter at 'replicationConfiguration' failed to satisfy constraint";
    let mut destinations = Vec::new();
    for destination in rule.destinations.iter().flatten() {
        if destination.registry_id.as_deref() != Some(scope.account.as_str()) {
            // Nothing reaches another account's registry.
            return Err(ApiError::new(&errors::VALIDATION_EXCEPTION, "This feature is disabled"));
        }
        let region = destination.region.as_deref().unwrap_or_default().parse::<Region>();
        let region = region.map_err(|error| invalid(format!("{at}: '{error}'")))?;
        if region == scope.region {
            let text = "Replication destination cannot be the same as the source registry";
            return Err(invalid(format!("{at}: '{text}'")));
        }
        destinations.push(Scope::new(scope.account.clone(), region));
    }
    let filters = rule.repository_filters.iter().flatten();
    Ok(ReplicationRule {
        destinations,
        prefixes: filters.filter_map(|filter| filter.filter.clone()).collect(),
    })
}

fn shape(rule: &ReplicationRule) -> ecr::ReplicationRule {
    let destination = |to: &Scope| ecr::ReplicationDestination {
        region: Some(to.region.to_string()),
        registry_id: Some(to.account.to_string()),
    };
    let filter = |prefix: &String| ecr::RepositoryFilter {
        filter: Some(prefix.clone()),
        filter_type: Some(ecr::RepositoryFilterType::PrefixMatch),
    };
    ecr::ReplicationRule {
        delete_replication: None,
        destinations: Some(rule.destinations.iter().map(destination).collect()),
        repository_filters: match rule.prefixes.as_slice() {
            [] => None,
            prefixes => Some(prefixes.iter().map(filter).collect()),
        },
    }
}
