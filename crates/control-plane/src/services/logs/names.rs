//! From what a client writes (a name, an ARN) to the group or stream, and the service's errors.

use std::sync::Arc;

use aws_shapes_logs::errors;
use state_store::View;
use vocabulary::{Arn, Scope};

use super::records::{Group, Stream, stream_id};
use crate::gateway::ApiError;

/// `InvalidParameterException`.
pub fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::INVALID_PARAMETER_EXCEPTION, message)
}

/// `ValidationException`.
pub fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new(&errors::VALIDATION_EXCEPTION, message)
}

pub fn no_group() -> ApiError {
    ApiError::new(&errors::RESOURCE_NOT_FOUND_EXCEPTION, "The specified log group does not exist.")
}

pub fn no_stream() -> ApiError {
    ApiError::new(&errors::RESOURCE_NOT_FOUND_EXCEPTION, "The specified log stream does not exist.")
}

pub fn bad_token() -> ApiError {
    invalid("The specified nextToken is invalid.")
}

/// The name of a group that is given as name or as ARN, with or without the trailing `:*`.
///
/// # Errors
/// `InvalidParameterException` for an ARN that is not a log group's in this account and region.
pub fn group_name(scope: &Scope, identifier: &str) -> Result<String, ApiError> {
    if !identifier.starts_with("arn:") {
        return Ok(identifier.to_owned());
    }
    let foreign = || invalid(format!("The specified log group ARN is not valid here: {identifier}"));
    let arn: Arn = identifier.parse().map_err(|_| foreign())?;
    let ours = arn.service() == "logs"
        && arn.region() == scope.region.as_str()
        && arn.account() == scope.account.as_str();
    let name = arn.resource().strip_prefix("log-group:").filter(|_| ours).ok_or_else(foreign)?;
    Ok(name.strip_suffix(":*").unwrap_or(name).to_owned())
}

/// The one group that a request names by `logGroupName` or by `logGroupIdentifier`.
pub fn either(scope: &Scope, name: Option<String>, identifier: Option<String>) -> Result<String, ApiError> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) => group_name(scope, &identifier),
        (Some(_), Some(_)) => {
            Err(validation("LogGroup name and LogGroup ARN are mutually exclusive parameters."))
        }
        (None, None) => Err(validation("Either LogGroup name or LogGroup ARN must be specified.")),
    }
}

pub fn group(view: &View, scope: &Scope, name: &str) -> Result<Arc<Group>, ApiError> {
    view.get::<Group>(scope, name).ok_or_else(no_group)
}

pub fn stream(view: &View, scope: &Scope, group: &Group, name: &str) -> Result<Arc<Stream>, ApiError> {
    view.get::<Stream>(scope, &stream_id(&group.name, name))
        .filter(|stream| stream.incarnation == group.incarnation)
        .ok_or_else(no_stream)
}

/// The streams of a group, by name.
pub fn streams(view: &View, scope: &Scope, group: &Group, prefix: &str) -> Vec<Arc<Stream>> {
    view.scan_prefix::<Stream>(scope, &stream_id(&group.name, prefix))
        .map(|(_, stream)| stream)
        .filter(|stream| stream.incarnation == group.incarnation)
        .collect()
}

/// A member that the model requires: the gateway has checked that it is there.
pub fn required(value: Option<String>) -> String {
    value.unwrap_or_default()
}
