//! Whether what a container waits for has come, may come, or cannot come any more.

use vocabulary::Timestamp;

use crate::{DependencyCondition, HealthStatus, ProcessFacts, TaskFacts, TaskShape, stop::may_restart};

/// What a container that was not started yet can expect of those it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outlook {
    Met,
    Waiting {
        on: usize,
        condition: DependencyCondition,
        /// When to give up.
        until: Option<Timestamp>,
    },
    /// With the reason for users.
    Never(String),
}

pub(crate) fn outlook(shape: &TaskShape, facts: &TaskFacts, container: usize, now: Timestamp) -> Outlook {
    let mut waiting = Outlook::Met;
    for &(on, condition) in shape.dependencies(container) {
        match one(shape, facts, on, condition, now) {
            Outlook::Met => {}
            never @ Outlook::Never(_) => return never,
            Outlook::Waiting { until, .. } => {
                let earlier = match &waiting {
                    Outlook::Waiting { until: Some(other), .. } => until.is_some_and(|until| until < *other),
                    _ => true,
                };
                if earlier {
                    waiting = Outlook::Waiting { on, condition, until };
                }
            }
        }
    }
    waiting
}

fn one(
    shape: &TaskShape,
    facts: &TaskFacts,
    on: usize,
    condition: DependencyCondition,
    now: Timestamp,
) -> Outlook {
    let (container, dependency) = (&shape.containers()[on], &facts.containers[on]);
    let name = &container.name;
    let ended = dependency.exit().filter(|_| !may_restart(container, dependency));
    let met = match condition {
        DependencyCondition::Start => dependency.first_started_at.is_some(),
        DependencyCondition::Complete => ended.is_some(),
        DependencyCondition::Success => ended.is_some_and(|exit| exit.code == Some(0)),
        DependencyCondition::Healthy => dependency.health.status == HealthStatus::Healthy,
    };
    if met {
        return Outlook::Met;
    }
    if let Some(exit) = ended {
        let code = exit.code.map_or("an unknown exit code".to_owned(), |code| format!("exit code {code}"));
        return Outlook::Never(match condition {
            DependencyCondition::Success => {
                format!("dependency container {name} did not exit successfully: it ended with {code}")
            }
            _ => format!("dependency container {name} ended with {code} before it was HEALTHY"),
        });
    }
    // Only what comes after the start is waited for with a limit. Source: the agent's dependency graph.
    let until = match (&dependency.process, container.start_timeout, condition) {
        (_, _, DependencyCondition::Start) | (_, None, _) => None,
        (ProcessFacts::Running { since }, Some(timeout), _) => Some(*since + timeout),
        _ => None,
    };
    match until {
        Some(until) if until <= now => Outlook::Never(format!(
            "dependency container {name} timed out: it was not {} within its start timeout of {} seconds",
            match condition {
                DependencyCondition::Healthy => "HEALTHY",
                DependencyCondition::Success => "SUCCESS",
                _ => "COMPLETE",
            },
            container.start_timeout.unwrap_or_default().as_secs(),
        )),
        until => Outlook::Waiting { on, condition, until },
    }
}
