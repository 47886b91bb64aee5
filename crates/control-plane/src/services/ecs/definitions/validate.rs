//! Which task definitions are accepted, and the defaults that acceptance fills in.
//!
//! The rules are those of the developer guide's task-definition parameters; the texts are AWS's where people
//! search for them. Shape constraints (types, enums, required members) were checked before this.

use std::collections::BTreeSet;

use aws_shapes_ecs::{
    Compatibility, ContainerDefinition, NetworkMode, PidMode, RegisterTaskDefinitionRequest,
};

use super::{containers, injected, ports, sizes};
use crate::{
    gateway::ApiError,
    services::ecs::{
        names::{self, client},
        placing,
    },
};

/// The most containers of a task definition.
const MOST_CONTAINERS: usize = 10;
const MOST_CONSTRAINTS: usize = 10;
const FARGATE_PID_MODE: &str = "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is 'task'.";

/// What was learned about a definition that is accepted.
#[derive(Debug)]
pub struct Accepted {
    pub network_mode: NetworkMode,
    /// Launch types it can run on.
    pub compatibilities: Vec<Compatibility>,
    pub cpu_units: Option<u32>,
    pub memory_mib: Option<u32>,
}

/// Checks a request and fills in the defaults of its containers.
///
/// # Errors
/// `ClientException` (and `InvalidParameterException` where AWS gives that) for the first rule broken.
pub fn check(request: &mut RegisterTaskDefinitionRequest) -> Result<Accepted, ApiError> {
    let family = request.family.as_deref().unwrap_or_default();
    if family.is_empty() {
        return Err(client("Family should not be null or empty."));
    }
    if !names::is_valid(family) {
        return Err(client("Family contains invalid characters."));
    }
    let requires = request.requires_compatibilities.clone().unwrap_or_default();
    let on_fargate = requires.contains(&Compatibility::Fargate);
    let network_mode = request.network_mode.unwrap_or(NetworkMode::Bridge);
    for container in request.container_definitions.iter().flatten() {
        containers::check_named(container)?;
    }
    if on_fargate && network_mode != NetworkMode::Awsvpc {
        return Err(client("Fargate only supports network mode ‘awsvpc’."));
    }
    if on_fargate && request.pid_mode == Some(PidMode::Host) {
        return Err(client(FARGATE_PID_MODE));
    }
    check_placement(request, on_fargate)?;
    if on_fargate && request.ipc_mode.is_some() {
        return Err(client("Tasks using the Fargate launch type do not support ipcMode."));
    }
    let size = task_size(request, on_fargate)?;
    let mut containers = request.container_definitions.take().unwrap_or_default();
    if containers.is_empty() {
        return Err(client("Container list cannot be empty."));
    }
    if containers.len() > MOST_CONTAINERS {
        return Err(client(format!(
            "Too many containers. A task definition can hold {MOST_CONTAINERS} containers at most."
        )));
    }
    check_volumes(request, &containers, on_fargate)?;
    let mut seen = BTreeSet::new();
    for container in &mut containers {
        containers::check(
            container,
            &containers::Surroundings { network_mode, on_fargate, task_memory_mib: size.1 },
        )?;
        if !seen.insert(container.name.clone()) {
            let name = container.name.as_deref().unwrap_or_default();
            return Err(client(format!("Container.name is not unique: '{name}' is used more than once.")));
        }
    }
    if !containers.iter().any(|container| container.essential == Some(true)) {
        return Err(client("Invalid setting for containers. At least one container must be essential."));
    }
    check_memory_sum(&containers, size)?;
    ports::check_unique(&containers, network_mode)?;
    check_references(&containers)?;
    containers::check_dependencies(&containers)?;
    let log_drivers = containers.iter().any(containers::logs_to_cloudwatch);
    let secrets = containers
        .iter()
        .any(|container| container.secrets.as_ref().is_some_and(|secrets| !secrets.is_empty()));
    let private_image =
        containers.iter().any(|container| container.image.as_deref().is_some_and(containers::is_ecr_image));
    if on_fargate && request.execution_role_arn.is_none() {
        let needs = |what: &str| {
            client(format!("Fargate requires task definition to have execution role ARN to support {what}."))
        };
        if private_image {
            return Err(needs("ECR images"));
        }
        if log_drivers {
            return Err(needs("log driver awslogs"));
        }
        if secrets {
            return Err(needs("secrets"));
        }
    }
    injected::check(&containers, request.execution_role_arn.is_some())?;
    check_storage(request, on_fargate)?;
    request.container_definitions = Some(containers);
    Ok(Accepted {
        network_mode,
        compatibilities: compatibilities(
            request,
            network_mode,
            size,
            private_image || log_drivers || secrets,
        ),
        cpu_units: size.0,
        memory_mib: size.1,
    })
}

