//! Takes a task up again after a restart of the agent.
//!
//! The journal says what was begun, the sandbox says what came of it. What was under way and can be done twice is done again;
//! a container's start cannot, so the sandbox is asked about each. The last state change is said again: whoever
//! heard it the first time ignores it.

use std::sync::Arc;

use agent_protocol::state::AttachmentStatus;
use container_runtime::{ContainerState, Statuses};
use task_lifecycle::{Event, NetworkFacts, ProcessFacts, SandboxFacts, observe};
use tokio::sync::mpsc;

use super::{Command, Task, check_names, container::run_name, shape, translate::translate};
use crate::{
    journal::TaskJournal,
    node::Node,
    ports::{Adopted, Outputs},
};

/// Why a task that ran is not taken up again: said when its sandbox is nowhere to be found.
const SANDBOX_MISSING: &str = "the task's processes were not found after a restart of the node";

impl Task {
    /// `None` when there is no whole journal: the control plane will be told that the task is gone when it asks.
    pub(crate) async fn recover(
        node: &Arc<Node>,
        journal: TaskJournal,
    ) -> Option<(Task, mpsc::Sender<Command>)> {
        let (spec, mut record) = journal.load()?;
        let shape = check_names(&spec)
            .and_then(|()| Ok(shape::shape(&spec)?))
            .inspect_err(
                |error| tracing::error!(task = spec.task_id, %error, "a journaled task is not valid"),
            )
            .ok()?;
        if record.facts.containers.len() != shape.containers().len() {
            return None;
        }
        record.facts.forget_in_flight();
        let (mut task, commands) = Task::new(node, spec, shape, record, journal);
        if !task.record.facts.is_stopped() {
            task.find_sandbox().await;
        }
        if task.record.facts.network == NetworkFacts::Attached && task.spec.network_interface.is_some() {
            task.outbox.attachment(task.executor.attachment(AttachmentStatus::Attached));
        }
        if let Some(change) = task.record.facts.reported.clone() {
            task.outbox.task(change);
        }
        Some((task, commands))
    }

    async fn find_sandbox(&mut self) {
        let dir = self.journal.sandbox_dir();
        let expected = self.record.facts.sandbox == SandboxFacts::Ready;
        let adopted = match dir.exists() {
            true => self.node.machine.runtime.adopt(&dir).await,
            false if expected => return self.lost(SANDBOX_MISSING),
            false => return,
        };
        match adopted {
            Ok(Adopted::Running(sandbox)) => {
                if self.record.facts.sandbox == SandboxFacts::Absent {
                    self.record.facts.sandbox = SandboxFacts::Ready;
                }
                let statuses = sandbox.statuses();
                self.ship_all(&statuses, sandbox.as_ref());
                self.never_started(&statuses);
                self.executor.hold(sandbox);
            }
            Ok(Adopted::Dead { statuses, outputs }) => {
                self.ship_all(&statuses, outputs.as_ref());
                self.never_started(&statuses);
                self.replay(statuses);
                self.lost_or_never_made(expected);
            }
            Err(error) => {
                tracing::warn!(task = self.id(), %error, "a task's sandbox could not be adopted");
                self.lost_or_never_made(expected);
            }
        }
    }

    /// A sandbox that died while it was being made is made again, in a directory of its own.
    fn lost_or_never_made(&mut self, expected: bool) {
        if expected {
            self.lost(SANDBOX_MISSING);
        } else if let Err(error) = self.journal.remove_sandbox_dir() {
            tracing::warn!(task = self.id(), %error, "a half-made sandbox could not be removed");
        }
    }

    fn ship_all(&mut self, statuses: &Statuses, outputs: &(impl Outputs + ?Sized)) {
        for name in statuses.keys() {
            self.executor.ship(name, outputs);
        }
    }

    /// Containers whose start was begun but is not known to the sandbox, or got no further than being made, or failed
    /// while nobody waited for the answer.
    fn never_started(&mut self, statuses: &Statuses) {
        for container in 0..self.record.facts.containers.len() {
            let state = &self.record.facts.containers[container];
            if state.process != ProcessFacts::Starting {
                continue;
            }
            let (run, name) = (state.run, run_name(&self.spec.containers[container].name, state.run));
            match statuses.get(&name) {
                None => self.observe(Event::NeverStarted { container, run }),
                Some(status) if status.state == ContainerState::Created => {
                    self.observe(Event::NeverStarted { container, run });
                }
                Some(status) if status.is_exited() && status.started_at.is_none() => {
                    let reason = status.error.clone().unwrap_or_else(|| "it did not start".to_owned());
                    let reason = format!("CannotStartContainerError: {reason}");
                    self.observe(Event::StartFailed { container, run, reason });
                }
                // The sandbox's events say the rest.
                Some(_) => {}
            }
        }
    }

    /// What a dead sandbox wrote down about its containers.
    fn replay(&mut self, statuses: Statuses) {
        use container_runtime::Event as Runtime;
        let now = self.node.clock.now();
        for (name, status) in statuses {
            if let (Some(at), Some(pid)) = (status.started_at, status.pid)
                && let Some((event, at)) =
                    translate(&self.spec, Runtime::Started { name: name.clone(), pid, at }, now)
            {
                observe(&self.shape, &mut self.record.facts, event, at);
            }
            let ended = Runtime::Exited { name, status: Box::new(status) };
            if let Some((event, at)) = translate(&self.spec, ended, now) {
                observe(&self.shape, &mut self.record.facts, event, at);
            }
        }
    }

    fn lost(&mut self, reason: &str) {
        self.observe(Event::SandboxLost { reason: reason.to_owned() });
    }

    fn observe(&mut self, event: Event) {
        observe(&self.shape, &mut self.record.facts, event, self.node.clock.now());
    }
}
