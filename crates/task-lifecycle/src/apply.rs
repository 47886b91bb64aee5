//! Records a plan as begun, so that planning again does not begin it twice.

use vocabulary::Timestamp;

use crate::{
    Action, ImageFacts, LogFacts, NetworkFacts, Plan, ProcessFacts, SandboxFacts, TaskFacts, observe::settle,
};

impl TaskFacts {
    /// Records everything in `plan` as begun and its change as reported. Keep the facts before acting on the plan.
    pub fn apply(&mut self, plan: &Plan, now: Timestamp) {
        self.begin(plan, now);
        if let Some(change) = &plan.change {
            self.reported = Some(change.clone());
        }
    }

    pub(crate) fn begin(&mut self, plan: &Plan, now: Timestamp) {
        if let Some(cause) = &plan.stop
            && self.stop.is_none()
        {
            if let Some((container, reason)) = &cause.container {
                self.containers[*container].reason.get_or_insert_with(|| reason.clone());
            }
            self.stop = Some(cause.clone());
        }
        for action in &plan.actions {
            self.begin_action(action, now);
        }
        settle(self, now);
    }

    fn begin_action(&mut self, action: &Action, now: Timestamp) {
        match *action {
            Action::AttachNetwork => self.network = NetworkFacts::Attaching,
            Action::PrepareSandbox => self.sandbox = SandboxFacts::Preparing,
            Action::PullImage { container } => {
                self.containers[container].image = ImageFacts::Pulling;
                self.pull_started_at.get_or_insert(now);
            }
            Action::OpenLog { container } => self.containers[container].log = LogFacts::Opening,
            Action::Start { container, run } => {
                let container = &mut self.containers[container];
                container.process = ProcessFacts::Starting;
                if run > container.run {
                    container.reason = None;
                }
                container.run = run;
            }
            Action::CheckHealth { container, .. } => self.containers[container].health.check_in_flight = true,
            Action::Terminate { container } => self.containers[container].terminated_at = Some(now),
            Action::Kill { container } => self.containers[container].killed_at = Some(now),
            Action::RemoveSandbox => self.sandbox = SandboxFacts::Removing,
            Action::DetachNetwork => self.network = NetworkFacts::Detaching,
            Action::CleanUp => self.set_cleaning_up(),
        }
    }
}
