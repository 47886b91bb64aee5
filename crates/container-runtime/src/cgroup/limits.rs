//! Makes the task's cgroup and sets its hard limits.

use super::Hierarchies;
use crate::config::TaskLimits;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The kernel's usual period; a quota is this much times the share of a processor.
const CPU_PERIOD_US: u64 = 100_000;
/// The kernel refuses a quota below a millisecond.
const LEAST_CPU_QUOTA_US: u64 = 1_000;

/// Makes `path` in every hierarchy and applies the limits. On an error some may have been made: the caller removes them.
pub(crate) fn create_task(path: &str, limits: &TaskLimits) -> io::Result<()> {
    let hierarchies = Hierarchies::get();
    if hierarchies.unified {
        return create_unified(&hierarchies.mounts[0], path, limits);
    }
    for mount in &hierarchies.mounts {
        let dir = super::below(mount, path);
        make(&dir)?;
        if mount.file_name().is_some_and(|name| name == "cpuset") {
            inherit_cpuset(&dir)?;
        }
    }
    let file = |controller: &str, name: &str| hierarchies.dir(controller, path).map(|dir| dir.join(name));
    if let Some(millicores) = limits.cpu_millicores {
        set(file("cpu", "cpu.cfs_period_us"), CPU_PERIOD_US, "cpu")?;
        set(file("cpu", "cpu.cfs_quota_us"), quota_us(millicores), "cpu")?;
    }
    if let Some(bytes) = limits.memory_bytes {
        set(file("memory", "memory.limit_in_bytes"), bytes, "memory")?;
        // Memory and swap together: no swap. Absent when the kernel does not count swap.
        if let Some(swap) = file("memory", "memory.memsw.limit_in_bytes").filter(|f| f.exists()) {
            set(Some(swap), bytes, "memory")?;
        }
    }
    if let Some(pids) = limits.pids {
        set(file("pids", "pids.max"), pids, "pids")?;
    }
    Ok(())
}

fn quota_us(millicores: u64) -> u64 {
    (millicores.saturating_mul(CPU_PERIOD_US) / 1000).max(LEAST_CPU_QUOTA_US)
}

fn create_unified(mount: &Path, path: &str, limits: &TaskLimits) -> io::Result<()> {
    let wanted = ["cpu", "memory", "pids", "io", "cpuset"];
    let mut dir = mount.to_owned();
    for component in path.split('/').filter(|c| !c.is_empty()) {
        enable(&dir, &wanted)?;
        dir.push(component);
        make(&dir)?;
    }
    enable(&dir, &wanted)?;
    if let Some(millicores) = limits.cpu_millicores {
        set(Some(dir.join("cpu.max")), format!("{} {CPU_PERIOD_US}", quota_us(millicores)), "cpu")?;
    }
    if let Some(bytes) = limits.memory_bytes {
        set(Some(dir.join("memory.max")), bytes, "memory")?;
        if dir.join("memory.swap.max").exists() {
            set(Some(dir.join("memory.swap.max")), 0, "memory")?;
        }
    }
    if let Some(pids) = limits.pids {
        set(Some(dir.join("pids.max")), pids, "pids")?;
    }
    Ok(())
}

/// Passes the controllers that this level has on to the levels below.
fn enable(dir: &Path, wanted: &[&str]) -> io::Result<()> {
    let available = fs::read_to_string(dir.join("cgroup.controllers"))?;
    for controller in wanted.iter().filter(|c| available.split_whitespace().any(|a| a == **c)) {
        fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"))?;
    }
    Ok(())
}

fn make(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir).map_err(|e| context(e, format_args!("make {}", dir.display())))
}

fn set(file: Option<PathBuf>, value: impl ToString, controller: &str) -> io::Result<()> {
    let Some(file) = file.filter(|file| file.exists()) else {
        let message = format!("this machine has no {controller} cgroup controller");
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    };
    let value = value.to_string();
    fs::write(&file, &value).map_err(|e| context(e, format_args!("write {value} to {}", file.display())))
}

fn context(e: io::Error, what: std::fmt::Arguments<'_>) -> io::Error {
    io::Error::new(e.kind(), format!("{what}: {e}"))
}

/// A v1 cpuset starts empty and takes no process until it has processors and memory nodes: as its parent, from the top down.
pub(super) fn inherit_cpuset(dir: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = dir.join(file);
        if !fs::read_to_string(&own)?.trim().is_empty() {
            continue;
        }
        let Some(parent) = dir.parent() else { return Ok(()) };
        let mut value = fs::read_to_string(parent.join(file))?;
        if value.trim().is_empty() {
            inherit_cpuset(parent)?;
            value = fs::read_to_string(parent.join(file))?;
        }
        fs::write(own, value.trim())?;
    }
    Ok(())
}
