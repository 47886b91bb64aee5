//! What keeps secrets unreadable where they lie. Who holds the key decides how; those who write only know that it is done.

use std::fmt;

/// Encrypts with authentication. Its `Debug` form shows nothing of the key.
pub trait Seal: fmt::Debug + Send + Sync {
    /// Seals `plain` for `context`, which names the one place where it belongs.
    fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8>;

    /// What was sealed for `context`; none when it was sealed with another key or for another place, or was changed.
    fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>>;
}
