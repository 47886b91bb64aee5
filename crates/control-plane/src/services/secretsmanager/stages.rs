//! Moving stages between versions by hand, as rotations do at their end.

use aws_shapes_secretsmanager::{UpdateSecretVersionStageRequest, UpdateSecretVersionStageResponse};

use super::{
    errors::invalid_parameter,
    names,
    records::{CURRENT, Secret},
    replication, rotation,
    values::Asker,
    writes::writable,
};
use crate::gateway::{ApiError, Call};

pub async fn update(
    call: Call,
    input: UpdateSecretVersionStageRequest,
) -> Result<UpdateSecretVersionStageResponse, ApiError> {
    let id = input.secret_id.unwrap_or_default();
    let stage = input.version_stage.unwrap_or_default();
    let (from, to) = (input.remove_from_version_id, input.move_to_version_id);
    let asker = Asker::of(&call);
    let found = call
        .services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), &id)?;
            writable(&found)?;
            let mut secret = Secret::clone(&found.secret);
            shift(&mut secret, &stage, from.as_deref(), to.as_deref())?;
            secret.changed_at = call.now();
            rotation::note_end(&mut secret, call.now());
            replication::follow(&call, tx, &found.scope, &secret, None, &asker)?;
            tx.put(&found.scope, &secret.name.clone(), secret);
            Ok::<_, ApiError>(found)
        })
        .await?;
    Ok(UpdateSecretVersionStageResponse { arn: Some(found.arn()), name: Some(found.secret.name.clone()) })
}

/// Takes `stage` from one version and gives it to another. Where it is now has to be named, so that nobody moves what has been moved
/// meanwhile.
///
/// # Errors
/// `InvalidParameterException`.
fn shift(secret: &mut Secret, stage: &str, from: Option<&str>, to: Option<&str>) -> Result<(), ApiError> {
    for version in [from, to].into_iter().flatten() {
        if !secret.versions.contains_key(version) {
            return Err(invalid_parameter(format!("Not a valid version: {version}")));
        }
    }
    let holder = secret.at(stage).map(|(id, _)| id.clone());
    match (&holder, from) {
        (Some(holder), None) if to != Some(holder.as_str()) => {
            return Err(invalid_parameter(format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {stage} is currently attached to version {holder}, so you must explicitly reference that version in RemoveFromVersionId."
            )));
        }
        (holder, Some(from)) if holder.as_deref() != Some(from) => {
            return Err(invalid_parameter(format!(
                "Not a valid version: {from}. Staging label {stage} is not attached to it."
            )));
        }
        _ => {}
    }
    match (from, to) {
        (_, Some(to)) => secret.attach(stage, to),
        (Some(_), None) if stage == CURRENT => {
            return Err(invalid_parameter(
                "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.",
            ));
        }
        (Some(from), None) => {
            if let Some(version) = secret.versions.get_mut(from) {
                version.stages.remove(stage);
            }
        }
        (None, None) => {
            return Err(invalid_parameter("Give MoveToVersionId, RemoveFromVersionId or both."));
        }
    }
    Ok(())
}
