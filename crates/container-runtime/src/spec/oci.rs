//! The OCI specification that libcontainer reads from the bundle's `config.json`.
//!
//! Its process is root with everything the shim itself may do, because the last steps (groups, user, capabilities, seccomp filter, exec) are
//! taken by our own executor in an order that libcontainer cannot: see `shim::executor`. All else is as the container is to have it.

use super::rlimits::Settled;
use crate::cgroup::Hierarchies;
use crate::cgroup::devices::{self, Allowed};
use crate::config::{ContainerConfig, Mount, MountKind};
use crate::spec::capabilities;
use serde_json::{Value, json};
use std::os::fd::RawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// What the task decides for each of its containers.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// `None` is the machine's own network.
    pub(crate) network: Option<PathBuf>,
    pub(crate) pid: Isolation,
    pub(crate) ipc: Isolation,
    pub(crate) cgroup: String,
    /// What this process may do.
    pub(crate) own_capabilities: u64,
    /// A pipe that hangs up when the shim is gone.
    pub(crate) alive: RawFd,
}

/// Whose process ids, or whose IPC, a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// A namespace of the container's own.
    Own,
    /// One that stands already.
    Joined(PathBuf),
    /// The machine's.
    Machine,
}

/// Masked and read-only paths: Docker's lists.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const DEFAULT_SHM_BYTES: u64 = 64 << 20;

/// Files generated in the bundle: name there, destination.
pub(crate) const ETC: [(&str, &str); 3] =
    [("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname")];

pub(crate) fn specification(
    config: &ContainerConfig,
    around: &Surroundings,
    bundle: &Path,
    rlimits: &[Settled],
) -> Result<Value, String> {
    let capabilities = capabilities::names(around.own_capabilities & capabilities::all());
    let mut linux = json!({
        "cgroupsPath": around.cgroup,
        "namespaces": namespaces(config, around),
        "resources": resources(config)?,
        "sysctl": config.sysctls,
        "devices": devices(config)?,
    });
    if !config.privileged {
        let or_default = |given: &Option<Vec<String>>, default: &[&str]| match given {
            Some(paths) => paths.clone(),
            None => default.iter().map(|p| (*p).to_owned()).collect(),
        };
        linux["maskedPaths"] = json!(or_default(&config.masked_paths, &MASKED));
        linux["readonlyPaths"] = json!(or_default(&config.readonly_paths, &READONLY));
    }
    let rlimits: Vec<Value> =
        rlimits.iter().map(|l| json!({"type": l.name, "soft": l.soft, "hard": l.hard})).collect();
    let mut specification = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": config.tty,
            "user": {"uid": 0, "gid": 0},
            "args": config.args,
            // Both are looked for. Without a HOME libcontainer would ask the C library for the user's, which may load what the image's
            // `nsswitch.conf` names, with everything this process may do.
            "env": ["PATH=/", "HOME=/"],
            "cwd": "/",
            "noNewPrivileges": config.no_new_privileges && !config.privileged,
            "oomScoreAdj": config.oom_score_adj.unwrap_or(0),
            "rlimits": rlimits,
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "root": {"path": bundle.join("rootfs"), "readonly": config.readonly_rootfs},
        "mounts": mounts(config, around, bundle),
        "linux": linux,
    });
    if let Some(hostname) = &config.hostname {
        specification["hostname"] = json!(hostname);
    }
    Ok(specification)
}

/// The process of a specification, for a further one like it with or without a terminal.
///
/// # Errors
/// When the text is no specification.
pub(crate) fn process_like(specification: &[u8], terminal: bool) -> std::io::Result<Vec<u8>> {
    let mut specification: Value = serde_json::from_slice(specification)?;
    let mut process = specification["process"].take();
    process["terminal"] = json!(terminal);
    Ok(serde_json::to_vec(&process)?)
}

