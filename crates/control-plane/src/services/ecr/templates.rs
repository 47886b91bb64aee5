//! Repository creation templates: what repositories look like that a push brings into being.

use aws_shapes_ecr as ecr;
use aws_shapes_ecr::{
    CreateRepositoryCreationTemplateRequest, CreateRepositoryCreationTemplateResponse,
    DeleteRepositoryCreationTemplateRequest, DeleteRepositoryCreationTemplateResponse,
    DescribeRepositoryCreationTemplatesRequest, DescribeRepositoryCreationTemplatesResponse, RCTAppliedFor,
    UpdateRepositoryCreationTemplateRequest, UpdateRepositoryCreationTemplateResponse, errors,
};

use super::errors::invalid;
use super::images::bad_token;
use super::lifecycle::Policy;
use super::repositories::{self, filters, mode, mutability};
use super::{catalog, page_size, policies, tags};
use crate::convert::time;
use crate::gateway::{ApiError, Call};
use crate::registry::error::CatalogError;
use crate::registry::records::{Encryption, Template};

pub async fn create(
    call: Call,
    input: CreateRepositoryCreationTemplateRequest,
) -> Result<CreateRepositoryCreationTemplateResponse, ApiError> {
    let template = Template {
        prefix: input.prefix.unwrap_or_default(),
        description: input.description,
        mutability: mutability(input.image_tag_mutability, input.image_tag_mutability_exclusion_filters)?,
        encryption: encryption(&call, input.encryption_configuration),
        policy: checked_policy(input.repository_policy)?,
        lifecycle: checked_lifecycle(input.lifecycle_policy)?,
        tags: tags::checked(input.resource_tags)?,
        on_push: false,
        applied_for: Vec::new(),
        role: input.custom_role_arn,
        created_at: call.now(),
        updated_at: call.now(),
    };
    let template = applied(template, input.applied_for);
    let scope = call.scope();
    let stored = catalog(&call).state().transact(|tx| {
        if tx.create(scope, &template.prefix, template.clone()).is_err() {
            let message =
                format!("A repository creation template with prefix '{}' already exists", template.prefix);
            return Err(ApiError::new(&errors::TEMPLATE_ALREADY_EXISTS_EXCEPTION, message));
        }
        Ok(())
    });
    stored.await?;
    Ok(CreateRepositoryCreationTemplateResponse {
        registry_id: Some(scope.account.to_string()),
        repository_creation_template: Some(shape(&template)),
    })
}

pub async fn update(
    call: Call,
    input: UpdateRepositoryCreationTemplateRequest,
) -> Result<UpdateRepositoryCreationTemplateResponse, ApiError> {
    let prefix = input.prefix.clone().unwrap_or_default();
    let mutability = match input.image_tag_mutability {
        Some(chosen) => Some(mutability(Some(chosen), input.image_tag_mutability_exclusion_filters)?),
        None => None,
    };
    let encryption = input.encryption_configuration.map(|chosen| encryption(&call, Some(chosen)));
    let policy = checked_policy(input.repository_policy)?;
    let lifecycle = checked_lifecycle(input.lifecycle_policy)?;
    let tags = input.resource_tags.map(|given| tags::checked(Some(given))).transpose()?;
    let scope = call.scope();
    let updated = catalog(&call).state().transact(|tx| {
        let current = tx.get::<Template>(scope, &prefix).ok_or_else(|| not_found(&prefix))?;
        let mut template = Template::clone(&current);
        template.description = input.description.clone().or(template.description);
        template.mutability = mutability.clone().unwrap_or(template.mutability);
        template.encryption = encryption.clone().unwrap_or(template.encryption);
        template.policy = policy.clone().or(template.policy);
        template.lifecycle = lifecycle.clone().or(template.lifecycle);
        template.tags = tags.clone().unwrap_or(template.tags);
        template.role = input.custom_role_arn.clone().or(template.role);
        template.updated_at = call.now();
        if input.applied_for.is_some() {
            template = applied(template, input.applied_for.clone());
        }
        tx.put(scope, &prefix, template.clone());
        Ok::<_, ApiError>(template)
    });
    let template = updated.await?;
    Ok(UpdateRepositoryCreationTemplateResponse {
        registry_id: Some(scope.account.to_string()),
        repository_creation_template: Some(shape(&template)),
    })
}

