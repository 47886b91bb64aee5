//! Tags of keys.

use aws_schema::Unit;
use aws_shapes_kms::{
    ListResourceTagsRequest, ListResourceTagsResponse, Tag, TagResourceRequest, UntagResourceRequest, errors,
};

use super::{
    errors::declared,
    keys::{change, customers, not_pending},
    names,
    paging::{Wanted, page},
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, InvalidTags, Tags},
};

/// The tags of a request.
///
/// # Errors
/// `TagException`, `LimitExceededException`.
pub fn given(tags: Option<Vec<Tag>>) -> Result<Tags, ApiError> {
    let pairs = tags.unwrap_or_default().into_iter().map(|tag| (tag.tag_key, tag.tag_value));
    tagging::checked(pairs).map_err(refusal)
}

fn refusal(error: InvalidTags) -> ApiError {
    match error {
        InvalidTags::TooMany => declared(&errors::LIMIT_EXCEEDED_EXCEPTION, error.to_string()),
        InvalidTags::Duplicate(_) => declared(&errors::TAG_EXCEPTION, "Duplicate tag keys"),
        InvalidTags::Reserved => {
            declared(&errors::TAG_EXCEPTION, "aws: prefixed tag key names are not allowed for external use")
        }
        other => declared(&errors::TAG_EXCEPTION, other.to_string()),
    }
}

pub async fn add(call: Call, input: TagResourceRequest) -> Result<Unit, ApiError> {
    let added = given(input.tags)?;
    change(&call, &input.key_id.unwrap_or_default(), |found, key| {
        not_pending(found)?;
        customers(found)?;
        key.tags = tagging::merged(std::mem::take(&mut key.tags), added.clone()).map_err(refusal)?;
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn remove(call: Call, input: UntagResourceRequest) -> Result<Unit, ApiError> {
    let removed = input.tag_keys.unwrap_or_default();
    change(&call, &input.key_id.unwrap_or_default(), |found, key| {
        not_pending(found)?;
        customers(found)?;
        key.tags.retain(|name, _| !removed.contains(name));
        Ok(())
    })
    .await?;
    Ok(Unit)
}

pub async fn list(call: Call, input: ListResourceTagsRequest) -> Result<ListResourceTagsResponse, ApiError> {
    let view = call.services.state.view();
    let found = names::see_key(&view, call.scope(), &input.key_id.unwrap_or_default())?;
    let list = format!("tags {}", found.key.id);
    let wanted = Wanted::new(input.marker, input.limit);
    let page = page(&call, &list, &found.key.tags, |(name, _)| (*name).clone(), wanted)?;
    let tag = |(name, value): (&String, &String)| Tag {
        tag_key: Some(name.clone()),
        tag_value: Some(value.clone()),
    };
    Ok(ListResourceTagsResponse {
        truncated: Some(page.next_token.is_some()),
        next_marker: page.next_token,
        tags: Some(page.items.into_iter().map(tag).collect()),
    })
}
