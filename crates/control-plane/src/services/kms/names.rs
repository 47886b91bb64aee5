//! Which key a request means: an id, an ARN, the name of an alias or an alias's ARN.

use std::sync::Arc;

use state_store::{Tx, View};
use vocabulary::{Arn, Scope};

use super::{
    errors::{invalid_arn, not_found},
    records::{Alias, Key, alias_arn, key_arn},
};
use crate::gateway::ApiError;

/// A key, and where it is.
#[derive(Debug, Clone)]
pub struct Found {
    pub scope: Scope,
    pub key: Arc<Key>,
}

impl Found {
    pub fn arn(&self) -> String {
        self.key.arn(&self.scope)
    }
}

/// What a request's text names, before it is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    Key(Scope, String),
    /// Without `alias/`.
    Alias(Scope, String),
}

/// Takes the text apart. Names and ids without an ARN are of `scope`; ARNs have to be of its region.
///
/// # Errors
/// `NotFoundException`, `InvalidArnException`.
pub fn parse(scope: &Scope, text: &str) -> Result<Named, ApiError> {
    if let Some(name) = text.strip_prefix("alias/") {
        return Ok(Named::Alias(scope.clone(), name.to_owned()));
    }
    if !text.starts_with("arn:") {
        return if is_key_id(text) {
            Ok(Named::Key(scope.clone(), text.to_owned()))
        } else {
            Err(not_found(format!("Invalid keyId '{text}'")))
        };
    }
    let arn: Arn = text.parse().map_err(|_| invalid_arn(text))?;
    if arn.service() != "kms" || arn.partition() != "aws" {
        return Err(invalid_arn(text));
    }
    if arn.region() != scope.region.as_str() {
        return Err(not_found(format!("Invalid arn {}", arn.region())));
    }
    let account = arn.account().parse().map_err(|_| invalid_arn(text))?;
    let of = Scope::new(account, scope.region.clone());
    match (arn.resource_of_kind("key"), arn.resource_of_kind("alias")) {
        (Some(id), _) => Ok(Named::Key(of, id.to_owned())),
        (_, Some(name)) => Ok(Named::Alias(of, name.to_owned())),
        (None, None) => Err(invalid_arn(text)),
    }
}

/// A UUID.
fn is_key_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

impl Named {
    /// What is said of it when it is not there.
    pub fn missing(&self) -> ApiError {
        match self {
            Named::Key(scope, id) => not_found(format!("Key '{}' does not exist", key_arn(scope, id))),
            Named::Alias(scope, name) => not_found(format!("Alias {} is not found.", alias_arn(scope, name))),
        }
    }

    /// Both kinds of reader, as one.
    fn find(
        &self,
        key: impl FnOnce(&Scope, &str) -> Option<Arc<Key>>,
        alias: impl FnOnce(&Scope, &str) -> Option<Arc<Alias>>,
    ) -> Result<Found, ApiError> {
        let (scope, id) = match self {
            Named::Key(scope, id) => (scope, id.to_ascii_lowercase()),
            Named::Alias(scope, name) => {
                let found = alias(scope, name).ok_or_else(|| self.missing())?;
                (scope, found.key_id.clone())
            }
        };
        let key = key(scope, &id).ok_or_else(|| self.missing())?;
        Ok(Found { scope: scope.clone(), key })
    }
}

/// The key that a request names.
///
/// # Errors
/// `NotFoundException`, `InvalidArnException`.
pub fn see(view: &View, scope: &Scope, text: &str) -> Result<Found, ApiError> {
    parse(scope, text)?.find(|scope, id| view.get(scope, id), |scope, name| view.get(scope, name))
}

/// The same in a transaction, which then depends on the key.
///
/// # Errors
/// Those of [`see`].
pub fn get(tx: &mut Tx, scope: &Scope, text: &str) -> Result<Found, ApiError> {
    let named = parse(scope, text)?;
    let alias = match &named {
        Named::Alias(scope, name) => tx.get::<Alias>(scope, name),
        Named::Key(..) => None,
    };
    named.find(|scope, id| tx.get(scope, id), |_, _| alias)
}

/// The same for operations that take no alias.
///
/// # Errors
/// Those of [`see`].
pub fn get_key(tx: &mut Tx, scope: &Scope, text: &str) -> Result<Found, ApiError> {
    no_alias(scope, text)?;
    get(tx, scope, text)
}

/// As [`get_key`], for reading.
///
/// # Errors
/// Those of [`see`].
pub fn see_key(view: &View, scope: &Scope, text: &str) -> Result<Found, ApiError> {
    no_alias(scope, text)?;
    see(view, scope, text)
}

fn no_alias(scope: &Scope, text: &str) -> Result<(), ApiError> {
    match parse(scope, text)? {
        Named::Alias(..) if text.starts_with("arn:") => Err(invalid_arn(text)),
        Named::Alias(..) => Err(not_found(format!("Invalid keyId '{text}'"))),
        Named::Key(..) => Ok(()),
    }
}
