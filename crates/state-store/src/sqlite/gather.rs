//! Whether to wait a moment before a commit for more requests to share it.
//!
//! Callers that were answered by the last commit come back while the next one is already under way, so under load two crowds
//! form that take turns, and half of the time nobody's request moves. A pause of a fraction of a commit merges them. A few
//! callers never wait: they gain less than they lose.

use std::time::Duration;

/// Callers, in the last batch and in this one together, from which on the pause is worth it.
const CROWD: usize = 8;

/// The part of the last commit's time that is waited for.
const FRACTION: u32 = 4;

/// The longest pause, however slow the disk is.
const LIMIT: Duration = Duration::from_millis(1);

#[derive(Debug, Default)]
pub(super) struct Gather {
    last_batch: usize,
    last_commit: Duration,
}

impl Gather {
    /// How long to wait for more, with `waiting` requests at hand.
    pub fn pause(&self, waiting: usize) -> Option<Duration> {
        let pause = (self.last_commit / FRACTION).min(LIMIT);
        (waiting + self.last_batch >= CROWD && !pause.is_zero()).then_some(pause)
    }

    /// Notes how many requests a commit served and how long it took.
    pub fn committed(&mut self, batch: usize, took: Duration) {
        self.last_batch = batch;
        self.last_commit = took;
    }
}
