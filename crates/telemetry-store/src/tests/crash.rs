//! Killed at any moment, the store still has every event that it acknowledged.
//!
//! The test runs itself again as a child that appends from several tasks and prints each acknowledgement; the
//! parent kills it once it has seen enough of them.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use super::{DAY, T0, event, group, messages};
use crate::{LogQuery, Options, TelemetryStore};

const CHILD_DIR: &str = "TELEMETRY_STORE_CRASH_DIR";

#[test]
#[ignore = "run by the crash test, as its child"]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = TelemetryStore::open(dir.as_ref(), Options::default()).unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let store = store.clone();
                tokio::spawn(async move {
                    // Ends by being killed; the bound is for a parent that died.
                    for number in 0..1_000_000 {
                        let message = format!("{task}-{}-{number}", std::process::id());
                        let batch = vec![event(T0 + number + number % 3 * DAY, message.clone())];
                        store.append_logs(group("g").stream(format!("s{task}")), batch).await.unwrap();
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "\nack {message}").unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn killed_writers_lose_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for enough in [1, 40, 300, 700] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::crash::child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while seen < enough {
            let line = lines.next().expect("the child acknowledges until it is killed").unwrap();
            if let Some(message) = line.strip_prefix("ack ") {
                acknowledged.insert(message.to_owned());
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it managed to print before it died counts too; the last line may be cut.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let whole = rest.iter().take(rest.len().saturating_sub(1));
        acknowledged.extend(whole.filter_map(|line| line.strip_prefix("ack ")).map(str::to_owned));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
        let kept: BTreeSet<String> =
            messages(&store, LogQuery::all(group("g"), usize::MAX)).await.into_iter().collect();
        let lost: Vec<_> = acknowledged.difference(&kept).collect();
        assert!(lost.is_empty(), "{} of {} lost: {lost:?}", lost.len(), acknowledged.len());
        assert!(acknowledged.len() > 1000);
    });
}
