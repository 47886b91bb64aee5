//! What a container's log driver needs to be told. The texts are AWS's.

use std::collections::BTreeSet;

use aws_shapes_ecs::{ContainerDefinition, LogDriver};

use crate::{gateway::ApiError, services::ecs::names::client};

/// What `awslogs` cannot do without, in the order in which AWS names what is missing.
const REQUIRED: [&str; 2] = ["awslogs-region", "awslogs-group"];
const KNOWN: [&str; 8] = [
    "awslogs-region",
    "awslogs-group",
    "awslogs-stream-prefix",
    "awslogs-create-group",
    "awslogs-datetime-format",
    "awslogs-multiline-pattern",
    "mode",
    "max-buffer-size",
];

/// Checks the options of the `awslogs` driver; those of others are for the drivers to judge.
///
/// # Errors
/// `ClientException`.
pub fn check(container: &ContainerDefinition) -> Result<(), ApiError> {
    let Some(log) = &container.log_configuration else { return Ok(()) };
    if log.log_driver != Some(LogDriver::Awslogs) {
        return Ok(());
    }
    let options = log.options.clone().unwrap_or_default();
    // Those that are secrets count as given; what they say is seen when a task starts.
    let secrets = log.secret_options.iter().flatten().filter_map(|secret| secret.name.as_deref());
    let given: BTreeSet<&str> = options.keys().map(String::as_str).chain(secrets).collect();
    let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| !given.contains(name)).collect();
    if !missing.is_empty() {
        return Err(client(format!("Log driver awslogs requires options: {}", missing.join(", "))));
    }
    let unknown: Vec<&str> = given.into_iter().filter(|name| !KNOWN.contains(name)).collect();
    if !unknown.is_empty() {
        return Err(client(format!("Log driver awslogs disallows options: {}", unknown.join(", "))));
    }
    if let Some(name) = REQUIRED.into_iter().find(|name| options.get(*name).is_some_and(String::is_empty)) {
        return Err(client(format!("Log driver awslogs option '{name}' should not be null or empty.")));
    }
    if options.get("awslogs-create-group").is_some_and(|value| value != "true") {
        return Err(client(
            "Log driver awslogs option 'awslogs-create-group' should only be set to 'true', else omit option.",
        ));
    }
    if options.get("mode").is_some_and(|mode| mode != "blocking" && mode != "non-blocking") {
        return Err(client("Log driver awslogs option 'mode' should be 'blocking' or 'non-blocking'."));
    }
    Ok(())
}
