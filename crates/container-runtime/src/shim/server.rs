//! The loop: waits for clients, output, reports and the ends of processes, and does what each asks for.

mod children;

use super::clients::{Asker, Clients};
use super::container::{Container, Phase};
use super::execution::Execution;
use super::requests;
use super::task::Task;
use crate::cgroup;
use crate::error::FailureKind;
use crate::output::record::LogStream;
use crate::protocol::{Answer, Message, Op, Refusal, Request};
use crate::status::Statuses;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// When the disk would not take a status, the next attempt.
const SAVE_RETRY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Shim {
    cgroup_root: String,
    signals: SignalFd,
    clients: Clients,
    task: Option<Task>,
    buffer: Vec<u8>,
    finished: bool,
}

/// What a descriptor that became ready means.
#[derive(Debug)]
enum Ready {
    Children,
    NewClient,
    Client { number: u64, readable: bool, writable: bool },
    Report(String),
    Output(String, LogStream),
    Execution(u64),
}

impl Shim {
    pub(super) fn new(cgroup_root: String, first_client: OwnedFd) -> io::Result<Shim> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let mut clients = Clients::default();
        clients.add(UnixStream::from(first_client));
        Ok(Shim { cgroup_root, signals, clients, task: None, buffer: Vec::new(), finished: false })
    }

    pub(super) fn serve(mut self) -> ExitCode {
        while !self.finished {
            if self.task.is_none() && self.clients.is_empty() {
                return ExitCode::SUCCESS;
            }
            match self.wait() {
                Ok(ready) => ready.into_iter().for_each(|ready| self.handle(ready)),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Out of memory, at worst: try again rather than abandon the containers.
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
            self.tick();
        }
        self.clients.send_off();
        ExitCode::SUCCESS
    }

    /// Waits for something to do, until the next deadline at most.
    fn wait(&self) -> io::Result<Vec<Ready>> {
        let mut meanings = Vec::new();
        let mut descriptors = Vec::new();
        let read = PollFlags::IN;
        // Reports before children: that a program ran is to be known before that it ended.
        if let Some(task) = &self.task {
            for (name, container) in &task.containers {
                if let Some(report) = container.report.as_ref().filter(|_| container.phase == Phase::Starting)
                {
                    meanings.push(Ready::Report(name.clone()));
                    descriptors.push(PollFd::new(report, read));
                }
                for (stream, pipe) in container.capture.wanted(container.phase == Phase::Draining) {
                    meanings.push(Ready::Output(name.clone(), stream));
                    descriptors.push(PollFd::from_borrowed_fd(pipe, read));
                }
            }
            for (number, execution) in &task.executions {
                if let Some(pipe) = execution.wanted() {
                    meanings.push(Ready::Execution(*number));
                    descriptors.push(PollFd::from_borrowed_fd(pipe, read));
                }
            }
            meanings.push(Ready::NewClient);
            descriptors.push(PollFd::new(&task.listener, read));
        }
        meanings.push(Ready::Children);
        descriptors.push(PollFd::from_borrowed_fd(self.signals.as_fd(), read));
        for (number, stream, has_more) in self.clients.wanted() {
            meanings.push(Ready::Client { number, readable: false, writable: false });
            let flags = if has_more { read | PollFlags::OUT } else { read };
            descriptors.push(PollFd::from_borrowed_fd(stream, flags));
        }
        let timeout = self.next_deadline().map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        poll(&mut descriptors, timeout.as_ref())?;
        let events: Vec<PollFlags> = descriptors.iter().map(PollFd::revents).collect();
        drop(descriptors);
        let ready = meanings.into_iter().zip(events).filter(|(_, events)| !events.is_empty());
        Ok(ready
            .map(|(meaning, events)| match meaning {
                Ready::Client { number, .. } => Ready::Client {
                    number,
                    readable: events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR),
                    writable: events.contains(PollFlags::OUT),
                },
                other => other,
            })
            .collect())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let task = self.task.as_ref()?;
        let containers = task
            .containers
            .values()
            .flat_map(|c| [c.next_deadline(), c.unsaved.then(|| Instant::now() + SAVE_RETRY)]);
        let executions = task.executions.values().map(Execution::next_deadline);
        containers.chain(executions).flatten().min()
    }

    fn handle(&mut self, ready: Ready) {
        match ready {
            Ready::Children => self.reap(),
            Ready::NewClient => {
                if let Some(Ok((stream, _))) = self.task.as_ref().map(|task| task.listener.accept()) {
                    self.clients.add(stream);
                }
            }
            Ready::Client { number, readable, writable } => {
                if writable {
                    self.clients.push(number);
                }
                if readable {
                    for Request { id, op } in self.clients.receive(number, &mut self.buffer) {
                        self.request(Asker { client: number, request: id }, op);
                    }
                }
            }
            Ready::Report(name) => self.reported(&name),
            Ready::Output(name, stream) => {
                let container = self.task.as_mut().and_then(|task| task.containers.get_mut(&name));
                if container.is_some_and(|c| c.capture.read(stream, &mut self.buffer)) {
                    self.clients.broadcast(&Message::Output { name });
                }
            }
            Ready::Execution(number) => {
                if let Some(execution) = self.task.as_mut().and_then(|task| task.executions.get_mut(&number))
                {
                    execution.read(&mut self.buffer);
                }
            }
        }
    }

    fn request(&mut self, asker: Asker, op: Op) {
        let result = match op {
            Op::Assign(sandbox) if self.task.is_none() => match Task::assign(*sandbox) {
                Ok(task) => {
                    self.task = Some(task);
                    Ok(Some(Answer::Done))
                }
                Err(refusal) => {
                    // Half made: of no use to another task.
                    self.finished = true;
                    Err(refusal)
                }
            },
            Op::Assign(_) => Err(Refusal::new(FailureKind::WrongState, "this shim has a task")),
            Op::Nudge => {
                nudge(&self.cgroup_root);
                Ok(None)
            }
            Op::Hello => Ok(Some(Answer::Hello { statuses: self.statuses() })),
            Op::Shutdown if self.task.is_none() => {
                self.finished = true;
                Ok(Some(Answer::Done))
            }
            op => match &mut self.task {
                Some(task) => requests::answer(task, asker, op),
                None => Err(Refusal::new(FailureKind::WrongState, "this shim has no task")),
            },
        };
        match result {
            Ok(Some(answer)) => self.answer(asker, Ok(answer)),
            Ok(None) => {}
            Err(refusal) => self.answer(asker, Err(refusal)),
        }
    }

    fn statuses(&self) -> Statuses {
        let containers = self.task.iter().flat_map(|task| &task.containers);
        containers
            .filter(|(_, c)| c.phase != Phase::Creating)
            .map(|(name, c)| (name.clone(), c.status.clone()))
            .collect()
    }

    fn answer(&mut self, asker: Asker, result: Result<Answer, Refusal>) {
        self.clients.send(asker.client, &Message::Answer { id: asker.request, result });
    }

    /// A container's last steps are over.
    fn reported(&mut self, name: &str) {
        let Some(container) = self.task.as_mut().and_then(|task| task.containers.get_mut(name)) else {
            return;
        };
        // A failure is answered once the process has ended.
        if container.read_report() == Some(true) {
            self.publish(name);
        }
    }

    /// Saves and sends a container's status, and answers who waits for it.
    fn publish(&mut self, name: &str) {
        let Some(container) = self.task.as_mut().and_then(|task| task.containers.get_mut(name)) else {
            return;
        };
        container.save();
        let status = Box::new(container.status.clone());
        let asker = container.asker.take();
        let failed = container.phase == Phase::Ended && container.status.started_at.is_none();
        self.clients.broadcast(&Message::Status(status.clone()));
        if let Some(asker) = asker {
            let result = if failed {
                Err(Refusal::new(FailureKind::CannotStart, status.error.clone().unwrap_or_default()))
            } else {
                Ok(Answer::Status(status))
            };
            self.answer(asker, result);
        }
    }

    /// What time brings: pieces of lines, ends of containers and executions, removals, the end of the task.
    fn tick(&mut self) {
        let now = Instant::now();
        let Some(task) = &mut self.task else { return };
        let (mut written, mut finished) = (Vec::new(), Vec::new());
        for (name, container) in &mut task.containers {
            if container.capture.tick(now) {
                written.push(name.clone());
            }
            if container.finish(now) {
                finished.push(name.clone());
            }
            if container.unsaved {
                container.save();
            }
            if container.is_overdue(now)
                && let Some(helper) = &container.helper
            {
                let _ = kill(helper.pid, Signal::SIGKILL);
                cgroup::kill_once(&container.cgroup);
            }
        }
        let mut answers = Vec::new();
        for execution in task.executions.values_mut() {
            if execution.is_attached() && !self.clients.has(execution.asker.client) {
                execution.leave();
            }
        }
        task.executions.retain(|_, execution| match execution.finish(now) {
            Some(result) => {
                answers.push((execution.asker, result));
                false
            }
            None => true,
        });
        for name in written {
            self.clients.broadcast(&Message::Output { name });
        }
        for name in finished {
            self.clients.broadcast(&Message::Output { name: name.clone() });
            self.publish(&name);
        }
        for (asker, result) in answers {
            self.answer(asker, result);
        }
        self.remove_ended();
        self.end_if_done();
    }

    /// Containers that somebody waits to have removed.
    fn remove_ended(&mut self) {
        let Some(task) = &mut self.task else { return };
        let due = |c: &Container| c.phase == Phase::Ended && !c.removers.is_empty();
        let names: Vec<String> =
            task.containers.iter().filter(|(_, c)| due(c)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(container) = self.task.as_mut().and_then(|task| requests::remove(task, &name)) else {
                continue;
            };
            let (container, result) = container;
            self.clients.broadcast(&Message::Removed { name });
            for asker in container.removers {
                let result = result.as_ref().map(|()| Answer::Done).map_err(Clone::clone);
                self.answer(asker, result);
            }
        }
    }

    fn end_if_done(&mut self) {
        let Some(task) = self.task.as_ref().filter(|task| !task.shutting_down.is_empty() && task.all_ended())
        else {
            return;
        };
        let result = task.dissolve();
        let askers = task.shutting_down.clone();
        for asker in askers {
            let result = match &result {
                Ok(()) => Ok(Answer::Done),
                Err(e) => Err(Refusal::new(FailureKind::Internal, format!("cleaning up: {e}"))),
            };
            self.answer(asker, result);
        }
        self.finished = true;
    }
}

/// In the background: it blocks. Failing costs time later, nothing else.
fn nudge(cgroup_root: &str) {
    let path = cgroup_root.to_owned();
    let _ = super::process::fork_into(move || {
        super::process::close_all_but(&[]);
        cgroup::keep_migrations_fast(&path);
        0
    });
}
