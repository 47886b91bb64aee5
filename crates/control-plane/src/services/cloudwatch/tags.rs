//! Tags of alarms.

use aws_shapes_cloudwatch as cloudwatch;
use aws_shapes_cloudwatch::{
    ListTagsForResourceInput, ListTagsForResourceOutput, TagResourceInput, TagResourceOutput,
    UntagResourceInput, UntagResourceOutput, errors,
};
use vocabulary::Scope;

use super::{
    errors::invalid_value,
    records::{Alarm, arn},
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, Tags},
};

/// The tags of a request.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn given(tags: Option<Vec<cloudwatch::Tag>>) -> Result<Tags, ApiError> {
    let pairs = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    tagging::checked(pairs).map_err(|error| invalid_value(error.to_string()))
}

/// The name in an alarm's ARN.
fn name<'a>(scope: &Scope, given: &'a str) -> Result<&'a str, ApiError> {
    let prefix = arn(scope, "");
    match given.strip_prefix(&prefix) {
        Some(name) if !name.is_empty() => Ok(name),
        _ if given.parse::<vocabulary::Arn>().is_err() => {
            Err(invalid_value(format!("The value {given} for parameter ResourceARN is not an ARN.")))
        }
        _ => Err(not_found(given)),
    }
}

fn not_found(arn: &str) -> ApiError {
    ApiError::new(&errors::RESOURCE_NOT_FOUND_EXCEPTION, format!("The resource {arn} does not exist."))
}

async fn change(
    call: &Call,
    arn: &str,
    with: impl Fn(Tags) -> Result<Tags, ApiError>,
) -> Result<(), ApiError> {
    let scope = call.scope();
    let name = name(scope, arn)?;
    call.services
        .state
        .transact(|tx| {
            let there = tx.get::<Alarm>(scope, name).ok_or_else(|| not_found(arn))?;
            let tags = with(there.tags.clone())?;
            tx.put(scope, name, Alarm { tags, ..(*there).clone() });
            Ok(())
        })
        .await
}

pub async fn tag(call: Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let added = given(input.tags)?;
    let merged =
        |tags| tagging::merged(tags, added.clone()).map_err(|error| invalid_value(error.to_string()));
    change(&call, &input.resource_arn.unwrap_or_default(), merged).await?;
    Ok(TagResourceOutput {})
}

pub async fn untag(call: Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    let keys = input.tag_keys.unwrap_or_default();
    let without = |mut tags: Tags| {
        tags.retain(|key, _| !keys.contains(key));
        Ok(tags)
    };
    change(&call, &input.resource_arn.unwrap_or_default(), without).await?;
    Ok(UntagResourceOutput {})
}

pub async fn list(
    call: Call,
    input: ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, ApiError> {
    let arn = input.resource_arn.unwrap_or_default();
    let scope = call.scope();
    let found = call.services.state.view().get::<Alarm>(scope, name(scope, &arn)?);
    let found = found.ok_or_else(|| not_found(&arn))?;
    let tags = found.tags.iter();
    let shown =
        tags.map(|(key, value)| cloudwatch::Tag { key: Some(key.clone()), value: Some(value.clone()) });
    Ok(ListTagsForResourceOutput { tags: Some(shown.collect()) })
}
