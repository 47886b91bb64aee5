//! Lifecycle hooks: each runs once per stage it is for (once per step of the production traffic), all of a stage side by side. A
//! pause waits for an answer, a function for its result; the end of its time means what the hook says it means.

use crate::{HookAction, HookRun, HookStage, HookStatus, HookTarget, Waiting, round::Round};

pub(crate) enum Hooks {
    Done,
    Waiting,
    Failed,
}

/// Begins those of the stage that have not begun; answers where they are.
pub(crate) fn run(round: &mut Round<'_>, stage: HookStage, step: u32) -> Hooks {
    let mut result = Hooks::Done;
    for (index, hook) in round.service.configuration.hooks.iter().enumerate() {
        if !hook.stages.contains(&stage) {
            continue;
        }
        let run = match find(round, stage, step, index) {
            Some(run) => run,
            None => begin(round, hook, stage, step, index),
        };
        match (run.status, run.timeout_action) {
            (HookStatus::Succeeded, _) | (HookStatus::TimedOut, HookAction::Continue) => {}
            (HookStatus::Failed, _) | (HookStatus::TimedOut, HookAction::Rollback) => return Hooks::Failed,
            (HookStatus::AwaitingAction | HookStatus::InProgress, _) => {
                round.wake(run.expires_at);
                round.wait(Waiting::Hook { id: run.id });
                result = Hooks::Waiting;
            }
        }
    }
    result
}

/// With the end of its time taken into account.
fn find(round: &mut Round<'_>, stage: HookStage, step: u32, index: usize) -> Option<HookRun> {
    let now = round.now;
    let rollout = round.state.rollout.as_mut()?;
    let run =
        rollout.hooks.iter_mut().find(|run| run.stage == stage && run.step == step && run.index == index)?;
    if matches!(run.status, HookStatus::AwaitingAction | HookStatus::InProgress) && run.expires_at <= now {
        run.status = HookStatus::TimedOut;
    }
    Some(run.clone())
}

fn begin(round: &mut Round<'_>, hook: &crate::Hook, stage: HookStage, step: u32, index: usize) -> HookRun {
    let (kind, status) = match hook.target {
        HookTarget::Pause => ("pause", HookStatus::AwaitingAction),
        HookTarget::Lambda(_) => ("lambda", HookStatus::InProgress),
    };
    let run = HookRun {
        id: format!("ecs-{kind}-{}", round.ids.hex(32)),
        target: hook.target.clone(),
        stage,
        step,
        index,
        status,
        started_at: round.now,
        expires_at: round.now + hook.timeout,
        timeout_action: hook.timeout_action,
    };
    if let Some(rollout) = &mut round.state.rollout {
        rollout.hooks.push(run.clone());
        rollout.updated_at = round.now;
    }
    if status == HookStatus::InProgress {
        round.plan.invoke.push(run.clone());
    }
    run
}
