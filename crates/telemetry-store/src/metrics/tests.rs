//! Metrics go in, come out added up, stay, and are forgotten.

use std::sync::Arc;

use metrics::{DAY_SECONDS, Resolution, Summary};
use vocabulary::{AccountId, Scope, Timestamp};

use super::{MetricFilter, MetricKey, MetricSample, MetricStore};

/// Noon of some day.
const NOW: i64 = 20_000 * DAY_SECONDS + DAY_SECONDS / 2;

fn scope() -> Scope {
    Scope::new(AccountId::local(), "us-east-1".parse().unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn key(name: &str, dimensions: &[(&str, &str)]) -> MetricKey {
    MetricKey::new(scope(), "Shop", name, dimensions.iter().copied())
}

fn sample(key: &MetricKey, at: i64, value: f64) -> MetricSample {
    let (unit, summary) = (Arc::from("Count"), Summary::of_value(value));
    MetricSample { key: key.clone(), unit, at, high_resolution: true, summary }
}

async fn sums(store: &MetricStore, key: &MetricKey, resolution: Resolution) -> Vec<(i64, f64, f64)> {
    let found = store.read(key, None, (NOW - 400 * DAY_SECONDS, NOW + 7200), resolution).await.unwrap();
    let samples = found.into_iter().flat_map(|unit| unit.samples);
    samples.map(|(at, summary)| (at - NOW, summary.samples, summary.sum)).collect()
}

#[tokio::test]
async fn samples_are_added_up_at_every_resolution() {
    let store = MetricStore::ephemeral().unwrap();
    let orders = key("Orders", &[("Page", "a")]);
    let samples = vec![
        sample(&orders, NOW, 1.0),
        sample(&orders, NOW, 2.0),
        sample(&orders, NOW + 5, 4.0),
        sample(&orders, NOW + 65, 8.0),
    ];
    store.put(samples, at(NOW)).await.unwrap();
    store.put(vec![sample(&orders, NOW + 5, 16.0)], at(NOW)).await.unwrap();
    assert_eq!(
        sums(&store, &orders, Resolution::Second).await,
        [(0, 2.0, 3.0), (5, 2.0, 20.0), (65, 1.0, 8.0)]
    );
    assert_eq!(sums(&store, &orders, Resolution::Minute).await, [(0, 4.0, 23.0), (60, 1.0, 8.0)]);
    assert_eq!(sums(&store, &orders, Resolution::FiveMinutes).await, [(0, 5.0, 31.0)]);
    assert_eq!(sums(&store, &orders, Resolution::Hour).await, [(0, 5.0, 31.0)]);
    let other = key("Orders", &[("Page", "b")]);
    assert_eq!(sums(&store, &other, Resolution::Minute).await, []);
}

#[tokio::test]
async fn old_samples_are_kept_as_finely_as_their_age_allows() {
    let store = MetricStore::ephemeral().unwrap();
    let orders = key("Orders", &[]);
    let mut coarse = sample(&orders, NOW, 1.0);
    coarse.high_resolution = false;
    let old = [4 * 3600, 20 * DAY_SECONDS, 100 * DAY_SECONDS, 500 * DAY_SECONDS];
    let samples = old.iter().map(|age| sample(&orders, NOW - age, 1.0)).chain([coarse]).collect();
    store.put(samples, at(NOW)).await.unwrap();
    for (resolution, expected) in [
        (Resolution::Second, 0),
        (Resolution::Minute, 2),
        (Resolution::FiveMinutes, 3),
        (Resolution::Hour, 4),
    ] {
        assert_eq!(sums(&store, &orders, resolution).await.len(), expected, "{resolution:?}");
    }
}

#[tokio::test]
async fn units_are_kept_apart() {
    let store = MetricStore::ephemeral().unwrap();
    let took = key("Took", &[]);
    let mut seconds = sample(&took, NOW, 1.0);
    seconds.unit = Arc::from("Seconds");
    store.put(vec![seconds, sample(&took, NOW, 2.0)], at(NOW)).await.unwrap();
    let read = |unit| store.read(&took, unit, (NOW, NOW + 1), Resolution::Minute);
    let all = read(None).await.unwrap();
    let units: Vec<&str> = all.iter().map(|one| one.unit.as_ref()).collect();
    assert_eq!(units, ["Count", "Seconds"]);
    let one = read(Some("Seconds")).await.unwrap();
    assert_eq!((one.len(), one[0].samples[0].1.sum), (1, 1.0));
    assert_eq!(read(Some("Bytes")).await.unwrap(), []);
}

#[tokio::test]
async fn metrics_are_listed_by_what_they_are() {
    let store = MetricStore::ephemeral().unwrap();
    let keys = [
        key("Orders", &[("Page", "a"), ("Shop", "1")]),
        key("Orders", &[("Page", "b")]),
        key("Visits", &[]),
        MetricKey::new(scope(), "Other", "Orders", [("Page", "a")]),
    ];
    let samples = keys.iter().map(|key| sample(key, NOW, 1.0)).collect();
    store.put(samples, at(NOW)).await.unwrap();
    let list = |filter: &MetricFilter| store.list(&scope(), filter, None, 100);
    assert_eq!(list(&MetricFilter::default()).len(), 4);
    let shop = MetricFilter { namespace: Some("Shop".to_owned()), ..MetricFilter::default() };
    assert_eq!(list(&shop), keys[..3]);
    let page = |value: Option<&str>| MetricFilter {
        dimensions: vec![("Page".to_owned(), value.map(str::to_owned))],
        ..MetricFilter::default()
    };
    assert_eq!(list(&page(Some("a"))).len(), 2);
    assert_eq!(list(&page(None)).len(), 3);
    assert_eq!(list(&MetricFilter { seen_since: Some(NOW + 1), ..MetricFilter::default() }), []);
    let mut seen = Vec::new();
    while let [one] = &store.list(&scope(), &MetricFilter::default(), seen.last(), 1)[..] {
        seen.push(one.clone());
    }
    assert_eq!(seen, list(&MetricFilter::default()));
    let elsewhere = Scope::new(AccountId::local(), "eu-west-1".parse().unwrap());
    assert_eq!(store.list(&elsewhere, &MetricFilter::default(), None, 100), []);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let orders = key("Orders", &[("Page", "a"), ("Shop", "1")]);
    let store = MetricStore::open(folder.path()).unwrap();
    assert!(MetricStore::open(folder.path()).is_err(), "it is in use");
    store.put(vec![sample(&orders, NOW, 3.0)], at(NOW)).await.unwrap();
    store.close().await.unwrap();
    assert!(store.put(vec![sample(&orders, NOW, 3.0)], at(NOW)).await.is_err());
    let store = MetricStore::open(folder.path()).unwrap();
    assert_eq!(store.list(&scope(), &MetricFilter::default(), None, 10), std::slice::from_ref(&orders));
    store.put(vec![sample(&orders, NOW, 4.0)], at(NOW)).await.unwrap();
    assert_eq!(sums(&store, &orders, Resolution::Minute).await, [(0, 2.0, 7.0)]);
    let p50: metrics::Statistic = "p50".parse().unwrap();
    let found = store.read(&orders, None, (NOW, NOW + 1), Resolution::Hour).await.unwrap();
    assert_eq!(p50.of(&found[0].samples[0].1), Some(3.5));
}

#[tokio::test]
async fn files_go_when_they_are_over_and_metrics_when_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let orders = key("Orders", &[]);
    let store = MetricStore::open(folder.path()).unwrap();
    store.put(vec![sample(&orders, NOW, 1.0)], at(NOW)).await.unwrap();
    assert_eq!(store.retain(at(NOW)).await.unwrap(), 0);
    // One file of each resolution: by the hour, the day, the week, thirty days.
    assert_eq!(store.retain(at(NOW + 5 * 3600)).await.unwrap(), 1);
    assert_eq!(sums(&store, &orders, Resolution::Second).await, []);
    assert_eq!(sums(&store, &orders, Resolution::Minute).await.len(), 1);
    assert_eq!(store.retain(at(NOW + 17 * DAY_SECONDS)).await.unwrap(), 1);
    assert_eq!(store.retain(at(NOW + 80 * DAY_SECONDS)).await.unwrap(), 1);
    assert_eq!(sums(&store, &orders, Resolution::Hour).await.len(), 1);
    assert_eq!(store.retain(at(NOW + 500 * DAY_SECONDS)).await.unwrap(), 1);
    assert_eq!(store.list(&scope(), &MetricFilter::default(), None, 10), []);
    let left = std::fs::read_dir(folder.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name.starts_with("catalog") || name == "lock"), "{left:?}");
}

#[tokio::test]
async fn puts_of_many_at_once_are_all_counted() {
    let store = MetricStore::ephemeral().unwrap();
    let orders = key("Orders", &[]);
    let mut putting = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (store, sample) = (store.clone(), sample(&orders, NOW, 1.0));
        putting.spawn(async move { store.put(vec![sample], at(NOW)).await });
    }
    while let Some(put) = putting.join_next().await {
        put.unwrap().unwrap();
    }
    assert_eq!(sums(&store, &orders, Resolution::Minute).await, [(0, 200.0, 200.0)]);
}
