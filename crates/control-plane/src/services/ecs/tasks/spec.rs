//! From a task and its definition to the specification that a node runs: overrides applied, defaults filled in,
//! nothing left to interpret.

use std::collections::BTreeMap;

use agent_protocol::{
    Sensitive,
    spec::{
        Awslogs, ContainerSpec, Dependency, DependencyCondition, Device, EnvironmentVariable, ExtraHost,
        HealthCheck, IpcMode, Link, LinuxParameters, LogConfiguration, LogMode, MountPoint, NetworkInterface,
        NetworkMode, PidMode, PortMapping, RestartPolicy, RoleCredentials, TaskSpec, Tmpfs,
        TransportProtocol, Ulimit, Volume, VolumeSource, VolumesFrom,
    },
};
use aws_shapes_ecs as ecs;
use vocabulary::Scope;

use super::{injection, unsupported};
use crate::services::ecs::{
    definitions::{self, ports},
    records::{Task, TaskContainer, TaskDefinition},
};

/// What the specification takes from elsewhere.
#[derive(Debug, Default)]
pub struct Surroundings {
    pub interface: Option<NetworkInterface>,
    pub task_role: Option<RoleCredentials>,
    pub execution_role: Option<RoleCredentials>,
}

/// FARGATE's default, also the most that a name-less `max-buffer-size` may take.
const DEFAULT_LOG_BUFFER: u64 = 10 << 20;

