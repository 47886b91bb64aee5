//! What Parameter Store keeps: a record for each parameter, and one for each of its versions.

use std::collections::BTreeSet;

use aws_shapes_ssm as ssm;
use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use super::policies::Policy;
use crate::services::tagging::Tags;

/// A parameter; its id is its name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    /// The number of its newest version.
    pub version: i64,
    /// Of its newest version.
    pub tier: Tier,
    pub tags: Tags,
}

impl Record for Parameter {
    const SERVICE: &'static str = "ssm";
    const KIND: &'static str = "parameter";
    const SCHEMA_VERSION: u32 = 1;
}

/// A version of a parameter; its id is [`version_id`].
#[derive(Clone, Serialize, Deserialize)]
pub struct Version {
    pub version: i64,
    pub kind: Kind,
    pub value: Value,
    pub tier: Tier,
    pub data_type: String,
    pub description: Option<String>,
    pub allowed_pattern: Option<String>,
    /// As it was given, or the default; for `SecureString` alone.
    pub key_id: Option<String>,
    pub policies: Vec<Policy>,
    pub modified_at: Timestamp,
    /// An ARN.
    pub modified_by: String,
    pub labels: BTreeSet<String>,
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Version {} {:?}", self.version, self.kind)
    }
}

impl Record for Version {
    const SERVICE: &'static str = "ssm";
    const KIND: &'static str = "parameter-version";
    const SCHEMA_VERSION: u32 = 1;
}

/// What a version says.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Value {
    Plain(String),
    /// A ciphertext of KMS, base 64: what a `SecureString` shows without decryption.
    Encrypted(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    String,
    StringList,
    SecureString,
}

impl Kind {
    pub fn shape(self) -> ssm::ParameterType {
        match self {
            Kind::String => ssm::ParameterType::String,
            Kind::StringList => ssm::ParameterType::StringList,
            Kind::SecureString => ssm::ParameterType::SecureString,
        }
    }
}

impl From<ssm::ParameterType> for Kind {
    fn from(shape: ssm::ParameterType) -> Kind {
        match shape {
            ssm::ParameterType::String => Kind::String,
            ssm::ParameterType::StringList => Kind::StringList,
            ssm::ParameterType::SecureString => Kind::SecureString,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    Standard,
    Advanced,
}

impl Tier {
    pub fn shape(self) -> ssm::ParameterTier {
        match self {
            Tier::Standard => ssm::ParameterTier::Standard,
            Tier::Advanced => ssm::ParameterTier::Advanced,
        }
    }
}

/// Begins the ids of a parameter's versions. No name has a colon.
pub fn versions_of(name: &str) -> String {
    format!("{name}:")
}

/// Sorts as the numbers do.
pub fn version_id(name: &str, version: i64) -> String {
    format!("{name}:{version:019}")
}

/// `…:parameter/NAME`; a name that begins with a slash has no second one.
pub fn arn(scope: &Scope, name: &str) -> String {
    scope.arn("ssm", format_args!("parameter/{}", name.strip_prefix('/').unwrap_or(name))).to_string()
}
