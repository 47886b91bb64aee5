//! Tags of secrets.

use aws_schema::Unit;
use aws_shapes_secretsmanager::{Tag, TagResourceRequest, UntagResourceRequest};
use vocabulary::Scope;

use super::{
    errors::{invalid_parameter, limit},
    names,
    records::Secret,
    replication,
    values::Asker,
    writes::writable,
};
use crate::{
    gateway::{ApiError, Call},
    services::tagging::{self, InvalidTags, Tags},
};

/// The tags of a request.
///
/// # Errors
/// `InvalidParameterException`, `LimitExceededException`.
pub fn given(tags: Option<Vec<Tag>>) -> Result<Tags, ApiError> {
    let pairs = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
    tagging::checked(pairs).map_err(refusal)
}

fn refusal(error: InvalidTags) -> ApiError {
    match error {
        InvalidTags::TooMany => limit(error.to_string()),
        other => invalid_parameter(other.to_string()),
    }
}

async fn edit(
    call: &Call,
    id: Option<String>,
    change: impl Fn(Tags) -> Result<Tags, ApiError>,
) -> Result<Unit, ApiError> {
    let (id, asker) = (id.unwrap_or_default(), Asker::of(call));
    call.services
        .state
        .transact(|tx| {
            let found = names::get(tx, call.scope(), &id)?;
            writable(&found)?;
            let tags = change(found.secret.tags.clone())?;
            let secret = Secret { tags, ..Secret::clone(&found.secret) };
            let scope: &Scope = &found.scope;
            replication::follow(call, tx, scope, &secret, None, &asker)?;
            tx.put(scope, &secret.name.clone(), secret);
            Ok(Unit)
        })
        .await
}

pub async fn add(call: Call, input: TagResourceRequest) -> Result<Unit, ApiError> {
    let added = given(input.tags)?;
    edit(&call, input.secret_id, |tags| tagging::merged(tags, added.clone()).map_err(refusal)).await
}

pub async fn remove(call: Call, input: UntagResourceRequest) -> Result<Unit, ApiError> {
    let removed = input.tag_keys.unwrap_or_default();
    edit(&call, input.secret_id, |mut tags| {
        tags.retain(|name, _| !removed.contains(name));
        Ok(tags)
    })
    .await
}
