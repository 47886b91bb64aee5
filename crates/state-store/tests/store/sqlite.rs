//! The suite against SQLite, on disk and in memory, and what only a store with a file can get wrong.

use std::sync::Arc;

use state_store::{
    Event, KeyRange, LeaseId, Op, RangeRequest, SqliteOptions, SqliteStore, Store, StoreError, Txn,
};
use tempfile::TempDir;

use crate::{
    conformance::{Shared, all_cases, each_as_a_test},
    model, within,
};

fn make_on_disk() -> (Shared, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Arc::new(open(&directory)), directory)
}

fn make_in_memory() -> (Shared, ()) {
    (Arc::new(SqliteStore::in_memory().unwrap()), ())
}

mod on_disk {
    macro_rules! tests {
        ($($cases:tt)*) => { super::each_as_a_test! { super::make_on_disk; $($cases)* } };
    }
    super::all_cases!(tests);
}

mod in_memory {
    macro_rules! tests {
        ($($cases:tt)*) => { super::each_as_a_test! { super::make_in_memory; $($cases)* } };
    }
    super::all_cases!(tests);
}

fn open(directory: &TempDir) -> SqliteStore {
    SqliteStore::open(directory.path(), &SqliteOptions::default()).unwrap()
}

fn everything() -> RangeRequest {
    RangeRequest::new(KeyRange::all())
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let lease = store.lease_grant(LeaseId::NONE, 3600).await.unwrap();
    store.txn(Txn::put("a", "1")).await.unwrap();
    store.txn(Txn::put("a", "2").then(Op::put_leased("b", "2", lease.id))).await.unwrap();
    let last = store.txn(Txn::delete(KeyRange::key("a"))).await.unwrap().revision;
    let before = store.range(everything()).await.unwrap();
    drop(store);

    let store = open(&directory);
    assert_eq!(store.range(everything()).await.unwrap(), before);
    assert_eq!(store.lease_time_to_live(lease.id).await.unwrap().keys, ["b"]);
    let mut watcher = store.watch(KeyRange::all(), 2).await.unwrap();
    let history = within(watcher.next()).await.unwrap();
    assert_eq!((history.events.len(), history.revision), (4, last));
    assert!(matches!(&history.events[3], Event::Delete { key, .. } if key == "a"));
    assert_eq!(store.txn(Txn::put("a", "3")).await.unwrap().revision, last + 1);
}

/// The head revision survives even when compaction has removed the rows that told it.
#[tokio::test]
async fn a_compacted_store_counts_on_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    store.txn(Txn::put("a", "1")).await.unwrap();
    store.txn(Txn::put("b", "1")).await.unwrap();
    let last = store.txn(Txn::delete(KeyRange::all())).await.unwrap().revision;
    store.compact(last).await.unwrap();
    drop(store);
    let store = open(&directory);
    let found = store.range(everything()).await.unwrap();
    assert_eq!((found.count, found.revision), (0, last));
    let refused = store.range(everything().at(last - 1)).await;
    assert!(matches!(refused, Err(StoreError::Compacted { compacted: Some(revision) }) if revision == last));
    assert_eq!(store.txn(Txn::put("a", "3")).await.unwrap().revision, last + 1);
}

/// What a store opened again remembers is compared with the model's memory of it, seed by seed.
#[tokio::test]
async fn random_histories_survive_opening_again() {
    for seed in 100..104 {
        let directory = tempfile::tempdir().unwrap();
        let store: Shared = Arc::new(open(&directory));
        model::compare_with_model(&store, seed).await;
        let before = store.range(everything()).await.unwrap();
        drop(store);
        assert_eq!(open(&directory).range(everything()).await.unwrap(), before, "seed {seed}");
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_free_again_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let refused = SqliteStore::open(directory.path(), &SqliteOptions::default()).err().unwrap();
    let StoreError::Locked { path, holder } = &refused else { panic!("{refused}") };
    assert_eq!((path.as_path(), *holder), (directory.path(), Some(std::process::id())));
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    // A watcher that is still around does not keep the directory.
    let mut watcher = store.watch(KeyRange::all(), 0).await.unwrap();
    drop(store);
    open(&directory);
    assert!(matches!(within(watcher.next()).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(&directory));
    let file = rusqlite::Connection::open(directory.path().join("state.sqlite")).unwrap();
    file.pragma_update(None, "user_version", 1000).unwrap();
    drop(file);
    let refused = SqliteStore::open(directory.path(), &SqliteOptions::default()).err().unwrap();
    assert!(matches!(refused, StoreError::NewerFormat { found: 1000, known: 1, .. }), "{refused}");
}

#[tokio::test]
async fn history_is_bounded_without_being_asked() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { keep_changes: 500, ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), &options).unwrap();
    store.txn(Txn::put("still", "here")).await.unwrap();
    let mut last = 0;
    for round in 0..200 {
        let txn = (0..100).fold(Txn::new(), |txn, n| txn.then(Op::put(format!("k{n}"), format!("{round}"))));
        last = store.txn(txn).await.unwrap().revision;
    }
    // Five revisions of a hundred changes each are promised.
    assert_eq!(store.range(everything().at(last - 4)).await.unwrap().count, 101);
    let refused = store.range(everything().at(2)).await;
    assert!(matches!(refused, Err(StoreError::Compacted { .. })), "{refused:?}");
    drop(store);
    let file = rusqlite::Connection::open(directory.path().join("state.sqlite")).unwrap();
    let rows: i64 = file.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
    assert!(rows < 20_000 / 2, "{rows} of 20,001 rows are left");
    drop(file);
    let store = open(&directory);
    let found = store.range(everything()).await.unwrap();
    assert_eq!((found.count, found.revision), (101, last));
}

/// Deletions of the compacted revision are gone from the log, so a watch from there could miss one.
#[tokio::test]
async fn a_watch_from_the_compacted_revision_does_not_pass_over_its_deletions() {
    let (store, _directory) = make_on_disk();
    store.txn(Txn::put("a", "1")).await.unwrap();
    let deleted = store.txn(Txn::delete(KeyRange::all())).await.unwrap().revision;
    store.compact(deleted).await.unwrap();
    let mut watcher = store.watch(KeyRange::all(), deleted).await.unwrap();
    let refused = within(watcher.next()).await;
    assert!(matches!(refused, Err(StoreError::Compacted { .. })), "{refused:?}");
}
