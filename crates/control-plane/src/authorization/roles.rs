//! Whether a role may be assumed: its trust policy decides first, as a key's policy does.
//!
//! Within an account, a trust policy that names the user or the role itself is enough; one that names the account leaves it to
//! the identity policies of those in it. Across accounts both have to allow. A service or somebody whom an identity provider
//! vouches for has no policies of their own: the trust policy alone counts. Source: "Policy evaluation logic" and "Methods to
//! assume a role" of the IAM user guide.

use policy::{Context, Decision, Policies, Request, decide};
use vocabulary::AccountId;

use super::{circumstances, decisions, documents::compile, holder::Holder};
use crate::services::iam::{policy_document::Use, records::Role};

/// Whether `holder` may do `action` (`sts:AssumeRole`, `sts:TagSession`, …) with a role of `account`.
pub fn may_assume(
    holder: &Holder,
    context: &Context,
    account: &AccountId,
    role: &Role,
    action: &str,
) -> Decision {
    let arn = role.arn(account);
    let trust = compile(&arn, &role.trust, Use::Trust);
    let mut context = context.clone();
    circumstances::set_resource_tags(&mut context, "iam", &role.tags);
    let request = Request {
        principal: &holder.principal,
        action,
        resource: &arn,
        resource_account: Some(account),
        context: &context,
    };
    let held = holder.held();
    let policies = Policies { resource: Some(&trust), resource_decides: true, ..held.policies() };
    let decision = decide(&request, &policies);
    decisions::note(&request, &decision);
    decision
}
