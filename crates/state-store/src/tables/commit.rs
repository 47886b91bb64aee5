//! Committing an attempt, and what follows when it conflicts.
//!
//! A conflict names the revision that the tables must have reached before another attempt makes sense: the failure branch
//! reads back where the guarded keys stand now. Attempts after the first queue up in one lane, so that many writers of one
//! record on this server take turns instead of defeating each other; between servers a jittered pause does that.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{StateError, Tx, feed::Feed};
use crate::{Compare, Fence, KeyRange, Op, OpResult, RangeRequest, Revision, Store, Txn};

/// Attempts of one transaction. With the lane a second or third attempt succeeds; a conflict in each of so many means that
/// the transaction reads more than it should.
pub(super) const ATTEMPTS: usize = 32;

/// Guarded keys that the failure branch reads back: enough to see who was in the way, within the limits of a request.
const READ_BACK: usize = 16;

/// How long the tables may lag behind the store before a caller is told.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(10);

/// Attempts before pauses begin: in one process the lane is enough.
const ATTEMPTS_WITHOUT_PAUSE: usize = 4;

/// The longest pause between attempts.
const PAUSE_LIMIT_MS: u64 = 64;

pub(super) enum Outcome {
    Committed,
    Conflict,
}

/// Where transactions that met a conflict wait for each other, first come, first served.
#[derive(Default)]
pub(super) struct Lanes(Arc<Mutex<()>>);

impl Lanes {
    /// Pauses if the attempt calls for it, and returns once it is this transaction's turn.
    pub async fn enter(&self, attempt: usize) -> OwnedMutexGuard<()> {
        if let Some(doublings) = attempt.checked_sub(ATTEMPTS_WITHOUT_PAUSE) {
            let limit = (1 << doublings.min(6)).min(PAUSE_LIMIT_MS);
            // Without randomness the pause has its full length.
            let jitter = getrandom::u32().map_or(limit * 1000, |random| u64::from(random) % (limit * 1000));
            tokio::time::sleep(Duration::from_micros(jitter)).await;
        }
        self.0.clone().lock_owned().await
    }
}

/// Commits what `tx` wrote under the condition of what it read. Returns when the tables show the outcome: the commit, or
/// what it conflicted with.
pub(super) async fn commit(store: &dyn Store, feed: &Feed, tx: &Tx) -> Result<Outcome, StateError> {
    if let Some(error) = &tx.invalid {
        return Err(error.clone());
    }
    if tx.writes.is_empty() {
        return Ok(Outcome::Committed);
    }
    feed.healthy()?;
    let (compares, success) = tx.request();
    let failure = read_back(tx, &compares);
    let _own = feed.expect(tx);
    let response = store.txn(Txn { compares, success, failure }).await?;
    if response.succeeded {
        reach(feed, response.revision).await?;
        return Ok(Outcome::Committed);
    }
    let mut found = response.results.iter().filter_map(|result| match result {
        OpResult::Range(range) => Some(range.kvs.first()),
        OpResult::Put | OpResult::Delete(_) => None,
    });
    if let Some(fence) = &tx.fence
        && let Some(leader) = found.next()
        && !leader.is_some_and(|leader| fence.is_held_by(leader))
    {
        return Err(StateError::NotLeader);
    }
    // Whatever was in the way came after the snapshot, so at least one more revision is on its way.
    let newest = found.flatten().map(|kv| kv.mod_revision).max().unwrap_or(0);
    reach(feed, newest.max(tx.view().revision() + 1)).await?;
    Ok(Outcome::Conflict)
}

fn read_back(tx: &Tx, compares: &[Compare]) -> Vec<Op> {
    let fence = tx.fence.iter().map(|fence: &Fence| fence.range());
    let skipped = usize::from(tx.fence.is_some());
    let points = compares.iter().skip(skipped).map(|compare| compare.range.clone());
    let ranges: Vec<KeyRange> = fence.chain(points.filter(KeyRange::is_single)).take(READ_BACK).collect();
    ranges.into_iter().map(|range| Op::Range(RangeRequest::new(range).keys_only())).collect()
}

async fn reach(feed: &Feed, wanted: Revision) -> Result<(), StateError> {
    let reached = tokio::time::timeout(FOLLOW_TIMEOUT, feed.wait_for(wanted)).await;
    reached.unwrap_or_else(|_| Err(StateError::Behind { reached: feed.revision(), wanted }))
}
