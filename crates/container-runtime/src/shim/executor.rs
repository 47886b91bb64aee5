//! The last steps in the container's own process: from libcontainer's prepared root to the program.
//!
//! Why not libcontainer's: it drops capabilities before its executor runs, so that without no-new-privileges no filter could be
//! installed any more; it leaves SIGPIPE ignored; it gives the program's environment in no order. So libcontainer is told to keep
//! everything, and the order here is: signals, filter (when privileges are needed for it), directory, bounding set, groups and user,
//! capabilities, filter (when no-new-privileges allows it without), exec.
//!
//! How it went is told through a pipe that closes on exec: [`ABOUT_TO_EXEC`] and nothing more is success, text after it is why
//! not; nothing at all means that the process died before.

use super::{attachment, process};
use crate::config::WindowSize;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::workload::{Executor, ExecutorError, ExecutorSetEnvsError, ExecutorValidationError};
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(super) const ABOUT_TO_EXEC: u8 = b'!';

/// Everything the last steps need, computed before the container's process exists.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: PathBuf,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
    /// The bounding set, and what root gets.
    pub(super) capabilities: u64,
    pub(super) no_new_privileges: bool,
    pub(super) filter: Option<Vec<libc::sock_filter>>,
    /// How large the terminal is that the program finds; none without a terminal of a client's.
    pub(super) terminal: Option<WindowSize>,
    /// The program becomes a child of a process that only passes signals on and reaps.
    pub(super) under_init: bool,
    /// Hangs up when the shim is gone.
    pub(super) alive: RawFd,
    /// Where to report; open in this process and its copies.
    pub(super) report: RawFd,
}

impl Program {
    fn run(&self) -> Result<std::convert::Infallible, String> {
        let step = |what: &'static str| move |e: io::Error| format!("{what}: {}", words(&e));
        process::reset_signals().map_err(step("resetting signals"))?;
        if let Some(size) = self.terminal {
            attachment::begin_with(&io::stdin(), size).map_err(step("setting the terminal's size"))?;
        }
        let filter_needs_privilege = !self.no_new_privileges;
        if filter_needs_privilege {
            self.install_filter().map_err(step("installing the seccomp filter"))?;
        }
        self.change_directory()?;
        // So that the program can open what it was given again, as /dev/stdout.
        process::give_standard_streams(self.uid);
        process::limit_bounding_set(self.capabilities).map_err(step("limiting capabilities"))?;
        process::become_user(self.uid, self.gid, &self.groups).map_err(step("changing user"))?;
        process::set_capabilities(self.capabilities).map_err(step("setting capabilities"))?;
        process::die_with_parent().map_err(step("tying to the shim"))?;
        let program = self.find()?;
        let strings =
            |list: &[String]| list.iter().map(|s| CString::new(s.as_bytes())).collect::<Result<Vec<_>, _>>();
        let args = strings(&self.args).map_err(|_| "an argument contains a zero byte".to_owned())?;
        let env =
            strings(&self.env).map_err(|_| "an environment variable contains a zero byte".to_owned())?;
        let path = CString::new(program.as_os_str().as_bytes())
            .map_err(|_| "the program's name contains a zero byte".to_owned())?;
        if !filter_needs_privilege {
            self.install_filter().map_err(step("installing the seccomp filter"))?;
        }
        if self.under_init {
            // Returns in the child; the parent ends with it.
            super::init::split().map_err(step("starting the init process"))?;
        }
        self.report(&[ABOUT_TO_EXEC]);
        let Err(errno) = nix::unistd::execve(&path, &args, &env);
        Err(format!("exec {}: {}", program.display(), words(&errno.into())))
    }

    fn install_filter(&self) -> io::Result<()> {
        self.filter.as_ref().map_or(Ok(()), |filter| process::install_filter(filter))
    }

    fn change_directory(&self) -> Result<(), String> {
        let failed = |e: io::Error| {
            format!(
                "chdir to cwd ({:?}) set in config.json failed: {}",
                self.cwd.display().to_string(),
                words(&e)
            )
        };
        std::env::set_current_dir(&self.cwd).map_err(failed)?;
        // A directory outside of the root (through a leaked descriptor) shows as unreachable.
        match std::env::current_dir() {
            Ok(dir) if dir.is_absolute() => Ok(()),
            Ok(_) => Err("current working directory is outside of container mount namespace root".to_owned()),
            Err(e) => Err(failed(e)),
        }
    }

    /// As Docker does it: a name with a slash is taken as it is, another is looked up in the PATH that the program gets.
    fn find(&self) -> Result<PathBuf, String> {
        let name = self.args.first().filter(|name| !name.is_empty()).ok_or("no command specified")?;
        if name.contains('/') {
            return match executable(Path::new(name)) {
                Ok(()) => Ok(PathBuf::from(name)),
                Err(Refused::Missing) => {
                    Err(format!("exec: {name:?}: stat {name}: no such file or directory"))
                }
                Err(Refused::Directory) => Err(format!("exec: {name:?}: is a directory")),
                Err(Refused::Permission) => Err(format!("exec: {name:?}: permission denied")),
                Err(Refused::Other(e)) => Err(format!("exec: {name:?}: {}", words(&e))),
            };
        }
        let path = self.env.iter().rev().find_map(|v| v.strip_prefix("PATH=")).unwrap_or_default();
        let mut refused = false;
        for dir in path.split(':') {
            let candidate = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
            match executable(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(Refused::Permission) => refused = true,
                Err(_) => {}
            }
        }
        if refused {
            return Err(format!("exec: {name:?}: permission denied"));
        }
        Err(format!("exec: {name:?}: executable file not found in $PATH"))
    }

    /// There is nobody else to tell when this fails.
    fn report(&self, bytes: &[u8]) {
        // JUSTIFICATION: the descriptor was opened for exactly this by the process that this one is a copy of.
        #[allow(unsafe_code)]
        // SAFETY: it stays open until exec closes it.
        let pipe = unsafe { BorrowedFd::borrow_raw(self.report) };
        let _ = nix::unistd::write(pipe, bytes);
    }
}

enum Refused {
    Missing,
    Directory,
    Permission,
    Other(io::Error),
}

/// Asks as the user that will run it.
fn executable(path: &Path) -> Result<(), Refused> {
    use rustix::fs::{Access, AtFlags, CWD};
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(e) => {
            return Err(match e.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Refused::Missing,
                io::ErrorKind::PermissionDenied => Refused::Permission,
                _ => Refused::Other(e),
            });
        }
    };
    if metadata.is_dir() {
        return Err(Refused::Directory);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).map_err(|_| Refused::Permission)
}

/// The system's words without Rust's "(os error N)", in lower case as users of containers know them.
pub(super) fn words(e: &io::Error) -> String {
    let text = e.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => text.to_owned(),
    }
}

impl Executor for Program {
    fn exec(&self, _: &Spec) -> Result<(), ExecutorError> {
        let Err(reason) = self.run();
        self.report(reason.as_bytes());
        Err(ExecutorError::Other(reason))
    }

    fn validate(&self, _: &Spec) -> Result<(), ExecutorValidationError> {
        // From here on this process waits to be started; should the shim die first, so does it. It may be dead already.
        process::die_with_parent().map_err(|e| ExecutorValidationError::ArgValidationError(e.to_string()))?;
        if process::has_hung_up(self.alive) {
            return Err(ExecutorValidationError::ArgValidationError("the shim is gone".to_owned()));
        }
        Ok(())
    }

    fn setup_envs(&self, _: HashMap<String, String>) -> Result<(), ExecutorSetEnvsError> {
        // The environment is passed to exec as it was given.
        Ok(())
    }
}
