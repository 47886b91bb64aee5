//! KMS's errors that more than one operation gives.

use aws_schema::ErrorTable;
use aws_shapes_kms::errors;

use crate::gateway::ApiError;

pub fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::NOT_FOUND_EXCEPTION, message)
}

pub fn invalid_arn(arn: &str) -> ApiError {
    ApiError::new(&errors::INVALID_ARN_EXCEPTION, format!("Invalid arn {arn}"))
}

pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::validation(message)
}

pub fn disabled(arn: &str) -> ApiError {
    ApiError::new(&errors::DISABLED_EXCEPTION, format!("{arn} is disabled."))
}

pub fn pending_deletion(arn: &str) -> ApiError {
    invalid_state(format!("{arn} is pending deletion."))
}

pub fn invalid_state(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::KMS_INVALID_STATE_EXCEPTION, message)
}

/// What KMS knows and this platform's does not.
pub fn unsupported(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::UNSUPPORTED_OPERATION_EXCEPTION, message)
}

/// KMS tells nothing of why it cannot decrypt.
pub fn invalid_ciphertext() -> ApiError {
    ApiError::new(&errors::INVALID_CIPHERTEXT_EXCEPTION, "")
}

pub fn incorrect_key() -> ApiError {
    ApiError::new(
        &errors::INCORRECT_KEY_EXCEPTION,
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )
}

pub fn key_usage(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_KEY_USAGE_EXCEPTION, message)
}

/// A dry run that would have gone well.
pub fn dry_run() -> ApiError {
    ApiError::new(
        &errors::DRY_RUN_OPERATION_EXCEPTION,
        "The request would have succeeded, but the DryRun option is set.",
    )
}

/// A limit that is reached.
pub fn limit(what: &str, most: usize) -> ApiError {
    declared(&errors::LIMIT_EXCEEDED_EXCEPTION, format!("The limit of {most} {what} has been reached."))
}

pub fn declared(table: &'static ErrorTable, message: impl Into<String>) -> ApiError {
    ApiError::new(table, message)
}

/// A whole service's refusal of a request that may not be made of keys of AWS's services, and of names that are theirs.
pub fn not_authorized(message: impl Into<String>) -> ApiError {
    ApiError::undeclared("NotAuthorizedException", 400, message)
}
