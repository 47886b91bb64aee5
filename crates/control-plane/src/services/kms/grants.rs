//! Grants: permissions for one principal beside a key's policy, given and taken back without touching it.
//!
//! A grant counts at once; the token that comes with it is checked where it is given and needed nowhere. What a grant allows is
//! decided in [`access`](super::access).

use std::sync::Arc;

use aws_schema::Unit;
use aws_shapes_kms as kms;
use aws_shapes_kms::{
    CreateGrantRequest, CreateGrantResponse, GrantConstraints, GrantListEntry, GrantOperation,
    ListGrantsRequest, ListGrantsResponse, ListRetirableGrantsRequest, RetireGrantRequest,
    RevokeGrantRequest, errors,
};
use state_store::View;
use vocabulary::{Ids, Scope};

use super::{
    errors::{declared, dry_run, limit, not_found, unsupported, validation},
    keys::{enabled, not_pending},
    names::{self, Found},
    paging::{Wanted, page},
    records::{Grant, Kind, grant_record_id},
};
use crate::{
    authorization::{Wish, authorize_with_resource_policy, of_call},
    convert::time,
    gateway::{ApiError, Call},
};

/// Grants of one key. AWS allows fifty times as many; each is a statement that every use of the key is held against.
const MOST: usize = 1000;
/// Tokens are bound to this list of the page tokens' key.
const TOKENS: &str = "kms grant tokens";

/// The token of a grant.
fn token(call: &Call, found: &Found, grant_id: &str) -> String {
    let named = format!("{}/{}/{grant_id}", found.scope, found.key.id);
    call.services.page_tokens.seal(TOKENS, &named)
}

/// Scope, key and grant that a token is for.
fn open_token(call: &Call, token: &str) -> Result<(Scope, String, String), ApiError> {
    let invalid = || declared(&errors::INVALID_GRANT_TOKEN_EXCEPTION, "The grant token is not valid.");
    let named = call.services.page_tokens.open(TOKENS, token).map_err(|_| invalid())?;
    let mut parts = named.splitn(4, '/').map(str::to_owned);
    let mut next = || parts.next().ok_or_else(invalid);
    let (account, region, key, grant) = (next()?, next()?, next()?, next()?);
    let scope = Scope::new(account.parse().map_err(|_| invalid())?, region.parse().map_err(|_| invalid())?);
    Ok((scope, key, grant))
}

/// Refuses tokens that were not given out here.
///
/// # Errors
/// `InvalidGrantTokenException`.
pub fn check_tokens(call: &Call, tokens: Option<&[String]>) -> Result<(), ApiError> {
    tokens.unwrap_or_default().iter().try_for_each(|token| open_token(call, token).map(drop))
}

pub async fn create(call: Call, input: CreateGrantRequest) -> Result<CreateGrantResponse, ApiError> {
    check_tokens(&call, input.grant_tokens.as_deref())?;
    if input.grantee_service_principal.is_some() || input.retiring_service_principal.is_some() {
        return Err(unsupported(
            "Grants for services of AWS are not supported; name a principal by its ARN.",
        ));
    }
    let grantee = principal(input.grantee_principal)?.ok_or_else(|| {
        validation("Value at 'granteePrincipal' failed to satisfy constraint: Member must not be null")
    })?;
    let retiring = principal(input.retiring_principal)?;
    let constraints = input.constraints.unwrap_or_default();
    if constraints.source_arn.is_some() {
        return Err(unsupported(
            "The constraint SourceArn is for services of AWS, which have no grants here.",
        ));
    }
    let mut operations: Vec<GrantOperation> = Vec::new();
    for operation in input.operations.unwrap_or_default() {
        if !operations.contains(&operation) {
            operations.push(operation);
        }
    }
    if operations.is_empty() {
        return Err(validation("A grant needs at least one operation."));
    }
    let id = call.services.ids().hex(64);
    let key = input.key_id.unwrap_or_default();
    let (dry, name) = (input.dry_run == Some(true), input.name);
    let (found, grant_id) = call
        .services
        .state
        .transact(|tx| {
            let found = names::get_key(tx, call.scope(), &key)?;
            enabled(&found)?;
            fitting(found.key.kind, &operations, &constraints)?;
            let grant = Grant {
                id: id.clone(),
                key_id: found.key.id.clone(),
                name: name.clone(),
                grantee: grantee.clone(),
                retiring: retiring.clone(),
                operations: operations.iter().map(|operation| operation.to_string()).collect(),
                context_equals: constraints.encryption_context_equals.clone(),
                context_subset: constraints.encryption_context_subset.clone(),
                created_at: call.now(),
                issuing_account: call.principal.account.to_string(),
            };
            let known = tx.scan_prefix::<Grant>(&found.scope, &format!("{}/", found.key.id));
            let same = |known: &&Arc<Grant>| {
                let renamed = Grant { id: known.id.clone(), created_at: known.created_at, ..grant.clone() };
                grant.name.is_some() && **known == Arc::new(renamed)
            };
            let again = known.iter().map(|(_, known)| known).find(same).map(|known| known.id.clone());
            if dry {
                return Err(dry_run());
            }
            if let Some(id) = again {
                return Ok((found, id));
            }
            if known.len() >= MOST {
                return Err(limit("grants for a key", MOST));
            }
            let scope = found.scope.clone();
            tx.put(&scope, &grant.record_id(), grant);
            Ok((found, id.clone()))
        })
        .await?;
    let grant_token = token(&call, &found, &grant_id);
    Ok(CreateGrantResponse { grant_id: Some(grant_id), grant_token: Some(grant_token) })
}

