//! EC2 declares no errors in its model; these are the ones its reference documents.

use crate::gateway::ApiError;

pub fn error(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::undeclared(code, 400, message)
}

pub fn invalid_value(message: impl Into<String>) -> ApiError {
    error("InvalidParameterValue", message)
}

pub fn missing(parameter: &str) -> ApiError {
    error("MissingParameter", format!("The request must contain the parameter {parameter}"))
}

pub fn group_not_found(id: &str) -> ApiError {
    error("InvalidGroup.NotFound", format!("The security group '{id}' does not exist"))
}

pub fn vpc_not_found(id: &str) -> ApiError {
    error("InvalidVpcID.NotFound", format!("The vpc ID '{id}' does not exist"))
}

pub fn subnet_not_found(id: &str) -> ApiError {
    error("InvalidSubnetID.NotFound", format!("The subnet ID '{id}' does not exist"))
}

pub fn interface_not_found(id: &str) -> ApiError {
    error("InvalidNetworkInterfaceID.NotFound", format!("The networkInterface ID '{id}' does not exist"))
}

pub fn route_table_not_found(id: &str) -> ApiError {
    error("InvalidRouteTableID.NotFound", format!("The routeTable ID '{id}' does not exist"))
}

pub fn gateway_not_found(id: &str) -> ApiError {
    error("InvalidInternetGatewayID.NotFound", format!("The internetGateway ID '{id}' does not exist"))
}

pub fn dependency(message: impl Into<String>) -> ApiError {
    error("DependencyViolation", message)
}

/// For what AWS has and this platform cannot do: refused, so that nobody relies on it.
pub fn unsupported(message: impl Into<String>) -> ApiError {
    error("UnsupportedOperation", message)
}

/// For the first of `given` that is there; each names a parameter that only asks for what this platform cannot do.
pub fn refuse_unsupported(given: &[(&str, bool)]) -> Result<(), ApiError> {
    match given.iter().find(|(_, is_given)| *is_given) {
        Some((parameter, _)) => {
            Err(unsupported(format!("Longshore does not support the parameter {parameter}.")))
        }
        None => Ok(()),
    }
}
