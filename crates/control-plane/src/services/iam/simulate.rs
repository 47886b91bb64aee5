//! SimulateCustomPolicy and SimulatePrincipalPolicy: what policies would decide, without anybody asking.
//!
//! The decision is the one that requests get, by the same core ([`policy::decide`]); a request of a simulation has the circumstances
//! that the caller lists and those that follow from who is simulated. One answer for each pair of action and resource. There are no
//! organizations here: their policies are refused.

mod positions;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use aws_shapes_iam as iam;
use aws_shapes_iam::{
    PolicyEvaluationDecisionType, SimulateCustomPolicyRequest, SimulatePolicyResponse,
    SimulatePrincipalPolicyRequest,
};
use policy::{
    Caller, Context, Decision, Kind, Policies, Policy, Principal, Request, Verdict, decide, statements,
};
use vocabulary::{AccountId, Arn};

use self::sources::Source;
use super::{
    context_keys, errors,
    names::{self, Wanted, page},
    policy_document::{self, Use},
};
use crate::gateway::{ApiError, Call};

/// What is simulated, whichever of the two operations asked for it.
struct Simulation {
    identity: Vec<Source>,
    boundary: Option<Vec<Source>>,
    resource: Option<Source>,
    principal: Principal,
    /// Who the resources belong to that do not say so themselves.
    owner: AccountId,
    context: Context,
    /// Condition keys that have a value, in lower case.
    given: BTreeSet<String>,
    actions: Vec<String>,
    resources: Vec<String>,
}

/// What both operations have.
struct Common {
    actions: Option<Vec<String>>,
    resources: Option<Vec<String>>,
    resource_policy: Option<String>,
    boundary: Option<Vec<String>>,
    caller_arn: Option<String>,
    resource_owner: Option<String>,
    handling: Option<String>,
    entries: Option<Vec<iam::ContextEntry>>,
    wanted: Wanted,
}

pub async fn custom(
    call: Call,
    input: SimulateCustomPolicyRequest,
) -> Result<SimulatePolicyResponse, ApiError> {
    if input.ordered_organization_policy_input_list.is_some_and(|list| !list.is_empty()) {
        return Err(errors::invalid_input(
            "Policies of organizations cannot be simulated: there are none here.",
        ));
    }
    let identity = sources::given("PolicyInputList", input.policy_input_list.unwrap_or_default())?;
    let common = Common {
        actions: input.action_names,
        resources: input.resource_arns,
        resource_policy: input.resource_policy,
        boundary: input.permissions_boundary_policy_input_list,
        caller_arn: input.caller_arn,
        resource_owner: input.resource_owner,
        handling: input.resource_handling_option,
        entries: input.context_entries,
        wanted: Wanted::new(input.marker, input.max_items),
    };
    run(&call, identity, None, None, common)
}

pub async fn principal(
    call: Call,
    input: SimulatePrincipalPolicyRequest,
) -> Result<SimulatePolicyResponse, ApiError> {
    if input.policy_exclusion_list.is_some_and(|list| !list.is_empty()) {
        return Err(errors::invalid_input("Policies cannot be left out of a simulation here."));
    }
    let source = input.policy_source_arn.unwrap_or_default();
    let held = sources::held(&call.services.state.view(), &names::of(&call), &source)?;
    let mut identity = held.policies;
    identity.extend(sources::given("PolicyInputList", input.policy_input_list.unwrap_or_default())?);
    let common = Common {
        actions: input.action_names,
        resources: input.resource_arns,
        resource_policy: input.resource_policy,
        boundary: input.permissions_boundary_policy_input_list,
        caller_arn: input.caller_arn.or(held.caller),
        resource_owner: input.resource_owner,
        handling: input.resource_handling_option,
        entries: input.context_entries,
        wanted: Wanted::new(input.marker, input.max_items),
    };
    run(&call, identity, held.boundary, Some(held.tags), common)
}

