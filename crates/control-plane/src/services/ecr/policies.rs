//! Policies of repositories and of a whole registry: checked in form, kept as they were given, and asked through [`effective`].

use std::sync::Arc;

use aws_shapes_ecr::{
    DeleteRegistryPolicyRequest, DeleteRegistryPolicyResponse, DeleteRepositoryPolicyRequest,
    DeleteRepositoryPolicyResponse, GetRegistryPolicyRequest, GetRegistryPolicyResponse,
    GetRepositoryPolicyRequest, GetRepositoryPolicyResponse, PutRegistryPolicyRequest,
    PutRegistryPolicyResponse, SetRepositoryPolicyRequest, SetRepositoryPolicyResponse, errors,
};
use serde_json::{Value, json};
use state_store::View;
use vocabulary::Scope;

use super::errors::invalid;
use super::records::RegistrySettings;
use super::{Target, catalog, registry_settings};
use crate::gateway::{ApiError, Call};
use crate::registry::records::Repository;
use crate::services::iam::policy_document::{self, Use};

/// What a registry's policy of the first scope may grant.
const REGISTRY_ACTIONS: [&str; 4] =
    ["ecr:CreateRepository", "ecr:ReplicateImage", "ecr:BatchImportUpstreamImage", "ecr:*"];

pub async fn set(
    call: Call,
    input: SetRepositoryPolicyRequest,
) -> Result<SetRepositoryPolicyResponse, ApiError> {
    let target = Target::existing(&call, input.registry_id.as_ref(), input.repository_name)?;
    let text = input.policy_text.unwrap_or_default();
    if !is_repository_policy(&text) || policy_document::parse(&text, Use::Resource).is_err() {
        return Err(malformed("repository"));
    }
    let change = |repository: &mut Repository| {
        repository.policy = Some(text.clone());
        Ok(())
    };
    catalog(&call).update_repository(&target.scope, &target.name, change).await?;
    Ok(SetRepositoryPolicyResponse {
        policy_text: Some(text),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
    })
}

pub async fn get(
    call: Call,
    input: GetRepositoryPolicyRequest,
) -> Result<GetRepositoryPolicyResponse, ApiError> {
    let target = Target::of(&call, input.registry_id.as_ref(), input.repository_name)?;
    let repository = catalog(&call).repository(&target.scope, &target.name)?;
    let text = repository.policy.clone().ok_or_else(|| no_policy(&target))?;
    Ok(GetRepositoryPolicyResponse {
        policy_text: Some(text),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
    })
}

pub async fn delete(
    call: Call,
    input: DeleteRepositoryPolicyRequest,
) -> Result<DeleteRepositoryPolicyResponse, ApiError> {
    let target = Target::of(&call, input.registry_id.as_ref(), input.repository_name)?;
    let change = |repository: &mut Repository| Ok(repository.policy.take());
    let removed = catalog(&call).update_repository(&target.scope, &target.name, change).await?;
    let text = removed.ok_or_else(|| no_policy(&target))?;
    Ok(DeleteRepositoryPolicyResponse {
        policy_text: Some(text),
        registry_id: Some(target.registry),
        repository_name: Some(target.name),
    })
}

pub async fn put_of_registry(
    call: Call,
    input: PutRegistryPolicyRequest,
) -> Result<PutRegistryPolicyResponse, ApiError> {
    let text = input.policy_text.unwrap_or_default();
    // With the second scope, which is the default, a registry's policy is about every action.
    let narrow = registry_settings::read(&call)
        .account
        .get("REGISTRY_POLICY_SCOPE")
        .is_some_and(|scope| scope == "V1");
    let allowed = |action: &str| match narrow {
        true => REGISTRY_ACTIONS.contains(&action),
        false => action.starts_with("ecr:"),
    };
    if !is_policy(&text, allowed) || policy_document::parse(&text, Use::Resource).is_err() {
        return Err(malformed("registry"));
    }
    registry_settings::update(&call, |settings| settings.policy = Some(text.clone())).await?;
    Ok(PutRegistryPolicyResponse {
        policy_text: Some(text),
        registry_id: Some(call.scope().account.to_string()),
    })
}

