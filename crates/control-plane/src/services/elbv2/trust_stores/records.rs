//! What is kept of trust stores.

use serde::{Deserialize, Serialize};
use state_store::Record;
use vocabulary::{Scope, Timestamp};

use crate::services::{elbv2::records::ARN_SERVICE, tagging::Tags};

/// A trust store; its id is [`TrustStore::key`]. Its revocation lists are [`Revocation`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustStore {
    pub name: String,
    /// 16 hex digits.
    pub id: String,
    /// Certificates of authorities and nothing else, in PEM.
    pub authorities_pem: String,
    pub authorities: u32,
    /// The number of the last list that was added; none is used again.
    pub last_revocation: i64,
    pub created_at: Timestamp,
    pub tags: Tags,
}

impl Record for TrustStore {
    const SERVICE: &'static str = "elbv2";
    const KIND: &'static str = "trust-store";
    const SCHEMA_VERSION: u32 = 1;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![("name", self.name.clone())]
    }
}

impl TrustStore {
    /// `NAME/ID`
    pub fn key(&self) -> String {
        format!("{}/{}", self.name, self.id)
    }

    pub fn arn(&self, scope: &Scope) -> String {
        scope.arn(ARN_SERVICE, format_args!("truststore/{}", self.key())).to_string()
    }
}

/// A revocation list; its id is [`revocation_key`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// From 1 on, within its trust store.
    pub number: i64,
    /// One list, in PEM.
    pub pem: String,
    pub entries: u64,
}

impl Record for Revocation {
    const SERVICE: &'static str = "elbv2";
    const KIND: &'static str = "trust-store-revocation";
    const SCHEMA_VERSION: u32 = 1;
}

/// The key of a list: in the order of their numbers.
pub fn revocation_key(store: &str, number: i64) -> String {
    format!("{store}/{number:019}")
}
