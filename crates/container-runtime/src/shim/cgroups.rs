//! What a container sees of its cgroups under v1: one read-only directory for each controller, put together in the shim's mount namespace and
//! bound into the container as a whole.

use crate::cgroup::Hierarchies;
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs;
use std::io;
use std::path::Path;

/// What programs look at to learn their limits.
const CONTROLLERS: [&str; 6] = ["blkio", "cpu", "cpuacct", "cpuset", "memory", "pids"];

/// Mounts them at `target`, making the container's cgroup where it does not exist yet. Nothing to do under v2.
pub(super) fn mount(target: &Path, cgroup: &str) -> io::Result<()> {
    let hierarchies = Hierarchies::get();
    if hierarchies.unified {
        return Ok(());
    }
    fs::create_dir(target)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("tmpfs", target, "tmpfs", flags, c"mode=755,size=64k")?;
    for controller in CONTROLLERS {
        let Some(source) = hierarchies.dir(controller, cgroup) else { continue };
        fs::create_dir_all(&source)?;
        let place = target.join(controller);
        fs::create_dir(&place)?;
        rustix::mount::mount_bind(&source, &place)?;
        rustix::mount::mount_remount(&place, MountFlags::BIND | MountFlags::RDONLY | flags, c"")?;
    }
    Ok(())
}

pub(super) fn unmount(target: &Path) {
    // Not mounted is what is wanted.
    let _ = rustix::mount::unmount(target, UnmountFlags::DETACH);
}
