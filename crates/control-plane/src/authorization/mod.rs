//! Whether a call is allowed: what stands between a known caller and a handler.
//!
//! An operation asks for one or more actions, each on the resources that its input names ([`asked`]). The policies of the caller come from
//! IAM's records ([`holder`]), tags and the policy of a resource from the service that has it ([`resources`]), the circumstances from the
//! request ([`circumstances`]), and the decision from the pure core `policy`. Every refusal names the kind of policy that decided, as AWS
//! does; the log under `longshore::decisions` names the statement ([`decisions`]).
//!
//! How services use it:
//! - [`authorize`] runs before every handler. A service whose resources have policies, tags or other names than their ARN's adds a line to
//!   [`resources::facts`], and its handlers need not ask again.
//! - [`authorize_with_resource_policy`] is for what a handler asks beyond its own operation, in its caller's name ([`of_call`]) or in that of
//!   a role that the platform acts in ([`Holders::of_role`]): a secret that is decrypted with a key, an image that is pulled for a task.
//! - [`may_assume`] is STS's question to a role's trust policy.
//!
//! The root of the account that a resource is in is refused only by the resource's own policy. Not here: who calls (the gateway).

mod asked;
mod circumstances;
mod decisions;
mod documents;
mod holder;
pub mod input;
mod keys;
pub mod resources;
mod roles;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_schema::{OperationTable, Protocol, ServiceTable, Value};
use policy::{Context, Decision, Policies, Policy, Request, decide};
use state_store::View;
use vocabulary::AccountId;

use crate::{
    gateway::{ApiError, Call},
    services::{Services, sts::messages},
};
pub use asked::Asked;
#[cfg(test)]
use asked::mapped;
pub use decisions::Decided;
pub use documents::compile;
pub use holder::{Holder, Holders};
use resources::{Facts, ResourcePolicy};
pub use roles::may_assume;

/// Lets the call pass, or not.
///
/// # Errors
/// `AccessDeniedException`, under the name that the service has for it.
pub fn authorize(
    call: &Call,
    service: &'static ServiceTable,
    operation: &'static OperationTable,
    input: &Value,
) -> Result<(), ApiError> {
    judge(call, service, operation, input).1
}

/// As [`authorize`], with all that was decided on the way, for those who keep it.
pub fn judge(
    call: &Call,
    service: &'static ServiceTable,
    operation: &'static OperationTable,
    input: &Value,
) -> (Vec<Decided>, Result<(), ApiError>) {
    let mut decided = Vec::new();
    let view = call.services.state.view();
    let holder = call.services.holders.find(&view, call);
    if holder.is_root() && !resources::have_policies(service.name) {
        return (decided, Ok(()));
    }
    let circumstances = circumstances::of(call, &holder, operation, input);
    for asked in asked::of(&view, call, service, operation, input) {
        let mut context = circumstances.clone();
        for (key, values) in &asked.keys {
            context.set_all(key, values.iter().cloned());
        }
        for resource in &asked.resources {
            let facts = resources::facts(&view, resource);
            let question = Question { action: &asked.action, resource, facts: facts.as_ref(), policy: None };
            let (one, outcome) = answer(&call.services, &holder, &context, service, &question);
            decided.push(one);
            if outcome.is_err() {
                return (decided, outcome);
            }
        }
    }
    (decided, Ok(()))
}

/// The same for what is no operation of the model: `action` on `resource`.
///
/// # Errors
/// Those of [`authorize`].
pub fn authorize_action(
    call: &Call,
    service: &'static ServiceTable,
    action: &str,
    resource: &str,
) -> Result<(), ApiError> {
    let (holder, context) = of_call(call);
    authorize_with_resource_policy(&call.services, &holder, &context, service, &Wish::new(action, resource))
}

/// The caller with its policies, and what holds of everything that it asks for.
pub fn of_call(call: &Call) -> (Arc<Holder>, Context) {
    let holder = call.services.holders.find(&call.services.state.view(), call);
    let context = circumstances::of_call(call, &holder);
    (holder, context)
}

/// What holds of everything that the caller, who is `holder`, asks for.
pub fn context_of(call: &Call, holder: &Holder) -> Context {
    circumstances::of_call(call, holder)
}

