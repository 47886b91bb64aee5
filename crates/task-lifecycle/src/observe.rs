//! Folds what was observed into the facts. Late, repeated and impossible events have no effect.

use vocabulary::Timestamp;

use crate::{
    Exit, ImageFacts, LogFacts, NetworkBinding, NetworkFacts, ProcessFacts, SandboxFacts, TaskFacts,
    TaskShape, health, stop::reasons,
};

/// Something that happened. `container` is an index into the shape, `run` the container's run that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The control plane wants the task stopped.
    StopRequested,
    /// With the host ports of each container, in `bridge` and `host` modes.
    NetworkAttached {
        bindings: Vec<(usize, NetworkBinding)>,
    },
    NetworkFailed {
        reason: String,
    },
    NetworkDetached,
    SandboxReady,
    SandboxFailed {
        reason: String,
    },
    /// The process that holds the containers died, and they with it.
    SandboxLost {
        reason: String,
    },
    SandboxRemoved,
    /// The task holds more on the disk than it may.
    StorageExceeded {
        reason: String,
    },
    ImageReady {
        container: usize,
        digest: Option<String>,
    },
    ImageFailed {
        container: usize,
        reason: String,
    },
    LogReady {
        container: usize,
    },
    LogFailed {
        container: usize,
        reason: String,
    },
    Started {
        container: usize,
        run: u32,
    },
    StartFailed {
        container: usize,
        run: u32,
        reason: String,
    },
    /// The runtime, asked after a restart of the agent, has never heard of the container.
    NeverStarted {
        container: usize,
        run: u32,
    },
    Exited {
        container: usize,
        run: u32,
        code: i32,
        out_of_memory: bool,
    },
    HealthChecked {
        container: usize,
        run: u32,
        passed: bool,
    },
    CleanedUp,
}

/// Takes `event`, which happened at `now`, into the facts.
pub fn observe(shape: &TaskShape, facts: &mut TaskFacts, event: Event, now: Timestamp) {
    if facts.is_stopped() {
        // STOPPED was the last word: what still comes in (a pull that nobody waited for) must not add to it.
        return;
    }
    match event {
        Event::StopRequested => facts.stop_requested = true,
        Event::NetworkAttached { bindings } => {
            if facts.network == NetworkFacts::Attaching {
                facts.network = NetworkFacts::Attached;
                facts.connectivity_at.get_or_insert(now);
                for (container, binding) in bindings {
                    facts.containers[container].network_bindings.push(binding);
                }
            }
        }
        Event::NetworkFailed { reason } => {
            if facts.network == NetworkFacts::Attaching {
                facts.network = NetworkFacts::Failed(reason);
            }
        }
        Event::NetworkDetached => {
            if facts.network == NetworkFacts::Detaching {
                facts.network = NetworkFacts::Detached;
            }
        }
        Event::SandboxReady => {
            if facts.sandbox == SandboxFacts::Preparing {
                facts.sandbox = SandboxFacts::Ready;
            }
        }
        Event::SandboxFailed { reason } => {
            if facts.sandbox == SandboxFacts::Preparing {
                facts.sandbox = SandboxFacts::Failed(reason);
            }
        }
        Event::SandboxLost { reason } => sandbox_lost(facts, &reason, now),
        Event::SandboxRemoved => {
            if facts.sandbox == SandboxFacts::Removing {
                facts.sandbox = SandboxFacts::Removed;
            }
        }
        Event::StorageExceeded { reason } => drop(facts.storage_exceeded.get_or_insert(reason)),
        Event::CleanedUp => facts.cleaned_up = facts.is_cleaning_up(),
        Event::ImageReady { container, digest } => {
            if facts.containers[container].image == ImageFacts::Pulling {
                facts.containers[container].image = ImageFacts::Ready { digest };
            }
        }
        Event::ImageFailed { container, reason } => {
            if facts.containers[container].image == ImageFacts::Pulling {
                facts.containers[container].image = ImageFacts::Failed(reason);
            }
        }
        Event::LogReady { container } => {
            if facts.containers[container].log == LogFacts::Opening {
                facts.containers[container].log = LogFacts::Ready;
            }
        }
        Event::LogFailed { container, reason } => {
            if facts.containers[container].log == LogFacts::Opening {
                facts.containers[container].log = LogFacts::Failed(reason);
            }
        }
        Event::Started { container, run } => started(shape, facts, container, run, now),
        Event::StartFailed { container, run, reason } => {
            let container = &mut facts.containers[container];
            if container.run == run && container.process == ProcessFacts::Starting {
                container.process = ProcessFacts::Failed;
                container.reason = Some(reason);
            }
        }
        Event::NeverStarted { container, run } => {
            let container = &mut facts.containers[container];
            if container.run == run && !matches!(container.process, ProcessFacts::Exited(_)) {
                container.process = ProcessFacts::NotStarted;
            }
        }
        Event::Exited { container, run, code, out_of_memory } => {
            exited(shape, facts, container, run, code, out_of_memory, now);
        }
        Event::HealthChecked { container, run, passed } => {
            let state = &mut facts.containers[container];
            if let (Some(schedule), ProcessFacts::Running { since }, true) =
                (&shape.containers()[container].health, &state.process, state.run == run)
            {
                health::checked(schedule, &mut state.health, passed, *since, now);
            }
        }
    }
    settle(facts, now);
}

