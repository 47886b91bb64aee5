//! Reading keys in order, now and as of before.

use state_store::{KeyRange, RangeRequest, StoreError};

use super::{Shared, delete, key, keys, put, read, values};

pub async fn prefixes_and_ranges_select(store: &Shared) {
    for name in ["a", "a/", "a/b", "a/\u{7f}", "a0", "b"] {
        put(store, name, name).await;
    }
    let check = async |range: KeyRange, expected: &[&str]| {
        assert_eq!(keys(&read(store, range.clone()).await), expected, "{range:?}");
    };
    check(KeyRange::all(), &["a", "a/", "a/b", "a/\u{7f}", "a0", "b"]).await;
    check(KeyRange::prefix("a/"), &["a/", "a/b", "a/\u{7f}"]).await;
    check(KeyRange::prefix("a/b"), &["a/b"]).await;
    check(key("a"), &["a"]).await;
    check(key("c"), &[]).await;
    check(KeyRange::between("a/b", "b"), &["a/b", "a/\u{7f}", "a0"]).await;
    check(KeyRange::between("b", "a"), &[]).await;
    check(KeyRange::between("a", "a"), &[]).await;
    check(KeyRange::from("a0"), &["a0", "b"]).await;
    check(KeyRange::all().after(b"a/b"), &["a/\u{7f}", "a0", "b"]).await;
    check(key("a").after(b"a"), &[]).await;

    // Keys are bytes, not text.
    let odd: &[u8] = &[0xff, 0xff];
    store.txn(state_store::Txn::put(odd, "x")).await.unwrap();
    assert_eq!(read(store, KeyRange::prefix(odd)).await.count, 1);
    assert_eq!(read(store, KeyRange::prefix(&odd[..1])).await.count, 1);
    assert_eq!(read(store, KeyRange::all()).await.count, 7);
}

pub async fn limits_page_through(store: &Shared) {
    for number in 0..7 {
        put(store, &format!("k{number}"), "x").await;
    }
    let mut range = KeyRange::prefix("k");
    let mut pages = Vec::new();
    loop {
        let page = store.range(RangeRequest::new(range.clone()).limit(3)).await.unwrap();
        assert_eq!(page.count, 7 - 3 * pages.len(), "the count ignores the limit");
        let last = page.kvs.last().map(|kv| kv.key.clone());
        pages.push((keys(&page).join(" "), page.more));
        match last {
            Some(last) if page.more => range = range.after(&last),
            _ => break,
        }
    }
    let pages: Vec<_> = pages.iter().map(|(keys, more)| (keys.as_str(), *more)).collect();
    assert_eq!(pages, [("k0 k1 k2", true), ("k3 k4 k5", true), ("k6", false)]);
    let exact = store.range(RangeRequest::new(KeyRange::prefix("k")).limit(7)).await.unwrap();
    assert_eq!((exact.kvs.len(), exact.more), (7, false));
}

pub async fn keys_and_counts_alone(store: &Shared) {
    let first = put(store, "a", "1").await;
    put(store, "b", "2").await;
    let found = store.range(RangeRequest::new(KeyRange::all()).keys_only()).await.unwrap();
    assert_eq!(keys(&found), ["a", "b"]);
    assert!(found.kvs.iter().all(|kv| kv.value.is_empty()));
    assert_eq!(found.kvs[0].mod_revision, first);
    let counted = store.range(RangeRequest::new(KeyRange::all()).count_only()).await.unwrap();
    assert_eq!((counted.kvs.len(), counted.count, counted.more), (0, 2, false));
}

pub async fn the_past_stays_readable(store: &Shared) {
    let first = put(store, "a", "1").await;
    let second = put(store, "b", "1").await;
    let third = put(store, "a", "2").await;
    let fourth = delete(store, key("b")).await;
    let at = async |revision| {
        let answer = store.range(RangeRequest::new(KeyRange::all()).at(revision)).await.unwrap();
        assert_eq!(answer.revision, fourth, "the answer tells the present revision");
        let pairs =
            answer.kvs.iter().map(|kv| format!("{}={}", super::text(&kv.key), super::text(&kv.value)));
        pairs.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(at(first).await, "a=1");
    assert_eq!(at(second).await, "a=1 b=1");
    assert_eq!(at(third).await, "a=2 b=1");
    assert_eq!(at(fourth).await, "a=2");
    assert_eq!(at(0).await, "a=2");
    let future = store.range(RangeRequest::new(KeyRange::all()).at(fourth + 1)).await;
    assert!(
        matches!(future, Err(StoreError::FutureRevision { requested }) if requested == fourth + 1),
        "{future:?}"
    );
    let inside = state_store::Txn::new().then(state_store::Op::Range(RangeRequest::new(key("a")).at(first)));
    assert_eq!(values(&store.txn(inside).await.unwrap().results), ["1"]);
}