fn run(
    call: &Call,
    identity: Vec<Source>,
    own_boundary: Option<Vec<Source>>,
    tags: Option<BTreeMap<String, String>>,
    common: Common,
) -> Result<SimulatePolicyResponse, ApiError> {
    if common.handling.is_some() {
        return Err(errors::invalid_input("ResourceHandlingOption is not supported by Longshore."));
    }
    let account = &call.scope().account;
    let boundary = match common.boundary.filter(|list| !list.is_empty()) {
        // What is given takes the place of what the user or the role has.
        Some(list) => Some(sources::given("PermissionsBoundaryPolicyInputList", list)?),
        None => own_boundary,
    };
    let resource = common.resource_policy.map(|text| sources::one("ResourcePolicy", text, Use::Resource));
    let resource = resource.transpose()?;
    if resource.is_some() && common.caller_arn.is_none() {
        return Err(errors::invalid_input("CallerArn must be provided when ResourcePolicy is provided."));
    }
    let principal = who(account, common.caller_arn.as_deref())?;
    let owner = match common.resource_owner.as_deref() {
        Some(owner) => {
            account_of(owner).ok_or_else(|| errors::invalid_input(format!("{owner} is not an account.")))?
        }
        None => account.clone(),
    };
    let (context, given) = circumstances(&principal, tags.unwrap_or_default(), common.entries)?;
    let actions = common.actions.unwrap_or_default();
    for action in &actions {
        if action.split_once(':').is_none_or(|(service, name)| service.is_empty() || name.is_empty()) {
            return Err(errors::invalid_input(format!("Invalid Action: {action}")));
        }
    }
    let resources = common.resources.filter(|list| !list.is_empty()).unwrap_or_else(|| vec!["*".to_owned()]);
    let simulation =
        Simulation { identity, boundary, resource, principal, owner, context, given, actions, resources };
    let all = simulation.results();
    let list = format!("simulation {:?} {:?}", simulation.actions, simulation.resources);
    let numbered = all.into_iter().enumerate();
    let page = page(call, &list, numbered, |(number, _)| format!("{number:08}"), common.wanted)?;
    Ok(SimulatePolicyResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        evaluation_results: Some(page.items.into_iter().map(|(_, result)| result).collect()),
    })
}

/// The one who is simulated. Without any: some user of the account.
fn who(account: &AccountId, arn: Option<&str>) -> Result<Principal, ApiError> {
    let Some(arn) = arn else {
        let arn = format!("arn:aws:iam::{account}:user/simulated");
        return Ok(Principal { account: Some(account.clone()), caller: Caller::User { arn } });
    };
    let invalid = || errors::invalid_input(format!("Invalid CallerArn: {arn}"));
    let parsed: Arn = arn.parse().map_err(|_| invalid())?;
    let account: AccountId = parsed.account().parse().map_err(|_| invalid())?;
    let text = arn.to_owned();
    let caller = match (parsed.service(), parsed.resource().split_once('/')) {
        ("iam", None) if parsed.resource() == "root" => Caller::Root,
        ("iam", Some(("user", _))) => Caller::User { arn: text },
        ("iam", Some(("role", _))) => Caller::RoleSession { arn: text.clone(), role_arn: text },
        ("sts", Some(("assumed-role", rest))) => {
            let role = rest.split('/').next().unwrap_or_default();
            Caller::RoleSession { arn: text, role_arn: format!("arn:aws:iam::{account}:role/{role}") }
        }
        ("sts", Some(("federated-user", _))) => Caller::Federated { arn: text },
        _ => return Err(invalid()),
    };
    Ok(Principal { account: Some(account), caller })
}

/// An account's number, or its root's ARN.
fn account_of(text: &str) -> Option<AccountId> {
    let number = match text.parse::<Arn>() {
        Ok(arn) => arn.account().to_owned(),
        Err(_) => text.to_owned(),
    };
    number.parse().ok()
}

