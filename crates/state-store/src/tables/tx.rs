//! One attempt of a transaction: what it read becomes the condition of what it writes.
//!
//! A read of one record is guarded by the revision of its last change; a scan by "nothing under this prefix changed since
//! the snapshot". Deleted keys are not in a range, so every delete also rewrites a marker, the key with the empty id, which
//! lies in the range of every scan of its kind.

use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use vocabulary::Scope;

use super::{
    StateError, View,
    record::{self, Record},
    snapshot::AnyRecord,
};
use crate::{Compare, Fence, KeyRange, Op, Revision, error::InvalidRequest};

/// The record that [`Tx::create`] was to make exists already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` exists already")]
pub struct AlreadyExists(pub String);

/// A transaction being put together. Reads see the snapshot and, on top of it, the transaction's own writes.
#[derive(Debug)]
pub struct Tx {
    view: View,
    /// Keys that were read, with the revision of their last change; 0: there was none.
    pub(super) guards: BTreeMap<String, Revision>,
    /// Ranges that were scanned.
    pub(super) ranges: Vec<KeyRange>,
    pub(super) writes: BTreeMap<String, Write>,
    /// Kinds from which something is deleted.
    pub(super) markers: BTreeSet<String>,
    pub(super) fence: Option<Fence>,
    /// Why the transaction cannot be committed.
    pub(super) invalid: Option<StateError>,
    notes: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

#[derive(Debug)]
pub(super) enum Write {
    Put { value: AnyRecord, stored: Bytes },
    Delete,
}

impl Tx {
    pub(super) fn new(view: View) -> Tx {
        Tx {
            view,
            guards: BTreeMap::new(),
            ranges: Vec::new(),
            writes: BTreeMap::new(),
            markers: BTreeSet::new(),
            fence: None,
            invalid: None,
            notes: HashMap::new(),
        }
    }

    /// What a caller keeps beside this attempt, one value of each type. It is dropped with the attempt: after the commit, when
    /// the tables show it, or when the attempt has failed.
    pub fn notes<T: Default + Send + Sync + 'static>(&mut self) -> &mut T {
        let note = self.notes.entry(TypeId::of::<T>()).or_insert_with(|| Box::<T>::default());
        note.downcast_mut().expect("a note is kept under its own type")
    }

    /// The snapshot that the transaction works on. Reads through it are not guarded, and do not see its own writes.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Reads a record. The transaction commits only if it has not changed until then.
    pub fn get<T: Record>(&mut self, scope: &Scope, id: &str) -> Option<Arc<T>> {
        let key = record::key::<T>(scope, id);
        if let Some(own) = self.own(&key) {
            return own;
        }
        let (value, revision) = match self.view.entry::<T>(scope, id) {
            Some(entry) => (Some(entry.record()), entry.mod_revision),
            None => (None, 0),
        };
        self.guards.insert(key, revision);
        value
    }

    /// Reads a record without making the commit depend on it.
    pub fn peek<T: Record>(&self, scope: &Scope, id: &str) -> Option<Arc<T>> {
        let own = self.own(&record::key::<T>(scope, id));
        own.unwrap_or_else(|| self.view.get(scope, id))
    }

    /// All records of a scope, ascending by id. The transaction commits only if none has come, gone or changed until then.
    pub fn scan<T: Record>(&mut self, scope: &Scope) -> Vec<(String, Arc<T>)> {
        self.scan_prefix(scope, "")
    }

    /// As [`Tx::scan`], for the ids that begin with `id_prefix`.
    pub fn scan_prefix<T: Record>(&mut self, scope: &Scope, id_prefix: &str) -> Vec<(String, Arc<T>)> {
        self.guard_prefix::<T>(scope, id_prefix);
        let found = self.view.scan_prefix::<T>(scope, id_prefix);
        let mut merged: BTreeMap<String, Arc<T>> = found.map(|(id, value)| (id.to_owned(), value)).collect();
        let prefix = record::prefix::<T>(scope);
        for (key, write) in self.writes.range(record::key::<T>(scope, id_prefix)..) {
            let Some(id) = key.strip_prefix(&prefix).filter(|id| id.starts_with(id_prefix)) else { break };
            match write {
                Write::Put { value, .. } => _ = merged.insert(id.to_owned(), downcast(value)),
                Write::Delete => _ = merged.remove(id),
            }
        }
        merged.into_iter().collect()
    }

