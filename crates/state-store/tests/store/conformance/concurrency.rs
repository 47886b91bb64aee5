//! Many callers at once.

use state_store::{Compare, KeyRange, Op, OpResult, Txn};

use super::{Shared, commit, events, key, put, read, read_op, revision, value};

const WRITERS: usize = 64;
const ROUNDS: usize = 5;

/// Each writer reads a counter and puts one more, under the condition that nobody else did.
pub async fn no_update_is_lost(store: &Shared) {
    let base = put(store, "counter", "0").await;
    let mut watcher = store.watch(key("counter"), base + 1).await.unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    increment(&store).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let total = WRITERS * ROUNDS;
    assert_eq!(value(store, "counter").await, Some(total.to_string()));
    assert_eq!(revision(store).await, base + i64::try_from(total).unwrap());
    let seen = events(&mut watcher, total, base).await;
    let expected: Vec<_> = (1..=total).map(|count| format!("counter={count}@{count}")).collect();
    assert_eq!(seen, expected);
}

async fn increment(store: &Shared) {
    let mut kv = read(store, key("counter")).await.kvs.remove(0);
    loop {
        let count: usize = super::text(&kv.value).parse().unwrap();
        let attempt = Txn::new()
            .when(Compare::mod_revision("counter", kv.mod_revision))
            .then(Op::put("counter", (count + 1).to_string()))
            .otherwise(read_op(key("counter")));
        let mut answer = commit(store, attempt).await;
        if answer.succeeded {
            return;
        }
        let OpResult::Range(range) = &mut answer.results[0] else { panic!("{answer:?}") };
        kv = range.kvs.remove(0);
    }
}

/// Each writer reads its own write back at once, whatever the others do.
pub async fn readers_see_what_was_acknowledged(store: &Shared) {
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let name = format!("own/{writer:02}");
                let mut last = 0;
                for round in 0..ROUNDS {
                    let made = put(&store, &name, &round.to_string()).await;
                    assert!(made > last, "revisions grow");
                    last = made;
                    let found = read(&store, key(&name)).await;
                    assert!(found.revision >= made);
                    assert_eq!(found.kvs[0].mod_revision, made);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(read(store, KeyRange::prefix("own/")).await.count, WRITERS);
}