fn check_placement(request: &RegisterTaskDefinitionRequest, on_fargate: bool) -> Result<(), ApiError> {
    let constraints = request.placement_constraints.as_deref().unwrap_or_default();
    if on_fargate && !constraints.is_empty() {
        return Err(client("Fargate compatible task definitions do not support placement constraints."));
    }
    if constraints.len() > MOST_CONSTRAINTS {
        return Err(client(format!(
            "A task definition can hold {MOST_CONSTRAINTS} placement constraints at most."
        )));
    }
    for constraint in constraints {
        placing::of_definition(constraint).map_err(|error| client(error.message))?;
    }
    Ok(())
}

/// CPU units and MiB of the whole task.
type Size = (Option<u32>, Option<u32>);

fn task_size(request: &RegisterTaskDefinitionRequest, on_fargate: bool) -> Result<Size, ApiError> {
    let cpu = match request.cpu.as_deref() {
        None => None,
        Some(text) => Some(sizes::cpu_units(text).ok_or_else(|| {
            client(format!("Invalid 'cpu' setting for task. Value '{text}' is not valid."))
        })?),
    };
    let memory = match request.memory.as_deref() {
        None => None,
        Some(text) => Some(sizes::memory_mib(text).ok_or_else(|| {
            client(format!("Invalid 'memory' setting for task. Value '{text}' is not valid."))
        })?),
    };
    if on_fargate {
        let cpu = cpu.ok_or_else(|| client("Fargate requires that 'cpu' be defined at the task level."))?;
        let memory =
            memory.ok_or_else(|| client("Fargate requires that 'memory' be defined at the task level."))?;
        if !sizes::fargate_offers(cpu, memory) {
            return Err(client(format!(
                "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory. See the Amazon ECS documentation for the valid values."
            )));
        }
    } else if cpu.is_some_and(|cpu| !(128..=196_608).contains(&cpu)) {
        return Err(client("Invalid 'cpu' setting for task. Task cpu must be between 128 and 196608 units."));
    }
    Ok((cpu, memory))
}

fn check_memory_sum(containers: &[ContainerDefinition], (cpu, memory): Size) -> Result<(), ApiError> {
    let sum = |of: fn(&ContainerDefinition) -> Option<i32>| -> i64 {
        containers.iter().filter_map(of).map(i64::from).sum()
    };
    if let Some(memory) = memory {
        let reserved = sum(|container| container.memory_reservation.or(container.memory));
        if reserved > i64::from(memory) {
            return Err(client(
                "The memory reservation of the containers in the task definition exceeds the memory of the task.",
            ));
        }
        if let Some(container) = containers
            .iter()
            .find(|container| container.memory.is_some_and(|own| i64::from(own) > i64::from(memory)))
        {
            let name = container.name.as_deref().unwrap_or_default();
            return Err(client(format!(
                "Invalid setting for container '{name}'. The container's memory exceeds the memory of the task."
            )));
        }
    }
    if let Some(cpu) = cpu
        && sum(|container| container.cpu) > i64::from(cpu)
    {
        return Err(client("Total cpu of containers in the task definition exceeds the cpu of the task."));
    }
    Ok(())
}

