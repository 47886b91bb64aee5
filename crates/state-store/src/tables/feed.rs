//! Keeps the tables in step with the store: loads them, then applies what the watch delivers, in order.
//!
//! A batch is applied to a working copy and published whole, so a reader never sees half a revision. When the watch breaks
//! off the feed takes it up again where it ended; when history was compacted meanwhile, it loads the tables anew and tells
//! every subscriber to look again. A record that cannot be read stops the feed for good: going on would mean acting on
//! tables with a hole in them.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::{broadcast, watch};

use super::{
    AllChanges, Changes, Record, StateError, View,
    changes::Delivery,
    own::{Own, OwnWrites},
    snapshot::{Kinds, Snapshot},
    tx::Tx,
};
use crate::{Event, KeyRange, RangeRequest, Revision, Store, StoreError, WatchBatch};

/// Records read at once while loading: a few megabytes.
const LOAD_PAGE: usize = 5_000;

/// Batches that a subscriber may be behind before it is told to look again.
const SUBSCRIBER_BATCHES: usize = 1024;

/// Pauses before a broken watch is taken up again: from the first to the longest, doubling.
const PAUSES_MS: (u64, u64) = (10, 2_000);

/// Where records lie; other keys of the store are none of the tables' business.
const RECORDS: &str = "/";

pub(super) struct Feed {
    kinds: Arc<Kinds>,
    published: RwLock<Arc<Snapshot>>,
    progress: watch::Sender<Progress>,
    deliveries: broadcast::Sender<Delivery>,
    own: Own,
}

#[derive(Clone)]
struct Progress {
    revision: Revision,
    stopped: Option<StateError>,
}

impl Feed {
    pub async fn load(store: &dyn Store, kinds: Kinds) -> Result<Arc<Feed>, StateError> {
        let snapshot = load(store, &kinds).await?;
        let (progress, _) = watch::channel(Progress { revision: snapshot.revision, stopped: None });
        let (deliveries, _) = broadcast::channel(SUBSCRIBER_BATCHES);
        let published = RwLock::new(Arc::new(snapshot));
        Ok(Arc::new(Feed { kinds: Arc::new(kinds), published, progress, deliveries, own: Own::default() }))
    }

    pub fn view(&self) -> View {
        let snapshot = self.published.read().unwrap_or_else(PoisonError::into_inner).clone();
        View { snapshot, kinds: self.kinds.clone() }
    }

    pub fn revision(&self) -> Revision {
        self.progress.borrow().revision
    }

    /// Errors: why the tables no longer follow the store.
    pub fn healthy(&self) -> Result<(), StateError> {
        self.progress.borrow().stopped.clone().map_or(Ok(()), Err)
    }

    pub async fn wait_for(&self, revision: Revision) -> Result<(), StateError> {
        let mut progress = self.progress.subscribe();
        let reached = progress.wait_for(|now| now.revision >= revision || now.stopped.is_some()).await;
        let reached = reached.map_err(|_| StateError::Store(StoreError::Closed))?.clone();
        match reached.stopped {
            Some(error) if reached.revision < revision => Err(error),
            _ => Ok(()),
        }
    }

    pub fn watch<T: Record>(&self) -> Changes<T> {
        Changes::new(self.deliveries.subscribe(), self.kinds.number::<T>())
    }

    pub fn changes(&self) -> AllChanges {
        AllChanges::new(self.deliveries.subscribe(), self.kinds.clone())
    }

    /// What `tx` writes need not be read back from its bytes while the answer lives.
    pub fn expect<'a>(&'a self, tx: &'a Tx) -> OwnWrites<'a> {
        self.own.expect(tx)
    }

    /// Follows the store until it is closed or a record cannot be read.
    pub async fn follow(self: Arc<Self>, store: Arc<dyn Store>) {
        let stopped = self.follow_until_stopped(&*store).await;
        if !matches!(stopped, StateError::Store(StoreError::Closed)) {
            tracing::error!(error = %stopped, "the tables no longer follow the store");
        }
        self.stop(stopped);
    }

