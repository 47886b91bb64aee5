//! What the node agent delivers: streams made on demand, groups only when allowed.

use telemetry_store::{LogEvent, LogQuery};
use vocabulary::Timestamp;

use super::{Fixture, NOW, scope};
use crate::services::logs::{Group, LogSink, SinkError};

#[tokio::test]
async fn streams_are_made_and_groups_only_when_allowed() {
    let fixture = Fixture::new().await;
    let (sink, now) = (LogSink::new(fixture.logs().clone()), Timestamp::from_millis(NOW));
    let refused = sink.prepare(&scope(), "/ecs/web", "web/app/1", false, "i", now).await.unwrap_err();
    assert!(matches!(refused, SinkError::NoSuchGroup));
    assert_eq!(refused.to_string(), "ResourceNotFoundException: The specified log group does not exist.");
    for _ in 0..2 {
        sink.prepare(&scope(), "/ecs/web", "web/app/1", true, "i", now).await.unwrap();
    }
    let event = |message: &str| LogEvent { timestamp: now, ingestion: now, message: message.to_owned() };
    sink.write(&scope(), "/ecs/web", "web/app/1", vec![event("a"), event("b")], now).await.unwrap();
    let group = fixture.logs().state.read(|view| view.get::<Group>(&scope(), "/ecs/web")).unwrap();
    let query = LogQuery::all(group.events(&scope()), 10);
    let page = fixture.logs().telemetry.query(query, Box::new(|_| true)).await.unwrap();
    let messages: Vec<_> = page.events.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, ["a", "b"]);

    fixture
        .logs()
        .state
        .transact(|tx| {
            tx.delete::<Group>(&scope(), "/ecs/web");
            Ok::<_, state_store::StateError>(())
        })
        .await
        .unwrap();
    let gone = sink.write(&scope(), "/ecs/web", "web/app/1", vec![event("c")], now).await;
    assert!(matches!(gone, Err(SinkError::NoSuchGroup)));
}
