//! Further processes in running containers: health checks and the like, whose output is kept for the answer, and those that a client talks
//! to ([`super::attachment`]).

use super::attachment::{self, Attachment};
use super::clients::Asker;
use super::container::{Container, Further, Phase};
use super::executor::ABOUT_TO_EXEC;
use super::files::Places;
use super::helper::{self, Helper, Kind, Order, Streams};
use crate::config::{AttachConfig, ExecConfig};
use crate::error::FailureKind;
use crate::protocol::{Answer, Refusal};
use crate::status::ExecOutcome;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// After the process's end, how long what it started may still hold its output.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(100);
/// For the set-up, when the caller gives no limit for the whole.
const SETUP_TIMEOUT: Duration = Duration::from_secs(60);
/// Between hanging up on a process whose client has gone, and killing it: for a shell to write its history.
const HANG_UP_GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Execution {
    pub(super) asker: Asker,
    pub(super) helper: Option<Helper>,
    pub(super) pid: Option<Pid>,
    began: Instant,
    deadline: Option<Instant>,
    /// The caller gave a time limit for the whole.
    limited: bool,
    timed_out: bool,
    report: File,
    report_text: Vec<u8>,
    pipe: Option<File>,
    output: Vec<u8>,
    limit: usize,
    truncated: bool,
    end: Option<WaitStatus>,
    failure: Option<String>,
    attachment: Option<Attachment>,
}

fn internal(e: std::io::Error) -> Refusal {
    Refusal::new(FailureKind::Internal, format!("starting a process: {e}"))
}

fn check(container: &Container, args: &[String]) -> Result<(), Refusal> {
    if container.phase != Phase::Running {
        let message = format!("container {} is not running", container.status.name);
        return Err(Refusal::new(FailureKind::WrongState, message));
    }
    match args.is_empty() {
        true => Err(Refusal::new(FailureKind::Invalid, "no command specified")),
        false => Ok(()),
    }
}

impl Execution {
    pub(super) fn start(
        places: &Places,
        container: &Container,
        exec: &ExecConfig,
        keep: &[RawFd],
        asker: Asker,
    ) -> Result<Execution, Refusal> {
        check(container, &exec.args)?;
        let (report, reporter) = helper::pipe().map_err(internal)?;
        let (pipe, writer) = helper::pipe().map_err(internal)?;
        let further =
            Further { args: &exec.args, env: &exec.env, user: exec.user.as_ref(), cwd: exec.cwd.as_ref() };
        let program = container
            .further_program(&further, reporter.as_raw_fd())
            .map_err(|message| Refusal::new(FailureKind::Invalid, message))?;
        let (report, pipe) = (File::from(report), File::from(pipe));
        for file in [&report, &pipe] {
            helper::nonblocking(file).map_err(internal)?;
        }
        // Both streams in one pipe: they keep their order.
        let streams = Streams {
            stdin: None,
            stderr: Some(writer.try_clone().map_err(internal)?),
            stdout: Some(writer),
        };
        let helper = Helper::start(Order {
            state_root: places.state(),
            name: container.status.name.clone(),
            program,
            streams,
            keep: keep.to_vec(),
            console: None,
            fills: Vec::new(),
            kind: Kind::Tenant { process: None },
        })
        .map_err(internal)?;
        drop(reporter);
        let began = Instant::now();
        let limit = exec.timeout_ms.map(Duration::from_millis);
        Ok(Execution {
            asker,
            helper: Some(helper),
            pid: None,
            began,
            deadline: Some(began + limit.unwrap_or(SETUP_TIMEOUT)),
            limited: limit.is_some(),
            timed_out: false,
            report,
            report_text: Vec::new(),
            pipe: Some(pipe),
            output: Vec::new(),
            limit: exec.output_limit_bytes,
            truncated: false,
            end: None,
            failure: None,
            attachment: None,
        })
    }

    /// One that a client talks to. `number` is the execution's own.
    pub(super) fn attach(
        places: &Places,
        container: &Container,
        config: &AttachConfig,
        keep: &[RawFd],
        asker: Asker,
        number: u64,
    ) -> Result<Execution, Refusal> {
        check(container, &config.args)?;
        let (report, reporter) = helper::pipe().map_err(internal)?;
        let further = Further {
            args: &config.args,
            env: &config.env,
            user: config.user.as_ref(),
            cwd: config.cwd.as_ref(),
        };
        let mut program = container
            .further_program(&further, reporter.as_raw_fd())
            .map_err(|message| Refusal::new(FailureKind::Invalid, message))?;
        program.terminal = config.terminal;
        let report = File::from(report);
        helper::nonblocking(&report).map_err(internal)?;
        let (attachment, streams) = Attachment::prepare(container, config, number).map_err(internal)?;
        let helper = Helper::start(Order {
            state_root: places.state(),
            name: container.status.name.clone(),
            program,
            streams,
            keep: keep.to_vec(),
            console: attachment.console(),
            fills: Vec::new(),
            kind: Kind::Tenant { process: Some(attachment.process_file()) },
        })
        .map_err(internal)?;
        drop(reporter);
        let began = Instant::now();
        Ok(Execution {
            asker,
            helper: Some(helper),
            pid: None,
            began,
            deadline: Some(began + SETUP_TIMEOUT),
            limited: false,
            timed_out: false,
            report,
            report_text: Vec::new(),
            pipe: None,
            output: Vec::new(),
            limit: 0,
            truncated: false,
            end: None,
            failure: None,
            attachment: Some(attachment),
        })
    }