fn circumstances(
    principal: &Principal,
    tags: BTreeMap<String, String>,
    entries: Option<Vec<iam::ContextEntry>>,
) -> Result<(Context, BTreeSet<String>), ApiError> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut set = |key: &str, value: Vec<String>| {
        values.insert(key.to_lowercase(), value);
    };
    if let Some(account) = &principal.account {
        set("aws:PrincipalAccount", vec![account.to_string()]);
    }
    match &principal.caller {
        Caller::User { arn } => {
            set("aws:PrincipalArn", vec![arn.clone()]);
            set("aws:PrincipalType", vec!["User".to_owned()]);
            set("aws:username", vec![names::last_segment(arn).to_owned()]);
        }
        Caller::RoleSession { role_arn, .. } => {
            set("aws:PrincipalArn", vec![role_arn.clone()]);
            set("aws:PrincipalType", vec!["AssumedRole".to_owned()]);
        }
        _ => set("aws:PrincipalArn", vec![principal.name()]),
    }
    for (name, value) in tags {
        set(&format!("aws:PrincipalTag/{name}"), vec![value]);
    }
    for entry in entries.unwrap_or_default() {
        let name = entry.context_key_name.unwrap_or_default();
        let list = entry.context_key_values.unwrap_or_default();
        let is_list = entry.context_key_type.as_ref().is_some_and(|kind| kind.as_str().ends_with("List"));
        if list.len() > 1 && !is_list {
            return Err(errors::invalid_input(format!("The context key {name} has one value.")));
        }
        set(&name, list);
    }
    let mut context = Context::new();
    for (key, list) in &values {
        context.set_all(key, list.iter().cloned());
    }
    Ok((context, values.into_iter().filter(|(_, list)| !list.is_empty()).map(|(key, _)| key).collect()))
}

fn word(verdict: Verdict) -> PolicyEvaluationDecisionType {
    match verdict {
        Verdict::Allowed => PolicyEvaluationDecisionType::Allowed,
        Verdict::ExplicitDeny => PolicyEvaluationDecisionType::ExplicitDeny,
        Verdict::ImplicitDeny => PolicyEvaluationDecisionType::ImplicitDeny,
    }
}

impl Simulation {
    fn results(&self) -> Vec<iam::EvaluationResult> {
        let missing = self.missing();
        let pairs = self.actions.iter().flat_map(|action| self.resources.iter().map(move |on| (action, on)));
        pairs.map(|(action, on)| self.result(action, on, &missing)).collect()
    }

    /// Keys that the policies ask about and that have no value.
    fn missing(&self) -> Vec<String> {
        let all = self.identity.iter().chain(self.boundary.iter().flatten()).chain(&self.resource);
        let mut keys = BTreeSet::new();
        for source in all {
            if let Ok(document) = policy_document::parse(&source.text, source.kind) {
                context_keys::collect(&document, &mut keys);
            }
        }
        keys.into_iter().filter(|key| !self.given.contains(&key.to_lowercase())).collect()
    }

