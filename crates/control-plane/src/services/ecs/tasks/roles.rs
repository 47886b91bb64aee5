//! The credentials of a task's role: issued before the task begins, renewed before they expire, void when it has stopped.
//!
//! A task with a role is not sent to its node before it has them ([`missing`], [`issue`]); one without costs nothing here.
//! The keys themselves lie with IAM's other keys; the record only says which of them are the task's.

use std::time::Duration;

use agent_protocol::{Sensitive, acs, spec::RoleCredentials};
use serde::{Deserialize, Serialize};
use state_store::{Record, Tx, View};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use vocabulary::{Ids, Scope, Timestamp};

use crate::{
    gateway::ApiError,
    services::{
        Services,
        ec2::records::global,
        ecs::records::{Task, TaskDefinition, definition_id},
        iam::{
            access_keys::AccessKey,
            sessions::{CannotAssume, TaskSession, task_credentials},
        },
    },
};

/// Credentials are renewed this long before they expire, or when half of a shorter life has passed: SDKs begin to ask for new ones a quarter of
/// an hour before.
const RENEWED_BEFORE: Duration = Duration::from_secs(60 * 60);
/// How often it is looked for those that end soon. A short life is looked at eight times, so that it is renewed well before its end.
const LOOKED_AT: Duration = Duration::from_secs(60);

/// Which credentials a task has; its id is the task's key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskRole {
    pub role_arn: String,
    /// Names them in the containers' environment; a UUID that stays over renewals.
    pub credentials_id: String,
    pub access_key: String,
    pub expires_at: Timestamp,
}

impl Record for TaskRole {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "task-role";
    const SCHEMA_VERSION: u32 = 1;
}

/// The role that a task is to have: an override's, or its definition's.
pub fn wanted(view: &View, scope: &Scope, task: &Task) -> Option<String> {
    let definition = view.get::<TaskDefinition>(scope, &definition_id(&task.family, task.revision));
    let own = || definition.and_then(|found| found.definition.0.task_role_arn.clone());
    task.overrides.0.task_role_arn.clone().or_else(own)
}

/// Whether the task is to have a role and has no credentials yet.
pub fn missing(view: &View, scope: &Scope, task: &Task) -> bool {
    view.get::<TaskRole>(scope, &task.key()).is_none() && wanted(view, scope, task).is_some()
}

/// The task's credentials as its node needs them.
pub fn credentials(view: &View, scope: &Scope, task_key: &str) -> Option<RoleCredentials> {
    let role = view.get::<TaskRole>(scope, task_key)?;
    let key = view.get::<AccessKey>(&global(), &role.access_key)?;
    Some(RoleCredentials {
        credentials_id: role.credentials_id.clone(),
        role_arn: role.role_arn.clone(),
        access_key_id: role.access_key.clone(),
        secret_access_key: Sensitive::new(key.secret.clone()),
        session_token: Sensitive::new(key.session_token.clone().unwrap_or_default()),
        expiration: role.expires_at,
    })
}

/// The message that hands renewed credentials to a task that runs.
pub fn message(
    view: &View,
    scope: &Scope,
    task: &Task,
    message_id: String,
) -> Option<acs::IamRoleCredentialsMessage> {
    let held = credentials(view, scope, &task.key())?;
    let expiration =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(held.expiration.as_millis()) * 1_000_000);
    Some(acs::IamRoleCredentialsMessage {
        task_arn: Some(task.arn(scope)),
        task_cluster_arn: Some(scope.arn("ecs", format_args!("cluster/{}", task.cluster)).to_string()),
        role_credentials: Some(acs::IamRoleCredentials {
            credentials_id: Some(held.credentials_id),
            role_arn: Some(held.role_arn),
            access_key_id: Some(held.access_key_id),
            secret_access_key: Some(held.secret_access_key),
            session_token: Some(held.session_token),
            expiration: expiration.ok()?.format(&Rfc3339).ok(),
            credential_scope: None,
        }),
        role_type: Some("TaskApplication".to_owned()),
        message_id: Some(message_id),
    })
}

/// Issues the first credentials of a task, or renews those that end soon. `Err` inside is why the task cannot have them.
///
/// # Errors
/// Those of the store.
pub async fn issue(
    services: &Services,
    scope: &Scope,
    key: &str,
    now: Timestamp,
) -> Result<Result<(), CannotAssume>, ApiError> {
    let credentials_id = services.ids().uuid();
    let lifetime = services.settings.task_credentials_lifetime;
    services
        .state
        .transact(|tx| {
            let Some(task) = tx.get::<Task>(scope, key).filter(|task| !is_over(task)) else {
                return Ok(Ok(()));
            };
            let held = tx.get::<TaskRole>(scope, key);
            if held.as_ref().is_some_and(|held| !ends_soon(held, lifetime, now)) {
                return Ok(Ok(()));
            }
            let Some(role_arn) = wanted(tx.view(), scope, &task) else { return Ok(Ok(())) };
            let session = TaskSession {
                role_arn: &role_arn,
                session_name: &task.id,
                account: &scope.account,
                source_arn: &task.arn(scope),
                duration: lifetime,
                now,
            };
            let issued = match task_credentials(tx, &session, &mut services.ids()) {
                Ok(issued) => issued,
                Err(refused) => return Ok(Err(refused)),
            };
            let role = TaskRole {
                role_arn: role_arn.clone(),
                credentials_id: held
                    .map_or_else(|| credentials_id.clone(), |held| held.credentials_id.clone()),
                access_key: issued.access_key,
                expires_at: issued.expires_at,
            };
            tx.put(scope, key, role);
            Ok(Ok(()))
        })
        .await
}

/// Ends every key of a task's role. Part of the transaction that records the task's end.
pub fn revoke(tx: &mut Tx, scope: &Scope, task: &Task) {
    let Some(role) = tx.delete::<TaskRole>(scope, &task.key()) else { return };
    let principal = tx.get::<AccessKey>(&global(), &role.access_key).map(|key| key.principal_arn.clone());
    // Those that were renewed as well.
    for (id, _) in
        principal.map(|arn| tx.by_index::<AccessKey>(&global(), "principal", &arn)).unwrap_or_default()
    {
        tx.delete::<AccessKey>(&global(), &id);
    }
}

/// Renews what ends soon. A role that can no longer be assumed keeps what it has until that expires.
///
/// # Errors
/// Those of the store.
pub async fn renew(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    let lifetime = services.settings.task_credentials_lifetime;
    let due: Vec<(Scope, String)> = services.state.read(|view| {
        let held = view.scan_all::<TaskRole>().filter(|found| ends_soon(&found.value, lifetime, now));
        held.map(|found| (found.scope, found.id)).collect()
    });
    for (scope, key) in due {
        if let Err(refused) = issue(services, &scope, &key, now).await? {
            tracing::warn!(task = key, %refused, "the credentials of a running task are not renewed");
        }
    }
    Ok(())
}

/// How often [`renew`] has to be called for credentials that hold so long.
pub fn renewal_interval(lifetime: Duration) -> Duration {
    LOOKED_AT.min(lifetime / 8)
}

fn ends_soon(role: &TaskRole, lifetime: Duration, now: Timestamp) -> bool {
    role.expires_at.since(now) < RENEWED_BEFORE.min(lifetime / 2)
}

fn is_over(task: &Task) -> bool {
    task.state.last_status == agent_protocol::state::TaskStatus::Stopped
}
