//! A store as it is seen from outside.

use super::*;
use crate::{Seen, scan};

#[tokio::test]
async fn everything_is_seen_while_the_store_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = TelemetryStore::open(folder.path(), Options::default()).unwrap();
    append(&store, &group("a"), "one", &[(T0, "first"), (T0 + DAY, "third")]).await;
    append(&store, &group("b"), "two", &[(T0 + 1, "second")]).await;
    append(&store, &group("b"), "gone", &[(T0 + 2, "deleted")]).await;
    store.delete_stream(group("b").stream("gone")).await.unwrap();
    let seen = || {
        let (mut windows, mut events) = (0, Vec::new());
        scan(folder.path(), |seen| match seen {
            Seen::Window(_) => windows += 1,
            Seen::Event { key, message, .. } => {
                events.push(format!("{}/{} {message}", key.group.group, key.stream));
            }
        })
        .unwrap();
        (windows, events)
    };
    let expected: Vec<String> = ["a/one first", "b/two second", "a/one third"].map(str::to_owned).to_vec();
    assert_eq!(seen(), (2, expected.clone()));
    store.close().await.unwrap();
    assert_eq!(seen(), (2, expected));
}
