//! Waits between attempts: doubling from 50 ms to 5 s. Whoever retries without end must be able to be dropped while it waits.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
/// So that a control plane that is back is noticed soon.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: FIRST }
    }
}

impl Backoff {
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(LONGEST);
    }
}
