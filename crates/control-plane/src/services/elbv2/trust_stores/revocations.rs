//! The API of a trust store's revocation lists.

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    AddTrustStoreRevocationsInput, AddTrustStoreRevocationsOutput, DescribeTrustStoreRevocationsInput,
    DescribeTrustStoreRevocationsOutput, RemoveTrustStoreRevocationsInput, RemoveTrustStoreRevocationsOutput,
    errors,
};

use super::{
    content, get, lists, material,
    records::{Revocation, TrustStore, revocation_key},
    see,
};
use crate::{
    gateway::{ApiError, Call},
    services::elbv2::{errors::validation, names, page},
};

/// Lists of a trust store.
const MOST_LISTS: usize = 30;
/// Entries of all lists of a trust store.
const MOST_ENTRIES: u64 = 500_000;

pub async fn add(
    call: Call,
    input: AddTrustStoreRevocationsInput,
) -> Result<AddTrustStoreRevocationsOutput, ApiError> {
    let scope = call.scope();
    let arn = input.trust_store_arn.unwrap_or_default();
    call.services.state.read(|view| see(view, scope, &arn).map(drop))?;
    let given = input.revocation_contents.unwrap_or_default();
    if given.is_empty() {
        return Err(validation("A revocation file must be specified"));
    }
    let mut fresh = Vec::new();
    for one in given {
        let place = content::Place { bucket: one.s3_bucket, key: one.s3_key, version: one.s3_object_version };
        let found = content::read(&call, &place).await.map_err(|error| match error.status {
            404 => ApiError::new(
                &errors::REVOCATION_CONTENT_NOT_FOUND_EXCEPTION,
                "The specified revocation file does not exist",
            ),
            _ => error,
        })?;
        let list = material::list(&found);
        fresh.push(list.map_err(|why| ApiError::new(&errors::INVALID_REVOCATION_CONTENT_EXCEPTION, why))?);
    }
    // One transaction writes them all.
    if fresh.iter().map(|list| list.pem.len()).sum::<usize>() > 2 * material::LARGEST_LIST_BYTES {
        return Err(ApiError::new(
            &errors::INVALID_REVOCATION_CONTENT_EXCEPTION,
            "The revocation files are too large to be added by one request",
        ));
    }
    let added = call
        .services
        .state
        .transact(|tx| {
            let mut store = (*get(tx, scope, &arn)?).clone();
            let there = tx.scan_prefix::<Revocation>(scope, &format!("{}/", store.key()));
            let entries = there.iter().map(|(_, list)| list.entries).sum::<u64>()
                + fresh.iter().map(|list| list.entries).sum::<u64>();
            if there.len() + fresh.len() > MOST_LISTS || entries > MOST_ENTRIES {
                return Err(ApiError::new(
                    &errors::TOO_MANY_TRUST_STORE_REVOCATION_ENTRIES_EXCEPTION,
                    format!(
                        "A trust store can have '{MOST_LISTS}' revocation files with '{MOST_ENTRIES}' entries at most"
                    ),
                ));
            }
            let mut added = Vec::new();
            for list in &fresh {
                store.last_revocation += 1;
                let put = Revocation {
                    number: store.last_revocation,
                    pem: list.pem.clone(),
                    entries: list.entries,
                };
                tx.put(scope, &revocation_key(&store.key(), put.number), put.clone());
                added.push((put.number, put.entries));
            }
            tx.put(scope, &store.key(), store);
            Ok(added)
        })
        .await?;
    let shown = added.into_iter().map(|(number, entries)| elbv2::TrustStoreRevocation {
        trust_store_arn: Some(arn.clone()),
        revocation_id: Some(number),
        revocation_type: Some(elbv2::RevocationType::Crl),
        number_of_revoked_entries: i64::try_from(entries).ok(),
    });
    Ok(AddTrustStoreRevocationsOutput { trust_store_revocations: Some(shown.collect()) })
}

/// `RevocationIdNotFound`.
pub(super) fn no_such(store: &TrustStore, number: i64) -> ApiError {
    ApiError::new(
        &errors::REVOCATION_ID_NOT_FOUND_EXCEPTION,
        format!("Revocation '{number}' of trust store '{}' not found", store.name),
    )
}

pub async fn describe(
    call: Call,
    input: DescribeTrustStoreRevocationsInput,
) -> Result<DescribeTrustStoreRevocationsOutput, ApiError> {
    let scope = call.scope();
    let arn = input.trust_store_arn.unwrap_or_default();
    let view = call.services.state.view();
    let store = see(&view, scope, &arn)?;
    let mut all = lists(&view, scope, &store);
    let wanted = input.revocation_ids.unwrap_or_default();
    if let Some(unknown) = wanted.iter().find(|number| !all.iter().any(|list| list.number == **number)) {
        return Err(no_such(&store, *unknown));
    }
    if !wanted.is_empty() {
        all.retain(|list| wanted.contains(&list.number));
    }
    let list = format!("trust-store-revocations {}", store.key());
    let page = page(&call, &list, all, |one| format!("{:019}", one.number), input.marker, input.page_size)?;
    let shown = page.items.iter().map(|one| elbv2::DescribeTrustStoreRevocation {
        trust_store_arn: Some(arn.clone()),
        revocation_id: Some(one.number),
        revocation_type: Some(elbv2::RevocationType::Crl),
        number_of_revoked_entries: i64::try_from(one.entries).ok(),
    });
    Ok(DescribeTrustStoreRevocationsOutput {
        trust_store_revocations: Some(shown.collect()),
        next_marker: page.next_token,
    })
}

pub async fn remove(
    call: Call,
    input: RemoveTrustStoreRevocationsInput,
) -> Result<RemoveTrustStoreRevocationsOutput, ApiError> {
    let scope = call.scope();
    let arn = input.trust_store_arn.unwrap_or_default();
    let numbers = input.revocation_ids.unwrap_or_default();
    names::check_arn(&arn, "truststore")?;
    call.services
        .state
        .transact(|tx| {
            let store = get(tx, scope, &arn)?;
            for number in &numbers {
                let key = revocation_key(&store.key(), *number);
                tx.get::<Revocation>(scope, &key).ok_or_else(|| no_such(&store, *number))?;
                tx.delete::<Revocation>(scope, &key);
            }
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(RemoveTrustStoreRevocationsOutput {})
}
