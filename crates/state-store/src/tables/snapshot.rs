//! The tables at one revision: records by key, and under their index values.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};

use bytes::Bytes;
use vocabulary::{Scope, Seal};

use super::{
    StateError,
    record::{self, Record},
    sorted::{Keyed, Sorted},
};
use crate::{Event, KeyValue, Revision};

/// A record of any kind, shared by all snapshots that hold it.
pub(super) type AnyRecord = Arc<dyn Any + Send + Sync>;

pub(super) struct Entry {
    /// The key in the store.
    key: Box<str>,
    pub scope: Scope,
    /// Where in the key the id begins.
    id_at: usize,
    pub create_revision: Revision,
    pub mod_revision: Revision,
    pub value: AnyRecord,
}

impl Entry {
    pub fn id(&self) -> &str {
        &self.key[self.id_at..]
    }

    /// The record, of the type that its table was declared with.
    pub fn record<T: Record>(&self) -> Arc<T> {
        self.value.clone().downcast().expect("a table holds records of the type that it is found by")
    }
}

impl Keyed for Entry {
    fn key(&self) -> &str {
        &self.key
    }
}

/// `{name}\0{value}\0{key of the record}`.
pub(super) struct IndexEntry {
    key: Box<str>,
    pub entry: Arc<Entry>,
}

impl IndexEntry {
    /// Whether name and value together, with their separators, have this length.
    pub fn has_value_of(&self, prefix_length: usize) -> bool {
        self.key.len() == prefix_length + self.entry.key.len()
    }
}

impl Keyed for IndexEntry {
    fn key(&self) -> &str {
        &self.key
    }
}

/// The prefix of index entries with one value.
pub(super) fn index_prefix(name: &str, value: &str) -> String {
    format!("{name}\0{value}\0")
}

#[derive(Clone, Default)]
pub(super) struct Table {
    pub records: Sorted<Entry>,
    pub indexes: Sorted<IndexEntry>,
    /// The last revision that changed it, or a later one.
    pub changed: Revision,
}

/// The tables as one revision left them.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub revision: Revision,
    /// In the order of [`Kinds`].
    pub tables: Vec<Table>,
}

/// From the key and the bytes in the store, with what seals.
type Decode = fn(&str, &[u8], Option<&dyn Seal>) -> Result<AnyRecord, StateError>;

/// What a kind of record needs to be handled without its type at hand.
pub(super) struct Kind {
    pub service: &'static str,
    pub kind: &'static str,
    decode: Decode,
    /// Whether two records are written alike.
    alike: fn(&AnyRecord, &AnyRecord) -> bool,
    indexes: fn(&AnyRecord) -> Vec<(&'static str, String)>,
}

/// The kinds of records that the program knows.
#[derive(Default)]
pub(super) struct Kinds {
    pub all: Vec<Kind>,
    /// For the kinds that are sealed.
    pub seal: Option<Arc<dyn Seal>>,
    by_type: HashMap<TypeId, usize>,
    by_name: HashMap<(&'static str, &'static str), usize>,
}

impl Kinds {
    /// # Panics
    /// When two types claim one service and kind, or a name holds a slash: a mistake in the program.
    pub fn add<T: Record>(&mut self) {
        let name = (T::SERVICE, T::KIND);
        assert!(!T::SERVICE.contains('/') && !T::KIND.contains('/'), "the names {name:?} hold a slash");
        let number = self.all.len();
        if self.by_type.insert(TypeId::of::<T>(), number).is_some() {
            panic!("the table {name:?} is declared twice");
        }
        if self.by_name.insert(name, number).is_some() {
            panic!("two types claim the table {name:?}");
        }
        self.all.push(Kind {
            service: T::SERVICE,
            kind: T::KIND,
            decode: record::decode::<T>,
            alike: |one, other| written::<T>(one) == written::<T>(other),
            indexes: |value| value.downcast_ref::<T>().map(Record::indexes).unwrap_or_default(),
        });
    }