    /// Records of a scope that declare `value` for the index `name`, ascending by id. Guarded like a scan of the whole
    /// kind, since any of its records may come to declare the value.
    pub fn by_index<T: Record>(&mut self, scope: &Scope, name: &str, value: &str) -> Vec<(String, Arc<T>)> {
        let own_writes = !self.writes.is_empty();
        if own_writes {
            let declares = |record: &Arc<T>| {
                record.indexes().iter().any(|(declared, found)| *declared == name && found == value)
            };
            return self.scan::<T>(scope).into_iter().filter(|(_, record)| declares(record)).collect();
        }
        self.guard_prefix::<T>(scope, "");
        self.view.by_index(scope, name, value).map(|(id, value)| (id.to_owned(), value)).collect()
    }

    /// Writes a record, whether it exists or not. Unless it was read before, a change by others is overwritten.
    pub fn put<T: Record>(&mut self, scope: &Scope, id: &str, value: impl Into<Arc<T>>) {
        let key = record::key::<T>(scope, id);
        self.view.kinds.number::<T>();
        if id.is_empty() {
            self.invalid = Some(StateError::Store(InvalidRequest::EmptyKey.into()));
            return;
        }
        let value: Arc<T> = value.into();
        match record::encode(&key, &*value, self.view.kinds.seal.as_deref()) {
            Ok(stored) => _ = self.writes.insert(key, Write::Put { value, stored: stored.into() }),
            Err(error) => self.invalid = Some(error),
        }
    }

    /// Writes a record that must not exist yet, now and when the transaction commits.
    pub fn create<T: Record>(
        &mut self,
        scope: &Scope,
        id: &str,
        value: impl Into<Arc<T>>,
    ) -> Result<(), AlreadyExists> {
        if self.get::<T>(scope, id).is_some() {
            return Err(AlreadyExists(id.to_owned()));
        }
        self.put(scope, id, value);
        Ok(())
    }

    /// Deletes a record, if it exists. Guarded, so that what it returns is what is deleted.
    pub fn delete<T: Record>(&mut self, scope: &Scope, id: &str) -> Option<Arc<T>> {
        let deleted = self.get::<T>(scope, id)?;
        self.writes.insert(record::key::<T>(scope, id), Write::Delete);
        self.markers.insert(record::prefix::<T>(scope));
        Some(deleted)
    }

    /// Makes the commit depend on still being the leader that `fence` stands for.
    pub fn fence(&mut self, fence: &Fence) {
        self.fence = Some(fence.clone());
    }

    /// What the transaction itself has done to a key; the outer none: nothing.
    fn own<T: Record>(&self, key: &str) -> Option<Option<Arc<T>>> {
        self.writes.get(key).map(|write| match write {
            Write::Put { value, .. } => Some(downcast(value)),
            Write::Delete => None,
        })
    }

    fn guard_prefix<T: Record>(&mut self, scope: &Scope, id_prefix: &str) {
        let mut guard = |range| {
            if !self.ranges.contains(&range) {
                self.ranges.push(range);
            }
        };
        guard(KeyRange::prefix(record::key::<T>(scope, id_prefix)));
        if !id_prefix.is_empty() {
            guard(KeyRange::key(record::prefix::<T>(scope)));
        }
    }

    /// The conditions of the commit, and what it writes.
    pub(super) fn request(&self) -> (Vec<Compare>, Vec<Op>) {
        let points = self.guards.iter().map(|(key, revision)| Compare::mod_revision(key.clone(), *revision));
        let revision = self.view.revision();
        let ranges = self.ranges.iter().map(|range| Compare::not_modified_since(range.clone(), revision));
        let fence = self.fence.iter().map(Fence::compare);
        let writes = self.writes.iter().map(|(key, write)| match write {
            Write::Put { stored, .. } => Op::put(key.clone(), stored.clone()),
            Write::Delete => Op::Delete(KeyRange::key(key.clone())),
        });
        let markers = self.markers.iter().map(|key| Op::put(key.clone(), Bytes::new()));
        (fence.chain(points).chain(ranges).collect(), writes.chain(markers).collect())
    }
}

fn downcast<T: Record>(value: &AnyRecord) -> Arc<T> {
    value.clone().downcast().expect("a key names the type of its record")
}
