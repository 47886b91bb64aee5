//! What to begin now.
//!
//! On the way up, everything that does not wait for something else begins at once: network, images, log streams side by
//! side; the sandbox as soon as there is a network for it to be in. On the way down, order rules: containers end in reverse order of their dependencies, then the
//! sandbox goes, then the network, then the task's directories.

use std::time::Duration;

use vocabulary::Timestamp;

use crate::{
    DependencyCondition, ImageFacts, LogFacts, NetworkFacts, ProcessFacts, SandboxFacts, StopCause,
    TaskFacts, TaskShape, TaskStateChange,
    dependency::{Outlook, outlook},
    snapshot::snapshot,
    stop::{may_restart, stop_cause},
};

/// Something for the node to do. Each is begun once; what comes of it is an [`crate::Event`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// → NetworkAttached or NetworkFailed
    AttachNetwork,
    /// → SandboxReady or SandboxFailed
    PrepareSandbox,
    /// Make the image present. → ImageReady or ImageFailed
    PullImage { container: usize },
    /// Make sure that output has somewhere to go. → LogReady or LogFailed
    OpenLog { container: usize },
    /// Create and start. → Started or StartFailed, later Exited
    Start { container: usize, run: u32 },
    /// → HealthChecked; a check that takes longer than `timeout` has failed
    CheckHealth { container: usize, run: u32, timeout: Duration },
    /// Send the signal that asks it to end.
    Terminate { container: usize },
    /// Send SIGKILL.
    Kill { container: usize },
    /// Delete the containers, ship the rest of their output, end the sandbox. → SandboxRemoved
    RemoveSandbox,
    /// → NetworkDetached
    DetachNetwork,
    /// Remove the task's directories and mounts. → CleanedUp
    CleanUp,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The task has to stop, as of now.
    pub stop: Option<StopCause>,
    pub actions: Vec<Action>,
    /// What to tell the control plane, when it is not what was told last.
    pub change: Option<TaskStateChange>,
    /// When to plan again even if nothing happens.
    pub wake_at: Option<Timestamp>,
}

/// Why something did not begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub waiting: Vec<Waiting>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    ForImage {
        container: usize,
    },
    ForLog {
        container: usize,
    },
    ForNetwork {
        container: usize,
    },
    ForSandbox {
        container: usize,
    },
    ForDependency {
        container: usize,
        on: usize,
        condition: DependencyCondition,
    },
    /// It ends only after these have.
    ForDependents {
        container: usize,
        dependents: Vec<usize>,
    },
    /// It was asked to end and has time until then.
    ForExit {
        container: usize,
        until: Timestamp,
    },
    /// It is being started, and cannot be ended before that is over.
    ForStart {
        container: usize,
    },
}

/// How long after SIGKILL it is sent again to a container that still has not ended (its runtime may have been busy).
const KILL_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// What to begin for the task, given its facts, at `now`.
pub fn plan(shape: &TaskShape, facts: &TaskFacts, now: Timestamp) -> (Plan, Report) {
    let mut plan = Plan::default();
    let mut report = Report::default();
    if facts.stop.is_none() {
        plan.stop = stop_cause(shape, facts, now);
    }
    if plan.stop.is_some() || facts.stop.is_some() {
        wind_down(shape, facts, now, &mut plan, &mut report);
    } else {
        bring_up(shape, facts, now, &mut plan, &mut report);
    }
    plan.change = change(shape, facts, &plan, now);
    (plan, report)
}

fn bring_up(shape: &TaskShape, facts: &TaskFacts, now: Timestamp, plan: &mut Plan, report: &mut Report) {
    if facts.network == NetworkFacts::Absent {
        plan.actions.push(Action::AttachNetwork);
    }
    if facts.sandbox == SandboxFacts::Absent && facts.network == NetworkFacts::Attached {
        plan.actions.push(Action::PrepareSandbox);
    }
    for (index, (container, state)) in shape.containers().iter().zip(&facts.containers).enumerate() {
        if state.image == ImageFacts::Unknown {
            plan.actions.push(Action::PullImage { container: index });
        }
        if state.log == LogFacts::Unknown {
            plan.actions.push(Action::OpenLog { container: index });
        }
        match &state.process {
            ProcessFacts::NotStarted => match start_blocker(shape, facts, index, now) {
                None => plan.actions.push(Action::Start { container: index, run: state.run }),
                Some((waiting, until)) => {
                    wake(plan, until);
                    report.waiting.push(waiting);
                }
            },
            ProcessFacts::Exited(_) if may_restart(container, state) => {
                plan.actions.push(Action::Start { container: index, run: state.run + 1 });
            }
            ProcessFacts::Running { .. } => check_health(shape, facts, index, now, plan),
            ProcessFacts::Starting | ProcessFacts::Exited(_) | ProcessFacts::Failed => {}
        }
    }
}

