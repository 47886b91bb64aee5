//! The rules for one container of a task definition, and for the order among containers.

use std::collections::BTreeMap;

use aws_shapes_ecs::{ContainerCondition, ContainerDefinition, LogDriver, NetworkMode, TransportProtocol};

use super::{logging, ports};
use crate::{
    gateway::ApiError,
    services::ecs::{
        names::{self, client},
        tasks::spec,
    },
};

/// What a container's rules depend on beside itself.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings {
    pub network_mode: NetworkMode,
    pub on_fargate: bool,
    pub task_memory_mib: Option<u32>,
}

/// The smallest memory that a container may have.
const LEAST_MEMORY_MIB: i32 = 6;
/// FARGATE's longest `stopTimeout` and `startTimeout`.
const FARGATE_LONGEST_TIMEOUT: i32 = 120;

/// Checks a container and fills in its defaults.
///
/// # Errors
/// `ClientException` for the first rule broken.
pub fn check(container: &mut ContainerDefinition, around: &Surroundings) -> Result<(), ApiError> {
    let name = container.name.clone().unwrap_or_default();
    check_memory(container, &name, around)?;
    if container.cpu.is_some_and(|cpu| cpu < 0) {
        return Err(client(format!("Invalid 'cpu' setting for container '{name}'.")));
    }
    check_port_mappings(container, &name, around)?;
    check_health(container, &name)?;
    check_timeouts(container, &name, around)?;
    check_restart_policy(container, &name)?;
    logging::check(container)?;
    if around.on_fargate {
        check_for_fargate(container, &name)?;
    }
    if around.network_mode != NetworkMode::Bridge
        && container.links.as_ref().is_some_and(|links| !links.is_empty())
    {
        return Err(client(format!(
            "Links are not supported when networkMode={}.",
            around.network_mode.as_str()
        )));
    }
    for pair in container.environment.iter().flatten() {
        if pair.name.as_deref().unwrap_or_default().is_empty() {
            return Err(client(format!(
                "Invalid 'environment' setting for container '{name}'. Names must not be empty."
            )));
        }
    }
    if container.working_directory.as_deref().is_some_and(|path| !path.starts_with('/')) {
        return Err(client(format!(
            "Invalid 'workingDirectory' setting for container '{name}'. The path must be absolute."
        )));
    }
    for limit in container.ulimits.iter().flatten() {
        if limit.soft_limit > limit.hard_limit && limit.hard_limit != Some(-1) {
            return Err(client(format!(
                "Invalid 'ulimits' setting for container '{name}'. The soft limit exceeds the hard limit."
            )));
        }
    }
    // Defaults that DescribeTaskDefinition shows.
    container.cpu.get_or_insert(0);
    container.essential.get_or_insert(true);
    container.environment.get_or_insert_default();
    container.mount_points.get_or_insert_default();
    container.volumes_from.get_or_insert_default();
    container.port_mappings.get_or_insert_default();
    container.system_controls.get_or_insert_default();
    Ok(())
}

/// Checks what a container is called and what it is made from, which comes before everything else.
///
/// # Errors
/// `ClientException`.
pub fn check_named(container: &ContainerDefinition) -> Result<(), ApiError> {
    let name = container.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(client("Container.name should not be null or empty."));
    }
    if !names::is_valid(name) {
        return Err(client("Container.name contains invalid characters."));
    }
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        return Err(client("Container.image should not be null or empty."));
    }
    if image.len() > 512 || image.chars().any(|character| character.is_whitespace() || character.is_control())
    {
        return Err(client("Container.image contains invalid characters."));
    }
    Ok(())
}

fn check_memory(container: &ContainerDefinition, name: &str, around: &Surroundings) -> Result<(), ApiError> {
    let invalid = |text: &str| Err(client(format!("Invalid setting for container '{name}'. {text}")));
    if around.task_memory_mib.is_none()
        && container.memory.is_none()
        && container.memory_reservation.is_none()
    {
        return invalid("At least one of 'memory' or 'memoryReservation' must be specified.");
    }
    if let (Some(memory), Some(reservation)) = (container.memory, container.memory_reservation)
        && memory <= reservation
    {
        return invalid("The 'memory' must be greater than the 'memoryReservation'.");
    }
    if [container.memory, container.memory_reservation]
        .into_iter()
        .flatten()
        .any(|mib| mib < LEAST_MEMORY_MIB)
    {
        return invalid("The container's memory must be at least 6 MiB.");
    }
    Ok(())
}

