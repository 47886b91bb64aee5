//! The one thread that writes.
//!
//! It takes everything that has queued up, up to a bound, and commits it together: while one sync is in the
//! kernel the next group forms by itself, so no append waits for a timer. Commands other than appends run
//! between groups, in the order in which they were sent.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use vocabulary::Timestamp;

use crate::{
    catalog::{Catalog, StreamId},
    error::StoreError,
    model::{AppendAck, LogEvent, LogGroupKey, LogStreamKey, StoredEvent},
    retention::{self, RetentionOutcome, RetentionPolicy},
    store::Shared,
};

/// What one commit takes at most: bounds its memory, and the wait of whoever comes next.
const GROUP_EVENTS: usize = 50_000;
const GROUP_BYTES: usize = 16 << 20;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(crate) enum Command {
    Append(Append),
    DeleteStream { key: LogStreamKey, reply: Reply<bool> },
    DeleteGroup { key: LogGroupKey, reply: Reply<usize> },
    Retain { policy: Arc<RetentionPolicy>, now: Timestamp, reply: Reply<(RetentionOutcome, bool)> },
    Close { reply: Reply<()> },
}

pub(crate) struct Append {
    pub key: LogStreamKey,
    pub events: Vec<LogEvent>,
    pub reply: Reply<AppendAck>,
    /// The share of the memory for waiting events that this one holds.
    pub _share: OwnedSemaphorePermit,
}

pub(crate) struct Writer {
    pub catalog: Catalog,
    pub shared: Arc<Shared>,
    pub commands: mpsc::Receiver<Command>,
}

impl Writer {
    /// Runs until it is told to close or nobody is left who could send.
    pub fn run(mut self) {
        let mut closing = None;
        while closing.is_none() {
            let Some(command) = self.commands.blocking_recv() else { break };
            let mut group = Vec::new();
            let (mut events, mut bytes) = (0, 0);
            let mut next = Some(command);
            // Gather appends until the queue is empty, the group is full, or something else comes up.
            while let Some(Command::Append(append)) = next {
                events += append.events.len();
                bytes += append.events.iter().map(|event| event.message.len()).sum::<usize>();
                group.push(append);
                next = match events < GROUP_EVENTS && bytes < GROUP_BYTES {
                    true => self.commands.try_recv().ok(),
                    false => None,
                };
            }
            if !group.is_empty() {
                self.commit(group);
            }
            match next {
                Some(Command::Close { reply }) => closing = Some(reply),
                Some(command) => self.other(command),
                None => {}
            }
        }
        self.shared.followers.close();
        self.shared.segments.close();
        let Writer { catalog, shared, commands } = self;
        drop((catalog, commands));
        shared.unlock();
        if let Some(reply) = closing {
            let _ = reply.send(Ok(()));
        }
    }

    fn other(&mut self, command: Command) {
        // A reply that nobody waits for any more is not an error.
        match command {
            Command::Append(_) | Command::Close { .. } => unreachable!("handled by the loop"),
            Command::DeleteStream { key, reply } => {
                let ids: Vec<StreamId> = self.shared.directory().id(&key).into_iter().collect();
                let _ = reply.send(self.remove(&ids).map(|()| !ids.is_empty()));
            }
            Command::DeleteGroup { key, reply } => {
                let streams = self.shared.directory().select(&key, &crate::StreamSelection::All);
                let ids: Vec<StreamId> = streams.into_iter().map(|(_, id)| id).collect();
                let _ = reply.send(self.remove(&ids).map(|()| ids.len()));
            }
            Command::Retain { policy, now, reply } => {
                let mut outcome = RetentionOutcome::default();
                let shared = self.shared.clone();
                let done = retention::step(&shared.segments, &shared.directory(), &policy, now, &mut outcome);
                let _ = reply.send(done.map(|done| (outcome, done)));
            }
        }
    }

