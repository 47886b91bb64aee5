//! Users.

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    CreateUserRequest, CreateUserResponse, DeleteUserPermissionsBoundaryRequest, DeleteUserRequest,
    GetUserRequest, GetUserResponse, ListUserTagsRequest, ListUserTagsResponse, ListUsersRequest,
    ListUsersResponse, PutUserPermissionsBoundaryRequest, TagUserRequest, UntagUserRequest,
    UpdateUserRequest,
};
use vocabulary::AccountId;

use super::{
    access_keys::{self, AccessKey},
    boundaries, errors,
    names::{self, Wanted, page, time},
    records::{self, Permissions, User},
};
use crate::{
    gateway::{ApiError, Call},
    services::ec2::records::global,
};

const MOST: usize = 5000;

/// Who asks, where a request without a name means them.
pub enum Caller {
    Root,
    User(String),
}

/// Who asks.
///
/// # Errors
/// `ValidationError` for the session of a role.
pub fn caller(call: &Call) -> Result<Caller, ApiError> {
    let arn = &call.principal.arn;
    if arn.ends_with(":root") {
        return Ok(Caller::Root);
    }
    match arn.split_once(":user/") {
        Some((_, path)) => Ok(Caller::User(names::last_segment(path).to_owned())),
        None => Err(errors::validation("Must specify userName when calling with non-User credentials")),
    }
}

/// The name in a request, or else the caller's own.
///
/// # Errors
/// `ValidationError` when neither names a user.
pub fn named_or_caller(call: &Call, name: Option<String>) -> Result<String, ApiError> {
    match name {
        Some(name) => Ok(name),
        None => match caller(call)? {
            Caller::User(name) => Ok(name),
            Caller::Root => {
                Err(errors::validation("Must specify userName when calling with root credentials"))
            }
        },
    }
}

pub fn arn(account: &AccountId, user: &User) -> String {
    names::arn(account, "user", &user.path, &user.name)
}

/// As lists show it, that is without tags and boundary.
pub fn brief(account: &AccountId, user: &User) -> iam::User {
    iam::User {
        path: Some(user.path.clone()),
        user_name: Some(user.name.clone()),
        user_id: Some(user.id.clone()),
        arn: Some(arn(account, user)),
        create_date: Some(time(user.created_at)),
        ..iam::User::default()
    }
}

fn shape(account: &AccountId, user: &User) -> iam::User {
    iam::User {
        permissions_boundary: boundaries::shape(user.boundary.as_ref()),
        tags: names::tags_unless_empty(&user.tags),
        ..brief(account, user)
    }
}

pub async fn create(call: Call, input: CreateUserRequest) -> Result<CreateUserResponse, ApiError> {
    let scope = names::of(&call);
    let user = User {
        name: input.user_name.unwrap_or_default(),
        path: names::path(input.path),
        id: names::unique_id(&mut call.services.ids(), "AIDA"),
        created_at: call.now(),
        boundary: input.permissions_boundary,
        tags: names::tags(input.tags)?,
        permissions: Permissions::default(),
        groups: Default::default(),
        login: None,
    };
    call.services
        .state
        .transact(|tx| {
            boundaries::check(tx, &scope, user.boundary.as_ref())?;
            if tx.view().scan::<User>(&scope).count() >= MOST {
                return Err(errors::quota("UsersPerAccount", MOST));
            }
            tx.create(&scope, &names::key(&user.name), user.clone())
                .map_err(|_| errors::already_exists(format!("User with name {} already exists.", user.name)))
        })
        .await?;
    Ok(CreateUserResponse { user: Some(shape(&scope.account, &user)) })
}

pub async fn get(call: Call, input: GetUserRequest) -> Result<GetUserResponse, ApiError> {
    let scope = names::of(&call);
    let name = match input.user_name {
        Some(name) => name,
        None => match caller(&call)? {
            Caller::User(name) => name,
            Caller::Root => {
                let root = iam::User {
                    user_id: Some(scope.account.to_string()),
                    arn: Some(format!("arn:aws:iam::{}:root", scope.account)),
                    ..iam::User::default()
                };
                return Ok(GetUserResponse { user: Some(root) });
            }
        },
    };
    let user = call.services.state.read(|view| records::see::<User>(view, &scope, &name))?;
    Ok(GetUserResponse { user: Some(shape(&scope.account, &user)) })
}

