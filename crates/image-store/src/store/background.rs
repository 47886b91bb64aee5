//! Who is still at work in threads that nobody awaits.

use tokio::sync::watch;

/// Counts jobs; lets one wait for there being none.
pub(super) struct Background {
    running: watch::Sender<usize>,
}

/// A job, from its making to its drop.
pub(super) struct Job {
    running: watch::Sender<usize>,
}

impl Default for Background {
    fn default() -> Background {
        Background { running: watch::Sender::new(0) }
    }
}

impl Background {
    pub(super) fn job(&self) -> Job {
        self.running.send_modify(|count| *count += 1);
        Job { running: self.running.clone() }
    }

    pub(super) async fn idle(&self) {
        // The sender lives as long as `self`: the wait cannot fail.
        let _ = self.running.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.running.send_modify(|count| *count -= 1);
    }
}