fn check_port_mappings(
    container: &mut ContainerDefinition,
    name: &str,
    around: &Surroundings,
) -> Result<(), ApiError> {
    ports::check_ranges(container, name, around.network_mode)?;
    for mapping in container.port_mappings.iter_mut().flatten() {
        mapping.protocol.get_or_insert(TransportProtocol::Tcp);
        let port = match (mapping.container_port, &mapping.container_port_range) {
            (Some(port), None) => port,
            (None, Some(_)) => continue,
            (None, None) => {
                return Err(client(format!(
                    "Invalid 'portMappings' setting for container '{name}'. A container port is required."
                )));
            }
            _ => {
                return Err(client(format!(
                    "Invalid 'portMappings' setting for container '{name}'. Give either a container port or a range."
                )));
            }
        };
        if !(1..=65535).contains(&port) {
            return Err(client(format!(
                "Invalid 'containerPort' setting for container '{name}'. Ports are between 1 and 65535."
            )));
        }
        match around.network_mode {
            NetworkMode::Awsvpc | NetworkMode::Host => {
                if mapping.host_port.is_some_and(|host| {
                    host != port && !(host == 0 && around.network_mode == NetworkMode::Awsvpc)
                }) {
                    return Err(client(format!(
                        "When networkMode={}, the host ports and container ports in port mappings must match.",
                        around.network_mode.as_str()
                    )));
                }
                mapping.host_port = Some(port);
            }
            NetworkMode::None => {
                return Err(client(format!(
                    "Invalid 'portMappings' setting for container '{name}'. Port mappings are not allowed with networkMode=none."
                )));
            }
            NetworkMode::Bridge => {
                let host = *mapping.host_port.get_or_insert(0);
                if !(0..=65535).contains(&host) {
                    return Err(client(format!(
                        "Invalid 'hostPort' setting for container '{name}'. Ports are between 0 and 65535."
                    )));
                }
            }
        }
    }
    Ok(())
}

fn check_health(container: &mut ContainerDefinition, name: &str) -> Result<(), ApiError> {
    let Some(check) = &mut container.health_check else { return Ok(()) };
    let within = |value: i32, least: i32, most: i32, what: &str| {
        if (least..=most).contains(&value) {
            Ok(())
        } else {
            Err(client(format!(
                "Health check {what} for container '{name}' must be between {least} and {most}."
            )))
        }
    };
    within(*check.interval.get_or_insert(30), 5, 300, "interval")?;
    within(*check.timeout.get_or_insert(5), 2, 60, "timeout")?;
    within(*check.retries.get_or_insert(3), 1, 10, "retries")?;
    within(check.start_period.unwrap_or(0), 0, 300, "startPeriod")?;
    let command = check.command.as_deref().unwrap_or_default();
    match command.first().map(String::as_str) {
        Some("NONE") if command.len() == 1 => Ok(()),
        Some("CMD") if command.len() >= 2 => Ok(()),
        Some("CMD-SHELL") if command.len() == 2 => Ok(()),
        // A command without its kind is taken as the words of `CMD`.
        Some(first) if !matches!(first, "NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        _ => Err(client(format!(
            "Invalid 'healthCheck' setting for container '{name}'. The command must begin with CMD, CMD-SHELL or NONE."
        ))),
    }
}

fn check_timeouts(
    container: &ContainerDefinition,
    name: &str,
    around: &Surroundings,
) -> Result<(), ApiError> {
    for (timeout, what, least) in
        [(container.start_timeout, "startTimeout", 2), (container.stop_timeout, "stopTimeout", 0)]
    {
        let Some(seconds) = timeout else { continue };
        if seconds < least || (around.on_fargate && seconds > FARGATE_LONGEST_TIMEOUT) {
            return Err(client(format!(
                "Invalid '{what}' setting for container '{name}'. The value must be between {least} and {FARGATE_LONGEST_TIMEOUT} seconds."
            )));
        }
    }
    Ok(())
}

fn check_restart_policy(container: &mut ContainerDefinition, name: &str) -> Result<(), ApiError> {
    let Some(policy) = &mut container.restart_policy else { return Ok(()) };
    let invalid =
        |text: &str| Err(client(format!("Invalid 'restartPolicy' setting for container '{name}'. {text}")));
    if policy.enabled != Some(true) {
        return Ok(());
    }
    if policy.ignored_exit_codes.as_ref().is_some_and(|codes| codes.len() > 50) {
        return invalid("At most 50 exit codes can be ignored.");
    }
    if !(60..=1800).contains(policy.restart_attempt_period.get_or_insert(300)) {
        return invalid("The restartAttemptPeriod must be between 60 and 1800 seconds.");
    }
    Ok(())
}

