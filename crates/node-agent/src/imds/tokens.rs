//! Tokens of sessions: random, kept in memory, gone with the process.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::time::Instant;

/// Tokens that are remembered. A client has one, and renews it every six hours.
const MOST: usize = 10_000;
/// The longest that a token may be asked for.
pub(super) const LONGEST_SECONDS: u64 = 21_600;

#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Instant>>);

impl Tokens {
    /// A new token. None when there are as many as can be, or no randomness.
    pub(super) fn issue(&self, seconds: u64, now: Instant) -> Option<String> {
        let mut bytes = [0; 40];
        getrandom::fill(&mut bytes).ok()?;
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, end| *end > now);
        }
        if known.len() >= MOST {
            return None;
        }
        known.insert(token.clone(), now + Duration::from_secs(seconds.min(LONGEST_SECONDS)));
        Some(token)
    }

    pub(super) fn holds(&self, token: &str, now: Instant) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(token).is_some_and(|end| *end > now)
    }
}
