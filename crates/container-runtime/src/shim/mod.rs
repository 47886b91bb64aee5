//! The shim process: one task's containers, their output and their ends, in a single-threaded poll loop.
//!
//! It is a copy of the process that the agent starts (see [`fork_server`]). It begins without a task, with a connection to the agent, and
//! waits to be assigned one. From then on it listens on the task's socket and needs nobody: clients come and go. It ends when told to
//! shut down, or, unassigned, when that connection closes. libcontainer is called only in copies of it (see [`helper`]).

pub(crate) mod attachment;
mod capture;
mod cgroups;
pub(crate) mod clients;
mod container;
mod execution;
mod executor;
pub(crate) mod files;
mod fork_server;
mod helper;
mod init;
mod overlay;
mod prepare;
mod process;
mod requests;
mod server;
mod task;
mod volumes;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

/// The shims' `main`. `args` are those after `EXE shim`: the cgroup root. Call it before any thread exists: this process is copied. Returns
/// when the agent has gone away; in a copy, when its task was shut down or the agent went away before it had one.
pub fn shim_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Where the kernel cannot (before 5.12), the binary is protected by its file mode and by these processes not being dumpable.
    let _ = arguments().and_then(|arguments| process::run_from_read_only_mount(&arguments));
    let Some(cgroup_root) = args.into_iter().next().and_then(|arg| arg.into_string().ok()) else {
        eprintln!("usage: shim CGROUP_ROOT, with a socket as standard input; started by the agent");
        return ExitCode::from(64);
    };
    let shim = settle(&cgroup_root).and_then(fork_server::serve).and_then(|client| match client {
        Some(client) => become_shim(cgroup_root, client).map(Some),
        None => Ok(None),
    });
    match shim {
        Ok(Some(shim)) => shim.serve(),
        Ok(None) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("shim: {e}");
            ExitCode::FAILURE
        }
    }
}

/// This process's whole command line.
fn arguments() -> io::Result<Vec<std::ffi::CString>> {
    use std::os::unix::ffi::OsStringExt;
    let strings = std::env::args_os().map(|arg| std::ffi::CString::new(arg.into_vec()));
    strings.collect::<Result<_, _>>().map_err(io::Error::other)
}

/// Makes this process independent of whoever started it, and all that copies of it inherit; returns the connection that it was started
/// with.
fn settle(cgroup_root: &str) -> io::Result<OwnedFd> {
    process::close_all_but(&[]);
    let stdin = io::stdin();
    let socket = rustix::io::fcntl_dupfd_cloexec(&stdin, 3)?;
    process::set_name(c"longshore-shims")?;
    // Whatever the agent's is, programs begin with the usual one.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2(null.as_raw_fd(), 0)?;
    // A session of its own, so that no terminal's signals reach it. Already one: a leader stays one.
    let _ = rustix::process::setsid();
    process::forbid_dumping()?;
    for signal in [nix::sys::signal::SIGINT, nix::sys::signal::SIGTERM, nix::sys::signal::SIGHUP] {
        process::ignore(signal)?;
    }
    // The last to be killed when memory runs out. Not every root may (it takes CAP_SYS_RESOURCE), and it is no condition.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-999");
    crate::cgroup::leave_to_shims(cgroup_root)?;
    nix::unistd::dup2(null.as_raw_fd(), 2)?;
    Ok(socket)
}

/// In a copy: what is not inherited.
fn become_shim(cgroup_root: String, client: OwnedFd) -> io::Result<server::Shim> {
    process::set_name(c"longshore-shim")?;
    rustix::process::setsid()?;
    process::become_subreaper()?;
    server::Shim::new(cgroup_root, client)
}
