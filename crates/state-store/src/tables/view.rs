//! Reading: everything through one view is as of one revision, however long the view is kept.

use std::{fmt, sync::Arc};

use vocabulary::Scope;

use super::{
    record::{self, Record},
    snapshot::{Entry, Kinds, Snapshot, Table, index_prefix},
};
use crate::Revision;

/// The tables at one revision. Cheap to make and to clone; holding one keeps old records in memory, nothing else.
///
/// # Panics
/// Every method panics for a type that was not declared to [`super::Tables`]: a mistake in the program.
#[derive(Clone)]
pub struct View {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) kinds: Arc<Kinds>,
}

/// A record found outside a given scope.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    pub scope: Scope,
    pub id: String,
    pub value: Arc<T>,
}

impl View {
    /// The revision that the view shows.
    pub fn revision(&self) -> Revision {
        self.snapshot.revision
    }

    /// The revision at which any record of the table last changed, or a later one: what was made of the table's records holds
    /// for as long as this stays.
    pub fn changed<T: Record>(&self) -> Revision {
        self.table::<T>().changed
    }

    pub fn get<T: Record>(&self, scope: &Scope, id: &str) -> Option<Arc<T>> {
        self.entry::<T>(scope, id).map(|entry| entry.record())
    }

    /// Revisions of the record's creation and of its latest change.
    pub fn revisions<T: Record>(&self, scope: &Scope, id: &str) -> Option<(Revision, Revision)> {
        self.entry::<T>(scope, id).map(|entry| (entry.create_revision, entry.mod_revision))
    }

    /// All records of a scope with their ids, ascending by id.
    pub fn scan<T: Record>(&self, scope: &Scope) -> impl Iterator<Item = (&str, Arc<T>)> + use<'_, T> {
        self.scan_prefix(scope, "")
    }

    /// Records whose id begins with `id_prefix`, ascending by id.
    pub fn scan_prefix<T: Record>(
        &self,
        scope: &Scope,
        id_prefix: &str,
    ) -> impl Iterator<Item = (&str, Arc<T>)> + use<'_, T> {
        let prefix = record::key::<T>(scope, id_prefix);
        let found = self.table::<T>().records.prefix_from(prefix, "");
        found.map(|entry| (entry.id(), entry.record()))
    }

    /// At most `limit` records after the id `after` (none: from the beginning), ascending: one page. The id of the last one
    /// is where the next page continues.
    pub fn scan_from<T: Record>(
        &self,
        scope: &Scope,
        after: Option<&str>,
        limit: usize,
    ) -> impl Iterator<Item = (&str, Arc<T>)> + use<'_, T> {
        let prefix = record::prefix::<T>(scope);
        // The lowest key above `after`.
        let from = after.map(|after| format!("{prefix}{after}\0")).unwrap_or_default();
        let found = self.table::<T>().records.prefix_from(prefix, &from);
        found.take(limit).map(|entry| (entry.id(), entry.record()))
    }

    /// The kind's records of all scopes, ascending by scope and id.
    pub fn scan_all<T: Record>(&self) -> impl Iterator<Item = Found<T>> + use<'_, T> {
        self.table::<T>().records.from("").map(|entry| found(entry))
    }

    /// Records of a scope that declare `value` for the index `name`, ascending by id.
    pub fn by_index<T: Record>(
        &self,
        scope: &Scope,
        name: &str,
        value: &str,
    ) -> impl Iterator<Item = (&str, Arc<T>)> + use<'_, T> {
        let prefix = index_prefix(name, value) + &record::prefix::<T>(scope);
        let found = self.table::<T>().indexes.prefix_from(prefix, "");
        found.map(|indexed| (indexed.entry.id(), indexed.entry.record()))
    }

    /// Records of all scopes that declare `value` for the index `name`, ascending by scope and id.
    pub fn by_index_all<T: Record>(
        &self,
        name: &str,
        value: &str,
    ) -> impl Iterator<Item = Found<T>> + use<'_, T> {
        let prefix = index_prefix(name, value);
        // A value that goes on behind a NUL begins like this one.
        let length = prefix.len();
        let candidates = self.table::<T>().indexes.prefix_from(prefix, "");
        candidates.filter(move |indexed| indexed.has_value_of(length)).map(|indexed| found(&indexed.entry))
    }

    /// Number of records of the kind in all scopes.
    pub fn count_all<T: Record>(&self) -> usize {
        self.table::<T>().records.len()
    }

    pub(super) fn entry<T: Record>(&self, scope: &Scope, id: &str) -> Option<&Arc<Entry>> {
        self.table::<T>().records.get(&record::key::<T>(scope, id))
    }

    fn table<T: Record>(&self) -> &Table {
        &self.snapshot.tables[self.kinds.number::<T>()]
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View @{}", self.snapshot.revision)
    }
}

fn found<T: Record>(entry: &Entry) -> Found<T> {
    Found { scope: entry.scope.clone(), id: entry.id().to_owned(), value: entry.record() }
}
