//! Groups, and who is in them.

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    AddUserToGroupRequest, CreateGroupRequest, CreateGroupResponse, DeleteGroupRequest, GetGroupRequest,
    GetGroupResponse, ListGroupsForUserRequest, ListGroupsForUserResponse, ListGroupsRequest,
    ListGroupsResponse, RemoveUserFromGroupRequest, UpdateGroupRequest,
};
use vocabulary::AccountId;

use super::{
    errors,
    names::{self, Wanted, page, time},
    records::{self, Group, Permissions, User},
    users,
};
use crate::gateway::{ApiError, Call};

const MOST: usize = 300;
/// Groups of one user.
const MOST_PER_USER: usize = 10;

pub fn shape(account: &AccountId, group: &Group) -> iam::Group {
    iam::Group {
        path: Some(group.path.clone()),
        group_name: Some(group.name.clone()),
        group_id: Some(group.id.clone()),
        arn: Some(names::arn(account, "group", &group.path, &group.name)),
        create_date: Some(time(group.created_at)),
    }
}

fn exists(name: &str) -> ApiError {
    errors::already_exists(format!("Group with name {name} already exists."))
}

pub async fn create(call: Call, input: CreateGroupRequest) -> Result<CreateGroupResponse, ApiError> {
    let scope = names::of(&call);
    let group = Group {
        name: input.group_name.unwrap_or_default(),
        path: names::path(input.path),
        id: names::unique_id(&mut call.services.ids(), "AGPA"),
        created_at: call.now(),
        permissions: Permissions::default(),
    };
    call.services
        .state
        .transact(|tx| {
            if tx.view().scan::<Group>(&scope).count() >= MOST {
                return Err(errors::quota("GroupsPerAccount", MOST));
            }
            tx.create(&scope, &names::key(&group.name), group.clone()).map_err(|_| exists(&group.name))
        })
        .await?;
    Ok(CreateGroupResponse { group: Some(shape(&scope.account, &group)) })
}

pub async fn get(call: Call, input: GetGroupRequest) -> Result<GetGroupResponse, ApiError> {
    let (scope, name) = (names::of(&call), input.group_name.unwrap_or_default());
    let view = call.services.state.view();
    let group = records::see::<Group>(&view, &scope, &name)?;
    let members = view.by_index::<User>(&scope, "group", &group.id);
    let wanted = Wanted::new(input.marker, input.max_items);
    let page = page(&call, &format!("members {}", group.id), members, |(id, _)| (*id).to_owned(), wanted)?;
    Ok(GetGroupResponse {
        group: Some(shape(&scope.account, &group)),
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        users: Some(page.items.iter().map(|(_, user)| users::brief(&scope.account, user)).collect()),
    })
}

pub async fn list(call: Call, input: ListGroupsRequest) -> Result<ListGroupsResponse, ApiError> {
    let scope = names::of(&call);
    let prefix = input.path_prefix.unwrap_or_default();
    let view = call.services.state.view();
    let groups = view.scan::<Group>(&scope).filter(|(_, group)| group.path.starts_with(&prefix));
    let wanted = Wanted::new(input.marker, input.max_items);
    let page = page(&call, &format!("groups {prefix}"), groups, |(id, _)| (*id).to_owned(), wanted)?;
    Ok(ListGroupsResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        groups: Some(page.items.iter().map(|(_, group)| shape(&scope.account, group)).collect()),
    })
}

pub async fn list_for_user(
    call: Call,
    input: ListGroupsForUserRequest,
) -> Result<ListGroupsForUserResponse, ApiError> {
    let (scope, name) = (names::of(&call), input.user_name.unwrap_or_default());
    let view = call.services.state.view();
    let user = records::see::<User>(&view, &scope, &name)?;
    let groups = view.scan::<Group>(&scope).filter(|(_, group)| user.groups.contains(&group.id));
    let wanted = Wanted::new(input.marker, input.max_items);
    let page = page(&call, &format!("groups of {}", user.id), groups, |(id, _)| (*id).to_owned(), wanted)?;
    Ok(ListGroupsForUserResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        groups: Some(page.items.iter().map(|(_, group)| shape(&scope.account, group)).collect()),
    })
}

pub async fn update(call: Call, input: UpdateGroupRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.group_name.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let before = records::get::<Group>(tx, &scope, &name)?;
            let group = Group {
                name: input.new_group_name.clone().unwrap_or_else(|| before.name.clone()),
                path: input.new_path.clone().unwrap_or_else(|| before.path.clone()),
                ..(*before).clone()
            };
            let (old, new) = (names::key(&before.name), names::key(&group.name));
            if old != new {
                if tx.get::<Group>(&scope, &new).is_some() {
                    return Err(exists(&group.name));
                }
                tx.delete::<Group>(&scope, &old);
            }
            tx.put(&scope, &new, group);
            Ok(Unit)
        })
        .await
}

pub async fn delete(call: Call, input: DeleteGroupRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.group_name.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let group = records::get::<Group>(tx, &scope, &name)?;
            let obstacle = if !tx.by_index::<User>(&scope, "group", &group.id).is_empty() {
                Some("remove users from group")
            } else if !group.permissions.attached.is_empty() {
                Some("detach all policies")
            } else if !group.permissions.inline.is_empty() {
                Some("delete policies")
            } else {
                None
            };
            if let Some(obstacle) = obstacle {
                return Err(errors::delete_conflict(format!("Cannot delete entity, must {obstacle} first.")));
            }
            tx.delete::<Group>(&scope, &names::key(&name));
            Ok(Unit)
        })
        .await
}

pub async fn add_user(call: Call, input: AddUserToGroupRequest) -> Result<Unit, ApiError> {
    let scope = names::of(&call);
    let (group, user) = (input.group_name.unwrap_or_default(), input.user_name.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let group = records::get::<Group>(tx, &scope, &group)?;
            let mut member = (*records::get::<User>(tx, &scope, &user)?).clone();
            member.groups.insert(group.id.clone());
            if member.groups.len() > MOST_PER_USER {
                return Err(errors::quota("GroupsPerUser", MOST_PER_USER));
            }
            tx.put(&scope, &names::key(&user), member);
            Ok(Unit)
        })
        .await
}

pub async fn remove_user(call: Call, input: RemoveUserFromGroupRequest) -> Result<Unit, ApiError> {
    let scope = names::of(&call);
    let (group, user) = (input.group_name.unwrap_or_default(), input.user_name.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let group = records::get::<Group>(tx, &scope, &group)?;
            let mut member = (*records::get::<User>(tx, &scope, &user)?).clone();
            // Removing somebody who is not in the group is no error.
            if member.groups.remove(&group.id) {
                tx.put(&scope, &names::key(&user), member);
            }
            Ok(Unit)
        })
        .await
}