/// The ARN of somebody: a user, a role, a session or an account.
fn principal(given: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    let arn: Option<vocabulary::Arn> = given.parse().ok();
    let known = arn.filter(|arn| matches!(arn.service(), "iam" | "sts") && arn.account().len() == 12);
    match known {
        Some(_) => Ok(Some(given)),
        None => {
            let message = "ARN does not refer to a valid principal";
            Err(declared(&errors::INVALID_ARN_EXCEPTION, message))
        }
    }
}

/// Refuses operations that the key does not have, and constraints that say two things.
fn fitting(
    kind: Kind,
    operations: &[GrantOperation],
    constraints: &GrantConstraints,
) -> Result<(), ApiError> {
    use GrantOperation as Of;
    let known = |operation: &Of| match operation {
        Of::CreateGrant | Of::RetireGrant | Of::DescribeKey => true,
        Of::Encrypt
        | Of::Decrypt
        | Of::ReEncryptFrom
        | Of::ReEncryptTo
        | Of::GenerateDataKey
        | Of::GenerateDataKeyWithoutPlaintext => kind == Kind::Encryption,
        Of::GenerateMac | Of::VerifyMac => kind != Kind::Encryption,
        _ => false,
    };
    if let Some(operation) = operations.iter().find(|operation| !known(operation)) {
        return Err(validation(format!("The operation {operation} is not one of this kind of key.")));
    }
    if constraints.encryption_context_equals.is_some() && constraints.encryption_context_subset.is_some() {
        return Err(validation(
            "Only one of EncryptionContextEquals and EncryptionContextSubset may be given.",
        ));
    }
    let constrained =
        constraints.encryption_context_equals.is_some() || constraints.encryption_context_subset.is_some();
    if constrained && kind != Kind::Encryption {
        return Err(validation("Only symmetric encryption keys have an encryption context."));
    }
    Ok(())
}

fn entry(scope: &Scope, grant: &Grant) -> GrantListEntry {
    let operations = grant.operations.iter().filter_map(|name| GrantOperation::parse(name));
    let constraints =
        (grant.context_equals.is_some() || grant.context_subset.is_some()).then(|| GrantConstraints {
            encryption_context_equals: grant.context_equals.clone(),
            encryption_context_subset: grant.context_subset.clone(),
            source_arn: None,
        });
    GrantListEntry {
        constraints,
        creation_date: Some(time(grant.created_at)),
        grant_id: Some(grant.id.clone()),
        grantee_principal: Some(grant.grantee.clone()),
        issuing_account: Some(format!("arn:aws:iam::{}:root", grant.issuing_account)),
        key_id: Some(super::records::key_arn(scope, &grant.key_id)),
        name: Some(grant.name.clone().unwrap_or_default()),
        operations: Some(operations.collect()),
        retiring_principal: grant.retiring.clone(),
        ..GrantListEntry::default()
    }
}

pub async fn list(call: Call, input: ListGrantsRequest) -> Result<ListGrantsResponse, ApiError> {
    let view = call.services.state.view();
    let found = names::see_key(&view, call.scope(), &input.key_id.unwrap_or_default())?;
    not_pending(&found)?;
    let prefix = format!("{}/", found.key.id);
    let wanted = |grant: &Grant| {
        input.grant_id.as_ref().is_none_or(|id| *id == grant.id)
            && input.grantee_principal.as_ref().is_none_or(|grantee| *grantee == grant.grantee)
            && input.grantee_service_principal.is_none()
    };
    let grants = view.scan_prefix::<Grant>(&found.scope, &prefix).filter(|(_, grant)| wanted(grant));
    let wanted = Wanted::new(input.marker, input.limit);
    let page = page(&call, &format!("grants {prefix}"), grants, |(id, _)| (*id).to_owned(), wanted)?;
    Ok(ListGrantsResponse {
        truncated: Some(page.next_token.is_some()),
        next_marker: page.next_token,
        grants: Some(page.items.iter().map(|(_, grant)| entry(&found.scope, grant)).collect()),
    })
}

