//! Whether a call is allowed: what stands between a known caller and a handler.
//!
//! An operation asks for one or more actions, each on the resources that its input names ([`asked`]). The policies of the caller come from
//! IAM's records ([`holder`]), the circumstances from the request ([`circumstances`]), and the decision from the pure core `policy`.
//! The account's root is never refused here. Every refusal names the kind of policy that decided, as AWS does; the log under
//! `longshore::decisions` names the statement.
//!
//! Not here: who calls (the gateway), the policies of resources, which their services bring in where they have them, and
//! whether a role may be assumed (STS, which knows its trust policy).

mod asked;
mod circumstances;
mod documents;
mod holder;
mod input;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use aws_schema::{OperationTable, Protocol, ServiceTable, Value};
use policy::{By, Decision, Policies, Request, decide};

use crate::gateway::{ApiError, Call};
#[cfg(test)]
use asked::mapped;
use holder::Holder;
pub use holder::Holders;

/// What the request tells beside its content.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    pub address: Option<IpAddr>,
    pub user_agent: Option<&'a str>,
}

/// Lets the call pass, or not.
///
/// # Errors
/// `AccessDeniedException`, under the name that the service has for it.
pub fn authorize(
    call: &Call,
    origin: Origin<'_>,
    service: &'static ServiceTable,
    operation: &'static OperationTable,
    input: &Value,
) -> Result<(), ApiError> {
    let view = call.services.state.view();
    let holder = call.services.holders.find(&view, call);
    if holder.is_root() {
        return Ok(());
    }
    let circumstances = circumstances::of(call, origin, &holder, operation, input);
    for asked in asked::of(&view, call, service, operation, input) {
        let mut context = circumstances.clone();
        for (key, value) in &asked.keys {
            context.set(key, value.as_str());
        }
        for resource in &asked.resources {
            let account = resource.split(':').nth(4).and_then(|account| account.parse().ok());
            let request = Request {
                principal: &holder.principal,
                action: &asked.action,
                resource,
                resource_account: account.as_ref(),
                context: &context,
            };
            let decision = allowed(&request, &holder);
            note(&request, &decision);
            if let Some(message) = decision.refusal(&request) {
                return Err(refused(service, message));
            }
        }
    }
    Ok(())
}

/// The same for what is no operation of the model: `action` on `resource`, in the course of something like `operation`.
///
/// # Errors
/// Those of [`authorize`].
pub fn authorize_action(
    call: &Call,
    origin: Origin<'_>,
    service: &'static ServiceTable,
    operation: &'static OperationTable,
    action: &str,
    resource: &str,
) -> Result<(), ApiError> {
    let holder = call.services.holders.find(&call.services.state.view(), call);
    if holder.is_root() {
        return Ok(());
    }
    let context = circumstances::of(call, origin, &holder, operation, &Value::Structure(Vec::new()));
    let account = resource.split(':').nth(4).and_then(|account| account.parse().ok());
    let principal = &holder.principal;
    let request =
        Request { principal, action, resource, resource_account: account.as_ref(), context: &context };
    let decision = allowed(&request, &holder);
    note(&request, &decision);
    decision.refusal(&request).map_or(Ok(()), |message| Err(refused(service, message)))
}

fn allowed(request: &Request<'_>, holder: &Holder) -> Decision {
    let identity = Holder::borrowed(&holder.identity);
    let boundary = holder.boundary.as_ref().map(|policies| Holder::borrowed(policies));
    let session = holder.session.as_ref().map(|policies| Holder::borrowed(policies));
    let policies = Policies {
        identity: &identity,
        boundary: boundary.as_deref(),
        session: session.as_deref(),
        ..Policies::default()
    };
    decide(request, &policies)
}

/// For those who wonder why.
fn note(request: &Request<'_>, decision: &Decision) {
    let (action, resource) = (request.action, request.resource);
    match decision {
        Decision::Allowed(By::Root) => {}
        Decision::Allowed(By::Statement(by)) => {
            tracing::debug!(target: "longshore::decisions", principal = request.principal.name(), action, resource, policy = by.policy, statement = by.statement, sid = by.sid, "allowed");
        }
        Decision::Denied(by) => {
            tracing::info!(target: "longshore::decisions", principal = request.principal.name(), action, resource, policy = by.policy, statement = by.statement, sid = by.sid, "denied by a statement");
        }
        Decision::NotAllowed(kind) => {
            tracing::info!(target: "longshore::decisions", principal = request.principal.name(), action, resource, "no {} allows it", kind.words());
        }
    }
}

/// The refusal under the service's own name and status.
fn refused(service: &ServiceTable, message: String) -> ApiError {
    match service.protocols.first() {
        Some(Protocol::Ec2Query) => {
            let message = format!("You are not authorized to perform this operation. {message}");
            ApiError::undeclared("UnauthorizedOperation", 403, message)
        }
        Some(Protocol::Query) => ApiError::undeclared("AccessDenied", 403, message),
        _ => ApiError::undeclared("AccessDeniedException", 400, message),
    }
}
