//! What time does to keys: those whose waiting period is over are gone, and others get new material.

use state_store::View;
use vocabulary::{Scope, Timestamp};

use super::{
    records::{Alias, Grant, Key, State},
    rotation,
};
use crate::{gateway::ApiError, services::Services};

/// Records removed in one transaction.
const BATCH: usize = 50;

/// Does what is due.
///
/// # Errors
/// Those of the store.
pub async fn run(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    rotation::rotate_due(services, now).await?;
    let over = |key: &Key| matches!(key.state, State::PendingDeletion { at, .. } if at <= now);
    let keys: Vec<(Scope, String)> = services.state.read(|view| {
        let keys = view.scan_all::<Key>().filter(|found| over(&found.value));
        keys.map(|found| (found.scope, found.id)).collect()
    });
    for (scope, id) in keys {
        while !delete(services, &scope, &id, over).await? {}
    }
    Ok(())
}

/// Removes grants and aliases first; true when the key itself is gone as well.
async fn delete(
    services: &Services,
    scope: &Scope,
    id: &str,
    over: impl Fn(&Key) -> bool,
) -> Result<bool, ApiError> {
    services
        .state
        .transact(|tx| {
            if tx.get::<Key>(scope, id).is_none_or(|key| !over(&key)) {
                return Ok(true);
            }
            let view: View = tx.view().clone();
            let grants: Vec<&str> =
                view.scan_prefix::<Grant>(scope, &format!("{id}/")).map(|(id, _)| id).take(BATCH).collect();
            let aliases: Vec<&str> =
                view.by_index::<Alias>(scope, "key", id).map(|(name, _)| name).take(BATCH).collect();
            grants.iter().for_each(|grant| drop(tx.delete::<Grant>(scope, grant)));
            aliases.iter().for_each(|alias| drop(tx.delete::<Alias>(scope, alias)));
            let last = grants.len() < BATCH && aliases.len() < BATCH;
            if last {
                tx.delete::<Key>(scope, id);
            }
            Ok(last)
        })
        .await
}
