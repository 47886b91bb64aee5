//! Lifecycle policies of repositories: kept, previewed, and applied from time to time.

use std::sync::Arc;

use aws_shapes_ecr as ecr;
use aws_shapes_ecr::{
    DeleteLifecyclePolicyRequest, DeleteLifecyclePolicyResponse, GetLifecyclePolicyPreviewRequest,
    GetLifecyclePolicyPreviewResponse, GetLifecyclePolicyRequest, GetLifecyclePolicyResponse,
    LifecyclePolicyPreviewStatus, PutLifecyclePolicyRequest, PutLifecyclePolicyResponse,
    StartLifecyclePolicyPreviewRequest, StartLifecyclePolicyPreviewResponse, TagStatus, errors,
};
use blob_store::Digest;
use vocabulary::{Scope, Timestamp};

use super::errors::invalid;
use super::images::bad_token;
use super::lifecycle::{Candidate, Expiry, Policy};
use super::{Target, catalog, page_size};
use crate::convert::time;
use crate::gateway::{ApiError, Call};
use crate::registry::catalog::Catalog;
use crate::registry::error::CatalogError;
use crate::registry::records::{Image, Lifecycle, Repository};

pub async fn put(
    call: Call,
    input: PutLifecyclePolicyRequest,
) -> Result<PutLifecyclePolicyResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let text = input.lifecycle_policy_text.unwrap_or_default();
    Policy::parse(&text).map_err(|error| invalid(error.to_string()))?;
    let change = |repository: &mut Repository| {
        repository.lifecycle = Some(Lifecycle { text: text.clone(), evaluated_at: call.now() });
        Ok(())
    };
    catalog(&call).update_repository(&target.scope, &target.name, change).await?;
    Ok(PutLifecyclePolicyResponse {
        lifecycle_policy_text: Some(text),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
    })
}

pub async fn get(
    call: Call,
    input: GetLifecyclePolicyRequest,
) -> Result<GetLifecyclePolicyResponse, ApiError> {
    let target = Target::of(&call, input.registry_id.as_ref(), input.repository_name)?;
    let repository = catalog(&call).repository(&target.scope, &target.name)?;
    let lifecycle = repository.lifecycle.clone().ok_or_else(|| no_policy(&target))?;
    Ok(GetLifecyclePolicyResponse {
        last_evaluated_at: Some(time(lifecycle.evaluated_at)),
        lifecycle_policy_text: Some(lifecycle.text),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
    })
}

pub async fn delete(
    call: Call,
    input: DeleteLifecyclePolicyRequest,
) -> Result<DeleteLifecyclePolicyResponse, ApiError> {
    let target = Target::of(&call, input.registry_id.as_ref(), input.repository_name)?;
    let change = |repository: &mut Repository| Ok(repository.lifecycle.take());
    let removed = catalog(&call).update_repository(&target.scope, &target.name, change).await?;
    let lifecycle = removed.ok_or_else(|| no_policy(&target))?;
    Ok(DeleteLifecyclePolicyResponse {
        last_evaluated_at: Some(time(lifecycle.evaluated_at)),
        lifecycle_policy_text: Some(lifecycle.text),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
    })
}

pub async fn start_preview(
    call: Call,
    input: StartLifecyclePolicyPreviewRequest,
) -> Result<StartLifecyclePolicyPreviewResponse, ApiError> {
    let target = Target::of(&call, input.registry_id.as_ref(), input.repository_name)?;
    let repository = catalog(&call).repository(&target.scope, &target.name)?;
    let kept = || repository.lifecycle.as_ref().map(|lifecycle| lifecycle.text.clone());
    let text = input.lifecycle_policy_text.or_else(kept).ok_or_else(|| no_policy(&target))?;
    Policy::parse(&text).map_err(|error| invalid(error.to_string()))?;
    let change = |repository: &mut Repository| {
        repository.preview = Some(Lifecycle { text: text.clone(), evaluated_at: call.now() });
        Ok(())
    };
    catalog(&call).update_repository(&target.scope, &target.name, change).await?;
    Ok(StartLifecyclePolicyPreviewResponse {
        lifecycle_policy_text: Some(text),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
        status: Some(LifecyclePolicyPreviewStatus::InProgress),
    })
}

