//! Security Token Service: who one is, and temporary credentials.

pub mod calls;
pub mod federation;
pub mod messages;
pub mod web_identity;

#[cfg(test)]
mod tests;

use aws_shapes_sts as sts;

use crate::gateway::Operations;

/// Registers the handlers.
pub fn register(operations: &mut Operations) {
    operations
        .service(sts::SERVICE)
        .on::<sts::GetCallerIdentity, _, _>(calls::get_caller_identity)
        .on::<sts::GetAccessKeyInfo, _, _>(calls::get_access_key_info)
        .on::<sts::AssumeRole, _, _>(calls::assume_role)
        .on::<sts::AssumeRoleWithWebIdentity, _, _>(web_identity::assume_role)
        .on::<sts::DecodeAuthorizationMessage, _, _>(messages::decode)
        .on::<sts::GetSessionToken, _, _>(federation::get_session_token)
        .on::<sts::GetFederationToken, _, _>(federation::get_federation_token);
}
