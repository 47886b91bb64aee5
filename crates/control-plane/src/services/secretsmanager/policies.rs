//! The policies of secrets.

use aws_shapes_secretsmanager::{
    DeleteResourcePolicyRequest, DeleteResourcePolicyResponse, GetResourcePolicyRequest,
    GetResourcePolicyResponse, PutResourcePolicyRequest, PutResourcePolicyResponse,
    ValidateResourcePolicyRequest, ValidateResourcePolicyResponse, ValidationErrorsEntry, errors,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    errors::invalid_parameter,
    names::{self, Found},
    records::Secret,
    replication,
    values::Asker,
    writes::writable,
};
use crate::{
    authorization::resources::{Facts, ResourcePolicy},
    gateway::{ApiError, Call},
    services::iam::policy_document::{self, Effect, NamedPrincipal, PolicyDocument, Use},
};

/// What authorization is told of a secret (`secret:NAME`, with or without its last six characters).
pub fn facts(view: &View, scope: &Scope, resource: &str) -> Option<Facts> {
    let arn = scope.arn("secretsmanager", resource).to_string();
    let found = names::see(view, scope, &arn).ok()?;
    let policy = found.secret.policy.as_deref();
    let primary = found.secret.replica_of.clone().unwrap_or_else(|| scope.region.to_string());
    Some(Facts {
        arn: Some(found.arn()),
        tags: found.secret.tags.clone(),
        policy: policy.map(|text| ResourcePolicy { document: text.into(), decides: false }),
        keys: vec![
            ("secretsmanager:SecretId".to_owned(), found.arn()),
            ("secretsmanager:SecretPrimaryRegion".to_owned(), primary),
        ],
        ..Facts::default()
    })
}

/// Secrets have one policy, which has no name.
fn unnamed(name: Option<&str>) -> Result<(), ApiError> {
    match name {
        None => Ok(()),
        Some(_) => Err(invalid_parameter("Policies with names of their own are not supported.")),
    }
}

fn parsed(text: &str) -> Result<PolicyDocument, ApiError> {
    policy_document::parse(text, Use::Resource).map_err(|error| {
        let message = format!("This resource policy contains an error: {error}");
        ApiError::new(&errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message)
    })
}

/// Whether the policy lets everybody in, whoever they are.
fn is_public(document: &PolicyDocument) -> bool {
    document.statements.iter().any(|statement| {
        let everybody = statement.principals.as_ref().is_some_and(|principals| {
            principals.negated
                || principals.members.iter().any(|one| match one {
                    NamedPrincipal::Anyone => true,
                    NamedPrincipal::Aws(name) => name == "*",
                    _ => false,
                })
        });
        statement.effect == Effect::Allow && everybody && statement.conditions.is_empty()
    })
}

pub async fn get(call: Call, input: GetResourcePolicyRequest) -> Result<GetResourcePolicyResponse, ApiError> {
    unnamed(input.policy_name.as_deref())?;
    let view = call.services.state.view();
    let found = names::see(&view, call.scope(), &input.secret_id.unwrap_or_default())?;
    Ok(GetResourcePolicyResponse {
        arn: Some(found.arn()),
        name: Some(found.secret.name.clone()),
        policy_name: None,
        resource_policy: found.secret.policy.clone(),
    })
}

async fn set(call: &Call, id: Option<String>, policy: Option<String>) -> Result<Found, ApiError> {
    let (id, asker) = (id.unwrap_or_default(), Asker::of(call));
    call.services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), &id)?;
            writable(&found)?;
            let secret = Secret { policy: policy.clone(), ..Secret::clone(&found.secret) };
            replication::follow(call, tx, &found.scope, &secret, None, &asker)?;
            tx.put(&found.scope, &secret.name.clone(), secret);
            Ok(found)
        })
        .await
}

pub async fn put(call: Call, input: PutResourcePolicyRequest) -> Result<PutResourcePolicyResponse, ApiError> {
    unnamed(input.policy_name.as_deref())?;
    let policy = input.resource_policy.unwrap_or_default();
    let document = parsed(&policy)?;
    if input.block_public_policy == Some(true) && is_public(&document) {
        return Err(ApiError::new(
            &errors::PUBLIC_POLICY_EXCEPTION,
            "The BlockPublicPolicy option is set, and the resource policy gives access to everybody.",
        ));
    }
    let found = set(&call, input.secret_id, Some(policy)).await?;
    Ok(PutResourcePolicyResponse {
        arn: Some(found.arn()),
        name: Some(found.secret.name.clone()),
        policy_name: None,
    })
}

pub async fn delete(
    call: Call,
    input: DeleteResourcePolicyRequest,
) -> Result<DeleteResourcePolicyResponse, ApiError> {
    unnamed(input.policy_name.as_deref())?;
    let found = set(&call, input.secret_id, None).await?;
    Ok(DeleteResourcePolicyResponse {
        arn: Some(found.arn()),
        name: Some(found.secret.name.clone()),
        policy_name: None,
    })
}

pub async fn validate(
    call: Call,
    input: ValidateResourcePolicyRequest,
) -> Result<ValidateResourcePolicyResponse, ApiError> {
    if let Some(id) = &input.secret_id {
        call.services.state.read(|view| names::see(view, call.scope(), id))?;
    }
    let document = parsed(&input.resource_policy.unwrap_or_default())?;
    let public = is_public(&document);
    let found = public.then(|| ValidationErrorsEntry {
        check_name: Some("PublicAccess".to_owned()),
        error_message: Some("The resource policy gives access to everybody.".to_owned()),
    });
    Ok(ValidateResourcePolicyResponse {
        policy_validation_passed: Some(!public),
        validation_errors: Some(found.into_iter().collect()),
    })
}
