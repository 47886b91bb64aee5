//! The one thread that writes. Requests that wait together are committed together: one fsync for all of them, and no
//! request is answered before it.
//!
//! A batch is carried out request by request against the index, each seeing those before it. A request that is refused (a
//! lease that does not exist) leaves nothing behind and does not disturb the others. When SQLite itself fails, the whole
//! batch is rolled back, in the file and in the index, and every request of it gets the error. After a failure of the disk
//! (not: a full one) nothing more is accepted, because what the disk then holds is unknown until the file is read again.

use std::{
    fs::File,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Instant,
};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    batch::Batch,
    disk,
    gather::Gather,
    hub::Hub,
    index::{Index, MAX_CHANGES_PER_REVISION},
    leases::Leases,
};
use crate::{Lease, LeaseId, Revision, StoreError, Txn, TxnResponse, error::InvalidRequest};

/// Requests committed together: bounds how long the first of them waits for the last.
const BATCH_REQUESTS: usize = 1024;

/// Bytes committed together, for the same reason.
const BATCH_BYTES: usize = 8 << 20;

/// Leases ended in one batch, so that a mass expiry does not starve requests.
const BATCH_EXPIRIES: usize = 64;

/// Changes that compaction lets pile up beyond what is kept before it sets to work, and how many it passes in one batch.
const COMPACTION_STEP: usize = 2048;

