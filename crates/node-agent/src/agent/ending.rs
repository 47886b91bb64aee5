//! What becomes of the tasks as the agent ends.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use task_lifecycle::ContainerFacts;
use tokio::time::Instant;

use super::{NodeAgent, Slot};
use crate::task::Command;

/// How long tasks may take beyond their grace to be removed when the agent ends with everything: for the last of their output and
/// a control plane that listens. Then what they have is swept away without them.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long tasks that have ended may take to be removed when the agent leaves the others running.
const ENDING_TIMEOUT: Duration = Duration::from_secs(5);

impl NodeAgent {
    /// Gives tasks whose containers have all ended the time to say so and to be removed. What takes too long, or goes wrong, is done by the next agent.
    pub(super) async fn finish_ending(&mut self) {
        let latest = Instant::now() + ENDING_TIMEOUT;
        let ending = |slot: &Slot| {
            let facts = slot.view.snapshot().facts;
            facts.stop.is_some() && facts.containers.iter().all(ContainerFacts::has_no_process)
        };
        let all = self.tasks.iter().filter(|(_, slot)| ending(slot)).map(|(arn, _)| arn.clone());
        for arn in all.collect::<Vec<_>>() {
            let Some(slot) = self.tasks.get_mut(&arn) else { continue };
            let Ok(ended) = tokio::time::timeout_at(latest, &mut slot.running).await else { continue };
            if let Err(panic) = ended {
                tracing::error!(task = slot.task_id, %panic, "the actor of a task ended in a panic; the next start takes it up");
            }
            self.tasks.remove(&arn);
        }
    }

    /// Ends the actors where they are; the journal has what they know.
    pub(super) async fn let_go(&mut self) {
        for (_, mut slot) in self.tasks.drain() {
            slot.running.abort();
            // Cancelled, as it was asked to be.
            let _ = (&mut slot.running).await;
        }
    }

    pub(super) async fn remove_everything(&mut self, grace: Duration) {
        for slot in self.tasks.values() {
            let _ = slot.commands.send(Command::StopSoon { grace }).await;
        }
        let latest = Instant::now() + grace + REMOVAL_TIMEOUT;
        for (_, mut slot) in self.tasks.drain() {
            // It ends by itself; a panic in it is as good as an end here, the sweep does the rest.
            if tokio::time::timeout_at(latest, &mut slot.running).await.is_err() {
                tracing::warn!(task = slot.task_id, "a task did not end in time and is swept away");
                slot.running.abort();
                // Cancelled, as it was asked to be.
                let _ = (&mut slot.running).await;
            }
        }
        if let Err(error) = self.node.machine.runtime.sweep(BTreeSet::new()).await {
            tracing::error!(%error, "sandboxes could not be removed");
        }
        if let Err(error) = self.node.machine.runtime.dispose().await {
            tracing::error!(%error, "the runtime's own leavings could not be removed");
        }
        self.balancers.stop().await;
        if let Err(error) = self.node.machine.network.remove_everything().await {
            tracing::error!(error, "the network could not be removed");
        }
        let trash = Arc::clone(&self.node.trash);
        let _ = tokio::task::spawn_blocking(move || trash.empty()).await;
    }
}
