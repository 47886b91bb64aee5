//! What a caller says about a machine, a task and a container. OCI's words, not ECS's: the composer translates.
//!
//! Units are in the names. Everything here is plain data that is sent to the shim as JSON and kept in the task's
//! directory, so that a later agent can read what was asked for.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How this machine runs containers. One per agent.
#[derive(Debug, Clone)]
pub struct RuntimeConfig {
    /// The binary that holds [`crate::shim_main`]; it is started as `EXE shim …`.
    pub exe: PathBuf,
    /// Arguments before the shim's own, `["shim"]` unless the binary spells it differently.
    pub shim_args: Vec<String>,
    /// Holds what only running shims need: `RUN_DIR/TASK.sock`, `RUN_DIR/TASK.json`, `RUN_DIR/TASK/`. Made root-only. On tmpfs (`/run`, or
    /// `/dev/shm` where that is a disk) creating a container is milliseconds faster; it must survive the agent, not a reboot.
    pub run_dir: PathBuf,
    /// Parent of every cgroup made here, absolute within each hierarchy (`/longshore`). Two agents on one machine need two of them:
    /// [`crate::Runtime::sweep`] removes what it does not know below it.
    pub cgroup_root: String,
}

/// Which network a task's containers are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The machine's own stack.
    Host,
    /// A namespace made by someone else, by path (`/run/netns/NAME`). Needed from the first [`crate::TaskHandle::create`] on, so that
    /// it can be made while the task is launched.
    Namespace(PathBuf),
    /// A namespace of the task's own with only loopback.
    Loopback,
}

/// What the containers of one task share: the cgroup above them, the network, perhaps process ids and IPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSandbox {
    /// 1–128 of `[A-Za-z0-9_.-]`, not starting with a dot. Names the cgroup and the socket.
    pub task_id: String,
    /// Made if missing; holds everything about the task (see [`crate::TaskHandle`]).
    pub dir: PathBuf,
    pub network: Network,
    pub limits: TaskLimits,
    /// One process-id namespace for all containers of the task (`pidMode: task`).
    pub share_pid: bool,
    /// One IPC namespace for all containers of the task (`ipcMode: task`).
    pub share_ipc: bool,
    /// The machine's own process ids (`pidMode: host`); not together with `share_pid`.
    #[serde(default)]
    pub host_pid: bool,
    /// The machine's own IPC and its `/dev/shm` (`ipcMode: host`); not together with `share_ipc`.
    #[serde(default)]
    pub host_ipc: bool,
    /// Also `RUN_DIR`, so that the shim finds where to listen; filled in by [`crate::Runtime::launch`].
    #[serde(default)]
    pub run_dir: PathBuf,
    /// Filled in by [`crate::Runtime::launch`].
    #[serde(default)]
    pub cgroup_root: String,
}

impl TaskSandbox {
    /// A task on the machine's own network without limits.
    pub fn new(task_id: impl Into<String>, dir: impl Into<PathBuf>) -> TaskSandbox {
        TaskSandbox {
            task_id: task_id.into(),
            dir: dir.into(),
            network: Network::Host,
            limits: TaskLimits::default(),
            share_pid: false,
            share_ipc: false,
            host_pid: false,
            host_ipc: false,
            run_dir: PathBuf::new(),
            cgroup_root: String::new(),
        }
    }
}

/// Hard limits over all containers of a task together. `None` is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLimits {
    /// Thousandths of a processor: 250 is a quarter of one.
    pub cpu_millicores: Option<u64>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u64>,
}

