//! Making, keeping and dropping network namespaces.
//!
//! A namespace is made on a thread of its own that ends right after: neither a tokio worker nor any other thread of
//! the process ever changes its namespace, and nothing forks. A bind mount of the thread's namespace file keeps it
//! alive, so that tasks and their network outlive this process.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
};

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::statfs::{FsType, fstatfs},
};

use crate::{
    error::{During, NetworkError, OnFile},
    netlink::{Rtnetlink, route},
    sysctl,
};

/// `NSFS_MAGIC`: what a file on which a namespace is mounted says it is.
const NAMESPACE_FILE: FsType = FsType(0x6e73_6673);

/// Makes a namespace with `lo` up and keeps it at `path`; runs `inside` in it before it is shown to anyone.
pub(crate) fn create<T: Send>(
    path: &Path,
    inside: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .on_file("cannot create", path)?;
    on_fresh_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| NetworkError::Namespace(errno.into()))?;
        let value = inside()?;
        mount(Some("/proc/thread-self/ns/net"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(io::Error::from)
            .on_file("cannot mount a namespace on", path)?;
        Ok(value)
    })
}

/// What every task's namespace gets: `lo`, IPv4 only on interfaces to come, and what container engines allow
/// processes without privileges (ports below 1024, ping).
pub(crate) fn prepare_inside() -> Result<Rtnetlink, NetworkError> {
    let mut socket = Rtnetlink::open().during(|| "cannot open a netlink socket".to_owned())?;
    let loopback = socket
        .link("lo")
        .during(|| "cannot find lo".to_owned())?
        .ok_or_else(|| NetworkError::Namespace(io::Error::other("a new namespace has no lo")))?;
    socket
        .request_all(vec![route::set_link_up(loopback.index)])
        .during(|| "cannot bring up lo".to_owned())?;
    sysctl::write("net/ipv4/ip_unprivileged_port_start", "0")?;
    sysctl::write("net/ipv4/ping_group_range", "0 2147483647")?;
    // Absent where the kernel runs without IPv6.
    sysctl::write_if_present("net/ipv6/conf/default/disable_ipv6", "1")?;
    Ok(socket)
}

/// Whether a namespace is kept at `path`.
pub(crate) fn is_kept(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| fstatfs(&file).is_ok_and(|found| found.filesystem_type() == NAMESPACE_FILE))
}

/// Stops keeping the namespace at `path`; it ends with its last process. Nothing happens when it is not there.
pub(crate) fn drop_kept(path: &Path) -> Result<(), NetworkError> {
    // More than one mount can only come from outside interference; the bound keeps this finite.
    for _ in 0..8 {
        if !is_kept(path) {
            break;
        }
        umount2(path, MntFlags::MNT_DETACH).map_err(io::Error::from).on_file("cannot unmount", path)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).on_file("cannot remove", path),
        _ => Ok(()),
    }
}

fn on_fresh_thread<T: Send>(
    body: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("lsh-netns".to_owned())
            .spawn_scoped(scope, body)
            .map_err(NetworkError::Namespace)?;
        thread
            .join()
            .unwrap_or_else(|_| Err(NetworkError::Namespace(io::Error::other("the thread panicked"))))
    })
}
