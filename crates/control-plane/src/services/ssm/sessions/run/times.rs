//! What ends with time, and what is done again: inactivity, the longest a session may last, clients that stay away, messages that nobody acknowledged.

use std::time::Duration;

use tokio::time::Instant;

use super::{Session, Stage};

/// When a client's message cannot be passed on yet, it is tried again after so long.
const RETRY: Duration = Duration::from_millis(10);

/// How long a session waits for its client.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// To connect for the first time, and to come back.
    pub absence: Duration,
    pub handshake: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { absence: Duration::from_secs(60), handshake: Duration::from_secs(30) }
    }
}

impl Session {
    /// When to look again, whatever happens.
    pub(super) fn deadline(&self) -> Instant {
        let plan = &self.opening.plan;
        let mut deadline = self.active_at + plan.idle_timeout;
        let mut sooner = |at: Instant| deadline = deadline.min(at);
        if let Some(longest) = plan.longest {
            sooner(self.began + longest);
        }
        if self.line.is_none() {
            sooner(self.away_since + self.opening.patience.absence);
        } else if let Some(due) = self.channel.next_due() {
            sooner(self.began + due);
        }
        if self.channel.has_next() {
            sooner(Instant::now() + RETRY);
        }
        match self.stage {
            Stage::Handshake(latest) | Stage::Closing(latest) => sooner(latest),
            Stage::Awaited | Stage::Open => {}
        }
        deadline
    }

    /// What time brings. An error is the end.
    pub(super) fn tick(&mut self) -> Result<(), ()> {
        let now = Instant::now();
        let plan = &self.opening.plan;
        if plan.longest.is_some_and(|longest| self.began + longest <= now) {
            "The session has reached its maximum duration.".clone_into(&mut self.end.output);
            return Err(());
        }
        if self.active_at + plan.idle_timeout <= now {
            "The session has timed out due to inactivity.".clone_into(&mut self.end.output);
            return Err(());
        }
        if self.line.is_none() {
            return if self.away_since + self.opening.patience.absence <= now { Err(()) } else { Ok(()) };
        }
        if let Stage::Handshake(latest) = self.stage
            && latest <= now
        {
            return self.fail("the client did not answer the handshake");
        }
        match self.channel.due(self.now()) {
            Ok(Some(bytes)) => self.write(bytes),
            Ok(None) => {}
            Err(unheard) => return self.fail(&unheard.to_string()),
        }
        Ok(())
    }
}