/// One container. Paths are absolute. Made with [`ContainerConfig::new`], which fills in the defaults a security engineer expects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerConfig {
    /// 1–255 of `[A-Za-z0-9_.-]`, not starting with a dot; unique within the task.
    pub name: String,
    /// Directories of the image's layers as the overlay's lower layers, topmost first. Never written to.
    pub lower_dirs: Vec<PathBuf>,
    /// The image's file system and what lies over it cannot be written (mounts can).
    pub readonly_rootfs: bool,
    /// Program and arguments; a program without `/` is looked up in `PATH` of `env`.
    pub args: Vec<String>,
    /// `NAME=VALUE`. `PATH` gets Docker's default and `HOME` the user's when missing.
    pub env: Vec<String>,
    /// Working directory, made when missing. Empty means `/`.
    pub cwd: PathBuf,
    /// `user[:group]`, names or numbers, as in a Dockerfile. Names are looked up in the image. Empty means root.
    pub user: String,
    /// Further numeric groups for the process, beside those that the image's `/etc/group` gives the user.
    pub additional_gids: Vec<u32>,
    /// A network namespace of the container's own, made by someone else, in place of its task's.
    #[serde(default)]
    pub network: Option<PathBuf>,
    /// No `/dev/shm` at all (`ipcMode: none`).
    #[serde(default)]
    pub no_shm: bool,
    /// Host name in a UTS namespace of the container's own; `None` is the machine's own name.
    pub hostname: Option<String>,
    pub mounts: Vec<Mount>,
    /// Files generated for the container and bound over the image's.
    pub etc: EtcFiles,
    /// Added to and dropped from Docker's default set: `NET_ADMIN`, `CAP_NET_ADMIN`, `ALL`.
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    /// All capabilities and devices, no seccomp filter, nothing masked or read-only.
    pub privileged: bool,
    /// `prctl(PR_SET_NO_NEW_PRIVS)`: set-user-ID programs (`sudo`, `ping`) gain nothing.
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    pub rlimits: Vec<Rlimit>,
    /// Only namespaced ones are accepted (`net.*`, `kernel.msg*`, `fs.mqueue.*` …).
    pub sysctls: BTreeMap<String, String>,
    pub devices: Vec<Device>,
    /// Size of `/dev/shm`; 64 MiB when not given.
    pub shm_size_bytes: Option<u64>,
    /// Puts a small process with id 1 before the program, which passes signals on and reaps children (`initProcessEnabled`).
    pub init: bool,
    /// In place of the default lists.
    pub masked_paths: Option<Vec<String>>,
    pub readonly_paths: Option<Vec<String>>,
    pub resources: Resources,
    /// −1000 to 1000; 0 when not given.
    pub oom_score_adj: Option<i32>,
    /// Gives the program a terminal: its output is then one stream, reported as standard output.
    pub tty: bool,
    /// Keeps standard input open and silent instead of at end of file.
    pub open_stdin: bool,
    pub output: OutputLimits,
}

impl ContainerConfig {
    /// A container that runs `args` as root of the image in `lower_dirs` (topmost first), with default limits and protections.
    pub fn new(name: impl Into<String>, lower_dirs: Vec<PathBuf>, args: Vec<String>) -> ContainerConfig {
        ContainerConfig {
            name: name.into(),
            lower_dirs,
            readonly_rootfs: false,
            args,
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            user: String::new(),
            additional_gids: Vec::new(),
            network: None,
            no_shm: false,
            hostname: None,
            mounts: Vec::new(),
            etc: EtcFiles::default(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            privileged: false,
            no_new_privileges: true,
            seccomp: Seccomp::Default,
            rlimits: Vec::new(),
            sysctls: BTreeMap::new(),
            devices: Vec::new(),
            shm_size_bytes: None,
            init: false,
            masked_paths: None,
            readonly_paths: None,
            resources: Resources::default(),
            oom_score_adj: None,
            tty: false,
            open_stdin: false,
            output: OutputLimits::default(),
        }
    }
}

/// Which system calls a container may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// The list that Docker and containerd allow, minus what the container's capabilities do not cover.
    Default,
    Unconfined,
}

/// Something mounted into a container, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, within the container; made when missing.
    pub destination: PathBuf,
    pub kind: MountKind,
    pub readonly: bool,
    /// Further mount options by their `mount(8)` names (`noexec`, `mode=1777`, `rshared` …).
    pub options: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A file or directory of the machine, which must exist.
    Bind {
        source: PathBuf,
    },
    /// A directory of the machine kept by the caller; filled with what the image has at the destination when it is empty.
    Volume {
        source: PathBuf,
    },
    Tmpfs {
        size_bytes: Option<u64>,
    },
}

