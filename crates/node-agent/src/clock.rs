//! The agent's clock. Tests run it on tokio's, which they can pause.

use vocabulary::Timestamp;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Clock {
    System,
    /// Begins at a fixed time and goes as tokio's does.
    #[cfg(test)]
    Tokio(tokio::time::Instant),
}

impl Clock {
    pub(crate) fn now(self) -> Timestamp {
        match self {
            Clock::System => std::time::SystemTime::now().into(),
            #[cfg(test)]
            Clock::Tokio(start) => Timestamp::from_millis(1_700_000_000_000) + start.elapsed(),
        }
    }
}
