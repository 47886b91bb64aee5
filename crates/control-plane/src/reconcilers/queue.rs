//! Which services are to be looked at, and when: each at most once, and never twice at the same time.
//!
//! Pure bookkeeping over instants that are passed in.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;
use vocabulary::Scope;

/// A service: its scope and the key of its record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub scope: Scope,
    pub service: String,
}

/// Between two looks at one service: what changes in quick succession is looked at together.
const SPACING: Duration = Duration::from_millis(5);
/// After the first failure in a row, doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    due: BTreeSet<(Instant, Key)>,
    /// When each that waits is due.
    waiting: HashMap<Key, Instant>,
    /// Being looked at; true: something changed meanwhile.
    busy: HashMap<Key, bool>,
    /// Failures in a row.
    failures: HashMap<Key, u32>,
    /// Whose placement is worth another try, since capacity has changed.
    capacity: HashSet<Key>,
}

impl Queue {
    /// Something about the service has changed.
    pub fn changed(&mut self, key: Key, now: Instant) {
        match self.busy.get_mut(&key) {
            Some(again) => *again = true,
            // One that fails keeps its pause, whatever changes.
            None if self.failures.contains_key(&key) && self.waiting.contains_key(&key) => {}
            None => self.at(key, now + SPACING),
        }
    }

    /// [`Queue::changed`], by capacity that came or went.
    pub fn capacity_changed(&mut self, key: Key, now: Instant) {
        self.capacity.insert(key.clone());
        self.changed(key, now);
    }

    /// Looks again at `at`, or earlier if it is due earlier.
    fn at(&mut self, key: Key, at: Instant) {
        if let Some(earlier) = self.waiting.get(&key) {
            if *earlier <= at {
                return;
            }
            self.due.remove(&(*earlier, key.clone()));
        }
        self.waiting.insert(key.clone(), at);
        self.due.insert((at, key));
    }

    /// When the next is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next that is due, to be looked at now; the flag: capacity has changed since it was last.
    pub fn take(&mut self, now: Instant) -> Option<(Key, bool)> {
        if self.next_due()? > now {
            return None;
        }
        let (_, key) = self.due.pop_first()?;
        self.waiting.remove(&key);
        self.busy.insert(key.clone(), false);
        let capacity = self.capacity.remove(&key);
        Some((key, capacity))
    }

    /// It was looked at, and is to be again after `wake_in` at the latest, if ever.
    pub fn done(&mut self, key: Key, wake_in: Option<Duration>, now: Instant) {
        self.failures.remove(&key);
        let changed = self.busy.remove(&key) == Some(true);
        let at = match (changed, wake_in) {
            (true, _) => now + SPACING,
            (false, Some(wait)) => now + wait.max(SPACING),
            (false, None) => return,
        };
        self.at(key, at);
    }

    /// It could not be looked at; it is tried again after a pause that grows.
    pub fn failed(&mut self, key: Key, now: Instant) {
        self.busy.remove(&key);
        let failures = self.failures.entry(key.clone()).or_default();
        let pause = FIRST_PAUSE.saturating_mul(1 << (*failures).min(8)).min(LONGEST_PAUSE);
        *failures = failures.saturating_add(1);
        self.at(key, now + pause);
    }
}

#[cfg(test)]
mod tests {
    use vocabulary::AccountId;

    use super::*;

    fn key(name: &str) -> Key {
        Key {
            scope: Scope::new(AccountId::local(), "us-east-1".parse().unwrap()),
            service: format!("default/{name}"),
        }
    }

    #[test]
    fn what_changes_while_it_is_looked_at_is_looked_at_again_and_never_twice_at_once() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.changed(key("a"), start);
        queue.changed(key("a"), start);
        assert_eq!(queue.take(start), None, "changes are gathered");
        let now = start + SPACING;
        assert_eq!(queue.take(now), Some((key("a"), false)));
        queue.changed(key("a"), now);
        assert_eq!(queue.take(now + SPACING), None);
        queue.done(key("a"), None, now);
        assert_eq!(queue.take(now + SPACING), Some((key("a"), false)));
        queue.done(key("a"), None, now);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    fn timers_wait_and_changes_come_earlier() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.changed(key("a"), start);
        queue.take(start + SPACING).unwrap();
        queue.done(key("a"), Some(Duration::from_secs(40)), start);
        assert_eq!(queue.next_due(), Some(start + Duration::from_secs(40)));
        queue.capacity_changed(key("a"), start);
        assert_eq!(queue.take(start + SPACING), Some((key("a"), true)));
    }

    #[test]
    fn pauses_grow_with_failures_and_changes_do_not_shorten_them() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.changed(key("a"), start);
        queue.take(start + SPACING).unwrap();
        queue.failed(key("a"), start);
        queue.changed(key("a"), start);
        assert_eq!(queue.next_due(), Some(start + FIRST_PAUSE));
        for _ in 0..20 {
            queue.take(start + LONGEST_PAUSE).unwrap();
            queue.failed(key("a"), start);
        }
        assert_eq!(queue.next_due(), Some(start + LONGEST_PAUSE));
    }
}