pub async fn describe(
    call: Call,
    input: DescribeRepositoryCreationTemplatesRequest,
) -> Result<DescribeRepositoryCreationTemplatesResponse, ApiError> {
    let scope = call.scope();
    let wanted = input.prefixes.unwrap_or_default();
    let view = catalog(&call).state().view();
    let templates = view.scan::<Template>(scope).map(|(_, template)| template);
    let page = call.services.page_tokens.page(
        "ecr templates",
        templates.filter(|template| wanted.is_empty() || wanted.contains(&template.prefix)),
        |template| template.prefix.clone(),
        input.next_token.as_deref(),
        page_size(input.max_results),
    );
    let page = page.map_err(|_| bad_token())?;
    Ok(DescribeRepositoryCreationTemplatesResponse {
        next_token: page.next_token,
        registry_id: Some(scope.account.to_string()),
        repository_creation_templates: Some(page.items.iter().map(|template| shape(template)).collect()),
    })
}

pub async fn delete(
    call: Call,
    input: DeleteRepositoryCreationTemplateRequest,
) -> Result<DeleteRepositoryCreationTemplateResponse, ApiError> {
    let prefix = input.prefix.unwrap_or_default();
    let scope = call.scope();
    let deleted =
        catalog(&call).state().transact(|tx| Ok::<_, CatalogError>(tx.delete::<Template>(scope, &prefix)));
    let template = deleted.await?.ok_or_else(|| not_found(&prefix))?;
    Ok(DeleteRepositoryCreationTemplateResponse {
        registry_id: Some(scope.account.to_string()),
        repository_creation_template: Some(shape(&template)),
    })
}

fn applied(template: Template, applied_for: Option<Vec<RCTAppliedFor>>) -> Template {
    let applied_for = applied_for.unwrap_or_default();
    Template {
        on_push: applied_for.contains(&RCTAppliedFor::CreateOnPush),
        applied_for: applied_for.into_iter().map(|purpose| purpose.to_string()).collect(),
        ..template
    }
}

fn encryption(
    call: &Call,
    chosen: Option<ecr::EncryptionConfigurationForRepositoryCreationTemplate>,
) -> Encryption {
    let chosen = chosen.map(|chosen| ecr::EncryptionConfiguration {
        encryption_type: chosen.encryption_type,
        kms_key: chosen.kms_key,
    });
    repositories::encryption(call, chosen)
}

fn checked_policy(text: Option<String>) -> Result<Option<String>, ApiError> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) if !policies::is_repository_policy(&text) => Err(policies::malformed("repository")),
        text => Ok(text),
    }
}

fn checked_lifecycle(text: Option<String>) -> Result<Option<String>, ApiError> {
    let text = text.filter(|text| !text.is_empty());
    if let Some(text) = &text {
        Policy::parse(text).map_err(|error| invalid(error.to_string()))?;
    }
    Ok(text)
}

fn shape(template: &Template) -> ecr::RepositoryCreationTemplate {
    let tags = template.tags.iter();
    ecr::RepositoryCreationTemplate {
        applied_for: Some(
            template.applied_for.iter().filter_map(|purpose| RCTAppliedFor::parse(purpose)).collect(),
        ),
        created_at: Some(time(template.created_at)),
        custom_role_arn: template.role.clone(),
        description: template.description.clone(),
        encryption_configuration: Some(ecr::EncryptionConfigurationForRepositoryCreationTemplate {
            encryption_type: ecr::EncryptionType::parse(&template.encryption.kind),
            kms_key: template.encryption.key.clone(),
        }),
        image_tag_mutability: Some(mode(template.mutability.mode)),
        image_tag_mutability_exclusion_filters: filters(&template.mutability),
        lifecycle_policy: template.lifecycle.clone(),
        prefix: Some(template.prefix.clone()),
        repository_policy: template.policy.clone(),
        resource_tags: Some(
            tags.map(|(key, value)| ecr::Tag { key: Some(key.clone()), value: Some(value.clone()) })
                .collect(),
        ),
        updated_at: Some(time(template.updated_at)),
    }
}

fn not_found(prefix: &str) -> ApiError {
    let message = format!("The repository creation template with prefix '{prefix}' does not exist");
    ApiError::new(&errors::TEMPLATE_NOT_FOUND_EXCEPTION, message)
}