/// The specification of `task`.
///
/// # Errors
/// A text for `stoppedReason` when the definition asks for what this platform does not have.
pub fn build(
    scope: &Scope,
    task: &Task,
    definition: &TaskDefinition,
    around: Surroundings,
) -> Result<TaskSpec, String> {
    let shape = &definition.definition.0;
    let overrides = &task.overrides.0;
    if let Some(reason) = unsupported::find(shape, overrides) {
        return Err(reason);
    }
    let network_mode = match shape.network_mode {
        Some(ecs::NetworkMode::Awsvpc) => NetworkMode::Awsvpc,
        Some(ecs::NetworkMode::Host) => NetworkMode::Host,
        Some(ecs::NetworkMode::None) => NetworkMode::None,
        Some(ecs::NetworkMode::Bridge) | None => NetworkMode::Bridge,
    };
    let containers = shape
        .container_definitions
        .iter()
        .flatten()
        .map(|container| {
            let name = container.name.as_deref().unwrap_or_default();
            let own = overrides
                .container_overrides
                .iter()
                .flatten()
                .find(|given| given.name.as_deref() == Some(name));
            let state = task.containers.iter().find(|state| state.name == name);
            container_spec(scope, task, container, own, state, network_mode)
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(TaskSpec {
        task_arn: task.arn(scope),
        task_id: task.id.clone(),
        cluster_arn: scope.arn("ecs", format_args!("cluster/{}", task.cluster)).to_string(),
        cluster_name: task.cluster.clone(),
        account: scope.account.clone(),
        region: scope.region.clone(),
        availability_zone: task.availability_zone.clone(),
        family: task.family.clone(),
        revision: task.revision,
        service_name: task.group.strip_prefix("service:").map(str::to_owned),
        launch_type: task.launch_type,
        cpu_units: task.cpu.as_deref().and_then(definitions::cpu_units),
        memory_mib: task.memory.as_deref().and_then(definitions::memory_mib),
        network_mode,
        pid_mode: match shape.pid_mode {
            Some(ecs::PidMode::Task) => PidMode::Task,
            Some(ecs::PidMode::Host) => PidMode::Host,
            None => PidMode::Private,
        },
        ipc_mode: match shape.ipc_mode {
            Some(ecs::IpcMode::Task) => IpcMode::Task,
            Some(ecs::IpcMode::Host) => IpcMode::Host,
            Some(ecs::IpcMode::None) => IpcMode::None,
            None => IpcMode::Private,
        },
        network_interface: around.interface,
        task_role: around.task_role,
        execution_role: around.execution_role,
        awaits_secrets: injection::is_needed(shape, overrides),
        ephemeral_storage_gib: task.ephemeral_storage_gib,
        volumes: shape.volumes.iter().flatten().map(volume).collect::<Result<_, _>>()?,
        containers,
        created_at: task.created_at,
    })
}

fn volume(volume: &ecs::Volume) -> Result<Volume, String> {
    let name = volume.name.clone().unwrap_or_default();
    let unsupported = |kind: &str| Err(format!("volume {name}: {kind} volumes are not implemented"));
    if volume.efs_volume_configuration.is_some() {
        return unsupported("EFS");
    }
    if volume.fsx_windows_file_server_volume_configuration.is_some() {
        return unsupported("FSx for Windows File Server");
    }
    if volume.configured_at_launch == Some(true) {
        return unsupported("EBS");
    }
    let source = match (
        &volume.docker_volume_configuration,
        volume.host.as_ref().and_then(|host| host.source_path.clone()),
    ) {
        (Some(docker), _) if docker.scope == Some(ecs::Scope::Shared) => {
            VolumeSource::Shared { autoprovision: docker.autoprovision.unwrap_or(false) }
        }
        (Some(_), _) | (None, None) => VolumeSource::Task,
        (None, Some(source_path)) => VolumeSource::Host { source_path },
    };
    Ok(Volume { name, source })
}

fn positive(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0)
}

fn container_spec(
    scope: &Scope,
    task: &Task,
    container: &ecs::ContainerDefinition,
    own: Option<&ecs::ContainerOverride>,
    state: Option<&TaskContainer>,
    network_mode: NetworkMode,
) -> Result<ContainerSpec, String> {
    let name = container.name.clone().unwrap_or_default();
    let log_awaits_secrets = injection::has_secret_log_options(container);
    let log = match log_awaits_secrets {
        false => log_configuration(scope, container)?,
        // What is missing comes with the secrets.
        true => log_configuration(scope, &with_log_group(container))?,
    };
    Ok(ContainerSpec {
        image: container.image.clone().unwrap_or_default(),
        runtime_id: state.map(|state| state.runtime_id.clone()).unwrap_or_default(),
        container_arn: state.map(|state| {
            scope.arn("ecs", format_args!("container/{}/{}/{}", task.cluster, task.id, state.id)).to_string()
        }),
        essential: container.essential.unwrap_or(true),
        entry_point: container.entry_point.clone().filter(|words| !words.is_empty()),
        command: own
            .and_then(|own| own.command.clone())
            .or_else(|| container.command.clone())
            .filter(|words| !words.is_empty()),
        environment: environment(container, own),
        environment_files: Vec::new(),
        secrets: Vec::new(),
        working_directory: container.working_directory.clone(),
        user: container.user.clone().filter(|user| !user.is_empty()),
        cpu_units: positive(own.and_then(|own| own.cpu).or(container.cpu)).unwrap_or(0),
        memory_mib: positive(own.and_then(|own| own.memory).or(container.memory)),
        memory_reservation_mib: positive(
            own.and_then(|own| own.memory_reservation).or(container.memory_reservation),
        ),
        port_mappings: port_mappings(container, network_mode),
        mount_points: container
            .mount_points
            .iter()
            .flatten()
            .map(|mount| MountPoint {
                source_volume: mount.source_volume.clone().unwrap_or_default(),
                container_path: mount.container_path.clone().unwrap_or_default(),
                read_only: mount.read_only.unwrap_or(false),
            })
            .collect(),
        volumes_from: container
            .volumes_from
            .iter()
            .flatten()
            .map(|from| VolumesFrom {
                source_container: from.source_container.clone().unwrap_or_default(),
                read_only: from.read_only.unwrap_or(false),
            })
            .collect(),
        linux_parameters: container.linux_parameters.as_ref().map(linux_parameters).unwrap_or_default(),
        ulimits: container
            .ulimits
            .iter()
            .flatten()
            .map(|limit| Ulimit {
                name: limit.name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
                soft_limit: i64::from(limit.soft_limit.unwrap_or_default()),
                hard_limit: i64::from(limit.hard_limit.unwrap_or_default()),
            })
            .collect(),
        system_controls: container
            .system_controls
            .iter()
            .flatten()
            .filter_map(|control| Some((control.namespace.clone()?, control.value.clone()?)))
            .collect(),
        readonly_root_filesystem: container.readonly_root_filesystem.unwrap_or(false),
        privileged: container.privileged.unwrap_or(false),
        pseudo_terminal: container.pseudo_terminal.unwrap_or(false),
        interactive: container.interactive.unwrap_or(false),
        dns_servers: container.dns_servers.clone().unwrap_or_default(),
        dns_search_domains: container.dns_search_domains.clone().unwrap_or_default(),
        extra_hosts: container
            .extra_hosts
            .iter()
            .flatten()
            .map(|host| ExtraHost {
                hostname: host.hostname.clone().unwrap_or_default(),
                ip_address: host.ip_address.clone().unwrap_or_default(),
            })
            .collect(),
        links: links(container).collect(),
        hostname: container.hostname.clone(),
        docker_labels: container.docker_labels.clone().unwrap_or_default(),
        depends_on: dependencies(container),
        start_timeout_seconds: positive(container.start_timeout),
        stop_timeout_seconds: container.stop_timeout.and_then(|seconds| u32::try_from(seconds).ok()),
        stop_signal: None,
        health_check: container.health_check.as_ref().and_then(health_check),
        restart_policy: container.restart_policy.as_ref().filter(|policy| policy.enabled == Some(true)).map(
            |policy| RestartPolicy {
                ignored_exit_codes: policy.ignored_exit_codes.clone().unwrap_or_default(),
                restart_attempt_period_seconds: positive(policy.restart_attempt_period).unwrap_or(300),
            },
        ),
        log,
        log_awaits_secrets,
        registry_credentials: None,
        name,
    })
}

/// The definition's variables in their order, with an override's in place of those of the same name and its new ones behind.
fn environment(
    container: &ecs::ContainerDefinition,
    own: Option<&ecs::ContainerOverride>,
) -> Vec<EnvironmentVariable> {
    let pairs = |given: &Option<Vec<ecs::KeyValuePair>>| -> Vec<(String, String)> {
        given
            .iter()
            .flatten()
            .filter_map(|pair| Some((pair.name.clone()?, pair.value.clone().unwrap_or_default())))
            .collect()
    };
    let mut all = pairs(&container.environment);
    for (name, value) in own.map(|own| pairs(&own.environment)).unwrap_or_default() {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => all.push((name, value)),
        }
    }
    all.into_iter().map(|(name, value)| EnvironmentVariable { name, value: Sensitive::new(value) }).collect()
}

