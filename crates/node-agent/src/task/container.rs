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
mod tests {
    use agent_protocol::spec::{MountPoint, Tmpfs, Ulimit, Volume, VolumeSource, VolumesFrom};

    use super::*;
    use crate::tests::fixtures::{container_spec, local_image, task_spec};

    fn dirs() -> VolumeDirs {
        VolumeDirs { task: "/t".into(), shared: "/s".into() }
    }

    fn config(task: &TaskSpec, index: usize) -> ContainerConfig {
        container_config(task, &task.containers[index], 0, &local_image(), &dirs(), &Surroundings::default())
            .unwrap()
    }

    #[test]
    fn run_names_come_back() {
        for (container, run) in [("app", 0), ("app-1_x", 3)] {
            assert_eq!(parse_run_name(&run_name(container, run)), (container, run));
        }
    }

    #[test]
    fn limits_are_the_tasks_and_the_containers() {
        let mut app = container_spec("app");
        (app.cpu_units, app.memory_mib, app.memory_reservation_mib) = (512, Some(128), Some(64));
        app.ulimits = vec![Ulimit { name: "nproc".into(), soft_limit: 10, hard_limit: -1 }];
        let task = task_spec(vec![app]);
        let sandbox = sandbox(&task, "/d".into(), Some("/run/netns/x".into())).unwrap();
        assert_eq!(
            (sandbox.limits.cpu_millicores, sandbox.limits.memory_bytes),
            (Some(250), Some(512 << 20))
        );
        let config = config(&task, 0);
        assert_eq!(config.resources.cpu_shares, Some(512));
        assert_eq!(config.resources.memory_limit_bytes, Some(128 << 20));
        assert_eq!(config.resources.memory_swap_bytes, Some(128 << 20));
        assert_eq!(config.resources.memory_reservation_bytes, Some(64 << 20));
        let names: Vec<&str> = config.rlimits.iter().map(|limit| limit.name.as_str()).collect();
        assert_eq!(names, ["nproc", "nofile"]);
    }

    #[test]
    fn volumes_are_mounted_once_and_shared_by_volumes_from() {
        let point = |volume: &str, path: &str, read_only| MountPoint {
            source_volume: volume.into(),
            container_path: path.into(),
            read_only,
        };
        let mut app = container_spec("app");
        app.mount_points =
            vec![point("data", "/data", false), point("host", "/host", true), point("keep", "/keep", false)];
        let mut other = container_spec("other");
        other.mount_points = vec![point("own", "/data", false)];
        other.volumes_from = vec![VolumesFrom { source_container: "app".into(), read_only: true }];
        other.linux_parameters.tmpfs =
            vec![Tmpfs { container_path: "/tmp".into(), size_mib: 8, mount_options: vec!["noexec".into()] }];
        let mut task = task_spec(vec![app, other]);
        let volume = |name: &str, source| Volume { name: name.into(), source };
        task.volumes = vec![
            volume("data", VolumeSource::Task),
            volume("own", VolumeSource::Task),
            volume("host", VolumeSource::Host { source_path: "/srv".into() }),
            volume("keep", VolumeSource::Shared { autoprovision: true }),
        ];
        let kinds = |index| {
            config(&task, index)
                .mounts
                .into_iter()
                .map(|mount| (mount.kind, mount.readonly))
                .collect::<Vec<_>>()
        };
        let directory = |path: &str| MountKind::Volume { source: path.into() };
        let bind = MountKind::Bind { source: "/srv".into() };
        assert_eq!(
            kinds(0),
            [(directory("/t/data"), false), (bind.clone(), true), (directory("/s/keep"), false)]
        );
        assert_eq!(
            kinds(1),
            [
                (directory("/t/own"), false),
                (bind, true),
                (directory("/s/keep"), true),
                (MountKind::Tmpfs { size_bytes: Some(8 << 20) }, false)
            ]
        );
    }

    #[test]
    fn what_cannot_be_run_says_why() {
        let mut task = task_spec(vec![container_spec("app")]);
        task.containers[0].command = None;
        let image = LocalImage { config: Default::default(), ..local_image() };
        let error =
            container_config(&task, &task.containers[0], 0, &image, &dirs(), &Surroundings::default())
                .unwrap_err();
        assert_eq!(error, "no command specified");
        assert!(sandbox(&task, "/d".into(), None).unwrap_err().contains("interface"));
    }

    #[test]
    fn modes_decide_what_is_shared() {
        let mut task = task_spec(vec![container_spec("app")]);
        task.network_interface = None;
        task.network_mode = NetworkMode::Bridge;
        assert_eq!(sandbox(&task, "/d".into(), None).unwrap().network, Network::Loopback);
        let bridged =
            Bridged { netns: "/netns/b".into(), address: [172, 29, 0, 5].into(), bindings: Vec::new() };
        let around = Surroundings { bridged: Some(bridged), ..Surroundings::default() };
        let config =
            container_config(&task, &task.containers[0], 0, &local_image(), &dirs(), &around).unwrap();
        assert_eq!(config.network, Some("/netns/b".into()));
        assert_eq!(config.etc.hosts.as_deref(), Some("127.0.0.1 localhost\n172.29.0.5 id-app\n"));
        assert_eq!(config.etc.resolv_conf.as_deref(), Some("nameserver 169.254.169.253\n"));
        for (network_mode, expected) in
            [(NetworkMode::Host, Network::Host), (NetworkMode::None, Network::Loopback)]
        {
            task.network_mode = network_mode;
            assert_eq!(sandbox(&task, "/d".into(), None).unwrap().network, expected);
        }
        for (pid_mode, ipc_mode) in [
            (PidMode::Host, IpcMode::None),
            (PidMode::Task, IpcMode::Host),
            (PidMode::Private, IpcMode::Task),
        ] {
            (task.pid_mode, task.ipc_mode) = (pid_mode, ipc_mode);
            let made = sandbox(&task, "/d".into(), None).unwrap();
            assert_eq!(
                (made.host_pid, made.share_pid),
                (pid_mode == PidMode::Host, pid_mode == PidMode::Task)
            );
            assert_eq!(
                (made.host_ipc, made.share_ipc),
                (ipc_mode == IpcMode::Host, ipc_mode == IpcMode::Task)
            );
            assert_eq!(self::config(&task, 0).no_shm, ipc_mode == IpcMode::None);
        }
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            (None, 15),
            (Some("SIGQUIT"), 3),
            (Some("INT"), 2),
            (Some("9"), 9),
            (Some("SIGRTMIN+3"), 37),
            (Some("99"), 15),
            (Some("nonsense"), 15),
        ] {
            assert_eq!(signal_number(text), number, "{text:?}");
        }
    }
}
