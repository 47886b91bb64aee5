//! The trail: where events wait, and how they get to disk.
//!
//! A call does not wait for the disk. It takes a place in a queue before it is carried out and leaves its event there when it is answered; one
//! task writes what has gathered, many events with one sync. What cannot be written is kept and tried again, so a disk that takes
//! nothing fills the queue. From then on calls that change something are refused before they are carried out, and calls that only read are
//! answered, counted as missing, and told in the log. The reasons are in decision 17.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use state_store::State;
use telemetry_store::{LogEvent, LogGroupKey, RetentionPolicy, StoreError, TelemetryStore};
use tokio::sync::{mpsc, oneshot};
use vocabulary::{Scope, Timestamp};

use super::event::Entry;

/// Events that may wait. Each takes a few kilobytes, so that a disk that stands still costs no more than some megabytes.
const QUEUE: usize = 2048;
/// Events written with one sync.
const BATCH: usize = 512;
/// How long a call may wait for a place while events are still being written.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long until a batch that could not be written is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long those who read wait for what has been queued before.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// LookupEvents goes back so far.
pub const KEPT_DAYS: u32 = 90;

pub(super) const GROUP: &str = "trail";
const STREAM: &str = "events";

enum Item {
    Event(Box<Entry>),
    /// Answered when everything before it is on disk.
    Settle(oneshot::Sender<()>),
}

/// A place in the queue.
pub struct Place(mpsc::OwnedPermit<Item>);

impl Place {
    pub fn fill(self, entry: Entry) {
        self.0.send(Item::Event(Box::new(entry)));
    }
}

/// No place was to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit trail cannot be written")]
pub struct Full;

struct Inner {
    queue: mpsc::Sender<Item>,
    stuck: Arc<AtomicBool>,
    lost: AtomicU64,
    store: TelemetryStore,
}

/// The trail of all accounts. Cheap to clone.
#[derive(Clone)]
pub struct Trail(Arc<Inner>);

impl std::fmt::Debug for Trail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trail")
    }
}

impl Trail {
    /// A trail in `store`, which is the trail's alone. Writes until the last clone is gone.
    pub fn start(store: TelemetryStore, state: State) -> Trail {
        let (queue, items) = mpsc::channel(QUEUE);
        let stuck = Arc::new(AtomicBool::new(false));
        tokio::spawn(write(items, store.clone(), state, Arc::clone(&stuck)));
        Trail(Arc::new(Inner { queue, stuck, lost: AtomicU64::new(0), store }))
    }

    /// A place for the event of a call that is about to be carried out.
    ///
    /// # Errors
    /// [`Full`] when the disk takes no more events.
    pub async fn place(&self) -> Result<Place, Full> {
        let queue = self.0.queue.clone();
        if let Ok(place) = queue.clone().try_reserve_owned() {
            return Ok(Place(place));
        }
        if self.0.stuck.load(Ordering::Relaxed) {
            return Err(Full);
        }
        match tokio::time::timeout(PLACE_TIMEOUT, queue.reserve_owned()).await {
            Ok(Ok(place)) => Ok(Place(place)),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }

    /// Leaves the event of something that is done already, or counts it as lost.
    pub fn leave(&self, entry: Entry) {
        match self.0.queue.clone().try_reserve_owned() {
            Ok(place) => Place(place).fill(entry),
            Err(_) => self.count_lost(&entry.name),
        }
    }

    /// An event that found no place. The first is told at once, then every thousandth.
    pub fn count_lost(&self, name: &str) {
        let lost = self.0.lost.fetch_add(1, Ordering::Relaxed) + 1;
        if lost == 1 || lost.is_multiple_of(1000) {
            tracing::error!(
                lost,
                event = name,
                "events are missing from the audit trail: it cannot be written"
            );
        }
    }

    /// Events that are missing since the start.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Waits, within bounds, until what has been left so far can be read.
    pub async fn settle(&self) {
        let (done, settled) = oneshot::channel();
        let wait = async {
            if self.0.queue.send(Item::Settle(done)).await.is_ok() {
                let _ = settled.await;
            }
        };
        if tokio::time::timeout(SETTLE_TIMEOUT, wait).await.is_err() {
            tracing::warn!("events of the audit trail wait to be written");
        }
    }

    pub fn store(&self) -> &TelemetryStore {
        &self.0.store
    }

    /// Forgets what is older than is kept.
    ///
    /// # Errors
    /// What the store says.
    pub async fn forget(&self, now: Timestamp) -> Result<(), StoreError> {
        let policy = RetentionPolicy { default_days: Some(KEPT_DAYS), ..RetentionPolicy::default() };
        self.0.store.retain(policy, now).await.map(|_| ())
    }

    /// Writes what waits, and closes the store.
    pub async fn close(&self) {
        self.settle().await;
        if let Err(error) = self.0.store.close().await {
            tracing::warn!(%error, "the audit trail did not close cleanly");
        }
    }
}

/// The events of one account and region.
pub(super) fn group(scope: &Scope) -> LogGroupKey {
    LogGroupKey::new(scope.clone(), GROUP)
}

async fn write(mut items: mpsc::Receiver<Item>, store: TelemetryStore, state: State, stuck: Arc<AtomicBool>) {
    let mut gathered = Vec::with_capacity(BATCH);
    while items.recv_many(&mut gathered, BATCH).await > 0 {
        let (mut batches, mut waiting) = (BTreeMap::<Scope, Vec<LogEvent>>::new(), Vec::new());
        {
            let view = state.view();
            for item in gathered.drain(..) {
                match item {
                    Item::Event(entry) => {
                        let scope = Scope::new(entry.account.clone(), entry.region.clone());
                        let message = entry.record(&view);
                        let event = LogEvent { timestamp: entry.at, ingestion: entry.at, message };
                        batches.entry(scope).or_default().push(event);
                    }
                    Item::Settle(done) => waiting.push(done),
                }
            }
        }
        for (scope, events) in batches {
            if !append(&store, &scope, events, &stuck).await {
                return;
            }
        }
        for done in waiting {
            let _ = done.send(());
        }
    }
}

/// Tries until it is written; whether there is still a store.
async fn append(store: &TelemetryStore, scope: &Scope, events: Vec<LogEvent>, stuck: &AtomicBool) -> bool {
    loop {
        match store.append_logs(group(scope).stream(STREAM), events.clone()).await {
            Ok(_) => {
                if stuck.swap(false, Ordering::Relaxed) {
                    tracing::warn!("the audit trail is written again");
                }
                return true;
            }
            Err(StoreError::Closed) => return false,
            Err(error) => {
                if !stuck.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the audit trail cannot be written; calls that change something are refused when its queue is full");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
