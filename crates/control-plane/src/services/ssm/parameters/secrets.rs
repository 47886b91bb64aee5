//! Secrets of Secrets Manager, read as parameters: `/aws/reference/secretsmanager/NAME`.

use aws_shapes_ssm as ssm;
use serde_json::json;

use super::{
    errors::{invalid, not_found},
    names::{Reference, SECRETS, Selector},
};
use crate::{
    authorization::of_call,
    convert::time,
    gateway::{ApiError, Call},
    services::secretsmanager::{self, Which},
};

/// Digits of the ids of versions.
const VERSION_ID: std::ops::RangeInclusive<usize> = 32..=64;

/// The secret as a parameter. The caller needs the permission to read the secret as well. A version id or a stage may stand behind the name.
///
/// # Errors
/// `ParameterNotFound`; `ValidationException` without decryption; `AccessDeniedException`.
pub fn parameter(
    call: &Call,
    asked: &str,
    secret: &str,
    reference: &Reference,
    decrypt: bool,
) -> Result<ssm::Parameter, ApiError> {
    if !decrypt {
        return Err(invalid("WithDecryption flag must be True for retrieving a Secret Manager secret."));
    }
    let which = match &reference.selector {
        Selector::Newest => Which::default(),
        Selector::Version(text) | Selector::Label(text) if VERSION_ID.contains(&text.len()) => {
            Which { version_id: Some(text), stage: None }
        }
        Selector::Version(text) | Selector::Label(text) => Which { version_id: None, stage: Some(text) },
    };
    let (holder, _) = of_call(call);
    let value = secretsmanager::value(&call.services, call.scope(), &holder, secret, None, which);
    let value = value.map_err(|error| match error.code.as_ref() {
        "ResourceNotFoundException" => not_found(asked),
        "InvalidRequestException" => invalid(error.message),
        _ => error,
    })?;
    let name = format!("{SECRETS}{secret}");
    let arn = call.scope().arn("ssm", format_args!("parameter{name}")).to_string();
    Ok(ssm::Parameter {
        arn: Some(arn),
        data_type: Some("text".to_owned()),
        last_modified_date: Some(time(call.now())),
        selector: reference.shown_selector(),
        source_result: Some(json!({"name": secret}).to_string()),
        name: Some(name),
        r#type: Some(ssm::ParameterType::SecureString),
        value: Some(value),
        version: Some(0),
    })
}
