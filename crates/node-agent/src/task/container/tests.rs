//! What the runtime is told of a task and its containers.

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
    assert_eq!((sandbox.limits.cpu_millicores, sandbox.limits.memory_bytes), (Some(250), Some(512 << 20)));
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
        config(&task, index).mounts.into_iter().map(|mount| (mount.kind, mount.readonly)).collect::<Vec<_>>()
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
    let error = container_config(&task, &task.containers[0], 0, &image, &dirs(), &Surroundings::default())
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
    let bridged = Bridged { netns: "/netns/b".into(), address: [172, 29, 0, 5].into(), bindings: Vec::new() };
    let around = Surroundings { bridged: Some(bridged), ..Surroundings::default() };
    let config = container_config(&task, &task.containers[0], 0, &local_image(), &dirs(), &around).unwrap();
    assert_eq!(config.network, Some("/netns/b".into()));
    assert_eq!(config.etc.hosts.as_deref(), Some("127.0.0.1 localhost\n172.29.0.5 id-app\n"));
    assert_eq!(config.etc.resolv_conf.as_deref(), Some("nameserver 169.254.169.253\n"));
    for (network_mode, expected) in
        [(NetworkMode::Host, Network::Host), (NetworkMode::None, Network::Loopback)]
    {
        task.network_mode = network_mode;
        assert_eq!(sandbox(&task, "/d".into(), None).unwrap().network, expected);
    }
    for (pid_mode, ipc_mode) in
        [(PidMode::Host, IpcMode::None), (PidMode::Task, IpcMode::Host), (PidMode::Private, IpcMode::Task)]
    {
        (task.pid_mode, task.ipc_mode) = (pid_mode, ipc_mode);
        let made = sandbox(&task, "/d".into(), None).unwrap();
        assert_eq!((made.host_pid, made.share_pid), (pid_mode == PidMode::Host, pid_mode == PidMode::Task));
        assert_eq!((made.host_ipc, made.share_ipc), (ipc_mode == IpcMode::Host, ipc_mode == IpcMode::Task));
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
