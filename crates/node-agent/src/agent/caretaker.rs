//! Stands in for a task whose actor panics for good.
//!
//! Its containers run on unwatched; the task is still the node's, so that it is neither begun a second time nor said to be unknown. Asked
//! to stop it, the caretaker removes what the task has on the machine without the planning that failed, says that it is stopped, and ends.

use std::sync::Arc;

use agent_protocol::state::TaskStateChange;
use tokio::sync::mpsc;

use crate::{
    journal::TaskJournal,
    node::Node,
    outbox::Outbox,
    task::{Command, removal},
};

/// Said of a task that was stopped this way: how its containers ended was not seen.
pub(super) const UNWATCHED: &str =
    "The agent failed to watch over the task, and removed it when it was asked to stop";

/// Lives until the task is stopped and the control plane knows. `last_word` is what it is told.
pub(super) async fn take_care(
    node: Arc<Node>,
    task_id: String,
    last_word: TaskStateChange,
    mut commands: mpsc::Receiver<Command>,
) {
    loop {
        match commands.recv().await {
            // At once: nobody is there to wait for the containers' ends.
            Some(Command::Stop { .. } | Command::StopSoon { .. }) => break,
            Some(Command::TaskRole(_) | Command::ExecutionRole(_)) => {}
            None => return,
        }
    }
    let journal = TaskJournal::new(&node, &task_id);
    removal::remove_sandbox(&node, &task_id, &journal.sandbox_dir(), None).await;
    if let Some((spec, _)) = journal.load() {
        removal::detach_all(&node, &spec).await;
    }
    node.machine.images.release(&task_id).await;
    let outbox = Outbox::new(Arc::clone(&node.control));
    outbox.task(last_word);
    outbox.drained().await;
    journal.remove_in_background(&task_id).await;
}
