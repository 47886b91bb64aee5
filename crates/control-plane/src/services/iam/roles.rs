//! Roles.

use std::sync::Arc;

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    CreateRoleRequest, CreateRoleResponse, DeleteRolePermissionsBoundaryRequest, DeleteRoleRequest,
    GetRoleRequest, GetRoleResponse, ListRoleTagsRequest, ListRoleTagsResponse, ListRolesRequest,
    ListRolesResponse, PutRolePermissionsBoundaryRequest, TagRoleRequest, UntagRoleRequest,
    UpdateAssumeRolePolicyRequest, UpdateRoleDescriptionRequest, UpdateRoleDescriptionResponse,
    UpdateRoleRequest, UpdateRoleResponse,
};
use state_store::{Tx, View};
use vocabulary::{AccountId, Scope};

use super::{
    access_keys, boundaries, errors,
    names::{self, Wanted, page, time},
    policies::characters,
    policy_document::{self, NamedPrincipal as Principal, Use},
    records::{self, Holder, InstanceProfile, LastUse, Permissions, Role, User},
};
use crate::gateway::{ApiError, Call};

const MOST: usize = 1000;
/// Characters of a trust policy, white space not counted.
const TRUST_CHARACTERS: usize = 2048;
/// Paths that only service-linked roles have.
const RESERVED_PATH: &str = "/aws-service-role/";

/// As lists show it: without tags, boundary and last use.
pub fn brief(account: &AccountId, role: &Role) -> iam::Role {
    iam::Role {
        path: Some(role.path.clone()),
        role_name: Some(role.name.clone()),
        role_id: Some(role.id.clone()),
        arn: Some(role.arn(account)),
        create_date: Some(time(role.created_at)),
        assume_role_policy_document: Some(names::url_encoded(&role.trust)),
        description: role.description.clone(),
        max_session_duration: Some(i32::try_from(role.max_session_seconds).unwrap_or(i32::MAX)),
        ..iam::Role::default()
    }
}

/// As the calls that create a role show it.
pub fn created(account: &AccountId, role: &Role) -> iam::Role {
    iam::Role {
        permissions_boundary: boundaries::shape(role.boundary.as_ref()),
        tags: names::tags_unless_empty(&role.tags),
        ..brief(account, role)
    }
}

pub fn last_used(view: &View, scope: &Scope, role: &Role) -> iam::RoleLastUsed {
    match view.get::<LastUse>(scope, &role.id) {
        Some(last) => {
            iam::RoleLastUsed { last_used_date: Some(time(last.at)), region: Some(last.region.clone()) }
        }
        None => iam::RoleLastUsed::default(),
    }
}

/// Checks a trust policy, and that the users and roles of the own account that it names are there. Whether those of other
/// accounts are cannot be known: the accounts may lie outside of this platform.
///
/// # Errors
/// `MalformedPolicyDocument`, `LimitExceeded`.
fn check_trust(tx: &mut Tx, scope: &Scope, trust: &str) -> Result<(), ApiError> {
    let document = policy_document::parse(trust, Use::Trust);
    let document = document.map_err(|error| errors::malformed(error.to_string()))?;
    if characters(trust) > TRUST_CHARACTERS {
        return Err(errors::quota("ACLSizePerRole", TRUST_CHARACTERS));
    }
    let principals = document.statements.iter().filter_map(|statement| statement.principals.as_ref());
    for principal in principals.flat_map(|clause| &clause.members) {
        let (kind, name, valid) = match principal {
            Principal::Anyone | Principal::CanonicalUser(_) => continue,
            Principal::Aws(name) => ("AWS", name, aws_principal(tx, scope, name)),
            Principal::Service(name) => ("SERVICE", name, service_principal(name)),
            Principal::Federated(name) => ("Federated", name, !name.is_empty()),
        };
        if !valid {
            return Err(errors::malformed(format!("Invalid principal in policy: \"{kind}\":\"{name}\"")));
        }
    }
    Ok(())
}

