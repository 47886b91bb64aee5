//! Retention drops whole files where it can and rows where it must; deleted streams are gone at once.

use std::path::Path;

use vocabulary::Timestamp;

use super::{DAY, T0, append, at, event, group, messages};
use crate::{
    LogQuery, Options, RetentionOutcome, RetentionPolicy, StoreError, StreamSelection, TelemetryStore,
};

fn event_files(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().starts_with("events-")).count()
}

fn policy(groups: &[(&str, u32)]) -> RetentionPolicy {
    let groups = groups.iter().map(|(name, days)| (group(name), Some(*days))).collect();
    RetentionPolicy { default_days: None, groups }
}

#[tokio::test]
async fn a_file_goes_when_nothing_in_it_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
    let (a, b) = (group("a"), group("b"));
    append(&store, &a, "s", &[(T0, "a old"), (T0 + 9 * DAY, "a new")]).await;
    append(&store, &b, "s", &[(T0, "b old")]).await;
    let now = Timestamp::from_millis(T0 + 10 * DAY);

    // b keeps for ever: a's row goes, the file stays.
    let outcome = store.retain(policy(&[("a", 3)]), now).await.unwrap();
    assert_eq!(outcome, RetentionOutcome { files_removed: 0, events_deleted: 1 });
    assert_eq!(messages(&store, LogQuery::all(a.clone(), 10)).await, ["a new"]);
    let summary = store.summaries(a.clone(), StreamSelection::All).await.unwrap()["s"];
    assert_eq!(
        (summary.first_event, summary.events, summary.message_bytes),
        (at(T0 + 9 * DAY).unwrap(), 1, 5)
    );

    let outcome = store.retain(policy(&[("a", 3), ("b", 3)]), now).await.unwrap();
    assert_eq!(outcome, RetentionOutcome { files_removed: 1, events_deleted: 0 });
    assert_eq!(messages(&store, LogQuery::all(b, 10)).await, [""; 0]);
    assert_eq!(messages(&store, LogQuery::all(a.clone(), 10)).await, ["a new"]);

    let again = store.retain(policy(&[("a", 3), ("b", 3)]), now).await.unwrap();
    assert_eq!(again, RetentionOutcome::default());
    store.close().await.unwrap();
    assert_eq!(event_files(dir.path()), 1);

    // The window can be written again.
    let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
    append(&store, &a, "s", &[(T0 + 1, "late")]).await;
    assert_eq!(messages(&store, LogQuery::all(a, 10)).await, ["late", "a new"]);
}

#[tokio::test]
async fn rows_go_within_a_file_and_in_steps() {
    let store =
        TelemetryStore::ephemeral(Options { window_milliseconds: 10 * DAY, ..Options::default() }).unwrap();
    let g = group("g");
    // More than one step's worth.
    let events = (0..45_000).map(|index| event(T0 + index, "x")).collect();
    store.append_logs(g.stream("s"), events).await.unwrap();
    append(&store, &g, "s", &[(T0 + 2 * DAY, "kept")]).await;
    let outcome = store.retain(policy(&[("g", 1)]), Timestamp::from_millis(T0 + 2 * DAY)).await.unwrap();
    assert_eq!(outcome.events_deleted, 45_000);
    let summary = store.summaries(g.clone(), StreamSelection::All).await.unwrap()["s"];
    assert_eq!((summary.events, summary.message_bytes), (1, 4));
    assert_eq!(messages(&store, LogQuery::all(g, 10)).await, ["kept"]);
}

#[tokio::test]
async fn a_deleted_stream_is_gone_at_once_and_starts_empty() {
    let dir = tempfile::tempdir().unwrap();
    let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
    let g = group("g");
    append(&store, &g, "s", &[(T0, "old")]).await;
    append(&store, &g, "t", &[(T0, "other")]).await;
    assert!(store.delete_stream(g.stream("s")).await.unwrap());
    assert!(!store.delete_stream(g.stream("s")).await.unwrap());
    assert_eq!(messages(&store, LogQuery::all(g.clone(), 10)).await, ["other"]);
    append(&store, &g, "s", &[(T0 + 1, "new")]).await;
    assert_eq!(messages(&store, LogQuery::all(g.clone(), 10)).await, ["other", "new"]);
    let now = Timestamp::from_millis(T0 + DAY);
    let outcome = store.retain(RetentionPolicy::default(), now).await.unwrap();
    assert_eq!(outcome, RetentionOutcome { files_removed: 0, events_deleted: 1 });

    assert_eq!(store.delete_group(g.clone()).await.unwrap(), 2);
    store.close().await.unwrap();
    let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
    assert_eq!(messages(&store, LogQuery::all(g, 10)).await, [""; 0]);
    let outcome = store.retain(RetentionPolicy::default(), now).await.unwrap();
    assert_eq!(outcome.files_removed, 1);
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options { max_file_bytes: Some(256 * 1024), ..Options::default() };
    let store = TelemetryStore::open(dir.path(), small).unwrap();
    let g = group("g");
    let line = "x".repeat(1000);
    let mut acknowledged = 0;
    let error = loop {
        let events = (0..20).map(|index| event(T0 + index, line.clone())).collect();
        match store.append_logs(g.stream("s"), events).await {
            Ok(ack) => acknowledged += ack.events,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "the limit must be reached");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(error.to_string().starts_with("no space left"), "{error}");
    assert!(acknowledged > 0);
    let kept = messages(&store, LogQuery::all(g.clone(), usize::MAX)).await.len();
    assert_eq!(kept, acknowledged);
    // Other windows still have room.
    append(&store, &g, "s", &[(T0 + DAY, "fits")]).await;
    store.close().await.unwrap();
    let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
    assert_eq!(messages(&store, LogQuery::all(g.clone(), usize::MAX)).await.len(), acknowledged + 1);
    append(&store, &g, "s", &[(T0, "fits now")]).await;
}