    fn remove(&mut self, ids: &[StreamId]) -> Result<(), StoreError> {
        if !ids.is_empty() {
            self.catalog.remove(ids)?;
            self.shared.directory_mut().remove(ids);
        }
        Ok(())
    }

    /// Commits a group of appends and answers each of them.
    fn commit(&mut self, group: Vec<Append>) {
        let (numbered, replies) = match self.number(group) {
            Ok(numbered) => numbered,
            Err((error, group)) => {
                for append in group {
                    let _ = append.reply.send(Err(error.clone()));
                }
                return;
            }
        };
        let mut failures: Vec<Option<StoreError>> = vec![None; numbered.len()];
        let mut by_window: BTreeMap<i64, Vec<(StreamId, &StoredEvent, usize)>> = BTreeMap::new();
        for (index, (stream, _, events)) in numbered.iter().enumerate() {
            for event in events {
                let window = self.shared.segments.window_of(event.timestamp.as_millis());
                by_window.entry(window).or_default().push((*stream, event, index));
            }
        }
        for (window, mut rows) in by_window {
            rows.sort_unstable_by_key(|(stream, event, _)| (*stream, event.position()));
            let plain: Vec<_> = rows.iter().map(|(stream, event, _)| (*stream, *event)).collect();
            let written =
                self.shared.segments.get_or_create(window).and_then(|segment| segment.append(&plain));
            if let Err(error) = written {
                tracing::error!(%error, events = rows.len(), "log events could not be written");
                for (_, _, index) in rows {
                    failures[index].get_or_insert_with(|| error.clone());
                }
            }
        }
        for (((_, key, events), reply), failure) in numbered.into_iter().zip(replies).zip(failures) {
            let answer = match failure {
                Some(error) => Err(error),
                None => {
                    let first_sequence = events.first().map_or(0, |event| event.sequence);
                    let ack = AppendAck { first_sequence, events: events.len() };
                    self.shared.followers.publish(&key, events);
                    Ok(ack)
                }
            };
            let _ = reply.send(answer);
        }
    }

    /// Gives streams their numbers and events their sequence.
    #[expect(clippy::type_complexity, reason = "used once, right above")]
    fn number(
        &mut self,
        group: Vec<Append>,
    ) -> Result<
        (Vec<(StreamId, LogStreamKey, Vec<StoredEvent>)>, Vec<Reply<AppendAck>>),
        (StoreError, Vec<Append>),
    > {
        let mut fresh: Vec<LogStreamKey> = {
            let directory = self.shared.directory();
            group
                .iter()
                .map(|append| &append.key)
                .filter(|key| directory.id(key).is_none())
                .cloned()
                .collect()
        };
        fresh.sort();
        fresh.dedup();
        if !fresh.is_empty() {
            match self.catalog.add(&fresh) {
                Ok(ids) => {
                    let mut directory = self.shared.directory_mut();
                    for (key, id) in fresh.into_iter().zip(ids) {
                        directory.insert(key, id);
                    }
                }
                Err(error) => return Err((error, group)),
            }
        }
        let count = group.iter().map(|append| append.events.len() as u64).sum();
        let mut sequence = match self.catalog.take_sequences(count) {
            Ok(first) => first,
            Err(error) => return Err((error, group)),
        };
        let directory = self.shared.directory();
        let mut numbered = Vec::with_capacity(group.len());
        let mut replies = Vec::with_capacity(group.len());
        for Append { key, events, reply, _share } in group {
            let stream = directory.id(&key).expect("a stream without a number was just given one");
            let events = events
                .into_iter()
                .map(|LogEvent { timestamp, ingestion, message }| {
                    let stored =
                        StoredEvent { stream: key.stream.clone(), timestamp, ingestion, sequence, message };
                    sequence += 1;
                    stored
                })
                .collect();
            numbered.push((stream, key, events));
            replies.push(reply);
        }
        Ok((numbered, replies))
    }
}
