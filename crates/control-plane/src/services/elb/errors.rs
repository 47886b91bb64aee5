//! The errors that more than one operation gives, and their texts.

use aws_shapes_elb::errors;

use crate::gateway::ApiError;

pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::undeclared("ValidationError", 400, message)
}

pub fn not_found(name: &str) -> ApiError {
    ApiError::new(
        &errors::ACCESS_POINT_NOT_FOUND_EXCEPTION,
        format!("There is no ACTIVE Load Balancer named '{name}'"),
    )
}

pub fn invalid_configuration(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_CONFIGURATION_REQUEST_EXCEPTION, message)
}

pub fn listener_not_found(name: &str, port: i32) -> ApiError {
    ApiError::new(
        &errors::LISTENER_NOT_FOUND_EXCEPTION,
        format!("Could not find listener on load balancer '{name}' and port {port}"),
    )
}

pub fn policy_not_found(name: &str) -> ApiError {
    ApiError::new(&errors::POLICY_NOT_FOUND_EXCEPTION, format!("There is no policy with name {name}"))
}

/// An error of what both kinds of load balancers share, as the classic API has it.
pub fn classic(error: ApiError) -> ApiError {
    match error.code.as_ref() {
        "InvalidConfigurationRequest" => invalid_configuration(error.message),
        _ => error,
    }
}
