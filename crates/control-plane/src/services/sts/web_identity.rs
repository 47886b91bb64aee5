//! AssumeRoleWithWebIdentity: a role for whoever an OpenID Connect provider of the role's account vouches for.
//!
//! In this order: the token is read; its issuer is looked up among the providers of the account; its audience has to be one of theirs; it
//! must not be over; its signature is verified with the keys that the provider publishes ([`keys`]); the role's trust policy decides, with
//! the token's claims as condition keys. Nobody signs the request: the token is the only proof. Source: "OpenID Connect Core 1.0" §3.1.3.7
//! for the token, the IAM user guide for claims and condition keys.

pub mod keys;
#[cfg(test)]
mod tests;
pub mod token;

use std::time::Duration;

use aws_shapes_sts as sts;
use aws_shapes_sts::{AssumeRoleWithWebIdentityRequest, AssumeRoleWithWebIdentityResponse, errors};
use policy::{Caller, Context, Principal};

use self::token::{Claims, Token};
use super::calls::{denied, invalid, packed_percent, passed_policies, shape};
use crate::{
    authorization::{self, Holder},
    gateway::{ApiError, Call},
    services::{
        iam::{
            access_keys::{Session, begin_session},
            names,
            records::OidcProvider,
            sessions,
        },
        tagging,
    },
};

fn rejected(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_IDENTITY_TOKEN_EXCEPTION, message)
}

fn not_authorized() -> ApiError {
    denied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
}

pub async fn assume_role(
    call: Call,
    input: AssumeRoleWithWebIdentityRequest,
) -> Result<AssumeRoleWithWebIdentityResponse, ApiError> {
    if let Some(provider) = input.provider_id {
        // Only for the access tokens of OAuth 2.0 that a few providers have, not for OpenID Connect.
        return Err(rejected(format!("Tokens of {provider} are not supported by Longshore.")));
    }
    let role_arn = input.role_arn.unwrap_or_default();
    let session_name = input.role_session_name.unwrap_or_default();
    let seconds = input.duration_seconds.unwrap_or(3600).unsigned_abs();
    let (policy, policy_arns) = passed_policies(input.policy, input.policy_arns)?;
    let token = Token::parse(&input.web_identity_token.unwrap_or_default()).map_err(rejected)?;
    let claims = token.claims.clone();

    let (account, _) = call
        .services
        .state
        .read(|view| sessions::role_in_view(view, &role_arn))
        .ok_or_else(not_authorized)?;
    let scope = names::global(&account);
    let issuer = claims.issuer.trim_end_matches('/');
    let id = issuer.strip_prefix("https://").unwrap_or(issuer).to_owned();
    let provider = call.services.state.read(|view| view.get::<OidcProvider>(&scope, &id));
    let provider = provider.ok_or_else(|| {
        rejected(format!("No OpenIDConnect provider found in your account for {}", claims.issuer))
    })?;
    let audience =
        claims.audience_among(&provider.clients).ok_or_else(|| rejected("Incorrect token audience"))?;
    let now_seconds = call.now().as_millis().div_euclid(1000);
    if claims.expires_at <= now_seconds {
        let message = format!(
            "Token expired: current date/time {now_seconds} must be before the expiration date/time {}",
            claims.expires_at
        );
        return Err(ApiError::new(&errors::EXPIRED_TOKEN_EXCEPTION, message));
    }
    if claims.not_before.is_some_and(|from| from > now_seconds + token::SKEW_SECONDS) {
        return Err(rejected("The token is not valid yet."));
    }
    call.services.identity_keys.verify(&provider, &token, call.now()).await?;

    let provider_arn = format!("arn:aws:iam::{account}:oidc-provider/{id}");
    let tags = tagging::checked(claims.tags.iter().map(|(key, value)| (key.clone(), value.clone())))
        .map_err(|error| invalid(error.to_string()))?;
    let session = Session {
        policy,
        policy_arns,
        tags,
        transitive_tags: claims.transitive_tags.clone(),
        source_identity: claims.source_identity.clone(),
        provider: Some(provider_arn.clone()),
        ..Session::default()
    };
    let caller = Caller::WebIdentity { provider_arn: provider_arn.clone() };
    let user_id = format!("{provider_arn}:{}", claims.subject);
    let holder = Holder::bare(Principal { account: None, caller }, &user_id);
    let context = circumstances(&call, &holder, &session, (&id, &claims, audience), &session_name);
    let mut ids = call.services.ids();
    let credentials = call
        .services
        .state
        .transact(|tx| {
            let (_, role) = sessions::role(tx, &role_arn).ok_or_else(not_authorized)?;
            let tagged = (!session.tags.is_empty()).then_some("sts:TagSession");
            let identified = session.source_identity.as_ref().map(|_| "sts:SetSourceIdentity");
            for action in [Some("sts:AssumeRoleWithWebIdentity"), tagged, identified].into_iter().flatten() {
                if !authorization::may_assume(&holder, &context, &account, &role, action).is_allowed() {
                    return Err(denied(format!("Not authorized to perform {action}")));
                }
            }
            if seconds > role.max_session_seconds {
                return Err(invalid(
                    "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
                ));
            }
            let principal = sessions::principal(&account, &role, &session_name);
            let times = (call.now(), call.now() + Duration::from_secs(seconds.into()));
            Ok::<_, ApiError>(begin_session(tx, &account, principal, session.clone(), times, &mut ids))
        })
        .await?;
    Ok(AssumeRoleWithWebIdentityResponse {
        credentials: Some(shape(&credentials)),
        subject_from_web_identity_token: Some(claims.subject.clone()),
        assumed_role_user: Some(sts::AssumedRoleUser {
            assumed_role_id: Some(credentials.principal_id),
            arn: Some(credentials.principal_arn),
        }),
        packed_policy_size: session.policy.as_deref().map(packed_percent),
        provider: Some(claims.issuer.clone()),
        audience: Some(audience.to_owned()),
        source_identity: session.source_identity,
        ..AssumeRoleWithWebIdentityResponse::default()
    })
}

/// The claims as condition keys: `HOST/PATH:aud`, `:sub`, `:amr`, `:oaud`.
fn circumstances(
    call: &Call,
    holder: &Holder,
    session: &Session,
    (provider, claims, audience): (&str, &Claims, &str),
    session_name: &str,
) -> Context {
    let mut context = super::calls::circumstances(call, holder, session, session_name);
    if let Some(arn) = &session.provider {
        context.set("aws:FederatedProvider", arn.as_str());
    }
    context.set(&format!("{provider}:sub"), claims.subject.as_str());
    context.set_all(&format!("{provider}:amr"), claims.methods.iter().cloned());
    match &claims.authorized_party {
        // Whom the token was given to comes before whom it is for.
        Some(party) => {
            context.set(&format!("{provider}:aud"), party.as_str());
            context.set(&format!("{provider}:oaud"), audience);
        }
        None => context.set(&format!("{provider}:aud"), audience),
    }
    context
}
