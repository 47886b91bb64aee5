//! Access keys that this platform issued: which principal a key stands for, and the secret that its signatures need.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use state_store::{Record, Tx};
use vocabulary::{AccountId, Ids, Timestamp};

use super::{names, records::LastUse, service_linked};
use crate::{
    gateway::{ApiError, Principal},
    services::{Services, ec2::records::global},
};

/// Uses closer together than this are one: a write for every request would cost more than it tells.
const USE_GRANULARITY: Duration = Duration::from_secs(60);
/// How long a session's key is known after its end.
const EXPIRED_KEPT: Duration = Duration::from_secs(60 * 60);
/// Records removed in one transaction.
const BATCH: usize = 50;

/// A key; its id is the key itself. It lies in the global scope, since a request names the key before it names an account.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccessKey {
    pub account: AccountId,
    pub secret: String,
    /// Part of temporary credentials only.
    pub session_token: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub active: bool,
    pub principal_arn: String,
    pub principal_id: String,
    pub created_at: Timestamp,
    /// What narrows the session down, to be looked at when its requests are authorized.
    #[serde(default, skip_serializing_if = "Session::is_plain")]
    pub session: Session,
}

/// What was passed along when a session began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The document passed with the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Managed policies passed with the call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Keys of the tags that go on to the sessions that this one begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitive_tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// Of a federated user's session: the unique id of the user who handed it out; none for the account's root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Of a session that an identity provider vouched for: the provider's ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl Session {
    fn is_plain(&self) -> bool {
        *self == Session::default()
    }
}

impl AccessKey {
    /// The unique id of the user or the role: that of a session ends before the colon.
    pub fn owner(&self) -> &str {
        self.principal_id.split(':').next().unwrap_or_default()
    }

    pub fn is_temporary(&self) -> bool {
        self.session_token.is_some()
    }
}

impl Record for AccessKey {
    const SERVICE: &'static str = "iam";
    const KIND: &'static str = "access-key";
    const SCHEMA_VERSION: u32 = 1;
    const SEALED: bool = true;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![("principal", self.principal_arn.clone()), ("owner", self.owner().to_owned())]
    }
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccessKey({})", self.principal_arn)
    }
}

/// A key that may sign now.
pub struct SigningKey {
    pub secret: String,
    pub session_token: Option<String>,
    pub principal: Principal,
}

/// What is known of a key that a request names.
pub enum Lookup {
    /// Not issued here, or forgotten.
    Unknown,
    /// Issued here, and switched off: it signs nothing.
    Inactive,
    /// Of a session that is over.
    Expired,
    Signs(SigningKey),
}

/// What is known of the key named `id`. One that was issued here is never taken for a stranger's, whatever its state.
pub fn look_up(services: &Services, id: &str, now: Timestamp) -> Lookup {
    let Some(key) = services.state.read(|view| view.get::<AccessKey>(&global(), id)) else {
        return Lookup::Unknown;
    };
    if !key.active {
        return Lookup::Inactive;
    }
    if key.expires_at.is_some_and(|end| end <= now) {
        return Lookup::Expired;
    }
    Lookup::Signs(SigningKey {
        secret: key.secret.clone(),
        session_token: key.session_token.clone(),
        principal: Principal {
            account: key.account.clone(),
            arn: key.principal_arn.clone(),
            user_id: key.principal_id.clone(),
            access_key: id.to_owned(),
        },
    })
}

/// The key named `id`, when it was issued here, is active and has not expired.
pub fn find(services: &Services, id: &str, now: Timestamp) -> Option<SigningKey> {
    match look_up(services, id, now) {
        Lookup::Signs(key) => Some(key),
        Lookup::Unknown | Lookup::Inactive | Lookup::Expired => None,
    }
}

/// Temporary credentials, as they are handed out.
#[derive(Clone)]
pub struct SessionCredentials {
    pub access_key: String,
    pub secret: String,
    pub session_token: String,
    pub expires_at: Timestamp,
    pub principal_arn: String,
    pub principal_id: String,
}

impl std::fmt::Debug for SessionCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionCredentials({})", self.principal_arn)
    }
}

/// Issues temporary credentials for a principal.
pub fn begin_session(
    tx: &mut Tx,
    account: &AccountId,
    (principal_arn, principal_id): (String, String),
    session: Session,
    (now, expires_at): (Timestamp, Timestamp),
    ids: &mut impl Ids,
) -> SessionCredentials {
    let credentials = SessionCredentials {
        access_key: names::access_key_id(ids, "ASIA"),
        secret: names::secret(ids),
        session_token: names::session_token(ids),
        expires_at,
        principal_arn,
        principal_id,
    };
    tx.put(
        &global(),
        &credentials.access_key,
        AccessKey {
            account: account.clone(),
            secret: credentials.secret.clone(),
            session_token: Some(credentials.session_token.clone()),
            expires_at: Some(expires_at),
            active: true,
            principal_arn: credentials.principal_arn.clone(),
            principal_id: credentials.principal_id.clone(),
            created_at: now,
            session,
        },
    );
    credentials
}

/// Removes the keys of sessions that have ended, and what is known of deletions long done.
///
/// # Errors
/// Those of the store.
pub async fn forget_expired(services: &Services, now: Timestamp) -> Result<(), ApiError> {
    // Kept for a while: until then a client learns that its session is over, not that its key is unknown.
    let over = |key: &AccessKey| key.expires_at.is_some_and(|end| now.since(end) > EXPIRED_KEPT);
    remove_where(services, over).await?;
    service_linked::forget(services, now).await
}

/// Ends all sessions of a user or a role that is no more, by its unique id.
///
/// # Errors
/// Those of the store.
pub async fn end_sessions(services: &Services, owner: &str) -> Result<(), ApiError> {
    remove_where(services, |key| key.is_temporary() && key.owner() == owner).await
}

async fn remove_where(services: &Services, gone: impl Fn(&AccessKey) -> bool) -> Result<(), ApiError> {
    let scope = global();
    let keys: Vec<String> = services.state.read(|view| {
        let keys = view.scan::<AccessKey>(&scope).filter(|(_, key)| gone(key));
        keys.map(|(id, _)| id.to_owned()).collect()
    });
    for batch in keys.chunks(BATCH) {
        services
            .state
            .transact(|tx| {
                for id in batch {
                    tx.delete::<AccessKey>(&scope, id);
                }
                Ok::<_, ApiError>(())
            })
            .await?;
    }
    Ok(())
}

/// Notes that a key signed a request that was found valid. Written in the background, at most once a minute for a key
/// (a role, for its sessions): what is lost when the process dies is the last minute's.
pub fn note_use(services: &Services, principal: &Principal, service: &str, region: &str, now: Timestamp) {
    let (scope, id) = match principal.access_key.starts_with("ASIA") {
        true if principal.arn.contains(":assumed-role/") => {
            let role = principal.user_id.split(':').next().unwrap_or_default();
            (names::global(&principal.account), role.to_owned())
        }
        true => return,
        false => (global(), principal.access_key.clone()),
    };
    let known = services.state.read(|view| view.get::<LastUse>(&scope, &id));
    if known.is_some_and(|last| now.since(last.at) < USE_GRANULARITY) {
        return;
    }
    let state = services.state.clone();
    let last = LastUse { at: now, service: service.to_owned(), region: region.to_owned() };
    tokio::spawn(async move {
        let noted = state
            .transact(|tx| {
                tx.put(&scope, &id, last.clone());
                Ok::<_, ApiError>(())
            })
            .await;
        if let Err(error) = noted {
            tracing::debug!(%error, "the use of a key was not noted");
        }
    });
}
