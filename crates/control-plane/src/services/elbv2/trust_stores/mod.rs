//! Trust stores: authorities that vouch for the clients of listeners with mutual TLS, and lists of certificates that they took back.
//!
//! Bundle and lists come from S3, are checked, and are kept here: what becomes of the object later does not matter, as on AWS. A trust store is
//! ready at once. Nothing is shared between accounts, so an association of another account never exists.

mod calls;
mod content;
mod material;
pub mod records;
mod revocations;

pub use calls::{
    MOST_TRUST_STORES, associations, create, delete, delete_shared_association, describe, modify,
    resource_policy,
};
pub use content::{PATH as CONTENT_PATH, bundle, fetch, revocation_content};
pub use revocations::{
    add as add_revocations, describe as describe_revocations, remove as remove_revocations,
};

use std::sync::Arc;

use routing::config;
use state_store::{Tx, View};
use vocabulary::Scope;

use super::{arns, errors::trust_store_not_found, names};
use crate::gateway::ApiError;
use records::{Revocation, TrustStore};

/// The trust store with this ARN, in a transaction.
///
/// # Errors
/// `TrustStoreNotFound`.
pub fn get(tx: &mut Tx, scope: &Scope, arn: &str) -> Result<Arc<TrustStore>, ApiError> {
    let found = arns::key(scope, arn, "truststore").and_then(|key| tx.get::<TrustStore>(scope, key));
    found.ok_or_else(|| trust_store_not_found(arn))
}

/// As [`get`], to look at.
///
/// # Errors
/// `TrustStoreNotFound`; `ValidationError` for what is no ARN of a trust store.
pub fn see(view: &View, scope: &Scope, arn: &str) -> Result<Arc<TrustStore>, ApiError> {
    names::check_arn(arn, "truststore")?;
    let found = arns::key(scope, arn, "truststore").and_then(|key| view.get::<TrustStore>(scope, key));
    found.ok_or_else(|| trust_store_not_found(arn))
}

/// The lists of a trust store, with their numbers.
fn lists(view: &View, scope: &Scope, store: &TrustStore) -> Vec<Arc<Revocation>> {
    view.scan_prefix::<Revocation>(scope, &format!("{}/", store.key())).map(|(_, list)| list).collect()
}

/// As the data plane has it; `None` once it is gone.
pub fn for_listener(view: &View, scope: &Scope, arn: &str) -> Option<config::TrustStore> {
    let found = view.get::<TrustStore>(scope, arns::key(scope, arn, "truststore")?)?;
    Some(config::TrustStore {
        arn: arn.to_owned(),
        authorities_pem: found.authorities_pem.clone(),
        revocations_pem: lists(view, scope, &found).iter().map(|list| list.pem.clone()).collect(),
        ignore_expiry: false,
        advertise: false,
    })
}
