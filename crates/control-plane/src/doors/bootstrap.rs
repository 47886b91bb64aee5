//! The first key of a strict door: an access key of the account's root, made at the first start.
//!
//! It is a key like those that `iam create-access-key` makes for a root that names no user: kept sealed in the store, listed, switched
//! off and deleted by the same calls. While the root has a key, none is made. Deleting all of them and starting anew gives a fresh one.

use std::sync::Arc;

use aws_shapes_iam::CreateAccessKeyRequest;
use vocabulary::{AccountId, Ids, Scope};

use crate::{
    gateway::{ApiError, Call, Context, Principal},
    services::{
        Services,
        ec2::records::global,
        iam::{
            access_keys::{self, AccessKey},
            keys,
        },
    },
};

/// A key of the account's root.
#[derive(Clone, PartialEq, Eq)]
pub struct RootKey {
    pub access_key: String,
    pub secret: String,
    /// Whether it was made just now.
    pub is_new: bool,
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootKey").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// The key of an account's root: the oldest that signs, or a new one where the root has none at all. None where all its keys are switched off, which is
/// the operator's doing.
///
/// # Errors
/// Those of the store.
pub async fn root_key(services: &Arc<Services>, account: &AccountId) -> Result<Option<RootKey>, ApiError> {
    let view = services.state.view();
    let mut held: Vec<_> = view
        .by_index::<AccessKey>(&global(), "owner", account.as_str())
        .filter(|(_, key)| !key.is_temporary())
        .map(|(id, key)| (key.created_at, id.to_owned()))
        .collect();
    held.sort();
    if held.is_empty() {
        let context = Context {
            scope: Scope::new(account.clone(), services.settings.region.clone()),
            principal: Principal::root(account, ""),
            request_id: services.ids().uuid(),
            now: services.now(),
            host: services.settings.public_name.clone(),
            origin: Default::default(),
        };
        let call = Call { services: Arc::clone(services), context: Arc::new(context) };
        let made = keys::create(call, CreateAccessKeyRequest::default()).await?.access_key;
        let made = made.and_then(|made| made.access_key_id.zip(made.secret_access_key));
        return Ok(made.map(|(access_key, secret)| RootKey { access_key, secret, is_new: true }));
    }
    let signing = held
        .into_iter()
        .find_map(|(_, id)| access_keys::find(services, &id, services.now()).map(|key| (id, key)));
    Ok(signing.map(|(access_key, key)| RootKey { access_key, secret: key.secret, is_new: false }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::testing::Fixture;

    #[tokio::test]
    async fn the_root_has_one_key_until_it_is_deleted() {
        let fixture = Fixture::new().await;
        let first = root_key(&fixture.services, &AccountId::local()).await.unwrap().unwrap();
        assert!(first.is_new && first.access_key.starts_with("AKIA"));
        let again = root_key(&fixture.services, &AccountId::local()).await.unwrap().unwrap();
        assert_eq!((again.is_new, &again.secret), (false, &first.secret));
        let update = |status| aws_shapes_iam::UpdateAccessKeyRequest {
            access_key_id: Some(first.access_key.clone()),
            status: Some(status),
            ..Default::default()
        };
        keys::update(fixture.call(), update(aws_shapes_iam::StatusType::Inactive)).await.unwrap();
        assert_eq!(root_key(&fixture.services, &AccountId::local()).await.unwrap(), None);
        let delete = aws_shapes_iam::DeleteAccessKeyRequest {
            access_key_id: Some(first.access_key.clone()),
            ..Default::default()
        };
        keys::delete(fixture.call(), delete).await.unwrap();
        let next = root_key(&fixture.services, &AccountId::local()).await.unwrap().unwrap();
        assert_ne!(next.access_key, first.access_key);
        assert!(!format!("{next:?}").contains(&next.secret));
    }

    #[tokio::test]
    async fn every_account_has_a_root_of_its_own() {
        let fixture = Fixture::new().await;
        let other: AccountId = "111122223333".parse().unwrap();
        let first = root_key(&fixture.services, &AccountId::local()).await.unwrap().unwrap();
        let second = root_key(&fixture.services, &other).await.unwrap().unwrap();
        assert!(second.is_new && second.access_key != first.access_key);
        let found = access_keys::find(&fixture.services, &second.access_key, fixture.services.now()).unwrap();
        assert_eq!(found.principal.arn, "arn:aws:iam::111122223333:root");
        let again = root_key(&fixture.services, &other).await.unwrap().unwrap();
        assert_eq!((again.is_new, again.secret), (false, second.secret));
    }
}
