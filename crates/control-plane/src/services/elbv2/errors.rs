//! The errors that more than one operation gives, and their texts.

use aws_shapes_elbv2::errors;

use crate::gateway::ApiError;

pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::undeclared("ValidationError", 400, message)
}

pub fn load_balancer_not_found(named: &str) -> ApiError {
    ApiError::new(&errors::LOAD_BALANCER_NOT_FOUND_EXCEPTION, format!("Load balancers '[{named}]' not found"))
}

pub fn target_group_not_found(arn: &str) -> ApiError {
    ApiError::new(&errors::TARGET_GROUP_NOT_FOUND_EXCEPTION, format!("Target group '{arn}' not found"))
}

pub fn listener_not_found(arn: &str) -> ApiError {
    ApiError::new(&errors::LISTENER_NOT_FOUND_EXCEPTION, format!("Listener '{arn}' not found"))
}

pub fn rule_not_found(arn: &str) -> ApiError {
    ApiError::new(&errors::RULE_NOT_FOUND_EXCEPTION, format!("Rule '{arn}' not found"))
}

pub fn trust_store_not_found(named: &str) -> ApiError {
    ApiError::new(&errors::TRUST_STORE_NOT_FOUND_EXCEPTION, format!("Trust store '{named}' not found"))
}

pub fn invalid_target(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_TARGET_EXCEPTION, message)
}

pub fn invalid_configuration(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_CONFIGURATION_REQUEST_EXCEPTION, message)
}

pub fn not_permitted(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::OPERATION_NOT_PERMITTED_EXCEPTION, message)
}

/// For what AWS has and this platform cannot do: refused, so that nobody relies on it.
pub fn unsupported(what: &str) -> ApiError {
    invalid_configuration(format!("Longshore does not support {what}."))
}
