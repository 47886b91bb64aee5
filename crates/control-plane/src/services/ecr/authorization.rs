//! Passwords for the registry.

use aws_shapes_ecr::{AuthorizationData, GetAuthorizationTokenRequest, GetAuthorizationTokenResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::convert::time;
use crate::gateway::{ApiError, Call};
use crate::registry::token::Access;

/// A password for the caller's own registry. AWS deprecates naming registries; each named one gets the same.
pub async fn token(
    call: Call,
    input: GetAuthorizationTokenRequest,
) -> Result<GetAuthorizationTokenResponse, ApiError> {
    let access = Access {
        scope: call.scope().clone(),
        account: call.principal.account.clone(),
        principal: call.principal.arn.clone(),
        user_id: call.principal.user_id.clone(),
        access_key: call.principal.access_key.clone(),
        only: None,
    };
    let (token, expires) = call.services.registry.key.issue(&access, call.now());
    let data = AuthorizationData {
        authorization_token: Some(STANDARD.encode(format!("AWS:{token}"))),
        expires_at: Some(time(expires)),
        proxy_endpoint: Some(call.services.settings.url()),
    };
    let registries = input.registry_ids.map_or(1, |registries| registries.len().max(1));
    Ok(GetAuthorizationTokenResponse { authorization_data: Some(vec![data; registries]) })
}
