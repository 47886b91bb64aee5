//! What was appended comes back in order, in both directions, however the reading is cut into steps.

use proptest::prelude::*;
use vocabulary::Timestamp;

use super::{DAY, T0, append, at, ephemeral, event, group, messages, names, read};
use crate::{Direction, EventId, LogQuery, Options, Position, StreamSelection, TelemetryStore};

#[tokio::test]
async fn streams_of_a_group_interleave_by_time_then_arrival() {
    let (store, g) = (ephemeral(), group("/ecs/web"));
    append(&store, &g, "b", &[(T0, "b0"), (T0 + 2, "b2"), (T0 + 2, "b2 again")]).await;
    append(&store, &g, "a", &[(T0, "a0"), (T0 + 1, "a1"), (T0 + 2, "a2")]).await;
    append(&store, &group("/ecs/other"), "a", &[(T0, "not ours")]).await;
    let all = LogQuery::all(g.clone(), 100);
    let forward = ["b0", "a0", "a1", "b2", "b2 again", "a2"];
    assert_eq!(messages(&store, all.clone()).await, forward);
    let mut backward = messages(&store, LogQuery { direction: Direction::Backward, ..all.clone() }).await;
    backward.reverse();
    assert_eq!(backward, forward);
    let one = LogQuery { streams: StreamSelection::one("a"), ..all.clone() };
    assert_eq!(messages(&store, one).await, ["a0", "a1", "a2"]);
    let range = LogQuery { from: at(T0 + 1), until: at(T0 + 2), ..all };
    assert_eq!(messages(&store, range).await, ["a1"]);
}

#[tokio::test]
async fn selections_take_prefixes_and_names() {
    let (store, g) = (ephemeral(), group("g"));
    for stream in ["web/1", "web/2", "worker/1", "we"] {
        append(&store, &g, stream, &[(T0, stream)]).await;
    }
    let check = async |streams: StreamSelection, expected: &[&str]| {
        let query = LogQuery { streams, ..LogQuery::all(g.clone(), 10) };
        assert_eq!(messages(&store, query).await, expected);
    };
    check(StreamSelection::Prefix("web/".into()), &["web/1", "web/2"]).await;
    check(StreamSelection::Prefix("".into()), &["web/1", "web/2", "worker/1", "we"]).await;
    check(StreamSelection::Names(names(&["we", "missing", "we"])), &["we"]).await;
    check(StreamSelection::Prefixes(names(&["wo", "web/2"])), &["web/2", "worker/1"]).await;
}

#[tokio::test]
async fn files_are_cut_by_time_and_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        TelemetryStore::open(dir.path(), Options { max_open_files: 2, ..Options::default() }).unwrap();
    let g = group("g");
    let days: Vec<(i64, String)> = (0..6).map(|day| (T0 + day * DAY, format!("day {day}"))).collect();
    let batch = days.iter().map(|(at, message)| event(*at, message)).collect();
    store.append_logs(g.stream("s"), batch).await.unwrap();
    let files = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
            name.starts_with("events-") && name.ends_with(".sqlite")
        })
        .count();
    assert_eq!(files, 6);
    let expected: Vec<String> = days.into_iter().map(|(_, message)| message).collect();
    assert_eq!(messages(&store, LogQuery::all(g.clone(), 100)).await, expected);
    store.close().await.unwrap();

    let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
    assert_eq!(messages(&store, LogQuery::all(g.clone(), 100)).await, expected);
    let summary = store.summaries(g, StreamSelection::All).await.unwrap()["s"];
    assert_eq!((summary.first_event, summary.last_event), (at(T0).unwrap(), at(T0 + 5 * DAY).unwrap()));
    assert_eq!((summary.events, summary.message_bytes), (6, 30));
}

#[tokio::test]
async fn one_process_holds_a_directory_and_frees_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
    let second = TelemetryStore::open(dir.path(), Options::default());
    assert!(matches!(second, Err(crate::StoreError::InUse { .. })), "{second:?}");
    store.close().await.unwrap();
    let closed = store.append_logs(group("g").stream("s"), vec![event(T0, "x")]).await;
    assert!(matches!(closed, Err(crate::StoreError::Closed)));
    TelemetryStore::open(dir.path(), Options::default()).unwrap();
}

