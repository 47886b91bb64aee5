//! A watch: a call that stays open, read by a task of its own.
//!
//! All calls share one connection, and a call that nobody reads would hold up, in the end break, the connection. So a task
//! reads the watch as it comes and keeps what the watcher has not asked for. That is bounded: a watcher that falls too far
//! behind gets an error, after what was kept, and can watch again from where it was.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::stream;
use tokio::sync::mpsc;

use super::{channel::Answers, convert::Keys, explain, messages as m};
use crate::{Event, StoreError, WatchBatch, Watcher};

pub(super) const DOING: &str = "watching etcd";

/// What is kept for a slow watcher: batches, and bytes of keys and values.
const KEPT_BATCHES: usize = 16_384;
const KEPT_BYTES: usize = 64 << 20;

/// Waits until etcd has set the watch up: it holds from then on.
pub(super) async fn begin(mut answers: Answers, keys: Keys) -> Result<Watcher, StoreError> {
    let created = answers.next::<m::WatchResponse>().await.map_err(|error| explain(DOING, error, 0))?;
    if !created.is_some_and(|answer| answer.created) {
        return Err(StoreError::backend(DOING, "etcd did not create the watch"));
    }
    // One place more, for the error at the end.
    let (sender, receiver) = mpsc::channel(KEPT_BATCHES + 1);
    let kept_bytes = Arc::new(AtomicUsize::new(0));
    tokio::spawn(read(answers, keys, sender, kept_bytes.clone()));
    Ok(Watcher::new(stream::unfold((receiver, kept_bytes), async |(mut receiver, kept_bytes)| {
        let next: Result<WatchBatch, StoreError> = receiver.recv().await?;
        if let Ok(batch) = &next {
            kept_bytes.fetch_sub(weight(batch), Ordering::Relaxed);
        }
        Some((next, (receiver, kept_bytes)))
    })))
}

/// Reads until the watch or the watcher ends.
async fn read(
    mut answers: Answers,
    keys: Keys,
    sender: mpsc::Sender<Result<WatchBatch, StoreError>>,
    kept_bytes: Arc<AtomicUsize>,
) {
    let Ok(last_place) = sender.clone().reserve_owned().await else { return };
    let end = loop {
        let next = tokio::select! {
            next = next_batch(&mut answers, &keys) => next,
            () = sender.closed() => return,
        };
        let batch = match next {
            Ok(batch) => batch,
            Err(error) => break error,
        };
        let bytes = weight(&batch);
        let kept = kept_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if kept > KEPT_BYTES || sender.try_send(Ok(batch)).is_err() {
            break StoreError::backend(DOING, "the watcher fell behind");
        }
    };
    last_place.send(Err(end));
}

async fn next_batch(answers: &mut Answers, keys: &Keys) -> Result<WatchBatch, StoreError> {
    loop {
        let answer = answers.next::<m::WatchResponse>().await.map_err(|error| explain(DOING, error, 0))?;
        let Some(answer) = answer else {
            return Err(StoreError::backend(DOING, "etcd ended the watch"));
        };
        if answer.compact_revision != 0 {
            return Err(StoreError::Compacted { compacted: Some(answer.compact_revision) });
        }
        if answer.canceled {
            return Err(StoreError::backend(DOING, answer.cancel_reason));
        }
        let events: Vec<_> = answer.events.into_iter().filter_map(|event| keys.event(event)).collect();
        // The revision in the header may be ahead of what this watch was sent.
        if let Some(last) = events.last() {
            return Ok(WatchBatch { revision: last.revision(), events });
        }
    }
}

fn weight(batch: &WatchBatch) -> usize {
    let bytes = batch.events.iter().map(|event| match event {
        Event::Put(kv) => kv.key.len() + kv.value.len(),
        Event::Delete { key, .. } => key.len(),
    });
    bytes.sum()
}
