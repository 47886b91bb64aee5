//! Tags.

use aws_shapes_elb as elb;
use aws_shapes_elb::{
    AddTagsInput, AddTagsOutput, DescribeTagsInput, DescribeTagsOutput, RemoveTagsInput, RemoveTagsOutput,
    errors,
};

use super::{
    balancers::{get, see},
    errors::validation,
    records::LoadBalancer,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, InvalidTags, Tags},
};

/// Load balancers of one request.
const MOST_NAMED: usize = 20;

/// The tags of a request.
///
/// # Errors
/// `DuplicateTagKeys`, `TooManyTags`, `ValidationError`.
pub fn given(tags: Option<Vec<elb::Tag>>) -> Result<Tags, ApiError> {
    let pairs = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    tagging::checked(pairs).map_err(refusal)
}

fn refusal(error: InvalidTags) -> ApiError {
    match error {
        InvalidTags::Duplicate(_) => {
            ApiError::new(&errors::DUPLICATE_TAG_KEYS_EXCEPTION, "Tag keys must be unique")
        }
        InvalidTags::TooMany => ApiError::new(
            &errors::TOO_MANY_TAGS_EXCEPTION,
            "The quota for the number of tags that can be assigned to this load balancer has been reached",
        ),
        other => validation(other.to_string()),
    }
}

/// Changes the tags of all named load balancers, or of none.
async fn change(
    call: &Call,
    names: Vec<String>,
    change: impl Fn(Tags) -> Result<Tags, ApiError>,
) -> Result<(), ApiError> {
    if names.len() > MOST_NAMED {
        return Err(validation(format!("At most {MOST_NAMED} load balancers can be named")));
    }
    call.services
        .state
        .transact(|tx| {
            for name in &names {
                let found = get(tx, call.scope(), name)?;
                let tags = change(found.tags.clone())?;
                tx.put(call.scope(), name, LoadBalancer { tags, ..(*found).clone() });
            }
            Ok(())
        })
        .await
}

pub async fn add(call: Call, input: AddTagsInput) -> Result<AddTagsOutput, ApiError> {
    let added = given(input.tags)?;
    let merge = |tags| tagging::merged(tags, added.clone()).map_err(refusal);
    change(&call, input.load_balancer_names.unwrap_or_default(), merge).await?;
    Ok(AddTagsOutput {})
}

pub async fn remove(call: Call, input: RemoveTagsInput) -> Result<RemoveTagsOutput, ApiError> {
    let keys: Vec<String> = input.tags.unwrap_or_default().into_iter().filter_map(|tag| tag.key).collect();
    let without = |mut tags: Tags| {
        tags.retain(|key, _| !keys.contains(key));
        Ok(tags)
    };
    change(&call, input.load_balancer_names.unwrap_or_default(), without).await?;
    Ok(RemoveTagsOutput {})
}

pub async fn describe(call: Call, input: DescribeTagsInput) -> Result<DescribeTagsOutput, ApiError> {
    let view = call.services.state.view();
    let mut described = Vec::new();
    for name in input.load_balancer_names.unwrap_or_default() {
        let found = see(&view, call.scope(), &name)?;
        let tags = found
            .tags
            .iter()
            .map(|(key, value)| elb::Tag { key: Some(key.clone()), value: Some(value.clone()) });
        described.push(elb::TagDescription { tags: Some(tags.collect()), load_balancer_name: Some(name) });
    }
    Ok(DescribeTagsOutput { tag_descriptions: Some(described) })
}
