//! Tags of parameters.

use aws_shapes_ssm as ssm;
use aws_shapes_ssm::{
    AddTagsToResourceRequest, AddTagsToResourceResult, ListTagsForResourceRequest, ListTagsForResourceResult,
    RemoveTagsFromResourceRequest, RemoveTagsFromResourceResult, ResourceTypeForTagging, errors,
};

use super::{errors::invalid, names::Reference, records::Parameter};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, InvalidTags, Tags},
};

/// The tags of a request.
///
/// # Errors
/// `TooManyTagsError`, `ValidationException`.
pub fn given(tags: Vec<ssm::Tag>) -> Result<Tags, ApiError> {
    tagging::checked(tags.into_iter().map(|tag| (tag.key, tag.value))).map_err(refusal)
}

fn refusal(error: InvalidTags) -> ApiError {
    match error {
        InvalidTags::TooMany => ApiError::new(&errors::TOO_MANY_TAGS_ERROR, error.to_string()),
        _ => invalid(error.to_string()),
    }
}

/// The name of the parameter that is meant.
fn meant(
    call: &Call,
    kind: Option<ResourceTypeForTagging>,
    id: Option<String>,
) -> Result<Reference, ApiError> {
    if kind != Some(ResourceTypeForTagging::Parameter) {
        let message = "The resource type is not valid. Parameters alone have tags here.";
        return Err(ApiError::new(&errors::INVALID_RESOURCE_TYPE, message));
    }
    Reference::parse(call.scope(), &id.unwrap_or_default()).map_err(|_| bad_id())
}

fn bad_id() -> ApiError {
    ApiError::new(
        &errors::INVALID_RESOURCE_ID,
        "The resource ID is not valid. Verify that you entered the correct ID and try again.",
    )
}

async fn change(
    call: &Call,
    reference: Reference,
    change: impl Fn(Tags) -> Result<Tags, ApiError>,
) -> Result<(), ApiError> {
    let scope = call.scope();
    call.services
        .state
        .transact(|tx| {
            let name = reference.name(tx.view(), scope);
            let there = tx.get::<Parameter>(scope, &name).ok_or_else(bad_id)?;
            let tags = change(there.tags.clone())?;
            tx.put(scope, &name, Parameter { tags, ..(*there).clone() });
            Ok(())
        })
        .await
}

pub async fn add(call: Call, input: AddTagsToResourceRequest) -> Result<AddTagsToResourceResult, ApiError> {
    let reference = meant(&call, input.resource_type, input.resource_id)?;
    let added = given(input.tags.unwrap_or_default())?;
    change(&call, reference, |tags| tagging::merged(tags, added.clone()).map_err(refusal)).await?;
    Ok(AddTagsToResourceResult {})
}

pub async fn remove(
    call: Call,
    input: RemoveTagsFromResourceRequest,
) -> Result<RemoveTagsFromResourceResult, ApiError> {
    let reference = meant(&call, input.resource_type, input.resource_id)?;
    let keys = input.tag_keys.unwrap_or_default();
    let without = |mut tags: Tags| {
        tags.retain(|key, _| !keys.contains(key));
        Ok(tags)
    };
    change(&call, reference, without).await?;
    Ok(RemoveTagsFromResourceResult {})
}

pub async fn list(
    call: Call,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResult, ApiError> {
    let reference = meant(&call, input.resource_type, input.resource_id)?;
    let found = call.services.state.read(|view| {
        let name = reference.name(view, call.scope());
        view.get::<Parameter>(call.scope(), &name)
    });
    let shown = found
        .ok_or_else(bad_id)?
        .tags
        .iter()
        .map(|(key, value)| ssm::Tag { key: Some(key.clone()), value: Some(value.clone()) })
        .collect();
    Ok(ListTagsForResourceResult { tag_list: Some(shown) })
}
