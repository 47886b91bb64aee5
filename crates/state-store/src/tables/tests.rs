//! The tables over a store in memory: what transactions promise, and what readers and subscribers see.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use vocabulary::{AccountId, Scope};

use super::{sorted::Keyed, sorted::Sorted, *};
use crate::{Leadership, RangeRequest, SqliteOptions, SqliteStore, Txn, kv::KeyRange};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Task {
    status: String,
    count: u64,
}

impl Record for Task {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "task";
    const SCHEMA_VERSION: u32 = 2;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![("status", self.status.clone())]
    }

    fn migrate(from: u32, mut record: serde_json::Value) -> Result<serde_json::Value, String> {
        if from != 1 {
            return Err(format!("schema {from} was never released"));
        }
        record["count"] = 0.into();
        Ok(record)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Cluster {}

impl Record for Cluster {
    const SERVICE: &'static str = "ecs";
    const KIND: &'static str = "cluster";
    const SCHEMA_VERSION: u32 = 1;
}

fn scope() -> Scope {
    scope_in("us-east-1")
}

fn scope_in(region: &str) -> Scope {
    Scope::new(AccountId::local(), region.parse().unwrap())
}

fn task(status: &str) -> Task {
    Task { status: status.to_owned(), count: 0 }
}

fn store() -> Arc<SqliteStore> {
    Arc::new(SqliteStore::in_memory().unwrap())
}

async fn open(store: Arc<dyn Store>) -> State {
    State::open(store, Tables::new().with::<Task>().with::<Cluster>()).await.unwrap()
}

async fn put(state: &State, id: &str, status: &str) {
    let put = |tx: &mut Tx| {
        tx.put(&scope(), id, task(status));
        Ok::<_, StateError>(())
    };
    state.transact(put).await.unwrap();
}

fn ids<'a>(found: impl Iterator<Item = (&'a str, Arc<Task>)>) -> Vec<String> {
    found.map(|(id, _)| id.to_owned()).collect()
}

#[tokio::test]
async fn a_write_is_read_on_the_same_server_as_soon_as_it_returns() {
    let state = open(store()).await;
    for round in 0..50 {
        let id = format!("task-{round}");
        put(&state, &id, "RUNNING").await;
        assert_eq!(state.view().get::<Task>(&scope(), &id).as_deref(), Some(&task("RUNNING")));
    }
    assert_eq!(state.view().count_all::<Task>(), 50);
}

#[tokio::test]
async fn scopes_do_not_see_each_other() {
    let state = open(store()).await;
    put(&state, "a", "RUNNING").await;
    let elsewhere = scope_in("us-east-10");
    state
        .transact(|tx| {
            tx.put(&elsewhere, "b", task("RUNNING"));
            tx.put(&elsewhere, "c", Cluster {});
            Ok::<_, StateError>(())
        })
        .await
        .unwrap();
    let view = state.view();
    assert_eq!(ids(view.scan(&scope())), ["a"]);
    assert_eq!(ids(view.by_index(&elsewhere, "status", "RUNNING")), ["b"]);
    let all: Vec<_> = view.scan_all::<Task>().map(|found| (found.scope, found.id)).collect();
    assert_eq!(all, [(scope(), "a".to_owned()), (elsewhere, "b".to_owned())]);
    assert_eq!(view.by_index_all::<Task>("status", "RUNNING").count(), 2);
}

#[tokio::test]
async fn indexes_follow_the_record() {
    let state = open(store()).await;
    put(&state, "cluster/a", "PENDING").await;
    put(&state, "cluster/a", "RUNNING").await;
    put(&state, "other/b", "RUNNING").await;
    let view = state.view();
    assert_eq!(view.by_index::<Task>(&scope(), "status", "PENDING").count(), 0);
    assert_eq!(ids(view.by_index(&scope(), "status", "RUNNING")), ["cluster/a", "other/b"]);
    assert_eq!(ids(view.scan_prefix(&scope(), "cluster/")), ["cluster/a"]);
    let delete = |tx: &mut Tx| Ok::<_, StateError>(tx.delete::<Task>(&scope(), "other/b").is_some());
    assert!(state.transact(delete).await.unwrap());
    assert_eq!(ids(state.view().by_index(&scope(), "status", "RUNNING")), ["cluster/a"]);
    assert!(!state.transact(delete).await.unwrap());
    // The view from before still shows what it showed.
    assert_eq!(ids(view.by_index(&scope(), "status", "RUNNING")), ["cluster/a", "other/b"]);
}

