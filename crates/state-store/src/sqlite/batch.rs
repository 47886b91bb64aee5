//! Transactions of one group commit, carried out one after the other on top of what is committed.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use rusqlite::Connection;

use super::{
    disk,
    index::{Index, MAX_CHANGES_PER_REVISION, RowId, Version},
    writer::too_many_changes,
};
use crate::{
    Event, KeyRange, KeyValue, LeaseId, Op, OpResult, RangeRequest, RangeResponse, Revision, StoreError, Txn,
    TxnResponse,
};

pub(super) struct Batch<'a> {
    connection: &'a Connection,
    index: &'a RwLock<Index>,
    /// The latest revision, those of this batch included.
    head: Revision,
    compacted: Revision,
    /// Changes made in the revision after `head`, by the transaction under way.
    changes: usize,
    events: Vec<Event>,
}

impl<'a> Batch<'a> {
    pub fn new(
        connection: &'a Connection,
        index: &'a RwLock<Index>,
        head: Revision,
        compacted: Revision,
    ) -> Batch<'a> {
        Batch { connection, index, head, compacted, changes: 0, events: Vec::new() }
    }

    pub fn connection(&self) -> &'a Connection {
        self.connection
    }

    pub fn head(&self) -> Revision {
        self.head
    }

    /// The revision reached, and what happened on the way.
    pub fn finish(self) -> (Revision, Vec<Event>) {
        (self.head, self.events)
    }

    /// Carries out one transaction. The inner error refuses it, with nothing done; the outer one spoils the batch.
    pub fn txn(
        &mut self,
        txn: Txn,
        lease_exists: impl Fn(LeaseId) -> bool,
    ) -> rusqlite::Result<Result<TxnResponse, StoreError>> {
        let mut succeeded = true;
        for compare in &txn.compares {
            let connection = self.connection;
            let value = |row| Ok::<_, rusqlite::Error>(disk::value(connection, row)?.unwrap_or_default());
            if !self.read_index().holds(compare, value)? {
                succeeded = false;
                break;
            }
        }
        let branch = if succeeded { txn.success } else { txn.failure };
        if let Err(refused) = self.check(&branch, lease_exists) {
            return Ok(Err(refused));
        }
        let mut results = Vec::with_capacity(branch.len());
        for op in branch {
            results.push(match op {
                Op::Put { key, value, lease } => {
                    self.put(key, value, lease)?;
                    OpResult::Put
                }
                Op::Delete(range) => OpResult::Delete(self.delete(&range)?),
                Op::Range(request) => OpResult::Range(self.range(&request)?),
            });
        }
        self.end_revision();
        for result in &mut results {
            if let OpResult::Range(range) = result {
                range.revision = self.head;
            }
        }
        Ok(Ok(TxnResponse { revision: self.head, succeeded, results }))
    }

    /// Deletes the keys of a lease that ended, in one revision.
    pub fn delete_leased(&mut self, lease: LeaseId) -> rusqlite::Result<()> {
        // A walk over all keys: leases end seldom, and an index by lease would cost every put.
        let (index, all) = (self.read_index(), KeyRange::all());
        let leased = index.range(&all, Revision::MAX).filter(|(_, version)| version.lease == lease);
        let keys: Vec<Bytes> = leased.map(|(key, _)| key.clone()).take(MAX_CHANGES_PER_REVISION).collect();
        drop(index);
        for key in keys {
            self.delete_key(key)?;
        }
        self.end_revision();
        Ok(())
    }

    /// See [`Index::compact`].
    pub fn compact(&self, revision: Revision, limit: usize) -> Vec<RowId> {
        self.write_index(|index| index.compact(revision, limit))
    }

    /// Everything that can refuse a branch, before any of it is done: leases first, then revisions, as etcd does.
    fn check(&self, branch: &[Op], lease_exists: impl Fn(LeaseId) -> bool) -> Result<(), StoreError> {
        let leases =
            branch.iter().filter_map(|op| if let Op::Put { lease, .. } = op { Some(*lease) } else { None });
        for lease in leases {
            if lease != LeaseId::NONE && !lease_exists(lease) {
                return Err(StoreError::LeaseNotFound(lease));
            }
        }
        let mut count = branch.len();
        for op in branch {
            match op {
                Op::Delete(range) => count += self.read_index().range(range, Revision::MAX).count(),
                Op::Range(request) => check_revision(request.revision, self.head, self.compacted)?,
                Op::Put { .. } => {}
            }
        }
        if count > MAX_CHANGES_PER_REVISION { Err(too_many_changes(count)) } else { Ok(()) }
    }

    fn put(&mut self, key: Bytes, value: Bytes, lease: LeaseId) -> rusqlite::Result<()> {
        let row = self.next_row();
        let revision = row.revision();
        let previous = self.read_index().head(&key).copied();
        let (create_revision, version) =
            previous.map_or((revision, 1), |previous| (previous.create_revision, previous.version + 1));
        let stored = Version { row, create_revision, version, lease };
        disk::insert(self.connection, &key, &value, &stored)?;
        self.write_index(|index| index.push(key.clone(), stored));
        self.events.push(Event::Put(KeyValue {
            key,
            value,
            create_revision,
            mod_revision: revision,
            version,
            lease,
        }));
        Ok(())
    }

    fn delete(&mut self, range: &KeyRange) -> rusqlite::Result<usize> {
        let keys: Vec<Bytes> =
            self.read_index().range(range, Revision::MAX).map(|(key, _)| key.clone()).collect();
        let count = keys.len();
        for key in keys {
            self.delete_key(key)?;
        }
        Ok(count)
    }

    fn delete_key(&mut self, key: Bytes) -> rusqlite::Result<()> {
        let row = self.next_row();
        let deletion = Version { row, create_revision: 0, version: 0, lease: LeaseId::NONE };
        disk::insert(self.connection, &key, &[], &deletion)?;
        self.write_index(|index| index.push(key.clone(), deletion));
        self.events.push(Event::Delete { key, revision: row.revision() });
        Ok(())
    }

    /// A read inside a transaction sees what the transaction has done so far.
    fn range(&self, request: &RangeRequest) -> rusqlite::Result<RangeResponse> {
        let at = if request.revision == 0 { Revision::MAX } else { request.revision };
        let found = select(&self.read_index(), request, at);
        let mut response =
            RangeResponse { revision: self.head, kvs: Vec::new(), more: found.more, count: found.count };
        for (key, version) in found.rows {
            let value = match request.keys_only {
                true => Bytes::new(),
                false => disk::value(self.connection, version.row)?.unwrap_or_default(),
            };
            response.kvs.push(key_value(key, value, &version));
        }
        Ok(response)
    }

    fn next_row(&mut self) -> RowId {
        let row = RowId::new(self.head + 1, self.changes);
        self.changes += 1;
        row
    }

    fn end_revision(&mut self) {
        if self.changes > 0 {
            self.head += 1;
            self.changes = 0;
        }
    }

    fn read_index(&self) -> RwLockReadGuard<'a, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_index<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether history as of `requested` can be read; 0 is the latest.
