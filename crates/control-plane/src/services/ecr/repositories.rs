//! Repositories: create, describe, delete, and their settings.

use aws_shapes_ecr as ecr;
use aws_shapes_ecr::{
    CreateRepositoryRequest, CreateRepositoryResponse, DeleteRepositoryRequest, DeleteRepositoryResponse,
    DescribeRepositoriesRequest, DescribeRepositoriesResponse, ImageTagMutability,
    PutImageScanningConfigurationRequest, PutImageScanningConfigurationResponse,
    PutImageTagMutabilityRequest, PutImageTagMutabilityResponse, errors,
};
use vocabulary::Scope;

use super::errors::invalid;
use super::{Target, catalog, page_size, registry_scope, tags};
use crate::convert::time;
use crate::gateway::{ApiError, Call};
use crate::registry::public;
use crate::registry::records::{Encryption, Mutability, MutabilityMode, Repository};
use vocabulary::Ids;

pub async fn create(
    call: Call,
    input: CreateRepositoryRequest,
) -> Result<CreateRepositoryResponse, ApiError> {
    let scope = registry_scope(&call, input.registry_id.as_ref())?;
    let name = input.repository_name.unwrap_or_default();
    if public::of_name(&name).is_some_and(|of_name| of_name != scope) {
        let what = "names of this form belong to public repositories";
        return Err(invalid(format!(
            "Invalid parameter at 'repositoryName' failed to satisfy constraint: '{what}'"
        )));
    }
    let repository = Repository {
        name,
        created_at: call.now(),
        mutability: mutability(input.image_tag_mutability, input.image_tag_mutability_exclusion_filters)?,
        scan_on_push: input
            .image_scanning_configuration
            .and_then(|scanning| scanning.scan_on_push)
            .unwrap_or(false),
        encryption: encryption(&call, input.encryption_configuration),
        policy: None,
        lifecycle: None,
        preview: None,
        tags: tags::checked(input.tags)?,
    };
    catalog(&call).create_repository(&scope, repository.clone()).await?;
    Ok(CreateRepositoryResponse { repository: Some(shape(&call, &scope, &repository)) })
}

pub async fn describe(
    call: Call,
    input: DescribeRepositoriesRequest,
) -> Result<DescribeRepositoriesResponse, ApiError> {
    let scope = &registry_scope(&call, input.registry_id.as_ref())?;
    if let Some(names) = input.repository_names.filter(|names| !names.is_empty()) {
        let mut repositories = Vec::new();
        for name in names {
            repositories.push(shape(&call, scope, &*catalog(&call).repository(scope, &name)?));
        }
        return Ok(DescribeRepositoriesResponse { next_token: None, repositories: Some(repositories) });
    }
    let all = catalog(&call).repositories(scope);
    let page = call.services.page_tokens.page(
        "ecr repositories",
        all,
        |repository| repository.name.clone(),
        input.next_token.as_deref(),
        page_size(input.max_results),
    );
    let page = page.map_err(|_| {
        invalid("Invalid parameter at 'nextToken' failed to satisfy constraint: 'Invalid token'")
    })?;
    Ok(DescribeRepositoriesResponse {
        next_token: page.next_token,
        repositories: Some(page.items.iter().map(|repository| shape(&call, scope, repository)).collect()),
    })
}

pub async fn delete(
    call: Call,
    input: DeleteRepositoryRequest,
) -> Result<DeleteRepositoryResponse, ApiError> {
    let target = Target::of(&call, input.registry_id.as_ref(), input.repository_name)?;
    let force = input.force.unwrap_or(false);
    let repository = catalog(&call).delete_repository(&target.scope, &target.name, force).await?;
    Ok(DeleteRepositoryResponse { repository: Some(shape(&call, &target.scope, &repository)) })
}

pub async fn put_tag_mutability(
    call: Call,
    input: PutImageTagMutabilityRequest,
) -> Result<PutImageTagMutabilityResponse, ApiError> {
    let target = Target::of(&call, input.registry_id.as_ref(), input.repository_name)?;
    let chosen = mutability(input.image_tag_mutability, input.image_tag_mutability_exclusion_filters)?;
    let change = |repository: &mut Repository| {
        repository.mutability = chosen.clone();
        Ok(())
    };
    catalog(&call).update_repository(&target.scope, &target.name, change).await?;
    Ok(PutImageTagMutabilityResponse {
        image_tag_mutability: Some(mode(chosen.mode)),
        image_tag_mutability_exclusion_filters: filters(&chosen),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
    })
}

