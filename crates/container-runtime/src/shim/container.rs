//! One container within the shim: from its directory and mounts to its end.

use super::capture::Capture;
use super::clients::Asker;
use super::executor::{ABOUT_TO_EXEC, Program};
use super::files::Places;
use super::helper::{self, Helper, Kind, Order, Streams};
use super::{cgroups, files, overlay, prepare, volumes};
use crate::cgroup;
use crate::cgroup::devices::Allowed;
use crate::config::{ContainerConfig, valid_name};
use crate::error::FailureKind;
use crate::output::writer::OutputWriter;
use crate::protocol::Refusal;
use crate::spec::oci::{self, Surroundings};
use crate::spec::{rlimits, users};
use crate::status::{ContainerState, ContainerStatus, Exit, now};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// libcontainer needs milliseconds; this long is a kernel in trouble.
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);
/// For copying what the image has into volumes, beyond that. An agent waits three minutes for a start.
const FILL_TIMEOUT: Duration = Duration::from_secs(100);
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

fn cannot(what: &'static str) -> impl Fn(io::Error) -> Refusal {
    move |e| refuse(FailureKind::CannotCreate, format!("{what}: {e}"))
}

impl Container {
    /// Makes everything but the process, and starts making that. On an error nothing is left.
    pub(super) fn create(
        places: &Places,
        config: ContainerConfig,
        around: &Surroundings,
        keep: &[RawFd],
        asker: Asker,
    ) -> Result<Container, Refusal> {
        if !valid_name(&config.name, 255) {
            return Err(refuse(FailureKind::Invalid, format!("container name {:?}", config.name)));
        }
        let (dir, bundle) = (places.lasting(&config.name), places.bundle(&config.name));
        if dir.exists() {
            return Err(refuse(
                FailureKind::AlreadyExists,
                format!("container {} already exists", config.name),
            ));
        }
        let name = config.name.clone();
        Container::prepare(places, &dir, &bundle, config, around, keep, asker).inspect_err(|_| {
            overlay::unmount(&bundle.join("rootfs"));
            cgroups::unmount(&bundle.join(oci::CGROUPS));
            let _ = cgroup::kill_and_remove(&cgroup::container_path_in(&around.cgroup, &name));
            // What is left is in nobody's way: the task's directory goes as a whole.
            let _ = fs::remove_dir_all(&bundle);
            let _ = fs::remove_dir_all(&dir);
        })
    }

    fn prepare(
        places: &Places,
        dir: &Path,
        bundle: &Path,
        config: ContainerConfig,
        around: &Surroundings,
        keep: &[RawFd],
        asker: Asker,
    ) -> Result<Container, Refusal> {
        if config.args.is_empty() {
            return Err(refuse(FailureKind::CannotCreate, "no command specified"));
        }
        for path in [bundle, dir] {
            fs::create_dir(path).map_err(cannot("making the container's directory"))?;
        }
        let rootfs = bundle.join("rootfs");
        let layers = [config.lower_dirs.clone(), places.mount_points().into_iter().collect()].concat();
        overlay::mount(&rootfs, dir, &layers).map_err(cannot("mounting the root file system"))?;
        if !config.cwd.as_os_str().is_empty() {
            overlay::make_directory(&rootfs, &config.cwd).map_err(cannot("making the working directory"))?;
        }
        for (name, text) in [
            ("hosts", &config.etc.hosts),
            ("resolv.conf", &config.etc.resolv_conf),
            ("hostname", &config.etc.hostname),
        ] {
            if let Some(text) = text {
                prepare::write_world_readable(&bundle.join(name), text)
                    .map_err(cannot("writing the generated files"))?;
            }
        }
        let (report, reporter) = helper::pipe().map_err(cannot("making a pipe"))?;
        let (program, mut warnings) = prepare::program(&config, &rootfs, around, reporter.as_raw_fd())?;
        let (limits, clamped) = rlimits::settle(&config.rlimits, around.own_capabilities)
            .map_err(|message| refuse(FailureKind::Invalid, message))?;
        warnings.extend(clamped);
        let mut around = around.clone();
        around.cgroup = cgroup::container_path_in(&around.cgroup, &config.name);
        cgroups::mount(&bundle.join(oci::CGROUPS), &around.cgroup).map_err(cannot("showing the cgroup"))?;
        let allowed_devices =
            oci::allowed_devices(&config).map_err(|message| refuse(FailureKind::Invalid, message))?;
        let specification = oci::specification(&config, &around, bundle, &limits)
            .map_err(|message| refuse(FailureKind::Invalid, message))?;
        let bytes =
            serde_json::to_vec(&specification).map_err(|e| refuse(FailureKind::Internal, e.to_string()))?;
        fs::write(bundle.join("config.json"), bytes).map_err(cannot("writing the bundle"))?;
        let writer = OutputWriter::create(&dir.join("output"), config.output.clone())
            .map_err(cannot("making the output directory"))?;

        let mut streams = Streams::default();
        let mut readers = (None, None);
        if !config.tty {
            let (stdout, out) = helper::pipe().map_err(cannot("making a pipe"))?;
            let (stderr, err) = helper::pipe().map_err(cannot("making a pipe"))?;
            streams.stdout = Some(out);
            streams.stderr = Some(err);
            readers = (Some(File::from(stdout)), Some(File::from(stderr)));
        }
        let mut stdin = None;
        if config.open_stdin && !config.tty {
            let (reader, writer) = helper::pipe().map_err(cannot("making a pipe"))?;
            streams.stdin = Some(reader);
            stdin = Some(writer);
        }
        for file in [&readers.0, &readers.1].into_iter().flatten() {
            helper::nonblocking(file).map_err(cannot("making a pipe"))?;
        }
        let report = File::from(report);
        helper::nonblocking(&report).map_err(cannot("making a pipe"))?;
        let console_path = bundle.join("console.sock");
        let console = if config.tty {
            Some(prepare::listen(&console_path).map_err(cannot("making a terminal"))?)
        } else {
            None
        };
        let fills = volumes::fills(&rootfs, &config.mounts);
        let timeout = if fills.is_empty() { CREATE_TIMEOUT } else { CREATE_TIMEOUT + FILL_TIMEOUT };
        let order = Order {
            state_root: places.state(),
            name: config.name.clone(),
            program: program.clone(),
            streams,
            keep: keep.to_vec(),
            console: console.is_some().then_some(console_path),
            fills,
            kind: Kind::Init { bundle: bundle.to_owned() },
        };
        let helper = Helper::start(order).map_err(cannot("starting the set-up"))?;
        drop(reporter);
        let status = ContainerStatus {
            name: config.name.clone(),
            state: ContainerState::Created,
            pid: None,
            pid_start_ticks: None,
            created_at: now(),
            started_at: None,
            exited_at: None,
            exit: None,
            error: None,
            warnings,
            oom_kills: 0,
        };
        Ok(Container {
            dir: dir.to_owned(),
            bundle: bundle.to_owned(),
            cgroup: around.cgroup,
            status,
            phase: Phase::Creating,
            helper: Some(helper),
            capture: Capture::new(writer, readers.0, readers.1),
            report: Some(report),
            report_text: Vec::new(),
            asker: Some(asker),
            removers: Vec::new(),
            deadline: Some(Instant::now() + timeout),
            end: None,
            program,
            console,
            allowed_devices,
            _stdin: stdin,
            unsaved: false,
            config,
        })
    }

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