pub async fn list_retirable(
    call: Call,
    input: ListRetirableGrantsRequest,
) -> Result<ListGrantsResponse, ApiError> {
    let view = call.services.state.view();
    let scope = call.scope();
    let retiring = principal(input.retiring_principal)?;
    let Some(retiring) = retiring.filter(|_| input.retiring_service_principal.is_none()) else {
        return Err(validation("RetiringPrincipal is required."));
    };
    let grants = view.scan::<Grant>(scope).filter(|(_, grant)| grant.retiring.as_deref() == Some(&retiring));
    let wanted = Wanted::new(input.marker, input.limit);
    let page = page(&call, &format!("retirable {retiring}"), grants, |(id, _)| (*id).to_owned(), wanted)?;
    Ok(ListGrantsResponse {
        truncated: Some(page.next_token.is_some()),
        next_marker: page.next_token,
        grants: Some(page.items.iter().map(|(_, grant)| entry(scope, grant)).collect()),
    })
}

fn missing(id: &str) -> ApiError {
    not_found(format!("Grant ID {id} not found"))
}

pub async fn revoke(call: Call, input: RevokeGrantRequest) -> Result<Unit, ApiError> {
    let (key, id) = (input.key_id.unwrap_or_default(), input.grant_id.unwrap_or_default());
    let dry = input.dry_run == Some(true);
    call.services
        .state
        .transact(|tx| {
            let found = names::get_key(tx, call.scope(), &key)?;
            let record = grant_record_id(&found.key.id, &id);
            tx.delete::<Grant>(&found.scope, &record).ok_or_else(|| missing(&id))?;
            if dry { Err(dry_run()) } else { Ok(Unit) }
        })
        .await
}

pub async fn retire(call: Call, input: RetireGrantRequest) -> Result<Unit, ApiError> {
    let (scope, key, id) = match (input.grant_token, input.key_id, input.grant_id) {
        (Some(token), None, None) => open_token(&call, &token)?,
        (None, Some(key), Some(id)) => {
            let found = call.services.state.read(|view| names::see_key(view, call.scope(), &key))?;
            (found.scope.clone(), found.key.id.clone(), id)
        }
        _ => return Err(validation("Give either a grant token, or a key and the id of a grant.")),
    };
    let record = grant_record_id(&key, &id);
    let view = call.services.state.view();
    let grant = view.get::<Grant>(&scope, &record).ok_or_else(|| missing(&id))?;
    may_retire(&call, &view, &scope, &grant)?;
    if input.dry_run == Some(true) {
        return Err(dry_run());
    }
    call.services
        .state
        .transact(|tx| match tx.delete::<Grant>(&scope, &record) {
            Some(_) => Ok(Unit),
            None => Err(missing(&id)),
        })
        .await
}

/// Those who are named for it, the grantee if the grant says so, the account that gave it, and whom the key's policy lets.
fn may_retire(call: &Call, view: &View, scope: &Scope, grant: &Grant) -> Result<(), ApiError> {
    let holder = call.services.holders.find(view, call);
    let is = |arn: &str| names_principal(arn, &holder.principal);
    if grant.retiring.as_deref().is_some_and(is)
        || (grant.operations.iter().any(|name| name == "RetireGrant") && is(&grant.grantee))
        || (holder.is_root() && grant.issuing_account == call.principal.account.as_str())
    {
        return Ok(());
    }
    let (holder, context) = of_call(call);
    let arn = super::records::key_arn(scope, &grant.key_id);
    let wish = Wish::new("kms:RetireGrant", &arn);
    authorize_with_resource_policy(&call.services, &holder, &context, kms::SERVICE, &wish)
}

/// Whether an ARN means the one who asks: itself, the role of its session, or its whole account for the root.
fn names_principal(arn: &str, principal: &policy::Principal) -> bool {
    match &principal.caller {
        policy::Caller::RoleSession { arn: session, role_arn } => arn == session || arn == role_arn,
        _ => arn == principal.name(),
    }
}
