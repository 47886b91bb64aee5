//! The store seen from outside: order, durability, forgetting, following.

mod crash;
mod follow;
mod forget;
mod order;
mod scan;

use std::sync::Arc;

use vocabulary::{AccountId, Scope, Timestamp};

use crate::{LogEvent, LogGroupKey, LogQuery, Options, QueryPage, TelemetryStore};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Noon of some day.
const T0: i64 = 20_000 * DAY + 12 * HOUR;

fn group(name: &str) -> LogGroupKey {
    LogGroupKey::new(Scope::new(AccountId::local(), "us-east-1".parse().unwrap()), name)
}

fn event(at: i64, message: impl Into<String>) -> LogEvent {
    LogEvent {
        timestamp: Timestamp::from_millis(at),
        ingestion: Timestamp::from_millis(T0),
        message: message.into(),
    }
}

fn at(milliseconds: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(milliseconds))
}

async fn append(store: &TelemetryStore, group: &LogGroupKey, stream: &str, events: &[(i64, &str)]) {
    let events = events.iter().map(|(at, message)| event(*at, *message)).collect();
    store.append_logs(group.stream(stream), events).await.unwrap();
}

async fn read(store: &TelemetryStore, query: LogQuery) -> QueryPage {
    store.query(query, Box::new(|_| true)).await.unwrap()
}

async fn messages(store: &TelemetryStore, query: LogQuery) -> Vec<String> {
    read(store, query).await.events.into_iter().map(|event| event.message).collect()
}

fn ephemeral() -> TelemetryStore {
    TelemetryStore::ephemeral(Options::default()).unwrap()
}

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}
