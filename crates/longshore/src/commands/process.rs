//! What `up` and `agent` do alike: they run as root for long, one of a kind on their machine, and leave nothing when they keep nothing.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use node_agent::ShutdownMode;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::progress::{LogWriter, screen};

/// How long tasks may take to stop when a run that keeps nothing ends.
const STOP_GRACE: Duration = Duration::from_secs(10);

pub fn init_log(verbose: u8, json: bool) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = std::env::var("LONGSHORE_LOG").unwrap_or_else(|_| default.to_owned());
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let builder = tracing_subscriber::fmt().with_writer(|| LogWriter).with_env_filter(filter);
    if json { builder.json().init() } else { builder.with_target(false).init() }
}

/// Raises the soft limit of open files to the hard one: sandboxes, databases and ten thousand clients share it.
pub fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
}

/// One of a kind per machine: interfaces, rules and cgroups have fixed names.
pub fn lock(run_dir: &Path, what: &str) -> anyhow::Result<File> {
    fs::create_dir_all(run_dir).with_context(|| format!("making {}", run_dir.display()))?;
    let path = run_dir.join("lock");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let pid = fs::read_to_string(&path).unwrap_or_default();
            bail!("{what} runs on this machine already (process {}); stop that one first", pid.trim());
        }
        Err(error) => return Err(error).with_context(|| format!("locking {}", path.display())),
    }
    file.set_len(0)?;
    (&file).write_all(format!("{}\n", std::process::id()).as_bytes())?;
    Ok(file)
}

/// Removes directories when it goes: those of a run that keeps nothing.
pub struct CleanUp(Vec<PathBuf>);

impl CleanUp {
    pub fn new(ephemeral: bool, directories: [&Path; 2]) -> CleanUp {
        CleanUp(if ephemeral { directories.map(Path::to_owned).to_vec() } else { Vec::new() })
    }
}

impl Drop for CleanUp {
    fn drop(&mut self) {
        for directory in &self.0 {
            match fs::remove_dir_all(directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(%error, "{} could not be removed", directory.display());
                }
                _ => {}
            }
        }
    }
}

/// The name of all cgroups here: a machine is a network namespace, as for everything else that has a fixed name. In the kernel's first one it
/// is `base` as it is; another's (a container, a test) does not touch what belongs to its neighbours.
pub fn cgroup_root(base: &str) -> String {
    let namespace = |process: &str| fs::metadata(format!("/proc/{process}/ns/net")).map(|file| file.ino());
    // Where the first process may not be looked at, the number that Linux gives its first network namespace since 6.18 (NET_NS_INIT_INO).
    let first = namespace("1").unwrap_or(0xEFFF_FFF9);
    match namespace("self") {
        Ok(own) if own != first => format!("{base}-{own}"),
        _ => base.to_owned(),
    }
}

/// What becomes of the tasks at the end.
pub fn mode(ephemeral: bool) -> ShutdownMode {
    if ephemeral { ShutdownMode::RemoveEverything { grace: STOP_GRACE } } else { ShutdownMode::LeaveRunning }
}

/// Writes a line for the person at the terminal; nobody there is no error.
pub fn say(text: &str) {
    screen().suspend(|| writeln!(io::stdout(), "{text}")).ok();
}