/// One action on one resource.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// `kms:Decrypt`
    pub action: &'a str,
    /// An ARN.
    pub resource: &'a str,
    /// The resource's policy, where the caller has it at hand; what [`resources::facts`] knows otherwise.
    pub policy: Option<&'a ResourcePolicy>,
}

impl<'a> Wish<'a> {
    pub fn new(action: &'a str, resource: &'a str) -> Wish<'a> {
        Wish { action, resource, policy: None }
    }
}

/// Whether `holder` may do what is wished, by its own policies and the resource's: within an account either is enough (unless
/// the resource's [decides](ResourcePolicy::decides)), across accounts both are needed, a statement that denies wins. `context` is
/// [`Holder::context`] or that of [`of_call`], with the keys of the action set by who asks (`kms:ViaService`, …); the resource's tags
/// are added here. `service` gives the refusal its name.
///
/// # Errors
/// As [`authorize`].
pub fn authorize_with_resource_policy(
    services: &Services,
    holder: &Holder,
    context: &Context,
    service: &'static ServiceTable,
    wish: &Wish<'_>,
) -> Result<(), ApiError> {
    let facts = services.state.read(|view: &View| resources::facts(view, wish.resource));
    let question =
        Question { action: wish.action, resource: wish.resource, facts: facts.as_ref(), policy: wish.policy };
    answer(services, holder, context, service, &question).1
}

struct Question<'a> {
    action: &'a str,
    resource: &'a str,
    facts: Option<&'a Facts>,
    policy: Option<&'a ResourcePolicy>,
}

fn answer(
    services: &Services,
    holder: &Holder,
    context: &Context,
    service: &'static ServiceTable,
    question: &Question<'_>,
) -> (Decided, Result<(), ApiError>) {
    let none = Facts::default();
    let facts = question.facts.unwrap_or(&none);
    let resource = facts.arn.as_deref().unwrap_or(question.resource);
    let in_arn: Option<AccountId> = resource.split(':').nth(4).and_then(|account| account.parse().ok());
    let owner = facts.owner.as_ref().or(in_arn.as_ref());
    let policy = question.policy.or(facts.policy.as_ref());
    let tagged;
    let context = if facts.tags.is_empty() && facts.keys.is_empty() {
        context
    } else {
        let mut own = context.clone();
        let kind = question.action.split(':').next().unwrap_or_default();
        circumstances::set_resource_tags(&mut own, kind, &facts.tags);
        for (key, value) in &facts.keys {
            own.set(key, value.as_str());
        }
        tagged = own;
        &tagged
    };
    let request = Request {
        principal: &holder.principal,
        action: question.action,
        resource,
        resource_account: owner,
        context,
    };
    let compiled = policy.map(|policy| services.holders.compiled.of_resource(resource, &policy.document));
    let decision =
        decided(&request, holder, compiled.as_deref(), policy.is_some_and(|policy| policy.decides));
    decisions::note(&request, &decision);
    let refusal = decision.refusal(&request).map(|mut message| {
        if service.protocols.first() == Some(&Protocol::Ec2Query)
            && let Some(encoded) = messages::encode(services, &request, &decision)
        {
            message = format!("{message}. Encoded authorization failure message: {encoded}");
        }
        refused(service, message)
    });
    (Decided::new(&request, &decision), refusal.map_or(Ok(()), Err))
}

fn decided(request: &Request<'_>, holder: &Holder, resource: Option<&Policy>, decides: bool) -> Decision {
    let held = holder.held();
    decide(request, &Policies { resource, resource_decides: decides, ..held.policies() })
}

/// The refusal under the service's own name and status.
fn refused(service: &ServiceTable, message: String) -> ApiError {
    match service.protocols.first() {
        Some(Protocol::Ec2Query) => {
            let message = format!("You are not authorized to perform this operation. {message}");
            ApiError::undeclared("UnauthorizedOperation", 403, message)
        }
        Some(Protocol::Query) => ApiError::undeclared("AccessDenied", 403, message),
        Some(Protocol::RestXml) => ApiError::undeclared("AccessDenied", 403, message),
        _ => ApiError::undeclared("AccessDeniedException", 400, message),
    }
}
