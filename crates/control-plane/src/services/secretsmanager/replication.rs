//! Replicas: the same secret in other regions of the account, kept in step with the one it was made of.
//!
//! A replica is a secret of its region, under the same name and with the same end of its ARN, whose values are encrypted with a key of
//! that region. It is written with its primary, in the same transaction, and by nobody else.

use std::{collections::BTreeMap, sync::Arc};

use aws_shapes_secretsmanager::{
    RemoveRegionsFromReplicationRequest, RemoveRegionsFromReplicationResponse, ReplicaRegionType,
    ReplicateSecretToRegionsRequest, ReplicateSecretToRegionsResponse, ReplicationStatusType, StatusType,
    StopReplicationToReplicaRequest, StopReplicationToReplicaResponse,
};
use state_store::Tx;
use vocabulary::{Region, Scope};

use super::{
    deletion,
    errors::{invalid_parameter, invalid_request},
    names::{self, Found},
    records::{Replica, Secret, Version},
    values::{self, Asker, Plain},
    writes::writable,
};
use crate::gateway::{ApiError, Call};

/// Replicas of one secret; each is written whenever the secret is, in one transaction.
const MOST: usize = 10;

/// A version's id and value, where they are at hand.
type Known<'a> = Option<(&'a str, &'a Plain)>;

fn scope_in(scope: &Scope, region: &str) -> Result<Scope, ApiError> {
    let region: Region =
        region.parse().map_err(|_| invalid_parameter(format!("Invalid Region: {region}")))?;
    Ok(Scope::new(scope.account.clone(), region))
}

/// Begins to replicate `secret`, which the caller stores, to further regions.
///
/// # Errors
/// `InvalidParameterException`, `InvalidRequestException`, `EncryptionFailure`.
#[expect(clippy::too_many_arguments, reason = "what a replica is made of comes from everywhere")]
pub fn begin(
    call: &Call,
    tx: &mut Tx,
    scope: &Scope,
    secret: &mut Secret,
    regions: &[ReplicaRegionType],
    overwrite: bool,
    known: Known<'_>,
    asker: &Asker,
) -> Result<(), ApiError> {
    for wanted in regions {
        let region = wanted.region.clone().unwrap_or_default();
        let other = scope_in(scope, &region)?;
        if other.region == scope.region {
            return Err(invalid_parameter("Invalid replica region."));
        }
        if secret.replicas.len() >= MOST && !secret.replicas.contains_key(&region) {
            return Err(invalid_request(format!("A secret can have at most {MOST} replicas.")));
        }
        let kms_key = wanted.kms_key_id.clone().filter(|key| !key.is_empty());
        let there = tx.get::<Secret>(&other, &secret.name);
        let own = there.as_ref().is_some_and(|there| is_replica_of(there, scope, secret));
        let failure = match &there {
            Some(_) if !own && !overwrite => Some(format!(
                "Replication failed: Secret name {} already exists in region {region}.",
                secret.name
            )),
            Some(there) if !own => {
                deletion::remove(tx, &other, there);
                None
            }
            _ => None,
        };
        if failure.is_none() {
            let empty = Secret {
                kms_key: kms_key.clone(),
                versions: BTreeMap::new(),
                replica_of: Some(scope.region.to_string()),
                replicas: BTreeMap::new(),
                rotation: None,
                accessed_on: None,
                ..secret.clone()
            };
            write(call, tx, (scope, secret), (&other, empty), known, asker)?;
        }
        secret.replicas.insert(region, Replica { kms_key, failure });
    }
    Ok(())
}

fn is_replica_of(there: &Secret, scope: &Scope, secret: &Secret) -> bool {
    there.replica_of.as_deref() == Some(scope.region.as_str()) && there.suffix == secret.suffix
}

/// Brings every replica in step with `secret` as it is to be stored.
///
/// # Errors
/// `EncryptionFailure`, `DecryptionFailure`.
pub fn follow(
    call: &Call,
    tx: &mut Tx,
    scope: &Scope,
    secret: &Secret,
    known: Known<'_>,
    asker: &Asker,
) -> Result<(), ApiError> {
    let regions = secret.replicas.iter().filter(|(_, replica)| replica.failure.is_none());
    for region in regions.map(|(region, _)| region.clone()).collect::<Vec<_>>() {
        let other = scope_in(scope, &region)?;
        let there = tx.get::<Secret>(&other, &secret.name);
        let Some(there) = there.filter(|there| is_replica_of(there, scope, secret)) else { continue };
        write(call, tx, (scope, secret), (&other, Secret::clone(&there)), known, asker)?;
    }
    Ok(())
}