pub async fn list(call: Call, input: ListUsersRequest) -> Result<ListUsersResponse, ApiError> {
    let scope = names::of(&call);
    let prefix = input.path_prefix.unwrap_or_default();
    let view = call.services.state.view();
    let users = view.scan::<User>(&scope).filter(|(_, user)| user.path.starts_with(&prefix));
    let wanted = Wanted::new(input.marker, input.max_items);
    let page = page(&call, &format!("users {prefix}"), users, |(id, _)| (*id).to_owned(), wanted)?;
    Ok(ListUsersResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        users: Some(page.items.iter().map(|(_, user)| brief(&scope.account, user)).collect()),
    })
}

pub async fn update(call: Call, input: UpdateUserRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.user_name.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let before = records::get::<User>(tx, &scope, &name)?;
            let user = User {
                name: input.new_user_name.clone().unwrap_or_else(|| before.name.clone()),
                path: input.new_path.clone().unwrap_or_else(|| before.path.clone()),
                ..(*before).clone()
            };
            let (old, new) = (names::key(&before.name), names::key(&user.name));
            if old != new {
                if tx.get::<User>(&scope, &new).is_some() {
                    let message = format!("User with name {} already exists.", user.name);
                    return Err(errors::already_exists(message));
                }
                tx.delete::<User>(&scope, &old);
            }
            // The keys say whom they stand for.
            for (id, key) in tx.by_index::<AccessKey>(&global(), "owner", &user.id) {
                let principal_arn = arn(&scope.account, &user);
                tx.put(&global(), &id, AccessKey { principal_arn, ..(*key).clone() });
            }
            tx.put(&scope, &new, user);
            Ok(Unit)
        })
        .await
}

pub async fn delete(call: Call, input: DeleteUserRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.user_name.unwrap_or_default());
    let id = call
        .services
        .state
        .transact(|tx| {
            let user = records::get::<User>(tx, &scope, &name)?;
            let keys = tx.by_index::<AccessKey>(&global(), "owner", &user.id);
            let obstacle = if !user.groups.is_empty() {
                Some("remove users from group")
            } else if !user.permissions.attached.is_empty() {
                Some("detach all policies")
            } else if !user.permissions.inline.is_empty() {
                Some("delete policies")
            } else if keys.iter().any(|(_, key)| !key.is_temporary()) {
                Some("delete access keys")
            } else if user.login.is_some() {
                Some("delete login profile")
            } else {
                None
            };
            if let Some(obstacle) = obstacle {
                return Err(errors::delete_conflict(format!("Cannot delete entity, must {obstacle} first.")));
            }
            tx.delete::<User>(&scope, &names::key(&name));
            Ok(user.id.clone())
        })
        .await?;
    access_keys::end_sessions(&call.services, &id).await?;
    Ok(Unit)
}

pub async fn tag(call: Call, input: TagUserRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.user_name.unwrap_or_default());
    let added = names::tags(input.tags)?;
    call.services
        .state
        .transact(|tx| {
            let user = records::get::<User>(tx, &scope, &name)?;
            let tags = names::merged(&user.tags, &added)?;
            tx.put(&scope, &names::key(&name), User { tags, ..(*user).clone() });
            Ok(Unit)
        })
        .await
}

pub async fn untag(call: Call, input: UntagUserRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.user_name.unwrap_or_default());
    let keys = input.tag_keys.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let user = records::get::<User>(tx, &scope, &name)?;
            let tags = names::without(&user.tags, &keys);
            tx.put(&scope, &names::key(&name), User { tags, ..(*user).clone() });
            Ok(Unit)
        })
        .await
}

pub async fn list_tags(call: Call, input: ListUserTagsRequest) -> Result<ListUserTagsResponse, ApiError> {
    let (scope, name) = (names::of(&call), input.user_name.unwrap_or_default());
    let user = call.services.state.read(|view| records::see::<User>(view, &scope, &name))?;
    let wanted = Wanted::new(input.marker, input.max_items);
    let tags = names::tag_list(&user.tags);
    let page = page(&call, &format!("user tags {name}"), tags, names::tag_key, wanted)?;
    Ok(ListUserTagsResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        tags: Some(page.items),
    })
}

pub async fn put_boundary(call: Call, input: PutUserPermissionsBoundaryRequest) -> Result<Unit, ApiError> {
    boundaries::set::<User>(&call, &input.user_name.unwrap_or_default(), input.permissions_boundary).await
}

pub async fn delete_boundary(
    call: Call,
    input: DeleteUserPermissionsBoundaryRequest,
) -> Result<Unit, ApiError> {
    boundaries::set::<User>(&call, &input.user_name.unwrap_or_default(), None).await
}
