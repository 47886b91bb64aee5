//! Translates a container of a task, with its image, into what the runtime runs. Pure, but for the host's own files in `host` mode.

use std::path::PathBuf;

use agent_protocol::spec::{ContainerSpec, IpcMode, LaunchType, NetworkMode, PidMode, TaskSpec};
use container_runtime::{
    ContainerConfig, Device, Mount, MountKind, Network, Resources, Rlimit, TaskLimits, TaskSandbox,
};

use super::{
    environment, etc_files,
    volumes::{self, Place, VolumeDirs},
};
use crate::{
    endpoint::file,
    ports::{Bridged, LocalImage},
};

const MIB: u64 = 1 << 20;
/// FARGATE's limit on open files.
const FARGATE_NOFILE: i64 = 65_535;

/// The runtime's name of a run: the container's own for the first, a new one for every restart, so that the output of two
/// runs never mixes. Container names have no dot.
pub(crate) fn run_name(container: &str, run: u32) -> String {
    match run {
        0 => container.to_owned(),
        run => format!("{container}.{run}"),
    }
}

/// The container and run of a name.
pub(crate) fn parse_run_name(name: &str) -> (&str, u32) {
    match name.rsplit_once('.').and_then(|(container, run)| Some((container, run.parse().ok()?))) {
        Some((container, run)) => (container, run),
        None => (name, 0),
    }
}

/// What the task's containers share. The error is fit for `stoppedReason`.
pub(crate) fn sandbox(task: &TaskSpec, dir: PathBuf, netns: Option<PathBuf>) -> Result<TaskSandbox, String> {
    let network = match (task.network_mode, netns) {
        (NetworkMode::Awsvpc, Some(path)) => Network::Namespace(path),
        (NetworkMode::Awsvpc, None) => return Err("the task's network interface is missing".to_owned()),
        (NetworkMode::Host, _) => Network::Host,
        // On the bridge each container has a namespace of its own; what has none must not end up in the machine's.
        (NetworkMode::None | NetworkMode::Bridge, _) => Network::Loopback,
    };
    Ok(TaskSandbox {
        network,
        limits: TaskLimits {
            cpu_millicores: task.cpu_units.map(|units| u64::from(units) * 1000 / 1024),
            memory_bytes: task.memory_mib.map(|mib| u64::from(mib) * MIB),
            pids: None,
        },
        share_pid: task.pid_mode == PidMode::Task,
        share_ipc: task.ipc_mode == IpcMode::Task,
        host_pid: task.pid_mode == PidMode::Host,
        host_ipc: task.ipc_mode == IpcMode::Host,
        ..TaskSandbox::new(&task.task_id, dir)
    })
}

/// What a container finds around it.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// Its interface on the node's bridge.
    pub bridged: Option<Bridged>,
    /// `AWS_ENDPOINT_URL`, unless the definition says otherwise.
    pub endpoint_url: Option<String>,
    /// Where tasks in the machine's network find the instance's metadata.
    pub instance_metadata: Option<String>,
    /// `http://ADDRESS` of credentials and metadata.
    pub metadata: String,
    /// The directory with its metadata file, on an instance that writes one.
    pub metadata_dir: Option<PathBuf>,
}

/// The configuration of one run. The error is fit for `stoppedReason`.
pub(crate) fn container_config(
    task: &TaskSpec,
    container: &ContainerSpec,
    run: u32,
    image: &LocalImage,
    volumes: &VolumeDirs,
    around: &Surroundings,
) -> Result<ContainerConfig, String> {
    let args = environment::command(container, &image.config);
    if args.is_empty() {
        return Err("no command specified".to_owned());
    }
    let linux = &container.linux_parameters;
    let first = |own: &Option<String>, of_image: &str| own.clone().unwrap_or_else(|| of_image.to_owned());
    let name = run_name(&container.name, run);
    Ok(ContainerConfig {
        readonly_rootfs: container.readonly_root_filesystem,
        env: environment::environment(task, container, &image.config, around),
        cwd: match first(&container.working_directory, &image.config.working_dir) {
            empty if empty.is_empty() => PathBuf::from("/"),
            directory => PathBuf::from(directory),
        },
        user: first(&container.user, &image.config.user),
        hostname: etc_files::hostname(task, container),
        mounts: mounts(task, container, volumes)?
            .into_iter()
            .chain(metadata_file(container, around))
            .collect(),
        network: around.bridged.as_ref().map(|bridged| bridged.netns.clone()),
        no_shm: task.ipc_mode == IpcMode::None,
        etc: etc_files::etc_files(task, container, around.bridged.as_ref().map(|bridged| bridged.address)),
        cap_add: linux.capabilities_add.clone(),
        cap_drop: linux.capabilities_drop.clone(),
        privileged: container.privileged,
        rlimits: rlimits(task, container),
        sysctls: container.system_controls.clone(),
        devices: devices(container),
        shm_size_bytes: linux.shared_memory_size_mib.map(|mib| u64::from(mib) * MIB),
        init: linux.init_process_enabled,
        resources: resources(task, container),
        tty: container.pseudo_terminal,
        open_stdin: container.interactive,
        ..ContainerConfig::new(name, image.lower_dirs.clone(), args)
    })
}