pub async fn put_scanning(
    call: Call,
    input: PutImageScanningConfigurationRequest,
) -> Result<PutImageScanningConfigurationResponse, ApiError> {
    let target = Target::of(&call, input.registry_id.as_ref(), input.repository_name)?;
    let scan_on_push =
        input.image_scanning_configuration.and_then(|scanning| scanning.scan_on_push).unwrap_or(false);
    let change = |repository: &mut Repository| {
        repository.scan_on_push = scan_on_push;
        Ok(())
    };
    catalog(&call).update_repository(&target.scope, &target.name, change).await?;
    Ok(PutImageScanningConfigurationResponse {
        image_scanning_configuration: Some(ecr::ImageScanningConfiguration {
            scan_on_push: Some(scan_on_push),
        }),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
    })
}

/// The shape of a repository. Its URI is where the front door is reached, so that every client finds it.
pub fn shape(call: &Call, scope: &Scope, repository: &Repository) -> ecr::Repository {
    let name = &repository.name;
    ecr::Repository {
        created_at: Some(time(repository.created_at)),
        encryption_configuration: Some(ecr::EncryptionConfiguration {
            encryption_type: ecr::EncryptionType::parse(&repository.encryption.kind),
            kms_key: repository.encryption.key.clone(),
        }),
        image_scanning_configuration: Some(ecr::ImageScanningConfiguration {
            scan_on_push: Some(repository.scan_on_push),
        }),
        image_tag_mutability: Some(mode(repository.mutability.mode)),
        image_tag_mutability_exclusion_filters: filters(&repository.mutability),
        registry_id: Some(scope.account.to_string()),
        repository_arn: Some(scope.arn("ecr", format_args!("repository/{name}")).to_string()),
        repository_name: Some(name.clone()),
        repository_uri: Some(uri(call, scope, name)),
    }
}

/// The front door's name leads to the account's own registry; another's has its own.
fn uri(call: &Call, scope: &Scope, name: &str) -> String {
    if scope.account == call.scope().account {
        return format!("{}/{name}", call.services.settings.public_name);
    }
    format!("{}.dkr.ecr.{}.amazonaws.com/{name}", scope.account, scope.region)
}

pub(super) fn encryption(call: &Call, chosen: Option<ecr::EncryptionConfiguration>) -> Encryption {
    let Some(chosen) = chosen else { return Encryption { kind: "AES256".to_owned(), key: None } };
    let kind = chosen.encryption_type.unwrap_or(ecr::EncryptionType::Aes256);
    let key = match kind {
        ecr::EncryptionType::Aes256 => None,
        // Without a key of one's own AWS uses the one that it manages for the account.
        _ => Some(chosen.kms_key.unwrap_or_else(|| {
            let scope = call.scope();
            scope.arn("kms", format_args!("key/{}", call.services.ids().uuid())).to_string()
        })),
    };
    Encryption { kind: kind.to_string(), key }
}

pub(super) fn mutability(
    chosen: Option<ImageTagMutability>,
    filters: Option<Vec<ecr::ImageTagMutabilityExclusionFilter>>,
) -> Result<Mutability, ApiError> {
    let mode = match chosen.unwrap_or(ImageTagMutability::Mutable) {
        ImageTagMutability::Mutable => MutabilityMode::Mutable,
        ImageTagMutability::Immutable => MutabilityMode::Immutable,
        ImageTagMutability::ImmutableWithExclusion => MutabilityMode::ImmutableWithExclusion,
        ImageTagMutability::MutableWithExclusion => MutabilityMode::MutableWithExclusion,
    };
    let exclusions =
        filters.unwrap_or_default().into_iter().filter_map(|filter| filter.filter).collect::<Vec<_>>();
    let with_exclusion =
        matches!(mode, MutabilityMode::ImmutableWithExclusion | MutabilityMode::MutableWithExclusion);
    if with_exclusion == exclusions.is_empty() {
        let text = match with_exclusion {
            true => "exclusion filters are required when imageTagMutability is one with exclusion",
            false => "exclusion filters may only be given when imageTagMutability is one with exclusion",
        };
        let at = "Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint";
        return Err(ApiError::new(&errors::INVALID_PARAMETER_EXCEPTION, format!("{at}: '{text}'")));
    }
    Ok(Mutability { mode, exclusions })
}

pub(super) fn mode(mode: MutabilityMode) -> ImageTagMutability {
    match mode {
        MutabilityMode::Mutable => ImageTagMutability::Mutable,
        MutabilityMode::Immutable => ImageTagMutability::Immutable,
        MutabilityMode::ImmutableWithExclusion => ImageTagMutability::ImmutableWithExclusion,
        MutabilityMode::MutableWithExclusion => ImageTagMutability::MutableWithExclusion,
    }
}

pub(super) fn filters(mutability: &Mutability) -> Option<Vec<ecr::ImageTagMutabilityExclusionFilter>> {
    let filter = |pattern: &String| ecr::ImageTagMutabilityExclusionFilter {
        filter: Some(pattern.clone()),
        filter_type: Some(ecr::ImageTagMutabilityExclusionFilterType::Wildcard),
    };
    let filters = mutability.exclusions.iter().map(filter).collect::<Vec<_>>();
    if filters.is_empty() { None } else { Some(filters) }
}
