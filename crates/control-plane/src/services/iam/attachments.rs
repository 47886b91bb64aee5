//! Managed policies attached to users, groups and roles.

use std::collections::BTreeMap;

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    AttachGroupPolicyRequest, AttachRolePolicyRequest, AttachUserPolicyRequest, DetachGroupPolicyRequest,
    DetachRolePolicyRequest, DetachUserPolicyRequest, EntityType, ListAttachedGroupPoliciesRequest,
    ListAttachedGroupPoliciesResponse, ListAttachedRolePoliciesRequest, ListAttachedRolePoliciesResponse,
    ListAttachedUserPoliciesRequest, ListAttachedUserPoliciesResponse, ListEntitiesForPolicyRequest,
    ListEntitiesForPolicyResponse, PolicyUsageType, errors::POLICY_NOT_ATTACHABLE_EXCEPTION,
};
use state_store::View;

use super::{
    errors,
    names::{self, Wanted, page},
    policies,
    records::{self, Group, Holder, Permissions, Role, User},
};
use crate::{
    gateway::{ApiError, Call},
    services::paging::Page,
};

/// Managed policies of one user, group or role.
const MOST: usize = 10;
/// The paths of policies that are for service-linked roles alone.
const SERVICE_LINKED: &str = "/aws-service-role/";

async fn attach<T: Holder>(call: Call, name: Option<String>, arn: Option<String>) -> Result<Unit, ApiError> {
    let (scope, name, arn) = (names::of(&call), name.unwrap_or_default(), arn.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let mut holder = (*records::get::<T>(tx, &scope, &name)?).clone();
            holder.changeable()?;
            if policies::PolicyArn::parse(&arn).is_none() {
                return Err(errors::invalid_input(format!("ARN {arn} is not valid.")));
            }
            let policy = policies::find(tx, &scope, &arn).ok_or_else(|| {
                errors::no_such_entity(format!("Policy {arn} does not exist or is not attachable."))
            })?;
            if arn.contains("::aws:") && policy.path.starts_with(SERVICE_LINKED) {
                return Err(ApiError::new(
                    &POLICY_NOT_ATTACHABLE_EXCEPTION,
                    "Cannot attach a Service Role Policy to a Customer Role.",
                ));
            }
            let attached = &mut holder.permissions_mut().attached;
            if attached.contains(&arn) {
                return Ok(Unit);
            }
            if attached.len() >= MOST {
                return Err(errors::quota(&format!("PoliciesPer{}", T::TITLE), MOST));
            }
            attached.insert(arn.clone());
            tx.put(&scope, &names::key(&name), holder);
            Ok(Unit)
        })
        .await
}

async fn detach<T: Holder>(call: Call, name: Option<String>, arn: Option<String>) -> Result<Unit, ApiError> {
    let (scope, name, arn) = (names::of(&call), name.unwrap_or_default(), arn.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let mut holder = (*records::get::<T>(tx, &scope, &name)?).clone();
            holder.changeable()?;
            if !holder.permissions_mut().attached.remove(&arn) {
                return Err(policies::missing(&arn));
            }
            tx.put(&scope, &names::key(&name), holder);
            Ok(Unit)
        })
        .await
}

/// The attached policies as the API shows them, below a path.
pub fn shapes(permissions: &Permissions, prefix: &str) -> Vec<iam::AttachedPolicy> {
    let path = |arn: &str| arn.split_once(":policy").map(|(_, path)| path.to_owned()).unwrap_or_default();
    let below = permissions.attached.iter().filter(|arn| path(arn).starts_with(prefix));
    let shape = |arn: &String| iam::AttachedPolicy {
        policy_name: Some(names::last_segment(arn).to_owned()),
        policy_arn: Some(arn.clone()),
    };
    below.map(shape).collect()
}

fn list<T: Holder>(
    call: &Call,
    name: Option<String>,
    prefix: Option<String>,
    wanted: Wanted,
) -> Result<Page<iam::AttachedPolicy>, ApiError> {
    let (scope, name) = (names::of(call), name.unwrap_or_default());
    let holder = call.services.state.read(|view| records::see::<T>(view, &scope, &name))?;
    let prefix = prefix.unwrap_or_default();
    // By name, and AWS's own apart from the customer's: a marker has no room for whole ARNs.
    let key = |policy: &iam::AttachedPolicy| {
        let provided = policy.policy_arn.as_deref().is_some_and(|arn| arn.contains("::aws:"));
        format!("{} {}", policy.policy_name.as_deref().unwrap_or_default(), u8::from(provided))
    };
    let mut policies = shapes(holder.permissions(), &prefix);
    policies.sort_by_key(key);
    page(call, &format!("attached {} {prefix}", holder.id()), policies, key, wanted)
}

