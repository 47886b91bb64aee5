//! Small durable transactions per second, against the floor that the disk sets: as many fsyncs of a plain file, with as many
//! bytes, in the same run. `cargo bench -p state-store`.

use std::{
    fs::File,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use state_store::{
    KeyRange, Op, RangeRequest, Record, SqliteOptions, SqliteStore, State, StateError, Store, Tables, Tx, Txn,
};
use vocabulary::{AccountId, Scope};

const WRITERS: usize = 64;

/// Keys of each writer: 6,400 in all, a busy control plane's working set.
const KEYS_PER_WRITER: usize = 100;

const VALUE_BYTES: usize = 200;

#[derive(Clone, Serialize, Deserialize)]
struct Task {
    status: String,
    count: u64,
    padding: String,
}

impl Record for Task {
    const SERVICE: &'static str = "bench";
    const KIND: &'static str = "task";
    const SCHEMA_VERSION: u32 = 1;

    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![("status", self.status.clone())]
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let directory = tempfile::tempdir_in("/var/tmp").expect("a temporary directory");
        let floor = fsyncs_per_second(directory.path(), 500, 4096);
        println!("one fsync of 4 KiB: {:.3} ms ({floor:.0} per second)", 1000.0 / floor);
        raw(&directory.path().join("raw"), WRITERS, 2000).await;
        raw(&directory.path().join("alone"), 1, 2000).await;
        records(&directory.path().join("records"), WRITERS, 1000).await;
        records(&directory.path().join("record"), 1, 2000).await;
        opening(&directory.path().join("opening")).await;
    });
}

/// Puts through the trait.
async fn raw(directory: &Path, writers: usize, rounds: usize) {
    let store = Arc::new(SqliteStore::open(directory, &SqliteOptions::default()).expect("a store"));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in 0..rounds {
                    let key = format!("/bench/{writer:02}/{:04}", round % KEYS_PER_WRITER);
                    store.txn(Txn::put(key, vec![b'x'; VALUE_BYTES])).await.expect("a commit");
                }
            })
        })
        .collect();
    finish(tasks).await;
    report("put", directory, &store, writers, writers * rounds, begun.elapsed());
}

/// Read, change, write of typed records, returning when the tables show it.
async fn records(directory: &Path, writers: usize, rounds: usize) {
    let store = Arc::new(SqliteStore::open(directory, &SqliteOptions::default()).expect("a store"));
    let state = State::open(store.clone(), Tables::new().with::<Task>()).await.expect("tables");
    let scope = Scope::new(AccountId::local(), "us-east-1".parse().expect("a region"));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (state, scope) = (state.clone(), scope.clone());
            tokio::spawn(async move {
                for round in 0..rounds {
                    let id = format!("{writer:02}-{:04}", round % KEYS_PER_WRITER);
                    let change = |tx: &mut Tx| {
                        let count = tx.get::<Task>(&scope, &id).map_or(0, |task| task.count) + 1;
                        let status = format!("STATUS{}", count % 3);
                        tx.put(&scope, &id, Task { status, count, padding: "x".repeat(VALUE_BYTES) });
                        Ok::<_, StateError>(())
                    };
                    state.transact(change).await.expect("a commit");
                }
            })
        })
        .collect();
    finish(tasks).await;
    report("transact", directory, &store, writers, writers * rounds, begun.elapsed());
}

/// Opening a store that is new, empty, and one with 10,000 keys.
async fn opening(directory: &Path) {
    let timed = || {
        let begun = Instant::now();
        let store = SqliteStore::open(directory, &SqliteOptions::default()).expect("a store");
        (store, begun.elapsed().as_secs_f64() * 1000.0)
    };
    let (store, new) = timed();
    drop(store);
    let (store, empty) = timed();
    for page in 0..100 {
        let put = |txn: Txn, n: usize| txn.then(Op::put(format!("/k/{page}/{n}"), vec![b'x'; VALUE_BYTES]));
        store.txn((0..100).fold(Txn::new(), put)).await.expect("a commit");
    }
    drop(store);
    let (store, filled) = timed();
    let count = store.range(RangeRequest::new(KeyRange::all()).count_only()).await.expect("a read").count;
    println!("open: new {new:.1} ms, empty {empty:.1} ms, {count} keys {filled:.1} ms");
}

async fn finish(tasks: Vec<tokio::task::JoinHandle<()>>) {
    for task in tasks {
        task.await.expect("a writer");
    }
}

fn report(
    what: &str,
    directory: &Path,
    store: &SqliteStore,
    writers: usize,
    transactions: usize,
    took: Duration,
) {
    let commits = usize::try_from(store.stats().commits).expect("a count").max(1);
    // A commit appends whole pages to SQLite's log: at least one, more when many share it.
    let bytes = (transactions / commits * VALUE_BYTES).max(4096);
    let floor = commits as f64 / fsyncs_per_second(directory, commits.min(2000), bytes);
    let took = took.as_secs_f64();
    println!(
        "{what}, {writers:2} writers: {:6.0} transactions/s, {:.1} per commit, {:.2} ms each; \
         {commits} plain fsyncs: {floor:.2} s; ratio {:.2}",
        transactions as f64 / took,
        transactions as f64 / commits as f64,
        took * 1000.0 * writers as f64 / transactions as f64,
        took / floor,
    );
}

fn fsyncs_per_second(directory: &Path, count: usize, bytes: usize) -> f64 {
    let mut file = File::create(directory.join("floor")).expect("a file");
    let data = vec![b'x'; bytes];
    let begun = Instant::now();
    for _ in 0..count {
        file.write_all(&data).expect("a write");
        file.sync_data().expect("an fsync");
    }
    count as f64 / begun.elapsed().as_secs_f64()
}
