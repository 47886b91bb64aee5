//! Managed policies and their versions: the customer's, and AWS's own, which are only read.

use std::{collections::BTreeMap, sync::Arc};

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    CreatePolicyRequest, CreatePolicyResponse, DeletePolicyRequest, GetPolicyRequest, GetPolicyResponse,
    ListPoliciesRequest, ListPoliciesResponse, ListPolicyTagsRequest, ListPolicyTagsResponse,
    PolicyScopeType, PolicyUsageType, TagPolicyRequest, UntagPolicyRequest,
};
use state_store::{Tx, View};
use vocabulary::{AccountId, Arn, Scope};

use super::{
    aws_managed, errors,
    names::{self, Wanted, page, time},
    policy_document::{self, Use},
    records::{Group, Policy, Role, User, Version},
};
use crate::gateway::{ApiError, Call};

const MOST: usize = 1500;
/// Characters of a document, white space not counted.
const DOCUMENT_CHARACTERS: usize = 6144;

/// The ARN of a managed policy, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub enum PolicyArn<'a> {
    Aws,
    /// `arn:aws:iam::ACCOUNT:policy/PATH/NAME`
    Customer {
        account: AccountId,
        name: &'a str,
    },
}

impl PolicyArn<'_> {
    /// None for text that is not a policy's ARN.
    pub fn parse(text: &str) -> Option<PolicyArn<'_>> {
        let arn: Arn = text.parse().ok()?;
        arn.resource_of_kind("policy")?;
        if arn.service() != "iam" || !arn.region().is_empty() {
            return None;
        }
        match arn.account() {
            "aws" => Some(PolicyArn::Aws),
            account => {
                Some(PolicyArn::Customer { account: account.parse().ok()?, name: names::last_segment(text) })
            }
        }
    }
}

pub fn arn(account: &AccountId, policy: &Policy) -> String {
    names::arn(account, "policy", &policy.path, &policy.name)
}

/// The policy that `text` names, as the transaction sees it; AWS's own included.
pub fn find(tx: &mut Tx, scope: &Scope, text: &str) -> Option<Arc<Policy>> {
    match PolicyArn::parse(text)? {
        PolicyArn::Aws => aws_managed::POLICIES.get(text).cloned(),
        PolicyArn::Customer { account, name } if account == scope.account => {
            let found = tx.get::<Policy>(scope, &names::key(name));
            found.filter(|policy| arn(&scope.account, policy) == text)
        }
        PolicyArn::Customer { .. } => None,
    }
}

/// As [`find`], in a snapshot.
pub fn seen(view: &View, scope: &Scope, text: &str) -> Option<Arc<Policy>> {
    match PolicyArn::parse(text)? {
        PolicyArn::Aws => aws_managed::POLICIES.get(text).cloned(),
        PolicyArn::Customer { account, name } if account == scope.account => {
            let found = view.get::<Policy>(scope, &names::key(name));
            found.filter(|policy| arn(&scope.account, policy) == text)
        }
        PolicyArn::Customer { .. } => None,
    }
}

pub fn exists(tx: &mut Tx, scope: &Scope, text: &str) -> bool {
    find(tx, scope, text).is_some()
}

/// `Policy ARN was not found.`
pub fn missing(arn: &str) -> ApiError {
    match PolicyArn::parse(arn) {
        Some(_) => errors::no_such_entity(format!("Policy {arn} was not found.")),
        None => errors::invalid_input(format!("ARN {arn} is not valid.")),
    }
}

/// The customer's policy that `text` names, to be changed.
///
/// # Errors
/// `NoSuchEntity`; `AccessDenied` for AWS's own.
pub fn own(tx: &mut Tx, scope: &Scope, call: &Call, text: &str) -> Result<Arc<Policy>, ApiError> {
    let policy = find(tx, scope, text).ok_or_else(|| missing(text))?;
    if PolicyArn::parse(text) == Some(PolicyArn::Aws) {
        let message =
            format!("User: {} is not authorized to change AWS managed policy {text}", call.principal.arn);
        return Err(ApiError::undeclared("AccessDenied", 403, message));
    }
    Ok(policy)
}

