//! From the writer to the watchers: recent changes in memory, older ones from the disk.
//!
//! A watcher is a cursor, not a queue: however slow it is, it costs nothing. As long as it keeps within the ring it is
//! served from memory; behind that it reads the log; behind the log it is told that history was compacted.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use futures_util::stream;
use tokio::sync::watch;

use super::{disk, readers::Readers};
use crate::{Event, KeyRange, Revision, StoreError, WatchBatch, Watcher};

/// Changes that the ring keeps, and their bytes: enough for watchers that are scheduled late, not for sleepers.
const RING_EVENTS: usize = 4096;
const RING_BYTES: usize = 8 << 20;

/// Changes handed to a watcher at once.
const BATCH_EVENTS: usize = 1024;

/// Where the store stands, as published after each commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    pub committed: Revision,
    pub compacted: Revision,
    pub closed: bool,
}

pub(super) struct Hub {
    ring: Mutex<Ring>,
    progress: watch::Sender<Progress>,
    pub transactions: AtomicU64,
    pub commits: AtomicU64,
}

#[derive(Default)]
struct Ring {
    events: VecDeque<Event>,
    bytes: usize,
    /// Every change from this revision on is in the ring.
    complete_from: Revision,
}

impl Hub {
    pub fn new(committed: Revision, compacted: Revision) -> Hub {
        let ring = Ring { complete_from: committed + 1, ..Ring::default() };
        let (progress, _) = watch::channel(Progress { committed, compacted, closed: false });
        Hub {
            ring: Mutex::new(ring),
            progress,
            transactions: AtomicU64::default(),
            commits: AtomicU64::default(),
        }
    }

    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Makes a commit visible. Its events must all be new.
    pub fn publish(&self, events: Vec<Event>, committed: Revision) {
        self.ring().push(events);
        self.progress.send_if_modified(|progress| {
            let moved = progress.committed != committed;
            progress.committed = committed;
            moved
        });
    }

    pub fn set_compacted(&self, compacted: Revision) {
        self.progress.send_modify(|progress| progress.compacted = compacted);
    }

    pub fn close(&self) {
        self.progress.send_modify(|progress| progress.closed = true);
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        // A panic cannot leave the ring half changed in a way that matters: it would only lack events, and says so.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn push(&mut self, events: Vec<Event>) {
        self.bytes += events.iter().map(weight).sum::<usize>();
        self.events.extend(events);
        while self.events.len() > RING_EVENTS || self.bytes > RING_BYTES {
            let Some(event) = self.events.pop_front() else { break };
            self.bytes -= weight(&event);
            self.complete_from = event.revision() + 1;
        }
    }

    /// Changes of `range` from `from` on, up to `to`, whole revisions; none when the ring does not reach back that far.
    fn since(&self, range: &KeyRange, from: Revision, to: Revision) -> Option<(Vec<Event>, Revision)> {
        if from < self.complete_from {
            return None;
        }
        let first = self.events.partition_point(|event| event.revision() < from);
        let mut found: Vec<Event> = Vec::new();
        for event in self.events.range(first..).take_while(|event| event.revision() <= to) {
            let whole = found.last().is_some_and(|last| last.revision() != event.revision());
            if found.len() >= BATCH_EVENTS && whole {
                return Some((found, event.revision() - 1));
            }
            if range.contains(event.key()) {
                found.push(event.clone());
            }
        }
        Some((found, to))
    }
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Put(kv) => kv.key.len() + kv.value.len() + size_of::<Event>(),
        Event::Delete { key, .. } => key.len() + size_of::<Event>(),
    }
}

/// A watcher of `range` from revision `from` on.
pub(super) fn watch(hub: &Arc<Hub>, readers: &Arc<Readers>, range: KeyRange, from: Revision) -> Watcher {
    let receiver = hub.progress.subscribe();
    let Progress { committed, compacted, .. } = hub.progress();
    let next = if from <= 0 { committed + 1 } else { from };
    if next <= compacted {
        // The ring may still have it, but that is luck and nothing to rely on. Deletions made by the compacted revision itself
        // are gone from the log too.
        let refused = Err(StoreError::Compacted { compacted: Some(compacted) });
        return Watcher::new(stream::iter([refused]));
    }
    let state = Cursor { hub: hub.clone(), readers: readers.clone(), receiver, range, next };
    Watcher::new(stream::unfold(Some(state), async |state| {
        let mut cursor = state?;
        match cursor.next().await {
            Ok(batch) => Some((Ok(batch), Some(cursor))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

struct Cursor {
    hub: Arc<Hub>,
    readers: Arc<Readers>,
    receiver: watch::Receiver<Progress>,
    range: KeyRange,
    /// The first revision that was not delivered.
    next: Revision,
}

impl Cursor {
    async fn next(&mut self) -> Result<WatchBatch, StoreError> {
        loop {
            let progress = *self.receiver.borrow_and_update();
            if self.next <= progress.committed {
                let (events, revision) = self.read(progress).await?;
                self.next = revision + 1;
                if !events.is_empty() {
                    return Ok(WatchBatch { revision, events });
                }
                continue;
            }
            if progress.closed || self.receiver.changed().await.is_err() {
                return Err(StoreError::Closed);
            }
        }
    }

    async fn read(&self, progress: Progress) -> Result<(Vec<Event>, Revision), StoreError> {
        let to = progress.committed;
        if let Some(found) = self.hub.ring().since(&self.range, self.next, to) {
            return Ok(found);
        }
        let from = self.next;
        let (mut events, revision) =
            self.readers.read(move |connection| disk::events(connection, from, to, BATCH_EVENTS)).await?;
        // Asked afterwards, because compaction may have removed rows while they were read.
        let compacted = self.hub.progress().compacted;
        if from <= compacted {
            return Err(StoreError::Compacted { compacted: Some(compacted) });
        }
        events.retain(|event| self.range.contains(event.key()));
        Ok((events, revision))
    }
}
