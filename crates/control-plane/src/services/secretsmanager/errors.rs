//! Secrets Manager's errors that more than one operation gives.

use aws_shapes_secretsmanager::errors;

use crate::gateway::ApiError;

pub fn not_found() -> ApiError {
    ApiError::new(&errors::RESOURCE_NOT_FOUND_EXCEPTION, "Secrets Manager can't find the specified secret.")
}

/// There is a secret, but not such a value of it.
pub fn no_value(which: &str) -> ApiError {
    let message = format!("Secrets Manager can't find the specified secret value for {which}");
    ApiError::new(&errors::RESOURCE_NOT_FOUND_EXCEPTION, message)
}

pub fn invalid_request(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_REQUEST_EXCEPTION, message)
}

pub fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_PARAMETER_EXCEPTION, message)
}

pub fn marked_for_deletion() -> ApiError {
    invalid_request("You can't perform this operation on the secret because it was marked for deletion.")
}

pub fn exists(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::RESOURCE_EXISTS_EXCEPTION, message)
}

pub fn limit(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::LIMIT_EXCEEDED_EXCEPTION, message)
}

pub fn of_a_replica() -> ApiError {
    invalid_request(
        "Operation not permitted on a replica secret. Call must be made in primary secret's region.",
    )
}

/// What KMS refused while a value was encrypted.
pub fn cannot_encrypt(cause: ApiError) -> ApiError {
    kms(&errors::ENCRYPTION_FAILURE, "encrypt", cause)
}

/// What KMS refused while a value was decrypted.
pub fn cannot_decrypt(cause: ApiError) -> ApiError {
    kms(&errors::DECRYPTION_FAILURE, "decrypt", cause)
}

fn kms(table: &'static aws_schema::ErrorTable, verb: &str, cause: ApiError) -> ApiError {
    match cause.code.as_ref() {
        "AccessDeniedException" => {
            ApiError::undeclared("AccessDeniedException", 400, "Access to KMS is not allowed")
                .caused_by(cause)
        }
        "InternalFailure" => cause,
        _ => {
            let message = format!(
                "Secrets Manager can't {verb} the protected secret text using the provided KMS key: {}",
                cause.message
            );
            ApiError::new(table, message)
        }
    }
}
