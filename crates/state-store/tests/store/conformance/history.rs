//! Forgetting the past.

use state_store::{KeyRange, Op, RangeRequest, StoreError, Txn};

use super::{Shared, delete, key, keys, put, read, value};

pub async fn compaction_keeps_what_is_current(store: &Shared) {
    let first = put(store, "a", "1").await;
    put(store, "gone", "1").await;
    let second = put(store, "a", "2").await;
    let third = delete(store, key("gone")).await;
    let fourth = put(store, "a", "3").await;
    store.compact(third).await.unwrap();

    let at = async |revision| store.range(RangeRequest::new(KeyRange::all()).at(revision)).await;
    for compacted in [first, second] {
        let refused = at(compacted).await;
        assert!(matches!(refused, Err(StoreError::Compacted { .. })), "{refused:?}");
    }
    let as_of_third = at(third).await.unwrap();
    assert_eq!((keys(&as_of_third), &as_of_third.kvs[0].value[..]), (vec!["a".to_owned()], &b"2"[..]));
    assert_eq!(at(fourth).await.unwrap().kvs[0].version, 3);
    let inside = Txn::new().then(Op::put("b", "x")).then(Op::Range(RangeRequest::new(key("a")).at(first)));
    let refused = store.txn(inside).await;
    assert!(matches!(refused, Err(StoreError::Compacted { .. })), "{refused:?}");
    assert_eq!(value(store, "b").await, None);

    // Life goes on: the key that is gone comes back as new, the other one counts on.
    let fifth = put(store, "gone", "2").await;
    put(store, "a", "4").await;
    let found = read(store, KeyRange::all()).await;
    let told: Vec<_> = found.kvs.iter().map(|kv| (kv.create_revision, kv.version)).collect();
    assert_eq!(told, [(first, 4), (fifth, 1)]);
}

pub async fn compaction_is_once_and_not_ahead(store: &Shared) {
    put(store, "a", "1").await;
    let head = put(store, "a", "2").await;
    let ahead = store.compact(head + 1).await;
    assert!(matches!(ahead, Err(StoreError::FutureRevision { .. })), "{ahead:?}");
    store.compact(head).await.unwrap();
    for again in [head, head - 1] {
        let refused = store.compact(again).await;
        assert!(matches!(refused, Err(StoreError::Compacted { .. })), "{refused:?}");
    }
    assert_eq!(value(store, "a").await.as_deref(), Some("2"));
}
