//! One container within the shim: from its directory and mounts to its end.

mod create;

use super::capture::Capture;
use super::clients::Asker;
use super::executor::{ABOUT_TO_EXEC, Program};
use super::files::Places;
use super::helper::{self, Helper};
use super::{cgroups, files, overlay, prepare};
use crate::cgroup;
use crate::cgroup::devices::Allowed;
use crate::config::ContainerConfig;
use crate::error::FailureKind;
use crate::protocol::Refusal;
use crate::spec::{oci, users};
use crate::status::{ContainerState, ContainerStatus, Exit, now};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// After the end of the first process, how long something else may still hold its output pipes.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Where in its life, finer than what clients see.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Creating,
    Created,
    Starting,
    Running,
    /// The first process has ended; output may still come.
    Draining,
    Ended,
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) config: ContainerConfig,
    pub(super) dir: PathBuf,
    pub(super) bundle: PathBuf,
    pub(super) cgroup: String,
    pub(super) status: ContainerStatus,
    pub(super) phase: Phase,
    pub(super) helper: Option<Helper>,
    pub(super) capture: Capture,
    /// Closed by exec: see [`super::executor`].
    pub(super) report: Option<File>,
    report_text: Vec<u8>,
    /// Who waits for the creation or the start.
    pub(super) asker: Option<Asker>,
    /// Who waits for the removal, once it has ended.
    pub(super) removers: Vec<Asker>,
    deadline: Option<Instant>,
    end: Option<WaitStatus>,
    program: Program,
    /// Where the terminal comes in.
    console: Option<UnixListener>,
    /// For cgroup v2; `None` leaves everything open.
    allowed_devices: Option<Vec<Allowed>>,
    /// Keeps the program's standard input open.
    _stdin: Option<OwnedFd>,
    /// The status on disk is not the present one.
    pub(super) unsaved: bool,
}

/// What a further process has of its own.
#[derive(Debug)]
pub(super) struct Further<'a> {
    pub(super) args: &'a [String],
    pub(super) env: &'a [String],
    pub(super) user: Option<&'a String>,
    pub(super) cwd: Option<&'a PathBuf>,
}

fn refuse(kind: FailureKind, message: impl Into<String>) -> Refusal {
    Refusal::new(kind, message)
}

impl Container {
    /// The set-up has ended.
    pub(super) fn created(&mut self) -> Result<Pid, String> {
        self.deadline = None;
        let helper = self.helper.take().ok_or("no set-up in progress")?;
        let pid = helper.finish()?;
        self.status.pid = Some(pid.as_raw());
        self.status.pid_start_ticks = start_ticks(pid);
        self.phase = Phase::Created;
        self.restrict_devices().map_err(|e| format!("restricting devices: {e}"))?;
        if let Some(console) = self.console.take() {
            self.capture.use_terminal(
                prepare::receive_terminal(&console).map_err(|e| format!("receiving the terminal: {e}"))?,
            );
        }
        Ok(pid)
    }

    /// What libcontainer leaves open: everything under v2, tunnels under v1.
    fn restrict_devices(&self) -> io::Result<()> {
        let Some(rules) = &self.allowed_devices else { return Ok(()) };
        let hierarchies = cgroup::Hierarchies::get();
        let Some(dir) = hierarchies.dir("devices", &self.cgroup) else { return Ok(()) };
        if hierarchies.unified {
            return cgroup::devices::restrict(&dir, rules);
        }
        let tunnels = self.config.devices.iter().any(|device| device.host_path == Path::new("/dev/net/tun"));
        if tunnels { Ok(()) } else { fs::write(dir.join("devices.deny"), "c 10:200 rwm") }
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        self.status.pid.map(Pid::from_raw)
    }

    pub(super) fn begin(&mut self, places: &Places, asker: Asker) -> Result<(), Refusal> {
        if self.phase != Phase::Created {
            let message = format!("container {} is not waiting to be started", self.status.name);
            return Err(refuse(FailureKind::WrongState, message));
        }
        helper::start_container(&places.state(), &self.status.name)
            .map_err(|message| refuse(FailureKind::CannotStart, message))?;
        self.asker = Some(asker);
        self.phase = Phase::Starting;
        Ok(())
    }

