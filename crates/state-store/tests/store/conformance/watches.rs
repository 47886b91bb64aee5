//! Hearing of every change, once, in order.

use state_store::{KeyRange, Op, StoreError, Txn};

use super::{Shared, commit, delete, events, key, put, revision};
use crate::within;

pub async fn changes_arrive_whole_and_in_order(store: &Shared) {
    let base = revision(store).await;
    let mut watcher = store.watch(KeyRange::all(), 0).await.unwrap();
    put(store, "a", "1").await;
    let many = Txn::new().then(Op::put("c", "2")).then(Op::Delete(key("a"))).then(Op::put("b", "2"));
    commit(store, many).await;
    delete(store, KeyRange::all()).await;
    assert_eq!(events(&mut watcher, 6, base).await, ["a=1@1", "c=2@2", "-a@2", "b=2@2", "-b@3", "-c@3"]);
    // No revision is torn apart, however many changes it has.
    let wide = (0..100).fold(Txn::new(), |txn, n| txn.then(Op::put(format!("wide/{n:03}"), "x")));
    let made = commit(store, wide).await.revision;
    let batch = within(watcher.next()).await.unwrap();
    assert_eq!((batch.events.len(), batch.revision), (100, made));
}

pub async fn a_watch_starts_where_it_is_told(store: &Shared) {
    let base = revision(store).await;
    for number in 1..=4 {
        put(store, "a", &number.to_string()).await;
    }
    let from = async |revision, count| {
        let mut watcher = store.watch(KeyRange::all(), revision).await.unwrap();
        events(&mut watcher, count, base).await
    };
    assert_eq!(from(base + 1, 4).await, ["a=1@1", "a=2@2", "a=3@3", "a=4@4"]);
    assert_eq!(from(base + 3, 2).await, ["a=3@3", "a=4@4"]);
    // From the past into the present without a seam.
    let mut watcher = store.watch(KeyRange::all(), base + 4).await.unwrap();
    assert_eq!(events(&mut watcher, 1, base).await, ["a=4@4"]);
    put(store, "a", "5").await;
    assert_eq!(events(&mut watcher, 1, base).await, ["a=5@5"]);
}

pub async fn only_the_range_is_watched(store: &Shared) {
    let base = revision(store).await;
    let mut prefix = store.watch(KeyRange::prefix("p/"), 0).await.unwrap();
    let mut single = store.watch(key("p"), 0).await.unwrap();
    let mut between = store.watch(KeyRange::between("p", "p/b"), 0).await.unwrap();
    for name in ["o", "p", "p/a", "p/b", "p0"] {
        put(store, name, "x").await;
    }
    delete(store, KeyRange::all()).await;
    assert_eq!(events(&mut prefix, 4, base).await, ["p/a=x@3", "p/b=x@4", "-p/a@6", "-p/b@6"]);
    assert_eq!(events(&mut single, 2, base).await, ["p=x@2", "-p@6"]);
    assert_eq!(events(&mut between, 4, base).await, ["p=x@2", "p/a=x@3", "-p@6", "-p/a@6"]);
    let empty_key = store.watch(key(""), 0).await;
    assert!(matches!(empty_key, Err(StoreError::Invalid(_))), "{empty_key:?}");
}

pub async fn a_slow_watcher_misses_nothing(store: &Shared) {
    const PUTS: usize = 6000;
    let base = revision(store).await;
    let mut watcher = store.watch(KeyRange::all(), 0).await.unwrap();
    let mut chunk = Txn::new();
    for number in 0..PUTS {
        chunk = chunk.then(Op::put(format!("k{number}"), vec![b'x'; 100]));
        if chunk.success.len() == 100 {
            commit(store, std::mem::take(&mut chunk)).await;
        }
    }
    let seen = events(&mut watcher, PUTS, base).await;
    let x = "x".repeat(100);
    let expected: Vec<_> = (0..PUTS).map(|number| format!("k{number}={x}@{}", number / 100 + 1)).collect();
    assert_eq!(seen, expected);
}

pub async fn a_compacted_past_ends_the_watch(store: &Shared) {
    let first = put(store, "a", "1").await;
    put(store, "a", "2").await;
    let third = put(store, "a", "3").await;
    store.compact(third).await.unwrap();
    let mut watcher = store.watch(KeyRange::all(), first).await.unwrap();
    let refused = within(watcher.next()).await;
    assert!(matches!(refused, Err(StoreError::Compacted { .. })), "{refused:?}");
    let ended = within(watcher.next()).await;
    assert!(matches!(ended, Err(StoreError::Closed)), "{ended:?}");
    // From there on all is well.
    let mut watcher = store.watch(KeyRange::all(), third + 1).await.unwrap();
    put(store, "a", "4").await;
    assert_eq!(events(&mut watcher, 1, third).await, ["a=4@1"]);
}

pub async fn a_watch_waits_for_the_future(store: &Shared) {
    let base = revision(store).await;
    let mut watcher = store.watch(KeyRange::all(), base + 3).await.unwrap();
    for number in 1..=4 {
        put(store, "a", &number.to_string()).await;
    }
    assert_eq!(events(&mut watcher, 2, base).await, ["a=3@3", "a=4@4"]);
}