fn aws_principal(tx: &mut Tx, scope: &Scope, text: &str) -> bool {
    if text == "*" || AccountId::is_valid(text) {
        return true;
    }
    let Ok(arn) = text.parse::<vocabulary::Arn>() else { return false };
    let Ok(account) = arn.account().parse::<AccountId>() else { return false };
    match (arn.service(), arn.resource().split_once('/')) {
        ("iam", None) => arn.resource() == "root",
        ("iam", Some(_)) if account != scope.account => true,
        ("iam", Some(("role", path))) => {
            let role = tx.get::<Role>(scope, &names::key(names::last_segment(path)));
            role.is_some_and(|role| role.arn(&account) == text)
        }
        ("iam", Some(("user", path))) => {
            let user = tx.get::<User>(scope, &names::key(names::last_segment(path)));
            user.is_some_and(|user| super::users::arn(&account, &user) == text)
        }
        ("sts", Some((kind, _))) => ["assumed-role", "federated-user"].contains(&kind),
        _ => false,
    }
}

/// `ecs-tasks.amazonaws.com`; which services there are is not checked.
fn service_principal(name: &str) -> bool {
    let suffixes = [".amazonaws.com", ".amazonaws.com.cn", ".amazon.com", ".aws.internal", ".api.aws"];
    let stem = suffixes.into_iter().find_map(|suffix| name.strip_suffix(suffix));
    stem.is_some_and(|stem| {
        !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    })
}

/// Writes a role that must not be there yet.
///
/// # Errors
/// `EntityAlreadyExists`, `LimitExceeded`.
pub fn insert(tx: &mut Tx, scope: &Scope, role: &Role) -> Result<(), ApiError> {
    if tx.view().scan::<Role>(scope).count() >= MOST {
        return Err(errors::quota("RolesPerAccount", MOST));
    }
    tx.create(scope, &names::key(&role.name), role.clone())
        .map_err(|_| errors::already_exists(format!("Role with name {} already exists.", role.name)))
}

pub async fn create(call: Call, input: CreateRoleRequest) -> Result<CreateRoleResponse, ApiError> {
    let scope = names::of(&call);
    let role = Role {
        name: input.role_name.unwrap_or_default(),
        path: names::path(input.path),
        id: names::unique_id(&mut call.services.ids(), "AROA"),
        created_at: call.now(),
        description: input.description,
        trust: input.assume_role_policy_document.unwrap_or_default(),
        max_session_seconds: input.max_session_duration.unwrap_or(3600).unsigned_abs(),
        boundary: input.permissions_boundary,
        tags: names::tags(input.tags)?,
        permissions: Permissions::default(),
        linked_service: None,
    };
    if role.path.starts_with(RESERVED_PATH) {
        return Err(errors::invalid_input(format!(
            "Path {} is reserved for service-linked roles.",
            role.path
        )));
    }
    call.services
        .state
        .transact(|tx| {
            check_trust(tx, &scope, &role.trust)?;
            boundaries::check(tx, &scope, role.boundary.as_ref())?;
            insert(tx, &scope, &role)
        })
        .await?;
    Ok(CreateRoleResponse { role: Some(created(&scope.account, &role)) })
}

pub async fn get(call: Call, input: GetRoleRequest) -> Result<GetRoleResponse, ApiError> {
    let (scope, name) = (names::of(&call), input.role_name.unwrap_or_default());
    let view = call.services.state.view();
    let role = records::see::<Role>(&view, &scope, &name)?;
    let role_last_used = Some(last_used(&view, &scope, &role));
    Ok(GetRoleResponse { role: Some(iam::Role { role_last_used, ..created(&scope.account, &role) }) })
}

pub async fn list(call: Call, input: ListRolesRequest) -> Result<ListRolesResponse, ApiError> {
    let scope = names::of(&call);
    let prefix = input.path_prefix.unwrap_or_default();
    let view = call.services.state.view();
    let roles = view.scan::<Role>(&scope).filter(|(_, role)| role.path.starts_with(&prefix));
    let wanted = Wanted::new(input.marker, input.max_items);
    let page = page(&call, &format!("roles {prefix}"), roles, |(id, _)| (*id).to_owned(), wanted)?;
    Ok(ListRolesResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        roles: Some(page.items.iter().map(|(_, role)| brief(&scope.account, role)).collect()),
    })
}

/// Changes the role named `name`, and answers what became of it.
async fn change(
    call: &Call,
    name: Option<String>,
    change: impl Fn(&mut Tx, &mut Role) -> Result<(), ApiError>,
) -> Result<Arc<Role>, ApiError> {
    let (scope, name) = (names::of(call), name.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let mut role = (*records::get::<Role>(tx, &scope, &name)?).clone();
            change(tx, &mut role)?;
            let role = Arc::new(role);
            tx.put::<Role>(&scope, &names::key(&name), role.clone());
            Ok(role)
        })
        .await
}

