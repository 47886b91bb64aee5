//! Elastic Container Registry: the API over the registry's catalogue.
//!
//! Images pushed through the protocol and through this API are the same images. What has no handler here is answered with
//! 501: pull-through caches, archive storage, signing.

mod authorization;
mod errors;
mod images;
mod layers;
pub mod lifecycle;
pub mod policies;
mod previews;
mod public;
mod pull_exclusions;
pub mod records;
mod registry_settings;
mod replication;
pub mod repositories;
mod scanning;
mod tags;
mod templates;

use std::time::Duration;

use aws_shapes_ecr as ecr;
use state_store::Tables;
use vocabulary::{Scope, Timestamp};

use crate::gateway::{ApiError, Call, Operations};
use crate::registry::Registry;
use crate::registry::catalog::Catalog;
use crate::registry::records as stored;

pub use previews::apply_lifecycle_policies;

/// An upload that nobody added to for so long is given up.
const UPLOAD_IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// Content that nothing refers to stays for so long after it was stored or last asked for.
const GARBAGE_GRACE: Duration = Duration::from_secs(6 * 60 * 60);

/// What has to be done from time to time, once an hour is enough: images expire, replicas that a crash left out are made,
/// unreferenced content goes.
pub async fn upkeep(registry: &Registry, now: Timestamp) -> Result<(), ApiError> {
    apply_lifecycle_policies(&registry.catalog, now).await?;
    let replicated = registry.replicate_missing(now).await;
    let swept = registry.collect_garbage(UPLOAD_IDLE, GARBAGE_GRACE).await?;
    tracing::debug!(?swept, replicated, "registry upkeep");
    Ok(())
}

/// Declares what the registry and its API keep.
pub fn tables(tables: Tables) -> Tables {
    stored::tables(tables)
        .with::<records::RegistrySettings>()
        .with::<public::records::CatalogData>()
        .with::<public::records::RegistryData>()
}

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    let mut on = operations.service(ecr::SERVICE);
    on.on::<ecr::CreateRepository, _, _>(repositories::create)
        .on::<ecr::DescribeRepositories, _, _>(repositories::describe)
        .on::<ecr::DeleteRepository, _, _>(repositories::delete)
        .on::<ecr::PutImageTagMutability, _, _>(repositories::put_tag_mutability)
        .on::<ecr::PutImageScanningConfiguration, _, _>(repositories::put_scanning)
        .on::<ecr::TagResource, _, _>(tags::add)
        .on::<ecr::UntagResource, _, _>(tags::remove)
        .on::<ecr::ListTagsForResource, _, _>(tags::list)
        .on::<ecr::SetRepositoryPolicy, _, _>(policies::set)
        .on::<ecr::GetRepositoryPolicy, _, _>(policies::get)
        .on::<ecr::DeleteRepositoryPolicy, _, _>(policies::delete)
        .on::<ecr::PutRegistryPolicy, _, _>(policies::put_of_registry)
        .on::<ecr::GetRegistryPolicy, _, _>(policies::get_of_registry)
        .on::<ecr::DeleteRegistryPolicy, _, _>(policies::delete_of_registry)
        .on::<ecr::PutLifecyclePolicy, _, _>(previews::put)
        .on::<ecr::GetLifecyclePolicy, _, _>(previews::get)
        .on::<ecr::DeleteLifecyclePolicy, _, _>(previews::delete)
        .on::<ecr::StartLifecyclePolicyPreview, _, _>(previews::start_preview)
        .on::<ecr::GetLifecyclePolicyPreview, _, _>(previews::get_preview)
        .on::<ecr::PutImage, _, _>(images::put)
        .on::<ecr::ListImages, _, _>(images::list)
        .on::<ecr::DescribeImages, _, _>(images::describe)
        .on::<ecr::BatchGetImage, _, _>(images::batch_get)
        .on::<ecr::BatchDeleteImage, _, _>(images::batch_delete)
        .on::<ecr::ListImageReferrers, _, _>(images::list_referrers)
        .on::<ecr::InitiateLayerUpload, _, _>(layers::initiate)
        .on::<ecr::UploadLayerPart, _, _>(layers::upload_part)
        .on::<ecr::CompleteLayerUpload, _, _>(layers::complete)
        .on::<ecr::BatchCheckLayerAvailability, _, _>(layers::check)
        .on::<ecr::GetDownloadUrlForLayer, _, _>(layers::download_url)
        .on::<ecr::GetAuthorizationToken, _, _>(authorization::token)
        .on::<ecr::StartImageScan, _, _>(scanning::start)
        .on::<ecr::DescribeImageScanFindings, _, _>(scanning::findings)
        .on::<ecr::PutRegistryScanningConfiguration, _, _>(scanning::put_of_registry)
        .on::<ecr::GetRegistryScanningConfiguration, _, _>(scanning::get_of_registry)
        .on::<ecr::BatchGetRepositoryScanningConfiguration, _, _>(scanning::batch_get)
        .on::<ecr::DescribeRegistry, _, _>(replication::describe_registry)
        .on::<ecr::RegisterPullTimeUpdateExclusion, _, _>(pull_exclusions::register)
        .on::<ecr::DeregisterPullTimeUpdateExclusion, _, _>(pull_exclusions::deregister)
        .on::<ecr::ListPullTimeUpdateExclusions, _, _>(pull_exclusions::list)
        .on::<ecr::PutReplicationConfiguration, _, _>(replication::put)
        .on::<ecr::DescribeImageReplicationStatus, _, _>(replication::status)
        .on::<ecr::GetAccountSetting, _, _>(registry_settings::get_account_setting)
        .on::<ecr::PutAccountSetting, _, _>(registry_settings::put_account_setting)
        .on::<ecr::CreateRepositoryCreationTemplate, _, _>(templates::create)
        .on::<ecr::UpdateRepositoryCreationTemplate, _, _>(templates::update)
        .on::<ecr::DescribeRepositoryCreationTemplates, _, _>(templates::describe)
        .on::<ecr::DeleteRepositoryCreationTemplate, _, _>(templates::delete);
    public::register(operations);
}

