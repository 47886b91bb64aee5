//! Turns the changing picture of a task into events.
//!
//! An event is what differs between two pictures, so that a slow reader skips nothing that lasts, and nothing is queued. A container
//! that started and ended between two looks yields both events.

use super::connection::Picture;
use crate::status::{ContainerState, ContainerStatus, Event, Statuses};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// The events of one task from the moment of the call (or, after an adoption, from what the caller had seen).
#[derive(Debug)]
pub struct EventStream {
    pictures: watch::Receiver<Arc<Picture>>,
    seen: Statuses,
    queue: VecDeque<Event>,
    finished: bool,
}

impl EventStream {
    pub(super) fn new(pictures: watch::Receiver<Arc<Picture>>, seen: Statuses) -> EventStream {
        EventStream { pictures, seen, queue: VecDeque::new(), finished: false }
    }

    /// The next event; `None` after the task was shut down or every handle of it was dropped. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.finished {
                return None;
            }
            let picture = Arc::clone(&self.pictures.borrow_and_update());
            self.queue.extend(differences(&self.seen, &picture.statuses));
            self.seen = picture.statuses.clone();
            if let Some(gone) = &picture.gone {
                self.finished = true;
                if gone.died {
                    self.queue.push_back(Event::ShimDied { reason: gone.reason.clone() });
                }
            } else if self.queue.is_empty() && self.pictures.changed().await.is_err() {
                return None;
            }
        }
    }
}

/// What happened to containers between two pictures.
pub(super) fn differences(before: &Statuses, after: &Statuses) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, now) in after {
        // A removed and newly made container of the same name is another one.
        let then = before.get(name).filter(|then| then.created_at == now.created_at);
        if then == Some(now) {
            continue;
        }
        let state_then = then.map_or(ContainerState::Created, |then| then.state);
        events.extend(steps(name, state_then, now));
    }
    events
}

fn steps(name: &str, then: ContainerState, now: &ContainerStatus) -> Vec<Event> {
    let mut events = Vec::new();
    if let (ContainerState::Created, Some(at), Some(pid)) = (then, now.started_at, now.pid) {
        events.push(Event::Started { name: name.to_owned(), pid, at });
    }
    if then != ContainerState::Exited && now.is_exited() {
        let (name, status) = (name.to_owned(), Box::new(now.clone()));
        events.push(match now.started_at {
            Some(_) => Event::Exited { name, status },
            None => Event::Error { name, status },
        });
    }
    events
}