/// The preview is computed when it is read, for the time at which it was started.
pub async fn get_preview(
    call: Call,
    input: GetLifecyclePolicyPreviewRequest,
) -> Result<GetLifecyclePolicyPreviewResponse, ApiError> {
    let target = Target::of(&call, input.registry_id.as_ref(), input.repository_name)?;
    let repository = catalog(&call).repository(&target.scope, &target.name)?;
    let Some(preview) = repository.preview.clone() else {
        let message = format!(
            "Lifecycle policy preview does not exist for the repository with name '{}' in the registry with id '{}'",
            target.name, target.registry
        );
        return Err(ApiError::new(&errors::LIFECYCLE_POLICY_PREVIEW_NOT_FOUND_EXCEPTION, message));
    };
    let policy = Policy::parse(&preview.text).map_err(ApiError::internal)?;
    let images = catalog(&call).images(&target.scope, &target.name);
    let expiring = expiring(&policy, &images, preview.evaluated_at);
    let summary = ecr::LifecyclePolicyPreviewSummary {
        expiring_image_total_count: i32::try_from(expiring.len()).ok(),
        transitioning_image_total_counts: None,
    };
    let status = input.filter.and_then(|filter| filter.tag_status);
    let wanted = input.image_ids.unwrap_or_default();
    let results = expiring.into_iter().filter(|(image, _)| {
        let listed = wanted.is_empty()
            || wanted.iter().any(|id| {
                id.image_digest.as_ref() == Some(&image.digest.to_string())
                    || id.image_tag.as_ref().is_some_and(|tag| image.tags.contains(tag))
            });
        let by_status = match status {
            Some(TagStatus::Tagged) => !image.tags.is_empty(),
            Some(TagStatus::Untagged) => image.tags.is_empty(),
            None | Some(TagStatus::Any) => true,
        };
        listed && by_status
    });
    let page = call.services.page_tokens.page(
        &format!("ecr preview of {}", target.name),
        results,
        |(image, _)| format!("{:020}/{}", image.pushed_at.as_millis(), image.digest),
        input.next_token.as_deref(),
        page_size(input.max_results),
    );
    let page = page.map_err(|_| bad_token())?;
    Ok(GetLifecyclePolicyPreviewResponse {
        lifecycle_policy_text: Some(preview.text),
        next_token: page.next_token,
        preview_results: Some(page.items.iter().map(|(image, expiry)| result(image, expiry)).collect()),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
        status: Some(LifecyclePolicyPreviewStatus::Complete),
        summary: Some(summary),
    })
}

/// Applies every repository's policy as of `now`, and returns how many images went. AWS does so within a day; to be called
/// from time to time.
pub async fn apply_lifecycle_policies(catalog: &Catalog, now: Timestamp) -> Result<usize, CatalogError> {
    let repositories = catalog.state().read(|view| view.scan_all::<Repository>().collect::<Vec<_>>());
    let mut expired = 0;
    for found in repositories {
        let (scope, repository) = (&found.scope, &found.value);
        let Some(lifecycle) = &repository.lifecycle else { continue };
        match Policy::parse(&lifecycle.text) {
            Ok(policy) => expired += apply(catalog, scope, repository, &policy, now).await?,
            Err(error) => {
                tracing::error!(repository = %repository.name, %error, "a stored lifecycle policy is unreadable");
            }
        }
    }
    Ok(expired)
}

async fn apply(
    catalog: &Catalog,
    scope: &Scope,
    repository: &Repository,
    policy: &Policy,
    now: Timestamp,
) -> Result<usize, CatalogError> {
    let images = catalog.images(scope, &repository.name);
    let mut expired = 0;
    for (image, expiry) in expiring(policy, &images, now) {
        match catalog.delete_image(scope, &repository.name, &image.digest).await {
            Ok(removed) => {
                expired += usize::from(removed.is_some());
                tracing::info!(
                    repository = %repository.name, digest = %image.digest, rule = expiry.priority, "an image expired"
                );
            }
            // An index was pushed meanwhile that needs it, or the repository went: nothing to expire.
            Err(CatalogError::ReferencedByIndex { .. } | CatalogError::RepositoryNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let text = repository.lifecycle.as_ref().map(|lifecycle| lifecycle.text.clone());
    let evaluated = |current: &mut Repository| {
        if let Some(lifecycle) =
            current.lifecycle.as_mut().filter(|lifecycle| Some(&lifecycle.text) == text.as_ref())
        {
            lifecycle.evaluated_at = now;
        }
        Ok(())
    };
    match catalog.update_repository(scope, &repository.name, evaluated).await {
        Ok(()) | Err(CatalogError::RepositoryNotFound { .. }) => Ok(expired),
        Err(error) => Err(error),
    }
}

fn expiring(policy: &Policy, images: &[Arc<Image>], now: Timestamp) -> Vec<(Arc<Image>, Expiry)> {
    let candidates = images.iter().map(|image| candidate(image)).collect::<Vec<_>>();
    let expiries = policy.evaluate(&candidates, now).into_iter();
    expiries.map(|expiry| (Arc::clone(&images[expiry.candidate]), expiry)).collect()
}

fn candidate(image: &Image) -> Candidate {
    Candidate {
        digest: Digest::to_string(&image.digest),
        tags: image.tags.clone(),
        pushed_at: image.pushed_at,
        pulled_at: image.last_pulled_at,
        held: !image.parents.is_empty(),
    }
}

fn result(image: &Image, expiry: &Expiry) -> ecr::LifecyclePolicyPreviewResult {
    ecr::LifecyclePolicyPreviewResult {
        action: Some(ecr::LifecyclePolicyRuleAction {
            target_storage_class: None,
            r#type: Some(ecr::ImageActionType::Expire),
        }),
        applied_rule_priority: i32::try_from(expiry.priority).ok(),
        image_digest: Some(image.digest.to_string()),
        image_pushed_at: Some(time(image.pushed_at)),
        image_tags: Some(image.tags.clone()),
        storage_class: Some(ecr::LifecyclePolicyStorageClass::Standard),
    }
}

fn no_policy(target: &Target) -> ApiError {
    let message = format!(
        "Lifecycle policy does not exist for the repository with name '{}' in the registry with id '{}'",
        target.name, target.registry
    );
    ApiError::new(&errors::LIFECYCLE_POLICY_NOT_FOUND_EXCEPTION, message)
}
