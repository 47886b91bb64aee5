//! Typed tables in memory, fed by the store's watch, and transactions on them.
//!
//! Reads never touch the store. A transaction runs on a snapshot; what it read becomes compares of one store transaction, so
//! a commit happens only if the world is still as the transaction saw it. Otherwise it runs again on a fresh snapshot. When a
//! commit returns, the tables of this server have reached its revision.

mod changes;
mod commit;
mod feed;
mod own;
mod record;
mod snapshot;
mod sorted;
mod tx;
mod view;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::JoinHandle;
use vocabulary::Seal;

pub use self::{
    changes::{AllChanges, Change, Changes, Notice, Touched},
    record::Record,
    tx::{AlreadyExists, Tx},
    view::{Found, View},
};
use self::{feed::Feed, snapshot::Kinds};
use crate::{Revision, Store, StoreError};

/// Why a transaction was not carried out, or the tables cannot be used. Unless the store says that the outcome is unknown,
/// nothing was written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Other transactions changed what this one read, each time that it was tried.
    #[error("the transaction met a conflicting one in each of {attempts} attempts")]
    Contention { attempts: usize },
    /// The fence of the transaction no longer holds.
    #[error("not the leader any more")]
    NotLeader,
    #[error("record `{key}` was written by a newer version (schema {found}, this one knows up to {known})")]
    NewerSchema { key: String, found: u32, known: u32 },
    #[error("record `{key}` cannot be brought from schema {from} to the present one: {reason}")]
    Migration { key: String, from: u32, reason: String },
    #[error("record `{key}` cannot be read: {source}")]
    Decode { key: String, source: Arc<serde_json::Error> },
    #[error("record `{key}` cannot be written: {source}")]
    Encode { key: String, source: Arc<serde_json::Error> },
    #[error("record `{key}` is to be sealed, and the tables have no seal")]
    NoSeal { key: String },
    #[error(
        "record `{key}` cannot be opened: it was sealed with another key or for another place, or was changed"
    )]
    SealBroken { key: String },
    #[error(
        "record `{key}` is of a sealed kind and lies there unsealed: a version that did not seal yet, or something else, wrote it"
    )]
    Unsealed { key: String },
    /// The store made progress that the tables did not follow in time.
    #[error("the tables are at revision {reached} and did not reach {wanted} in time")]
    Behind { reached: Revision, wanted: Revision },
}

/// The kinds of records that a program keeps, each declared once.
#[derive(Default)]
pub struct Tables(Kinds);

impl Tables {
    pub fn new() -> Tables {
        Tables::default()
    }

    /// Declares the table of `T`. A record that cannot be read makes [`State::open`] fail, instead of being missed later.
    ///
    /// # Panics
    /// When `T`, or its service and kind, is declared already.
    pub fn with<T: Record>(mut self) -> Tables {
        self.0.add::<T>();
        self
    }

    /// Seals the kinds that ask for it ([`Record::SEALED`]) with `seal`. Without one they cannot be written.
    pub fn sealed_with(mut self, seal: Arc<dyn Seal>) -> Tables {
        self.0.seal = Some(seal);
        self
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.all.iter().map(|kind| (kind.service, kind.kind))).finish()
    }
}

/// The state of the control plane. Clones are handles on the same tables; they stop following the store when the last goes.
#[derive(Clone)]
pub struct State(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    feed: Arc<Feed>,
    lanes: commit::Lanes,
    /// None once closed.
    follower: Mutex<Option<JoinHandle<()>>>,
}

impl Inner {
    fn take_follower(&self) -> Option<JoinHandle<()>> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(follower) = self.take_follower() {
            follower.abort();
        }
    }
}

impl State {
    /// Reads all declared tables into memory and follows the store from there, on a task of the current runtime.
    ///
    /// Errors: those of the store, and records that cannot be read.
    pub async fn open(store: Arc<dyn Store>, tables: Tables) -> Result<State, StateError> {
        let feed = Feed::load(&*store, tables.0).await?;
        let follower = Mutex::new(Some(tokio::spawn(feed.clone().follow(store.clone()))));
        Ok(State(Arc::new(Inner { store, feed, lanes: commit::Lanes::default(), follower })))
    }

    /// The tables as they are now.
    pub fn view(&self) -> View {
        self.0.feed.view()
    }

    /// Reads from one consistent snapshot.
    pub fn read<T>(&self, read: impl FnOnce(&View) -> T) -> T {
        read(&self.view())
    }

    /// The revision that the tables have reached.
    pub fn revision(&self) -> Revision {
        self.0.feed.revision()
    }

    /// Waits until the tables have reached `revision`. One that the store never reaches is waited for as long as the caller cares to.
    ///
    /// Errors: what stopped the tables from following the store.
    pub async fn wait_for(&self, revision: Revision) -> Result<(), StateError> {
        self.0.feed.wait_for(revision).await
    }

    /// Changes of one kind of record from now on. Subscribe first, read the table afterwards: then nothing is missed.
    ///
    /// # Panics
    /// For a type that was not declared.
    pub fn watch<T: Record>(&self) -> Changes<T> {
        self.0.feed.watch()
    }

    /// Which records of any kind change from now on.
    pub fn changes(&self) -> AllChanges {
        self.0.feed.changes()
    }

    /// Stops following the store and lets go of it, for all handles. When this returns and the caller has dropped its own
    /// handles, the store is closed: its directory can be opened again.
    pub async fn close(self) {
        if let Some(follower) = self.0.take_follower() {
            follower.abort();
            // It ends as aborted, which is what was asked for.
            _ = follower.await;
            self.0.feed.stop(StoreError::Closed.into());
        }
    }

    /// The store beneath, for keys that are no records: leases, elections.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Runs `work` on a snapshot and commits what it wrote, if nothing that it read has changed meanwhile; otherwise runs it
    /// again, a bounded number of times. When it returns, reads on this server see the outcome. A transaction that writes
    /// nothing costs no more than a read.
    ///
    /// Errors: an error of `work` ends the transaction with nothing written; [`StateError`] as documented there.
    pub async fn transact<T, E: From<StateError>>(
        &self,
        mut work: impl FnMut(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        for attempt in 0..commit::ATTEMPTS {
            let mut lane = None;
            if attempt > 0 {
                lane = Some(self.0.lanes.enter(attempt).await);
            }
            let mut tx = Tx::new(self.view());
            let value = work(&mut tx)?;
            let outcome = commit::commit(&*self.0.store, &self.0.feed, &tx).await;
            drop(lane);
            match outcome? {
                commit::Outcome::Committed => return Ok(value),
                commit::Outcome::Conflict => {}
            }
        }
        Err(StateError::Contention { attempts: commit::ATTEMPTS }.into())
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "State @{}", self.revision())
    }
}
