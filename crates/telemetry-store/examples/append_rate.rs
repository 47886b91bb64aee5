//! Events per second through the store, as a ratio to the floor: the same bytes appended to one plain file with a
//! sync per batch, on the same disk in the same run.
//!
//! `cargo run --release -p telemetry-store --example append_rate [DIR]`

use std::{fs::File, io::Write, path::PathBuf, time::Instant};

use telemetry_store::{LogEvent, LogGroupKey, LogQuery, Options, StreamSelection, TelemetryStore};
use vocabulary::{AccountId, Scope, Timestamp};

const WRITERS: usize = 16;
const BATCHES: usize = 200;
const BATCH_EVENTS: usize = 100;

fn message(number: usize) -> String {
    format!(
        "{number:08} GET /products/{number}?page=2 200 0.0{number} \"Mozilla/5.0 (X11; Linux x86_64)\" upstream=10.0.0.7"
    )
}

#[tokio::main]
async fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = base.join(format!("longshore-append-rate-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory to write to");
    let start = 1_700_000_000_000;
    let total = WRITERS * BATCHES * BATCH_EVENTS;

    // The floor: as many batches per sync as the store can have waiting, which is one per writer.
    let mut file = File::create(dir.join("plain")).expect("a plain file");
    let clock = Instant::now();
    for batch in 0..BATCHES {
        let mut bytes = Vec::new();
        for number in 0..WRITERS * BATCH_EVENTS {
            bytes.extend_from_slice(message(batch * number).as_bytes());
            bytes.push(b'\n');
        }
        file.write_all(&bytes).expect("a write");
        file.sync_data().expect("a sync");
    }
    let floor = total as f64 / clock.elapsed().as_secs_f64();

    let open = || TelemetryStore::open(&dir.join("store"), Options::default()).expect("a store");
    let clock = Instant::now();
    let store = open();
    let made = clock.elapsed();
    let scope = Scope::new(AccountId::local(), "us-east-1".parse().expect("a region"));
    let group = LogGroupKey::new(scope, "/ecs/web");
    let clock = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, key) = (store.clone(), group.stream(format!("web/{writer}")));
            tokio::spawn(async move {
                for batch in 0..BATCHES {
                    let event = |number| LogEvent {
                        timestamp: Timestamp::from_millis(start + (batch * BATCH_EVENTS + number) as i64),
                        ingestion: Timestamp::from_millis(start),
                        message: message(batch * number),
                    };
                    store
                        .append_logs(key.clone(), (0..BATCH_EVENTS).map(event).collect())
                        .await
                        .expect("an append");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    let rate = total as f64 / clock.elapsed().as_secs_f64();

    let mut query = LogQuery { streams: StreamSelection::All, ..LogQuery::all(group, 10_000) };
    let (clock, mut read) = (Instant::now(), 0);
    loop {
        let page = store.query(query.clone(), Box::new(|_| true)).await.expect("a page");
        read += page.events.len();
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!(read, total);
    let read_rate = total as f64 / clock.elapsed().as_secs_f64();
    store.close().await.expect("a clean end");
    let clock = Instant::now();
    let store = open();
    let reopened = clock.elapsed();
    store.close().await.expect("a clean end");
    std::fs::remove_dir_all(&dir).expect("the directory to be removable");
    println!("plain file, one sync per {} events: {floor:.0} events/s", WRITERS * BATCH_EVENTS);
    println!(
        "store, {WRITERS} writers × {BATCH_EVENTS} events: {rate:.0} events/s, {:.2} of the floor",
        rate / floor
    );
    println!(
        "made in {:.1} ms, opened again in {:.1} ms",
        made.as_secs_f64() * 1e3,
        reopened.as_secs_f64() * 1e3
    );
    println!("read back, {WRITERS} streams merged: {read_rate:.0} events/s");
}