fn namespaces(config: &ContainerConfig, around: &Surroundings) -> Vec<Value> {
    let mut namespaces = vec![];
    for (kind, isolation) in [("pid", &around.pid), ("ipc", &around.ipc)] {
        match isolation {
            Isolation::Own => namespaces.push(json!({"type": kind})),
            Isolation::Joined(path) => namespaces.push(json!({"type": kind, "path": path})),
            Isolation::Machine => {}
        }
    }
    namespaces.extend([json!({"type": "mount"}), json!({"type": "cgroup"})]);
    if let Some(path) = &around.network {
        namespaces.push(json!({"type": "network", "path": path}));
    }
    if config.hostname.is_some() {
        namespaces.push(json!({"type": "uts"}));
    }
    namespaces
}

fn mounts(config: &ContainerConfig, around: &Surroundings, bundle: &Path) -> Vec<Value> {
    let sys = if config.privileged { "rw" } else { "ro" };
    let shm = config.shm_size_bytes.unwrap_or(DEFAULT_SHM_BYTES);
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]}),
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]}),
        json!({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
            "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", sys]}),
    ];
    match around.ipc {
        _ if config.no_shm => {}
        // Shared memory by name is part of what is shared.
        Isolation::Machine => mounts.push(
            json!({"destination": "/dev/shm", "type": "bind", "source": "/dev/shm", "options": ["rbind", "rprivate"]}),
        ),
        _ => mounts.push(json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", format!("size={shm}")]})),
    }
    mounts.push(cgroup_mount(bundle));
    for (name, destination) in ETC {
        let source = bundle.join(name);
        if source.exists() {
            mounts.push(json!({"destination": destination, "type": "bind", "source": source, "options": ["rbind", "rprivate"]}));
        }
    }
    mounts.extend(config.mounts.iter().map(mount));
    mounts
}

/// Where the shim puts a v1 container's own cgroups together, in the bundle.
pub(crate) const CGROUPS: &str = "cgroups";

/// The container's own cgroup, read-only, where programs look for their limits. Under v1 libcontainer would leave it writable and
/// needs a hundred system calls for each controller, so the shim has put it together beforehand.
fn cgroup_mount(bundle: &Path) -> Value {
    let options = ["nosuid", "noexec", "nodev", "ro"];
    if Hierarchies::get().unified {
        return json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options});
    }
    let options: Vec<&str> = ["rbind", "rprivate"].into_iter().chain(options).collect();
    json!({"destination": "/sys/fs/cgroup", "type": "bind", "source": bundle.join(CGROUPS), "options": options})
}

fn mount(mount: &Mount) -> Value {
    let access = if mount.readonly { "ro" } else { "rw" };
    let (kind, source, first) = match &mount.kind {
        MountKind::Bind { source } | MountKind::Volume { source } => {
            ("bind", source.clone(), vec!["rbind".to_owned(), access.to_owned()])
        }
        MountKind::Tmpfs { size_bytes } => {
            let mut options = vec!["nosuid".to_owned(), "nodev".to_owned(), access.to_owned()];
            options.extend(size_bytes.map(|bytes| format!("size={bytes}")));
            ("tmpfs", PathBuf::from("tmpfs"), options)
        }
    };
    let mut options = first;
    if kind == "bind"
        && !mount.options.iter().any(|o| o.contains("shared") || o.contains("slave") || o.contains("private"))
    {
        options.push("rprivate".to_owned());
    }
    options.extend(mount.options.iter().cloned());
    json!({"destination": mount.destination, "type": kind, "source": source, "options": options})
}

