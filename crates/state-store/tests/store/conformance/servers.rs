//! What the layers above build on a store: tables of two servers, and the election between them.

use serde::{Deserialize, Serialize};
use state_store::{Change, Leadership, Notice, Record, State, StateError, Tables, Tx, Txn};
use vocabulary::{AccountId, Scope};

use super::Shared;
use crate::within;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Counter {
    count: u32,
}

impl Record for Counter {
    const SERVICE: &'static str = "test";
    const KIND: &'static str = "counter";
    const SCHEMA_VERSION: u32 = 1;
}

fn scope() -> Scope {
    Scope::new(AccountId::local(), "eu-central-1".parse().unwrap())
}

async fn server(store: &Shared) -> State {
    State::open(store.clone(), Tables::new().with::<Counter>()).await.unwrap()
}

async fn increment(state: &State, id: &str) {
    let increment = |tx: &mut Tx| {
        let count = tx.get::<Counter>(&scope(), id).map_or(0, |counter| counter.count);
        tx.put(&scope(), id, Counter { count: count + 1 });
        Ok::<_, StateError>(())
    };
    state.transact(increment).await.unwrap();
}

pub async fn two_servers_see_each_others_records(store: &Shared) {
    let (one, two) = (server(store).await, server(store).await);
    let mut changes = two.watch::<Counter>();
    increment(&one, "a").await;
    assert_eq!(one.view().get::<Counter>(&scope(), "a").unwrap().count, 1);
    let Notice::Changes(heard) = within(changes.next()).await.unwrap() else {
        panic!("one change is not too many")
    };
    assert!(matches!(&heard[..], [Change::Put { id, previous: None, .. }] if id == "a"), "{heard:?}");
    assert_eq!(two.view().get::<Counter>(&scope(), "a").unwrap().count, 1);

    // Deletions travel as well.
    let delete = |tx: &mut Tx| Ok::<_, StateError>(tx.delete::<Counter>(&scope(), "a"));
    two.transact(delete).await.unwrap();
    within(one.wait_for(two.revision())).await.unwrap();
    assert_eq!(one.view().count_all::<Counter>(), 0);
    // A server that starts now sees the same.
    assert_eq!(server(store).await.view().count_all::<Counter>(), 0);
}

pub async fn two_servers_lose_no_update(store: &Shared) {
    const WRITERS: usize = 8;
    const ROUNDS: u32 = 10;
    let servers = [server(store).await, server(store).await];
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let state = servers[writer % servers.len()].clone();
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    increment(&state, "shared").await;
                }
            })
        })
        .collect();
    for writer in writers {
        within(writer).await.unwrap();
    }
    let furthest = servers[0].revision().max(servers[1].revision());
    for state in &servers {
        within(state.wait_for(furthest)).await.unwrap();
        let count = state.view().get::<Counter>(&scope(), "shared").unwrap().count;
        assert_eq!(count, u32::try_from(WRITERS).unwrap() * ROUNDS);
    }
}

pub async fn one_leader_at_a_time(store: &Shared) {
    let campaign = |name: &'static str| Leadership::campaign(store.clone(), "test", name, 10);
    let first = within(campaign("one")).await.unwrap();
    let mut second = tokio::spawn(campaign("two"));
    let fenced = |leader: &Leadership| Txn::put("work", "done").when(leader.fence().compare());
    // The second waits; nothing tells that it does but that the office stays with the first over some turns.
    for _ in 0..20 {
        assert!(store.txn(fenced(&first)).await.unwrap().succeeded);
        assert!(!second.is_finished());
    }
    let stale = fenced(&first);
    first.resign().await.unwrap();
    let mut second = within(&mut second).await.unwrap().unwrap();
    assert!(!store.txn(stale).await.unwrap().succeeded, "a deposed leader writes nothing");
    assert!(store.txn(fenced(&second)).await.unwrap().succeeded);

    // A leader whose lease is taken away learns of it.
    let key = state_store::KeyRange::key("leader/test");
    let lease = super::read(store, key).await.kvs[0].lease;
    store.lease_revoke(lease).await.unwrap();
    within(second.lost()).await;
    assert!(!store.txn(fenced(&second)).await.unwrap().succeeded);
}