/// Contents of files that every container gets its own copy of. `None` leaves the image's file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcFiles {
    pub hosts: Option<String>,
    pub resolv_conf: Option<String>,
    pub hostname: Option<String>,
}

/// `name` as in the task definition or the kernel: `nofile` or `RLIMIT_NOFILE`. −1 is unlimited. What is above this machine's
/// own hard limit and cannot be raised is clamped and reported in [`crate::ContainerStatus::warnings`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub host_path: PathBuf,
    pub container_path: PathBuf,
    /// Of `r`, `w`, `m`.
    pub permissions: String,
}

/// Limits of one container, within those of its task. `None` leaves the kernel's default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Relative weight, 2–262144, Docker's scale (1024 is one share); translated for cgroup v2.
    pub cpu_shares: Option<u64>,
    /// Microseconds of processor time in each period.
    pub cpu_quota_us: Option<i64>,
    pub cpu_period_us: Option<u64>,
    /// Processors the container may run on: `0-2,4`.
    pub cpuset_cpus: Option<String>,
    pub memory_limit_bytes: Option<u64>,
    pub memory_reservation_bytes: Option<u64>,
    /// Memory and swap together; −1 is unlimited swap. Equal to the limit means no swap.
    pub memory_swap_bytes: Option<i64>,
    /// 0–100; ignored on cgroup v2, which has none.
    pub memory_swappiness: Option<u64>,
    /// 32,768 unless given, so that a fork bomb meets a limit of its own before the machine's. Zero is unlimited.
    pub pids_limit: u64,
}

impl Default for Resources {
    fn default() -> Resources {
        Resources {
            cpu_shares: None,
            cpu_quota_us: None,
            cpu_period_us: None,
            cpuset_cpus: None,
            memory_limit_bytes: None,
            memory_reservation_bytes: None,
            memory_swap_bytes: None,
            memory_swappiness: None,
            pids_limit: 32_768,
        }
    }
}

/// How much output may wait on disk for the agent. When it is full the container's pipe is no longer read, so that the container
/// waits at its next write: nothing is lost, at the price that an agent that is away for long holds up a chatty container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputLimits {
    pub segment_bytes: u64,
    pub total_bytes: u64,
}

impl Default for OutputLimits {
    fn default() -> OutputLimits {
        OutputLimits { segment_bytes: 4 << 20, total_bytes: 256 << 20 }
    }
}

/// A further process in a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecConfig {
    pub args: Vec<String>,
    /// Added to the container's environment.
    pub env: Vec<String>,
    /// The container's own user when not given.
    pub user: Option<String>,
    /// The container's own directory when not given.
    pub cwd: Option<PathBuf>,
    /// Killed, with what it started, after so long.
    pub timeout_ms: Option<u64>,
    /// What is kept of its output; the rest is read and dropped.
    pub output_limit_bytes: usize,
}

impl ExecConfig {
    pub fn new(args: Vec<String>) -> ExecConfig {
        ExecConfig {
            args,
            env: Vec::new(),
            user: None,
            cwd: None,
            timeout_ms: None,
            output_limit_bytes: 64 << 10,
        }
    }
}

/// A further process in a running container that somebody talks to; see [`crate::TaskHandle::attach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachConfig {
    pub args: Vec<String>,
    /// Added to the container's environment.
    pub env: Vec<String>,
    /// The container's own user when not given.
    pub user: Option<String>,
    /// The container's own directory when not given.
    pub cwd: Option<PathBuf>,
    /// Gives it a terminal of this size: its output is then one stream.
    pub terminal: Option<WindowSize>,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

/// The names that become files, cgroups and sockets: one path component, nothing that needs quoting.
pub(crate) fn valid_name(name: &str, longest: usize) -> bool {
    !name.is_empty()
        && name.len() <= longest
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}