fn check_references(containers: &[ContainerDefinition]) -> Result<(), ApiError> {
    let known = |name: &Option<String>| containers.iter().any(|container| container.name == *name);
    for container in containers {
        for from in container.volumes_from.iter().flatten() {
            if !known(&from.source_container) {
                return Err(client(format!(
                    "Invalid 'volumesFrom' setting for container. Unknown container: '{}'.",
                    from.source_container.as_deref().unwrap_or_default()
                )));
            }
        }
    }
    Ok(())
}

fn check_volumes(
    request: &RegisterTaskDefinitionRequest,
    containers: &[ContainerDefinition],
    on_fargate: bool,
) -> Result<(), ApiError> {
    let mut names = BTreeSet::new();
    for volume in request.volumes.iter().flatten() {
        let name = volume.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(client("Volume name should not be null or empty."));
        }
        if !names::is_valid(name) {
            return Err(client(format!("Volume name '{name}' contains invalid characters.")));
        }
        if !names.insert(name) {
            return Err(client(format!("Duplicate volume name found: '{name}'.")));
        }
        let host_path = volume.host.as_ref().and_then(|host| host.source_path.as_deref());
        if on_fargate && host_path.is_some() {
            return Err(client(
                "Fargate compatible task definitions do not support volumes with host sourcePath.",
            ));
        }
        if host_path.is_some_and(|path| !path.starts_with('/')) {
            return Err(client(format!(
                "Invalid 'host.sourcePath' for volume '{name}'. The path must be absolute."
            )));
        }
        if on_fargate && volume.docker_volume_configuration.is_some() {
            return Err(client(
                "Fargate compatible task definitions do not support docker volume configuration.",
            ));
        }
    }
    for container in containers {
        for mount in container.mount_points.iter().flatten() {
            let source = mount.source_volume.as_deref().unwrap_or_default();
            if !names.contains(source) {
                return Err(client(format!("Unknown volume '{source}'.")));
            }
            if !mount.container_path.as_deref().unwrap_or_default().starts_with('/') {
                return Err(client(format!(
                    "Invalid 'containerPath' for the mount of volume '{source}'. The path must be absolute."
                )));
            }
        }
    }
    Ok(())
}

fn check_storage(request: &RegisterTaskDefinitionRequest, on_fargate: bool) -> Result<(), ApiError> {
    let Some(storage) = &request.ephemeral_storage else { return Ok(()) };
    let size = storage.size_in_gi_b.unwrap_or_default();
    let elsewhere = request.requires_compatibilities.as_ref().is_some_and(|required| !required.is_empty());
    if elsewhere && !on_fargate {
        return Err(client(
            "Ephemeral storage can be set for task definitions that are compatible with Fargate only.",
        ));
    }
    if !(21..=200).contains(&size) {
        return Err(client("Ephemeral storage size should be between 21 and 200 GiB."));
    }
    Ok(())
}

/// Where the definition could run, whatever it requires.
fn compatibilities(
    request: &RegisterTaskDefinitionRequest,
    network_mode: NetworkMode,
    size: Size,
    needs_execution_role: bool,
) -> Vec<Compatibility> {
    let containers = request.container_definitions.as_deref().unwrap_or_default();
    let mut found = vec![Compatibility::Ec2];
    if network_mode != NetworkMode::Awsvpc {
        found.push(Compatibility::External);
    }
    let sold = matches!(size, (Some(cpu), Some(memory)) if sizes::fargate_offers(cpu, memory));
    let volumes = request.volumes.as_deref().unwrap_or_default();
    let local_volumes = volumes.iter().any(|volume| {
        volume.docker_volume_configuration.is_some()
            || volume.host.as_ref().is_some_and(|host| host.source_path.is_some())
    });
    if network_mode == NetworkMode::Awsvpc
        && sold
        && !local_volumes
        && (request.execution_role_arn.is_some() || !needs_execution_role)
        && containers.iter().all(containers::runs_on_fargate)
    {
        found.push(Compatibility::Fargate);
    }
    for required in request.requires_compatibilities.iter().flatten() {
        if !found.contains(required) {
            found.push(*required);
        }
    }
    found
}
