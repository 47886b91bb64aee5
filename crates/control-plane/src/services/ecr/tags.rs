//! Tags of repositories.

use aws_shapes_ecr as ecr;
use aws_shapes_ecr::{
    ListTagsForResourceRequest, ListTagsForResourceResponse, TagResourceRequest, TagResourceResponse,
    UntagResourceRequest, UntagResourceResponse,
};

use super::errors::{invalid, invalid_tags};
use super::{Target, catalog};
use crate::gateway::{ApiError, Call};
use crate::registry::records::Repository;
use crate::services::tagging::{self, Tags};

pub async fn add(call: Call, input: TagResourceRequest) -> Result<TagResourceResponse, ApiError> {
    let target = target(&call, input.resource_arn)?;
    let added = checked(input.tags)?;
    let change = |repository: &mut Repository| {
        let merged = tagging::merged(repository.tags.clone(), added.clone());
        Ok(merged.map(|tags| repository.tags = tags))
    };
    let merged = catalog(&call).update_repository(&target.scope, &target.name, change).await?;
    merged.map_err(invalid_tags)?;
    Ok(TagResourceResponse {})
}

pub async fn remove(call: Call, input: UntagResourceRequest) -> Result<UntagResourceResponse, ApiError> {
    let target = target(&call, input.resource_arn)?;
    let keys = input.tag_keys.unwrap_or_default();
    let change = |repository: &mut Repository| {
        repository.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    };
    catalog(&call).update_repository(&target.scope, &target.name, change).await?;
    Ok(UntagResourceResponse {})
}

pub async fn list(
    call: Call,
    input: ListTagsForResourceRequest,
) -> Result<ListTagsForResourceResponse, ApiError> {
    let target = target(&call, input.resource_arn)?;
    let repository = catalog(&call).repository(&target.scope, &target.name)?;
    let tags = repository.tags.iter();
    let tags =
        tags.map(|(key, value)| ecr::Tag { key: Some(key.clone()), value: Some(value.clone()) }).collect();
    Ok(ListTagsForResourceResponse { tags: Some(tags) })
}

/// The tags of a request, checked.
pub fn checked(tags: Option<Vec<ecr::Tag>>) -> Result<Tags, ApiError> {
    let pairs = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    tagging::checked(pairs).map_err(invalid_tags)
}

/// The repository that an ARN names: `arn:aws:ecr:REGION:ACCOUNT:repository/NAME`.
fn target(call: &Call, arn: Option<String>) -> Result<Target, ApiError> {
    let arn = arn.unwrap_or_default();
    let parts = arn.splitn(6, ':').collect::<Vec<_>>();
    match parts.as_slice() {
        ["arn", _, "ecr", region, account, resource]
            if *region == call.scope().region.as_str() && resource.starts_with("repository/") =>
        {
            let name = resource.trim_start_matches("repository/").to_owned();
            Target::of(call, Some(&(*account).to_owned()), Some(name))
        }
        _ => Err(invalid("Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")),
    }
}