#[tokio::test]
async fn pages_continue_behind_the_last_id() {
    let state = open(store()).await;
    for id in ["a", "a/b", "b", "c"] {
        put(&state, id, "RUNNING").await;
    }
    let view = state.view();
    let first = ids(view.scan_from(&scope(), None, 2));
    assert_eq!(first, ["a", "a/b"]);
    assert_eq!(ids(view.scan_from(&scope(), Some("a/b"), 5)), ["b", "c"]);
    assert_eq!(ids(view.scan_from(&scope(), Some("a"), 1)), ["a/b"]);
    assert_eq!(ids(view.scan_from(&scope(), Some("c"), 1)), Vec::<String>::new());
}

#[tokio::test]
async fn an_error_of_the_work_writes_nothing() {
    let state = open(store()).await;
    let before = state.revision();
    let refused = |tx: &mut Tx| {
        tx.put(&scope(), "a", task("RUNNING"));
        Err::<(), _>(StateError::NotLeader)
    };
    assert!(matches!(state.transact(refused).await, Err(StateError::NotLeader)));
    assert_eq!((state.revision(), state.view().count_all::<Task>()), (before, 0));
}

#[tokio::test]
async fn create_refuses_what_exists() {
    let state = open(store()).await;
    let create = |tx: &mut Tx| Ok::<_, StateError>(tx.create(&scope(), "a", task("RUNNING")));
    assert_eq!(state.transact(create).await.unwrap(), Ok(()));
    assert_eq!(state.transact(create).await.unwrap(), Err(AlreadyExists("a".to_owned())));
}

#[tokio::test]
async fn a_transaction_sees_its_own_writes() {
    let state = open(store()).await;
    put(&state, "a", "RUNNING").await;
    put(&state, "b", "RUNNING").await;
    let seen = state
        .transact(|tx| {
            tx.delete::<Task>(&scope(), "a");
            tx.put(&scope(), "c", task("PENDING"));
            let all: Vec<String> = tx.scan::<Task>(&scope()).into_iter().map(|(id, _)| id).collect();
            let pending = tx.by_index::<Task>(&scope(), "status", "PENDING").len();
            Ok::<_, StateError>((all, pending, tx.get::<Task>(&scope(), "a"), tx.peek::<Task>(&scope(), "c")))
        })
        .await
        .unwrap();
    assert_eq!(seen, (vec!["b".to_owned(), "c".to_owned()], 1, None, Some(Arc::new(task("PENDING")))));
    assert_eq!(ids(state.view().scan(&scope())), ["b", "c"]);
}

/// Runs a transaction whose first attempt is overtaken by `rival`, and returns the number of attempts.
async fn attempts(state: &State, rival: impl Fn(&mut Tx), read: impl Fn(&mut Tx)) -> usize {
    let mut attempts = 0;
    let outrun = |tx: &mut Tx| {
        attempts += 1;
        read(tx);
        tx.put(&scope(), "outcome", Cluster {});
        if attempts == 1 {
            let mut ahead = Tx::new(state.view());
            rival(&mut ahead);
            let (compares, success) = ahead.request();
            // On a thread of its own, because the closure is not async.
            let store = state.store().clone();
            std::thread::scope(|threads| {
                let commit = || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(store.txn(Txn { compares, success, failure: vec![] })).unwrap()
                };
                assert!(threads.spawn(commit).join().unwrap().succeeded);
            });
        }
        Ok::<_, StateError>(())
    };
    state.transact(outrun).await.unwrap();
    attempts
}

