//! Ends of child processes: of set-ups, of containers' first processes, of further ones. An end may come before what it is the end of is known.

use super::Shim;
use crate::cgroup;
use crate::error::FailureKind;
use crate::protocol::{Answer, Message, Refusal};
use crate::shim::container::{Container, Phase};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

impl Shim {
    /// Collects every child that has ended.
    pub(super) fn reap(&mut self) {
        while let Ok(Some(_)) = self.signals.read_signal() {}
        loop {
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
            match waitpid(Pid::from_raw(-1), Some(flags)) {
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(end) => {
                    if let Some(pid) = end.pid() {
                        self.child_ended(pid, end);
                    }
                }
            }
        }
    }

    fn child_ended(&mut self, pid: Pid, end: WaitStatus) {
        let Some(task) = &mut self.task else { return };
        if let Some(execution) = task.executions.values_mut().find(|e| e.pid == Some(pid)) {
            return execution.ended(end);
        }
        if let Some(execution) =
            task.executions.values_mut().find(|e| e.helper.as_ref().is_some_and(|h| h.pid == pid))
        {
            let handed = execution.created();
            if let Some(end) = execution.pid.and_then(|pid| task.early_ends.remove(&pid)) {
                execution.ended(end);
            }
            if let (Some(ends), asker) = (handed, execution.asker) {
                let message = Message::Answer { id: asker.request, result: Ok(Answer::Attached) };
                self.clients.hand_over(asker.client, &message, ends);
            }
            return self.forget_early_ends();
        }
        let name_of = |found: &dyn Fn(&Container) -> bool| {
            task.containers.iter().find(|(_, c)| found(c)).map(|(name, _)| name.clone())
        };
        if let Some(name) = name_of(&|c| c.helper.as_ref().is_some_and(|h| h.pid == pid)) {
            self.set_up_ended(&name);
            return self.forget_early_ends();
        }
        if let Some(name) = name_of(&|c| c.pid() == Some(pid) && c.phase != Phase::Ended) {
            return self.container_ended(&name, end);
        }
        if task.is_setting_up() {
            task.early_ends.insert(pid, end);
        }
    }

    fn forget_early_ends(&mut self) {
        if let Some(task) = self.task.as_mut().filter(|task| !task.is_setting_up()) {
            task.early_ends.clear();
        }
    }

    fn set_up_ended(&mut self, name: &str) {
        let Some(task) = &mut self.task else { return };
        let Some(container) = task.containers.get_mut(name) else { return };
        match container.created() {
            Ok(pid) => {
                let early = task.early_ends.remove(&pid);
                self.publish(name);
                if let Some(end) = early {
                    self.container_ended(name, end);
                }
            }
            Err(message) => {
                let Some(container) = task.containers.remove(name) else { return };
                // What cannot be released now is when the task is.
                let _ = container.release(&task.places);
                let _ = std::fs::remove_dir_all(&container.dir);
                let refusal = Refusal::new(FailureKind::CannotCreate, message);
                if let Some(asker) = container.asker {
                    self.answer(asker, Err(refusal));
                }
            }
        }
    }

    fn container_ended(&mut self, name: &str, end: WaitStatus) {
        let Some(task) = &mut self.task else { return };
        let shares_pids = task.sandbox.share_pid || task.sandbox.host_pid;
        let Some(container) = task.containers.get_mut(name) else { return };
        container.ended(end);
        if shares_pids {
            // Without a process-id namespace of its own nothing else ends what it started.
            cgroup::kill_once(&container.cgroup);
        }
    }
}
