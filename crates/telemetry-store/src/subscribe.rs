//! Following a group live: every acknowledged batch is offered to those who asked for its stream.
//!
//! A follower that does not keep up loses batches, never the writer time; how many events it lost comes with
//! the next item it takes, and the store still has them.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc;

use crate::{
    error::StoreError,
    model::{LogGroupKey, LogStreamKey, StoredEvent, StreamSelection},
};

/// Batches that wait for one follower: at one per commit this is seconds of a busy stream.
const QUEUE: usize = 256;
/// Open subscriptions: each is a queue in memory and a comparison per append.
const LIMIT: usize = 4096;

/// One acknowledged append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailBatch {
    pub key: LogStreamKey,
    pub events: Vec<StoredEvent>,
}

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailItem {
    Batch(Arc<TailBatch>),
    /// This many events were passed over because the follower was behind.
    Lagged(u64),
}

/// A live view of some streams of a group. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    batches: mpsc::Receiver<Arc<TailBatch>>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Follower {
    group: LogGroupKey,
    streams: StreamSelection,
    batches: mpsc::Sender<Arc<TailBatch>>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
pub(crate) struct Followers(Mutex<Vec<Follower>>);

impl Subscription {
    /// The next batch; `None` when the store is closed. May be dropped while waiting without losing anything.
    pub async fn next(&mut self) -> Option<TailItem> {
        match self.lost.swap(0, Ordering::Relaxed) {
            0 => self.batches.recv().await.map(TailItem::Batch),
            lost => Some(TailItem::Lagged(lost)),
        }
    }
}

impl Followers {
    pub fn add(&self, group: LogGroupKey, streams: StreamSelection) -> Result<Subscription, StoreError> {
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| !follower.batches.is_closed());
        if followers.len() >= LIMIT {
            return Err(StoreError::TooManySubscriptions { limit: LIMIT });
        }
        let (sender, batches) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        followers.push(Follower { group, streams, batches: sender, lost: lost.clone() });
        Ok(Subscription { batches, lost })
    }

    /// Offers an acknowledged batch; nothing here waits.
    pub fn publish(&self, key: &LogStreamKey, events: Vec<StoredEvent>) {
        let mut followers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if followers.is_empty() {
            return;
        }
        followers.retain(|follower| !follower.batches.is_closed());
        let concerned =
            |follower: &&Follower| follower.group == key.group && follower.streams.contains(&key.stream);
        if !followers.iter().any(|follower| concerned(&follower)) {
            return;
        }
        let batch = Arc::new(TailBatch { key: key.clone(), events });
        for follower in followers.iter().filter(concerned) {
            if follower.batches.try_send(batch.clone()).is_err() {
                follower.lost.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
            }
        }
    }

    pub fn close(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
