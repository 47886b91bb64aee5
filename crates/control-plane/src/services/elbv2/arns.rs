//! ARNs in and out of keys.

use vocabulary::{Arn, Scope};

use super::records::ARN_SERVICE;

/// What stands behind `kind/` in an ARN of this service, account and region: `app/NAME/ID`.
pub fn key<'a>(scope: &Scope, arn: &'a str, kind: &str) -> Option<&'a str> {
    let parsed: Arn = arn.parse().ok()?;
    let ours = parsed.service() == ARN_SERVICE
        && parsed.account() == scope.account.as_str()
        && parsed.region() == scope.region.as_str();
    let start = arn.len().checked_sub(parsed.resource().len()).filter(|_| ours)?;
    arn.get(start..)?.strip_prefix(kind)?.strip_prefix('/').filter(|rest| !rest.is_empty())
}

/// Listener's key and rule's id of a rule's ARN.
pub fn rule_key<'a>(scope: &Scope, arn: &'a str) -> Option<(&'a str, &'a str)> {
    key(scope, arn, "listener-rule")?.rsplit_once('/')
}