    fn result(&self, action: &str, resource: &str, missing: &[String]) -> iam::EvaluationResult {
        fn compiled(sources: &[Source]) -> Vec<&Policy> {
            sources.iter().map(|source| source.policy.as_ref()).collect()
        }
        let owner = account_of(resource).unwrap_or_else(|| self.owner.clone());
        let request = Request {
            principal: &self.principal,
            action,
            resource,
            resource_account: Some(&owner),
            context: &self.context,
        };
        let (identity, boundary) = (compiled(&self.identity), self.boundary.as_deref().map(compiled));
        let policies = Policies {
            identity: &identity,
            boundary: boundary.as_deref(),
            resource: self.resource.as_ref().map(|source| source.policy.as_ref()),
            ..Policies::default()
        };
        let decision = decide(&request, &policies);
        let matched: Vec<iam::Statement> = match &decision {
            Decision::NotAllowed(Kind::Identity) => Vec::new(),
            // What the boundary allows gives nothing, and is told of by itself.
            _ => {
                let told = statements(&request, &policies).into_iter();
                told.filter(|found| found.kind != Kind::Boundary || !decision.is_allowed())
                    .filter_map(|found| self.shown(&found))
                    .collect()
            }
        };
        let boundary_detail = boundary.as_ref().map(|boundary| {
            let alone =
                Principal { account: self.principal.account.clone(), caller: not_root(&self.principal) };
            let request = Request { principal: &alone, resource_account: None, ..request.clone() };
            let allowed = decide(&request, &Policies { identity: boundary, ..Policies::default() });
            iam::PermissionsBoundaryDecisionDetail {
                allowed_by_permissions_boundary: Some(allowed.is_allowed()),
            }
        });
        let foreign = self.principal.account.as_ref().is_some_and(|own| *own != owner);
        let details = (foreign && self.resource.is_some()).then(|| self.sides(&request, &policies));
        let verdict = word(decision.verdict());
        let everything = resource == "*";
        let specific = (!everything).then(|| {
            vec![iam::ResourceSpecificResult {
                eval_resource_name: Some(resource.to_owned()),
                eval_resource_decision: Some(verdict),
                matched_statements: Some(matched.clone()),
                missing_context_values: Some(missing.to_vec()),
                eval_decision_details: details.clone(),
                permissions_boundary_decision_detail: boundary_detail.clone(),
            }]
        });
        iam::EvaluationResult {
            eval_action_name: Some(action.to_owned()),
            eval_resource_name: Some(resource.to_owned()),
            eval_decision: Some(verdict),
            matched_statements: Some(matched),
            missing_context_values: Some(if everything { missing.to_vec() } else { Vec::new() }),
            permissions_boundary_decision_detail: boundary_detail,
            eval_decision_details: details,
            resource_specific_results: specific,
            ..iam::EvaluationResult::default()
        }
    }

    /// What each side of two accounts says by itself.
    fn sides(
        &self,
        request: &Request<'_>,
        policies: &Policies<'_>,
    ) -> BTreeMap<String, PolicyEvaluationDecisionType> {
        let own = Request { resource_account: None, ..request.clone() };
        let by_identity = decide(&own, &Policies { resource: None, ..*policies });
        let by_resource = decide(
            &own,
            &Policies { identity: &[], boundary: None, resource: policies.resource, ..Policies::default() },
        );
        let named = match (&by_resource, policies.resource) {
            // Named by its account alone, a caller is let in as far as the resource's side goes.
            (Decision::NotAllowed(Kind::Identity), Some(_))
                if statements(&own, &Policies { resource: policies.resource, ..Policies::default() })
                    .iter()
                    .any(|found| found.kind == Kind::Resource) =>
            {
                Verdict::Allowed
            }
            _ => by_resource.verdict(),
        };
        BTreeMap::from([
            ("IAM Policy".to_owned(), word(by_identity.verdict())),
            ("Resource Policy".to_owned(), word(named)),
        ])
    }

    fn shown(&self, found: &policy::Source) -> Option<iam::Statement> {
        let all = match found.kind {
            Kind::Identity => self.identity.as_slice(),
            Kind::Boundary => self.boundary.as_deref().unwrap_or_default(),
            Kind::Resource => self.resource.as_slice(),
            Kind::Session => &[],
        };
        let source = all.iter().find(|source| source.policy.name() == found.policy)?;
        let span = positions::statements(&source.text).into_iter().nth(found.statement - 1);
        let position = |(line, column): (usize, usize)| iam::Position {
            line: i32::try_from(line).ok(),
            column: i32::try_from(column).ok(),
        };
        Some(iam::Statement {
            source_policy_id: Some(found.policy.clone()),
            source_policy_type: Some(source.origin.shape()),
            start_position: span.map(|(start, _)| position(start)),
            end_position: span.map(|(_, end)| position(end)),
        })
    }
}

/// A boundary limits the root as little as anybody's policies do: asked alone, it is asked about a user.
fn not_root(principal: &Principal) -> Caller {
    match &principal.caller {
        Caller::Root => Caller::User { arn: principal.name() },
        other => other.clone(),
    }
}
