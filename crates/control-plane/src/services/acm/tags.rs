//! Tags of certificates.

use aws_schema::Unit;
use aws_shapes_acm as acm;
use aws_shapes_acm::{
    AddTagsToCertificateRequest, ListTagsForCertificateRequest, ListTagsForCertificateResponse,
    ListTagsForResourceRequest, ListTagsForResourceResponse, RemoveTagsFromCertificateRequest,
    TagResourceRequest, UntagResourceRequest, errors,
};

use super::{calls::retagged, errors::not_found, get, id_of, see};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, InvalidTags, Tags},
};

/// The tags of a request.
///
/// # Errors
/// `InvalidTagException`, `TooManyTagsException`.
pub fn given(tags: Option<Vec<acm::Tag>>) -> Result<Tags, ApiError> {
    tagging::checked(tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value))).map_err(refusal)
}

fn refusal(error: InvalidTags) -> ApiError {
    let table = match error {
        InvalidTags::TooMany => &errors::TOO_MANY_TAGS_EXCEPTION,
        _ => &errors::INVALID_TAG_EXCEPTION,
    };
    ApiError::new(table, error.to_string())
}

pub async fn add(call: Call, input: AddTagsToCertificateRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let arn = input.certificate_arn.unwrap_or_default();
    let (id, added) = (id_of(scope, &arn)?, given(input.tags)?);
    call.services
        .state
        .transact(|tx| {
            let there = get(tx, scope, &arn).ok_or_else(|| not_found(&arn, scope.account.as_str()))?;
            let tags = tagging::merged(there.tags.clone(), added.clone()).map_err(refusal)?;
            tx.put(scope, id, retagged(&there, tags));
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(Unit)
}

pub async fn remove(call: Call, input: RemoveTagsFromCertificateRequest) -> Result<Unit, ApiError> {
    let scope = call.scope();
    let arn = input.certificate_arn.unwrap_or_default();
    let id = id_of(scope, &arn)?;
    let removed = input.tags.unwrap_or_default();
    call.services
        .state
        .transact(|tx| {
            let there = get(tx, scope, &arn).ok_or_else(|| not_found(&arn, scope.account.as_str()))?;
            let mut tags = there.tags.clone();
            // A tag given with a value goes only if it has that one.
            tags.retain(|key, value| {
                !removed.iter().any(|tag| {
                    tag.key.as_ref() == Some(key) && tag.value.as_ref().is_none_or(|given| given == value)
                })
            });
            tx.put(scope, id, retagged(&there, tags));
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(Unit)
}

pub async fn list(
    call: Call,
    input: ListTagsForCertificateRequest,
) -> Result<ListTagsForCertificateResponse, ApiError> {
    let view = call.services.state.view();
    let found = see(&view, call.scope(), &input.certificate_arn.unwrap_or_default())?;
    let shown =
        found.tags.iter().map(|(key, value)| acm::Tag { key: Some(key.clone()), value: Some(value.clone()) });
    Ok(ListTagsForCertificateResponse { tags: Some(shown.collect()) })
}

/// As [`add`], under the name that every service has for it.
pub async fn tag(call: Call, input: TagResourceRequest) -> Result<Unit, ApiError> {
    add(call, AddTagsToCertificateRequest { certificate_arn: input.resource_arn, tags: input.tags }).await
}

/// As [`remove`], whatever the values.
pub async fn untag(call: Call, input: UntagResourceRequest) -> Result<Unit, ApiError> {
    let keys = input.tag_keys.unwrap_or_default().into_iter();
    let tags = keys.map(|key| acm::Tag { key: Some(key), value: None }).collect();
    remove(call, RemoveTagsFromCertificateRequest { certificate_arn: input.resource_arn, tags: Some(tags) })
        .await
}

pub async fn list_of_resource(
    call: Call,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let shown = list(call, ListTagsForCertificateRequest { certificate_arn: input.resource_arn }).await?;
    Ok(ListTagsForResourceResponse { tags: shown.tags })
}