/// Writes a replica: what the primary has, and values of its own for versions that are new.
fn write(
    call: &Call,
    tx: &mut Tx,
    (scope, secret): (&Scope, &Secret),
    (other, earlier): (&Scope, Secret),
    known: Known<'_>,
    asker: &Asker,
) -> Result<(), ApiError> {
    let mut replica = Secret {
        description: secret.description.clone(),
        tags: secret.tags.clone(),
        policy: secret.policy.clone(),
        changed_at: secret.changed_at,
        rotated_at: secret.rotated_at,
        versions: BTreeMap::new(),
        ..earlier.clone()
    };
    for (id, version) in &secret.versions {
        let mut key_arn = earlier.versions.get(id).and_then(|held| held.key_arn.clone());
        if key_arn.is_none() {
            let at_hand = known.filter(|(known, _)| known == id).map(|(_, plain)| plain.clone());
            let plain = match at_hand {
                Some(plain) => Some(plain),
                None => {
                    let view = tx.view().clone();
                    values::open(&call.services, &view, scope, secret, id, asker)?
                }
            };
            if let Some(plain) = plain {
                key_arn = Some(values::put(&call.services, tx, other, &replica, id, &plain, asker)?);
            }
        }
        let accessed_on = earlier.versions.get(id).and_then(|held| held.accessed_on);
        replica.versions.insert(id.clone(), Version { key_arn, accessed_on, ..version.clone() });
    }
    for gone in earlier.versions.keys().filter(|id| !secret.versions.contains_key(*id)) {
        tx.delete::<super::records::SecretValue>(other, &super::records::value_id(&earlier, gone));
    }
    tx.put(other, &replica.name.clone(), replica);
    Ok(())
}

/// Replicas as the API shows them; none where there are none.
pub fn shown(secret: &Secret) -> Option<Vec<ReplicationStatusType>> {
    let status = |(region, replica): (&String, &Replica)| ReplicationStatusType {
        kms_key_id: Some(replica.kms_key.clone().unwrap_or_else(|| "alias/aws/secretsmanager".to_owned())),
        last_accessed_date: None,
        region: Some(region.clone()),
        status: Some(match replica.failure {
            None => StatusType::InSync,
            Some(_) => StatusType::Failed,
        }),
        status_message: Some(match &replica.failure {
            None => "Replication succeeded".to_owned(),
            Some(why) => why.clone(),
        }),
    };
    (!secret.replicas.is_empty()).then(|| secret.replicas.iter().map(status).collect())
}

pub async fn replicate(
    call: Call,
    input: ReplicateSecretToRegionsRequest,
) -> Result<ReplicateSecretToRegionsResponse, ApiError> {
    let (id, asker) = (input.secret_id.unwrap_or_default(), Asker::of(&call));
    let regions = input.add_replica_regions.unwrap_or_default();
    let overwrite = input.force_overwrite_replica_secret == Some(true);
    let found = call
        .services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), &id)?;
            writable(&found)?;
            let mut secret = Secret::clone(&found.secret);
            begin(&call, tx, &found.scope, &mut secret, &regions, overwrite, None, &asker)?;
            tx.put(&found.scope, &secret.name.clone(), secret.clone());
            Ok::<_, ApiError>(Found { secret: Arc::new(secret), ..found })
        })
        .await?;
    Ok(ReplicateSecretToRegionsResponse {
        arn: Some(found.arn()),
        replication_status: Some(shown(&found.secret).unwrap_or_default()),
    })
}

pub async fn remove_regions(
    call: Call,
    input: RemoveRegionsFromReplicationRequest,
) -> Result<RemoveRegionsFromReplicationResponse, ApiError> {
    let id = input.secret_id.unwrap_or_default();
    let regions = input.remove_replica_regions.unwrap_or_default();
    let found = call
        .services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), &id)?;
            writable(&found)?;
            let mut secret = Secret::clone(&found.secret);
            for region in &regions {
                let other = scope_in(&found.scope, region)?;
                let Some(replica) = secret.replicas.remove(region) else {
                    let message = format!("The secret is not replicated to {region}.");
                    return Err(invalid_parameter(message));
                };
                let there = tx.get::<Secret>(&other, &secret.name);
                if replica.failure.is_none()
                    && let Some(there) = there.filter(|there| is_replica_of(there, &found.scope, &secret))
                {
                    deletion::remove(tx, &other, &there);
                }
            }
            tx.put(&found.scope, &secret.name.clone(), secret.clone());
            Ok(Found { secret: Arc::new(secret), ..found })
        })
        .await?;
    Ok(RemoveRegionsFromReplicationResponse {
        arn: Some(found.arn()),
        replication_status: Some(shown(&found.secret).unwrap_or_default()),
    })
}

pub async fn stop(
    call: Call,
    input: StopReplicationToReplicaRequest,
) -> Result<StopReplicationToReplicaResponse, ApiError> {
    let id = input.secret_id.unwrap_or_default();
    let found = call
        .services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), &id)?;
            let Some(primary) = found.secret.replica_of.clone() else {
                return Err(invalid_request("The secret is not a replica."));
            };
            let secret = Secret { replica_of: None, ..Secret::clone(&found.secret) };
            tx.put(&found.scope, &secret.name.clone(), secret);
            let other = scope_in(&found.scope, &primary)?;
            if let Some(primary) = tx.get::<Secret>(&other, &found.secret.name) {
                let mut primary = Secret::clone(&primary);
                primary.replicas.remove(found.scope.region.as_str());
                tx.put(&other, &primary.name.clone(), primary);
            }
            Ok(found)
        })
        .await?;
    Ok(StopReplicationToReplicaResponse { arn: Some(found.arn()) })
}
