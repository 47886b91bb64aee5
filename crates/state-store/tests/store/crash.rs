//! Killing the process that writes, again and again: whatever it acknowledged is there afterwards.
//!
//! The child is this test binary, told by the environment to write. It prints a line per acknowledged write; the parent
//! kills it without warning after a number of them, reads what was printed until then, and opens the store.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use state_store::{KeyRange, RangeRequest, SqliteOptions, SqliteStore, Store, Txn};

const DIRECTORY: &str = "STATE_STORE_CRASH_DIRECTORY";

const WRITERS: usize = 16;

/// A short history, so that compaction is under way when the end comes.
fn options() -> SqliteOptions {
    SqliteOptions { keep_changes: 100, ..SqliteOptions::default() }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    for kill_after in [1, 50, 700, 3000, 333] {
        crash(directory.path(), kill_after, &mut acknowledged);
        let store = SqliteStore::open(directory.path(), &options()).unwrap();
        let found = store.range(RangeRequest::new(KeyRange::prefix("writer/"))).await.unwrap();
        let found: BTreeMap<String, u64> =
            found.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value).parse().unwrap())).collect();
        for (key, number) in &acknowledged {
            let stored = found.get(key).copied().unwrap_or(0);
            // One more may have been committed without the news getting out.
            assert!(
                (*number..=number + 1).contains(&stored),
                "{key}: {number} acknowledged, {stored} stored"
            );
        }
    }
    assert_eq!(acknowledged.len(), WRITERS);
}

/// Lets a child write until it has acknowledged `kill_after` writes, kills it, and notes all that it acknowledged.
fn crash(directory: &Path, kill_after: usize, acknowledged: &mut BTreeMap<String, u64>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_writes", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut count = 0;
    for line in lines {
        let line = line.unwrap();
        let Some((key, number)) = line.strip_prefix("acknowledged ").and_then(|rest| rest.split_once(' '))
        else {
            continue;
        };
        acknowledged.insert(key.to_owned(), number.parse().unwrap());
        count += 1;
        if count == kill_after {
            child.kill().unwrap();
        }
    }
    assert!(!child.wait().unwrap().success());
    assert!(count >= kill_after, "the child ended by itself after {count} writes");
}

/// Not a test: what the child does. Without the directory there is nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by what_was_acknowledged_survives_a_kill"]
async fn child_that_writes() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let store = Arc::new(SqliteStore::open(directory.as_ref(), &options()).unwrap());
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write_forever(store.clone(), writer))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Counts up in one key, from where it was left.
async fn write_forever(store: Arc<SqliteStore>, writer: usize) {
    let key = format!("writer/{writer:02}");
    let found = store.range(RangeRequest::new(KeyRange::key(key.clone()))).await.unwrap();
    let mut number: u64 = found.kvs.first().map_or(0, |kv| text(&kv.value).parse().unwrap());
    loop {
        number += 1;
        store.txn(Txn::put(key.clone(), number.to_string())).await.unwrap();
        // One write call per line, so that lines of several writers do not mix and none waits in a buffer.
        let line = format!("acknowledged {key} {number}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
