//! Aliases: names for keys that can be given to other keys later.

use aws_schema::Unit;
use aws_shapes_kms::{
    AliasListEntry, CreateAliasRequest, DeleteAliasRequest, ListAliasesRequest, ListAliasesResponse,
    UpdateAliasRequest, errors,
};
use vocabulary::Scope;

use super::{
    errors::{declared, limit, not_authorized, validation},
    keys::not_pending,
    names::{self, Found, Named},
    paging::{Wanted, page},
    records::{Alias, alias_arn},
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
};

/// Aliases of one key.
const MOST: usize = 50;

/// The name behind `alias/`, when it is one that users may have.
fn name_of(given: Option<String>) -> Result<String, ApiError> {
    let given = given.unwrap_or_default();
    let name = given.strip_prefix("alias/").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| validation("Invalid identifier"))?;
    if name.contains(':') {
        return Err(validation(format!("{given} contains invalid characters for an alias")));
    }
    if name.starts_with("aws/") {
        return Err(not_authorized(format!("{given} is a name of AWS's services.")));
    }
    Ok(name.to_owned())
}

/// The key that an alias is to stand for: one of the account itself.
fn target(found: Result<Found, ApiError>, scope: &Scope, given: &str) -> Result<Found, ApiError> {
    if matches!(names::parse(scope, given), Ok(Named::Alias(..))) {
        return Err(validation("Aliases must refer to keys. Not aliases"));
    }
    let found = found?;
    if found.scope != *scope {
        return Err(validation("An alias stands for a key of its own account and Region."));
    }
    not_pending(&found)?;
    Ok(found)
}

pub async fn create(call: Call, input: CreateAliasRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let name = name_of(input.alias_name)?;
    let given = input.target_key_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let found = names::get(tx, scope, &given);
            let found = target(found, scope, &given)?;
            if tx.get::<Alias>(scope, &name).is_some() {
                let message = format!("An alias with the name {} already exists", alias_arn(scope, &name));
                return Err(declared(&errors::ALREADY_EXISTS_EXCEPTION, message));
            }
            if tx.view().by_index::<Alias>(scope, "key", &found.key.id).count() >= MOST {
                return Err(limit("aliases for a key", MOST));
            }
            let now = call.now();
            tx.put(scope, &name, Alias { key_id: found.key.id.clone(), created_at: now, updated_at: now });
            Ok(Unit)
        })
        .await
}

pub async fn update(call: Call, input: UpdateAliasRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let name = name_of(input.alias_name)?;
    let given = input.target_key_id.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let alias = tx.get::<Alias>(scope, &name);
            let alias = alias.ok_or_else(|| Named::Alias(scope.clone(), name.clone()).missing())?;
            let found = names::get(tx, scope, &given);
            let found = target(found, scope, &given)?;
            let before = names::get(tx, scope, &alias.key_id)?;
            if before.key.kind != found.key.kind {
                return Err(validation(
                    "The present and the new key of an alias must be of the same type and usage.",
                ));
            }
            let updated =
                Alias { key_id: found.key.id.clone(), created_at: alias.created_at, updated_at: call.now() };
            tx.put(scope, &name, updated);
            Ok(Unit)
        })
        .await
}

pub async fn delete(call: Call, input: DeleteAliasRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let name = name_of(input.alias_name)?;
    call.services
        .state
        .transact(|tx| match tx.delete::<Alias>(scope, &name) {
            Some(_) => Ok(Unit),
            None => Err(Named::Alias(scope.clone(), name.clone()).missing()),
        })
        .await
}

pub async fn list(call: Call, input: ListAliasesRequest) -> Result<ListAliasesResponse, ApiError> {
    let view = call.services.state.view();
    let scope = call.scope();
    let of = input.key_id.map(|id| names::see_key(&view, scope, &id)).transpose()?;
    let of = of.map(|found| found.key.id.clone());
    let aliases = view.scan::<Alias>(scope);
    let aliases = aliases.filter(|(_, alias)| of.as_ref().is_none_or(|key| *key == alias.key_id));
    let list = format!("aliases {}", of.as_deref().unwrap_or_default());
    let page =
        page(&call, &list, aliases, |(name, _)| (*name).to_owned(), Wanted::new(input.marker, input.limit))?;
    let entries = page.items.into_iter().map(|(name, alias)| AliasListEntry {
        alias_arn: Some(alias_arn(scope, name)),
        alias_name: Some(format!("alias/{name}")),
        creation_date: Some(time(alias.created_at)),
        last_updated_date: Some(time(alias.updated_at)),
        target_key_id: Some(alias.key_id.clone()),
    });
    Ok(ListAliasesResponse {
        aliases: Some(entries.collect()),
        truncated: Some(page.next_token.is_some()),
        next_marker: page.next_token,
    })
}
