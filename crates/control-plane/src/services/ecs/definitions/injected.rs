//! The rules for what containers are given by the execution role: secrets, environment files, credentials of registries.

use std::collections::BTreeSet;

use aws_shapes_ecs::{ContainerDefinition, EnvironmentFileType, Secret};

use crate::{
    gateway::ApiError,
    services::ecs::{names::client, tasks::references::s3_object},
};

/// Environment files of a task definition.
const MOST_FILES: usize = 10;

/// Checks all containers of a definition.
///
/// # Errors
/// `ClientException` for the first rule broken.
pub fn check(containers: &[ContainerDefinition], has_execution_role: bool) -> Result<(), ApiError> {
    for container in containers {
        check_secrets(container)?;
        check_log_options(container)?;
        check_files(container)?;
        if !has_execution_role && let Some(what) = needs_execution_role(container) {
            return Err(client(format!(
                "When you are specifying {what}, you must also specify a value for 'executionRoleArn'."
            )));
        }
    }
    let files = containers.iter().flat_map(|container| container.environment_files.iter().flatten()).count();
    if files > MOST_FILES {
        return Err(client(format!("A task definition can have {MOST_FILES} environment files at most.")));
    }
    Ok(())
}

fn needs_execution_role(container: &ContainerDefinition) -> Option<&'static str> {
    let log = container.log_configuration.as_ref();
    if container.secrets.as_ref().is_some_and(|secrets| !secrets.is_empty()) {
        Some("container secrets")
    } else if log.is_some_and(|log| log.secret_options.as_ref().is_some_and(|options| !options.is_empty())) {
        Some("secretOptions of a log driver")
    } else if container.environment_files.as_ref().is_some_and(|files| !files.is_empty()) {
        Some("environmentFiles")
    } else if container.repository_credentials.is_some() {
        Some("repositoryCredentials")
    } else {
        None
    }
}

fn check_secrets(container: &ContainerDefinition) -> Result<(), ApiError> {
    let name = container.name.as_deref().unwrap_or_default();
    let variables = container.environment.iter().flatten().filter_map(|pair| pair.name.as_deref());
    let mut taken: BTreeSet<&str> = variables.collect();
    for secret in container.secrets.iter().flatten() {
        check_secret(secret, name)?;
        let own = secret.name.as_deref().unwrap_or_default();
        if !taken.insert(own) {
            return Err(client(format!(
                "The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '{own}'."
            )));
        }
    }
    Ok(())
}

fn check_secret(secret: &Secret, container: &str) -> Result<(), ApiError> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    if given(&secret.name) && given(&secret.value_from) {
        return Ok(());
    }
    Err(client(format!(
        "Invalid 'secrets' setting for container '{container}'. A secret needs a name and a valueFrom."
    )))
}

fn check_log_options(container: &ContainerDefinition) -> Result<(), ApiError> {
    let Some(log) = &container.log_configuration else { return Ok(()) };
    let name = container.name.as_deref().unwrap_or_default();
    let options = log.options.clone().unwrap_or_default();
    let mut seen = BTreeSet::new();
    for secret in log.secret_options.iter().flatten() {
        check_secret(secret, name)?;
        let own = secret.name.as_deref().unwrap_or_default();
        if options.contains_key(own) || !seen.insert(own) {
            return Err(client(format!(
                "The log option '{own}' of container '{name}' is given more than once."
            )));
        }
    }
    Ok(())
}

fn check_files(container: &ContainerDefinition) -> Result<(), ApiError> {
    let name = container.name.as_deref().unwrap_or_default();
    for file in container.environment_files.iter().flatten() {
        let arn = file.value.as_deref().unwrap_or_default();
        let is_object = file.r#type == Some(EnvironmentFileType::S3) && s3_object(arn).is_some();
        if !is_object || !arn.ends_with(".env") {
            return Err(client(format!(
                "Invalid 'environmentFiles' setting for container '{name}'. A file is an object of S3 by its ARN, and its name ends with .env."
            )));
        }
    }
    Ok(())
}