fn resources(task: &TaskSpec, container: &ContainerSpec) -> Resources {
    let linux = &container.linux_parameters;
    let bytes = |mib: Option<u32>| mib.map(|mib| u64::from(mib) * MIB);
    let memory = bytes(container.memory_mib);
    // Memory and swap together. FARGATE has no swap; elsewhere Docker's default is twice the limit.
    let memory_swap = match (memory, linux.max_swap_mib) {
        (Some(memory), Some(swap)) => i64::try_from(memory + u64::from(swap) * MIB).ok(),
        (Some(memory), None) if task.launch_type == LaunchType::Fargate => i64::try_from(memory).ok(),
        _ => None,
    };
    Resources {
        // The kernel's smallest share is 2; ECS passes 0 and 1 on as that.
        cpu_shares: Some(u64::from(container.cpu_units.max(2))),
        memory_limit_bytes: memory,
        memory_reservation_bytes: bytes(container.memory_reservation_mib),
        memory_swap_bytes: memory_swap,
        memory_swappiness: linux.swappiness.map(u64::from),
        ..Resources::default()
    }
}

fn rlimits(task: &TaskSpec, container: &ContainerSpec) -> Vec<Rlimit> {
    let given = container.ulimits.iter().map(|limit| Rlimit {
        name: limit.name.clone(),
        soft: limit.soft_limit,
        hard: limit.hard_limit,
    });
    let mut limits: Vec<Rlimit> = given.collect();
    if task.launch_type == LaunchType::Fargate && !limits.iter().any(|limit| limit.name == "nofile") {
        limits.push(Rlimit { name: "nofile".to_owned(), soft: FARGATE_NOFILE, hard: FARGATE_NOFILE });
    }
    limits
}

fn devices(container: &ContainerSpec) -> Vec<Device> {
    let devices = container.linux_parameters.devices.iter().map(|device| Device {
        host_path: PathBuf::from(&device.host_path),
        container_path: PathBuf::from(device.container_path.as_ref().unwrap_or(&device.host_path)),
        permissions: device.permissions.clone(),
    });
    devices.collect()
}

fn mounts(task: &TaskSpec, container: &ContainerSpec, dirs: &VolumeDirs) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    add_volumes(task, container, dirs, false, &mut mounts)?;
    for from in &container.volumes_from {
        let source = task.containers.iter().find(|other| other.name == from.source_container);
        let source =
            source.ok_or_else(|| format!("volumesFrom names no container: {}", from.source_container))?;
        add_volumes(task, source, dirs, from.read_only, &mut mounts)?;
    }
    for tmpfs in &container.linux_parameters.tmpfs {
        mounts.push(Mount {
            destination: PathBuf::from(&tmpfs.container_path),
            kind: MountKind::Tmpfs { size_bytes: Some(u64::from(tmpfs.size_mib) * MIB) },
            readonly: false,
            options: tmpfs.mount_options.clone(),
        });
    }
    Ok(mounts)
}

/// The directory of the container's metadata file, where it finds it.
fn metadata_file(container: &ContainerSpec, around: &Surroundings) -> Option<Mount> {
    Some(Mount {
        destination: file::directory(&container.runtime_id),
        kind: MountKind::Bind { source: around.metadata_dir.clone()? },
        readonly: true,
        options: Vec::new(),
    })
}

/// Adds a container's mount points; a destination that is taken already keeps what it has.
fn add_volumes(
    task: &TaskSpec,
    container: &ContainerSpec,
    dirs: &VolumeDirs,
    all_readonly: bool,
    mounts: &mut Vec<Mount>,
) -> Result<(), String> {
    for point in &container.mount_points {
        let destination = PathBuf::from(&point.container_path);
        if mounts.iter().any(|mount| mount.destination == destination) {
            continue;
        }
        let volume = task.volumes.iter().find(|volume| volume.name == point.source_volume);
        let volume = volume.ok_or_else(|| format!("there is no volume {}", point.source_volume))?;
        let readonly = point.read_only || all_readonly;
        let kind = match volumes::place(volume, dirs)? {
            Place::Host(source) => MountKind::Bind { source },
            Place::Kept(source) => MountKind::Volume { source },
        };
        mounts.push(Mount { destination, kind, readonly, options: Vec::new() });
    }
    Ok(())
}

/// The number of a signal by its name (`SIGQUIT`, `QUIT`) or number. What is none is SIGTERM: the image's author cannot be
/// asked.
pub(crate) fn signal_number(text: Option<&str>) -> i32 {
    const SIGTERM: i32 = 15;
    let Some(text) = text else { return SIGTERM };
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { number } else { SIGTERM };
    }
    let name = text.strip_prefix("SIG").unwrap_or(text);
    let names = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ABRT", 6),
        ("KILL", 9),
        ("USR1", 10),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("CONT", 18),
        ("STOP", 19),
        ("TSTP", 20),
        ("WINCH", 28),
        ("PWR", 30),
    ];
    if let Some((_, number)) = names.iter().find(|(known, _)| *known == name) {
        return *number;
    }
    match name.strip_prefix("RTMIN+").and_then(|offset| offset.parse::<i32>().ok()) {
        Some(offset) if (0..=30).contains(&offset) => 34 + offset,
        _ => SIGTERM,
    }
}

#[cfg(test)]
mod tests;
