//! No room: a clear error, nothing lost, and writing goes on once there is room again.

use std::{env, fs, path::Path, process::Command};

use state_store::{KeyRange, RangeRequest, SqliteOptions, SqliteStore, Store, StoreError, Txn};

const DIRECTORY: &str = "STATE_STORE_FULL_DIRECTORY";

fn key(number: usize) -> String {
    format!("k{number:06}")
}

/// Writes until the store refuses, and returns the number of acknowledged writes.
async fn fill(store: &SqliteStore) -> usize {
    for number in 0..1_000_000 {
        match store.txn(Txn::put(key(number), vec![b'x'; 10_000])).await {
            Ok(_) => {}
            Err(StoreError::DiskFull { .. }) => return number,
            Err(error) => panic!("after {number} writes: {error}"),
        }
    }
    panic!("the disk has room for everything");
}

/// Every acknowledged write is there, and no other.
async fn check(store: &SqliteStore, acknowledged: usize) {
    let found = store.range(RangeRequest::new(KeyRange::prefix("k"))).await.unwrap();
    assert_eq!(found.count, acknowledged);
    assert!(
        found.kvs.iter().enumerate().all(|(number, kv)| kv.key == key(number) && kv.value.len() == 10_000)
    );
}

#[tokio::test]
async fn a_quota_that_is_used_up_refuses_writes_and_keeps_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { quota_bytes: Some(2 << 20), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), &options).unwrap();
    let acknowledged = fill(&store).await;
    assert!(acknowledged > 50, "{acknowledged}");
    check(&store, acknowledged).await;
    let refused = store.txn(Txn::put("another", vec![b'x'; 10_000])).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::DiskFull { place } if place.contains("state.sqlite")),
        "{refused}"
    );
    check(&store, acknowledged).await;
    drop(store);

    let store = SqliteStore::open(directory.path(), &SqliteOptions::default()).unwrap();
    check(&store, acknowledged).await;
    store.txn(Txn::put(key(acknowledged), vec![b'x'; 10_000])).await.unwrap();
    check(&store, acknowledged + 1).await;
}

/// On a real file system of 4 MiB, in a mount name space of the test's own. The child is this test binary.
#[test]
fn a_disk_that_is_full_refuses_writes_until_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let mount = r#"mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@""#;
    let output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", mount])
        .arg(directory.path())
        .arg(env::current_exe().unwrap())
        .args(["--exact", "full_disk::child_that_fills_the_disk", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .expect("unshare (util-linux) can be run");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success() && told.contains("the disk was full and is not"), "{told}");
}

/// Not a test: what the child does. Without the directory there is nothing to do.
#[tokio::test]
#[ignore = "run by a_disk_that_is_full_refuses_writes_until_there_is_room"]
async fn child_that_fills_the_disk() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let directory = Path::new(&directory);
    let ballast = directory.join("ballast");
    fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let store = SqliteStore::open(&directory.join("data"), &SqliteOptions::default()).unwrap();
    let acknowledged = fill(&store).await;
    check(&store, acknowledged).await;

    fs::remove_file(ballast).unwrap();
    store.txn(Txn::put(key(acknowledged), vec![b'x'; 10_000])).await.unwrap();
    check(&store, acknowledged + 1).await;
    drop(store);
    let store = SqliteStore::open(&directory.join("data"), &SqliteOptions::default()).unwrap();
    check(&store, acknowledged + 1).await;
    println!("the disk was full and is not: {acknowledged} writes");
}