#[tokio::test]
async fn sequences_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    for _ in 0..3 {
        let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
        let ack =
            store.append_logs(group("g").stream("s"), vec![event(T0, "x"), event(T0, "y")]).await.unwrap();
        assert!(ack.first_sequence > last);
        last = ack.first_sequence + 1;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn limits_stop_a_step_where_the_next_one_resumes() {
    let (store, g) = (ephemeral(), group("g"));
    append(&store, &g, "s", &[(T0, "aaaa"), (T0 + 1, "bbbb"), (T0 + 2, "cccc")]).await;
    let query = LogQuery { byte_limit: 6, ..LogQuery::all(g.clone(), 10) };
    let first = read(&store, query.clone()).await;
    assert_eq!((first.events.len(), first.scanned), (1, 1));
    let second = read(&store, LogQuery { after: first.next, byte_limit: 1, ..query.clone() }).await;
    assert_eq!(second.events[0].message, "bbbb", "one event always fits");
    let scan = LogQuery { scan_limit: 2, ..LogQuery::all(g, 10) };
    let page = store.query(scan, Box::new(|event| event.message == "cccc")).await.unwrap();
    assert_eq!((page.events.len(), page.scanned), (0, 2));
    assert_eq!(page.next.unwrap().timestamp, Timestamp::from_millis(T0 + 1));
}

#[test]
fn event_ids_sort_as_events_do_and_lead_back() {
    let position = |ts, sequence| Position { timestamp: Timestamp::from_millis(ts), sequence };
    let ordered = [position(T0, 9), position(T0, 10), position(T0 + 1, 1), position(T0 * 10, u64::MAX)];
    let ids: Vec<String> = ordered.iter().map(|position| EventId(*position).to_string()).collect();
    assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 56), "{ids:?}");
    for (id, position) in ids.iter().zip(ordered) {
        assert_eq!(id.parse::<EventId>().unwrap().0, position);
    }
    for text in ["", "1", &"9".repeat(56), &"x".repeat(56)] {
        assert!(text.parse::<EventId>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn page_tokens_are_bound_to_store_and_question() {
    let dir = tempfile::tempdir().unwrap();
    let position = Position { timestamp: Timestamp::from_millis(T0), sequence: 7 };
    let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
    let token = store.seal_cursor(position, "filter g");
    store.close().await.unwrap();
    let store = TelemetryStore::open(dir.path(), Options::default()).unwrap();
    assert_eq!(store.open_cursor(&token, "filter g"), Ok(position));
    assert!(store.open_cursor(&token, "filter h").is_err());
    assert!(ephemeral().open_cursor(&token, "filter g").is_err());
    for index in 0..token.len() {
        let mut forged = token.clone().into_bytes();
        forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert!(store.open_cursor(&forged, "filter g").is_err(), "{forged}");
    }
    for forged in ["", "A", "not a token!", &token[..token.len() - 1]] {
        assert!(store.open_cursor(forged, "filter g").is_err(), "{forged}");
    }
}

/// A batch: which stream, and the minutes after the start at which its events happened.
fn batches() -> impl Strategy<Value = Vec<(usize, Vec<i64>)>> {
    proptest::collection::vec((0..4usize, proptest::collection::vec(0..3000i64, 1..8)), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Reading in steps of any size, in either direction, over any range, equals sorting everything at once.
    #[test]
    fn stepping_equals_sorting(
        batches in batches(),
        limit in 1..6usize,
        from in proptest::option::of(0..3000i64),
        until in proptest::option::of(0..3000i64),
        backward: bool,
        streams in proptest::collection::vec(0..4usize, 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (store, g) = (ephemeral(), group("g"));
            let minute = |minutes: i64| T0 + minutes * 60_000;
            let mut expected = Vec::new();
            for (stream, minutes) in &batches {
                let events = minutes.iter().map(|m| event(minute(*m), format!("{stream} {m}"))).collect();
                let ack = store.append_logs(g.stream(format!("s{stream}")), events).await.unwrap();
                for (index, m) in minutes.iter().enumerate() {
                    let wanted = (streams.is_empty() || streams.contains(stream))
                        && from.is_none_or(|from| *m >= from)
                        && until.is_none_or(|until| *m < until);
                    if wanted {
                        expected.push((minute(*m), ack.first_sequence + index as u64));
                    }
                }
            }
            expected.sort();
            if backward {
                expected.reverse();
            }
            let selection = match streams.is_empty() {
                true => StreamSelection::All,
                false => StreamSelection::Names(streams.iter().map(|s| format!("s{s}").into()).collect()),
            };
            let mut query = LogQuery {
                streams: selection,
                from: from.map(|m| Timestamp::from_millis(minute(m))),
                until: until.map(|m| Timestamp::from_millis(minute(m))),
                direction: if backward { Direction::Backward } else { Direction::Forward },
                ..LogQuery::all(g, limit)
            };
            let mut found = Vec::new();
            loop {
                let page = read(&store, query.clone()).await;
                assert!(page.events.len() <= limit);
                found.extend(page.events.iter().map(|event| (event.timestamp.as_millis(), event.sequence)));
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            assert_eq!(found, expected);
        });
    }
}