    /// Tells those who wait that nothing more will come.
    pub fn stop(&self, reason: StateError) {
        self.progress.send_modify(|progress| progress.stopped = Some(reason));
    }

    async fn follow_until_stopped(&self, store: &dyn Store) -> StateError {
        let mut working = Snapshot::clone(&self.view().snapshot);
        let mut pause_ms = PAUSES_MS.0;
        loop {
            let broken = match store.watch(KeyRange::prefix(RECORDS), working.revision + 1).await {
                Err(error) => error,
                Ok(mut watcher) => loop {
                    match watcher.next().await {
                        Err(error) => break error,
                        Ok(batch) => {
                            pause_ms = PAUSES_MS.0;
                            if let Err(error) = self.apply(&mut working, &batch) {
                                return error;
                            }
                        }
                    }
                },
            };
            match broken {
                StoreError::Closed => return StoreError::Closed.into(),
                StoreError::Compacted { .. } => match load(store, &self.kinds).await {
                    Ok(fresh) => {
                        working = fresh;
                        self.publish(&working, Delivery::resync());
                        continue;
                    }
                    Err(StateError::Store(error)) => {
                        tracing::warn!(%error, "the tables could not be loaded anew; trying again");
                    }
                    Err(unreadable) => return unreadable,
                },
                error => tracing::warn!(%error, "the watch of the store broke off; taking it up again"),
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(PAUSES_MS.1);
        }
    }

    fn apply(&self, working: &mut Snapshot, batch: &WatchBatch) -> Result<(), StateError> {
        let mut applied = Vec::with_capacity(batch.events.len());
        for event in &batch.events {
            applied.extend(working.apply(&self.kinds, event, |stored| self.own.find(stored))?);
        }
        working.revision = batch.revision;
        for change in &applied {
            working.tables[change.kind].changed = batch.revision;
        }
        self.publish(working, Delivery::changes(applied));
        Ok(())
    }

    /// Shows a snapshot to readers, then tells those who wait and those who listen.
    fn publish(&self, working: &Snapshot, delivery: Delivery) {
        let snapshot = Arc::new(working.clone());
        let old =
            std::mem::replace(&mut *self.published.write().unwrap_or_else(PoisonError::into_inner), snapshot);
        // Outside the lock: dropping the last handle on an old snapshot frees what it alone held.
        drop(old);
        self.progress.send_modify(|progress| progress.revision = working.revision);
        // Nobody listening is no error.
        _ = self.deliveries.send(delivery);
    }
}

/// Reads all records as of one revision.
async fn load(store: &dyn Store, kinds: &Kinds) -> Result<Snapshot, StateError> {
    loop {
        match load_once(store, kinds).await {
            // History went by while the pages were read; the next reading starts at a later revision.
            Err(StateError::Store(StoreError::Compacted { .. })) => {}
            outcome => return outcome,
        }
    }
}

async fn load_once(store: &dyn Store, kinds: &Kinds) -> Result<Snapshot, StateError> {
    let mut snapshot = Snapshot::empty(kinds);
    let mut rest = KeyRange::prefix(RECORDS);
    loop {
        let request = RangeRequest::new(rest.clone()).limit(LOAD_PAGE).at(snapshot.revision);
        let page = store.range(request).await?;
        if snapshot.revision == 0 {
            snapshot.revision = page.revision;
        }
        let last = page.kvs.last().map(|kv| kv.key.clone());
        for kv in page.kvs {
            snapshot.apply(kinds, &Event::Put(kv), |_| None)?;
        }
        match last {
            Some(last) if page.more => rest = rest.after(&last),
            _ => {
                let revision = snapshot.revision;
                snapshot.tables.iter_mut().for_each(|table| table.changed = revision);
                return Ok(snapshot);
            }
        }
    }
}
