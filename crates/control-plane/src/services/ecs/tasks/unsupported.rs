//! What a task definition can ask for and this platform does not do yet.
//!
//! A task that would silently lack something is worse than one that says why it does not start: what stands here ends the task before
//! a node is told of it, with the reason in `stoppedReason`.

use aws_shapes_ecs as ecs;

/// The first thing that the task needs and the platform does not have.
pub fn find(definition: &ecs::TaskDefinition, overrides: &ecs::TaskOverride) -> Option<String> {
    let of_task = [
        (definition.proxy_configuration.is_some(), "proxyConfiguration"),
        (any(&definition.inference_accelerators), "inferenceAccelerators"),
        (any(&overrides.inference_accelerator_overrides), "inferenceAcceleratorOverrides"),
        (definition.enable_fault_injection == Some(true), "enableFaultInjection"),
        (definition.trusted_execution_configuration.is_some(), "trustedExecutionConfiguration"),
    ];
    if let Some((_, what)) = of_task.iter().find(|(asked, _)| *asked) {
        return Some(format!("{what} is not implemented"));
    }
    if let Some(reason) = definition.runtime_platform.as_ref().and_then(platform) {
        return Some(reason);
    }
    let containers = definition.container_definitions.iter().flatten();
    let own = overrides.container_overrides.iter().flatten();
    let found = containers.filter_map(container).chain(own.filter_map(container_override)).next();
    found.map(|(name, what)| format!("container {}: {what} is not implemented", name.unwrap_or_default()))
}

fn any<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|items| !items.is_empty())
}

/// The first of `asked` that is asked for.
fn first(asked: &[(bool, &'static str)]) -> Option<&'static str> {
    asked.iter().find(|(asked, _)| *asked).map(|(_, what)| *what)
}

fn container(container: &ecs::ContainerDefinition) -> Option<(Option<&str>, &'static str)> {
    let what = first(&[
        (container.firelens_configuration.is_some(), "firelensConfiguration"),
        (any(&container.resource_requirements), "resourceRequirements"),
        (any(&container.credential_specs), "credentialSpecs"),
        (any(&container.docker_security_options), "dockerSecurityOptions"),
        (container.disable_networking == Some(true), "disableNetworking"),
    ])?;
    Some((container.name.as_deref(), what))
}

fn container_override(own: &ecs::ContainerOverride) -> Option<(Option<&str>, &'static str)> {
    let what = first(&[(any(&own.resource_requirements), "resourceRequirements")])?;
    Some((own.name.as_deref(), what))
}

/// Why this machine cannot run the platform that is asked for.
fn platform(asked: &ecs::RuntimePlatform) -> Option<String> {
    if let Some(family) = asked.operating_system_family
        && family != ecs::OSFamily::Linux
    {
        return Some(format!("the operating system {} is not there, only LINUX", family.as_str()));
    }
    let architecture = asked.cpu_architecture?;
    let own = match std::env::consts::ARCH {
        "aarch64" => ecs::CPUArchitecture::Arm64,
        _ => ecs::CPUArchitecture::X8664,
    };
    (architecture != own)
        .then(|| format!("the architecture {} is not there, only {}", architecture.as_str(), own.as_str()))
}

#[cfg(test)]
mod tests {
    use aws_shapes_ecs::{ContainerDefinition, ResourceRequirement, TaskDefinition, TaskOverride};

    use super::find;

    #[test]
    fn a_definition_that_asks_for_what_is_not_there_is_told_so() {
        let container = ContainerDefinition {
            name: Some("app".to_owned()),
            resource_requirements: Some(vec![ResourceRequirement::default()]),
            ..ContainerDefinition::default()
        };
        let definition =
            TaskDefinition { container_definitions: Some(vec![container]), ..TaskDefinition::default() };
        let reason = find(&definition, &TaskOverride::default());
        assert_eq!(reason.as_deref(), Some("container app: resourceRequirements is not implemented"));
        assert_eq!(find(&TaskDefinition::default(), &TaskOverride::default()), None);
    }
}