pub async fn update(call: Call, input: UpdateRoleRequest) -> Result<UpdateRoleResponse, ApiError> {
    let (description, duration) = (input.description, input.max_session_duration);
    change(&call, input.role_name, |_, role| {
        // A service-linked role may get another description, and nothing else.
        if duration.is_some() {
            role.changeable()?;
        }
        if let Some(description) = &description {
            role.description = Some(description.clone());
        }
        if let Some(duration) = duration {
            role.max_session_seconds = duration.unsigned_abs();
        }
        Ok(())
    })
    .await?;
    Ok(UpdateRoleResponse {})
}

pub async fn update_description(
    call: Call,
    input: UpdateRoleDescriptionRequest,
) -> Result<UpdateRoleDescriptionResponse, ApiError> {
    let description = input.description;
    let role = change(&call, input.role_name, |_, role| {
        role.description = description.clone();
        Ok(())
    })
    .await?;
    Ok(UpdateRoleDescriptionResponse { role: Some(created(&call.scope().account, &role)) })
}

pub async fn update_trust(call: Call, input: UpdateAssumeRolePolicyRequest) -> Result<Unit, ApiError> {
    let (scope, trust) = (names::of(&call), input.policy_document.unwrap_or_default());
    change(&call, input.role_name, |tx, role| {
        role.changeable()?;
        check_trust(tx, &scope, &trust)?;
        role.trust = trust.clone();
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn tag(call: Call, input: TagRoleRequest) -> Result<Unit, ApiError> {
    let added = names::tags(input.tags)?;
    change(&call, input.role_name, |_, role| {
        role.changeable()?;
        role.tags = names::merged(&role.tags, &added)?;
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn untag(call: Call, input: UntagRoleRequest) -> Result<Unit, ApiError> {
    let keys = input.tag_keys.unwrap_or_default();
    change(&call, input.role_name, |_, role| {
        role.changeable()?;
        role.tags = names::without(&role.tags, &keys);
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn list_tags(call: Call, input: ListRoleTagsRequest) -> Result<ListRoleTagsResponse, ApiError> {
    let (scope, name) = (names::of(&call), input.role_name.unwrap_or_default());
    let role = call.services.state.read(|view| records::see::<Role>(view, &scope, &name))?;
    let wanted = Wanted::new(input.marker, input.max_items);
    let tags = names::tag_list(&role.tags);
    let page = page(&call, &format!("role tags {name}"), tags, names::tag_key, wanted)?;
    Ok(ListRoleTagsResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        tags: Some(page.items),
    })
}

pub async fn put_boundary(call: Call, input: PutRolePermissionsBoundaryRequest) -> Result<Unit, ApiError> {
    boundaries::set::<Role>(&call, &input.role_name.unwrap_or_default(), input.permissions_boundary).await
}

pub async fn delete_boundary(
    call: Call,
    input: DeleteRolePermissionsBoundaryRequest,
) -> Result<Unit, ApiError> {
    boundaries::set::<Role>(&call, &input.role_name.unwrap_or_default(), None).await
}

pub async fn delete(call: Call, input: DeleteRoleRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.role_name.unwrap_or_default());
    let id = call
        .services
        .state
        .transact(|tx| {
            let role = records::get::<Role>(tx, &scope, &name)?;
            role.changeable()?;
            let profiles = tx.by_index::<InstanceProfile>(&scope, "role", &names::key(&name));
            let obstacle = if !profiles.is_empty() {
                Some("remove roles from instance profile")
            } else if !role.permissions.attached.is_empty() {
                Some("detach all policies")
            } else if !role.permissions.inline.is_empty() {
                Some("delete policies")
            } else {
                None
            };
            if let Some(obstacle) = obstacle {
                return Err(errors::delete_conflict(format!("Cannot delete entity, must {obstacle} first.")));
            }
            remove(tx, &scope, &role);
            Ok(role.id.clone())
        })
        .await?;
    access_keys::end_sessions(&call.services, &id).await?;
    Ok(Unit)
}

/// Deletes a role, and the note of its last use.
pub fn remove(tx: &mut Tx, scope: &Scope, role: &Role) {
    tx.delete::<Role>(scope, &names::key(&role.name));
    tx.delete::<LastUse>(scope, &role.id);
}
