//! Security Token Service.

use aws_shapes_sts as sts;
use aws_shapes_sts::{GetCallerIdentityRequest, GetCallerIdentityResponse};

use crate::gateway::{ApiError, Call, Operations};

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations.service(sts::SERVICE).on::<sts::GetCallerIdentity, _, _>(get_caller_identity);
}

async fn get_caller_identity(
    call: Call,
    _: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse, ApiError> {
    Ok(GetCallerIdentityResponse {
        account: Some(call.principal.account.to_string()),
        arn: Some(call.principal.arn.clone()),
        user_id: Some(call.principal.user_id.clone()),
    })
}
