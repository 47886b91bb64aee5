//! The calls on this process that the safe wrappers do not offer: forking, identity, capabilities, the filter.
//!
//! JUSTIFICATION for `unsafe` here: these are single system calls with arguments that are plain numbers or live for the call; the
//! shim has one thread, so that forking copies a consistent process.
#![allow(unsafe_code)]

use nix::unistd::{ForkResult, Pid};
use std::io;
use std::os::fd::RawFd;

/// Runs `child` in a copy of this process, which then ends with the code it returns.
pub(super) fn fork_into(child: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: the shim is single-threaded, so no lock can be held by a thread that the copy lacks.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(70);
            // SAFETY: ends this copy at once, without the original's exit handlers.
            unsafe { libc::_exit(code) }
        }
    }
}

fn check(result: i64) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `prctl` with numbers only.
fn control(option: libc::c_int, argument: u64) -> io::Result<()> {
    // SAFETY: none of the options used takes a pointer.
    check(i64::from(unsafe { libc::prctl(option, argument, 0, 0, 0) }))
}

pub(super) fn become_subreaper() -> io::Result<()> {
    control(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// As `ps` and `top` show it; fifteen bytes at most.
pub(super) fn set_name(name: &std::ffi::CStr) -> io::Result<()> {
    // SAFETY: the kernel reads up to the final zero.
    check(i64::from(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) }))
}

pub(super) fn forbid_dumping() -> io::Result<()> {
    control(libc::PR_SET_DUMPABLE, 0)
}

/// Makes the standard streams the user's own, as far as they are ours to give: a file system may refuse, which only means that they
/// cannot be opened a second time.
pub(super) fn give_standard_streams(uid: u32) {
    let null = nix::sys::stat::stat("/dev/null").map(|s| s.st_rdev);
    for stream in 0..3 {
        let Ok(stat) = nix::sys::stat::fstat(stream) else { continue };
        if stat.st_uid != uid && null != Ok(stat.st_rdev) {
            // SAFETY: takes numbers only.
            unsafe { libc::fchown(stream, uid, stat.st_gid) };
        }
    }
}

/// Runs this binary again from a read-only mount of its own, so that a container that finds a process of the shim (before exec, or as its
/// init) cannot write to the binary through `/proc/PID/exe`. Returns only when that is done already or the kernel cannot.
pub(super) fn run_from_read_only_mount(arguments: &[std::ffi::CString]) -> io::Result<()> {
    let read_only = |path: &str| {
        nix::sys::statvfs::statvfs(path)
            .is_ok_and(|s| s.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY))
    };
    if read_only("/proc/self/exe") {
        return Ok(());
    }
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path is a constant string.
    let tree =
        unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, c"/proc/self/exe".as_ptr(), flags) };
    check(tree)?;
    let attributes = Attributes { set: libc::MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace: 0 };
    let size = size_of::<Attributes>();
    // SAFETY: the empty path is a constant string; the kernel reads `size` bytes of the structure, which is alive for the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree,
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size,
        )
    })?;
    let environment: [std::ffi::CString; 0] = [];
    // The descriptor closes on exec; the kernel's own reference to the program keeps the mount.
    let path = std::ffi::CString::new(format!("/proc/self/fd/{tree}"))?;
    let Err(errno) = nix::unistd::execve(&path, arguments, &environment);
    Err(errno.into())
}

/// The kernel kills this process when its parent dies. Undone by a change of user.
pub(super) fn die_with_parent() -> io::Result<()> {
    control(libc::PR_SET_PDEATHSIG, libc::SIGKILL as u64)
}

/// Closes every descriptor above standard error but these.
pub(super) fn close_all_but(keep: &[RawFd]) {
    let mut keep: Vec<u32> =
        keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    let mut first = 3u32;
    for fd in keep {
        if fd > first {
            close_range(first, fd - 1);
        }
        first = fd + 1;
    }
    close_range(first, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: called in a fresh copy of the process (or at its very start), whose owners of these descriptors never run again.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) };
}

/// Whether every writer of a pipe is gone.
pub(super) fn has_hung_up(reader: RawFd) -> bool {
    let mut request = libc::pollfd { fd: reader, events: 0, revents: 0 };
    // SAFETY: one structure, alive for the call.
    unsafe { libc::poll(&raw mut request, 1, 0) == 1 && request.revents & libc::POLLHUP != 0 }
}

