//! What was decided, for those who wonder why: under `longshore::decisions` in the log, and for the audit trail.

use policy::{By, Decision, Request};

/// One action on one resource, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// `ecs:RunTask`
    pub action: String,
    /// An ARN, or `*`.
    pub resource: String,
    pub allowed: bool,
    /// The statement that decided, `POLICY#SID`, or `POLICY#NUMBER` where it has no id. None where nothing allows the action,
    /// and of the account's root.
    pub statement: Option<String>,
    /// `identity-based policy`, …: whose statement it is, or which kind of policy allows nothing.
    pub policy_kind: Option<&'static str>,
}

impl Decided {
    pub fn new(request: &Request<'_>, decision: &Decision) -> Decided {
        let kind = match decision {
            Decision::NotAllowed(kind) => Some(*kind),
            _ => decision.source().map(|source| source.kind),
        };
        Decided {
            action: request.action.to_owned(),
            resource: request.resource.to_owned(),
            allowed: decision.is_allowed(),
            statement: decision.source().map(policy::Source::id),
            policy_kind: kind.map(policy::Kind::words),
        }
    }
}

/// Tells the log. Allowed is the rule and said at debug alone.
pub fn note(request: &Request<'_>, decision: &Decision) {
    let (action, resource) = (request.action, request.resource);
    let principal = || request.principal.name();
    match decision {
        Decision::Allowed(By::Root) => {}
        Decision::Allowed(By::Statement(by)) => {
            tracing::debug!(target: "longshore::decisions", principal = principal(), action, resource, kind = by.kind.words(), policy = by.policy, statement = by.statement, sid = by.sid, "allowed");
        }
        Decision::Denied(by) => {
            tracing::info!(target: "longshore::decisions", principal = principal(), action, resource, kind = by.kind.words(), policy = by.policy, statement = by.statement, sid = by.sid, "denied by a statement");
        }
        Decision::NotAllowed(kind) => {
            tracing::info!(target: "longshore::decisions", principal = principal(), action, resource, "no {} allows it", kind.words());
        }
    }
}