/// Checks the document of a managed policy.
///
/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`.
pub fn check_document(document: &str) -> Result<(), ApiError> {
    policy_document::parse(document, Use::Managed).map_err(|error| errors::malformed(error.to_string()))?;
    if characters(document) > DOCUMENT_CHARACTERS {
        return Err(errors::quota("PolicySize", DOCUMENT_CHARACTERS));
    }
    Ok(())
}

/// What counts towards a document's size.
pub fn characters(document: &str) -> usize {
    document.chars().filter(|character| !character.is_whitespace()).count()
}

/// How many users, groups and roles have the policy attached.
pub fn attachments(view: &View, scope: &Scope, arn: &str) -> usize {
    view.by_index::<User>(scope, "policy", arn).count()
        + view.by_index::<Group>(scope, "policy", arn).count()
        + view.by_index::<Role>(scope, "policy", arn).count()
}

/// How many users and roles have the policy as their boundary.
pub fn boundary_uses(view: &View, scope: &Scope, arn: &str) -> usize {
    view.by_index::<User>(scope, "boundary", arn).count()
        + view.by_index::<Role>(scope, "boundary", arn).count()
}

/// As lists show it: without description and tags.
fn brief(view: &View, scope: &Scope, arn: &str, policy: &Policy) -> iam::Policy {
    let count = |count: usize| Some(i32::try_from(count).unwrap_or(i32::MAX));
    iam::Policy {
        policy_name: Some(policy.name.clone()),
        policy_id: Some(policy.id.clone()),
        arn: Some(arn.to_owned()),
        path: Some(policy.path.clone()),
        default_version_id: Some(format!("v{}", policy.default_version)),
        attachment_count: count(attachments(view, scope, arn)),
        permissions_boundary_usage_count: count(boundary_uses(view, scope, arn)),
        is_attachable: Some(true),
        create_date: Some(time(policy.created_at)),
        update_date: Some(time(policy.updated_at)),
        ..iam::Policy::default()
    }
}

pub async fn create(call: Call, input: CreatePolicyRequest) -> Result<CreatePolicyResponse, ApiError> {
    let scope = names::of(&call);
    let document = input.policy_document.unwrap_or_default();
    check_document(&document)?;
    let policy = Policy {
        name: input.policy_name.unwrap_or_default(),
        path: names::path(input.path),
        id: names::unique_id(&mut call.services.ids(), "ANPA"),
        description: input.description,
        created_at: call.now(),
        updated_at: call.now(),
        tags: names::tags(input.tags)?,
        versions: BTreeMap::from([(1, Version { document, created_at: call.now() })]),
        default_version: 1,
        next_version: 2,
    };
    call.services
        .state
        .transact(|tx| {
            if tx.view().scan::<Policy>(&scope).count() >= MOST {
                return Err(errors::quota("PoliciesPerAccount", MOST));
            }
            tx.create(&scope, &names::key(&policy.name), policy.clone()).map_err(|_| {
                let name = &policy.name;
                errors::already_exists(format!(
                    "A policy called {name} already exists. Duplicate names are not allowed."
                ))
            })
        })
        .await?;
    let shown = call.services.state.read(|view| brief(view, &scope, &arn(&scope.account, &policy), &policy));
    let tags = names::tags_unless_empty(&policy.tags);
    Ok(CreatePolicyResponse { policy: Some(iam::Policy { tags, ..shown }) })
}

pub async fn get(call: Call, input: GetPolicyRequest) -> Result<GetPolicyResponse, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let view = call.services.state.view();
    let policy = seen(&view, &scope, &arn).ok_or_else(|| missing(&arn))?;
    let shown = iam::Policy {
        description: policy.description.clone(),
        tags: Some(names::tag_list(&policy.tags)),
        ..brief(&view, &scope, &arn, &policy)
    };
    Ok(GetPolicyResponse { policy: Some(shown) })
}

pub async fn list(call: Call, input: ListPoliciesRequest) -> Result<ListPoliciesResponse, ApiError> {
    let scope = names::of(&call);
    let which = input.scope.unwrap_or(PolicyScopeType::All);
    let prefix = input.path_prefix.unwrap_or_default();
    let attached_only = input.only_attached == Some(true);
    let usage = input.policy_usage_filter;
    let view = call.services.state.view();
    let wanted_use = |arn: &str| match usage {
        Some(PolicyUsageType::PermissionsBoundary) => boundary_uses(&view, &scope, arn) > 0,
        Some(PolicyUsageType::PermissionsPolicy) => attachments(&view, &scope, arn) > 0,
        _ => !attached_only || attachments(&view, &scope, arn) > 0,
    };
    // By name; a customer's policy may have the name of one of AWS's.
    let mut policies: BTreeMap<(String, bool), (String, Arc<Policy>)> = BTreeMap::new();
    if which != PolicyScopeType::Aws {
        let own = view.scan::<Policy>(&scope);
        policies
            .extend(own.map(|(id, policy)| ((id.to_owned(), false), (arn(&scope.account, &policy), policy))));
    }
    if which != PolicyScopeType::Local {
        let provided = aws_managed::POLICIES.iter();
        let entry = |(arn, policy): (&String, &Arc<Policy>)| {
            ((names::key(&policy.name), true), (arn.clone(), policy.clone()))
        };
        policies.extend(provided.map(entry));
    }
    policies.retain(|_, (arn, policy)| policy.path.starts_with(&prefix) && wanted_use(arn));
    let list = format!("policies {which:?} {prefix} {attached_only} {usage:?}");
    let wanted = Wanted::new(input.marker, input.max_items);
    let key = |((name, provided), _): &((String, bool), _)| format!("{name} {}", u8::from(*provided));
    let page = page(&call, &list, policies, key, wanted)?;
    Ok(ListPoliciesResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        policies: Some(
            page.items.iter().map(|(_, (arn, policy))| brief(&view, &scope, arn, policy)).collect(),
        ),
    })
}

pub async fn delete(call: Call, input: DeletePolicyRequest) -> Result<Unit, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let policy = own(tx, &scope, &call, &arn)?;
            // Attaching reads the policy, so that of an attachment and the deletion one sees the other.
            let view = tx.view();
            if attachments(view, &scope, &arn) + boundary_uses(view, &scope, &arn) > 0 {
                return Err(errors::delete_conflict("Cannot delete a policy attached to entities."));
            }
            if policy.versions.len() > 1 {
                return Err(errors::delete_conflict(
                    "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
                ));
            }
            guard_holders(tx, &scope, &arn);
            tx.delete::<Policy>(&scope, &names::key(&policy.name));
            Ok(Unit)
        })
        .await
}

/// Makes the commit depend on nobody coming to hold the policy meanwhile.
fn guard_holders(tx: &mut Tx, scope: &Scope, arn: &str) {
    tx.by_index::<User>(scope, "policy", arn);
    tx.by_index::<Group>(scope, "policy", arn);
    tx.by_index::<Role>(scope, "policy", arn);
}

pub async fn tag(call: Call, input: TagPolicyRequest) -> Result<Unit, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let added = names::tags(input.tags)?;
    call.services
        .state
        .transact(|tx| {
            let policy = own(tx, &scope, &call, &arn)?;
            let tags = names::merged(&policy.tags, &added)?;
            tx.put(&scope, &names::key(&policy.name), Policy { tags, ..(*policy).clone() });
            Ok(Unit)
        })
        .await
}

pub async fn untag(call: Call, input: UntagPolicyRequest) -> Result<Unit, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let keys = input.tag_keys.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let policy = own(tx, &scope, &call, &arn)?;
            let tags = names::without(&policy.tags, &keys);
            tx.put(&scope, &names::key(&policy.name), Policy { tags, ..(*policy).clone() });
            Ok(Unit)
        })
        .await
}

pub async fn list_tags(call: Call, input: ListPolicyTagsRequest) -> Result<ListPolicyTagsResponse, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let policy = call.services.state.read(|view| seen(view, &scope, &arn)).ok_or_else(|| missing(&arn))?;
    let wanted = Wanted::new(input.marker, input.max_items);
    let page =
        page(&call, &format!("policy tags {arn}"), names::tag_list(&policy.tags), names::tag_key, wanted)?;
    Ok(ListPolicyTagsResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        tags: Some(page.items),
    })
}
