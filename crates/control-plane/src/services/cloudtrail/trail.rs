//! The trail: where events wait, and how they get to disk.
//!
//! A call does not wait for the disk. It takes a place in a queue before it is carried out and leaves its event there when it is answered; one
//! task writes what has gathered, many events with one sync. What cannot be written is kept and tried again, so a disk that takes
//! nothing fills the queue. From then on calls that change something are refused before they are carried out, and calls that only read are
//! answered, counted as missing, and told in the log. The reasons are in decision 18.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use state_store::State;
use telemetry_store::{LogEvent, LogGroupKey, LogQuery, RetentionPolicy, StoreError, TelemetryStore};
use tokio::sync::{mpsc, oneshot};
use vocabulary::{Scope, Timestamp};

use super::{
    chain::{self, Link},
    event::Entry,
};

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
pub(super) const STREAM: &str = "events";

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
    /// Where the chain is, where there is one.
    chain: Option<PathBuf>,
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
    /// A trail in `store`, which is the trail's alone, chained by `chain`. Writes until the last clone is gone.
    pub fn start(store: TelemetryStore, state: State, chain: Option<chain::Writer>) -> Trail {
        let (queue, items) = mpsc::channel(QUEUE);
        let stuck = Arc::new(AtomicBool::new(false));
        let directory = chain.as_ref().map(|chain| chain.directory().to_owned());
        let writing = Writing { store: store.clone(), chain, stuck: Arc::clone(&stuck) };
        tokio::spawn(writing.run(items, state));
        Trail(Arc::new(Inner { queue, stuck, lost: AtomicU64::new(0), store, chain: directory }))
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
        self.0.store.retain(policy, now).await?;
        // After their events, so that no event is without a link.
        if let Some(directory) = self.0.chain.clone() {
            let forgetting =
                tokio::task::spawn_blocking(move || chain::forget(&directory, KEPT_DAYS, now)).await;
            if let Ok(Err(error)) = forgetting {
                tracing::warn!(%error, "old links of the audit trail's chain could not be removed");
            }
        }
        Ok(())
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

/// What writes.
struct Writing {
    store: TelemetryStore,
    chain: Option<chain::Writer>,
    stuck: Arc<AtomicBool>,
}

/// The store is closed.
struct Closed;

impl Writing {
    async fn run(mut self, mut items: mpsc::Receiver<Item>, state: State) {
        self.settle_last_link().await;
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
            if self.link(link_of(&batches)).await.is_err() {
                return;
            }
            for (scope, events) in batches {
                if self.append(&scope, events).await.is_err() {
                    return;
                }
            }
            for done in waiting {
                let _ = done.send(());
            }
        }
    }

    /// Tries until it is written.
    async fn append(&self, scope: &Scope, events: Vec<LogEvent>) -> Result<(), Closed> {
        loop {
            match self.store.append_logs(group(scope).stream(STREAM), events.clone()).await {
                Ok(_) => {
                    self.written();
                    return Ok(());
                }
                Err(StoreError::Closed) => return Err(Closed),
                Err(error) => self.not_written(&error).await,
            }
        }
    }

    /// Puts a link at the end of the chain, and tries until it is there.
    async fn link(&mut self, link: Link) -> Result<(), Closed> {
        if link.events.is_empty() && link.lost.is_empty() {
            return Ok(());
        }
        let at = Timestamp::from_millis(link.until);
        loop {
            let Some(mut chain) = self.chain.take() else { return Ok(()) };
            let own = link.clone();
            let work = tokio::task::spawn_blocking(move || {
                let outcome = chain.append(&own, at);
                (chain, outcome)
            });
            // The runtime goes.
            let Ok((chain, outcome)) = work.await else { return Err(Closed) };
            self.chain = Some(chain);
            match outcome {
                Ok(()) => {
                    self.written();
                    return Ok(());
                }
                Err(error) => self.not_written::<io::Error>(&error).await,
            }
        }
    }

    fn written(&self) {
        if self.stuck.swap(false, Ordering::Relaxed) {
            tracing::warn!("the audit trail is written again");
        }
    }

    async fn not_written<E: std::error::Error>(&self, error: &E) {
        if !self.stuck.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the audit trail cannot be written; calls that change something are refused when its queue is full");
        }
        tokio::time::sleep(RETRY).await;
    }

    /// A crash may have come between the last link and its events: then the chain says which never came.
    async fn settle_last_link(&mut self) {
        let Some(last) = self.chain.as_mut().and_then(chain::Writer::unsettled) else { return };
        let mut missing: BTreeSet<String> = last.events.into_iter().collect();
        for scope in &last.scopes {
            let Some((account, region)) = scope.split_once('/') else { continue };
            let (Ok(account), Ok(region)) = (account.parse(), region.parse()) else { continue };
            let scope = Scope::new(account, region);
            let mut query = LogQuery {
                from: Some(Timestamp::from_millis(last.from)),
                until: Some(Timestamp::from_millis(last.until + 1)),
                ..LogQuery::all(group(&scope), BATCH)
            };
            loop {
                let page = match self.store.query(query.clone(), Box::new(|_| true)).await {
                    Ok(page) => page,
                    Err(error) => {
                        return tracing::error!(%error, "the audit trail's last events could not be read");
                    }
                };
                for event in page.events {
                    missing.remove(&chain::digest(&scope, event.timestamp, &event.message));
                }
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
        }
        if !missing.is_empty() {
            tracing::warn!(
                events = missing.len(),
                "events of the audit trail were lost as the platform ended"
            );
            let lost = missing.into_iter().collect();
            let _ = self.link(Link { from: last.from, until: last.until, lost, ..Link::default() }).await;
        }
    }
}

/// The link for what is to be written.
fn link_of(batches: &BTreeMap<Scope, Vec<LogEvent>>) -> Link {
    let mut link = Link { from: i64::MAX, until: i64::MIN, ..Link::default() };
    for (scope, events) in batches {
        link.scopes.push(format!("{}/{}", scope.account, scope.region));
        for event in events {
            let at = event.timestamp.as_millis();
            (link.from, link.until) = (link.from.min(at), link.until.max(at));
            link.events.push(chain::digest(scope, event.timestamp, &event.message));
        }
    }
    link
}
