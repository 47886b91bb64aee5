//! CloudWatch's errors that more than one operation gives.

use aws_shapes_cloudwatch::errors;
use telemetry_store::StoreError;

use crate::gateway::ApiError;

/// `ValidationError`, which the model does not declare.
pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::undeclared("ValidationError", 400, message)
}

pub fn invalid_value(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_PARAMETER_VALUE_EXCEPTION, message)
}

pub fn combination(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_PARAMETER_COMBINATION_EXCEPTION, message)
}

pub fn missing(name: &str) -> ApiError {
    ApiError::new(&errors::MISSING_REQUIRED_PARAMETER_EXCEPTION, format!("The parameter {name} is required."))
}

pub fn invalid_token() -> ApiError {
    ApiError::new(&errors::INVALID_NEXT_TOKEN, "The next token specified is invalid.")
}

pub fn no_such_alarm(name: &str) -> ApiError {
    ApiError::new(&errors::RESOURCE_NOT_FOUND, format!("The alarm {name} does not exist."))
}

/// The metric store's errors.
pub fn store(error: StoreError) -> ApiError {
    let message = match &error {
        StoreError::DiskFull { .. } => "The metric store has no space left.",
        StoreError::TooManyMetrics { .. } => {
            "The metric store knows as many different metrics as it can; nothing of this request was stored."
        }
        _ => "The metric store cannot be used at the moment.",
    };
    ApiError::new(&errors::INTERNAL_SERVICE_FAULT, message).caused_by(error)
}
