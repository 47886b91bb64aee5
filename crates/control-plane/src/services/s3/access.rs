//! What is public, and who is kept out because something is.
//!
//! A policy is public when it allows something to everybody, unless a condition holds it to fixed values that tell people apart. Source: "The meaning of
//! public" of the S3 user guide.

use policy::{Clause, Condition, Effect, NamedPrincipal};
use state_store::View;

use super::{errors, records::Bucket};
use crate::{
    gateway::{ApiError, Principal},
    services::{
        ec2::records::global,
        iam::policy_document::{self, PolicyDocument, Use},
    },
};

/// Keys that tell who or from where, by fixed values.
const TELLING_KEYS: &[&str] = &[
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalaccount",
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:sourceaccount",
    "aws:sourceip",
    "aws:userid",
    "s3:dataaccesspointarn",
    "s3:dataaccesspointaccount",
];

/// Whether a bucket's policy lets everybody in.
pub fn is_public(document: &PolicyDocument) -> bool {
    document.statements.iter().any(|statement| {
        statement.effect == Effect::Allow
            && statement.principals.as_ref().is_some_and(anyone)
            && !statement.conditions.iter().any(tells)
    })
}

fn anyone(principals: &Clause<NamedPrincipal>) -> bool {
    let everybody = |principal: &NamedPrincipal| match principal {
        NamedPrincipal::Anyone => true,
        NamedPrincipal::Aws(name) => name == "*",
        _ => false,
    };
    // Everybody but some is everybody as well.
    principals.negated || principals.members.iter().any(everybody)
}

fn tells(condition: &Condition) -> bool {
    let key = condition.key.to_ascii_lowercase();
    let positive =
        ["StringEquals", "StringLike", "ArnEquals", "ArnLike", "IpAddress", "StringEqualsIgnoreCase"];
    let fixed = |value: &String| match key.as_str() {
        // A wide range of addresses is everybody.
        "aws:sourceip" => {
            value.split_once('/').is_none_or(|(_, bits)| bits.parse().is_ok_and(|bits: u8| bits >= 8))
        }
        _ => !value.contains(['*', '?']) && !value.contains("${"),
    };
    TELLING_KEYS.contains(&key.as_str())
        && positive.contains(&&*condition.operator)
        && !condition.if_exists
        && condition.values.iter().all(fixed)
}

/// Keeps those of other accounts, and those of none, out of a bucket whose policy is public, where `RestrictPublicBuckets` says so.
///
/// # Errors
/// `AccessDenied`.
pub fn restrict(view: &View, name: &str, principal: Option<&Principal>) -> Result<(), ApiError> {
    let Some(bucket) = view.get::<Bucket>(&global(), name) else { return Ok(()) };
    if !bucket.public_access.is_some_and(|block| block.restrict_buckets)
        || principal.is_some_and(|principal| principal.account == bucket.owner)
    {
        return Ok(());
    }
    let public = |text: &String| {
        policy_document::parse(text, Use::Resource).is_ok_and(|document| is_public(&document))
    };
    if bucket.policy.as_ref().is_some_and(public) { Err(errors::access_denied()) } else { Ok(()) }
}
