//! Instance profiles: what carries a role to an EC2 instance.

use aws_schema::Unit;
use aws_shapes_iam as iam;
use aws_shapes_iam::{
    AddRoleToInstanceProfileRequest, CreateInstanceProfileRequest, CreateInstanceProfileResponse,
    DeleteInstanceProfileRequest, GetInstanceProfileRequest, GetInstanceProfileResponse,
    ListInstanceProfileTagsRequest, ListInstanceProfileTagsResponse, ListInstanceProfilesForRoleRequest,
    ListInstanceProfilesForRoleResponse, ListInstanceProfilesRequest, ListInstanceProfilesResponse,
    RemoveRoleFromInstanceProfileRequest, TagInstanceProfileRequest, UntagInstanceProfileRequest,
};
use state_store::View;
use vocabulary::Scope;

use super::{
    errors,
    names::{self, Wanted, page, time},
    records::{self, Entity, Holder, InstanceProfile, Role},
    roles,
};
use crate::gateway::{ApiError, Call};

const MOST: usize = 1000;

pub fn shape(view: &View, scope: &Scope, profile: &InstanceProfile) -> iam::InstanceProfile {
    let role = profile.role.as_ref().and_then(|role| view.get::<Role>(scope, &names::key(role)));
    iam::InstanceProfile {
        path: Some(profile.path.clone()),
        instance_profile_name: Some(profile.name.clone()),
        instance_profile_id: Some(profile.id.clone()),
        arn: Some(names::arn(&scope.account, "instance-profile", &profile.path, &profile.name)),
        create_date: Some(time(profile.created_at)),
        roles: Some(role.iter().map(|role| roles::brief(&scope.account, role)).collect()),
        tags: names::tags_unless_empty(&profile.tags),
    }
}

pub async fn create(
    call: Call,
    input: CreateInstanceProfileRequest,
) -> Result<CreateInstanceProfileResponse, ApiError> {
    let scope = names::of(&call);
    let profile = InstanceProfile {
        name: input.instance_profile_name.unwrap_or_default(),
        path: names::path(input.path),
        id: names::unique_id(&mut call.services.ids(), "AIPA"),
        created_at: call.now(),
        tags: names::tags(input.tags)?,
        role: None,
    };
    call.services
        .state
        .transact(|tx| {
            if tx.view().scan::<InstanceProfile>(&scope).count() >= MOST {
                return Err(errors::quota("InstanceProfilesPerAccount", MOST));
            }
            let exists =
                || errors::already_exists(format!("Instance Profile {} already exists.", profile.name));
            tx.create(&scope, &names::key(&profile.name), profile.clone()).map_err(|_| exists())
        })
        .await?;
    let shown = call.services.state.read(|view| shape(view, &scope, &profile));
    Ok(CreateInstanceProfileResponse { instance_profile: Some(shown) })
}

pub async fn get(
    call: Call,
    input: GetInstanceProfileRequest,
) -> Result<GetInstanceProfileResponse, ApiError> {
    let (scope, name) = (names::of(&call), input.instance_profile_name.unwrap_or_default());
    let view = call.services.state.view();
    let profile = records::see::<InstanceProfile>(&view, &scope, &name)?;
    Ok(GetInstanceProfileResponse { instance_profile: Some(shape(&view, &scope, &profile)) })
}

pub async fn list(
    call: Call,
    input: ListInstanceProfilesRequest,
) -> Result<ListInstanceProfilesResponse, ApiError> {
    let scope = names::of(&call);
    let prefix = input.path_prefix.unwrap_or_default();
    let view = call.services.state.view();
    let profiles = view.scan::<InstanceProfile>(&scope);
    let profiles = profiles.filter(|(_, profile)| profile.path.starts_with(&prefix));
    let wanted = Wanted::new(input.marker, input.max_items);
    let list = format!("instance profiles {prefix}");
    let page = page(&call, &list, profiles, |(id, _)| (*id).to_owned(), wanted)?;
    Ok(ListInstanceProfilesResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        instance_profiles: Some(
            page.items.iter().map(|(_, profile)| shape(&view, &scope, profile)).collect(),
        ),
    })
}

