//! Electing one of several servers, and proving it with every commit.
//!
//! The leader is whoever created the key `leader/{office}`. The key hangs on a lease that the leader keeps alive, so it goes
//! when the leader does. Time alone proves nothing (a process can sleep through its lease), therefore commits of a leader
//! carry a [`Fence`]: the compare that the key is still the one that it created.
//!
//! A candidate that finds its own name on the key was leader in an earlier life and takes over at once, under a new fence,
//! instead of waiting for the old lease: a restart of a single server costs no time. Names must therefore be unique.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Compare, Event, KeyRange, KeyValue, LeaseId, Op, OpResult, RangeRequest, Revision, Store, StoreError, Txn,
};

/// Between an election that failed and the next.
const ELECTION_PAUSE: Duration = Duration::from_secs(1);

/// Proof of leadership, as a condition of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    key: String,
    create_revision: Revision,
}

impl Fence {
    /// Holds as long as the leader is the one that this fence was made for.
    pub fn compare(&self) -> Compare {
        Compare::create_revision(self.key.clone(), self.create_revision)
    }

    pub(crate) fn range(&self) -> KeyRange {
        KeyRange::key(self.key.clone())
    }

    pub(crate) fn is_held_by(&self, leader: &KeyValue) -> bool {
        leader.create_revision == self.create_revision
    }
}

/// Being the leader. Dropping it gives the office up as soon as the lease runs out; [`Leadership::resign`] at once.
#[derive(Debug)]
pub struct Leadership {
    store: Arc<dyn Store>,
    fence: Fence,
    tenure: Tenure,
}

impl Leadership {
    /// Waits to be elected to `office`, through failures of the store. `candidate` names this server, uniquely and the same
    /// after a restart. `ttl_seconds` is how long the office stays with a leader that died.
    ///
    /// Errors: the store is closed, or does not accept the request at all.
    pub async fn campaign(
        store: Arc<dyn Store>,
        office: &str,
        candidate: &str,
        ttl_seconds: i64,
    ) -> Result<Leadership, StoreError> {
        let key = format!("leader/{office}");
        loop {
            match stand(&store, &key, candidate, ttl_seconds).await {
                Ok(leadership) => return Ok(leadership),
                Err(error @ (StoreError::Closed | StoreError::Invalid(_))) => return Err(error),
                Err(error) => tracing::warn!(office, %error, "the election failed; standing again"),
            }
            sleep(ELECTION_PAUSE).await;
        }
    }

    /// What every commit of the leader is to carry.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Returns when the office is lost: the lease has ended, or might have. Work of the leader must stop then.
    pub async fn lost(&mut self) {
        self.tenure.ended().await;
    }

    /// Gives the office up.
    pub async fn resign(self) -> Result<(), StoreError> {
        match self.store.lease_revoke(self.tenure.lease).await {
            Err(StoreError::LeaseNotFound(_)) => Ok(()),
            outcome => outcome,
        }
    }
}

/// Stands for election once, with a lease of its own.
async fn stand(
    store: &Arc<dyn Store>,
    key: &str,
    candidate: &str,
    ttl_seconds: i64,
) -> Result<Leadership, StoreError> {
    let lease = store.lease_grant(LeaseId::NONE, ttl_seconds).await?;
    let mut tenure = Tenure::begin(store.clone(), lease.id, lease.ttl_seconds);
    let create_revision = tokio::select! {
        elected = elect(&**store, key, candidate, lease.id) => elected?,
        () = tenure.ended() => return Err(StoreError::LeaseNotFound(lease.id)),
    };
    let fence = Fence { key: key.to_owned(), create_revision };
    Ok(Leadership { store: store.clone(), fence, tenure })
}

/// Creates the key, waiting for whoever holds it. Returns the revision of its creation.
async fn elect(
    store: &dyn Store,
    key: &str,
    candidate: &str,
    lease: LeaseId,
) -> Result<Revision, StoreError> {
    loop {
        let attempt = Txn::new()
            .when(Compare::create_revision(key.to_owned(), 0))
            .then(Op::put_leased(key.to_owned(), candidate.to_owned(), lease))
            .otherwise(Op::Range(RangeRequest::new(KeyRange::key(key.to_owned()))));
        let answer = store.txn(attempt).await?;
        if answer.succeeded {
            return Ok(answer.revision);
        }
        let holder = answer.results.into_iter().find_map(|result| match result {
            OpResult::Range(range) => range.kvs.into_iter().next(),
            OpResult::Put | OpResult::Delete(_) => None,
        });
        match holder {
            Some(holder) if holder.value == candidate.as_bytes() => depose(store, key, &holder).await?,
            Some(_) => wait_for_vacancy(store, key, answer.revision + 1).await?,
            None => {}
        }
    }
}

/// Removes the key of an earlier life, if it is still that one.
async fn depose(store: &dyn Store, key: &str, holder: &KeyValue) -> Result<(), StoreError> {
    let same = Compare::create_revision(key.to_owned(), holder.create_revision);
    let removal = Txn::delete(KeyRange::key(key.to_owned())).when(same);
    store.txn(removal).await.map(|_| ())
}

async fn wait_for_vacancy(store: &dyn Store, key: &str, from: Revision) -> Result<(), StoreError> {
    let mut watcher = store.watch(KeyRange::key(key.to_owned()), from).await?;
    loop {
        match watcher.next().await {
            Ok(batch) if batch.events.iter().any(|event| matches!(event, Event::Delete { .. })) => {
                return Ok(());
            }
            Ok(_) => {}
            // The next attempt finds out how things stand.
            Err(StoreError::Compacted { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// A lease kept alive by a task.
#[derive(Debug)]
struct Tenure {
    lease: LeaseId,
    over: watch::Receiver<bool>,
    keeper: JoinHandle<()>,
}

impl Tenure {
    fn begin(store: Arc<dyn Store>, lease: LeaseId, ttl_seconds: i64) -> Tenure {
        let (sender, over) = watch::channel(false);
        let ttl = Duration::from_secs(ttl_seconds.unsigned_abs());
        let keeper = tokio::spawn(async move {
            keep_alive(&*store, lease, ttl).await;
            sender.send_replace(true);
        });
        Tenure { lease, over, keeper }
    }

    async fn ended(&mut self) {
        // An error means that the keeper is gone, which ends the tenure as well.
        _ = self.over.wait_for(|over| *over).await;
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// Returns when the lease is gone, or could not be kept alive for as long as it lives. The time is counted from before the
/// request, so this side gives up no later than the store does.
async fn keep_alive(store: &dyn Store, lease: LeaseId, ttl: Duration) {
    let mut safe_until = Instant::now() + ttl;
    loop {
        sleep(ttl / 3).await;
        let asked = Instant::now();
        let outcome = tokio::select! {
            outcome = store.lease_keep_alive(lease) => outcome,
            () = sleep_until(safe_until) => return,
        };
        match outcome {
            Ok(_) => safe_until = asked + ttl,
            Err(StoreError::LeaseNotFound(_) | StoreError::Closed) => return,
            Err(error) if Instant::now() >= safe_until => {
                tracing::warn!(%error, "the lease of the leader could not be kept alive");
                return;
            }
            Err(_) => {}
        }
    }
}
