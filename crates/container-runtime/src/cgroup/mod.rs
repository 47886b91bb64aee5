//! The cgroups around containers: the task's own, with its limits, and what must be known or done from outside a container's.
//!
//! A container's cgroup below the task's is made and limited by libcontainer. Everything here takes a path within the hierarchy
//! (`/longshore/TASK`); which hierarchies there are, one (v2) or one per controller (v1), is found out once per process.

pub(crate) mod devices;
pub(crate) mod limits;
pub(crate) mod stats;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Where the shims themselves live, below the root.
pub(crate) const SHIMS: &str = "shims";

/// The cgroup hierarchies of this machine.
#[derive(Debug)]
pub(crate) struct Hierarchies {
    pub(crate) unified: bool,
    /// v2: the one mount. v1: every controller's, the named ones too, by the directory's name (`memory`, `cpu,cpuacct`).
    pub(crate) mounts: Vec<PathBuf>,
}

const MOUNT: &str = "/sys/fs/cgroup";

impl Hierarchies {
    pub(crate) fn get() -> &'static Hierarchies {
        static FOUND: OnceLock<Hierarchies> = OnceLock::new();
        FOUND.get_or_init(Hierarchies::find)
    }

    /// As libcontainer decides it: v2 when `/sys/fs/cgroup` itself is a cgroup2 file system, else v1, an empty v2 beside it ignored.
    fn find() -> Hierarchies {
        let unified = nix::sys::statfs::statfs(MOUNT)
            .is_ok_and(|s| s.filesystem_type() == nix::sys::statfs::CGROUP2_SUPER_MAGIC);
        if unified {
            return Hierarchies { unified, mounts: vec![PathBuf::from(MOUNT)] };
        }
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mounts = table
            .lines()
            .filter_map(|line| line.split_once(" - "))
            .filter(|(_, tail)| tail.starts_with("cgroup "))
            .filter_map(|(head, _)| head.split(' ').nth(4))
            .map(PathBuf::from)
            .filter(|path| path.parent() == Some(Path::new(MOUNT)))
            .collect();
        Hierarchies { unified, mounts }
    }

    /// Whether this machine can limit what `controller` counts.
    pub(crate) fn has(&self, controller: &str) -> bool {
        if !self.unified {
            return self.dir(controller, "/").is_some();
        }
        let available = fs::read_to_string(Path::new(MOUNT).join("cgroup.controllers")).unwrap_or_default();
        available.split_whitespace().any(|name| name == controller)
    }

    /// The directory of `path` in the hierarchy with `controller`.
    pub(crate) fn dir(&self, controller: &str, path: &str) -> Option<PathBuf> {
        let mount = if self.unified {
            self.mounts.first()
        } else {
            self.mounts.iter().find(|m| {
                m.file_name()
                    .and_then(|n| n.to_str())
                    .is_some_and(|name| name.split(',').any(|part| part == controller))
            })
        };
        mount.map(|mount| below(mount, path))
    }

    /// The directory whose `cgroup.procs` is authoritative for who is in a cgroup.
    fn membership_dirs(&self, path: &str) -> Vec<PathBuf> {
        self.mounts.iter().map(|mount| below(mount, path)).collect()
    }
}

fn below(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

pub(crate) fn task_path(root: &str, task_id: &str) -> String {
    format!("{root}/{task_id}")
}

pub(crate) fn container_path(root: &str, task_id: &str, name: &str) -> String {
    container_path_in(&task_path(root, task_id), name)
}

pub(crate) fn container_path_in(task: &str, name: &str) -> String {
    format!("{task}/{name}")
}

/// Moves this process out of whatever cgroup started it, so that killing that group spares it. A hierarchy where it is in the
/// root already is left alone: nobody kills the root.
pub(crate) fn leave_to_shims(root: &str) -> io::Result<()> {
    let path = format!("{root}/{SHIMS}");
    let hierarchies = Hierarchies::get();
    let own = fs::read_to_string("/proc/self/cgroup")?;
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        if group == "/" || group == path {
            continue;
        }
        let name = controllers.trim_start_matches("name=");
        let name = name.split(',').next().unwrap_or_default();
        let dir = match hierarchies.dir(name, &path) {
            Some(dir) => dir,
            // The v2 hierarchy beside v1.
            None if controllers.is_empty() && Path::new(MOUNT).join("unified").exists() => {
                below(&Path::new(MOUNT).join("unified"), &path)
            }
            None => continue,
        };
        fs::create_dir_all(&dir)?;
        if name == "cpuset" && !hierarchies.unified {
            limits::inherit_cpuset(&dir)?;
        }
        fs::write(dir.join("cgroup.procs"), "0")?;
    }
    Ok(())
}

