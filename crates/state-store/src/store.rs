//! The contract: what every implementation does, whatever it is made of. [`crate::conformance`] holds them to it.

use std::{fmt, future::Future, pin::Pin};

use futures_util::{Stream, StreamExt};

use crate::{
    Event, InvalidRequest, KeyRange, LeaseId, RangeRequest, RangeResponse, Revision, StoreError, Txn,
    TxnResponse,
};

/// A boxed future, so that `Arc<dyn Store>` works.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Seconds that a lease may be asked to live: etcd's limit.
pub const MAX_LEASE_SECONDS: i64 = 9_000_000_000;

/// Ordered keys under one global revision.
///
/// - A transaction is atomic, isolated and, once acknowledged, durable. Dropping the future of a write does not undo it.
/// - Reads see every write that was acknowledged before they began.
/// - Errors are [`StoreError`]; apart from [`StoreError::Unknown`] an error means that nothing was changed.
pub trait Store: Send + Sync + 'static {
    /// Carries out one branch of `txn`.
    fn txn(&self, txn: Txn) -> BoxFuture<'_, Result<TxnResponse, StoreError>>;

    /// Reads a range, as of the latest or an earlier revision.
    ///
    /// Errors: [`StoreError::Compacted`] before the compacted revision, [`StoreError::FutureRevision`] after the latest.
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, StoreError>>;

    /// Every change of a key in `range` from revision `from` on, in order, none left out; 0: from now on.
    ///
    /// A watch from before the compacted revision yields [`StoreError::Compacted`] and ends. The first that is certain to be
    /// served is the one after the compacted revision.
    fn watch(&self, range: KeyRange, from: Revision) -> BoxFuture<'_, Result<Watcher, StoreError>>;

    /// Grants a lease. The store may grant more time than was asked for. `id`: [`LeaseId::NONE`] lets the store choose.
    fn lease_grant(&self, id: LeaseId, ttl_seconds: i64) -> BoxFuture<'_, Result<Lease, StoreError>>;

    /// Starts the lease's time anew.
    fn lease_keep_alive(&self, id: LeaseId) -> BoxFuture<'_, Result<Lease, StoreError>>;

    /// Ends the lease: its keys are deleted in one revision, as they are when it expires.
    fn lease_revoke(&self, id: LeaseId) -> BoxFuture<'_, Result<(), StoreError>>;

    /// How long the lease has left, and its keys.
    fn lease_time_to_live(&self, id: LeaseId) -> BoxFuture<'_, Result<LeaseStatus, StoreError>>;

    /// Forgets history before `revision`: what was current at `revision` stays readable, superseded values go.
    ///
    /// Errors: [`StoreError::Compacted`] when that is done already, [`StoreError::FutureRevision`].
    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl fmt::Debug for dyn Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

/// A granted lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub id: LeaseId,
    /// Seconds from now until it ends, unless it is kept alive.
    pub ttl_seconds: i64,
}

/// A lease as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseStatus {
    pub granted_seconds: i64,
    pub remaining_seconds: i64,
    /// Ascending.
    pub keys: Vec<bytes::Bytes>,
}

/// Changes that belong together: all those of every revision in it, never a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    /// Everything that the watched range saw up to this revision has now been delivered.
    pub revision: Revision,
    /// In the order in which they were made; never empty.
    pub events: Vec<Event>,
}

/// A running watch. It ends when it is dropped.
pub struct Watcher(Pin<Box<dyn Stream<Item = Result<WatchBatch, StoreError>> + Send>>);

impl Watcher {
    /// A watch over what an implementation delivers. After an error the stream must end.
    pub fn new(stream: impl Stream<Item = Result<WatchBatch, StoreError>> + Send + 'static) -> Watcher {
        Watcher(Box::pin(stream))
    }

    /// Waits for the next changes. May be dropped and called again without losing any.
    ///
    /// Errors end the watch: [`StoreError::Compacted`] when the watcher fell too far behind, [`StoreError::Closed`] when the
    /// store is gone or the watch ended before.
    pub async fn next(&mut self) -> Result<WatchBatch, StoreError> {
        self.0.next().await.unwrap_or(Err(StoreError::Closed))
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watcher")
    }
}

/// What every implementation asks of a lease's time to live.
pub(crate) fn check_ttl(seconds: i64) -> Result<(), StoreError> {
    match seconds {
        1..=MAX_LEASE_SECONDS => Ok(()),
        _ => Err(InvalidRequest::TimeToLive { seconds, limit: MAX_LEASE_SECONDS }.into()),
    }
}
