//! Deleting secrets: after a window in which they can be taken back, or at once.

use std::time::Duration;

use aws_shapes_secretsmanager::{
    DeleteSecretRequest, DeleteSecretResponse, RestoreSecretRequest, RestoreSecretResponse,
};
use state_store::Tx;
use vocabulary::{Scope, Timestamp};

use super::{
    errors::{invalid_parameter, invalid_request, of_a_replica},
    names::{self, Found},
    records::{Deletion, Secret, SecretValue, value_id},
};
use crate::{
    convert::time,
    gateway::{ApiError, Call},
    services::Services,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_WINDOW_DAYS: u32 = 30;

/// Removes a secret with its values.
pub fn remove(tx: &mut Tx, scope: &Scope, secret: &Secret) {
    for id in secret.versions.keys() {
        tx.delete::<SecretValue>(scope, &value_id(secret, id));
    }
    tx.delete::<Secret>(scope, &secret.name);
}

fn window(input: &DeleteSecretRequest) -> Result<Option<Duration>, ApiError> {
    let force = input.force_delete_without_recovery == Some(true);
    match (force, input.recovery_window_in_days) {
        (true, Some(_)) => Err(invalid_parameter(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        )),
        (true, None) => Ok(None),
        (false, None) => Ok(Some(DAY * DEFAULT_WINDOW_DAYS)),
        (false, Some(days @ 7..=30)) => Ok(Some(DAY * u32::try_from(days).unwrap_or(DEFAULT_WINDOW_DAYS))),
        (false, Some(_)) => Err(invalid_parameter(
            "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).",
        )),
    }
}

pub async fn delete(call: Call, input: DeleteSecretRequest) -> Result<DeleteSecretResponse, ApiError> {
    let window = window(&input)?;
    let id = input.secret_id.unwrap_or_default();
    let at = call.now() + window.unwrap_or_default();
    let outcome = call
        .services
        .state
        .transact(|tx| {
            let found = match names::get(tx, call.scope(), &id) {
                Ok(found) => found,
                // To force what is not there to go is no mistake.
                Err(_) if window.is_none() && !id.starts_with("arn:") => return Ok(None),
                Err(error) => return Err(error),
            };
            deletable(&found, window.is_none())?;
            if window.is_none() {
                remove(tx, &found.scope, &found.secret);
            } else {
                let deletion = Some(Deletion { marked_at: call.now(), at });
                let secret = Secret { deletion, ..Secret::clone(&found.secret) };
                tx.put(&found.scope, &secret.name.clone(), secret);
            }
            Ok(Some(found))
        })
        .await?;
    let (arn, name) = match outcome {
        Some(found) => (found.arn(), found.secret.name.clone()),
        None => (super::records::arn(call.scope(), &id, &names::suffix(&call)), id),
    };
    Ok(DeleteSecretResponse { arn: Some(arn), deletion_date: Some(time(at)), name: Some(name) })
}

fn deletable(found: &Found, force: bool) -> Result<(), ApiError> {
    let secret = &found.secret;
    if secret.deletion.is_some() && !force {
        return Err(invalid_request(
            "You tried to perform the operation on a secret that's currently marked deleted.",
        ));
    }
    if secret.replica_of.is_some() {
        return Err(of_a_replica());
    }
    let regions: Vec<&str> = secret
        .replicas
        .iter()
        .filter(|(_, one)| one.failure.is_none())
        .map(|(region, _)| region.as_str())
        .collect();
    if regions.is_empty() {
        return Ok(());
    }
    Err(invalid_request(format!(
        "You can't delete secret {} that still has replica regions [{}]",
        secret.name,
        regions.join(", ")
    )))
}

pub async fn restore(call: Call, input: RestoreSecretRequest) -> Result<RestoreSecretResponse, ApiError> {
    let id = input.secret_id.unwrap_or_default();
    let found = call
        .services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), &id)?;
            if found.secret.deletion.is_some() {
                let secret = Secret { deletion: None, ..Secret::clone(&found.secret) };
                tx.put(&found.scope, &secret.name.clone(), secret);
            }
            Ok::<_, ApiError>(found)
        })
        .await?;
    Ok(RestoreSecretResponse { arn: Some(found.arn()), name: Some(found.secret.name.clone()) })
}

/// Removes the secrets whose window is over.
///
/// # Errors
/// Those of the store.
pub async fn purge(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    let over = |secret: &Secret| secret.deletion.is_some_and(|deletion| deletion.at <= now);
    let due: Vec<(Scope, String)> = services.state.read(|view| {
        let all = view.scan_all::<Secret>().filter(|found| over(&found.value));
        all.map(|found| (found.scope, found.id)).collect()
    });
    for (scope, name) in due {
        services
            .state
            .transact(|tx| {
                if let Some(secret) = tx.get::<Secret>(&scope, &name).filter(|secret| over(secret)) {
                    remove(tx, &scope, &secret);
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(())
}