macro_rules! operations {
    ($holder:ty, $name:ident,
     $attach:ident: $attach_request:ty, $detach:ident: $detach_request:ty,
     $list:ident: $list_request:ty => $response:ident) => {
        pub async fn $attach(call: Call, input: $attach_request) -> Result<Unit, ApiError> {
            attach::<$holder>(call, input.$name, input.policy_arn).await
        }

        pub async fn $detach(call: Call, input: $detach_request) -> Result<Unit, ApiError> {
            detach::<$holder>(call, input.$name, input.policy_arn).await
        }

        pub async fn $list(call: Call, input: $list_request) -> Result<$response, ApiError> {
            let wanted = Wanted::new(input.marker, input.max_items);
            let page = list::<$holder>(&call, input.$name, input.path_prefix, wanted)?;
            Ok($response {
                is_truncated: Some(page.next_token.is_some()),
                marker: page.next_token,
                attached_policies: Some(page.items),
            })
        }
    };
}

operations!(User, user_name,
    attach_user: AttachUserPolicyRequest, detach_user: DetachUserPolicyRequest,
    list_user: ListAttachedUserPoliciesRequest => ListAttachedUserPoliciesResponse);
operations!(Group, group_name,
    attach_group: AttachGroupPolicyRequest, detach_group: DetachGroupPolicyRequest,
    list_group: ListAttachedGroupPoliciesRequest => ListAttachedGroupPoliciesResponse);
operations!(Role, role_name,
    attach_role: AttachRolePolicyRequest, detach_role: DetachRolePolicyRequest,
    list_role: ListAttachedRolePoliciesRequest => ListAttachedRolePoliciesResponse);

/// One who holds a policy, in the order of the list: groups, users, roles.
enum Entry {
    Group(iam::PolicyGroup),
    User(iam::PolicyUser),
    Role(iam::PolicyRole),
}

/// Name and id of the holders of a policy below a path, by their keys.
fn holders<T: Holder>(
    view: &View,
    scope: &vocabulary::Scope,
    (arn, index): (&str, &str),
    prefix: &str,
) -> Vec<(String, String, String)> {
    let holders = view.by_index::<T>(scope, index, arn);
    let holders = holders.filter(|(_, holder)| holder.path().starts_with(prefix));
    holders.map(|(key, holder)| (key.to_owned(), holder.name().to_owned(), holder.id().to_owned())).collect()
}

pub async fn entities(
    call: Call,
    input: ListEntitiesForPolicyRequest,
) -> Result<ListEntitiesForPolicyResponse, ApiError> {
    let (scope, arn) = (names::of(&call), input.policy_arn.unwrap_or_default());
    let prefix = input.path_prefix.unwrap_or_default();
    let view = call.services.state.view();
    policies::seen(&view, &scope, &arn).ok_or_else(|| policies::missing(&arn))?;
    let filter = input.entity_filter;
    let shown = |kind: EntityType| filter.is_none() || filter.as_ref() == Some(&kind);
    let indexes: &[&str] = match input.policy_usage_filter {
        Some(PolicyUsageType::PermissionsPolicy) => &["policy"],
        Some(PolicyUsageType::PermissionsBoundary) => &["boundary"],
        _ => &["policy", "boundary"],
    };
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    for index in indexes {
        if shown(EntityType::Group) {
            for (key, name, id) in holders::<Group>(&view, &scope, (&arn, index), &prefix) {
                let group = iam::PolicyGroup { group_name: Some(name), group_id: Some(id) };
                entries.insert(format!("1 {key}"), Entry::Group(group));
            }
        }
        if shown(EntityType::User) {
            for (key, name, id) in holders::<User>(&view, &scope, (&arn, index), &prefix) {
                let user = iam::PolicyUser { user_name: Some(name), user_id: Some(id) };
                entries.insert(format!("2 {key}"), Entry::User(user));
            }
        }
        if shown(EntityType::Role) {
            for (key, name, id) in holders::<Role>(&view, &scope, (&arn, index), &prefix) {
                let role = iam::PolicyRole { role_name: Some(name), role_id: Some(id) };
                entries.insert(format!("3 {key}"), Entry::Role(role));
            }
        }
    }
    let wanted = Wanted::new(input.marker, input.max_items);
    let list = format!("entities {arn} {prefix} {filter:?} {indexes:?}");
    let page = page(&call, &list, entries, |(key, _)| key.clone(), wanted)?;
    let (mut groups, mut users, mut roles) = (Vec::new(), Vec::new(), Vec::new());
    for (_, entry) in page.items {
        match entry {
            Entry::Group(group) => groups.push(group),
            Entry::User(user) => users.push(user),
            Entry::Role(role) => roles.push(role),
        }
    }
    Ok(ListEntitiesForPolicyResponse {
        policy_groups: Some(groups),
        policy_users: Some(users),
        policy_roles: Some(roles),
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
    })
}
