//! The policies of keys.

use aws_schema::Unit;
use aws_shapes_kms as kms;
use aws_shapes_kms::{
    GetKeyPolicyRequest, GetKeyPolicyResponse, ListKeyPoliciesRequest, ListKeyPoliciesResponse,
    PutKeyPolicyRequest, errors,
};
use serde_json::json;

use super::{
    errors::{declared, not_found, unsupported},
    keys::{change, customers},
    names,
    records::key_arn,
};
use crate::{
    authorization::{Wish, authorize_with_resource_policy, of_call, resources::ResourcePolicy},
    gateway::{ApiError, Call},
    services::iam::policy_document::{self, Use},
};

/// The only name that a key's policy may have.
const NAME: &str = "default";
/// The longest document that KMS takes, in bytes.
const LONGEST: usize = 32 * 1024;

/// The account may do everything, and lets its own do what its IAM policies say.
pub fn default_policy(account: &str) -> String {
    let document = json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
            "Action": "kms:*",
            "Resource": "*",
        }],
    });
    format!("{document:#}")
}

/// Refuses what is no policy, and one that would lock the caller out, unless that is what is wanted.
///
/// # Errors
/// `MalformedPolicyDocumentException`.
pub fn check(call: &Call, key_id: &str, text: &str, bypass: bool) -> Result<(), ApiError> {
    let malformed = |message: String| declared(&errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message);
    if text.len() > LONGEST {
        return Err(declared(
            &errors::LIMIT_EXCEEDED_EXCEPTION,
            format!("The key policy must not be longer than {LONGEST} bytes."),
        ));
    }
    policy_document::parse(text, Use::Resource).map_err(|error| malformed(error.to_string()))?;
    if bypass {
        return Ok(());
    }
    let (holder, context) = of_call(call);
    let arn = key_arn(call.scope(), key_id);
    let policy = ResourcePolicy { document: text.into(), decides: true };
    let wish = Wish { policy: Some(&policy), ..Wish::new("kms:PutKeyPolicy", &arn) };
    authorize_with_resource_policy(&call.services, &holder, &context, kms::SERVICE, &wish).map_err(|_| {
        malformed("The new key policy will not allow you to update the key policy in the future.".to_owned())
    })
}

fn named(name: Option<&str>) -> Result<(), ApiError> {
    match name {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(not_found("No such policy exists")),
    }
}

pub async fn get(call: Call, input: GetKeyPolicyRequest) -> Result<GetKeyPolicyResponse, ApiError> {
    let view = call.services.state.view();
    let found = names::see_key(&view, call.scope(), &input.key_id.unwrap_or_default())?;
    named(input.policy_name.as_deref())?;
    Ok(GetKeyPolicyResponse { policy: Some(found.key.policy.clone()), policy_name: Some(NAME.to_owned()) })
}

pub async fn put(call: Call, input: PutKeyPolicyRequest) -> Result<Unit, ApiError> {
    let id = input.key_id.unwrap_or_default();
    let found = call.services.state.read(|view| names::see_key(view, call.scope(), &id))?;
    customers(&found)?;
    if input.policy_name.as_deref().is_some_and(|name| name != NAME) {
        return Err(unsupported("The only valid policy name is default."));
    }
    let policy = input.policy.unwrap_or_default();
    check(&call, &found.key.id, &policy, input.bypass_policy_lockout_safety_check == Some(true))?;
    change(&call, &id, |_, key| {
        key.policy.clone_from(&policy);
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn list(call: Call, input: ListKeyPoliciesRequest) -> Result<ListKeyPoliciesResponse, ApiError> {
    let view = call.services.state.view();
    names::see_key(&view, call.scope(), &input.key_id.unwrap_or_default())?;
    Ok(ListKeyPoliciesResponse {
        next_marker: None,
        policy_names: Some(vec![NAME.to_owned()]),
        truncated: Some(false),
    })
}
