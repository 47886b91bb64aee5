//! Resource policies of the account: which other services may write logs. Kept and shown; nothing of Longshore's own
//! writes as another service yet, so nothing asks them.

use aws_schema::Unit;
use aws_shapes_logs::{
    DeleteResourcePolicyRequest, DescribeResourcePoliciesRequest, DescribeResourcePoliciesResponse,
    PolicyScope, PutResourcePolicyRequest, PutResourcePolicyResponse, ResourcePolicy as Shape, errors,
};

use super::{
    groups::size,
    names::{bad_token, invalid, required},
    records::ResourcePolicy,
};
use crate::gateway::{ApiError, Call};

/// Policies in an account and region.
const MOST: usize = 10;
const PAGE: i32 = 50;

fn of_resources() -> ApiError {
    ApiError::undeclared(
        "NotImplemented",
        501,
        "Longshore has resource policies of the account only, not of single log groups.",
    )
}

pub async fn put(call: Call, input: PutResourcePolicyRequest) -> Result<PutResourcePolicyResponse, ApiError> {
    if input.resource_arn.is_some() {
        return Err(of_resources());
    }
    let (Some(name), Some(document)) = (input.policy_name, input.policy_document) else {
        return Err(invalid("Both policyName and policyDocument are required."));
    };
    if serde_json::from_str::<serde::de::IgnoredAny>(&document).is_err() {
        return Err(invalid("The policy document is not valid JSON."));
    }
    let policy = ResourcePolicy { name, document, updated: call.now() };
    let scope = call.scope();
    call.services
        .logs
        .state
        .transact(|tx| {
            let existing = tx.scan::<ResourcePolicy>(scope);
            let known = existing.iter().any(|(name, _)| *name == policy.name);
            if !known && existing.len() >= MOST {
                return Err(ApiError::new(&errors::LIMIT_EXCEEDED_EXCEPTION, "Resource limit exceeded."));
            }
            tx.put(scope, &policy.name, policy.clone());
            Ok(())
        })
        .await?;
    Ok(PutResourcePolicyResponse { resource_policy: Some(shape(&policy)), revision_id: None })
}

pub async fn describe(
    call: Call,
    input: DescribeResourcePoliciesRequest,
) -> Result<DescribeResourcePoliciesResponse, ApiError> {
    if input.resource_arn.is_some() || input.policy_scope == Some(PolicyScope::Resource) {
        return Err(of_resources());
    }
    let (scope, logs) = (call.scope(), &call.services.logs);
    let page = logs.state.read(|view| {
        let found = view.scan::<ResourcePolicy>(scope).map(|(_, policy)| policy);
        let token = input.next_token.as_deref();
        logs.tokens.page(
            "logs resource policies",
            found,
            |policy| policy.name.clone(),
            token,
            size(input.limit, PAGE),
        )
    });
    let page = page.map_err(|_| bad_token())?;
    Ok(DescribeResourcePoliciesResponse {
        next_token: page.next_token,
        resource_policies: Some(page.items.iter().map(|policy| shape(policy)).collect()),
    })
}

pub async fn delete(call: Call, input: DeleteResourcePolicyRequest) -> Result<Unit, ApiError> {
    if input.resource_arn.is_some() {
        return Err(of_resources());
    }
    let (scope, name) = (call.scope(), required(input.policy_name));
    call.services
        .logs
        .state
        .transact(|tx| match tx.delete::<ResourcePolicy>(scope, &name) {
            Some(_) => Ok(Unit),
            None => Err(ApiError::new(
                &errors::RESOURCE_NOT_FOUND_EXCEPTION,
                format!("Policy with name [{name}] does not exist."),
            )),
        })
        .await
}

fn shape(policy: &ResourcePolicy) -> Shape {
    Shape {
        last_updated_time: Some(policy.updated.as_millis()),
        policy_document: Some(policy.document.clone()),
        policy_name: Some(policy.name.clone()),
        policy_scope: Some(PolicyScope::Account),
        ..Shape::default()
    }
}
