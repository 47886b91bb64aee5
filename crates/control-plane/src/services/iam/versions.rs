//! Versions of managed policies: at most five, one of them in force.

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    CreatePolicyVersionRequest, CreatePolicyVersionResponse, DeletePolicyVersionRequest,
    GetPolicyVersionRequest, GetPolicyVersionResponse, ListPolicyVersionsRequest, ListPolicyVersionsResponse,
    SetDefaultPolicyVersionRequest, errors::LIMIT_EXCEEDED_EXCEPTION,
};

use super::{
    errors,
    names::{self, Wanted, page, time},
    policies::{check_document, missing, own, seen},
    records::{Policy, Version},
};
use crate::gateway::{ApiError, Call};

const MOST: usize = 5;

/// `v3`; versions of other forms do not exist.
fn number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('v')?;
    (!digits.starts_with(['0', '+'])).then(|| digits.parse().ok())?
}

fn missing_version(arn: &str, version: &str) -> ApiError {
    errors::no_such_entity(format!("Policy {arn} version {version} does not exist or is not attachable."))
}

/// As lists show it, that is without the document.
pub fn brief(policy: &Policy, number: u32, version: &Version) -> iam::PolicyVersion {
    iam::PolicyVersion {
        version_id: Some(format!("v{number}")),
        is_default_version: Some(policy.default_version == number),
        create_date: Some(time(version.created_at)),
        document: None,
    }
}

pub async fn create(
    call: Call,
    input: CreatePolicyVersionRequest,
) -> Result<CreatePolicyVersionResponse, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let document = input.policy_document.unwrap_or_default();
    let set_default = input.set_as_default == Some(true);
    check_document(&document)?;
    let shown = call
        .services
        .state
        .transact(|tx| {
            let mut policy = (*own(tx, &scope, &call, &arn)?).clone();
            if policy.versions.len() >= MOST {
                return Err(ApiError::new(
                    &LIMIT_EXCEEDED_EXCEPTION,
                    "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.",
                ));
            }
            let number = policy.next_version;
            policy.next_version += 1;
            if set_default {
                policy.default_version = number;
            }
            policy.updated_at = call.now();
            let version = Version { document: document.clone(), created_at: call.now() };
            let shown = brief(&policy, number, &version);
            policy.versions.insert(number, version);
            tx.put(&scope, &names::key(&policy.name), policy);
            Ok(shown)
        })
        .await?;
    Ok(CreatePolicyVersionResponse { policy_version: Some(shown) })
}

pub async fn get(call: Call, input: GetPolicyVersionRequest) -> Result<GetPolicyVersionResponse, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let wanted = input.version_id.unwrap_or_default();
    let policy = call.services.state.read(|view| seen(view, &scope, &arn)).ok_or_else(|| missing(&arn))?;
    let found = number(&wanted).and_then(|number| Some((number, policy.versions.get(&number)?)));
    let (number, version) = found.ok_or_else(|| missing_version(&arn, &wanted))?;
    let document = Some(names::url_encoded(&version.document));
    let shown = iam::PolicyVersion { document, ..brief(&policy, number, version) };
    Ok(GetPolicyVersionResponse { policy_version: Some(shown) })
}

pub async fn list(
    call: Call,
    input: ListPolicyVersionsRequest,
) -> Result<ListPolicyVersionsResponse, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let policy = call.services.state.read(|view| seen(view, &scope, &arn)).ok_or_else(|| missing(&arn))?;
    let wanted = Wanted::new(input.marker, input.max_items);
    // The newest first.
    let versions = policy.versions.iter().rev();
    let key = |(number, _): &(&u32, &Version)| format!("{:010}", u32::MAX - **number);
    let page = page(&call, &format!("versions {arn}"), versions, key, wanted)?;
    Ok(ListPolicyVersionsResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        versions: Some(
            page.items.into_iter().map(|(number, version)| brief(&policy, *number, version)).collect(),
        ),
    })
}

pub async fn delete(call: Call, input: DeletePolicyVersionRequest) -> Result<Unit, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let wanted = input.version_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let mut policy = (*own(tx, &scope, &call, &arn)?).clone();
            let number = number(&wanted).filter(|number| policy.versions.contains_key(number));
            let number = number.ok_or_else(|| missing_version(&arn, &wanted))?;
            if policy.default_version == number {
                return Err(errors::delete_conflict("Cannot delete the default version of a policy."));
            }
            policy.versions.remove(&number);
            tx.put(&scope, &names::key(&policy.name), policy);
            Ok(Unit)
        })
        .await
}

pub async fn set_default(call: Call, input: SetDefaultPolicyVersionRequest) -> Result<Unit, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let wanted = input.version_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let mut policy = (*own(tx, &scope, &call, &arn)?).clone();
            let number = number(&wanted).filter(|number| policy.versions.contains_key(number));
            policy.default_version = number.ok_or_else(|| missing_version(&arn, &wanted))?;
            policy.updated_at = call.now();
            tx.put(&scope, &names::key(&policy.name), policy);
            Ok(Unit)
        })
        .await
}
