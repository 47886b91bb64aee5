//! DecodeAuthorizationMessage: what was decided when a request was refused.
//!
//! The details of a decision may tell more than who was refused is to know: which policies there are. EC2's refusals carry them sealed;
//! whoever has the permission `sts:DecodeAuthorizationMessage` in the same account has them opened.

use aws_shapes_sts::{DecodeAuthorizationMessageRequest, DecodeAuthorizationMessageResponse, errors};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use policy::{Decision, Request};
use serde_json::json;
use vocabulary::AccountId;

use crate::{
    gateway::{ApiError, Call},
    services::Services,
};

fn purpose(account: &AccountId) -> String {
    format!("authorization message of {account}")
}

/// A decision, sealed for the caller's account. None for a caller of no account.
pub fn encode(services: &Services, request: &Request<'_>, decision: &Decision) -> Option<String> {
    let account = request.principal.account.as_ref()?;
    let statement = decision.source().map(|source| {
        json!({"policy": source.policy, "kind": source.kind.words(), "statement": source.statement, "sid": source.sid})
    });
    let conditions: Vec<_> = request
        .context
        .entries()
        .map(|(key, values)| json!({"key": key, "values": {"items": values.iter().map(|value| json!({"value": value})).collect::<Vec<_>>()}}))
        .collect();
    let message = json!({
        "allowed": decision.is_allowed(),
        "explicitDeny": matches!(decision, Decision::Denied(_)),
        "matchedStatements": {"items": statement.into_iter().collect::<Vec<_>>()},
        "failures": {"items": []},
        "context": {
            "principal": {"arn": request.principal.name()},
            "action": request.action,
            "resource": request.resource,
            "conditions": {"items": conditions},
        },
    });
    let sealed = services.authorization_messages.seal(purpose(account), message.to_string().as_bytes());
    Some(URL_SAFE_NO_PAD.encode(sealed))
}

pub async fn decode(
    call: Call,
    input: DecodeAuthorizationMessageRequest,
) -> Result<DecodeAuthorizationMessageResponse, ApiError> {
    let sealed = URL_SAFE_NO_PAD.decode(input.encoded_message.unwrap_or_default()).ok();
    let purpose = purpose(&call.scope().account);
    let opened = sealed.and_then(|sealed| call.services.authorization_messages.open(&purpose, &sealed));
    let text = opened.and_then(|opened| String::from_utf8(opened).ok()).ok_or_else(|| {
        ApiError::new(
            &errors::INVALID_AUTHORIZATION_MESSAGE_EXCEPTION,
            "Message is not a valid encoded authorization message.",
        )
    })?;
    Ok(DecodeAuthorizationMessageResponse { decoded_message: Some(text) })
}
