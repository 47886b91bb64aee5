//! One download per layer, however many pulls want it.
//!
//! The download is a task of its own: it goes on while anyone waits for it and is aborted when the last one leaves.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::{sync::watch, task::AbortHandle};

use crate::{digest::Digest, error::PullError};

type Outcome = Result<(), PullError>;

#[derive(Default)]
pub(super) struct Flights {
    running: Mutex<HashMap<Digest, Weak<Flight>>>,
}

struct Flight {
    outcome: watch::Receiver<Option<Outcome>>,
    task: AbortHandle,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A place in a download: how it ended, and whether this caller's own credentials were the ones used.
pub(super) struct Seat {
    flight: Arc<Flight>,
    pub(super) is_leader: bool,
}

impl Flights {
    /// Joins the download of `layer`, or starts `download` when there is none. None when `is_present` says, under the
    /// same lock, that there is nothing to do.
    pub(super) fn board<F: Future<Output = Outcome> + Send + 'static>(
        &self,
        layer: &Digest,
        is_present: impl FnOnce() -> bool,
        download: impl FnOnce() -> F,
    ) -> Option<Seat> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if is_present() {
            return None;
        }
        if let Some(flight) = running.get(layer).and_then(Weak::upgrade)
            && flight.outcome.borrow().is_none()
        {
            return Some(Seat { flight, is_leader: false });
        }
        running.retain(|_, flight| flight.strong_count() > 0);
        let (sender, outcome) = watch::channel(None);
        let work = download();
        let task = tokio::spawn(async move {
            let result = work.await;
            // Nobody waiting any more is nobody to tell.
            let _ = sender.send(Some(result));
        });
        let flight = Arc::new(Flight { outcome, task: task.abort_handle() });
        running.insert(layer.clone(), Arc::downgrade(&flight));
        Some(Seat { flight, is_leader: true })
    }
}

impl Seat {
    pub(super) async fn outcome(&self) -> Outcome {
        let mut receiver = self.flight.outcome.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            Err(_) => Err(PullError::Store(crate::error::StoreError::Task {
                detail: "the download of a layer was aborted".to_owned(),
            })),
        }
    }
}
