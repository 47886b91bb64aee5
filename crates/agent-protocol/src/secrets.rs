//! What a task's execution role gets for its containers: values of secrets, environment files, passwords of registries.
//!
//! They are no part of the specification: a node asks for them when it starts the task, holds them in memory alone, and asks again after a
//! restart of its agent. What is asked of the role's permissions is asked then.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Sensitive,
    spec::{EnvironmentVariable, LogConfiguration, RegistryCredentials, TaskSpec},
};

/// Everything that a task was waiting for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskSecrets {
    /// Of the containers that wait for something.
    pub containers: Vec<ContainerSecrets>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSecrets {
    pub container_name: String,
    /// In the order in which they are read.
    #[serde(default)]
    pub environment_files: Vec<Sensitive>,
    #[serde(default)]
    pub secrets: Vec<EnvironmentVariable>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_credentials: Option<RegistryCredentials>,
    /// The log configuration, where some of its options are secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogConfiguration>,
}

impl fmt::Debug for ContainerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContainerSecrets of {}", self.container_name)
    }
}

impl TaskSecrets {
    /// The specification with all of it in its place. Not to be written down.
    pub fn laid_over(self, spec: &TaskSpec) -> TaskSpec {
        let mut whole = spec.clone();
        for given in self.containers {
            let Some(container) =
                whole.containers.iter_mut().find(|container| container.name == given.container_name)
            else {
                continue;
            };
            container.environment_files = given.environment_files;
            container.secrets = given.secrets;
            container.registry_credentials = given.registry_credentials;
            if let Some(log) = given.log {
                container.log = log;
            }
        }
        whole
    }
}
