//! What waits to be said to the control plane about one task, in order, again and again until it is taken.
//!
//! State changes are whole statements, so that only the newest waits; states of attachments are few and wait in line. What was
//! not taken when the agent ends is said again by the next one, from the journal.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use agent_protocol::{
    ControlError, ControlPlane,
    state::{AttachmentStateChange, TaskStateChange},
};
use tokio::sync::watch;

use crate::retry::Backoff;

#[derive(Debug, Default)]
struct Waiting {
    task: Option<TaskStateChange>,
    attachments: VecDeque<AttachmentStateChange>,
}

/// Dropping it stops the sending.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Arc<Mutex<Waiting>>,
    /// True while there is something to send or being sent.
    busy: watch::Sender<bool>,
    sender: tokio::task::AbortHandle,
}

impl Outbox {
    pub(crate) fn new(control: Arc<dyn ControlPlane>) -> Outbox {
        Outbox::after(std::future::ready(()), control)
    }

    /// Says nothing of the task's state before `ready`.
    pub(crate) fn after(
        ready: impl Future<Output = ()> + Send + 'static,
        control: Arc<dyn ControlPlane>,
    ) -> Outbox {
        let waiting = Arc::<Mutex<Waiting>>::default();
        let busy = watch::Sender::new(false);
        let sender = tokio::spawn(send(Arc::clone(&waiting), busy.clone(), ready, control)).abort_handle();
        Outbox { waiting, busy, sender }
    }

    pub(crate) fn task(&self, change: TaskStateChange) {
        lock(&self.waiting).task = Some(change);
        self.busy.send_replace(true);
    }

    pub(crate) fn attachment(&self, change: AttachmentStateChange) {
        lock(&self.waiting).attachments.push_back(change);
        self.busy.send_replace(true);
    }

    /// Waits until everything was taken.
    pub(crate) async fn drained(&self) {
        // The sender of this channel is ours, so that it cannot be closed.
        let _ = self.busy.subscribe().wait_for(|busy| !busy).await;
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

async fn send(
    waiting: Arc<Mutex<Waiting>>,
    busy: watch::Sender<bool>,
    ready: impl Future<Output = ()>,
    control: Arc<dyn ControlPlane>,
) {
    let mut ready = Some(Box::pin(ready));
    let mut changes = busy.subscribe();
    loop {
        if changes.wait_for(|busy| *busy).await.is_err() {
            return;
        }
        while let Some(message) = next(&waiting, &busy) {
            if matches!(message, Message::Task(_))
                && let Some(ready) = ready.take()
            {
                ready.await;
            }
            submit(message, control.as_ref()).await;
        }
    }
}

enum Message {
    Task(TaskStateChange),
    Attachment(AttachmentStateChange),
}

/// Takes what is next, or says under the same lock that there is nothing.
fn next(waiting: &Mutex<Waiting>, busy: &watch::Sender<bool>) -> Option<Message> {
    let mut waiting = lock(waiting);
    if let Some(change) = waiting.attachments.pop_front() {
        return Some(Message::Attachment(change));
    }
    if let Some(change) = waiting.task.take() {
        return Some(Message::Task(change));
    }
    busy.send_replace(false);
    None
}

async fn submit(message: Message, control: &dyn ControlPlane) {
    let mut backoff = Backoff::default();
    loop {
        let outcome = match &message {
            Message::Task(change) => control.submit_task_state(change.clone()).await,
            Message::Attachment(change) => control.submit_attachment_state(change.clone()).await,
        };
        match outcome {
            Ok(()) => return,
            Err(ControlError::Unavailable(reason)) => {
                tracing::debug!(reason, "a state change waits for the control plane");
                backoff.wait().await;
            }
            Err(error @ ControlError::Refused { .. }) => {
                tracing::warn!(%error, "the control plane refused a state change");
                return;
            }
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use agent_protocol::state::{AttachmentStatus, TaskStatus};

    use super::*;
    use crate::tests::control::{FakeControl, Link};

    #[tokio::test(start_paused = true)]
    async fn nothing_is_said_of_a_task_before_it_is_ready() {
        let control = Arc::<FakeControl>::default();
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        let ready = async { gate.await.unwrap() };
        let outbox = Outbox::after(ready, Arc::new(Link(Arc::clone(&control))));
        let (cluster, task) = ("web".to_owned(), "t1".to_owned());
        outbox.task(crate::agent::last_word(task.clone(), cluster.clone(), None, String::new()));
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        assert!(control.said.lock().unwrap().changes.is_empty());
        open.send(()).unwrap();
        control.status(TaskStatus::Stopped).await;
        // Once is enough.
        let (attachment_arn, status) = ("a".to_owned(), AttachmentStatus::Detached);
        outbox.attachment(AttachmentStateChange { cluster, task, attachment_arn, status });
        outbox.drained().await;
        assert_eq!(control.said.lock().unwrap().attachments.len(), 1);
    }
}