/// How long [`keep_migrations_fast`] lasts: about as long as a task's network takes to be made.
const FAST_FOR: Duration = Duration::from_millis(120);
/// Less than a grace period, during which the kernel stays in the fast state.
const FAST_INTERVAL: Duration = Duration::from_millis(4);

/// Moving a process into a cgroup makes the kernel wait for a grace period (about ten milliseconds), unless another move has just
/// happened. This moves the calling process to where it is already, a few times, so that the wait is over by the time a container's process
/// is to be moved. Blocks; for a process made for it.
pub(crate) fn keep_migrations_fast(root: &str) {
    let hierarchies = Hierarchies::get();
    // Any hierarchy will do: the lock is one for all of them.
    let Some(dir) = hierarchies.dir("memory", &format!("{root}/{SHIMS}")).filter(|dir| dir.exists()) else {
        return;
    };
    let file = dir.join("cgroup.procs");
    let end = Instant::now() + FAST_FOR;
    while Instant::now() < end && fs::write(&file, "0").is_ok() {
        std::thread::sleep(FAST_INTERVAL);
    }
}

/// How often the kernel killed a process in this cgroup or below for want of memory, whoever's limit was hit.
pub(crate) fn oom_kills(path: &str) -> u64 {
    let hierarchies = Hierarchies::get();
    let file = if hierarchies.unified { "memory.events" } else { "memory.oom_control" };
    let Some(dir) = hierarchies.dir("memory", path) else { return 0 };
    let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
    field(&text, "oom_kill").unwrap_or(0)
}

/// The number after `key` in a file of `key value` lines.
pub(crate) fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Every process in this cgroup and below, in any hierarchy.
pub(crate) fn processes(path: &str) -> Vec<i32> {
    let mut pids: Vec<i32> =
        Hierarchies::get().membership_dirs(path).iter().flat_map(|dir| tree_processes(dir)).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

fn tree_processes(dir: &Path) -> Vec<i32> {
    let own = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    // Zero: a process of another process-id namespace, which cannot be named from here.
    let mut pids: Vec<i32> =
        own.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect();
    for child in child_dirs(dir) {
        pids.extend(tree_processes(&child));
    }
    pids
}

fn child_dirs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

/// Sends SIGKILL to every process in the cgroup and below, once. Forks may escape one pass: repeat until there are none.
pub(crate) fn kill_once(path: &str) -> usize {
    let hierarchies = Hierarchies::get();
    if hierarchies.unified && fs::write(below(Path::new(MOUNT), path).join("cgroup.kill"), "1").is_ok() {
        return processes(path).len();
    }
    let pids = processes(path);
    for pid in &pids {
        // Gone already is what is wanted.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL);
    }
    pids.len()
}

/// A process in the kernel's hands (dumping core, waiting for a disk) may take this long to die.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Kills everything in the cgroup and below and removes both. True when there was something. Blocks.
pub(crate) fn kill_and_remove(path: &str) -> io::Result<bool> {
    let deadline = Instant::now() + KILL_TIMEOUT;
    while kill_once(path) > 0 {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "processes do not die"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    remove(path, deadline)
}

/// Removes an empty cgroup and those below it in every hierarchy. True when there was one.
pub(crate) fn remove(path: &str, deadline: Instant) -> io::Result<bool> {
    let mut found = false;
    for dir in Hierarchies::get().membership_dirs(path) {
        found |= remove_tree(&dir, deadline)?;
    }
    Ok(found)
}

fn remove_tree(dir: &Path, deadline: Instant) -> io::Result<bool> {
    for child in child_dirs(dir) {
        remove_tree(&child, deadline)?;
    }
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            // A process that was just killed leaves its cgroup only when it is reaped.
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(e) => return Err(e),
        }
    }
}

/// Removes the root with the shims' own cgroup when no task's is in it. Waiting shims that were told to end have a moment to do so.
pub(crate) fn remove_root_if_unused(root: &str) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut dirs = Hierarchies::get().membership_dirs(root);
    dirs.push(below(&Path::new(MOUNT).join("unified"), root));
    for dir in dirs {
        if child_dirs(&dir).iter().any(|child| child.file_name().is_some_and(|name| name != SHIMS)) {
            continue;
        }
        match remove_tree(&dir, deadline) {
            // The shims of tasks that live.
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// The names of the cgroups right below `root`, in any hierarchy.
pub(crate) fn children(root: &str) -> std::collections::BTreeSet<String> {
    Hierarchies::get()
        .membership_dirs(root)
        .iter()
        .flat_map(|dir| child_dirs(dir))
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect()
}
