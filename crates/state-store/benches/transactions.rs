//! Small durable transactions per second, against the floor that the disk sets: as many fsyncs of a plain file, with as many
//! bytes, in the same run. `cargo bench -p state-store`.

use std::{fs::File, io::Write, path::Path, sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};
use state_store::{Op, Record, SqliteOptions, SqliteStore, State, StateError, Store, Tables, Tx, Txn};
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
        let durable = Place::Disk(directory.path());
        for place in [durable, Place::Memory] {
            put(place, WRITERS, 2000).await;
            put(place, 1, 2000).await;
            transact(place, WRITERS, 1000).await;
            transact(place, 1, 2000).await;
        }
        opening(&directory.path().join("opening")).await;
    });
}

/// Where the store is kept.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// In a directory of its own under this one, durable.
    Disk(&'a Path),
    /// Nothing but the processor limits it.
    Memory,
}

/// A run: the store, and what the disk could do before it began.
struct Run<'a> {
    place: Place<'a>,
    name: String,
    store: Arc<SqliteStore>,
    floor_before: f64,
    begun: Instant,
}

impl<'a> Run<'a> {
    fn begin(place: Place<'a>, name: String) -> Run<'a> {
        let store = match place {
            Place::Disk(directory) => SqliteStore::open(&directory.join(&name), &SqliteOptions::default()),
            Place::Memory => SqliteStore::in_memory(),
        };
        let floor_before = place.seconds_per_fsync(4096);
        Run { place, name, store: Arc::new(store.expect("a store")), floor_before, begun: Instant::now() }
    }

    async fn end(self, writers: Vec<tokio::task::JoinHandle<()>>) {
        let count = writers.len() as f64;
        for writer in writers {
            writer.await.expect("a writer");
        }
        let took = self.begun.elapsed().as_secs_f64();
        let stats = self.store.stats();
        let (transactions, commits) = (stats.transactions as f64, stats.commits as f64);
        print!(
            "{:12} {:2} writers: {:7.0} transactions/s, {:5.2} ms each, {:4.1} per commit",
            self.name,
            count,
            transactions / took,
            took * 1000.0 * count / transactions,
            transactions / commits,
        );
        // The disk is shared: what it can do is measured on both sides of the run. A commit appends whole pages to
        // SQLite's log, one at least, more when many transactions share it.
        let bytes = (transactions / commits) as usize * VALUE_BYTES;
        let floor = (self.floor_before + self.place.seconds_per_fsync(bytes.max(4096))) / 2.0 * commits;
        match self.place {
            Place::Disk(_) => {
                println!("; took {took:.2} s, {commits:.0} plain fsyncs {floor:.2} s: {:.2} x", took / floor);
            }
            Place::Memory => println!("; in memory"),
        }
    }
}

impl Place<'_> {
    /// Appending so many bytes to a plain file, and making them durable.
    fn seconds_per_fsync(self, bytes: usize) -> f64 {
        const COUNT: u32 = 500;
        let Place::Disk(directory) = self else { return 0.0 };
        let mut file = File::create(directory.join("floor")).expect("a file");
        let data = vec![b'x'; bytes];
        let begun = Instant::now();
        for _ in 0..COUNT {
            file.write_all(&data).expect("a write");
            file.sync_data().expect("an fsync");
        }
        begun.elapsed().as_secs_f64() / f64::from(COUNT)
    }
}

/// Puts through the trait.
async fn put(place: Place<'_>, writers: usize, rounds: usize) {
    let run = Run::begin(place, format!("put-{writers}"));
    let writers = (0..writers).map(|writer| {
        let store = run.store.clone();
        tokio::spawn(async move {
            for round in 0..rounds {
                let key = format!("/bench/{writer:02}/{:04}", round % KEYS_PER_WRITER);
                store.txn(Txn::put(key, vec![b'x'; VALUE_BYTES])).await.expect("a commit");
            }
        })
    });
    let writers = writers.collect();
    run.end(writers).await;
}

/// Read, change, write of typed records, returning when the tables show it.
async fn transact(place: Place<'_>, writers: usize, rounds: usize) {
    let run = Run::begin(place, format!("transact-{writers}"));
    let state = State::open(run.store.clone(), Tables::new().with::<Task>()).await.expect("tables");
    let scope = Scope::new(AccountId::local(), "us-east-1".parse().expect("a region"));
    let writers = (0..writers).map(|writer| {
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
    });
    let writers = writers.collect();
    run.end(writers).await;
}

/// Opening a store that is new, one that is empty, and one with 100,000 records, with and without the tables.
async fn opening(directory: &Path) {
    const RECORDS: usize = 100_000;
    let ms = |begun: Instant| begun.elapsed().as_secs_f64() * 1000.0;
    let open = || SqliteStore::open(directory, &SqliteOptions::default()).expect("a store");
    let begun = Instant::now();
    drop(open());
    println!("open, new: {:.1} ms, closing included", ms(begun));
    let begun = Instant::now();
    let store = open();
    println!("open, empty: {:.1} ms", ms(begun));
    for page in 0..RECORDS / 100 {
        let put = |txn: Txn, n: usize| {
            let key = format!("/000000000000/us-east-1/bench/task/{:06}", page * 100 + n);
            let padding = "x".repeat(VALUE_BYTES);
            let value =
                format!(r#"{{"schema":1,"record":{{"status":"OLD","count":1,"padding":"{padding}"}}}}"#);
            txn.then(Op::put(key, value))
        };
        store.txn((0..100).fold(Txn::new(), put)).await.expect("a commit");
    }
    drop(store);
    let begun = Instant::now();
    let store = Arc::new(open());
    println!("open, {RECORDS} records: {:.0} ms", ms(begun));
    let begun = Instant::now();
    let state = State::open(store, Tables::new().with::<Task>()).await.expect("tables");
    println!("tables, {RECORDS} records: {:.0} ms", ms(begun));
    let begun = Instant::now();
    let old = state.view().by_index_all::<Task>("status", "OLD").count();
    println!("{old} records by index: {:.1} ms", ms(begun));
    let scope = Scope::new(AccountId::local(), "us-east-1".parse().expect("a region"));
    let begun = Instant::now();
    for n in 0..100 {
        let task = Task { status: "NEW".to_owned(), count: n, padding: String::new() };
        let change = |tx: &mut Tx| {
            tx.put(&scope, &format!("{:06}", n * 997), task.clone());
            Ok::<_, StateError>(())
        };
        state.transact(change).await.expect("a commit");
    }
    println!("transact among {RECORDS} records: {:.2} ms each", ms(begun) / 100.0);
}
