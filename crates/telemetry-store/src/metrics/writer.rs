//! The one thread that writes: takes what has queued up, adds it up, and commits it file by file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};

use metrics::{Resolution, Summary};
use tokio::sync::{mpsc, oneshot};

use super::{
    MOST_SERIES, MetricKey, MetricSample, Shared,
    catalog::{Catalog, SeriesId},
    files::window,
};
use crate::error::StoreError;

/// Puts that are committed together: what waits while one commit is in the kernel.
const TOGETHER: usize = 256;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

pub(super) enum Command {
    Put { samples: Vec<MetricSample>, now: i64, reply: Reply<()> },
    Retain { now: i64, reply: Reply<usize> },
    Close { reply: Reply<()> },
}

pub(super) struct Writer {
    pub catalog: Catalog,
    pub shared: Arc<Shared>,
    pub commands: mpsc::Receiver<Command>,
}

/// Sums of all series in a window.
type Sums = BTreeMap<(SeriesId, i64), Summary>;

impl Writer {
    /// Until the store is closed or nobody holds it any more.
    pub fn run(mut self) {
        let mut waiting: Vec<(Vec<MetricSample>, i64, Reply<()>)> = Vec::new();
        while let Some(command) = self.commands.blocking_recv() {
            let mut next = Some(command);
            // Others that wait already share the commit; anything but a put comes after it.
            let other = loop {
                match next.take() {
                    Some(Command::Put { samples, now, reply }) => waiting.push((samples, now, reply)),
                    other => break other,
                }
                if waiting.len() >= TOGETHER {
                    break None;
                }
                next = self.commands.try_recv().ok();
            };
            self.put(&mut waiting);
            match other {
                Some(Command::Retain { now, reply }) => drop(reply.send(self.retain(now))),
                Some(Command::Close { reply }) => {
                    self.commands.close();
                    self.shared.files.close();
                    drop(reply.send(Ok(())));
                    return;
                }
                Some(Command::Put { .. }) | None => {}
            }
        }
    }

    fn put(&mut self, waiting: &mut Vec<(Vec<MetricSample>, i64, Reply<()>)>) {
        let mut taken = Vec::with_capacity(waiting.len());
        let mut sums: BTreeMap<(Resolution, i64), Sums> = BTreeMap::new();
        for (samples, now, reply) in waiting.drain(..) {
            match self.number(&samples, now) {
                Ok(ids) => {
                    for (sample, id) in samples.iter().zip(ids) {
                        spread(sample, id, now, &mut sums);
                    }
                    taken.push(reply);
                }
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        let written = sums.into_iter().try_for_each(|(window, sums)| {
            self.shared.files.add(window, &sums.into_iter().collect::<Vec<_>>())
        });
        for reply in taken {
            drop(reply.send(written.clone()));
        }
    }

    /// The numbers of the samples' series, which are made where there are none.
    fn number(&mut self, samples: &[MetricSample], now: i64) -> Result<Vec<SeriesId>, StoreError> {
        let shared = Arc::clone(&self.shared);
        let (fresh, again) = {
            let mut directory = shared.directory.write().unwrap_or_else(PoisonError::into_inner);
            let keys: BTreeSet<&MetricKey> = samples.iter().map(|sample| &sample.key).collect();
            let again: Vec<SeriesId> = keys.into_iter().flat_map(|key| directory.see(key, now)).collect();
            let mut missing: BTreeSet<(&MetricKey, &Arc<str>)> = BTreeSet::new();
            missing.extend(samples.iter().map(|sample| (&sample.key, &sample.unit)));
            missing.retain(|(key, unit)| directory.id(key, unit).is_none());
            let fresh: Vec<(MetricKey, Arc<str>)> =
                missing.into_iter().map(|(key, unit)| (key.clone(), Arc::clone(unit))).collect();
            if directory.is_full(fresh.len()) {
                return Err(StoreError::TooManyMetrics { limit: MOST_SERIES });
            }
            (fresh, again)
        };
        // Who reads does not wait for the disk.
        let ids = self.catalog.note(&fresh, &again, now)?;
        let mut directory = shared.directory.write().unwrap_or_else(PoisonError::into_inner);
        for ((key, unit), id) in fresh.into_iter().zip(ids) {
            directory.insert(key, unit, id, now);
        }
        let id = |sample: &MetricSample| directory.id(&sample.key, &sample.unit).ok_or(StoreError::Closed);
        samples.iter().map(id).collect()
    }

    fn retain(&mut self, now: i64) -> Result<usize, StoreError> {
        let gone = self.shared.files.retain(now)?;
        let before = now - Resolution::Hour.kept_seconds();
        self.catalog.forget(before)?;
        self.shared.directory.write().unwrap_or_else(PoisonError::into_inner).forget(before);
        Ok(gone)
    }
}

/// Adds a sample to every resolution that it is kept in.
fn spread(sample: &MetricSample, id: SeriesId, now: i64, sums: &mut BTreeMap<(Resolution, i64), Sums>) {
    for resolution in Resolution::ALL {
        let too_fine = resolution == Resolution::Second && !sample.high_resolution;
        let at = sample.at - sample.at.rem_euclid(resolution.seconds());
        if too_fine || at < now - resolution.kept_seconds() {
            continue;
        }
        let of_window = sums.entry(window(resolution, at)).or_default();
        match of_window.get_mut(&(id, at)) {
            Some(there) => there.merge(&sample.summary),
            None => drop(of_window.insert((id, at), sample.summary.clone())),
        }
    }
}
