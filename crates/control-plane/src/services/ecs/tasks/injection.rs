//! Gets what a task's containers are given: secrets, environment files, credentials of registries, secret options of log drivers.
//!
//! All of it with the rights of the execution role, when the task's node asks, and nothing of it is kept. The texts of failures are
//! those that FARGATE puts behind `ResourceInitializationError: `, and on container instances the published agent's.

use std::{collections::BTreeMap, sync::Arc};

use agent_protocol::{
    ContainerSecrets, Sensitive, TaskSecrets,
    spec::{EnvironmentVariable, LaunchType, RegistryCredentials},
};
use aws_shapes_ecs as ecs;
use vocabulary::{Ids, Region, Scope, Timestamp};

use super::{
    execution::{self, Rights},
    references::{Source, json_member, s3_object},
    report::own_task,
    sources, spec,
};
use crate::{
    authorization::Holder,
    gateway::ApiError,
    services::{
        Services,
        ecs::records::{Task, TaskDefinition, definition_id},
        secretsmanager::Which,
    },
};

/// Whether containers are given something that the execution role has to get.
pub fn is_needed(definition: &ecs::TaskDefinition, overrides: &ecs::TaskOverride) -> bool {
    let containers = definition.container_definitions.iter().flatten();
    containers.into_iter().any(|container| {
        any(&container.secrets)
            || container.repository_credentials.is_some()
            || has_secret_log_options(container)
            || any(&environment_files(container, overrides))
    })
}

/// Whether options of a container's log driver are secrets.
pub fn has_secret_log_options(container: &ecs::ContainerDefinition) -> bool {
    container.log_configuration.as_ref().is_some_and(|log| any(&log.secret_options))
}

fn any<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|items| !items.is_empty())
}

/// The override's, which stand in the place of the definition's.
fn environment_files(
    container: &ecs::ContainerDefinition,
    overrides: &ecs::TaskOverride,
) -> Option<Vec<ecs::EnvironmentFile>> {
    let own = overrides.container_overrides.iter().flatten().find(|own| own.name == container.name);
    own.and_then(|own| own.environment_files.clone())
        .filter(|files| !files.is_empty())
        .or_else(|| container.environment_files.clone())
}

/// Everything that the task with this ARN waits for.
///
/// # Errors
/// Why it cannot be had, fit for users.
pub async fn resolve(
    services: &Arc<Services>,
    task_arn: &str,
    now: Timestamp,
) -> Result<TaskSecrets, String> {
    let gone = || format!("the task {task_arn} is gone");
    let (scope, key) = own_task(task_arn).ok_or_else(gone)?;
    let view = services.state.view();
    let task = view.get::<Task>(&scope, &key).ok_or_else(gone)?;
    let definition = view
        .get::<TaskDefinition>(&scope, &definition_id(&task.family, task.revision))
        .ok_or_else(|| format!("the task definition {}:{} is gone", task.family, task.revision))?;
    let rights =
        execution::rights(services, &view, &scope, &task, now).map_err(|refused| refused.to_string())?;
    let Rights::Role(holder) = rights else {
        return Err("unable to pull secrets or registry auth: the task has no execution role".to_owned());
    };
    let mut asking = Asking { services, scope, holder, task: &task, values: BTreeMap::new() };
    let mut given = TaskSecrets::default();
    for container in definition.definition.0.container_definitions.iter().flatten() {
        given.containers.push(asking.container(container).await?);
    }
    Ok(given)
}

struct Asking<'a> {
    services: &'a Arc<Services>,
    scope: Scope,
    holder: Arc<Holder>,
    task: &'a Task,
    /// What was got already, by where it is: several containers may be given the same.
    values: BTreeMap<String, String>,
}

