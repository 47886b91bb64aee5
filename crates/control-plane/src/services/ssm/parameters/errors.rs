//! Parameter Store's errors that more than one operation gives.

use aws_shapes_ssm::errors;

use crate::gateway::ApiError;

pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::validation(message)
}

/// `asked`: the name as the request has it.
pub fn not_found(asked: &str) -> ApiError {
    ApiError::new(&errors::PARAMETER_NOT_FOUND, format!("Parameter {asked} not found."))
}

pub fn no_version(version: &str, name: &str) -> ApiError {
    ApiError::new(
        &errors::PARAMETER_VERSION_NOT_FOUND,
        format!(
            "Systems Manager could not find version {version} of {name}. Verify the version and try again."
        ),
    )
}

pub fn no_label(label: &str, name: &str) -> ApiError {
    ApiError::new(
        &errors::PARAMETER_VERSION_NOT_FOUND,
        format!(
            "Systems Manager could not find label {label} for parameter {name}. Verify the label and try again."
        ),
    )
}

pub fn bad_token() -> ApiError {
    ApiError::new(&errors::INVALID_NEXT_TOKEN, "The specified token isn't valid.")
}