/// A program starts with every signal's default action and none blocked; the shim's own arrangements must not leak into it.
pub(super) fn reset_signals() -> io::Result<()> {
    /// Bits of a signal set, in bytes.
    const SET_BYTES: usize = 8;
    // The kernel's own `struct sigaction`, whatever its order of fields here: all zeroes is the default action without flags.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the default action runs no code of ours, and the kernel reads no more than these bytes. The C library's function would
        // refuse the two signals that it keeps for itself. The two that cannot be set fail, which is right.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SET_BYTES,
            )
        };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask()?;
    Ok(())
}

/// Takes every capability not in `mask` out of the bounding set, for this process and all it starts.
pub(super) fn limit_bounding_set(mask: u64) -> io::Result<()> {
    for capability in 0..64u64 {
        if mask & (1 << capability) != 0 {
            continue;
        }
        match control(libc::PR_CAPBSET_DROP, capability) {
            // Past the last capability that this kernel knows.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// Changes groups and user for good, keeping permitted capabilities until [`set_capabilities`].
pub(super) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    control(libc::PR_SET_KEEPCAPS, 1)?;
    let groups: Vec<nix::unistd::Gid> = groups.iter().map(|g| nix::unistd::Gid::from_raw(*g)).collect();
    nix::unistd::setgroups(&groups)?;
    let (uid, gid) = (nix::unistd::Uid::from_raw(uid), nix::unistd::Gid::from_raw(gid));
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)?;
    Ok(())
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Two words per set.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Makes `mask` the effective and permitted set; nothing is inheritable or ambient, so that another user's program gets none.
pub(super) fn set_capabilities(mask: u64) -> io::Result<()> {
    control(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64)?;
    let header = CapabilityHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let half = |bits: u32| CapabilityData { effective: bits, permitted: bits, inheritable: 0 };
    let data = [half(mask as u32), half((mask >> 32) as u32)];
    // SAFETY: both pointers are to values of the layout that this version of the call reads, alive for the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })
}

/// Installs a system-call filter, for this process and all it starts. Needs no-new-privileges or CAP_SYS_ADMIN.
pub(super) fn install_filter(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which is alive for the call, and does not write to it.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0u32, &raw const program)
    })
}

/// Brings the loopback interface of this process's network namespace up.
pub(super) fn raise_loopback() -> io::Result<()> {
    // SAFETY: all zeroes is a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    use std::os::fd::AsRawFd;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which is alive for the call.
    check(i64::from(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }))
}

pub(super) fn ignore(signal: nix::sys::signal::Signal) -> io::Result<()> {
    // SAFETY: ignoring runs no code of ours.
    unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigIgn) }?;
    Ok(())
}

/// Undoes [`ignore`].
pub(super) fn notice(signal: nix::sys::signal::Signal) -> io::Result<()> {
    // SAFETY: the default action runs no code of ours.
    unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) }?;
    Ok(())
}

/// Waits until a child ends (or any other signal comes).
pub(super) fn wait_for_child() {
    use nix::sys::signal::{SigSet, Signal};
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    if set.thread_block().is_ok() {
        let _ = set.wait();
    }
}

/// Blocks every signal; returns what was blocked before.
pub(super) fn block_signals() -> io::Result<nix::sys::signal::SigSet> {
    Ok(nix::sys::signal::SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?)
}

/// A plain fork: `None` in the child.
pub(super) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the shim and its copies are single-threaded.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// The next pending signal, by number, real-time ones included. Waits.
pub(super) fn next_signal() -> i32 {
    let all = nix::sys::signal::SigSet::all();
    let mut signal = 0;
    // SAFETY: both pointers are to values alive for the call.
    unsafe { libc::sigwait(all.as_ref(), &raw mut signal) };
    signal
}

pub(super) fn exit(code: i32) -> ! {
    // SAFETY: ends this process at once, without exit handlers that belong to the shim.
    unsafe { libc::_exit(code) }
}

/// Any signal by number.
pub(super) fn send_signal(pid: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(i64::from(unsafe { libc::kill(pid.as_raw(), signal) }))
}
