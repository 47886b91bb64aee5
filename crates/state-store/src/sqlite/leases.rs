//! Leases and when they end. Times are the monotonic clock's: a change of the wall clock ends no lease.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use crate::{LeaseId, StoreError};

#[derive(Debug, Default)]
pub(super) struct Leases {
    by_id: HashMap<LeaseId, Entry>,
    by_deadline: BTreeSet<(Instant, LeaseId)>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    ttl_seconds: i64,
    deadline: Instant,
}

impl Leases {
    pub fn insert(&mut self, id: LeaseId, ttl_seconds: i64, now: Instant) {
        self.remove(id);
        let deadline = deadline(now, ttl_seconds);
        self.by_id.insert(id, Entry { ttl_seconds, deadline });
        self.by_deadline.insert((deadline, id));
    }

    /// Removes the lease and returns its time to live, seconds.
    pub fn remove(&mut self, id: LeaseId) -> Option<i64> {
        let entry = self.by_id.remove(&id)?;
        self.by_deadline.remove(&(entry.deadline, id));
        Some(entry.ttl_seconds)
    }

    pub fn contains(&self, id: LeaseId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Starts the lease's time anew and returns it, seconds. A lease whose time is over has expired, even when it is still here.
    pub fn keep_alive(&mut self, id: LeaseId, now: Instant) -> Result<i64, StoreError> {
        let live = self.by_id.get(&id).filter(|entry| entry.deadline > now);
        let ttl_seconds = live.ok_or(StoreError::LeaseNotFound(id))?.ttl_seconds;
        self.insert(id, ttl_seconds, now);
        Ok(ttl_seconds)
    }

    /// Granted and remaining seconds.
    pub fn time_to_live(&self, id: LeaseId, now: Instant) -> Result<(i64, i64), StoreError> {
        let live = self.by_id.get(&id).filter(|entry| entry.deadline > now);
        let entry = live.ok_or(StoreError::LeaseNotFound(id))?;
        let remaining = entry.deadline.saturating_duration_since(now).as_secs();
        Ok((entry.ttl_seconds, i64::try_from(remaining).unwrap_or(i64::MAX)))
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// At most `limit` leases whose time is over, the longest overdue first.
    pub fn expired(&self, now: Instant, limit: usize) -> Vec<LeaseId> {
        let overdue = self.by_deadline.iter().take_while(|(deadline, _)| *deadline <= now);
        overdue.take(limit).map(|(_, id)| *id).collect()
    }
}

/// A lease of more than a century never ends in the life of a process; the monotonic clock may not reach that far.
fn deadline(now: Instant, ttl_seconds: i64) -> Instant {
    const CENTURY_SECONDS: u64 = 100 * 365 * 24 * 3600;
    now + Duration::from_secs(ttl_seconds.unsigned_abs().min(CENTURY_SECONDS))
}
