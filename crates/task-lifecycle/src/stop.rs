//! Why a task ends, decided from its facts. The first cause stands.

use serde::{Deserialize, Serialize};
use vocabulary::Timestamp;

use crate::{
    ContainerShape, ImageFacts, LogFacts, NetworkFacts, ProcessFacts, SandboxFacts, StopCode, TaskFacts,
    TaskShape,
    dependency::{Outlook, outlook},
};

/// The reasons people search for, word for word.
pub mod reasons {
    pub const ESSENTIAL_CONTAINER_EXITED: &str = "Essential container in task exited";
    pub const OUT_OF_MEMORY: &str = "OutOfMemoryError: Container killed due to memory usage";
    pub const FAILED_TO_START: &str = "Task failed to start";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopCause {
    /// `None` when the control plane asked for it: it knows why.
    pub code: Option<StopCode>,
    pub reason: Option<String>,
    /// The container at fault gets this as its own reason, unless it has one.
    pub container: Option<(usize, String)>,
    pub at: Timestamp,
}

/// The cause for which a task that is not stopping yet has to stop now.
pub(crate) fn stop_cause(shape: &TaskShape, facts: &TaskFacts, now: Timestamp) -> Option<StopCause> {
    let cause = |code, reason: &str| StopCause {
        code: Some(code),
        reason: Some(reason.to_owned()),
        container: None,
        at: now,
    };
    if facts.stop_requested {
        return Some(StopCause { code: None, reason: None, container: None, at: now });
    }
    if let NetworkFacts::Failed(reason) = &facts.network {
        return Some(cause(StopCode::TaskFailedToStart, reason));
    }
    if let SandboxFacts::Failed(reason) = &facts.sandbox {
        return Some(cause(StopCode::TaskFailedToStart, reason));
    }
    for (index, container) in facts.containers.iter().enumerate() {
        let failed = match (&container.image, &container.log, &container.process) {
            (ImageFacts::Failed(reason), _, _) | (_, LogFacts::Failed(reason), _) => Some(reason.as_str()),
            (_, _, ProcessFacts::Failed) => Some(container.reason.as_deref().unwrap_or_default()),
            _ => None,
        };
        if let Some(reason) = failed {
            let container = Some((index, reason.to_owned()));
            return Some(StopCause { container, ..cause(StopCode::TaskFailedToStart, reason) });
        }
    }
    for (container, facts) in shape.containers().iter().zip(&facts.containers) {
        if container.essential && facts.exit().is_some() && !may_restart(container, facts) {
            let reason = match facts.reason.as_deref() {
                Some(reasons::OUT_OF_MEMORY) => reasons::OUT_OF_MEMORY,
                _ => reasons::ESSENTIAL_CONTAINER_EXITED,
            };
            return Some(cause(StopCode::EssentialContainerExited, reason));
        }
    }
    if let SandboxFacts::Lost(reason) = &facts.sandbox {
        return Some(cause(StopCode::EssentialContainerExited, reason));
    }
    if let Some(reason) = &facts.storage_exceeded {
        return Some(cause(StopCode::EssentialContainerExited, reason));
    }
    (0..facts.containers.len())
        .filter(|&index| facts.containers[index].process == ProcessFacts::NotStarted)
        .find_map(|index| match outlook(shape, facts, index, now) {
            Outlook::Never(why) => Some(StopCause {
                container: Some((index, why)),
                ..cause(StopCode::TaskFailedToStart, reasons::FAILED_TO_START)
            }),
            _ => None,
        })
}

/// Whether the policy of a container that has ended starts it again: it ran long enough, and its exit code is not one
/// to leave alone. Source: the developer guide, "container restart policies".
pub(crate) fn may_restart(container: &ContainerShape, facts: &crate::ContainerFacts) -> bool {
    let (Some(policy), Some(exit)) = (&container.restart, facts.exit()) else { return false };
    exit.ran_seconds >= u64::from(policy.restart_attempt_period_seconds)
        && exit.code.is_some_and(|code| !policy.ignored_exit_codes.contains(&code))
}
