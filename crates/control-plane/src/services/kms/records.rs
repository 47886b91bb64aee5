//! What KMS keeps.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::services::tagging::Tags;

/// A key; its id is the UUID in its ARN. Sealed as a whole, since it holds its material.
#[derive(Clone, Serialize, Deserialize)]
pub struct Key {
    pub id: String,
    pub kind: Kind,
    pub description: String,
    pub state: State,
    /// The service whose key it is (`secretsmanager`); none: a customer's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<String>,
    /// The policy document, as it was written.
    pub policy: String,
    pub created_at: Timestamp,
    /// From the first to the present one; never empty.
    pub materials: Vec<Material>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Tags,
}

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `SYMMETRIC_DEFAULT`: AES-256 in Galois/counter mode.
    Encryption,
    /// `HMAC_*`, by the bits of the digest.
    Mac(MacBits),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MacBits {
    Bits224,
    Bits256,
    Bits384,
    Bits512,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Enabled,
    Disabled,
    PendingDeletion { at: Timestamp, window_days: i32 },
}

/// One generation of a key's secret. Older ones stay, for what was encrypted with them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Material {
    /// 64 hexadecimal digits.
    pub id: String,
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub secret: Vec<u8>,
    pub since: Timestamp,
    pub origin: MaterialOrigin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MaterialOrigin {
    First,
    Automatic,
    OnDemand,
}

/// Automatic rotation, where it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    pub period_days: i32,
    pub next: Timestamp,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key {} {:?} {:?}", self.id, self.kind, self.state)
    }
}

impl Record for Key {
    const SERVICE: &'static str = "kms";
    const KIND: &'static str = "key";
    const SCHEMA_VERSION: u32 = 1;
    const SEALED: bool = true;
}

impl Key {
    pub fn arn(&self, scope: &Scope) -> String {
        key_arn(scope, &self.id)
    }

    /// The generation that encrypts now.
    pub fn current(&self) -> &Material {
        self.materials.last().expect("a key has material from its creation on")
    }
}

pub fn key_arn(scope: &Scope, id: &str) -> String {
    scope.arn("kms", format_args!("key/{id}")).to_string()
}

/// A name for a key; its id is the name without `alias/`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Alias {
    pub key_id: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Record for Alias {
    const SERVICE: &'static str = "kms";
    const KIND: &'static str = "alias";
    const SCHEMA_VERSION: u32 = 1;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![("key", self.key_id.clone())]
    }
}

/// `alias/NAME` and its ARN.
pub fn alias_arn(scope: &Scope, name: &str) -> String {
    scope.arn("kms", format_args!("alias/{name}")).to_string()
}

/// A permission given beside the policies; its id is `KEY/GRANT`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    pub id: String,
    pub key_id: String,
    /// Unique for a key, where it is given: a repeated request gets the same grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// An ARN.
    pub grantee: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retiring: Option<String>,
    /// As the API spells them: `Decrypt`.
    pub operations: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_equals: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_subset: Option<BTreeMap<String, String>>,
    pub created_at: Timestamp,
    pub issuing_account: String,
}

impl Record for Grant {
    const SERVICE: &'static str = "kms";
    const KIND: &'static str = "grant";
    const SCHEMA_VERSION: u32 = 1;
}

impl Grant {
    pub fn record_id(&self) -> String {
        grant_record_id(&self.key_id, &self.id)
    }
}

pub fn grant_record_id(key_id: &str, grant_id: &str) -> String {
    format!("{key_id}/{grant_id}")
}

fn as_text<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(|_| serde::de::Error::custom("key material is not in base 64"))
}
