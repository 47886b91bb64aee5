//! The runtime's events in the core's words.

use agent_protocol::spec::TaskSpec;
use task_lifecycle::Event;

use super::container::parse_run_name;

/// The runtime's event in the core's words.
pub(super) fn translate(
    spec: &TaskSpec,
    event: container_runtime::Event,
    now: vocabulary::Timestamp,
) -> Option<(Event, vocabulary::Timestamp)> {
    use container_runtime::Event as Runtime;
    let find = |name: &str| {
        let (container, run) = parse_run_name(name);
        let index = spec.containers.iter().position(|known| known.name == container)?;
        Some((index, run))
    };
    match event {
        Runtime::Started { name, at, .. } => {
            let (container, run) = find(&name)?;
            Some((Event::Started { container, run }, at))
        }
        Runtime::Exited { name, status } => {
            let (container, run) = find(&name)?;
            // Without an exit the sandbox died; it says so itself.
            let exit = status.exit?;
            let event = Event::Exited { container, run, code: exit.code, out_of_memory: exit.oom };
            Some((event, status.exited_at.unwrap_or(now)))
        }
        // Whoever asked for the start is told in the answer, too; an agent that was cut off is told only here.
        Runtime::Error { name, status } => {
            let (container, run) = find(&name)?;
            let reason = status.error.unwrap_or_else(|| "it did not start".to_owned());
            let reason = format!("CannotStartContainerError: {reason}");
            Some((Event::StartFailed { container, run, reason }, now))
        }
        Runtime::ShimDied { reason } => Some((Event::SandboxLost { reason }, now)),
    }
}
