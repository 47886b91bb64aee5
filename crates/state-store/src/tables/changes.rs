//! What changed, for those who act on it. Bounded: a subscriber that falls behind loses the changes and is told so.

use std::{marker::PhantomData, sync::Arc};

use tokio::sync::broadcast::{Receiver, error::RecvError};
use vocabulary::Scope;

use super::{
    Record, StateError,
    snapshot::{Applied, Entry, Kinds},
};
use crate::StoreError;

/// What a subscriber is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice<C> {
    /// Changes in the order in which they were made; never empty.
    Changes(Vec<C>),
    /// Changes were lost. Read the table and go on from what it holds.
    Resync,
}

/// A change of one record. The tables show it, or something newer, when it is delivered.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<T> {
    Put {
        scope: Scope,
        id: String,
        value: Arc<T>,
        /// None when the record is new.
        previous: Option<Arc<T>>,
    },
    Deleted {
        scope: Scope,
        id: String,
        previous: Arc<T>,
    },
}

/// Which record changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    pub service: &'static str,
    pub kind: &'static str,
    pub scope: Scope,
    pub id: String,
    pub deleted: bool,
}

/// Changes of records of type `T`.
pub struct Changes<T> {
    receiver: Receiver<Delivery>,
    kind: usize,
    of: PhantomData<fn() -> T>,
}

/// Changes of all declared kinds.
pub struct AllChanges {
    receiver: Receiver<Delivery>,
    kinds: Arc<Kinds>,
}

/// One batch on its way to all subscribers; none: resynchronize.
#[derive(Clone)]
pub(super) struct Delivery(Option<Arc<Vec<Applied>>>);

impl Delivery {
    pub fn changes(applied: Vec<Applied>) -> Delivery {
        Delivery(Some(Arc::new(applied)))
    }

    pub fn resync() -> Delivery {
        Delivery(None)
    }
}

impl<T: Record> Changes<T> {
    pub(super) fn new(receiver: Receiver<Delivery>, kind: usize) -> Changes<T> {
        Changes { receiver, kind, of: PhantomData }
    }

    /// Waits for the next changes. May be dropped and called again without losing any.
    ///
    /// Errors: the tables are gone.
    pub async fn next(&mut self) -> Result<Notice<Change<T>>, StateError> {
        loop {
            let Some(batch) = receive(&mut self.receiver).await? else { return Ok(Notice::Resync) };
            let ours = batch.iter().filter(|applied| applied.kind == self.kind);
            let changes: Vec<Change<T>> = ours.filter_map(change).collect();
            if !changes.is_empty() {
                return Ok(Notice::Changes(changes));
            }
        }
    }
}

impl AllChanges {
    pub(super) fn new(receiver: Receiver<Delivery>, kinds: Arc<Kinds>) -> AllChanges {
        AllChanges { receiver, kinds }
    }

    /// As [`Changes::next`].
    pub async fn next(&mut self) -> Result<Notice<Touched>, StateError> {
        loop {
            let Some(batch) = receive(&mut self.receiver).await? else { return Ok(Notice::Resync) };
            let touched: Vec<Touched> = batch.iter().filter_map(|applied| self.touched(applied)).collect();
            if !touched.is_empty() {
                return Ok(Notice::Changes(touched));
            }
        }
    }

    fn touched(&self, applied: &Applied) -> Option<Touched> {
        let entry = applied.after.as_ref().or(applied.before.as_ref())?;
        let kind = &self.kinds.all[applied.kind];
        Some(Touched {
            service: kind.service,
            kind: kind.kind,
            scope: entry.scope.clone(),
            id: entry.id().to_owned(),
            deleted: applied.after.is_none(),
        })
    }
}

/// The next batch; none: resynchronize.
async fn receive(receiver: &mut Receiver<Delivery>) -> Result<Option<Arc<Vec<Applied>>>, StateError> {
    match receiver.recv().await {
        Ok(Delivery(batch)) => Ok(batch),
        Err(RecvError::Lagged(_)) => {
            // Whatever is still queued is older than the table that the subscriber now reads.
            *receiver = receiver.resubscribe();
            Ok(None)
        }
        Err(RecvError::Closed) => Err(StoreError::Closed.into()),
    }
}

fn change<T: Record>(applied: &Applied) -> Option<Change<T>> {
    let record = |entry: &Arc<Entry>| entry.record::<T>();
    match (&applied.before, &applied.after) {
        (before, Some(after)) => Some(Change::Put {
            scope: after.scope.clone(),
            id: after.id().to_owned(),
            value: record(after),
            previous: before.as_ref().map(record),
        }),
        (Some(before), None) => Some(Change::Deleted {
            scope: before.scope.clone(),
            id: before.id().to_owned(),
            previous: record(before),
        }),
        (None, None) => None,
    }
}