pub(super) fn check_revision(
    requested: Revision,
    current: Revision,
    compacted: Revision,
) -> Result<(), StoreError> {
    match requested {
        0 => Ok(()),
        _ if requested > current => Err(StoreError::FutureRevision { requested }),
        _ if requested < compacted => Err(StoreError::Compacted { compacted: Some(compacted) }),
        _ => Ok(()),
    }
}

/// Which rows a range read returns.
pub(super) struct Selected {
    pub rows: Vec<(Bytes, Version)>,
    pub more: bool,
    pub count: usize,
}

pub(super) fn select(index: &Index, request: &RangeRequest, at: Revision) -> Selected {
    let limit = match (request.count_only, request.limit) {
        (true, _) => 0,
        (false, 0) => usize::MAX,
        (false, limit) => limit,
    };
    let mut rows = Vec::new();
    let mut count = 0;
    for (key, version) in index.range(&request.range, at) {
        count += 1;
        if rows.len() < limit {
            rows.push((key.clone(), *version));
        }
    }
    let more = !request.count_only && count > rows.len();
    Selected { rows, more, count }
}

pub(super) fn key_value(key: Bytes, value: Bytes, version: &Version) -> KeyValue {
    KeyValue {
        key,
        value,
        create_revision: version.create_revision,
        mod_revision: version.row.revision(),
        version: version.version,
        lease: version.lease,
    }
}
