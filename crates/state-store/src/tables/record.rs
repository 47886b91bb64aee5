//! What may be kept in a table, and how it is written.
//!
//! A record is stored as `{"schema":N,"record":{…}}` under `/{account}/{region}/{service}/{kind}/{id}`, so that it can be
//! read with the eyes. A service without regions keeps its records under a region of its own naming. The id may hold any text, slashes included; ids sort by their bytes.

use std::{any::Any, sync::Arc};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use vocabulary::Scope;

use super::StateError;

/// A thing that a service keeps.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The service that owns it, as in its ARN: `ecs`.
    const SERVICE: &'static str;
    /// What it is, one word: `task`. Neither of the two contains a slash.
    const KIND: &'static str;
    /// Grows when an older reader would misread what is written. Adding an optional member needs no growth.
    const SCHEMA_VERSION: u32;

    /// Names and values by which it is to be found, besides its id: `("status", "RUNNING")`. A name may come more than once,
    /// with several values, or not at all.
    fn indexes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Brings what schema `from` (older than [`Record::SCHEMA_VERSION`]) wrote to the present form. It is stored in that form
    /// when the record is next put. Errors say what cannot be carried over; by default that is everything.
    fn migrate(from: u32, record: serde_json::Value) -> Result<serde_json::Value, String> {
        let _ = record;
        Err(format!("there is no way from schema {from} to {}", Self::SCHEMA_VERSION))
    }
}

#[derive(Serialize)]
struct Written<'a, T> {
    schema: u32,
    record: &'a T,
}

#[derive(Deserialize)]
struct Stored<'a> {
    schema: u32,
    #[serde(borrow)]
    record: &'a RawValue,
}

pub(super) fn encode<T: Record>(key: &str, record: &T) -> Result<Vec<u8>, StateError> {
    serde_json::to_vec(&Written { schema: T::SCHEMA_VERSION, record })
        .map_err(|source| StateError::Encode { key: key.to_owned(), source: Arc::new(source) })
}

pub(super) fn decode<T: Record>(key: &str, stored: &[u8]) -> Result<Arc<dyn Any + Send + Sync>, StateError> {
    let unreadable =
        |source: serde_json::Error| StateError::Decode { key: key.to_owned(), source: Arc::new(source) };
    let Stored { schema, record } = serde_json::from_slice(stored).map_err(unreadable)?;
    let record: T = match schema.cmp(&T::SCHEMA_VERSION) {
        std::cmp::Ordering::Equal => serde_json::from_str(record.get()).map_err(unreadable)?,
        std::cmp::Ordering::Greater => {
            let key = key.to_owned();
            return Err(StateError::NewerSchema { key, found: schema, known: T::SCHEMA_VERSION });
        }
        std::cmp::Ordering::Less => {
            let old = serde_json::from_str(record.get()).map_err(unreadable)?;
            let new = T::migrate(schema, old).map_err(|reason| StateError::Migration {
                key: key.to_owned(),
                from: schema,
                reason,
            })?;
            serde_json::from_value(new).map_err(unreadable)?
        }
    };
    Ok(Arc::new(record))
}

/// The key under which records of a kind lie in one scope, with the slash before the id.
pub(super) fn prefix<T: Record>(scope: &Scope) -> String {
    format!("/{}/{}/{}/{}/", scope.account, scope.region, T::SERVICE, T::KIND)
}

pub(super) fn key<T: Record>(scope: &Scope, id: &str) -> String {
    let mut key = prefix::<T>(scope);
    key.push_str(id);
    key
}

/// A record's key, taken apart.
pub(super) struct KeyParts<'a> {
    pub scope: Scope,
    pub service: &'a str,
    pub kind: &'a str,
    pub id: &'a str,
}

/// None for a key that is not a record's: another part of the program, or another program, keeps it.
pub(super) fn parse(key: &str) -> Option<KeyParts<'_>> {
    let mut parts = key.strip_prefix('/')?.splitn(5, '/');
    let account = parts.next()?.parse().ok()?;
    let region = parts.next()?.parse().ok()?;
    let (service, kind, id) = (parts.next()?, parts.next()?, parts.next()?);
    Some(KeyParts { scope: Scope::new(account, region), service, kind, id })
}
