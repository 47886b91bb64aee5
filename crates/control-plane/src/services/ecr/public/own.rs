//! What only ECR Public has: its registries and their aliases, catalogue data, tags with their images.

use aws_shapes_ecr as private;
use aws_shapes_ecr_public as ecr;
use aws_shapes_ecr_public::{
    AuthorizationData, CreateRepositoryRequest, CreateRepositoryResponse, DeleteRepositoryRequest,
    DeleteRepositoryResponse, DescribeImageTagsRequest, DescribeImageTagsResponse, DescribeRegistriesRequest,
    DescribeRegistriesResponse, GetAuthorizationTokenRequest, GetAuthorizationTokenResponse,
    GetRegistryCatalogDataRequest, GetRegistryCatalogDataResponse, GetRepositoryCatalogDataRequest,
    GetRepositoryCatalogDataResponse, PutRegistryCatalogDataRequest, PutRegistryCatalogDataResponse,
    PutRepositoryCatalogDataRequest, PutRepositoryCatalogDataResponse, RegistryAliasStatus,
    RepositoryCatalogData, RepositoryCatalogDataInput, errors,
};

use super::delegate::{delegate, named_outward, of_public_registry};
use super::records::{CatalogData, RegistryData};
use crate::convert::{AwsJson, time};
use crate::gateway::{ApiError, Call};
use crate::registry::error::CatalogError;
use crate::registry::public;
use crate::services::ecr::{Target, authorization, catalog, images, page_size, repositories};

pub async fn create_repository(
    call: Call,
    mut input: CreateRepositoryRequest,
) -> Result<CreateRepositoryResponse, ApiError> {
    let data = input.catalog_data.take().map(presented).transpose()?;
    let name = input.repository_name.clone();
    let mut created: CreateRepositoryResponse = delegate(call.clone(), input, repositories::create).await?;
    if let Some(data) = data {
        keep(&call, None, name, data.clone()).await?;
        created.catalog_data = Some(data);
    }
    Ok(created)
}

pub async fn delete_repository(
    call: Call,
    input: DeleteRepositoryRequest,
) -> Result<DeleteRepositoryResponse, ApiError> {
    let name = full_name(&call, input.repository_name.clone());
    let deleted: DeleteRepositoryResponse = delegate(call.clone(), input, repositories::delete).await?;
    let scope = public::scope(&call.scope().account);
    let forget = catalog(&call).state().transact(|tx| {
        tx.delete::<CatalogData>(&scope, &name);
        Ok::<_, CatalogError>(())
    });
    forget.await?;
    Ok(deleted)
}

pub async fn authorization_token(
    call: Call,
    _: GetAuthorizationTokenRequest,
) -> Result<GetAuthorizationTokenResponse, ApiError> {
    let issued = authorization::token(call, private::GetAuthorizationTokenRequest::default()).await?;
    let data = issued.authorization_data.and_then(|data| data.into_iter().next()).unwrap_or_default();
    let data =
        AuthorizationData { authorization_token: data.authorization_token, expires_at: data.expires_at };
    Ok(GetAuthorizationTokenResponse { authorization_data: Some(data) })
}

pub async fn describe_registries(
    call: Call,
    _: DescribeRegistriesRequest,
) -> Result<DescribeRegistriesResponse, ApiError> {
    let account = &call.scope().account;
    let alias = public::alias(account);
    let registry = ecr::Registry {
        aliases: Some(vec![ecr::RegistryAlias {
            default_registry_alias: Some(true),
            name: Some(alias.clone()),
            primary_registry_alias: Some(true),
            status: Some(RegistryAliasStatus::Active),
        }]),
        registry_arn: Some(format!("arn:aws:ecr-public::{account}:registry/{account}")),
        registry_id: Some(account.to_string()),
        registry_uri: Some(format!("{}/public/{alias}", call.services.settings.public_name)),
        verified: Some(false),
    };
    Ok(DescribeRegistriesResponse { next_token: None, registries: Some(vec![registry]) })
}

pub async fn describe_image_tags(
    call: Call,
    input: DescribeImageTagsRequest,
) -> Result<DescribeImageTagsResponse, ApiError> {
    let target = target(&call, input.registry_id.as_ref(), input.repository_name)?;
    let mut tags = Vec::new();
    for image in catalog(&call).images(&target.scope, &target.name) {
        let detail = ecr::ReferencedImageDetail {
            artifact_media_type: image.artifact_type.clone(),
            image_digest: Some(image.digest.to_string()),
            image_manifest_media_type: Some(image.media_type.clone()),
            image_pushed_at: Some(time(image.pushed_at)),
            image_size_in_bytes: image.size_bytes.and_then(|size| i64::try_from(size).ok()),
        };
        tags.extend(image.tags.iter().map(|tag| ecr::ImageTagDetail {
            created_at: Some(time(image.pushed_at)),
            image_detail: Some(detail.clone()),
            image_tag: Some(tag.clone()),
        }));
    }
    let name = |detail: &ecr::ImageTagDetail| detail.image_tag.clone().unwrap_or_default();
    tags.sort_by_key(name);
    let page = call.services.page_tokens.page(
        &format!("ecr-public tags of {}", target.name),
        tags,
        name,
        input.next_token.as_deref(),
        page_size(input.max_results),
    );
    let page = page.map_err(|_| images::bad_token())?;
    Ok(DescribeImageTagsResponse { image_tag_details: Some(page.items), next_token: page.next_token })
}

