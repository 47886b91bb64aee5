//! Followers see acknowledged batches of the streams that they asked for, and learn what they missed.

use super::{T0, append, ephemeral, event, group};
use crate::{StreamSelection, TailItem};

#[tokio::test]
async fn a_follower_sees_its_streams_only() {
    let (store, g) = (ephemeral(), group("g"));
    let mut tail = store.subscribe(g.clone(), StreamSelection::Prefix("web/".into())).unwrap();
    append(&store, &g, "worker/1", &[(T0, "no")]).await;
    append(&store, &group("other"), "web/1", &[(T0, "no")]).await;
    append(&store, &g, "web/1", &[(T0, "yes"), (T0 + 1, "also")]).await;
    let Some(TailItem::Batch(batch)) = tail.next().await else { panic!("a batch") };
    assert_eq!(batch.key, g.stream("web/1"));
    let messages: Vec<_> = batch.events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, ["yes", "also"]);
    store.close().await.unwrap();
    assert_eq!(tail.next().await, None);
}

#[tokio::test]
async fn a_slow_follower_learns_how_much_it_lost() {
    let (store, g) = (ephemeral(), group("g"));
    let mut tail = store.subscribe(g.clone(), StreamSelection::All).unwrap();
    let batches = 400;
    for _ in 0..batches {
        store.append_logs(g.stream("s"), vec![event(T0, "x"), event(T0, "y")]).await.unwrap();
    }
    let mut lost = 0;
    let mut seen = 0;
    while lost + seen < batches * 2 {
        match tail.next().await.unwrap() {
            TailItem::Lagged(events) => lost += events,
            TailItem::Batch(batch) => seen += batch.events.len() as u64,
        }
    }
    assert!(lost > 0 && seen > 0, "{lost} lost, {seen} seen");
    assert_eq!(lost + seen, batches * 2);
}
