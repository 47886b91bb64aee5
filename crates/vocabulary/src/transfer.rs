//! Transfers under way, for whoever shows them to a person: who moves bytes says so here, who draws looks on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The transfers of one process. Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Transfers(Arc<Mutex<UnderWay>>);

#[derive(Debug, Default)]
struct UnderWay {
    last: u64,
    transfers: BTreeMap<u64, Arc<Counts>>,
}

/// Seen from the node: an image that comes from a registry, or one that a client sends to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Pull,
    Push,
}

#[derive(Debug)]
struct Counts {
    direction: Direction,
    name: String,
    bytes: AtomicU64,
    /// Zero is not known.
    total: AtomicU64,
}

/// One transfer; it is over when this is dropped.
#[derive(Debug)]
pub struct Transfer {
    number: u64,
    counts: Arc<Counts>,
    of: Transfers,
}

/// How far a transfer has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferProgress {
    /// Tells the transfers of one process apart.
    pub number: u64,
    pub direction: Direction,
    pub name: String,
    pub bytes: u64,
    pub total: Option<u64>,
}

impl Transfers {
    /// `name` is what a person calls it: a repository, an image.
    pub fn begin(&self, direction: Direction, name: impl Into<String>, total: Option<u64>) -> Transfer {
        let counts = Arc::new(Counts {
            direction,
            name: name.into(),
            bytes: AtomicU64::new(0),
            total: AtomicU64::new(total.unwrap_or(0)),
        });
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.last += 1;
        let number = under_way.last;
        under_way.transfers.insert(number, Arc::clone(&counts));
        Transfer { number, counts, of: self.clone() }
    }

    /// Oldest first.
    pub fn under_way(&self) -> Vec<TransferProgress> {
        let under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.transfers.iter().map(|(number, counts)| counts.progress(*number)).collect()
    }
}

impl Transfer {
    pub fn add(&self, bytes: u64) {
        self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All bytes so far. A smaller number than before is passed over: reports may overtake each other.
    pub fn set(&self, bytes: u64) {
        self.counts.bytes.fetch_max(bytes, Ordering::Relaxed);
    }

    pub fn set_total(&self, bytes: u64) {
        self.counts.total.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).transfers.remove(&self.number);
    }
}

impl Counts {
    fn progress(&self, number: u64) -> TransferProgress {
        let total = self.total.load(Ordering::Relaxed);
        TransferProgress {
            number,
            direction: self.direction,
            name: self.name.clone(),
            bytes: self.bytes.load(Ordering::Relaxed),
            total: (total > 0).then_some(total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_seen_until_it_is_dropped() {
        let transfers = Transfers::default();
        let pull = transfers.begin(Direction::Pull, "web:v1", None);
        let push = transfers.begin(Direction::Push, "web", Some(10));
        pull.set_total(100);
        pull.set(40);
        pull.set(30);
        push.add(4);
        push.add(3);
        let seen = transfers.under_way();
        assert_eq!((seen[0].bytes, seen[0].total), (40, Some(100)));
        assert_eq!((seen[1].bytes, seen[1].total, seen[1].name.as_str()), (7, Some(10), "web"));
        drop(pull);
        assert_eq!(transfers.under_way().len(), 1);
        drop(push);
        assert!(transfers.under_way().is_empty());
    }
}
