//! Making secrets, and giving them new values.

use aws_shapes_secretsmanager::{
    CreateSecretRequest, CreateSecretResponse, PutSecretValueRequest, PutSecretValueResponse,
    UpdateSecretRequest, UpdateSecretResponse,
};
use state_store::Tx;
use vocabulary::{Ids, Scope, Timestamp};

use super::{
    errors::{exists, invalid_parameter, invalid_request, limit, marked_for_deletion, of_a_replica},
    names::{self, Found},
    records::{CURRENT, PENDING, PREVIOUS, Secret, SecretValue, Version, value_id},
    replication, tags,
    values::{self, Asker, Plain},
};
use crate::gateway::{ApiError, Call};

/// Secrets of an account in a region; AWS allows fifty times as many.
const MOST_SECRETS: usize = 10_000;
/// Versions of a secret. Those without a stage make room for new ones.
const MOST_VERSIONS: usize = 100;
/// Stages of one version, as on AWS.
const MOST_STAGES: usize = 20;

/// The value in a request.
fn plain(text: Option<String>, binary: Option<Vec<u8>>) -> Result<Option<Plain>, ApiError> {
    match (text, binary) {
        (Some(_), Some(_)) => Err(invalid_parameter(
            "You can't specify both a binary secret value and a string secret value in the same secret.",
        )),
        (Some(text), None) => Ok(Some(Plain::Text(text))),
        (None, Some(bytes)) => Ok(Some(Plain::Binary(bytes))),
        (None, None) => Ok(None),
    }
}

/// Secrets of other companies' making, which AWS rotates for them.
fn no_type(given: Option<&str>) -> Result<(), ApiError> {
    match given {
        None | Some("") => Ok(()),
        Some(_) => Err(invalid_parameter("Managed external secrets (Type) are not supported.")),
    }
}

/// A new version's id: the client's own, so that a repeated request makes no second one.
fn version_id(call: &Call, token: Option<String>) -> String {
    token.unwrap_or_else(|| call.services.ids().uuid())
}

/// Whoever may write the secret: not of a replica, and not of one that is to be deleted.
pub fn writable(found: &Found) -> Result<(), ApiError> {
    if found.secret.deletion.is_some() {
        return Err(marked_for_deletion());
    }
    if found.secret.replica_of.is_some() { Err(of_a_replica()) } else { Ok(()) }
}

/// A version to be.
#[derive(Debug)]
pub struct Fresh<'a> {
    pub id: &'a str,
    pub plain: &'a Plain,
    pub stages: &'a [String],
    pub now: Timestamp,
}

/// Whether the request was answered before: a version of this id with the same value.
///
/// # Errors
/// `ResourceExistsException` when the version has another value.
fn known(call: &Call, tx: &Tx, found: &Found, fresh: &Fresh<'_>, asker: &Asker) -> Result<bool, ApiError> {
    if !found.secret.versions.contains_key(fresh.id) {
        return Ok(false);
    }
    let (services, view) = (&call.services, tx.view());
    match values::open(services, view, &found.scope, &found.secret, fresh.id, asker)? {
        // A rotation has made room for it.
        None => Ok(false),
        Some(there) if there == *fresh.plain => Ok(true),
        Some(_) => Err(exists(format!(
            "You can't use ClientRequestToken {} because that value is already in use for a version of secret {}.",
            fresh.id,
            found.arn()
        ))),
    }
}

/// Gives a secret a version; the caller stores the secret.
fn add(
    call: &Call,
    tx: &mut Tx,
    scope: &Scope,
    secret: &mut Secret,
    fresh: &Fresh<'_>,
    asker: &Asker,
) -> Result<(), ApiError> {
    let key_arn = values::put(&call.services, tx, scope, secret, fresh.id, fresh.plain, asker)?;
    let version = Version {
        created_at: fresh.now,
        stages: secret.versions.get(fresh.id).map(|known| known.stages.clone()).unwrap_or_default(),
        key_arn: Some(key_arn),
        accessed_on: None,
    };
    secret.versions.insert(fresh.id.to_owned(), version);
    // The first has to be the current one.
    let first = secret.at(CURRENT).is_none().then_some(CURRENT);
    for stage in fresh.stages.iter().map(String::as_str).chain(first) {
        secret.attach(stage, fresh.id);
    }
    secret.changed_at = fresh.now;
    while secret.versions.len() > MOST_VERSIONS {
        let unused = secret.versions.iter().filter(|(_, version)| version.stages.is_empty());
        let oldest = unused.min_by_key(|(_, version)| version.created_at).map(|(id, _)| id.clone());
        let Some(oldest) = oldest else {
            return Err(limit(format!("A secret can have at most {MOST_VERSIONS} versions.")));
        };
        secret.versions.remove(&oldest);
        tx.delete::<SecretValue>(scope, &value_id(secret, &oldest));
    }
    Ok(())
}

