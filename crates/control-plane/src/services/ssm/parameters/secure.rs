//! `SecureString`: values encrypted with a key of KMS, as the caller may use it. The key is bound to the parameter by the encryption
//! context `PARAMETER_ARN`, as on AWS.

use aws_shapes_ssm::errors;
use base64::{Engine, engine::general_purpose::STANDARD};
use policy::Context;
use state_store::{Tx, View};
use vocabulary::Scope;

use super::records::arn;
use crate::{
    authorization::{Holder, of_call},
    gateway::{ApiError, Call},
    services::{
        Services,
        kms::{self, EncryptionContext, User, With},
    },
};

/// The key of those who name none. It is made at first use.
pub const DEFAULT_KEY: &str = "alias/aws/ssm";

/// Encrypts a value for the parameter `name`; base 64.
///
/// # Errors
/// `InvalidKeyId`; `AccessDeniedException` when the caller may not use the key.
pub fn encrypt(tx: &mut Tx, call: &Call, key: &str, name: &str, value: &str) -> Result<String, ApiError> {
    let (holder, context) = of_call(call);
    let bound = bound(call.scope(), name);
    let with = With { key, action: "kms:Encrypt", context: &bound };
    let user = user(&holder, &context);
    let made = kms::encrypt(&call.services, tx, call.scope(), &with, value.as_bytes(), &user);
    made.map(|made| STANDARD.encode(made.blob)).map_err(refused)
}

/// Decrypts what [`encrypt`] made, in the caller's name.
///
/// # Errors
/// As [`encrypt`].
pub fn decrypt(call: &Call, name: &str, sealed: &str) -> Result<String, ApiError> {
    let (holder, context) = of_call(call);
    decrypt_for(&call.services, &call.services.state.view(), call.scope(), (&holder, &context), name, sealed)
}

/// The same, in a role's name.
///
/// # Errors
/// As [`encrypt`].
pub fn decrypt_for(
    services: &Services,
    view: &View,
    scope: &Scope,
    (holder, context): (&Holder, &Context),
    name: &str,
    sealed: &str,
) -> Result<String, ApiError> {
    let blob = STANDARD.decode(sealed).map_err(ApiError::internal)?;
    let plain = kms::decrypt(services, view, &blob, &bound(scope, name), &user(holder, context));
    String::from_utf8(plain.map_err(refused)?).map_err(|_| ApiError::internal("a parameter is not UTF-8"))
}

fn bound(scope: &Scope, name: &str) -> EncryptionContext {
    EncryptionContext::from([("PARAMETER_ARN".to_owned(), arn(scope, name))])
}

fn user<'a>(holder: &'a Holder, context: &'a Context) -> User<'a> {
    User { holder, context, via: Some("ssm") }
}

/// KMS's refusal as Parameter Store gives it on.
fn refused(error: ApiError) -> ApiError {
    match error.code.as_ref() {
        "AccessDeniedException" | "InternalFailure" => error,
        code => {
            let message = format!(
                "{} (Service: AWSKMS; Status Code: {}; Error Code: {code})",
                error.message, error.status
            );
            ApiError::new(&errors::INVALID_KEY_ID, message)
        }
    }
}
