//! Names: which are allowed, and what is made of them.

use vocabulary::{Arn, Ids, Scope};

use super::{
    errors::validation,
    records::{ARN_SERVICE, LoadBalancerKind},
};
use crate::gateway::ApiError;

const MOST_CHARACTERS: usize = 32;

/// The name of a load balancer to be made.
///
/// # Errors
/// `ValidationError`.
pub fn load_balancer(name: Option<String>) -> Result<String, ApiError> {
    let (what, name) = ("load balancer", name.unwrap_or_default());
    if name.is_empty() {
        return Err(validation(format!("A {what} name must be specified")));
    }
    if name.chars().count() > MOST_CHARACTERS {
        return Err(validation(format!(
            "The {what} name '{name}' cannot be longer than '{MOST_CHARACTERS}' characters"
        )));
    }
    if !name.chars().all(|one| one.is_ascii_alphanumeric() || one == '-') {
        return Err(validation(format!(
            "The {what} name '{name}' can only contain characters that are alphanumeric characters and hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(validation(format!("The {what} name '{name}' cannot begin or end with a hyphen(-)")));
    }
    if name.starts_with("internal-") {
        return Err(validation(format!("The load balancer name '{name}' cannot begin with 'internal-'")));
    }
    Ok(name)
}

/// The name of a target group to be made.
///
/// # Errors
/// `ValidationError`.
pub fn target_group(name: Option<String>) -> Result<String, ApiError> {
    let name = name.unwrap_or_default();
    if name.is_empty() {
        return Err(validation("A target group name must be specified"));
    }
    if name.chars().count() > MOST_CHARACTERS {
        return Err(validation(format!(
            "Target group name '{name}' cannot be longer than '{MOST_CHARACTERS}' characters"
        )));
    }
    if !name.chars().all(|one| one.is_ascii_alphanumeric() || one == '-') {
        return Err(validation(format!(
            "Target group name '{name}' can only contain characters that are alphanumeric characters or hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') || name.contains("--") {
        return Err(validation(format!(
            "1 validation error detected: Value '{name}' at 'targetGroup.targetGroupArn.targetGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!.*--)(?!^-)(?!.*-$)^[A-Za-z0-9-]+$"
        )));
    }
    Ok(name)
}

/// `NAME-ID.REGION.elb.localhost`: names under `localhost` lead to the front door from the machine itself; tasks are told the load
/// balancer's own addresses.
pub fn dns(
    scope: &Scope,
    name: &str,
    kind: LoadBalancerKind,
    id: &str,
    internal: bool,
    ids: &mut impl Ids,
) -> String {
    let prefix = if internal { "internal-" } else { "" };
    let id = match kind {
        LoadBalancerKind::Application => ids.digits(10),
        LoadBalancerKind::Network => id.to_owned(),
    };
    format!("{prefix}{name}-{id}.{}.elb.localhost", scope.region)
}

/// Whether the text is the ARN of some `kind`, there or not.
///
/// # Errors
/// `ValidationError`: `'x' is not a valid load balancer ARN`.
pub fn check_arn(arn: &str, kind: &str) -> Result<(), ApiError> {
    let what = match kind {
        "loadbalancer" => "load balancer",
        "targetgroup" => "target group",
        "listener-rule" => "listener rule",
        "truststore" => "trust store",
        other => other,
    };
    let parsed = arn.parse::<Arn>().ok();
    let valid =
        parsed.is_some_and(|arn| arn.service() == ARN_SERVICE && arn.resource_of_kind(kind).is_some());
    if valid { Ok(()) } else { Err(validation(format!("'{arn}' is not a valid {what} ARN"))) }
}