fn resources(config: &ContainerConfig) -> Result<Value, String> {
    let wanted = &config.resources;
    let mut resources = json!({"devices": device_rules(config)?});
    let mut cpu = serde_json::Map::new();
    let put = |map: &mut serde_json::Map<String, Value>, key: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    put(&mut cpu, "shares", wanted.cpu_shares.map(|n| json!(n.clamp(2, 262_144))));
    put(&mut cpu, "quota", wanted.cpu_quota_us.map(|n| json!(n)));
    put(&mut cpu, "period", wanted.cpu_period_us.map(|n| json!(n)));
    put(&mut cpu, "cpus", wanted.cpuset_cpus.as_ref().map(|s| json!(s)));
    let mut memory = serde_json::Map::new();
    put(&mut memory, "limit", wanted.memory_limit_bytes.map(|n| json!(n)));
    put(&mut memory, "reservation", wanted.memory_reservation_bytes.map(|n| json!(n)));
    put(&mut memory, "swap", wanted.memory_swap_bytes.map(|n| json!(n)));
    if !Hierarchies::get().unified {
        put(&mut memory, "swappiness", wanted.memory_swappiness.map(|n| json!(n)));
    }
    if !cpu.is_empty() {
        resources["cpu"] = Value::Object(cpu);
    }
    if !memory.is_empty() {
        resources["memory"] = Value::Object(memory);
    }
    // The one limit that nobody asked for by name: a machine that cannot count processes runs containers all the same.
    if wanted.pids_limit > 0 && Hierarchies::get().has("pids") {
        resources["pids"] = json!({"limit": wanted.pids_limit});
    }
    Ok(resources)
}

/// Everything is denied first; libcontainer adds the devices that every container has.
fn device_rules(config: &ContainerConfig) -> Result<Vec<Value>, String> {
    if config.privileged {
        return Ok(vec![json!({"allow": true, "access": "rwm"})]);
    }
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    for device in &config.devices {
        let (kind, major, minor, _) = examine(&device.host_path)?;
        rules.push(json!({"allow": true, "type": kind, "major": major, "minor": minor, "access": access(&device.permissions)}));
    }
    Ok(rules)
}

fn access(permissions: &str) -> &str {
    if permissions.is_empty() { "rwm" } else { permissions }
}

fn devices(config: &ContainerConfig) -> Result<Vec<Value>, String> {
    let mut wanted: Vec<(PathBuf, PathBuf)> =
        config.devices.iter().map(|d| (d.host_path.clone(), d.container_path.clone())).collect();
    if config.privileged {
        machine_devices(Path::new("/dev"), &mut wanted);
    }
    let mut devices = Vec::new();
    for (host_path, container_path) in wanted {
        let (kind, major, minor, metadata) = examine(&host_path)?;
        devices.push(json!({"path": container_path, "type": kind, "major": major, "minor": minor,
            "fileMode": metadata.mode() & 0o777, "uid": metadata.uid(), "gid": metadata.gid()}));
    }
    Ok(devices)
}

/// What a privileged container finds in its `/dev`: all that the machine has, but what every container has a `/dev` of its own for.
fn machine_devices(dir: &Path, found: &mut Vec<(PathBuf, PathBuf)>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let Ok(kind) = entry.file_type() else { continue };
        let own = [
            "pts", "shm", "mqueue", "fd", "console", "ptmx", "null", "zero", "full", "random", "urandom",
            "tty",
        ];
        if own.iter().any(|own| name == *own) || found.iter().any(|(_, known)| *known == path) {
            continue;
        }
        if kind.is_dir() {
            machine_devices(&path, found);
        } else if kind.is_char_device() || kind.is_block_device() {
            found.push((path.clone(), path));
        }
    }
}

/// The same as [`device_rules`] for cgroup v2; `None` leaves everything open.
pub(crate) fn allowed_devices(config: &ContainerConfig) -> Result<Option<Vec<Allowed>>, String> {
    if config.privileged {
        return Ok(None);
    }
    let mut rules = devices::defaults();
    for device in &config.devices {
        let (kind, major, minor, _) = examine(&device.host_path)?;
        rules.push(Allowed {
            block: kind == "b",
            major: u32::try_from(major).ok(),
            minor: u32::try_from(minor).ok(),
            access: devices::access(&device.permissions),
        });
    }
    Ok(Some(rules))
}

fn examine(path: &Path) -> Result<(&'static str, u64, u64, std::fs::Metadata), String> {
    let metadata = std::fs::metadata(path).map_err(|e| format!("device {}: {e}", path.display()))?;
    let kind = match metadata.file_type() {
        t if t.is_char_device() => "c",
        t if t.is_block_device() => "b",
        _ => return Err(format!("{} is not a device", path.display())),
    };
    let number = metadata.rdev();
    Ok((kind, u64::from(libc::major(number)), u64::from(libc::minor(number)), metadata))
}
