//! Keys that live as long as somebody vouches for them.

use state_store::{Compare, KeyRange, LeaseId, MAX_LEASE_SECONDS, Op, Operand, Relation, StoreError, Txn};

use super::{Shared, commit, delete, events, holds, key, keys, put, read, revision};

/// Long enough not to end during a test.
const LONG_SECONDS: i64 = 3600;

/// The shortest that all stores grant, more or less: etcd rounds up to a multiple of its election time.
const SHORT_SECONDS: i64 = 1;

async fn put_leased(store: &Shared, name: &str, lease: LeaseId) {
    commit(store, Txn::new().then(Op::put_leased(name.to_owned(), "x", lease))).await;
}

pub async fn a_lease_ends_with_its_keys(store: &Shared) {
    let lease = store.lease_grant(LeaseId::NONE, LONG_SECONDS).await.unwrap();
    assert!(lease.id != LeaseId::NONE && lease.ttl_seconds >= LONG_SECONDS);
    put_leased(store, "b", lease.id).await;
    put_leased(store, "a", lease.id).await;
    put(store, "c", "x").await;
    let status = store.lease_time_to_live(lease.id).await.unwrap();
    assert_eq!(status.keys, ["a", "b"]);
    assert_eq!(status.granted_seconds, lease.ttl_seconds);
    assert!((1..=LONG_SECONDS).contains(&status.remaining_seconds), "{status:?}");
    assert_eq!(read(store, key("a")).await.kvs[0].lease, lease.id);
    let held = Compare { range: key("a"), relation: Relation::Equal, operand: Operand::Lease(lease.id) };
    assert!(holds(store, held).await);

    let base = revision(store).await;
    let mut watcher = store.watch(KeyRange::all(), 0).await.unwrap();
    store.lease_revoke(lease.id).await.unwrap();
    assert_eq!(events(&mut watcher, 2, base).await, ["-a@1", "-b@1"]);
    assert_eq!(keys(&read(store, KeyRange::all()).await), ["c"]);
    let gone = store.lease_time_to_live(lease.id).await;
    assert!(matches!(gone, Err(StoreError::LeaseNotFound(id)) if id == lease.id), "{gone:?}");

    // A lease without keys ends without a trace.
    let before = revision(store).await;
    let lease = store.lease_grant(LeaseId::NONE, LONG_SECONDS).await.unwrap();
    store.lease_revoke(lease.id).await.unwrap();
    assert_eq!(revision(store).await, before);
}

pub async fn expiry_deletes_the_keys(store: &Shared) {
    let short = store.lease_grant(LeaseId::NONE, SHORT_SECONDS).await.unwrap();
    let long = store.lease_grant(LeaseId::NONE, LONG_SECONDS).await.unwrap();
    put_leased(store, "long", long.id).await;
    put_leased(store, "short/b", short.id).await;
    put_leased(store, "short/a", short.id).await;
    let base = revision(store).await;
    let mut watcher = store.watch(KeyRange::all(), base + 1).await.unwrap();
    assert_eq!(events(&mut watcher, 2, base).await, ["-short/a@1", "-short/b@1"]);
    assert_eq!(keys(&read(store, KeyRange::all()).await), ["long"]);
    let expired = store.lease_keep_alive(short.id).await;
    assert!(matches!(expired, Err(StoreError::LeaseNotFound(_))), "{expired:?}");
    let refused = store.txn(Txn::new().then(Op::put_leased("late", "x", short.id))).await;
    assert!(matches!(refused, Err(StoreError::LeaseNotFound(_))), "{refused:?}");
    store.lease_revoke(long.id).await.unwrap();
}

/// Two leases granted one after the other; the first is kept alive until the second has gone.
pub async fn keeping_alive_prevents_expiry(store: &Shared) {
    let kept = store.lease_grant(LeaseId::NONE, SHORT_SECONDS).await.unwrap();
    put_leased(store, "kept", kept.id).await;
    let left = store.lease_grant(LeaseId::NONE, SHORT_SECONDS).await.unwrap();
    put_leased(store, "left", left.id).await;
    let base = revision(store).await;
    let mut watcher = store.watch(KeyRange::all(), base + 1).await.unwrap();
    let gone = events(&mut watcher, 1, base);
    tokio::pin!(gone);
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    let gone = loop {
        tokio::select! {
            gone = &mut gone => break gone,
            _ = tick.tick() => {
                let alive = store.lease_keep_alive(kept.id).await.unwrap();
                assert_eq!((alive.id, alive.ttl_seconds), (kept.id, kept.ttl_seconds));
            }
        }
    };
    assert_eq!(gone, ["-left@1"]);
    assert_eq!(keys(&read(store, KeyRange::all()).await), ["kept"]);
    store.lease_revoke(kept.id).await.unwrap();
}

pub async fn keys_leave_their_lease(store: &Shared) {
    let first = store.lease_grant(LeaseId::NONE, LONG_SECONDS).await.unwrap();
    let second = store.lease_grant(LeaseId::NONE, LONG_SECONDS).await.unwrap();
    for name in ["detached", "moved", "reborn", "stays"] {
        put_leased(store, name, first.id).await;
    }
    put(store, "detached", "x").await;
    put_leased(store, "moved", second.id).await;
    delete(store, key("reborn")).await;
    put(store, "reborn", "x").await;
    assert_eq!(store.lease_time_to_live(first.id).await.unwrap().keys, ["stays"]);
    assert_eq!(store.lease_time_to_live(second.id).await.unwrap().keys, ["moved"]);
    store.lease_revoke(first.id).await.unwrap();
    assert_eq!(keys(&read(store, KeyRange::all()).await), ["detached", "moved", "reborn"]);
    store.lease_revoke(second.id).await.unwrap();
    assert_eq!(keys(&read(store, KeyRange::all()).await), ["detached", "reborn"]);
}

pub async fn unknown_leases_are_refused(store: &Shared) {
    let unknown = LeaseId(123_456_789);
    let answers = [
        store.lease_keep_alive(unknown).await.map(|_| ()),
        store.lease_revoke(unknown).await,
        store.lease_time_to_live(unknown).await.map(|_| ()),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(StoreError::LeaseNotFound(id)) if id == unknown), "{answer:?}");
    }
    for seconds in [-1, 0, MAX_LEASE_SECONDS + 1] {
        let refused = store.lease_grant(LeaseId::NONE, seconds).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    }
    let named = store.lease_grant(LeaseId(42), LONG_SECONDS).await.unwrap();
    assert_eq!(named.id, LeaseId(42));
    let again = store.lease_grant(LeaseId(42), LONG_SECONDS).await;
    assert!(matches!(again, Err(StoreError::LeaseExists(LeaseId(42)))), "{again:?}");
    store.lease_revoke(LeaseId(42)).await.unwrap();
    store.lease_grant(LeaseId(42), MAX_LEASE_SECONDS).await.unwrap();
    store.lease_revoke(LeaseId(42)).await.unwrap();
}
