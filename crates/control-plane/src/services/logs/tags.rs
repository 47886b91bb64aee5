//! Tags of log groups, through both generations of the API.

use std::collections::BTreeMap;

use aws_schema::{ErrorTable, Unit};
use aws_shapes_logs::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, ListTagsLogGroupRequest,
    ListTagsLogGroupResponse, TagLogGroupRequest, TagResourceRequest, UntagLogGroupRequest,
    UntagResourceRequest, errors,
};

use super::{
    names::{group, group_name, invalid, no_group, required},
    records::Group,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, InvalidTags, Tags},
};

/// The tags of a request. `too_many`: the error for too many, which differs between operations.
pub(super) fn checked(
    tags: BTreeMap<String, String>,
    too_many: &'static ErrorTable,
) -> Result<Tags, ApiError> {
    tagging::checked(tags).map_err(|error| refused(error, too_many))
}

fn refused(error: InvalidTags, too_many: &'static ErrorTable) -> ApiError {
    match error {
        InvalidTags::TooMany => ApiError::new(too_many, error.to_string()),
        other => invalid(other.to_string()),
    }
}

async fn add(
    call: &Call,
    name: &str,
    added: BTreeMap<String, String>,
    too_many: &'static ErrorTable,
) -> Result<Unit, ApiError> {
    let added = checked(added, too_many)?;
    edit(call, name, |tags| tagging::merged(tags, added.clone()).map_err(|error| refused(error, too_many)))
        .await
}

async fn remove(call: &Call, name: &str, keys: &[String]) -> Result<Unit, ApiError> {
    edit(call, name, |mut tags| {
        tags.retain(|key, _| !keys.contains(key));
        Ok(tags)
    })
    .await
}

async fn edit(
    call: &Call,
    name: &str,
    change: impl Fn(Tags) -> Result<Tags, ApiError>,
) -> Result<Unit, ApiError> {
    let scope = call.scope();
    call.services
        .logs
        .state
        .transact(|tx| {
            let mut group = (*tx.get::<Group>(scope, name).ok_or_else(no_group)?).clone();
            group.tags = change(group.tags)?;
            tx.put::<Group>(scope, name, group);
            Ok(Unit)
        })
        .await
}

fn tags_of(call: &Call, name: &str) -> Result<Option<BTreeMap<String, String>>, ApiError> {
    let scope = call.scope();
    call.services.logs.state.read(|view| group(view, scope, name).map(|group| Some(group.tags.clone())))
}

pub async fn tag_group(call: Call, input: TagLogGroupRequest) -> Result<Unit, ApiError> {
    let name = required(input.log_group_name);
    add(&call, &name, input.tags.unwrap_or_default(), &errors::INVALID_PARAMETER_EXCEPTION).await
}

pub async fn untag_group(call: Call, input: UntagLogGroupRequest) -> Result<Unit, ApiError> {
    remove(&call, &required(input.log_group_name), &input.tags.unwrap_or_default()).await
}

pub async fn list_of_group(
    call: Call,
    input: ListTagsLogGroupRequest,
) -> Result<ListTagsLogGroupResponse, ApiError> {
    Ok(ListTagsLogGroupResponse { tags: tags_of(&call, &required(input.log_group_name))? })
}

pub async fn tag(call: Call, input: TagResourceRequest) -> Result<Unit, ApiError> {
    let name = group_name(call.scope(), &required(input.resource_arn))?;
    add(&call, &name, input.tags.unwrap_or_default(), &errors::TOO_MANY_TAGS_EXCEPTION).await
}

pub async fn untag(call: Call, input: UntagResourceRequest) -> Result<Unit, ApiError> {
    let name = group_name(call.scope(), &required(input.resource_arn))?;
    remove(&call, &name, &input.tag_keys.unwrap_or_default()).await
}

pub async fn list(
    call: Call,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let name = group_name(call.scope(), &required(input.resource_arn))?;
    Ok(ListTagsForResourceResponse { tags: tags_of(&call, &name)? })
}