/// What keeps a container from being started, and until when at most.
fn start_blocker(
    shape: &TaskShape,
    facts: &TaskFacts,
    container: usize,
    now: Timestamp,
) -> Option<(Waiting, Option<Timestamp>)> {
    let state = &facts.containers[container];
    let dependency = outlook(shape, facts, container, now);
    if let Outlook::Waiting { on, condition, until } = dependency {
        return Some((Waiting::ForDependency { container, on, condition }, until));
    }
    let waiting = if !matches!(state.image, ImageFacts::Ready { .. }) {
        Waiting::ForImage { container }
    } else if state.log != LogFacts::Ready {
        Waiting::ForLog { container }
    } else if facts.network != NetworkFacts::Attached {
        Waiting::ForNetwork { container }
    } else if facts.sandbox != SandboxFacts::Ready {
        Waiting::ForSandbox { container }
    } else {
        return None;
    };
    Some((waiting, None))
}

fn check_health(shape: &TaskShape, facts: &TaskFacts, container: usize, now: Timestamp, plan: &mut Plan) {
    let state = &facts.containers[container];
    let Some(schedule) = &shape.containers()[container].health else { return };
    match state.health.next_check_at {
        _ if state.health.check_in_flight => {}
        Some(at) if at > now => wake(plan, Some(at)),
        _ => plan.actions.push(Action::CheckHealth { container, run: state.run, timeout: schedule.timeout }),
    }
}

fn wind_down(shape: &TaskShape, facts: &TaskFacts, now: Timestamp, plan: &mut Plan, report: &mut Report) {
    for index in 0..facts.containers.len() {
        end_container(shape, facts, index, now, plan, report);
    }
    if facts.containers.iter().all(|container| container.has_no_process()) {
        remove_what_is_left(facts, plan);
    }
}

fn end_container(
    shape: &TaskShape,
    facts: &TaskFacts,
    container: usize,
    now: Timestamp,
    plan: &mut Plan,
    report: &mut Report,
) {
    let state = &facts.containers[container];
    match state.process {
        ProcessFacts::Starting => return report.waiting.push(Waiting::ForStart { container }),
        ProcessFacts::Running { .. } => {}
        ProcessFacts::NotStarted | ProcessFacts::Exited(_) | ProcessFacts::Failed => return,
    }
    let dependents: Vec<usize> = shape
        .dependents(container)
        .iter()
        .copied()
        .filter(|&dependent| !facts.containers[dependent].has_no_process())
        .collect();
    if !dependents.is_empty() {
        return report.waiting.push(Waiting::ForDependents { container, dependents });
    }
    let stop_timeout = shape.containers()[container].stop_timeout;
    let Some(terminated_at) = state.terminated_at else {
        wake(plan, Some(now + stop_timeout));
        return plan.actions.push(Action::Terminate { container });
    };
    let kill_at = match state.killed_at {
        None => terminated_at + stop_timeout,
        Some(killed_at) => killed_at + KILL_AGAIN_AFTER,
    };
    if kill_at <= now {
        wake(plan, Some(now + KILL_AGAIN_AFTER));
        plan.actions.push(Action::Kill { container });
    } else {
        wake(plan, Some(kill_at));
        report.waiting.push(Waiting::ForExit { container, until: kill_at });
    }
}

fn remove_what_is_left(facts: &TaskFacts, plan: &mut Plan) {
    match facts.sandbox {
        // A sandbox that failed or died may have left something behind, so that it is removed like any other.
        SandboxFacts::Ready | SandboxFacts::Failed(_) | SandboxFacts::Lost(_) => {
            return plan.actions.push(Action::RemoveSandbox);
        }
        SandboxFacts::Preparing | SandboxFacts::Removing => return,
        SandboxFacts::Absent | SandboxFacts::Removed => {}
    }
    match facts.network {
        NetworkFacts::Attached | NetworkFacts::Failed(_) => return plan.actions.push(Action::DetachNetwork),
        NetworkFacts::Attaching | NetworkFacts::Detaching => return,
        NetworkFacts::Absent | NetworkFacts::Detached => {}
    }
    if !facts.is_cleaning_up() {
        plan.actions.push(Action::CleanUp);
    }
}

/// The state as it is once `plan` has begun, when it differs from what was last reported.
fn change(shape: &TaskShape, facts: &TaskFacts, plan: &Plan, now: Timestamp) -> Option<TaskStateChange> {
    let mut begun = facts.clone();
    begun.begin(plan, now);
    let mut change = snapshot(shape, &begun);
    if let Some(last) = &facts.reported {
        change.sequence = last.sequence;
        if change == *last {
            return None;
        }
        change.sequence += 1;
    }
    Some(change)
}

fn wake(plan: &mut Plan, at: Option<Timestamp>) {
    plan.wake_at = match (plan.wake_at, at) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (left, right) => left.or(right),
    };
}
