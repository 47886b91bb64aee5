//! A store as it is seen from outside.

use super::*;
use crate::scan;

#[tokio::test]
async fn everything_is_seen_while_the_store_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = TelemetryStore::open(folder.path(), Options::default()).unwrap();
    append(&store, &group("a"), "one", &[(T0, "first"), (T0 + DAY, "third")]).await;
    append(&store, &group("b"), "two", &[(T0 + 1, "second")]).await;
    append(&store, &group("b"), "gone", &[(T0 + 2, "deleted")]).await;
    store.delete_stream(group("b").stream("gone")).await.unwrap();
    let seen = || {
        let (windows, seen) = (std::cell::Cell::new(0), std::cell::RefCell::new(Vec::new()));
        let told = |event: &crate::Scanned<'_>| {
            let key = event.key;
            seen.borrow_mut().push(format!("{}/{} {}", key.group.group, key.stream, event.message));
        };
        scan(folder.path(), |_| windows.set(windows.get() + 1), told).unwrap();
        (windows.get(), seen.into_inner())
    };
    let expected: Vec<String> = ["a/one first", "b/two second", "a/one third"].map(str::to_owned).to_vec();
    assert_eq!(seen(), (2, expected.clone()));
    store.close().await.unwrap();
    assert_eq!(seen(), (2, expected));
}
