//! The API of trust stores themselves.

use std::sync::Arc;

use aws_shapes_elbv2 as elbv2;
use aws_shapes_elbv2::{
    CreateTrustStoreInput, CreateTrustStoreOutput, DeleteSharedTrustStoreAssociationInput,
    DeleteSharedTrustStoreAssociationOutput, DeleteTrustStoreInput, DeleteTrustStoreOutput,
    DescribeTrustStoreAssociationsInput, DescribeTrustStoreAssociationsOutput, DescribeTrustStoresInput,
    DescribeTrustStoresOutput, GetResourcePolicyInput, GetResourcePolicyOutput, ModifyTrustStoreInput,
    ModifyTrustStoreOutput, errors,
};
use state_store::View;
use vocabulary::{Ids, Scope};

use super::{
    content, get, lists, material,
    records::{Revocation, TrustStore},
    see,
};
use crate::{
    gateway::{ApiError, Call},
    services::elbv2::{
        errors::{trust_store_not_found, validation},
        names, page,
        records::{Listener, load_balancer_arn},
        tags,
    },
};

/// In a region.
pub const MOST_TRUST_STORES: usize = 20;

/// As the API shows it.
fn shape(view: &View, scope: &Scope, store: &TrustStore) -> elbv2::TrustStore {
    let revoked: u64 = lists(view, scope, store).iter().map(|list| list.entries).sum();
    elbv2::TrustStore {
        name: Some(store.name.clone()),
        trust_store_arn: Some(store.arn(scope)),
        status: Some(elbv2::TrustStoreStatus::Active),
        number_of_ca_certificates: i32::try_from(store.authorities).ok(),
        total_revoked_entries: i64::try_from(revoked).ok(),
    }
}

async fn checked(
    call: &Call,
    bucket: Option<String>,
    key: Option<String>,
    version: Option<String>,
) -> Result<material::Bundle, ApiError> {
    let missing = || {
        ApiError::new(
            &errors::CA_CERTIFICATES_BUNDLE_NOT_FOUND_EXCEPTION,
            "The specified CA certificates bundle does not exist",
        )
    };
    let place = content::Place { bucket, key, version };
    let found = content::read(call, &place).await.map_err(|error| match error.status {
        404 => missing(),
        _ => error,
    })?;
    material::bundle(&found)
        .map_err(|why| ApiError::new(&errors::INVALID_CA_CERTIFICATES_BUNDLE_EXCEPTION, why))
}

pub async fn create(call: Call, input: CreateTrustStoreInput) -> Result<CreateTrustStoreOutput, ApiError> {
    let scope = call.scope();
    let name = input.name.unwrap_or_default();
    let tags = tags::given(input.tags)?;
    let bundle = checked(
        &call,
        input.ca_certificates_bundle_s3_bucket,
        input.ca_certificates_bundle_s3_key,
        input.ca_certificates_bundle_s3_object_version,
    )
    .await?;
    let made = call
        .services
        .state
        .transact(|tx| {
            if !tx.by_index::<TrustStore>(scope, "name", &name).is_empty() {
                return Err(ApiError::new(
                    &errors::DUPLICATE_TRUST_STORE_NAME_EXCEPTION,
                    format!("A trust store with the name '{name}' already exists"),
                ));
            }
            if tx.scan::<TrustStore>(scope).len() >= MOST_TRUST_STORES {
                return Err(ApiError::new(
                    &errors::TOO_MANY_TRUST_STORES_EXCEPTION,
                    format!("The maximum number of trust stores '{MOST_TRUST_STORES}' has been reached"),
                ));
            }
            let made = TrustStore {
                name: name.clone(),
                id: call.services.ids().hex(16),
                authorities_pem: bundle.pem.clone(),
                authorities: bundle.authorities,
                last_revocation: 0,
                created_at: call.now(),
                tags: tags.clone(),
            };
            tx.put(scope, &made.key(), made.clone());
            Ok(made)
        })
        .await?;
    let shown = shape(&call.services.state.view(), scope, &made);
    Ok(CreateTrustStoreOutput { trust_stores: Some(vec![shown]) })
}

pub async fn modify(call: Call, input: ModifyTrustStoreInput) -> Result<ModifyTrustStoreOutput, ApiError> {
    let scope = call.scope();
    let arn = input.trust_store_arn.unwrap_or_default();
    call.services.state.read(|view| see(view, scope, &arn).map(drop))?;
    let bundle = checked(
        &call,
        input.ca_certificates_bundle_s3_bucket,
        input.ca_certificates_bundle_s3_key,
        input.ca_certificates_bundle_s3_object_version,
    )
    .await?;
    let changed = call
        .services
        .state
        .transact(|tx| {
            let before = get(tx, scope, &arn)?;
            let changed = TrustStore {
                authorities_pem: bundle.pem.clone(),
                authorities: bundle.authorities,
                ..(*before).clone()
            };
            tx.put(scope, &changed.key(), changed.clone());
            Ok::<_, ApiError>(changed)
        })
        .await?;
    let shown = shape(&call.services.state.view(), scope, &changed);
    Ok(ModifyTrustStoreOutput { trust_stores: Some(vec![shown]) })
}