pub async fn create(call: Call, input: CreateSecretRequest) -> Result<CreateSecretResponse, ApiError> {
    let name = input.name.unwrap_or_default();
    names::check(&name)?;
    no_type(input.r#type.as_deref())?;
    if input.cross_account_primary_arn.is_some() {
        return Err(invalid_parameter("Replicas of other accounts' secrets are not supported."));
    }
    let tags = tags::given(input.tags)?;
    let plain = plain(input.secret_string, input.secret_binary)?;
    let regions = input.add_replica_regions.unwrap_or_default();
    let overwrite = input.force_overwrite_replica_secret == Some(true);
    let (id, suffix) = (version_id(&call, input.client_request_token), names::suffix(&call));
    let (scope, now, asker) = (call.scope(), call.now(), Asker::of(&call));
    let stages = [CURRENT.to_owned()];
    let (made, version_id) = call
        .services
        .state
        .transact(|tx| {
            let fresh = plain.as_ref().map(|plain| Fresh { id: &id, plain, stages: &stages, now });
            if let Some(there) = tx.get::<Secret>(scope, &name) {
                let found = Found { scope: scope.clone(), secret: there };
                return again(&call, tx, found, fresh.as_ref(), &asker);
            }
            if tx.view().scan::<Secret>(scope).take(MOST_SECRETS).count() == MOST_SECRETS {
                return Err(limit(format!("The limit of {MOST_SECRETS} secrets has been reached.")));
            }
            let mut secret = Secret {
                name: name.clone(),
                suffix: suffix.clone(),
                description: input.description.clone(),
                kms_key: input.kms_key_id.clone().filter(|key| !key.is_empty()),
                created_at: now,
                changed_at: now,
                accessed_on: None,
                rotated_at: None,
                deletion: None,
                policy: None,
                rotation: None,
                versions: Default::default(),
                replicas: Default::default(),
                replica_of: None,
                tags: tags.clone(),
            };
            if let Some(fresh) = &fresh {
                add(&call, tx, scope, &mut secret, fresh, &asker)?;
            }
            let known = fresh.as_ref().map(|fresh| (fresh.id, fresh.plain));
            replication::begin(&call, tx, scope, &mut secret, &regions, overwrite, known, &asker)?;
            tx.put(scope, &name, secret.clone());
            Ok((
                Found { scope: scope.clone(), secret: secret.into() },
                fresh.map(|fresh| fresh.id.to_owned()),
            ))
        })
        .await?;
    Ok(CreateSecretResponse {
        arn: Some(made.arn()),
        name: Some(name),
        replication_status: replication::shown(&made.secret),
        version_id,
    })
}

/// The answer to a request whose secret is there: the same again, if it is a repetition.
fn again(
    call: &Call,
    tx: &Tx,
    found: Found,
    fresh: Option<&Fresh<'_>>,
    asker: &Asker,
) -> Result<(Found, Option<String>), ApiError> {
    if found.secret.deletion.is_some() {
        return Err(invalid_request(
            "You can't create this secret because a secret with this name is already scheduled for deletion.",
        ));
    }
    if let Some(fresh) = fresh
        && known(call, tx, &found, fresh, asker)?
    {
        return Ok((found, Some(fresh.id.to_owned())));
    }
    Err(exists(format!("The operation failed because the secret {} already exists.", found.secret.name)))
}

pub async fn put(call: Call, input: PutSecretValueRequest) -> Result<PutSecretValueResponse, ApiError> {
    if input.rotation_token.is_some() {
        return Err(invalid_parameter("The RotationToken is not one that was given out."));
    }
    let plain = plain(input.secret_string, input.secret_binary)?
        .ok_or_else(|| invalid_request("You must provide either SecretString or SecretBinary."))?;
    let id = version_id(&call, input.client_request_token);
    let stages = input.version_stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
    if stages.len() > MOST_STAGES {
        return Err(limit(format!("A version can have at most {MOST_STAGES} staging labels.")));
    }
    let secret_id = input.secret_id.unwrap_or_default();
    let found =
        store(&call, &secret_id, &Fresh { id: &id, plain: &plain, stages: &stages, now: call.now() }, |_| {
            Ok(())
        })
        .await?;
    let held = found.secret.versions.get(&id).map(|version| version.stages.iter().cloned().collect());
    Ok(PutSecretValueResponse {
        arn: Some(found.arn()),
        name: Some(found.secret.name.clone()),
        version_id: Some(id),
        version_stages: held,
    })
}

/// Gives the secret that `secret_id` names a version, after `change`.
async fn store(
    call: &Call,
    secret_id: &str,
    fresh: &Fresh<'_>,
    change: impl Fn(&mut Secret) -> Result<(), ApiError>,
) -> Result<Found, ApiError> {
    let asker = Asker::of(call);
    call.services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), secret_id)?;
            writable(&found)?;
            if known(call, tx, &found, fresh, &asker)? {
                return Ok(found);
            }
            let mut secret = changed(call, tx, &found, &change, &asker)?;
            add(call, tx, &found.scope, &mut secret, fresh, &asker)?;
            replication::follow(call, tx, &found.scope, &secret, Some((fresh.id, fresh.plain)), &asker)?;
            tx.put(&found.scope, &secret.name.clone(), secret.clone());
            Ok(Found { secret: secret.into(), ..found })
        })
        .await
}

