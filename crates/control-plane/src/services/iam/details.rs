//! Everything about an account's users, groups, roles and policies in one list.

use std::sync::Arc;

use aws_shapes_iam as iam;
use aws_shapes_iam::{
    EntityType, GetAccountAuthorizationDetailsRequest, GetAccountAuthorizationDetailsResponse,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    attachments, aws_managed, boundaries, inline, instance_profiles,
    names::{self, Wanted, page, time},
    policies,
    records::{Group, InstanceProfile, Policy, Role, User},
    roles, users, versions,
};
use crate::gateway::{ApiError, Call};

/// One thing of the list, which goes on over pages in this order.
enum Entry {
    User(Arc<User>),
    Group(Arc<Group>),
    Role(Arc<Role>),
    Policy(String, Arc<Policy>),
}

fn user(view: &View, scope: &Scope, user: &User) -> iam::UserDetail {
    let groups = view.scan::<Group>(scope).filter(|(_, group)| user.groups.contains(&group.id));
    iam::UserDetail {
        path: Some(user.path.clone()),
        user_name: Some(user.name.clone()),
        user_id: Some(user.id.clone()),
        arn: Some(users::arn(&scope.account, user)),
        create_date: Some(time(user.created_at)),
        user_policy_list: Some(inline::details(&user.permissions)),
        group_list: Some(groups.map(|(_, group)| group.name.clone()).collect()),
        attached_managed_policies: Some(attachments::shapes(&user.permissions, "/")),
        permissions_boundary: boundaries::shape(user.boundary.as_ref()),
        tags: Some(names::tag_list(&user.tags)),
    }
}

fn group(scope: &Scope, group: &Group) -> iam::GroupDetail {
    iam::GroupDetail {
        path: Some(group.path.clone()),
        group_name: Some(group.name.clone()),
        group_id: Some(group.id.clone()),
        arn: Some(names::arn(&scope.account, "group", &group.path, &group.name)),
        create_date: Some(time(group.created_at)),
        group_policy_list: Some(inline::details(&group.permissions)),
        attached_managed_policies: Some(attachments::shapes(&group.permissions, "/")),
    }
}

fn role(view: &View, scope: &Scope, role: &Role) -> iam::RoleDetail {
    let profiles = view.by_index::<InstanceProfile>(scope, "role", &names::key(&role.name));
    iam::RoleDetail {
        path: Some(role.path.clone()),
        role_name: Some(role.name.clone()),
        role_id: Some(role.id.clone()),
        arn: Some(role.arn(&scope.account)),
        create_date: Some(time(role.created_at)),
        assume_role_policy_document: Some(names::url_encoded(&role.trust)),
        instance_profile_list: Some(
            profiles.map(|(_, profile)| instance_profiles::shape(view, scope, &profile)).collect(),
        ),
        role_policy_list: Some(inline::details(&role.permissions)),
        attached_managed_policies: Some(attachments::shapes(&role.permissions, "/")),
        permissions_boundary: boundaries::shape(role.boundary.as_ref()),
        tags: Some(names::tag_list(&role.tags)),
        role_last_used: Some(roles::last_used(view, scope, role)),
    }
}

fn policy(view: &View, scope: &Scope, arn: &str, policy: &Policy) -> iam::ManagedPolicyDetail {
    let count = |count: usize| Some(i32::try_from(count).unwrap_or(i32::MAX));
    let version = |(number, version): (&u32, &super::records::Version)| iam::PolicyVersion {
        document: Some(names::url_encoded(&version.document)),
        ..versions::brief(policy, *number, version)
    };
    iam::ManagedPolicyDetail {
        policy_name: Some(policy.name.clone()),
        policy_id: Some(policy.id.clone()),
        arn: Some(arn.to_owned()),
        path: Some(policy.path.clone()),
        default_version_id: Some(format!("v{}", policy.default_version)),
        attachment_count: count(policies::attachments(view, scope, arn)),
        permissions_boundary_usage_count: count(policies::boundary_uses(view, scope, arn)),
        is_attachable: Some(true),
        description: policy.description.clone(),
        create_date: Some(time(policy.created_at)),
        update_date: Some(time(policy.updated_at)),
        policy_version_list: Some(policy.versions.iter().rev().map(version).collect()),
    }
}

/// All that the filter asks for, with the keys of the list. Of AWS's policies there are those in use.
fn entries(view: &View, scope: &Scope, filter: &[EntityType]) -> Vec<(String, Entry)> {
    let wanted = |kind: EntityType| filter.is_empty() || filter.contains(&kind);
    let mut entries = Vec::new();
    if wanted(EntityType::User) {
        let users = view.scan::<User>(scope);
        entries.extend(users.map(|(id, user)| (format!("1 {id}"), Entry::User(user))));
    }
    if wanted(EntityType::Group) {
        let groups = view.scan::<Group>(scope);
        entries.extend(groups.map(|(id, group)| (format!("2 {id}"), Entry::Group(group))));
    }
    if wanted(EntityType::Role) {
        let roles = view.scan::<Role>(scope);
        entries.extend(roles.map(|(id, role)| (format!("3 {id}"), Entry::Role(role))));
    }
    if wanted(EntityType::LocalManagedPolicy) {
        let own = view.scan::<Policy>(scope);
        let entry = |(id, policy): (&str, Arc<Policy>)| {
            (format!("4 {id}"), Entry::Policy(policies::arn(&scope.account, &policy), policy))
        };
        entries.extend(own.map(entry));
    }
    if wanted(EntityType::AwsManagedPolicy) {
        let used = |arn: &str| {
            policies::attachments(view, scope, arn) + policies::boundary_uses(view, scope, arn) > 0
        };
        let provided = aws_managed::POLICIES.iter().filter(|(arn, _)| used(arn));
        let entry = |(arn, policy): (&String, &Arc<Policy>)| {
            (format!("5 {}", names::key(&policy.name)), Entry::Policy(arn.clone(), policy.clone()))
        };
        entries.extend(provided.map(entry));
    }
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries
}

pub async fn get(
    call: Call,
    input: GetAccountAuthorizationDetailsRequest,
) -> Result<GetAccountAuthorizationDetailsResponse, ApiError> {
    let scope = names::of(&call);
    let filter = input.filter.unwrap_or_default();
    let view = call.services.state.view();
    let wanted = Wanted::new(input.marker, input.max_items);
    let entries = entries(&view, &scope, &filter);
    let page = page(&call, &format!("details {filter:?}"), entries, |(key, _)| key.clone(), wanted)?;
    let (mut users, mut groups, mut roles, mut policies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (_, entry) in &page.items {
        match entry {
            Entry::User(found) => users.push(user(&view, &scope, found)),
            Entry::Group(found) => groups.push(group(&scope, found)),
            Entry::Role(found) => roles.push(role(&view, &scope, found)),
            Entry::Policy(arn, found) => policies.push(policy(&view, &scope, arn, found)),
        }
    }
    Ok(GetAccountAuthorizationDetailsResponse {
        user_detail_list: Some(users),
        group_detail_list: Some(groups),
        role_detail_list: Some(roles),
        policies: Some(policies),
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
    })
}
