//! ACM's errors that more than one operation gives.

use aws_shapes_acm::errors;

use crate::gateway::ApiError;

pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::VALIDATION_EXCEPTION, message)
}

pub fn not_found(arn: &str, account: &str) -> ApiError {
    ApiError::new(
        &errors::RESOURCE_NOT_FOUND_EXCEPTION,
        format!("Could not find certificate {arn} in account {account}."),
    )
}

pub fn invalid_arn(arn: &str) -> ApiError {
    ApiError::new(&errors::INVALID_ARN_EXCEPTION, format!("The ARN {arn} is not one of a certificate."))
}