    /// Reads what the last steps reported. `Some` when they are over: whether the program runs.
    pub(super) fn read_report(&mut self) -> Option<bool> {
        let report = self.report.as_mut()?;
        let mut buffer = [0; 4096];
        loop {
            match report.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => self.report_text.extend_from_slice(&buffer[..count]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        self.report = None;
        let runs = self.report_text == [ABOUT_TO_EXEC];
        if runs && self.phase == Phase::Starting {
            self.phase = Phase::Running;
            self.status.state = ContainerState::Running;
            self.status.started_at = Some(now());
        }
        Some(runs)
    }

    /// The first process has ended. Its report is complete by then.
    pub(super) fn ended(&mut self, end: WaitStatus) {
        self.read_report();
        self.end = Some(end);
        self.phase = Phase::Draining;
        self.deadline = Some(Instant::now() + DRAIN_TIMEOUT);
    }

    /// Ends a draining container when its output is complete or has taken too long. True when it did.
    pub(super) fn finish(&mut self, now_is: Instant) -> bool {
        let overdue = self.deadline.is_some_and(|deadline| deadline <= now_is);
        if self.phase != Phase::Draining || !(self.capture.is_closed() || overdue) {
            return false;
        }
        self.deadline = None;
        self.phase = Phase::Ended;
        self.capture.finish();
        self.status.oom_kills = cgroup::oom_kills(&self.cgroup);
        self.status.state = ContainerState::Exited;
        self.status.exited_at = Some(now());
        if self.status.started_at.is_some() {
            self.status.exit = self.end.map(|end| exit(end, self.status.oom_kills));
        } else {
            let text = String::from_utf8_lossy(&self.report_text);
            let text = text.trim_start_matches(char::from(ABOUT_TO_EXEC)).trim();
            self.status.error = Some(if text.is_empty() {
                died_early(self.end, self.status.oom_kills)
            } else {
                text.to_owned()
            });
        }
        true
    }

    /// True when the set-up has taken too long and must be given up.
    pub(super) fn is_overdue(&self, now_is: Instant) -> bool {
        self.phase == Phase::Creating && self.deadline.is_some_and(|deadline| deadline <= now_is)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        [self.deadline, self.capture.deadline()].into_iter().flatten().min()
    }

    /// Another program as the container's own would run, but for what is said of it.
    pub(super) fn further_program(&self, further: &Further<'_>, report: RawFd) -> Result<Program, String> {
        let mut program = Program { under_init: false, ..self.program.clone() };
        program.report = report;
        program.args = further.args.to_vec();
        for variable in further.env {
            prepare::set_variable(&mut program.env, variable);
        }
        if let Some(cwd) = further.cwd {
            program.cwd.clone_from(cwd);
        }
        if let Some(user) = further.user {
            let identity = users::resolve(&self.bundle.join("rootfs"), user, &self.config.additional_gids)?;
            (program.uid, program.gid, program.groups) = (identity.uid, identity.gid, identity.groups);
        }
        Ok(program)
    }

    /// Takes everything of an ended container away but its directory.
    pub(super) fn release(&self, places: &Places) -> io::Result<()> {
        overlay::unmount(&self.bundle.join("rootfs"));
        cgroups::unmount(&self.bundle.join(oci::CGROUPS));
        cgroup::kill_and_remove(&self.cgroup)?;
        for path in [places.state().join(&self.status.name), self.bundle.clone()] {
            match fs::remove_dir_all(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn save(&mut self) {
        self.unsaved = files::write_status(&self.dir, &self.status).is_err();
    }
}

fn exit(end: WaitStatus, oom_kills: u64) -> Exit {
    let (code, signal) = match end {
        WaitStatus::Exited(_, code) => (code, None),
        WaitStatus::Signaled(_, signal, _) => (128 + signal as i32, Some(signal as i32)),
        // The loop asks for no other.
        _ => (255, None),
    };
    // A shell whose last command was killed for want of memory ends with 137 by itself.
    let oom = oom_kills > 0 && code == 128 + libc::SIGKILL;
    Exit { code, signal, oom }
}

fn died_early(end: Option<WaitStatus>, oom_kills: u64) -> String {
    if oom_kills > 0 {
        return "container init was OOM-killed (memory limit too low?)".to_owned();
    }
    match end {
        Some(WaitStatus::Signaled(_, signal, _)) => {
            format!("container init was killed by {signal} before its program began")
        }
        _ => "container init ended before its program began".to_owned(),
    }
}

/// When the process began, in the kernel's ticks since boot: with the id, its identity.
fn start_ticks(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; field 22 counts from the beginning, the state after the name is field 3.
    let after_name = stat.rsplit_once(") ")?.1;
    after_name.split(' ').nth(22 - 3)?.parse().ok()
}