fn check_for_fargate(container: &ContainerDefinition, name: &str) -> Result<(), ApiError> {
    let refused = |what: &str| {
        Err(client(format!(
            "Fargate compatible task definitions do not support {what} (container '{name}')."
        )))
    };
    if container.privileged == Some(true) {
        return refused("privileged containers");
    }
    if container.links.as_ref().is_some_and(|links| !links.is_empty()) {
        return refused("links");
    }
    if let Some(linux) = &container.linux_parameters {
        if linux.devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
            return refused("devices");
        }
        if linux.shared_memory_size.is_some() {
            return refused("sharedMemorySize");
        }
        if linux.max_swap.is_some() || linux.swappiness.is_some() {
            return refused("maxSwap and swappiness");
        }
        let added = linux.capabilities.iter().flat_map(|capabilities| capabilities.add.iter().flatten());
        if let Some(capability) = added.map(String::as_str).find(|capability| *capability != "SYS_PTRACE") {
            return refused(&format!("adding the capability {capability}"));
        }
    }
    if let Some(log) = &container.log_configuration
        && !matches!(log.log_driver, Some(LogDriver::Awslogs | LogDriver::Splunk | LogDriver::Awsfirelens))
    {
        return refused(&format!("the log driver {}", log.log_driver.map_or("", |driver| driver.as_str())));
    }
    Ok(())
}

/// Whether FARGATE could run this container as it is.
pub fn runs_on_fargate(container: &ContainerDefinition) -> bool {
    check_for_fargate(container, "").is_ok()
        && container.stop_timeout.is_none_or(|seconds| seconds <= FARGATE_LONGEST_TIMEOUT)
}

pub fn logs_to_cloudwatch(container: &ContainerDefinition) -> bool {
    container.log_configuration.as_ref().is_some_and(|log| log.log_driver == Some(LogDriver::Awslogs))
}

/// Whether the image is named as one of a private ECR registry: `ACCOUNT.dkr.ecr.REGION.…`.
pub fn is_ecr_image(image: &str) -> bool {
    let host = image.split('/').next().unwrap_or_default();
    host.contains(".dkr.ecr.") && host.split('.').next().is_some_and(|account| account.len() == 12)
}

/// Refuses unknown names, cycles, and waiting for what cannot happen.
pub fn check_dependencies(containers: &[ContainerDefinition]) -> Result<(), ApiError> {
    let by_name: BTreeMap<&str, &ContainerDefinition> = containers
        .iter()
        .map(|container| (container.name.as_deref().unwrap_or_default(), container))
        .collect();
    for (name, container) in &by_name {
        for link in spec::links(container) {
            let (to, alias) = (&link.container_name, &link.alias);
            if to == *name || !by_name.contains_key(to.as_str()) || !names::is_valid(alias) {
                return Err(client(format!(
                    "Invalid 'links' setting for container '{name}'. '{to}:{alias}' names no other container of the task and an alias for it."
                )));
            }
        }
        for dependency in container.depends_on.iter().flatten() {
            let on = dependency.container_name.as_deref().unwrap_or_default();
            let Some(target) = by_name.get(on) else {
                return Err(client(format!(
                    "Invalid 'dependsOn' setting for container '{name}'. Unknown container: '{on}'."
                )));
            };
            if on == *name {
                return Err(client(format!(
                    "Invalid 'dependsOn' setting for container '{name}'. A container cannot depend on itself."
                )));
            }
            match dependency.condition {
                Some(ContainerCondition::Healthy) if target.health_check.is_none() => {
                    return Err(client(format!(
                        "Invalid 'dependsOn' setting for container '{name}'. The container '{on}' has no health check to become HEALTHY by."
                    )));
                }
                Some(ContainerCondition::Success | ContainerCondition::Complete)
                    if target.essential != Some(false) =>
                {
                    return Err(client(format!(
                        "Invalid 'dependsOn' setting for container '{name}'. The essential container '{on}' cannot be waited for to end."
                    )));
                }
                None => {
                    return Err(client(format!(
                        "Invalid 'dependsOn' setting for container '{name}'. A condition is required."
                    )));
                }
                _ => {}
            }
        }
    }
    check_acyclic(&by_name)
}

/// Removes, again and again, what depends on nothing that is left; what cannot be removed is a cycle.
fn check_acyclic(by_name: &BTreeMap<&str, &ContainerDefinition>) -> Result<(), ApiError> {
    let mut left: BTreeMap<&str, &ContainerDefinition> = by_name.clone();
    while !left.is_empty() {
        let free: Vec<&str> = left
            .iter()
            .filter(|(_, container)| {
                let dependencies = container.depends_on.iter().flatten();
                let links = container
                    .volumes_from
                    .iter()
                    .flatten()
                    .filter_map(|from| from.source_container.clone())
                    .chain(spec::links(container).map(|link| link.container_name));
                !dependencies
                    .filter_map(|dependency| dependency.container_name.clone())
                    .chain(links)
                    .any(|on| left.contains_key(on.as_str()))
            })
            .map(|(name, _)| *name)
            .collect();
        if free.is_empty() {
            return Err(client("Container dependencies must not form a cycle."));
        }
        left.retain(|name, _| !free.contains(name));
    }
    Ok(())
}