pub async fn get_of_registry(
    call: Call,
    _: GetRegistryPolicyRequest,
) -> Result<GetRegistryPolicyResponse, ApiError> {
    let text = registry_settings::read(&call).policy.ok_or_else(|| no_registry_policy(&call))?;
    Ok(GetRegistryPolicyResponse {
        policy_text: Some(text),
        registry_id: Some(call.scope().account.to_string()),
    })
}

pub async fn delete_of_registry(
    call: Call,
    _: DeleteRegistryPolicyRequest,
) -> Result<DeleteRegistryPolicyResponse, ApiError> {
    let removed = registry_settings::update(&call, |settings| settings.policy.take()).await?;
    let text = removed.ok_or_else(|| no_registry_policy(&call))?;
    Ok(DeleteRegistryPolicyResponse {
        policy_text: Some(text),
        registry_id: Some(call.scope().account.to_string()),
    })
}

/// What the policies of a repository and of its registry say together of the repository called `name`, whether it is there or not; none where
/// neither is set. Each statement counts as if it stood in one document; ECR asks both in the same way.
pub fn effective(view: &View, scope: &Scope, name: &str) -> Option<Arc<str>> {
    let own = view.get::<Repository>(scope, name).and_then(|repository| repository.policy.clone());
    let all = view
        .get::<RegistrySettings>(scope, RegistrySettings::ID)
        .and_then(|settings| settings.policy.clone());
    match (own, all) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one.into()),
        (Some(own), Some(all)) => {
            let statements =
                |text: &str| match serde_json::from_str::<Value>(text).ok()?.get_mut("Statement")?.take() {
                    Value::Array(statements) => Some(statements),
                    one => Some(vec![one]),
                };
            let version = |text: &str| serde_json::from_str::<Value>(text).ok()?.get("Version").cloned();
            // Variables are known from the later version on; where one of the two is of the earlier, none are.
            let both_later =
                [&own, &all].iter().all(|text| version(text).is_some_and(|version| version == "2012-10-17"));
            let mut together = statements(&own)?;
            together.extend(statements(&all)?);
            let version = if both_later { "2012-10-17" } else { "2008-10-17" };
            Some(json!({"Version": version, "Statement": together}).to_string().into())
        }
    }
}

/// Whether the text can be a repository's policy.
pub(super) fn is_repository_policy(text: &str) -> bool {
    is_policy(text, |action| action == "*" || action.starts_with("ecr:"))
}

/// Whether the text has the form of a resource policy whose actions are all allowed here.
fn is_policy(text: &str, action_allowed: impl Fn(&str) -> bool) -> bool {
    let Ok(Value::Object(policy)) = serde_json::from_str(text) else { return false };
    if policy.get("Version").is_some_and(|version| version != "2012-10-17" && version != "2008-10-17") {
        return false;
    }
    let statements = match policy.get("Statement") {
        Some(Value::Array(statements)) if !statements.is_empty() => statements.iter().collect(),
        Some(statement @ Value::Object(_)) => vec![statement],
        _ => return false,
    };
    statements.into_iter().all(|statement| {
        let effect = matches!(statement["Effect"].as_str(), Some("Allow" | "Deny"));
        let principal = statement.get("Principal").or(statement.get("NotPrincipal"));
        let principal =
            principal.is_some_and(|who| who == "*" || who.as_object().is_some_and(|who| !who.is_empty()));
        let actions = match statement.get("Action").or(statement.get("NotAction")) {
            Some(Value::String(action)) => action_allowed(action),
            Some(Value::Array(actions)) if !actions.is_empty() => {
                actions.iter().all(|action| action.as_str().is_some_and(&action_allowed))
            }
            _ => false,
        };
        effect && principal && actions
    })
}

pub(super) fn malformed(of: &str) -> ApiError {
    invalid(format!(
        "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid {of} policy provided'"
    ))
}

fn no_policy(target: &Target) -> ApiError {
    let message = format!(
        "Repository policy does not exist for the repository with name '{}' in the registry with id '{}'",
        target.name, target.registry
    );
    ApiError::new(&errors::REPOSITORY_POLICY_NOT_FOUND_EXCEPTION, message)
}

fn no_registry_policy(call: &Call) -> ApiError {
    let message =
        format!("Registry policy does not exist in the registry with id '{}'", call.scope().account);
    ApiError::new(&errors::REGISTRY_POLICY_NOT_FOUND_EXCEPTION, message)
}