/// A repository that a call names, in the registry that it means.
struct Target {
    scope: Scope,
    registry: String,
    name: String,
}

impl Target {
    /// In another account's registry too: whether its policies let the caller in was asked before the handler.
    fn of(call: &Call, registry: Option<&String>, name: Option<String>) -> Result<Self, ApiError> {
        let scope = registry_scope(call, registry)?;
        Ok(Self { registry: scope.account.to_string(), scope, name: name.unwrap_or_default() })
    }

    /// The same, and the repository is there.
    fn existing(call: &Call, registry: Option<&String>, name: Option<String>) -> Result<Self, ApiError> {
        let target = Self::of(call, registry, name)?;
        catalog(call).repository(&target.scope, &target.name)?;
        Ok(target)
    }

    fn in_registry(&self) -> String {
        format!("in the repository with name '{}' in the registry with id '{}'", self.name, self.registry)
    }
}

/// The registry that a call names, the caller's own when it names none.
fn registry_scope(call: &Call, registry: Option<&String>) -> Result<Scope, ApiError> {
    let scope = call.scope();
    let Some(registry) = registry else { return Ok(scope.clone()) };
    let account = registry.parse().map_err(|_| {
        let constraint = "Member must satisfy regular expression pattern: [0-9]{12}";
        errors::invalid(format!(
            "Invalid parameter at 'registryId' failed to satisfy constraint: '{constraint}'"
        ))
    })?;
    Ok(Scope::new(account, scope.region.clone()))
}

fn catalog(call: &Call) -> &Catalog {
    &call.services.registry.catalog
}

/// The size of a page: what was asked for, within ECR's bounds.
fn page_size(asked: Option<i32>) -> usize {
    const DEFAULT: usize = 100;
    const LARGEST: usize = 1000;
    asked.map_or(DEFAULT, |asked| usize::try_from(asked).unwrap_or(DEFAULT).clamp(1, LARGEST))
}

#[cfg(test)]
mod tests;