pub async fn put_repository_catalog_data(
    call: Call,
    input: PutRepositoryCatalogDataRequest,
) -> Result<PutRepositoryCatalogDataResponse, ApiError> {
    let data = presented(input.catalog_data.unwrap_or_default())?;
    keep(&call, input.registry_id.as_ref(), input.repository_name, data.clone()).await?;
    Ok(PutRepositoryCatalogDataResponse { catalog_data: Some(data) })
}

pub async fn get_repository_catalog_data(
    call: Call,
    input: GetRepositoryCatalogDataRequest,
) -> Result<GetRepositoryCatalogDataResponse, ApiError> {
    let shown = input.repository_name.clone().unwrap_or_default();
    let target = target(&call, input.registry_id.as_ref(), input.repository_name)?;
    let found = catalog(&call).state().read(|view| view.get::<CatalogData>(&target.scope, &target.name));
    let data = found.ok_or_else(|| {
        let message = format!(
            "The catalog data of the repository with name '{shown}' does not exist in the registry with id '{}'",
            target.registry
        );
        ApiError::new(&errors::REPOSITORY_CATALOG_DATA_NOT_FOUND_EXCEPTION, message)
    })?;
    Ok(GetRepositoryCatalogDataResponse { catalog_data: Some(data.0.0.clone()) })
}

pub async fn put_registry_catalog_data(
    call: Call,
    input: PutRegistryCatalogDataRequest,
) -> Result<PutRegistryCatalogDataResponse, ApiError> {
    let scope = public::scope(&call.scope().account);
    let data = RegistryData { display_name: input.display_name };
    let put = catalog(&call).state().transact(|tx| {
        tx.put(&scope, RegistryData::ID, data.clone());
        Ok::<_, CatalogError>(())
    });
    put.await?;
    let data = ecr::RegistryCatalogData { display_name: data.display_name };
    Ok(PutRegistryCatalogDataResponse { registry_catalog_data: Some(data) })
}

pub async fn get_registry_catalog_data(
    call: Call,
    _: GetRegistryCatalogDataRequest,
) -> Result<GetRegistryCatalogDataResponse, ApiError> {
    let scope = public::scope(&call.scope().account);
    let found = catalog(&call).state().read(|view| view.get::<RegistryData>(&scope, RegistryData::ID));
    let display_name = found.and_then(|data| data.display_name.clone());
    Ok(GetRegistryCatalogDataResponse {
        registry_catalog_data: Some(ecr::RegistryCatalogData { display_name }),
    })
}

fn full_name(call: &Call, name: Option<String>) -> String {
    format!("{}{}", public::prefix(&call.scope().account), name.unwrap_or_default())
}

/// The public repository of that name, which has to be there.
fn target(call: &Call, registry: Option<&String>, name: Option<String>) -> Result<Target, ApiError> {
    let name = full_name(call, name);
    Target::existing(&of_public_registry(call), registry, Some(name))
        .map_err(|error| named_outward(&call.scope().account, error))
}

async fn keep(
    call: &Call,
    registry: Option<&String>,
    name: Option<String>,
    data: RepositoryCatalogData,
) -> Result<(), ApiError> {
    let target = target(call, registry, name)?;
    let put = catalog(call).state().transact(|tx| {
        tx.put(&target.scope, &target.name, CatalogData(AwsJson(data.clone())));
        Ok::<_, CatalogError>(())
    });
    Ok(put.await?)
}

/// What is shown of what was given. Logos are for verified accounts, of which there are none.
fn presented(input: RepositoryCatalogDataInput) -> Result<RepositoryCatalogData, ApiError> {
    if input.logo_image_blob.is_some_and(|logo| !logo.is_empty()) {
        let message = "A repository logo can be set by verified accounts only.";
        return Err(ApiError::new(&errors::UNSUPPORTED_COMMAND_EXCEPTION, message));
    }
    Ok(RepositoryCatalogData {
        about_text: input.about_text,
        architectures: input.architectures,
        description: input.description,
        logo_url: None,
        marketplace_certified: Some(false),
        operating_systems: input.operating_systems,
        usage_text: input.usage_text,
    })
}
