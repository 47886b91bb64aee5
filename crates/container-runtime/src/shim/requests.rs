//! What a client may ask of a task, and what is done about it at once.
//!
//! What takes longer (a set-up, a start, an execution, a removal) is begun here and finished by the loop.

use super::clients::Asker;
use super::container::{Container, Phase};
use super::execution::Execution;
use super::task::Task;
use crate::cgroup;
use crate::error::FailureKind;
use crate::protocol::{Answer, Op, Refusal};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::fd::AsRawFd;

/// Everything that needs the task and nothing else. `None`: the answer comes later.
pub(super) fn answer(task: &mut Task, asker: Asker, op: Op) -> Result<Option<Answer>, Refusal> {
    let unknown = |name: &str| Refusal::new(FailureKind::NotFound, format!("no container {name}"));
    if !task.shutting_down.is_empty()
        && matches!(op, Op::Create(_) | Op::Start { .. } | Op::Exec { .. } | Op::Attach { .. })
    {
        return Err(Refusal::new(FailureKind::WrongState, "the task is being shut down"));
    }
    match op {
        Op::Create(config) => {
            if task.containers.contains_key(&config.name) {
                let message = format!("container {} already exists", config.name);
                return Err(Refusal::new(FailureKind::AlreadyExists, message));
            }
            let container = match config.network.clone() {
                Some(network) => {
                    let (around, file) = task.around_in(&network)?;
                    let mut kept = task.kept();
                    kept.push(file.as_raw_fd());
                    Container::create(&task.places, *config, &around, &kept, asker)?
                }
                None => {
                    task.find_network()?;
                    Container::create(&task.places, *config, &task.around, &task.kept(), asker)?
                }
            };
            task.containers.insert(container.status.name.clone(), container);
            Ok(None)
        }
        Op::Start { name } => {
            let container = task.containers.get_mut(&name).ok_or_else(|| unknown(&name))?;
            container.begin(&task.places, asker)?;
            Ok(None)
        }
        Op::Signal { name, signal } => {
            let container = task.containers.get(&name).ok_or_else(|| unknown(&name))?;
            let invalid = |_| Refusal::new(FailureKind::Invalid, format!("signal {signal}"));
            let signal = valid_signal(signal).map_err(invalid)?;
            if let (Phase::Created | Phase::Starting | Phase::Running, Some(pid)) =
                (&container.phase, container.pid())
            {
                send_signal(pid, signal)
                    .map_err(|e| Refusal::new(FailureKind::Internal, format!("signalling {name}: {e}")))?;
            }
            Ok(Some(Answer::Done))
        }
        Op::KillAll { name } => {
            let container = task.containers.get(&name).ok_or_else(|| unknown(&name))?;
            kill_container(container);
            Ok(Some(Answer::Done))
        }
        Op::Exec { name, config } => {
            let container = task.containers.get(&name).ok_or_else(|| unknown(&name))?;
            let execution = Execution::start(&task.places, container, &config, &task.kept(), asker)?;
            task.last_execution += 1;
            task.executions.insert(task.last_execution, execution);
            Ok(None)
        }
        Op::Attach { name, config } => {
            let container = task.containers.get(&name).ok_or_else(|| unknown(&name))?;
            let number = task.last_execution + 1;
            let execution = Execution::attach(&task.places, container, &config, &task.kept(), asker, number)?;
            task.last_execution = number;
            task.executions.insert(number, execution);
            Ok(None)
        }
        Op::SignalAttached { signal } => {
            let invalid = |_| Refusal::new(FailureKind::Invalid, format!("signal {signal}"));
            let signal = valid_signal(signal).map_err(invalid)?;
            let own =
                |execution: &&Execution| execution.is_attached() && execution.asker.client == asker.client;
            if let Some(execution) = task.executions.values().find(own) {
                match execution.signal(signal) {
                    Err(e) if e.raw_os_error() != Some(libc::ESRCH) => {
                        return Err(Refusal::new(FailureKind::Internal, format!("signalling: {e}")));
                    }
                    _ => {}
                }
            }
            Ok(Some(Answer::Done))
        }
        Op::Remove { name } => {
            let container = task.containers.get_mut(&name).ok_or_else(|| unknown(&name))?;
            match container.phase {
                Phase::Ended => {}
                Phase::Created => kill_container(container),
                _ => {
                    let message = format!("container {name} is running: it must be stopped first");
                    return Err(Refusal::new(FailureKind::WrongState, message));
                }
            }
            container.removers.push(asker);
            Ok(None)
        }
        Op::Acknowledge { name, position } => {
            if let Some(container) = task.containers.get_mut(&name) {
                container.capture.writer.acknowledge(position);
            }
            // Sent without waiting for an answer.
            Ok(None)
        }
        Op::Shutdown => {
            for execution in task.executions.values_mut() {
                execution.kill();
            }
            task.containers.values().for_each(kill_container);
            task.shutting_down.push(asker);
            Ok(None)
        }
        Op::Assign(_) | Op::Nudge | Op::Hello => Err(Refusal::new(FailureKind::Internal, "not for a task")),
    }
}

fn valid_signal(number: i32) -> Result<i32, ()> {
    if (1..=64).contains(&number) { Ok(number) } else { Err(()) }
}

/// Any signal by number, real-time ones included, which the typed interface lacks.
fn send_signal(pid: Pid, signal: i32) -> io::Result<()> {
    match super::process::send_signal(pid, signal) {
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}

fn kill_container(container: &Container) {
    if let Some(helper) = &container.helper {
        let _ = kill(helper.pid, Signal::SIGKILL);
    }
    if let (Some(pid), false) = (container.pid(), container.phase == Phase::Ended) {
        // First the first process: with its namespace everything in it dies at once.
        let _ = kill(pid, Signal::SIGKILL);
    }
    cgroup::kill_once(&container.cgroup);
}

/// Takes an ended container out of the task, with its files. The files go in the background: there may be many.
pub(super) fn remove(task: &mut Task, name: &str) -> Option<(Container, Result<(), Refusal>)> {
    let container = task.containers.remove(name)?;
    let released = container.release(&task.places);
    let discarded = discard(task, &container);
    let result = released
        .and(discarded)
        .map_err(|e| Refusal::new(FailureKind::Internal, format!("removing {name}: {e}")));
    Some((container, result))
}

fn discard(task: &mut Task, container: &Container) -> io::Result<()> {
    let trash = task.sandbox.dir.join("trash");
    std::fs::create_dir_all(&trash)?;
    let target = trash.join(format!("{}.{}", container.status.name, container.status.created_at.as_millis()));
    std::fs::rename(&container.dir, &target)?;
    super::process::fork_into(move || {
        super::process::close_all_but(&[]);
        i32::from(std::fs::remove_dir_all(target).is_err())
    })?;
    Ok(())
}
