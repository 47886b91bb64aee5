//! Sessions of users themselves, and of those whom a user vouches for.

use std::time::Duration;

use aws_shapes_sts as sts;
use aws_shapes_sts::{
    GetFederationTokenRequest, GetFederationTokenResponse, GetSessionTokenRequest, GetSessionTokenResponse,
};

use super::calls::{denied, no_devices, packed_percent, passed_policies, passed_tags, shape};
use crate::{
    gateway::{ApiError, Call},
    services::iam::access_keys::{Session, SessionCredentials, begin_session},
};

const DEFAULT_SECONDS: i32 = 12 * 60 * 60;
/// What the account's root gets when it asks for more.
const ROOT_SECONDS: u32 = 60 * 60;

/// How long a session may be: the root's are shorter.
fn duration(call: &Call, wanted: Option<i32>) -> Duration {
    let wanted = wanted.unwrap_or(DEFAULT_SECONDS).unsigned_abs();
    let root = call.principal.arn.ends_with(":root");
    Duration::from_secs(if root { wanted.min(ROOT_SECONDS) } else { wanted }.into())
}

fn long_lived(call: &Call, operation: &str) -> Result<(), ApiError> {
    if call.principal.access_key.starts_with("ASIA") {
        return Err(denied(format!("Cannot call {operation} with session credentials")));
    }
    Ok(())
}

async fn begin(
    call: &Call,
    principal: (String, String),
    session: Session,
    duration: Duration,
) -> Result<SessionCredentials, ApiError> {
    let mut ids = call.services.ids();
    let times = (call.now(), call.now() + duration);
    call.services
        .state
        .transact(|tx| {
            let account = &call.principal.account;
            Ok(begin_session(tx, account, principal.clone(), session.clone(), times, &mut ids))
        })
        .await
}

pub async fn get_session_token(
    call: Call,
    input: GetSessionTokenRequest,
) -> Result<GetSessionTokenResponse, ApiError> {
    long_lived(&call, "GetSessionToken")?;
    no_devices(input.serial_number.as_ref())?;
    let principal = (call.principal.arn.clone(), call.principal.user_id.clone());
    let duration = duration(&call, input.duration_seconds);
    let credentials = begin(&call, principal, Session::default(), duration).await?;
    Ok(GetSessionTokenResponse { credentials: Some(shape(&credentials)), ..Default::default() })
}

pub async fn get_federation_token(
    call: Call,
    input: GetFederationTokenRequest,
) -> Result<GetFederationTokenResponse, ApiError> {
    long_lived(&call, "GetFederationToken")?;
    let (account, name) = (&call.principal.account, input.name.unwrap_or_default());
    let (policy, policy_arns) = passed_policies(input.policy, input.policy_arns)?;
    let issuer = Some(call.principal.user_id.clone()).filter(|_| !call.principal.arn.ends_with(":root"));
    let tags = passed_tags(input.tags)?;
    let session = Session { policy, policy_arns, tags, issuer, ..Session::default() };
    let packed_policy_size = session.policy.as_deref().map(packed_percent);
    let principal = (format!("arn:aws:sts::{account}:federated-user/{name}"), format!("{account}:{name}"));
    let duration = duration(&call, input.duration_seconds);
    let credentials = begin(&call, principal, session, duration).await?;
    Ok(GetFederationTokenResponse {
        credentials: Some(shape(&credentials)),
        federated_user: Some(sts::FederatedUser {
            federated_user_id: Some(credentials.principal_id),
            arn: Some(credentials.principal_arn),
        }),
        packed_policy_size,
        ..GetFederationTokenResponse::default()
    })
}
