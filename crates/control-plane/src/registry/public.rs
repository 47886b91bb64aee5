//! Where public repositories are: under `public/aACCOUNT/`, in a registry of their own beside the account's private ones.
//!
//! `aACCOUNT` is the alias that ECR Public gives to a registry, here one that can be read back.

use vocabulary::{AccountId, Region, Scope};

use super::route::RepositoryName;

/// The region under which public repositories are kept. No real region has this name.
const REGION: &str = "public";

/// The alias of an account's public registry.
pub fn alias(account: &AccountId) -> String {
    format!("a{account}")
}

/// What the names of an account's public repositories begin with.
pub fn prefix(account: &AccountId) -> String {
    format!("public/{}/", alias(account))
}

/// The scope of an account's public registry.
pub fn scope(account: &AccountId) -> Scope {
    let region = REGION.parse::<Region>().expect("a region's form");
    Scope::new(account.clone(), region)
}

/// The registry that a name of this form belongs to; `None` for the names of private repositories.
pub fn scope_of(name: &RepositoryName) -> Option<Scope> {
    of_name(name.as_str())
}

/// As [`scope_of`], for a name that was not parsed.
pub fn of_name(name: &str) -> Option<Scope> {
    let (alias, _) = name.strip_prefix("public/a")?.split_once('/')?;
    Some(scope(&alias.parse().ok()?))
}