fn port_mappings(container: &ecs::ContainerDefinition, network_mode: NetworkMode) -> Vec<PortMapping> {
    let port = |number: Option<i32>| number.and_then(|number| u16::try_from(number).ok());
    let mappings = container.port_mappings.iter().flatten();
    mappings
        .filter_map(|mapping| {
            let (container_port, last_container_port) = match &mapping.container_port_range {
                Some(range) => ports::range(range).map(|(first, last)| (first, Some(last)))?,
                None => (port(mapping.container_port)?, None),
            };
            Some(PortMapping {
                container_port,
                last_container_port,
                host_port: match network_mode {
                    NetworkMode::Awsvpc | NetworkMode::Host => Some(container_port),
                    _ => port(mapping.host_port).filter(|host| *host != 0),
                },
                protocol: match mapping.protocol {
                    Some(ecs::TransportProtocol::Udp) => TransportProtocol::Udp,
                    _ => TransportProtocol::Tcp,
                },
                name: mapping.name.clone(),
            })
        })
        .collect()
}

fn linux_parameters(linux: &ecs::LinuxParameters) -> LinuxParameters {
    let capabilities = linux.capabilities.clone().unwrap_or_default();
    let bare = |names: Option<Vec<String>>| -> Vec<String> {
        names
            .unwrap_or_default()
            .into_iter()
            .map(|name| name.strip_prefix("CAP_").map(str::to_owned).unwrap_or(name))
            .collect()
    };
    LinuxParameters {
        capabilities_add: bare(capabilities.add),
        capabilities_drop: bare(capabilities.drop),
        devices: linux
            .devices
            .iter()
            .flatten()
            .map(|device| Device {
                host_path: device.host_path.clone().unwrap_or_default(),
                container_path: device.container_path.clone(),
                permissions: device_permissions(device.permissions.as_deref().unwrap_or_default()),
            })
            .collect(),
        init_process_enabled: linux.init_process_enabled.unwrap_or(false),
        shared_memory_size_mib: positive(linux.shared_memory_size),
        tmpfs: linux
            .tmpfs
            .iter()
            .flatten()
            .map(|tmpfs| Tmpfs {
                container_path: tmpfs.container_path.clone().unwrap_or_default(),
                size_mib: positive(tmpfs.size).unwrap_or(1),
                mount_options: tmpfs.mount_options.clone().unwrap_or_default(),
            })
            .collect(),
        max_swap_mib: linux.max_swap.and_then(|mib| u32::try_from(mib).ok()),
        swappiness: linux.swappiness.and_then(|value| u8::try_from(value).ok()),
    }
}

fn device_permissions(given: &[ecs::DeviceCgroupPermission]) -> String {
    if given.is_empty() {
        return "rwm".to_owned();
    }
    let letters = [
        (ecs::DeviceCgroupPermission::Read, 'r'),
        (ecs::DeviceCgroupPermission::Write, 'w'),
        (ecs::DeviceCgroupPermission::Mknod, 'm'),
    ];
    letters
        .into_iter()
        .filter(|(permission, _)| given.contains(permission))
        .map(|(_, letter)| letter)
        .collect()
}

