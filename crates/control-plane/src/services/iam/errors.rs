//! IAM's errors that more than one operation gives.

use aws_shapes_iam::errors;

use crate::gateway::ApiError;

pub fn no_such_entity(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
}

pub fn already_exists(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::ENTITY_ALREADY_EXISTS_EXCEPTION, message)
}

pub fn delete_conflict(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::DELETE_CONFLICT_EXCEPTION, message)
}

pub fn invalid_input(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_INPUT_EXCEPTION, message)
}

pub fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message)
}

pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::undeclared("ValidationError", 400, message)
}

/// `Cannot exceed quota for PoliciesPerRole: 10`
pub fn quota(name: &str, most: usize) -> ApiError {
    ApiError::new(&errors::LIMIT_EXCEEDED_EXCEPTION, format!("Cannot exceed quota for {name}: {most}"))
}
