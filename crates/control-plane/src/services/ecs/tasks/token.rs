//! Client tokens: a RunTask that is repeated answers what the first one did.

use aws_shapes_ecs::{RunTaskRequest, errors};
use sha2::{Digest, Sha256};
use state_store::Tx;
use vocabulary::Scope;

use crate::{
    convert::AwsJson,
    gateway::ApiError,
    services::ecs::records::{ClientToken, Task},
};

/// The id of a token's record: tokens count within their cluster.
pub fn key(cluster: &str, token: &str) -> String {
    format!("run-task/{cluster}/{}", hex::encode(Sha256::digest(token)))
}

/// What tells two requests with the same token apart.
pub fn digest(input: &RunTaskRequest) -> String {
    let mut plain = input.clone();
    plain.client_token = None;
    hex::encode(Sha256::digest(AwsJson(plain).json()))
}

/// The tasks that an earlier call with the same token started.
///
/// # Errors
/// `ConflictException` when that call was another one.
pub fn repeated(
    tx: &mut Tx,
    scope: &Scope,
    cluster: &str,
    token: &str,
    request_digest: &str,
) -> Result<Option<Vec<Task>>, ApiError> {
    let Some(earlier) = tx.get::<ClientToken>(scope, &key(cluster, token)) else { return Ok(None) };
    if earlier.request_digest != request_digest {
        return Err(ApiError::new(
            &errors::CONFLICT_EXCEPTION,
            "The request used a client token that an earlier request with other parameters used.",
        ));
    }
    let tasks =
        earlier.tasks.iter().filter_map(|key| tx.view().get::<Task>(scope, key)).map(|task| (*task).clone());
    Ok(Some(tasks.collect()))
}
