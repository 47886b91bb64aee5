//! Which secret a request means: by name, by ARN, or by an ARN without its last six characters.

use std::sync::Arc;

use state_store::{Tx, View};
use vocabulary::{Arn, Ids, Scope};

use super::{
    errors::{invalid_parameter, not_found},
    records::Secret,
};
use crate::gateway::{ApiError, Call};

const SUFFIX_LENGTH: usize = 6;

/// What a text may mean, before it is looked up: names in the order in which they are tried, each with the suffix that it
/// has to have.
struct Candidates {
    scope: Scope,
    names: Vec<(String, Option<String>)>,
}

fn candidates(scope: &Scope, text: &str) -> Option<Candidates> {
    let (scope, resource) = match text.starts_with("arn:") {
        false => return Some(Candidates { scope: scope.clone(), names: vec![(text.to_owned(), None)] }),
        true => {
            let arn: Arn = text.parse().ok()?;
            let resource =
                arn.resource().strip_prefix("secret:").filter(|_| arn.service() == "secretsmanager")?;
            let scope = Scope::new(arn.account().parse().ok()?, arn.region().parse().ok()?);
            (scope, resource.to_owned())
        }
    };
    let mut names = Vec::new();
    if let Some((name, suffix)) = resource.rsplit_once('-')
        && suffix.len() == SUFFIX_LENGTH
    {
        names.push((name.to_owned(), Some(suffix.to_owned())));
    }
    names.push((resource, None));
    Some(Candidates { scope, names })
}

/// The secret, and where it is.
#[derive(Debug, Clone)]
pub struct Found {
    pub scope: Scope,
    pub secret: Arc<Secret>,
}

impl Found {
    pub fn arn(&self) -> String {
        self.secret.arn(&self.scope)
    }
}

fn find(
    scope: &Scope,
    text: &str,
    mut get: impl FnMut(&Scope, &str) -> Option<Arc<Secret>>,
) -> Result<Found, ApiError> {
    let Candidates { scope, names } = candidates(scope, text).ok_or_else(not_found)?;
    for (name, suffix) in names {
        let found =
            get(&scope, &name).filter(|secret| suffix.as_ref().is_none_or(|own| *own == secret.suffix));
        if let Some(secret) = found {
            return Ok(Found { scope, secret });
        }
    }
    Err(not_found())
}

/// The secret that a text means. One of another region is not there.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn see(view: &View, scope: &Scope, text: &str) -> Result<Found, ApiError> {
    let found = find(scope, text, |scope, name| view.get(scope, name))?;
    if found.scope.region == scope.region { Ok(found) } else { Err(not_found()) }
}

/// The same in a transaction, which then depends on it.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn get(tx: &mut Tx, scope: &Scope, text: &str) -> Result<Found, ApiError> {
    let found = find(scope, text, |scope, name| tx.get(scope, name))?;
    if found.scope.region == scope.region { Ok(found) } else { Err(not_found()) }
}

/// Refuses what is no name.
///
/// # Errors
/// `ValidationException`.
pub fn check(name: &str) -> Result<(), ApiError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-/_+=.@!".contains(character);
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(ApiError::validation(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
        ));
    }
    if name.chars().count() > 512 {
        return Err(invalid_parameter("The name must be at most 512 characters long."));
    }
    Ok(())
}

/// What stands behind the name in a new secret's ARN.
pub fn suffix(call: &Call) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = [0; SUFFIX_LENGTH];
    call.services.ids().fill(&mut bytes);
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}