fn started(shape: &TaskShape, facts: &mut TaskFacts, index: usize, run: u32, now: Timestamp) {
    let container = &mut facts.containers[index];
    if container.run != run || container.process != ProcessFacts::Starting {
        return;
    }
    container.process = ProcessFacts::Running { since: now };
    container.first_started_at.get_or_insert(now);
    if let Some(schedule) = &shape.containers()[index].health {
        container.health = health::started(schedule, now);
    }
}

fn exited(
    shape: &TaskShape,
    facts: &mut TaskFacts,
    index: usize,
    run: u32,
    code: i32,
    out_of_memory: bool,
    now: Timestamp,
) {
    // The exit of a short-lived container may be heard of before its start.
    started(shape, facts, index, run, now);
    let container = &mut facts.containers[index];
    let ProcessFacts::Running { since } = container.process else { return };
    if container.run != run {
        return;
    }
    container.process =
        ProcessFacts::Exited(Exit { code: Some(code), at: now, ran_seconds: now.since(since).as_secs() });
    container.health.check_in_flight = false;
    container.health.next_check_at = None;
    if out_of_memory {
        container.reason = Some(reasons::OUT_OF_MEMORY.to_owned());
    }
}

fn sandbox_lost(facts: &mut TaskFacts, reason: &str, now: Timestamp) {
    if !matches!(facts.sandbox, SandboxFacts::Ready | SandboxFacts::Removing) {
        return;
    }
    facts.sandbox = SandboxFacts::Lost(reason.to_owned());
    for container in &mut facts.containers {
        let since = match container.process {
            ProcessFacts::Running { since } => since,
            ProcessFacts::Starting => now,
            _ => continue,
        };
        let ran_seconds = now.since(since).as_secs();
        container.process = ProcessFacts::Exited(Exit { code: None, at: now, ran_seconds });
        container.health.check_in_flight = false;
        container.health.next_check_at = None;
        container.reason.get_or_insert_with(|| reason.to_owned());
    }
}

/// Times that follow from the other facts.
pub(crate) fn settle(facts: &mut TaskFacts, now: Timestamp) {
    let all_pulled = facts
        .containers
        .iter()
        .all(|container| matches!(container.image, ImageFacts::Ready { .. } | ImageFacts::Failed(_)));
    if all_pulled {
        facts.pull_stopped_at.get_or_insert(now);
    }
    let all_started = facts.containers.iter().all(|container| container.first_started_at.is_some());
    if all_started {
        facts.started_at.get_or_insert(now);
    }
    if facts.stop.is_some() && facts.containers.iter().all(|container| container.has_no_process()) {
        facts.execution_stopped_at.get_or_insert(now);
    }
}