    /// Whether a client talks to it, so that it ends with that client's connection.
    pub(super) fn is_attached(&self) -> bool {
        self.attachment.is_some()
    }

    /// Its client has gone.
    pub(super) fn leave(&mut self) {
        let Some(attachment) = self.attachment.as_mut().filter(|attachment| !attachment.left) else { return };
        attachment.left = true;
        match self.pid {
            Some(pid) => {
                attachment::hang_up(pid);
                self.deadline = Some(Instant::now() + HANG_UP_GRACE);
            }
            // Nobody would get the streams: it ends before it begins.
            None => self.deadline = Some(Instant::now()),
        }
    }

    pub(super) fn signal(&self, signal: i32) -> std::io::Result<()> {
        match self.pid.filter(|_| self.end.is_none()) {
            // The whole group, as a terminal does it.
            Some(pid) => super::process::send_signal(Pid::from_raw(-pid.as_raw()), signal),
            None => Ok(()),
        }
    }

    pub(super) fn wanted(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// The set-up has ended. Answers what is to be handed to the client.
    pub(super) fn created(&mut self) -> Option<Vec<OwnedFd>> {
        let helper = self.helper.take()?;
        if !self.limited {
            self.deadline = None;
        }
        match helper.finish() {
            Ok(pid) => self.pid = Some(pid),
            Err(message) => {
                // The report says it better, when there is one.
                self.failure = Some(message);
                self.pipe = None;
                return None;
            }
        }
        match self.attachment.as_mut()?.take_ends() {
            Ok(ends) => Some(ends),
            Err(e) => {
                self.kill();
                self.failure = Some(format!("receiving the terminal: {e}"));
                None
            }
        }
    }

    pub(super) fn read(&mut self, buffer: &mut Vec<u8>) {
        let Some(pipe) = &mut self.pipe else { return };
        buffer.resize(64 << 10, 0);
        match pipe.read(buffer) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                let room = self.limit.saturating_sub(self.output.len()).min(count);
                self.output.extend_from_slice(&buffer[..room]);
                self.truncated |= room < count;
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.pipe = None,
        }
    }

    pub(super) fn ended(&mut self, end: WaitStatus) {
        self.end = Some(end);
        self.deadline = Some(Instant::now() + DRAIN_TIMEOUT);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The answer, when there is one. Kills what has run out of time.
    pub(super) fn finish(&mut self, now: Instant) -> Option<Result<Answer, Refusal>> {
        let due = self.deadline.is_some_and(|deadline| deadline <= now);
        if self.failure.is_some() {
            return Some(self.failed());
        }
        if self.end.is_some() {
            if let (Some(pid), true) = (self.pid, self.attachment.as_ref().is_some_and(|a| a.left)) {
                attachment::kill(pid);
            }
            return (self.pipe.is_none() || due).then(|| Ok(self.outcome()));
        }
        if due {
            self.timed_out = true;
            self.kill();
        }
        None
    }

    /// Kills the process with its session's first group, which holds what it started unless that left on purpose.
    pub(super) fn kill(&mut self) {
        // Asked again in a while, should the set-up still be under way or the end not come.
        self.deadline = Some(Instant::now() + DRAIN_TIMEOUT);
        if let Some(helper) = &self.helper {
            let _ = kill(helper.pid, Signal::SIGKILL);
        }
        if let Some(pid) = self.pid {
            let _ = kill(Pid::from_raw(-pid.as_raw()), Signal::SIGKILL);
            let _ = kill(pid, Signal::SIGKILL);
            if self.attachment.is_some() {
                attachment::kill(pid);
            }
        }
    }

    fn read_report(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = self.report.read(&mut buffer) {
            self.report_text.extend_from_slice(&buffer[..count]);
        }
    }

    fn failed(&mut self) -> Result<Answer, Refusal> {
        self.read_report();
        if self.timed_out || !self.report_text.is_empty() {
            return Ok(self.outcome());
        }
        let message = self.failure.take().unwrap_or_default();
        Err(Refusal::new(FailureKind::CannotStart, message))
    }

    fn outcome(&mut self) -> Answer {
        self.read_report();
        let (mut exit_code, signal) = match self.end {
            Some(WaitStatus::Exited(_, code)) => (code, None),
            Some(WaitStatus::Signaled(_, signal, _)) => (128 + signal as i32, Some(signal as i32)),
            _ => (128 + libc::SIGKILL, Some(libc::SIGKILL)),
        };
        let text = String::from_utf8_lossy(&self.report_text);
        let text = text.trim_start_matches(char::from(ABOUT_TO_EXEC));
        if !text.is_empty() {
            // As shells say it: 127 is not found, 126 is found but not executable.
            exit_code = if text.contains("not found") || text.contains("no such file") { 127 } else { 126 };
            self.output.extend_from_slice(text.as_bytes());
        }
        Answer::Exec(Box::new(ExecOutcome {
            exit_code,
            signal,
            timed_out: self.timed_out,
            output: String::from_utf8_lossy(&self.output).into_owned(),
            truncated: self.truncated,
            duration_ms: self.began.elapsed().as_millis() as u64,
        }))
    }
}