/// What callers ask of the writer, with where to answer.
pub(super) enum Request {
    Txn(Txn, Reply<TxnResponse>),
    Grant(LeaseId, i64, Reply<Lease>),
    Revoke(LeaseId, Reply<()>),
    Compact(Revision, Reply<()>),
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A request holds its place in the bounded queue until it is answered.
pub(super) struct Queued {
    pub request: Request,
    pub _place: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    pub connection: Arc<Mutex<Connection>>,
    pub index: Arc<RwLock<Index>>,
    pub leases: Arc<Mutex<Leases>>,
    pub hub: Arc<Hub>,
    pub head: Revision,
    pub compacted: Revision,
    pub keep_changes: usize,
    pub path: PathBuf,
    pub gather: Gather,
    /// Why the store accepts nothing more.
    pub failed: Option<StoreError>,
    /// Keeps other processes out while the writer lives.
    pub _lock: Option<File>,
}

/// An answer that waits for the commit.
enum Answer {
    Txn(Reply<TxnResponse>, Result<TxnResponse, StoreError>),
    Grant(Reply<Lease>, Result<Lease, StoreError>),
    Done(Reply<()>, Result<(), StoreError>),
}

impl Writer {
    /// Serves requests until every sender is gone.
    pub fn run(mut self, requests: &Receiver<Queued>) {
        loop {
            let deadline = self.leases().next_deadline();
            let first = match deadline {
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => requests.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            };
            match first {
                Ok(first) => self.serve(Some(first), requests),
                Err(RecvTimeoutError::Timeout) => self.serve(None, requests),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
    }

    /// Carries out one batch: `first`, whatever else waits, and what is due by itself.
    fn serve(&mut self, first: Option<Queued>, requests: &Receiver<Queued>) {
        let connection = self.connection.clone();
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places = Vec::new();
        let mut answers = Vec::new();
        let outcome = self.commit_batch(&connection, first, requests, &mut places, &mut answers);
        if let Err(error) = &outcome {
            tracing::error!(%error, requests = places.len(), "a commit of the state store failed");
        }
        for answer in answers {
            answer.send(&outcome);
        }
    }

    fn commit_batch(
        &mut self,
        connection: &Connection,
        first: Option<Queued>,
        requests: &Receiver<Queued>,
        places: &mut Vec<OwnedSemaphorePermit>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), StoreError> {
        let begun = match &self.failed {
            Some(error) => Err(error.clone()),
            None => connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| self.explain(error)),
        };
        let mut ended = Vec::new();
        let index = self.index.clone();
        let mut batch = Batch::new(connection, &index, self.head, self.compacted);
        let mut outcome = begun;
        let mut next = first;
        let mut bytes = 0;
        // One pause per batch, and none when a batch made of upkeep alone.
        let mut pause = Some(());
        while let Some(Queued { request, _place }) = next.take() {
            places.push(_place);
            // After a failure the rest of the batch is not tried, only answered, with the same error.
            let carried = match &outcome {
                Ok(()) => self.carry_out(&mut batch, request, &mut bytes, &mut ended, answers),
                Err(_) => {
                    answers.push(Answer::refused(request));
                    Ok(())
                }
            };
            if let Err(error) = carried {
                outcome = Err(self.explain(error));
            }
            if places.len() < BATCH_REQUESTS && bytes < BATCH_BYTES {
                next = requests.try_recv().ok();
                if next.is_none()
                    && let Some(pause) = pause.take().and_then(|()| self.gather.pause(places.len()))
                {
                    std::thread::sleep(pause);
                    next = requests.try_recv().ok();
                }
            }
        }
        if outcome.is_ok() {
            let upkeep = self.upkeep(&mut batch, &mut ended);
            let begun = Instant::now();
            let committed = upkeep.and_then(|()| connection.execute_batch("COMMIT"));
            self.gather.committed(places.len(), begun.elapsed());
            outcome = committed.map_err(|error| self.explain(error));
        }
        let (head, events) = batch.finish();
        match &outcome {
            Ok(()) => {
                if head != self.head {
                    self.hub.commits.fetch_add(1, Ordering::Relaxed);
                    let made = u64::try_from(head - self.head).unwrap_or(0);
                    self.hub.transactions.fetch_add(made, Ordering::Relaxed);
                }
                self.head = head;
                self.hub.publish(events, head);
            }
            Err(_) => {
                if !connection.is_autocommit()
                    && let Err(error) = connection.execute_batch("ROLLBACK")
                {
                    self.failed = Some(failed(&error));
                }
                self.roll_back(&ended);
            }
        }
        outcome
    }

    fn carry_out(
        &mut self,
        batch: &mut Batch<'_>,
        request: Request,
        bytes: &mut usize,
        ended: &mut Vec<LeaseChange>,
        answers: &mut Vec<Answer>,
    ) -> rusqlite::Result<()> {
        match request {
            Request::Txn(txn, reply) => {
                *bytes += txn.size_bytes();
                let exists = |id| self.leases().contains(id);
                let (answer, result) = split(batch.txn(txn, exists));
                answers.push(Answer::Txn(reply, answer));
                result
            }
            Request::Grant(id, ttl_seconds, reply) => {
                let (answer, result) = split(self.grant(batch, id, ttl_seconds, ended));
                answers.push(Answer::Grant(reply, answer));
                result
            }
            Request::Revoke(id, reply) => {
                let (answer, result) = split(self.end_lease(batch, id, ended));
                answers.push(Answer::Done(reply, answer));
                result
            }
            Request::Compact(revision, reply) => {
                let (answer, result) = split(self.compact(batch, revision));
                answers.push(Answer::Done(reply, answer));
                result
            }
        }
    }

    fn grant(
        &self,
        batch: &Batch<'_>,
        id: LeaseId,
        ttl_seconds: i64,
        changes: &mut Vec<LeaseChange>,
    ) -> rusqlite::Result<Result<Lease, StoreError>> {
        let mut leases = self.leases();
        let id = if id == LeaseId::NONE { fresh_lease(&leases) } else { id };
        if leases.contains(id) {
            return Ok(Err(StoreError::LeaseExists(id)));
        }
        disk::insert_lease(batch.connection(), id, ttl_seconds)?;
        leases.insert(id, ttl_seconds, Instant::now());
        changes.push(LeaseChange::Granted(id));
        Ok(Ok(Lease { id, ttl_seconds }))
    }

    fn end_lease(
        &self,
        batch: &mut Batch<'_>,
        id: LeaseId,
        changes: &mut Vec<LeaseChange>,
    ) -> rusqlite::Result<Result<(), StoreError>> {
        let Some(ttl_seconds) = self.leases().remove(id) else {
            return Ok(Err(StoreError::LeaseNotFound(id)));
        };
        changes.push(LeaseChange::Ended(id, ttl_seconds));
        disk::remove_lease(batch.connection(), id)?;
        batch.delete_leased(id)?;
        Ok(Ok(()))
    }

    fn compact(&mut self, batch: &Batch<'_>, revision: Revision) -> rusqlite::Result<Result<(), StoreError>> {
        if revision <= self.compacted {
            return Ok(Err(StoreError::Compacted { compacted: Some(self.compacted) }));
        }
        if revision > batch.head() {
            return Ok(Err(StoreError::FutureRevision { requested: revision }));
        }
        self.set_compacted(batch, revision)?;
        Ok(Ok(()))
    }

    /// Ends leases whose time is over, and forgets history that nobody is promised.
    fn upkeep(&mut self, batch: &mut Batch<'_>, ended: &mut Vec<LeaseChange>) -> rusqlite::Result<()> {
        let expired = self.leases().expired(Instant::now(), BATCH_EXPIRIES);
        for id in expired {
            // The lease was found a moment ago and only this thread removes leases.
            let _gone = self.end_lease(batch, id, ended)?;
        }
        let (surplus, oldest, target) = {
            let index = self.read_index();
            let surplus = index.history_len().saturating_sub(self.keep_changes);
            (surplus, index.history_revision(0), index.history_revision(COMPACTION_STEP))
        };
        // Not past what is committed: the versions of this batch must stay removable.
        if surplus >= COMPACTION_STEP
            && let Some(revision) = target
            && revision > self.compacted
            && revision <= self.head
        {
            self.set_compacted(batch, revision)?;
        }
        if oldest.is_some_and(|oldest| oldest <= self.compacted) {
            disk::set_meta(batch.connection(), "head", batch.head())?;
            let up_to = self.compacted.min(self.head);
            for row in batch.compact(up_to, COMPACTION_STEP) {
                disk::remove(batch.connection(), row)?;
            }
        }
        Ok(())
    }

    /// Readers are told before the versions go, so that none of them takes a gap for an absence.
    fn set_compacted(&mut self, batch: &Batch<'_>, revision: Revision) -> rusqlite::Result<()> {
        self.compacted = revision;
        self.hub.set_compacted(revision);
        disk::set_meta(batch.connection(), "compacted", revision)
    }

    /// Puts everything in memory back to the last commit. What compaction dropped stays dropped: its rows come back only on
    /// the disk, where the next opening of the store finds them.
    fn roll_back(&mut self, changes: &[LeaseChange]) {
        self.index.write().unwrap_or_else(PoisonError::into_inner).forget_after(self.head);
        let mut leases = self.leases();
        for change in changes.iter().rev() {
            match *change {
                LeaseChange::Granted(id) => _ = leases.remove(id),
                LeaseChange::Ended(id, ttl_seconds) => leases.insert(id, ttl_seconds, Instant::now()),
            }
        }
    }

    fn explain(&mut self, error: rusqlite::Error) -> StoreError {
        if disk::is_disk_full(&error) {
            StoreError::DiskFull { place: self.path.display().to_string() }
        } else if disk::is_io_failure(&error) {
            let failed = failed(&error);
            self.failed = Some(failed.clone());
            failed
        } else {
            StoreError::backend("writing the state database", error)
        }
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    /// However the thread ends, watchers learn of it.
    fn drop(&mut self) {
        self.hub.close();
    }
}

/// What a batch did to the leases in memory, to be undone when its commit fails.
enum LeaseChange {
    Granted(LeaseId),
    Ended(LeaseId, i64),
}

impl Answer {
    /// The answer to a request that was not tried; the batch's error takes its place.
    fn refused(request: Request) -> Answer {
        match request {
            Request::Txn(_, reply) => Answer::Txn(reply, Err(StoreError::Closed)),
            Request::Grant(_, _, reply) => Answer::Grant(reply, Err(StoreError::Closed)),
            Request::Revoke(_, reply) | Request::Compact(_, reply) => {
                Answer::Done(reply, Err(StoreError::Closed))
            }
        }
    }

    /// Answers, with the error of the batch when it was not committed. A caller that no longer waits is no error.
    fn send(self, outcome: &Result<(), StoreError>) {
        match self {
            Answer::Txn(reply, result) => _ = reply.send(outcome.clone().and(result)),
            Answer::Grant(reply, result) => _ = reply.send(outcome.clone().and(result)),
            Answer::Done(reply, result) => _ = reply.send(outcome.clone().and(result)),
        }
    }
}

/// Separates the failure of the batch from the refusal of one request.
fn split<T>(
    result: rusqlite::Result<Result<T, StoreError>>,
) -> (Result<T, StoreError>, rusqlite::Result<()>) {
    match result {
        Ok(answer) => (answer, Ok(())),
        Err(error) => (Err(StoreError::Closed), Err(error)),
    }
}

fn failed(error: &rusqlite::Error) -> StoreError {
    StoreError::Failed { reason: error.to_string().into() }
}

fn fresh_lease(leases: &Leases) -> LeaseId {
    loop {
        let random = getrandom::u64().unwrap_or(0) >> 1;
        // Without randomness ids count up from one: unique, which is all that a lease needs.
        let mut id = LeaseId(i64::try_from(random).unwrap_or(1).max(1));
        while leases.contains(id) && id.0 < i64::MAX {
            id = LeaseId(id.0 + 1);
        }
        if !leases.contains(id) {
            return id;
        }
    }
}

/// A delete of more keys than one revision can number.
pub(super) fn too_many_changes(count: usize) -> StoreError {
    InvalidRequest::TooManyOperations { count, limit: MAX_CHANGES_PER_REVISION }.into()
}
