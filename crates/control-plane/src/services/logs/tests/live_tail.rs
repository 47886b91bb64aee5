//! Live tail: a start, an update each second, a sample when there is too much, an end in time.

use std::{pin::Pin, time::Duration};

use aws_schema::Shape;
use aws_shapes_logs as api;
use futures_util::{Stream, StreamExt};

use super::{Fixture, NOW, refused, text};
use crate::services::logs::live_tail::{Pace, open};

/// Faster than AWS, and as long as a test may last.
const PACE: Pace = Pace { update_every: Duration::from_millis(5), session: Duration::from_secs(60) };

fn request(groups: &[&str]) -> api::StartLiveTailRequest {
    let identifier = |name: &&str| format!("arn:aws:logs:us-east-1:000000000000:log-group:{name}");
    api::StartLiveTailRequest {
        log_group_identifiers: Some(groups.iter().map(identifier).collect()),
        ..Default::default()
    }
}

type Events =
    Pin<Box<dyn Stream<Item = Result<(&'static str, aws_schema::Value), crate::gateway::ApiError>>>>;

async fn start(fixture: &Fixture, input: api::StartLiveTailRequest) -> Events {
    let mut events: Events = Box::pin(open(&fixture.call(), input, PACE).unwrap());
    let (name, value) = events.next().await.unwrap().unwrap();
    assert_eq!(name, "sessionStart");
    assert!(api::LiveTailSessionStart::from_value(value).unwrap().session_id.is_some());
    events
}

/// The next update with events in it.
async fn update(events: &mut Events) -> api::LiveTailSessionUpdate {
    loop {
        let (name, value) = events.next().await.unwrap().unwrap();
        assert_eq!(name, "sessionUpdate");
        let update = api::LiveTailSessionUpdate::from_value(value).unwrap();
        if update.session_results.as_ref().is_some_and(|results| !results.is_empty()) {
            return update;
        }
    }
}

#[tokio::test]
async fn updates_carry_what_matches() {
    let fixture = Fixture::new().await;
    for group in ["g", "h"] {
        fixture.group(group).await;
        fixture.stream(group, "s").await;
    }
    let input = api::StartLiveTailRequest { log_event_filter_pattern: text("yes"), ..request(&["g"]) };
    let mut events = start(&fixture, input).await;
    fixture.put("h", "s", &[(NOW, "yes, but elsewhere")]).await.unwrap();
    fixture.put("g", "s", &[(NOW, "no"), (NOW + 1, "yes")]).await.unwrap();
    let seen = update(&mut events).await;
    assert_eq!(seen.session_metadata.unwrap().sampled, Some(false));
    assert_eq!(
        seen.session_results.unwrap(),
        [api::LiveTailSessionLogEvent {
            ingestion_time: Some(NOW),
            log_group_identifier: text("000000000000:g"),
            log_stream_name: text("s"),
            message: text("yes"),
            timestamp: Some(NOW + 1),
        }]
    );
}

#[tokio::test]
async fn more_than_an_update_holds_is_sampled() {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    fixture.stream("g", "s").await;
    let mut events = start(&fixture, request(&["g"])).await;
    fixture.put("g", "s", &[(NOW, "x"); 501]).await.unwrap();
    let seen = update(&mut events).await;
    assert_eq!(seen.session_results.unwrap().len(), 500);
    assert_eq!(seen.session_metadata.unwrap().sampled, Some(true));
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_up() {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    let pace = Pace { session: Duration::from_millis(50), ..PACE };
    let mut events: Events = Box::pin(open(&fixture.call(), request(&["g"]), pace).unwrap());
    let end = loop {
        if let Err(error) = events.next().await.unwrap() {
            break error;
        }
    };
    assert_eq!(end.code, "SessionTimeoutException");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn requests_are_checked() {
    let fixture = Fixture::new().await;
    for group in ["g", "h"] {
        fixture.group(group).await;
    }
    let missing = open(&fixture.call(), request(&["nope"]), PACE).map(|_| ());
    refused(missing, "ResourceNotFoundException", "The specified log group does not exist.");
    let two =
        api::StartLiveTailRequest { log_stream_names: Some(vec!["s".to_owned()]), ..request(&["g", "h"]) };
    let two = open(&fixture.call(), two, PACE).map(|_| ());
    assert_eq!(two.unwrap_err().code, "InvalidParameterException");
}