impl Asking<'_> {
    async fn container(&mut self, container: &ecs::ContainerDefinition) -> Result<ContainerSecrets, String> {
        let mut given = ContainerSecrets {
            container_name: container.name.clone().unwrap_or_default(),
            ..ContainerSecrets::default()
        };
        for secret in container.secrets.iter().flatten() {
            given.secrets.push(self.secret(secret)?);
        }
        if let Some(credentials) = &container.repository_credentials {
            let parameter = credentials.credentials_parameter.as_deref().unwrap_or_default();
            given.registry_credentials = Some(self.registry_credentials(parameter)?);
        }
        if let Some(log) = container.log_configuration.as_ref().filter(|log| any(&log.secret_options)) {
            let mut whole = container.clone();
            let mut options = log.options.clone().unwrap_or_default();
            for secret in log.secret_options.iter().flatten() {
                let option = self.secret(secret)?;
                options.insert(option.name, option.value.expose().to_owned());
            }
            whole.log_configuration =
                Some(ecs::LogConfiguration { options: Some(options), secret_options: None, ..log.clone() });
            given.log = Some(spec::log_configuration(&self.scope, &whole)?);
        }
        for file in environment_files(container, &self.task.overrides.0).iter().flatten() {
            given
                .environment_files
                .push(self.environment_file(file.value.as_deref().unwrap_or_default()).await?);
        }
        Ok(given)
    }

    fn secret(&mut self, secret: &ecs::Secret) -> Result<EnvironmentVariable, String> {
        let from = secret.value_from.as_deref().unwrap_or_default();
        let value = match self.values.get(from) {
            Some(value) => value.clone(),
            None => {
                let value = self.value(from)?;
                self.values.insert(from.to_owned(), value.clone());
                value
            }
        };
        Ok(EnvironmentVariable {
            name: secret.name.clone().unwrap_or_default(),
            value: Sensitive::new(value),
        })
    }

    fn value(&self, from: &str) -> Result<String, String> {
        match Source::parse(from).map_err(|reason| self.asm(&reason))? {
            Source::Secret { arn, json_key, stage, version } => {
                let which = Which { version_id: version.as_deref(), stage: stage.as_deref() };
                let got = sources::secret(self.services, &self.scope, &self.holder, &arn, which);
                let value = got.map_err(|error| match self.on_fargate() {
                    true => {
                        self.asm(&format!("failed to fetch secret {arn} from secrets manager: {}", self.text(&error)))
                    }
                    false => {
                        let region = self.region_of(&arn);
                        format!(
                            "Fetching secret data from AWS Secrets Manager in region {region}: secret {arn}: {}",
                            self.text(&error)
                        )
                    }
                })?;
                match json_key {
                    None => Ok(value),
                    Some(key) => json_member(&value, &key).map_err(|reason| self.asm(&reason)),
                }
            }
            Source::Parameter(name) => {
                let got = sources::parameter(self.services, &self.scope, &self.holder, &name);
                got.map_err(|error| {
                    let reason = match &*error.code {
                        "ParameterNotFound" | "ParameterVersionNotFound" => {
                            format!("invalid ssm parameters: {name}")
                        }
                        _ => self.text(&error),
                    };
                    match self.on_fargate() {
                        true => self.failed("unable to retrieve secrets from ssm", &reason),
                        false => format!(
                            "Fetching secret data from SSM Parameter Store in {}: {reason}",
                            self.region_of(&name)
                        ),
                    }
                })
            }
        }
    }

    fn registry_credentials(&self, parameter: &str) -> Result<RegistryCredentials, String> {
        let failed = |reason: String| {
            let reason = format!("asm fetching secret from the service for {parameter}: {reason}");
            self.failed("unable to get registry auth from asm", &reason)
        };
        let got = sources::secret(self.services, &self.scope, &self.holder, parameter, Which::default());
        let value = got.map_err(|error| failed(self.text(&error)))?;
        let member = |name: &str| json_member(&value, name).map_err(failed);
        Ok(RegistryCredentials {
            username: member("username")?,
            password: Sensitive::new(member("password")?),
        })
    }

    async fn environment_file(&self, arn: &str) -> Result<Sensitive, String> {
        let failed = |reason: String| {
            format!("failed to download env files: file download command: non empty error stream: {reason}")
        };
        let (bucket, key) = s3_object(arn).ok_or_else(|| failed(format!("{arn} is no ARN of an object")))?;
        let got = sources::object(self.services, &self.scope, &self.holder, bucket, key).await;
        let bytes = got.map_err(|error| failed(self.text(&error)))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Sensitive::new(text)),
            Err(_) => Err(failed(format!("{arn} is not in UTF-8"))),
        }
    }

    fn on_fargate(&self) -> bool {
        self.task.launch_type == LaunchType::Fargate
    }

    fn asm(&self, reason: &str) -> String {
        self.failed("unable to retrieve secret from asm", reason)
    }

    /// As FARGATE says it. Nothing is retried that was refused: AWS counts the first attempt as one.
    fn failed(&self, what: &str, reason: &str) -> String {
        format!(
            "unable to pull secrets or registry auth: execution resource retrieval failed: {what}: service call has been retried 1 \
             time(s): {reason}"
        )
    }

    /// An error as an SDK shows it.
    fn text(&self, error: &ApiError) -> String {
        let request = self.services.ids().uuid();
        format!("{}: {} status code: {}, request id: {request}", error.code, error.message, error.status)
    }

    fn region_of(&self, arn: &str) -> Region {
        let given = arn.split(':').nth(3).and_then(|region| region.parse().ok());
        given.unwrap_or_else(|| self.scope.region.clone())
    }
}
