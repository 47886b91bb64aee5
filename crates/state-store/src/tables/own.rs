//! Records that this server is writing, so that its own feed need not read them from their bytes when they come back.
//!
//! The bytes of a write are recognized by where they lie: the store in this process hands on the buffer that it was given,
//! and as long as the transaction keeps it, no other can lie there. What comes over a network lies elsewhere and is read.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{
    snapshot::AnyRecord,
    tx::{Tx, Write},
};

/// Records by the address of their bytes; as many as are written by the transactions under way.
#[derive(Default)]
pub(super) struct Own(Mutex<HashMap<usize, AnyRecord>>);

/// Ends what is expected of a transaction when it is dropped, before the transaction can let go of its bytes.
pub(super) struct OwnWrites<'a> {
    own: &'a Own,
    tx: &'a Tx,
}

impl Own {
    pub fn expect<'a>(&'a self, tx: &'a Tx) -> OwnWrites<'a> {
        let mut records = self.records();
        for (stored, value) in puts(tx) {
            records.insert(place(stored), value.clone());
        }
        OwnWrites { own: self, tx }
    }

    pub fn find(&self, stored: &Bytes) -> Option<AnyRecord> {
        self.records().get(&place(stored)).cloned()
    }

    fn records(&self) -> MutexGuard<'_, HashMap<usize, AnyRecord>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OwnWrites<'_> {
    fn drop(&mut self) {
        let mut records = self.own.records();
        let gone: Vec<_> = puts(self.tx).filter_map(|(stored, _)| records.remove(&place(stored))).collect();
        // Outside the lock, since the last handle on a record frees it.
        drop(records);
        drop(gone);
    }
}

fn puts(tx: &Tx) -> impl Iterator<Item = (&Bytes, &AnyRecord)> {
    tx.writes.values().filter_map(|write| match write {
        // Empty ones do not lie anywhere.
        Write::Put { stored, value } if !stored.is_empty() => Some((stored, value)),
        Write::Put { .. } | Write::Delete => None,
    })
}

fn place(stored: &Bytes) -> usize {
    stored.as_ptr().addr()
}
