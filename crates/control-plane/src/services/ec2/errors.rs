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
