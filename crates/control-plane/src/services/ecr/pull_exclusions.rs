//! Principals whose pulls leave an image's last pull time alone.

use aws_shapes_ecr::{
    DeregisterPullTimeUpdateExclusionRequest, DeregisterPullTimeUpdateExclusionResponse,
    ListPullTimeUpdateExclusionsRequest, ListPullTimeUpdateExclusionsResponse,
    RegisterPullTimeUpdateExclusionRequest, RegisterPullTimeUpdateExclusionResponse, errors,
};

use super::images::bad_token;
use super::{catalog, page_size};
use crate::convert::time;
use crate::gateway::{ApiError, Call};
use crate::registry::error::CatalogError;
use crate::registry::records::PullExclusion;

pub async fn register(
    call: Call,
    input: RegisterPullTimeUpdateExclusionRequest,
) -> Result<RegisterPullTimeUpdateExclusionResponse, ApiError> {
    let principal = input.principal_arn.unwrap_or_default();
    let scope = call.scope();
    let exclusion = PullExclusion { principal: principal.clone(), created_at: call.now() };
    let created = catalog(&call).state().transact(|tx| {
        tx.create(scope, &principal, exclusion.clone()).map_err(|_| {
            let message = format!("An exclusion for the principal '{principal}' already exists");
            ApiError::new(&errors::EXCLUSION_ALREADY_EXISTS_EXCEPTION, message)
        })
    });
    created.await?;
    Ok(RegisterPullTimeUpdateExclusionResponse {
        created_at: Some(time(exclusion.created_at)),
        principal_arn: Some(principal),
    })
}

pub async fn deregister(
    call: Call,
    input: DeregisterPullTimeUpdateExclusionRequest,
) -> Result<DeregisterPullTimeUpdateExclusionResponse, ApiError> {
    let principal = input.principal_arn.unwrap_or_default();
    let scope = call.scope();
    let deleted = catalog(&call)
        .state()
        .transact(|tx| Ok::<_, CatalogError>(tx.delete::<PullExclusion>(scope, &principal).is_some()));
    if !deleted.await? {
        let message = format!("There is no exclusion for the principal '{principal}'");
        return Err(ApiError::new(&errors::EXCLUSION_NOT_FOUND_EXCEPTION, message));
    }
    Ok(DeregisterPullTimeUpdateExclusionResponse { principal_arn: Some(principal) })
}

pub async fn list(
    call: Call,
    input: ListPullTimeUpdateExclusionsRequest,
) -> Result<ListPullTimeUpdateExclusionsResponse, ApiError> {
    let view = catalog(&call).state().view();
    let page = call.services.page_tokens.page(
        "ecr pull exclusions",
        view.scan::<PullExclusion>(call.scope()).map(|(_, exclusion)| exclusion.principal.clone()),
        String::clone,
        input.next_token.as_deref(),
        page_size(input.max_results),
    );
    let page = page.map_err(|_| bad_token())?;
    Ok(ListPullTimeUpdateExclusionsResponse {
        next_token: page.next_token,
        pull_time_update_exclusions: Some(page.items),
    })
}
