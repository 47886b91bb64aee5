//! The attributes that an instance must have to run a definition, as DescribeTaskDefinition shows them.
//!
//! AWS derives them from what the definition asks for; the names are those under which the open-source agent
//! advertises its capabilities.

use std::collections::BTreeSet;

use aws_shapes_ecs::{
    Attribute, ContainerDefinition, LogDriver, NetworkMode, ResourceType, TaskDefinition, Volume,
};

use super::containers::{is_ecr_image, logs_to_cloudwatch};

/// In the order of their names.
pub fn attributes(definition: &TaskDefinition) -> Vec<Attribute> {
    let mut names = BTreeSet::new();
    let mut needs = |needed: bool, these: &[&str]| {
        if needed {
            names.extend(these.iter().map(|name| (*name).to_owned()));
        }
    };
    let containers = definition.container_definitions.as_deref().unwrap_or_default();
    let any = |matches: fn(&ContainerDefinition) -> bool| containers.iter().any(matches);
    let volumes = definition.volumes.as_deref().unwrap_or_default();
    let volume = |matches: fn(&Volume) -> bool| volumes.iter().any(matches);
    let executes = definition.execution_role_arn.is_some();

    needs(
        definition.network_mode == Some(NetworkMode::Awsvpc),
        &["ecs.capability.task-eni", "com.amazonaws.ecs.capability.docker-remote-api.1.18"],
    );
    let task_role = definition.task_role_arn.is_some();
    let on_host = definition.network_mode == Some(NetworkMode::Host);
    needs(task_role && on_host, &["com.amazonaws.ecs.capability.task-iam-role-network-host"]);
    needs(task_role && !on_host, &["com.amazonaws.ecs.capability.task-iam-role"]);
    let in_ecr = any(|container| container.image.as_deref().is_some_and(is_ecr_image));
    needs(in_ecr, &["com.amazonaws.ecs.capability.ecr-auth"]);
    needs(in_ecr && executes, &["ecs.capability.execution-role-ecr-pull"]);
    let to_cloudwatch = any(logs_to_cloudwatch);
    needs(to_cloudwatch, &["com.amazonaws.ecs.capability.docker-remote-api.1.19"]);
    needs(to_cloudwatch && executes, &["ecs.capability.execution-role-awslogs"]);
    needs(
        any(|container| container.health_check.is_some()),
        &["ecs.capability.container-health-check", "com.amazonaws.ecs.capability.docker-remote-api.1.24"],
    );
    needs(
        any(|container| container.depends_on.as_ref().is_some_and(|list| !list.is_empty())),
        &["ecs.capability.container-ordering"],
    );
    needs(
        any(|container| container.restart_policy.as_ref().is_some_and(|policy| policy.enabled == Some(true))),
        &["ecs.capability.container-restart-policy"],
    );
    let has_range = |container: &ContainerDefinition| {
        container.port_mappings.iter().flatten().any(|mapping| mapping.container_port_range.is_some())
    };
    needs(any(has_range), &["ecs.capability.container-port-range"]);
    needs(
        any(|container| container.privileged == Some(true)),
        &["com.amazonaws.ecs.capability.privileged-container"],
    );
    needs(
        any(|container| container.environment_files.as_ref().is_some_and(|files| !files.is_empty())),
        &["ecs.capability.env-files.s3"],
    );
    needs(
        any(|container| container.repository_credentials.is_some()),
        &["ecs.capability.private-registry-authentication.secretsmanager"],
    );
    let gpu = |container: &ContainerDefinition| {
        let resources = container.resource_requirements.iter().flatten();
        resources.into_iter().any(|resource| resource.r#type == Some(ResourceType::Gpu))
    };
    needs(any(gpu), &["ecs.capability.gpu-driver-version"]);
    needs(any(|container| injects(container, true)), &["ecs.capability.secrets.asm.environment-variables"]);
    needs(any(|container| injects(container, false)), &["ecs.capability.secrets.ssm.environment-variables"]);
    needs(
        definition.pid_mode.is_some() || definition.ipc_mode.is_some(),
        &["ecs.capability.pid-ipc-namespace-sharing"],
    );
    needs(volume(|volume| volume.efs_volume_configuration.is_some()), &["ecs.capability.efs"]);
    needs(
        volume(|volume| volume.configured_at_launch == Some(true)),
        &["ecs.capability.storage.ebs-task-volume-attach"],
    );
    for container in containers {
        let driver = container.log_configuration.as_ref().and_then(|log| log.log_driver);
        match driver {
            None => {}
            Some(LogDriver::Awsfirelens) => {
                needs(true, &["ecs.capability.logging-driver.awsfirelens"]);
            }
            Some(driver) => {
                let name = format!("com.amazonaws.ecs.capability.logging-driver.{}", driver.as_str());
                needs(true, &[&name]);
            }
        }
    }
    names.into_iter().map(|name| Attribute { name: Some(name), ..Attribute::default() }).collect()
}

/// Whether the container is given secrets of Secrets Manager, or of SSM's parameters.
fn injects(container: &ContainerDefinition, secrets_manager: bool) -> bool {
    let secrets = container.secrets.iter().flatten();
    let mut sources = secrets.map(|secret| secret.value_from.as_deref().unwrap_or_default());
    sources.any(|source| source.contains(":secretsmanager:") == secrets_manager)
}