pub async fn describe(
    call: Call,
    input: DescribeTrustStoresInput,
) -> Result<DescribeTrustStoresOutput, ApiError> {
    let scope = call.scope();
    let view = call.services.state.view();
    let (arns, names) = (input.trust_store_arns.unwrap_or_default(), input.names.unwrap_or_default());
    if !arns.is_empty() && !names.is_empty() {
        return Err(validation("Trust store ARNs and names cannot be specified at the same time"));
    }
    let mut found: Vec<Arc<TrustStore>> = if !arns.is_empty() {
        arns.iter().map(|arn| see(&view, scope, arn)).collect::<Result<_, _>>()?
    } else if !names.is_empty() {
        let by_name = |name: &String| {
            let found = view.by_index::<TrustStore>(scope, "name", name).next();
            found.map(|(_, one)| one).ok_or_else(|| trust_store_not_found(name))
        };
        names.iter().map(by_name).collect::<Result<_, _>>()?
    } else {
        view.scan::<TrustStore>(scope).map(|(_, one)| one).collect()
    };
    found.sort_by_key(|one| one.key());
    found.dedup_by_key(|one| one.key());
    let page = page(&call, "trust-stores", found, |one| one.key(), input.marker, input.page_size)?;
    Ok(DescribeTrustStoresOutput {
        trust_stores: Some(page.items.iter().map(|one| shape(&view, scope, one)).collect()),
        next_marker: page.next_token,
    })
}

pub async fn delete(call: Call, input: DeleteTrustStoreInput) -> Result<DeleteTrustStoreOutput, ApiError> {
    let scope = call.scope();
    let arn = input.trust_store_arn.unwrap_or_default();
    names::check_arn(&arn, "truststore")?;
    call.services
        .state
        .transact(|tx| {
            let store = get(tx, scope, &arn)?;
            if !tx.by_index::<Listener>(scope, "trust-store", &arn).is_empty() {
                return Err(ApiError::new(
                    &errors::TRUST_STORE_IN_USE_EXCEPTION,
                    format!("Trust store '{arn}' is currently in use by a listener"),
                ));
            }
            let lists = tx.scan_prefix::<Revocation>(scope, &format!("{}/", store.key()));
            for (key, _) in lists {
                tx.delete::<Revocation>(scope, &key);
            }
            tx.delete::<TrustStore>(scope, &store.key());
            Ok(())
        })
        .await?;
    Ok(DeleteTrustStoreOutput {})
}

/// ARNs of the load balancers whose listeners verify by it.
fn users(view: &View, scope: &Scope, arn: &str) -> Vec<String> {
    let listeners = view.by_index::<Listener>(scope, "trust-store", arn);
    let mut all: Vec<String> =
        listeners.map(|(_, listener)| load_balancer_arn(scope, &listener.load_balancer)).collect();
    all.sort();
    all.dedup();
    all
}

pub async fn associations(
    call: Call,
    input: DescribeTrustStoreAssociationsInput,
) -> Result<DescribeTrustStoreAssociationsOutput, ApiError> {
    let scope = call.scope();
    let arn = input.trust_store_arn.unwrap_or_default();
    let view = call.services.state.view();
    let store = see(&view, scope, &arn)?;
    let list = format!("trust-store-associations {}", store.key());
    let page = page(&call, &list, users(&view, scope, &arn), String::clone, input.marker, input.page_size)?;
    let shown = page.items.into_iter().map(|arn| elbv2::TrustStoreAssociation { resource_arn: Some(arn) });
    Ok(DescribeTrustStoreAssociationsOutput {
        trust_store_associations: Some(shown.collect()),
        next_marker: page.next_token,
    })
}

/// Ends a use by another account, of which there is never one.
pub async fn delete_shared_association(
    call: Call,
    input: DeleteSharedTrustStoreAssociationInput,
) -> Result<DeleteSharedTrustStoreAssociationOutput, ApiError> {
    let scope = call.scope();
    let arn = input.trust_store_arn.unwrap_or_default();
    let resource = input.resource_arn.unwrap_or_default();
    let view = call.services.state.view();
    see(&view, scope, &arn)?;
    let table = if users(&view, scope, &arn).contains(&resource) {
        (
            &errors::DELETE_ASSOCIATION_SAME_ACCOUNT_EXCEPTION,
            format!("The association of '{resource}' with '{arn}' is within the same account"),
        )
    } else {
        (
            &errors::TRUST_STORE_ASSOCIATION_NOT_FOUND_EXCEPTION,
            format!("No association of '{resource}' with '{arn}' was found"),
        )
    };
    Err(ApiError::new(table.0, table.1))
}

/// The policy that sharing a trust store with other accounts gives it: there is no sharing, so none has one.
pub async fn resource_policy(
    call: Call,
    input: GetResourcePolicyInput,
) -> Result<GetResourcePolicyOutput, ApiError> {
    let arn = input.resource_arn.unwrap_or_default();
    call.services.state.read(|view| see(view, call.scope(), &arn).map(drop)).map_err(|error| match error
        .code
        .as_ref()
    {
        "TrustStoreNotFound" => not_shared(&arn),
        _ => error,
    })?;
    Err(not_shared(&arn))
}

fn not_shared(arn: &str) -> ApiError {
    ApiError::new(&errors::RESOURCE_NOT_FOUND_EXCEPTION, format!("No resource policy was found for '{arn}'"))
}