/// `NAME` or `NAME:ALIAS`.
pub fn links(container: &ecs::ContainerDefinition) -> impl Iterator<Item = Link> {
    container.links.iter().flatten().map(|given| {
        let (name, alias) = given.split_once(':').unwrap_or((given, given));
        Link { container_name: name.to_owned(), alias: alias.to_owned() }
    })
}

/// What is said, and what a link stands for: the other container is there first.
fn dependencies(container: &ecs::ContainerDefinition) -> Vec<Dependency> {
    let mut all: Vec<Dependency> = container.depends_on.iter().flatten().filter_map(dependency).collect();
    for link in links(container) {
        if all.iter().all(|one| one.container_name != link.container_name) {
            let condition = DependencyCondition::Start;
            all.push(Dependency { container_name: link.container_name, condition });
        }
    }
    all
}

fn dependency(dependency: &ecs::ContainerDependency) -> Option<Dependency> {
    Some(Dependency {
        container_name: dependency.container_name.clone()?,
        condition: match dependency.condition? {
            ecs::ContainerCondition::Start => DependencyCondition::Start,
            ecs::ContainerCondition::Complete => DependencyCondition::Complete,
            ecs::ContainerCondition::Success => DependencyCondition::Success,
            ecs::ContainerCondition::Healthy => DependencyCondition::Healthy,
        },
    })
}

fn health_check(check: &ecs::HealthCheck) -> Option<HealthCheck> {
    let words = check.command.clone().unwrap_or_default();
    let command = match words.split_first() {
        None => return None,
        Some((kind, _)) if kind == "NONE" => return None,
        Some((kind, rest)) if kind == "CMD" => rest.to_vec(),
        Some((kind, rest)) if kind == "CMD-SHELL" => {
            ["/bin/sh".to_owned(), "-c".to_owned()].into_iter().chain(rest.iter().cloned()).collect()
        }
        Some(_) => words,
    };
    Some(HealthCheck {
        command,
        interval_seconds: positive(check.interval).unwrap_or(30),
        timeout_seconds: positive(check.timeout).unwrap_or(5),
        retries: positive(check.retries).unwrap_or(3),
        start_period_seconds: positive(check.start_period).unwrap_or(0),
    })
}

/// The container with a log group, if only an empty one.
fn with_log_group(container: &ecs::ContainerDefinition) -> ecs::ContainerDefinition {
    let mut container = container.clone();
    if let Some(log) = &mut container.log_configuration {
        log.options.get_or_insert_default().entry("awslogs-group".to_owned()).or_default();
    }
    container
}

/// Where a container's output goes.
///
/// # Errors
/// A text for `stoppedReason`.
pub fn log_configuration(
    scope: &Scope,
    container: &ecs::ContainerDefinition,
) -> Result<LogConfiguration, String> {
    let Some(log) = &container.log_configuration else { return Ok(LogConfiguration::JsonFile) };
    let options = log.options.clone().unwrap_or_default();
    let option = |name: &str| options.get(name).cloned();
    match log.log_driver {
        Some(ecs::LogDriver::Awslogs) => Ok(LogConfiguration::Awslogs(Awslogs {
            group: option("awslogs-group").ok_or("must specify a value for log opt 'awslogs-group'")?,
            region: match option("awslogs-region") {
                Some(region) => Some(region.parse().map_err(|error| format!("{error}"))?),
                None => Some(scope.region.clone()),
            },
            stream_prefix: option("awslogs-stream-prefix"),
            create_group: option("awslogs-create-group").as_deref() == Some("true"),
            datetime_format: option("awslogs-datetime-format"),
            multiline_pattern: option("awslogs-multiline-pattern"),
            mode: log_mode(&options),
        })),
        Some(ecs::LogDriver::JsonFile) | None => Ok(LogConfiguration::JsonFile),
        Some(driver) => Err(format!("the log driver {} is not implemented", driver.as_str())),
    }
}

fn log_mode(options: &BTreeMap<String, String>) -> LogMode {
    if options.get("mode").map(String::as_str) != Some("non-blocking") {
        return LogMode::Blocking;
    }
    let size = options.get("max-buffer-size").and_then(|text| byte_size(text));
    LogMode::NonBlocking { max_buffer_bytes: size.unwrap_or(DEFAULT_LOG_BUFFER) }
}

/// `25m`, `1g`, `4096k`, `1000`, as Docker writes sizes.
fn byte_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, shift) = match lower.as_bytes().last()? {
        b'k' => (&lower[..lower.len() - 1], 10),
        b'm' => (&lower[..lower.len() - 1], 20),
        b'g' => (&lower[..lower.len() - 1], 30),
        _ => (lower, 0),
    };
    digits.parse::<u64>().ok()?.checked_shl(shift)
}