pub async fn update(call: Call, input: UpdateSecretRequest) -> Result<UpdateSecretResponse, ApiError> {
    no_type(input.r#type.as_deref())?;
    let plain = plain(input.secret_string, input.secret_binary)?;
    let id = version_id(&call, input.client_request_token);
    let secret_id = input.secret_id.unwrap_or_default();
    let change = |secret: &mut Secret| {
        if let Some(description) = &input.description {
            secret.description = Some(description.clone());
        }
        if let Some(key) = &input.kms_key_id {
            secret.kms_key = Some(key.clone()).filter(|key| !key.is_empty());
        }
        secret.changed_at = call.now();
        Ok(())
    };
    let Some(plain) = plain else {
        let found = describe_anew(&call, &secret_id, change).await?;
        return Ok(UpdateSecretResponse {
            arn: Some(found.arn()),
            name: Some(found.secret.name.clone()),
            version_id: None,
        });
    };
    let stages = [CURRENT.to_owned()];
    let fresh = Fresh { id: &id, plain: &plain, stages: &stages, now: call.now() };
    let found = store(&call, &secret_id, &fresh, change).await?;
    Ok(UpdateSecretResponse {
        arn: Some(found.arn()),
        name: Some(found.secret.name.clone()),
        version_id: Some(id),
    })
}

/// Changes what is said of a secret, and none of its values.
async fn describe_anew(
    call: &Call,
    secret_id: &str,
    change: impl Fn(&mut Secret) -> Result<(), ApiError>,
) -> Result<Found, ApiError> {
    let asker = Asker::of(call);
    call.services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), secret_id)?;
            writable(&found)?;
            let secret = changed(call, tx, &found, &change, &asker)?;
            replication::follow(call, tx, &found.scope, &secret, None, &asker)?;
            tx.put(&found.scope, &secret.name.clone(), secret.clone());
            Ok(Found { secret: secret.into(), ..found })
        })
        .await
}

/// The secret after `change`. When that gives it another key, the versions that are in use are encrypted anew: they can be read with the
/// new one alone.
fn changed(
    call: &Call,
    tx: &mut Tx,
    found: &Found,
    change: impl Fn(&mut Secret) -> Result<(), ApiError>,
    asker: &Asker,
) -> Result<Secret, ApiError> {
    let mut secret = Secret::clone(&found.secret);
    change(&mut secret)?;
    if secret.kms_key == found.secret.kms_key {
        return Ok(secret);
    }
    let used = [CURRENT, PENDING, PREVIOUS];
    let ids: Vec<String> =
        used.iter().filter_map(|stage| secret.at(stage)).map(|(id, _)| id.clone()).collect();
    for id in ids {
        let view = tx.view().clone();
        let open = values::open(&call.services, &view, &found.scope, &found.secret, &id, asker);
        let Some(plain) = open? else { continue };
        let key_arn = values::put(&call.services, tx, &found.scope, &secret, &id, &plain, asker)?;
        if let Some(version) = secret.versions.get_mut(&id) {
            version.key_arn = Some(key_arn);
        }
    }
    Ok(secret)
}
