//! What ACM keeps.

use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use super::x509::Facts;
use crate::services::tagging::Tags;

/// A certificate; its id is the UUID in its ARN.
#[derive(Clone, Serialize, Deserialize)]
pub struct Certificate {
    pub id: String,
    /// In PEM, as it was imported or issued.
    pub body: String,
    pub chain: Option<String>,
    /// The private key in PEM, sealed with the installation's key for certificates and bound to the ARN; base 64.
    pub sealed_key: String,
    pub facts: Facts,
    pub created_at: Timestamp,
    /// Of one that was requested, when that was.
    pub imported_at: Timestamp,
    pub tags: Tags,
    /// Unless it was imported.
    #[serde(default)]
    pub requested: Option<Requested>,
}

/// What a certificate was requested with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requested {
    /// The one that it is listed by first.
    pub names: Vec<String>,
    /// For who asks again.
    pub token: Option<String>,
    pub renewed_at: Option<Timestamp>,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate {} {:?}", self.id, self.facts.domain_name())
    }
}

impl Record for Certificate {
    const SERVICE: &'static str = "acm";
    const KIND: &'static str = "certificate";
    const SCHEMA_VERSION: u32 = 1;
}

impl Certificate {
    pub fn arn(&self, scope: &Scope) -> String {
        arn(scope, &self.id)
    }
}

pub fn arn(scope: &Scope, id: &str) -> String {
    scope.arn("acm", format_args!("certificate/{id}")).to_string()
}
