//! What may be kept in a table, and how it is written.
//!
//! A record is stored as `{"schema":N,"record":{…}}` under `/{account}/{region}/{service}/{kind}/{id}`, so that it can be
//! read with the eyes; one of a sealed kind as `{"schema":N,"sealed":"…"}`. A service without regions keeps its records under a region of its own naming. The id may hold any text, slashes included; ids sort by their bytes.

use std::{any::Any, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use vocabulary::{Scope, Seal};

use super::StateError;

/// A thing that a service keeps.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The service that owns it, as in its ARN: `ecs`.
    const SERVICE: &'static str;
    /// What it is, one word: `task`. Neither of the two contains a slash.
    const KIND: &'static str;
    /// Grows when an older reader would misread what is written. Adding an optional member needs no growth.
    const SCHEMA_VERSION: u32;
    /// Whether the record is a secret: it is encrypted before it goes to the store, and bound to its key, so that it opens nowhere else.
    const SEALED: bool = false;

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

#[derive(Serialize)]
struct WrittenSealed {
    schema: u32,
    sealed: String,
}

#[derive(Deserialize)]
struct Stored<'a> {
    schema: u32,
    #[serde(borrow, default)]
    record: Option<&'a RawValue>,
    #[serde(default)]
    sealed: Option<String>,
}

/// The place that a sealed record belongs to.
fn place(key: &str, schema: u32) -> String {
    format!("{key} {schema}")
}

pub(super) fn encode<T: Record>(
    key: &str,
    record: &T,
    seal: Option<&dyn Seal>,
) -> Result<Vec<u8>, StateError> {
    let failed =
        |source: serde_json::Error| StateError::Encode { key: key.to_owned(), source: Arc::new(source) };
    let schema = T::SCHEMA_VERSION;
    if !T::SEALED {
        return serde_json::to_vec(&Written { schema, record }).map_err(failed);
    }
    let seal = seal.ok_or_else(|| StateError::NoSeal { key: key.to_owned() })?;
    let plain = serde_json::to_vec(record).map_err(failed)?;
    let sealed = STANDARD.encode(seal.seal(&place(key, schema), &plain));
    serde_json::to_vec(&WrittenSealed { schema, sealed }).map_err(failed)
}

pub(super) fn decode<T: Record>(
    key: &str,
    stored: &[u8],
    seal: Option<&dyn Seal>,
) -> Result<Arc<dyn Any + Send + Sync>, StateError> {
    let unreadable =
        |source: serde_json::Error| StateError::Decode { key: key.to_owned(), source: Arc::new(source) };
    let Stored { schema, record, sealed } = serde_json::from_slice(stored).map_err(unreadable)?;
    let opened = match (record, sealed) {
        (_, Some(sealed)) => Some(open(key, schema, &sealed, seal)?),
        (_, None) if T::SEALED => return Err(StateError::Unsealed { key: key.to_owned() }),
        _ => None,
    };
    let record = match (&opened, record) {
        (Some(opened), _) => serde_json::from_slice(opened).map_err(unreadable)?,
        (None, Some(record)) => record,
        (None, None) => return Err(unreadable(serde::de::Error::missing_field("record"))),
    };
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

fn open(key: &str, schema: u32, sealed: &str, seal: Option<&dyn Seal>) -> Result<Vec<u8>, StateError> {
    let seal = seal.ok_or_else(|| StateError::NoSeal { key: key.to_owned() })?;
    let sealed = STANDARD.decode(sealed).ok();
    let opened = sealed.and_then(|sealed| seal.open(&place(key, schema), &sealed));
    opened.ok_or_else(|| StateError::SealBroken { key: key.to_owned() })
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