#[tokio::test]
async fn what_was_read_must_not_change_before_the_commit() {
    type Step = fn(&mut Tx);
    let cases: [(&str, Step, Step, usize); 8] = [
        (
            "a get of what changed",
            |tx| tx.put(&scope(), "a", task("X")),
            |tx| _ = tx.get::<Task>(&scope(), "a"),
            2,
        ),
        (
            "a get of what came",
            |tx| tx.put(&scope(), "n", task("X")),
            |tx| _ = tx.get::<Task>(&scope(), "n"),
            2,
        ),
        (
            "a get of another",
            |tx| tx.put(&scope(), "b", task("X")),
            |tx| _ = tx.get::<Task>(&scope(), "a"),
            1,
        ),
        ("a peek", |tx| tx.put(&scope(), "a", task("X")), |tx| _ = tx.peek::<Task>(&scope(), "a"), 1),
        ("a scan, insert", |tx| tx.put(&scope(), "n", task("X")), |tx| _ = tx.scan::<Task>(&scope()), 2),
        (
            "a scan, delete",
            |tx| _ = tx.delete::<Task>(&scope(), "a"),
            |tx| _ = tx.scan_prefix::<Task>(&scope(), "a"),
            2,
        ),
        (
            "a scan of another prefix",
            |tx| tx.put(&scope(), "b", task("X")),
            |tx| _ = tx.scan_prefix::<Task>(&scope(), "a"),
            1,
        ),
        (
            "an index",
            |tx| tx.put(&scope(), "n", task("X")),
            |tx| _ = tx.by_index::<Task>(&scope(), "status", "X"),
            2,
        ),
    ];
    for (name, rival, read, expected) in cases {
        let state = open(store()).await;
        put(&state, "a", "RUNNING").await;
        put(&state, "b", "RUNNING").await;
        assert_eq!(attempts(&state, rival, read).await, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_update_is_lost_among_64_writers() {
    const WRITERS: u64 = 64;
    const ROUNDS: u64 = 20;
    let state = open(store()).await;
    put(&state, "counter", "RUNNING").await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let state = state.clone();
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    let increment = |tx: &mut Tx| {
                        let old = tx.get::<Task>(&scope(), "counter").unwrap();
                        tx.put(&scope(), "counter", Task { count: old.count + 1, ..(*old).clone() });
                        Ok::<_, StateError>(())
                    };
                    state.transact(increment).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(state.view().get::<Task>(&scope(), "counter").unwrap().count, WRITERS * ROUNDS);
}

#[tokio::test]
async fn subscribers_hear_of_their_kind_in_order() {
    let state = open(store()).await;
    let mut tasks = state.watch::<Task>();
    let mut all = state.changes();
    state
        .transact(|tx| {
            tx.put(&scope(), "c", Cluster {});
            Ok::<_, StateError>(())
        })
        .await
        .unwrap();
    put(&state, "a", "PENDING").await;
    put(&state, "a", "RUNNING").await;
    state.transact(|tx| Ok::<_, StateError>(tx.delete::<Task>(&scope(), "a"))).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 3 {
        match tasks.next().await.unwrap() {
            Notice::Changes(changes) => heard.extend(changes),
            Notice::Resync => panic!("three changes are not too many"),
        }
    }
    let (pending, running) = (Arc::new(task("PENDING")), Arc::new(task("RUNNING")));
    let (scope, id) = (scope(), "a".to_owned());
    let put = |value: &Arc<Task>, previous: Option<&Arc<Task>>| Change::Put {
        scope: scope.clone(),
        id: id.clone(),
        value: value.clone(),
        previous: previous.cloned(),
    };
    let deleted = Change::Deleted { scope: scope.clone(), id: id.clone(), previous: running.clone() };
    assert_eq!(heard, [put(&pending, None), put(&running, Some(&pending)), deleted]);
    let Notice::Changes(first) = all.next().await.unwrap() else { panic!("four changes are not too many") };
    assert_eq!((first[0].kind, first[0].id.as_str(), first[0].deleted), ("cluster", "c", false));
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_is_told_to_look_again() {
    let state = open(store()).await;
    let mut tasks = state.watch::<Task>();
    for round in 0..1100 {
        put(&state, "a", &round.to_string()).await;
    }
    assert_eq!(tasks.next().await.unwrap(), Notice::Resync);
    put(&state, "a", "LAST").await;
    let Notice::Changes(changes) = tasks.next().await.unwrap() else { panic!("one change is not too many") };
    assert!(matches!(&changes[..], [Change::Put { value, .. }] if value.status == "LAST"));
}

#[tokio::test]
async fn tables_are_loaded_page_by_page_and_skip_what_is_not_theirs() {
    let store = store();
    store.txn(Txn::put("leader/x", "not a record")).await.unwrap();
    store.txn(Txn::put("/000000000000/us-east-1/ecs/unknown/x", "not JSON")).await.unwrap();
    let state = open(store.clone()).await;
    put(&state, "a", "RUNNING").await;
    drop(state);
    let state = open(store).await;
    assert_eq!(ids(state.view().scan(&scope())), ["a"]);
    let (created, modified) = state.view().revisions::<Task>(&scope(), "a").unwrap();
    assert_eq!((created, modified), (4, 4));
}

#[tokio::test]
async fn a_table_tells_when_it_changed() {
    let store = store();
    let state = open(store.clone()).await;
    put(&state, "a", "RUNNING").await;
    let (tasks, clusters) = (state.view().changed::<Task>(), state.view().changed::<Cluster>());
    assert_eq!(tasks, state.revision());
    assert!(clusters < tasks, "another table's change is none of its own");
    let delete = |tx: &mut Tx| {
        tx.delete::<Task>(&scope(), "a");
        Ok::<_, StateError>(())
    };
    state.transact(delete).await.unwrap();
    assert_eq!(state.view().changed::<Task>(), state.revision());
    assert_eq!(state.view().changed::<Cluster>(), clusters);
    let again = open(store).await;
    assert!(again.view().changed::<Task>() >= state.view().changed::<Task>(), "never less than before");
}

#[tokio::test]
async fn older_schemas_are_migrated_and_newer_ones_refused() {
    let key = "/000000000000/us-east-1/ecs/task/a";
    let store = store();
    store.txn(Txn::put(key, r#"{"schema":1,"record":{"status":"OLD"}}"#)).await.unwrap();
    let state = open(store.clone()).await;
    assert_eq!(state.view().get::<Task>(&scope(), "a").as_deref(), Some(&task("OLD")));
    let refused = async |stored: &'static str| {
        store.txn(Txn::put(key, stored)).await.unwrap();
        State::open(store.clone(), Tables::new().with::<Task>()).await.unwrap_err().to_string()
    };
    let newer = refused(r#"{"schema":3,"record":{}}"#).await;
    assert!(newer.contains("newer version (schema 3, this one knows up to 2)"), "{newer}");
    let older = refused(r#"{"schema":0,"record":{}}"#).await;
    assert!(older.contains("schema 0 was never released"), "{older}");
    let broken = refused("{}").await;
    assert!(broken.contains(key), "{broken}");
    // The state that was open meanwhile has stopped, and says so.
    let error = state
        .transact(|tx| {
            tx.put(&scope(), "b", task("RUNNING"));
            Ok::<_, StateError>(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, StateError::NewerSchema { found: 3, .. }), "{error}");
}

#[tokio::test]
async fn a_feed_that_lost_its_history_loads_the_tables_anew() {
    let options = SqliteOptions { keep_changes: 0, ..SqliteOptions::default() };
    let store = Arc::new(SqliteStore::in_memory_with(&options).unwrap());
    let state = open(store.clone()).await;
    put(&state, "a", "OLD").await;
    // Far more than the ring holds, without giving the feed a turn: this runtime has one thread.
    for _ in 0..100 {
        let many = (0..100).fold(Txn::new(), |txn, n| {
            let key = format!("/000000000000/us-east-1/ecs/task/{n}");
            txn.then(crate::Op::put(key, r#"{"schema":2,"record":{"status":"NEW","count":1}}"#))
        });
        store.txn(many).await.unwrap();
    }
    let head = store.range(RangeRequest::new(KeyRange::key("x"))).await.unwrap().revision;
    tokio::time::timeout(Duration::from_secs(30), state.wait_for(head)).await.unwrap().unwrap();
    assert_eq!(state.view().by_index_all::<Task>("status", "NEW").count(), 100);
}

#[tokio::test]
async fn a_deposed_leader_writes_nothing() {
    let store = store();
    let state = open(store.clone()).await;
    let first = Leadership::campaign(store.clone(), "reconcilers", "one", 60).await.unwrap();
    let stale = first.fence().clone();
    let write = async |fence: &crate::Fence| {
        let fenced = |tx: &mut Tx| {
            tx.fence(fence);
            tx.get::<Task>(&scope(), "a");
            tx.put(&scope(), "a", task("RUNNING"));
            Ok::<_, StateError>(())
        };
        state.transact(fenced).await
    };
    write(&stale).await.unwrap();
    first.resign().await.unwrap();
    let second = Leadership::campaign(store, "reconcilers", "two", 60).await.unwrap();
    let before = state.revision();
    assert!(matches!(write(&stale).await, Err(StateError::NotLeader)));
    assert_eq!(state.revision(), before);
    write(second.fence()).await.unwrap();
}

#[tokio::test]
async fn a_restarted_leader_takes_over_from_itself_at_once() {
    let store = store();
    let first = Leadership::campaign(store.clone(), "reconcilers", "one", 3600).await.unwrap();
    let stale = first.fence().clone();
    drop(first);
    let again = Leadership::campaign(store.clone(), "reconcilers", "one", 3600).await.unwrap();
    let fenced = |fence: &crate::Fence| Txn::put("x", "y").when(fence.compare());
    assert!(!store.txn(fenced(&stale)).await.unwrap().succeeded);
    assert!(store.txn(fenced(again.fence())).await.unwrap().succeeded);
}

#[tokio::test]
async fn a_closed_state_lets_go_of_its_store() {
    let directory = tempfile::tempdir().unwrap();
    let reopen = || SqliteStore::open(directory.path(), &SqliteOptions::default());
    let state = open(Arc::new(reopen().unwrap())).await;
    put(&state, "a", "RUNNING").await;
    let mut tasks = state.watch::<Task>();
    let other = state.clone();
    state.close().await;
    let refused = other
        .transact(|tx| {
            tx.put(&scope(), "b", task("RUNNING"));
            Ok::<_, StateError>(())
        })
        .await;
    assert!(matches!(refused, Err(StateError::Store(crate::StoreError::Closed))), "{refused:?}");
    drop(other);
    assert!(matches!(tasks.next().await, Err(StateError::Store(crate::StoreError::Closed))));
    let state = open(Arc::new(reopen().unwrap())).await;
    assert_eq!(ids(state.view().scan(&scope())), ["a"]);
}

struct Word(String, u32);

impl Keyed for Word {
    fn key(&self) -> &str {
        &self.0
    }
}

proptest! {
    #[test]
    fn sorted_agrees_with_a_tree_and_copies_do_not_change(
        ops in prop::collection::vec((0u32..700, any::<bool>()), 0..1500),
    ) {
        let mut sorted = Sorted::default();
        let mut tree = BTreeMap::new();
        let mut copies = Vec::new();
        for (number, (key, insert)) in ops.into_iter().enumerate() {
            let key = format!("{key:04}");
            let value = u32::try_from(number).unwrap();
            let (found, expected) = match insert {
                true => (sorted.insert(Arc::new(Word(key.clone(), value))), tree.insert(key, value)),
                false => (sorted.remove(&key), tree.remove(&key)),
            };
            prop_assert_eq!(found.map(|word| word.1), expected);
            if number % 400 == 0 {
                copies.push((sorted.clone(), tree.clone()));
            }
        }
        copies.push((sorted, tree));
        for (sorted, tree) in copies {
            prop_assert_eq!(sorted.len(), tree.len());
            let all: Vec<_> = sorted.from("").map(|word| (word.0.clone(), word.1)).collect();
            prop_assert_eq!(&all, &tree.clone().into_iter().collect::<Vec<_>>());
            let tail: Vec<_> = sorted.prefix_from("03".to_owned(), "0350").map(|word| word.1).collect();
            let expected = tree.range("0350".to_owned().."04".to_owned()).map(|(_, value)| *value);
            prop_assert_eq!(tail, expected.collect::<Vec<_>>());
            prop_assert_eq!(sorted.get("0123").map(|word| word.1), tree.get("0123").copied());
        }
    }
}

/// A record that is not to be read where it lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Key {
    secret: String,
}

impl Record for Key {
    const SERVICE: &'static str = "iam";
    const KIND: &'static str = "key";
    const SCHEMA_VERSION: u32 = 1;
    const SEALED: bool = true;
}

/// No cipher, but bound to the place like one.
#[derive(Debug)]
struct Backwards;

impl vocabulary::Seal for Backwards {
    fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        [context.as_bytes(), &[0], plain].concat().into_iter().rev().collect()
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let whole: Vec<u8> = sealed.iter().rev().copied().collect();
        whole.strip_prefix([context.as_bytes(), &[0]].concat().as_slice()).map(<[u8]>::to_vec)
    }
}

fn sealed_tables() -> Tables {
    Tables::new().with::<Key>().sealed_with(Arc::new(Backwards))
}

async fn put_key(state: &State, id: &str) -> Result<(), StateError> {
    let put = |tx: &mut Tx| {
        tx.put(&scope(), id, Key { secret: "very secret".to_owned() });
        Ok(())
    };
    state.transact(put).await
}

async fn raw(store: &Arc<SqliteStore>, key: &str) -> bytes::Bytes {
    let found = store.range(RangeRequest::new(KeyRange::key(key.to_owned()))).await.unwrap();
    found.kvs[0].value.clone()
}

const FIRST_KEY: &str = "/000000000000/us-east-1/iam/key/one";

#[tokio::test]
async fn a_sealed_record_lies_in_the_store_unreadable_and_is_read_in_the_tables() {
    let store = store();
    let state = State::open(store.clone(), sealed_tables()).await.unwrap();
    put_key(&state, "one").await.unwrap();
    let written = String::from_utf8(raw(&store, FIRST_KEY).await.to_vec()).unwrap();
    assert!(written.starts_with(r#"{"schema":1,"sealed":""#), "{written}");
    for form in ["very secret", "secret"] {
        assert!(!written.contains(form), "{written}");
    }
    assert_eq!(state.view().get::<Key>(&scope(), "one").unwrap().secret, "very secret");
    let again = State::open(store, sealed_tables()).await.unwrap();
    assert_eq!(again.view().get::<Key>(&scope(), "one").unwrap().secret, "very secret");
}

#[tokio::test]
async fn a_sealed_record_opens_in_its_own_place_alone() {
    let store = store();
    let state = State::open(store.clone(), sealed_tables()).await.unwrap();
    put_key(&state, "one").await.unwrap();
    let stolen = raw(&store, FIRST_KEY).await;
    let moved = "/000000000000/us-east-1/iam/key/two";
    let txn = Txn { compares: vec![], success: vec![crate::Op::put(moved, stolen)], failure: vec![] };
    store.txn(txn).await.unwrap();
    let refused = State::open(store, sealed_tables()).await.unwrap_err();
    assert!(matches!(&refused, StateError::SealBroken { key } if key == moved), "{refused}");
}

#[tokio::test]
async fn nothing_of_a_sealed_kind_is_written_or_read_in_the_clear() {
    let state = State::open(store(), Tables::new().with::<Key>()).await.unwrap();
    assert!(matches!(put_key(&state, "one").await, Err(StateError::NoSeal { .. })));
    let store = store();
    let clear = br#"{"schema":1,"record":{"secret":"forged"}}"#.to_vec();
    let put = crate::Op::put(FIRST_KEY, clear);
    store.txn(Txn { compares: vec![], success: vec![put], failure: vec![] }).await.unwrap();
    let refused = State::open(store, sealed_tables()).await.unwrap_err();
    assert!(matches!(refused, StateError::Unsealed { .. }), "{refused}");
}
