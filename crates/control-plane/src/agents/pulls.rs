//! Whether a task's execution role may pull an image from a registry of this platform, and what its users read when it may not.

use agent_protocol::ControlError;
use aws_shapes_ecr::SERVICE;
use vocabulary::{Scope, Timestamp};

use crate::{
    authorization::Wish,
    gateway::ApiError,
    registry,
    services::{Services, ecs::tasks::execution::Rights},
};

/// Lets a pull pass, or not. `scope` is the registry's.
///
/// # Errors
/// A refusal whose message is the whole reason that ends the task.
pub fn allow(
    services: &Services,
    rights: &Rights,
    scope: &Scope,
    image: &str,
    host: &str,
    repository: &str,
    now: Timestamp,
) -> Result<(), ControlError> {
    // Everyone reads public repositories.
    if registry::public::of_name(repository).is_some() {
        return Ok(());
    }
    let may = |action, resource: &str| {
        rights.allow(services, &scope.region, now, SERVICE, &Wish::new(action, resource))
    };
    may("ecr:GetAuthorizationToken", "*").map_err(|error| {
        refused(
            &error,
            format!(
                "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to \
                 retrieve ecr registry auth: service call has been retried 1 time(s): {}: {}",
                error.code, error.message
            ),
        )
    })?;
    let resource = scope.arn("ecr", format_args!("repository/{repository}")).to_string();
    for action in ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"] {
        may(action, &resource).map_err(|error| {
            let manifest = image.rsplit_once(['@', ':']).map_or("latest", |(_, tag)| tag);
            refused(
                &error,
                format!(
                    "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: pulling from host \
                     {host} failed with status code [manifests {manifest}]: 403 Forbidden: denied: {}",
                    error.message
                ),
            )
        })?;
    }
    Ok(())
}

fn refused(error: &ApiError, message: String) -> ControlError {
    ControlError::Refused { code: error.code.clone().into_owned(), message }
}