pub async fn list_for_role(
    call: Call,
    input: ListInstanceProfilesForRoleRequest,
) -> Result<ListInstanceProfilesForRoleResponse, ApiError> {
    let (scope, name) = (names::of(&call), input.role_name.unwrap_or_default());
    let view = call.services.state.view();
    records::see::<Role>(&view, &scope, &name)?;
    let role = names::key(&name);
    let profiles = view.by_index::<InstanceProfile>(&scope, "role", &role);
    let wanted = Wanted::new(input.marker, input.max_items);
    let list = format!("instance profiles of {name}");
    let page = page(&call, &list, profiles, |(id, _)| (*id).to_owned(), wanted)?;
    Ok(ListInstanceProfilesForRoleResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        instance_profiles: Some(
            page.items.iter().map(|(_, profile)| shape(&view, &scope, profile)).collect(),
        ),
    })
}

async fn change(
    call: &Call,
    name: Option<String>,
    change: impl Fn(&InstanceProfile) -> Result<InstanceProfile, ApiError>,
) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(call), name.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            let profile = records::get::<InstanceProfile>(tx, &scope, &name)?;
            tx.put(&scope, &names::key(&name), change(&profile)?);
            Ok(Unit)
        })
        .await
}

pub async fn add_role(call: Call, input: AddRoleToInstanceProfileRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.instance_profile_name.unwrap_or_default());
    let role_name = input.role_name.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let profile = records::get::<InstanceProfile>(tx, &scope, &name)?;
            let role = records::get::<Role>(tx, &scope, &role_name)?;
            role.changeable()?;
            if profile.role.is_some() {
                return Err(errors::quota("InstanceSessionsPerInstanceProfile", 1));
            }
            let role = Some(role.name.clone());
            tx.put(&scope, &names::key(&name), InstanceProfile { role, ..(*profile).clone() });
            Ok(Unit)
        })
        .await
}

pub async fn remove_role(call: Call, input: RemoveRoleFromInstanceProfileRequest) -> Result<Unit, ApiError> {
    let role = input.role_name.unwrap_or_default();
    change(&call, input.instance_profile_name, |profile| {
        if profile.role.as_ref() != Some(&role) {
            return Err(Role::missing(&role));
        }
        Ok(InstanceProfile { role: None, ..profile.clone() })
    })
    .await
}

pub async fn delete(call: Call, input: DeleteInstanceProfileRequest) -> Result<Unit, ApiError> {
    let (scope, name) = (names::of(&call), input.instance_profile_name.unwrap_or_default());
    call.services
        .state
        .transact(|tx| {
            if records::get::<InstanceProfile>(tx, &scope, &name)?.role.is_some() {
                return Err(errors::delete_conflict(
                    "Cannot delete entity, must remove roles from instance profile first.",
                ));
            }
            tx.delete::<InstanceProfile>(&scope, &names::key(&name));
            Ok(Unit)
        })
        .await
}

pub async fn tag(call: Call, input: TagInstanceProfileRequest) -> Result<Unit, ApiError> {
    let added = names::tags(input.tags)?;
    change(&call, input.instance_profile_name, |profile| {
        Ok(InstanceProfile { tags: names::merged(&profile.tags, &added)?, ..profile.clone() })
    })
    .await
}

pub async fn untag(call: Call, input: UntagInstanceProfileRequest) -> Result<Unit, ApiError> {
    let keys = input.tag_keys.unwrap_or_default();
    change(&call, input.instance_profile_name, |profile| {
        Ok(InstanceProfile { tags: names::without(&profile.tags, &keys), ..profile.clone() })
    })
    .await
}

pub async fn list_tags(
    call: Call,
    input: ListInstanceProfileTagsRequest,
) -> Result<ListInstanceProfileTagsResponse, ApiError> {
    let (scope, name) = (names::of(&call), input.instance_profile_name.unwrap_or_default());
    let profile = call.services.state.read(|view| records::see::<InstanceProfile>(view, &scope, &name))?;
    let wanted = Wanted::new(input.marker, input.max_items);
    let tags = names::tag_list(&profile.tags);
    let page = page(&call, &format!("instance profile tags {name}"), tags, names::tag_key, wanted)?;
    Ok(ListInstanceProfileTagsResponse {
        is_truncated: Some(page.next_token.is_some()),
        marker: page.next_token,
        tags: Some(page.items),
    })
}
