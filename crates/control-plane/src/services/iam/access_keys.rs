//! Access keys that this platform issued: which principal a key stands for, and the secret that its signatures need.

use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{AccountId, Timestamp};

use crate::{
    gateway::Principal,
    services::{Services, ec2::records::global},
};

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
}

impl Record for AccessKey {
    const SERVICE: &'static str = "iam";
    const KIND: &'static str = "access-key";
    const SCHEMA_VERSION: u32 = 1;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![("principal", self.principal_arn.clone())]
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

/// The key named `id`, when it was issued here, is active and has not expired.
pub fn find(services: &Services, id: &str, now: Timestamp) -> Option<SigningKey> {
    let key = services.state.read(|view| view.get::<AccessKey>(&global(), id))?;
    if !key.active || key.expires_at.is_some_and(|end| end <= now) {
        return None;
    }
    Some(SigningKey {
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
