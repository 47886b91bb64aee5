//! From what a client writes to the service, its revision, its deployment or its task set.

use aws_shapes_ecs::errors;
use state_store::{Tx, View};
use std::sync::Arc;
use vocabulary::Scope;

use super::records::{Service, ServiceStatus, service_key};
use crate::{
    gateway::ApiError,
    services::ecs::names::{invalid, own_resource},
};

/// `ServiceNotFoundException`.
pub fn service_not_found() -> ApiError {
    ApiError::new(&errors::SERVICE_NOT_FOUND_EXCEPTION, "Service not found.")
}

/// `ServiceNotActiveException`.
pub fn service_not_active() -> ApiError {
    ApiError::new(&errors::SERVICE_NOT_ACTIVE_EXCEPTION, "Service was not ACTIVE.")
}

/// What is known of the platform but not done here.
pub fn not_implemented(what: &str) -> ApiError {
    ApiError::undeclared("NotImplemented", 501, format!("Longshore does not implement {what} yet."))
}

/// The name of a service, given as name or ARN, in `cluster`.
pub fn service_name(scope: &Scope, cluster: &str, given: &str) -> Result<String, ApiError> {
    // What runs a daemon is none of the services that clients see.
    if given.rsplit('/').next().is_some_and(|name| name.starts_with("daemon:")) {
        return Err(service_not_found());
    }
    let Some(resource) = own_resource(scope, given, "service")? else { return Ok(given.to_owned()) };
    match resource.split_once('/') {
        Some((of, name)) if of == cluster => Ok(name.to_owned()),
        Some((of, _)) => Err(invalid(format!("Identifier is for {of}. Your cluster is {cluster}"))),
        // The short form of ARN, before clusters became part of it.
        None => Ok(resource),
    }
}

/// The service of that key, whatever its status.
pub fn find(view: &View, scope: &Scope, cluster: &str, name: &str) -> Result<Arc<Service>, ApiError> {
    view.get::<Service>(scope, &service_key(cluster, name)).ok_or_else(service_not_found)
}

/// The ACTIVE service of that key, in a transaction.
pub fn active_in(tx: &mut Tx, scope: &Scope, cluster: &str, name: &str) -> Result<Arc<Service>, ApiError> {
    let found = tx.get::<Service>(scope, &service_key(cluster, name)).ok_or_else(service_not_found)?;
    if found.status == ServiceStatus::Active { Ok(found) } else { Err(service_not_active()) }
}

/// The key `CLUSTER/SERVICE/ID` behind an ARN of that kind.
pub fn key_of_arn(scope: &Scope, arn: &str, kind: &str) -> Result<String, ApiError> {
    let key = own_resource(scope, arn, kind)?
        .filter(|key| key.splitn(3, '/').count() == 3)
        .ok_or_else(|| invalid(format!("Invalid identifier: {arn} is not the ARN of a {kind}.")))?;
    Ok(key)
}
