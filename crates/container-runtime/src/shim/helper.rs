//! Calls libcontainer, each time in a copy of the shim, and does what may take long before.
//!
//! The copy makes the container's process as its own sibling, a child of the shim, says how it went and ends. What libcontainer does to its
//! caller (directory, `oom_score_adj`, dumpability, descriptors) is done to the copy, and a call that hangs or panics does not take
//! the shim with it.

use super::executor::Program;
use super::process;
use super::volumes::Fill;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

/// A running copy.
#[derive(Debug)]
pub(super) struct Helper {
    pub(super) pid: Pid,
    result: File,
}

/// Standard streams of the process to be made. `None` is `/dev/null`, the shim's own.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

impl Streams {
    fn descriptors(&self) -> Vec<RawFd> {
        [&self.stdin, &self.stdout, &self.stderr].into_iter().flatten().map(AsRawFd::as_raw_fd).collect()
    }

    fn apply(self, mut builder: ContainerBuilder) -> ContainerBuilder {
        if let Some(fd) = self.stdin {
            builder = builder.with_stdin(fd);
        }
        if let Some(fd) = self.stdout {
            builder = builder.with_stdout(fd);
        }
        if let Some(fd) = self.stderr {
            builder = builder.with_stderr(fd);
        }
        builder
    }
}

/// What to make.
#[derive(Debug)]
pub(super) struct Order {
    /// libcontainer's own state directory.
    pub(super) state_root: PathBuf,
    pub(super) name: String,
    pub(super) program: Program,
    pub(super) streams: Streams,
    /// Further descriptors that must stay open (the network namespace).
    pub(super) keep: Vec<RawFd>,
    pub(super) console: Option<PathBuf>,
    /// Volumes to be filled first.
    pub(super) fills: Vec<Fill>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// The first process, from this bundle; it waits to be started.
    Init { bundle: PathBuf },
    /// A further one in a running container; it runs at once. `process`: a file that says how, rather than libcontainer's defaults.
    Tenant { process: Option<PathBuf> },
}

impl Helper {
    pub(super) fn start(order: Order) -> io::Result<Helper> {
        let (result, writer) = pipe()?;
        let result = File::from(result);
        let mut keep = order.streams.descriptors();
        keep.extend(&order.keep);
        keep.extend([writer.as_raw_fd(), order.program.report]);
        let pid = process::fork_into(move || {
            process::close_all_but(&keep);
            // A set-up whose shim is gone must not finish behind the back of who cleans up.
            let _ = process::die_with_parent();
            let filled = order.fills.iter().try_for_each(|fill| {
                fill.run().map_err(|e| format!("filling volume {}: {e}", fill.volume.display()))
            });
            let answer = filled.and_then(|()| make(order).map_err(|e| chain(&e)));
            let code = i32::from(answer.is_err());
            let answer = match answer {
                Ok(pid) => format!("pid {pid}\n"),
                Err(reason) => format!("error {reason}\n"),
            };
            // Nobody to tell when the pipe is broken: the shim is gone.
            let _ = File::from(writer).write_all(answer.as_bytes());
            code
        })?;
        Ok(Helper { pid, result })
    }

    /// How it went; call it once the copy has ended.
    pub(super) fn finish(self) -> Result<Pid, String> {
        let Helper { mut result, .. } = self;
        // The made process holds the other end too until it execs, so that this must not wait for the end.
        let mut bytes = vec![0; 16 << 10];
        let count = nonblocking(&result).and_then(|()| result.read(&mut bytes)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[..count]);
        let text = text.trim_end();
        if let Some(pid) = text.strip_prefix("pid ").and_then(|pid| pid.parse().ok()) {
            return Ok(Pid::from_raw(pid));
        }
        Err(text.strip_prefix("error ").unwrap_or("the process that sets containers up died").to_owned())
    }
}

fn make(order: Order) -> Result<Pid, LibcontainerError> {
    let builder = ContainerBuilder::new(order.name, SyscallType::default())
        .with_root_path(order.state_root)?
        .with_executor(order.program)
        .with_console_socket(order.console);
    let builder = order.streams.apply(builder);
    match order.kind {
        Kind::Init { bundle } => {
            let container =
                builder.as_init(bundle).with_systemd(false).with_detach(true).as_sibling(true).build()?;
            container.pid().ok_or_else(|| LibcontainerError::Other("no process id".to_owned()))
        }
        Kind::Tenant { process } => builder
            .as_tenant()
            .with_process(process)
            .with_container_args(vec!["exec".to_owned()])
            .with_cwd(Some("/"))
            .with_detach(true)
            .as_sibling(true)
            .build(),
    }
}

/// The whole story on one line: libcontainer's outer messages say little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text.replace('\n', " ")
}

/// A pipe, reader first, both ends closed on exec.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
}

pub(super) fn nonblocking(fd: &impl std::os::fd::AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

/// Lets a created container's first process run its program.
pub(super) fn start_container(state_root: &Path, name: &str) -> Result<(), String> {
    libcontainer::container::Container::load(state_root.join(name))
        .and_then(|mut container| container.start())
        .map_err(|e| chain(&e))
}