    /// # Panics
    /// When the type was not declared: a mistake in the program.
    pub fn number<T: Record>(&self) -> usize {
        *self.by_type.get(&TypeId::of::<T>()).unwrap_or_else(|| {
            panic!("no table is declared for {}/{}: add it to `Tables`", T::SERVICE, T::KIND)
        })
    }
}

/// A change of one record, as the tables saw it.
pub(super) struct Applied {
    pub kind: usize,
    pub before: Option<Arc<Entry>>,
    pub after: Option<Arc<Entry>>,
}

impl Snapshot {
    pub fn empty(kinds: &Kinds) -> Snapshot {
        Snapshot { revision: 0, tables: vec![Table::default(); kinds.all.len()] }
    }

    /// Applies one event; `known` has the record of some bytes without reading them. None when it concerns no record that
    /// the program knows.
    pub fn apply(
        &mut self,
        kinds: &Kinds,
        event: &Event,
        known: impl FnOnce(&Bytes) -> Option<AnyRecord>,
    ) -> Result<Option<Applied>, StateError> {
        let Ok(key) = std::str::from_utf8(event.key()) else { return Ok(None) };
        let Some((kind, scope, id_at)) = locate(kinds, key) else { return Ok(None) };
        match event {
            Event::Put(kv) => {
                let read = || (kinds.all[kind].decode)(key, &kv.value, kinds.seal.as_deref());
                let value = match known(&kv.value) {
                    Some(known) => {
                        // Whoever reads it after the next start must see the same.
                        debug_assert!(
                            (kinds.all[kind].alike)(&known, &read()?),
                            "`{key}` is not read back as it was written"
                        );
                        known
                    }
                    None => read()?,
                };
                let entry = entry(kv, key, scope, id_at, value);
                Ok(Some(self.put(kinds, kind, entry)))
            }
            Event::Delete { .. } => Ok(self.delete(kinds, kind, key)),
        }
    }

    fn put(&mut self, kinds: &Kinds, kind: usize, entry: Arc<Entry>) -> Applied {
        let table = &mut self.tables[kind];
        let before = table.records.insert(entry.clone());
        let old = before.as_ref().map(|before| kinds.all[kind].index_keys(before)).unwrap_or_default();
        let new = kinds.all[kind].index_keys(&entry);
        for key in old.iter().filter(|key| !new.contains(key)) {
            table.indexes.remove(key);
        }
        for key in new {
            table.indexes.insert(Arc::new(IndexEntry { key: key.into(), entry: entry.clone() }));
        }
        Applied { kind, before, after: Some(entry) }
    }

    fn delete(&mut self, kinds: &Kinds, kind: usize, key: &str) -> Option<Applied> {
        let table = &mut self.tables[kind];
        let before = table.records.remove(key)?;
        for key in kinds.all[kind].index_keys(&before) {
            table.indexes.remove(&key);
        }
        Some(Applied { kind, before: Some(before), after: None })
    }
}

fn written<T: Record>(value: &AnyRecord) -> Option<serde_json::Value> {
    serde_json::to_value(value.downcast_ref::<T>()?).ok()
}

impl Kind {
    fn index_keys(&self, entry: &Entry) -> Vec<String> {
        let declared = (self.indexes)(&entry.value);
        declared.into_iter().map(|(name, value)| index_prefix(name, &value) + &entry.key).collect()
    }
}

/// Which table a key belongs to, its scope, and where its id begins. An empty id is the kind's deletion marker.
fn locate(kinds: &Kinds, key: &str) -> Option<(usize, Scope, usize)> {
    let parts = record::parse(key).filter(|parts| !parts.id.is_empty())?;
    let kind = *kinds.by_name.get(&(parts.service, parts.kind))?;
    let id_at = key.len() - parts.id.len();
    Some((kind, parts.scope, id_at))
}

fn entry(kv: &KeyValue, key: &str, scope: Scope, id_at: usize, value: AnyRecord) -> Arc<Entry> {
    let (create_revision, mod_revision) = (kv.create_revision, kv.mod_revision);
    Arc::new(Entry { key: key.into(), scope, id_at, create_revision, mod_revision, value })
}
