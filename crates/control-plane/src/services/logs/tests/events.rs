//! Putting, getting and filtering events.

use aws_shapes_logs as api;

use super::{DAY, Fixture, NOW, refused, text};
use crate::services::logs::read;

async fn twenty() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    fixture.stream("g", "s").await;
    let messages: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let events: Vec<(i64, &str)> =
        messages.iter().enumerate().map(|(at, message)| (NOW + at as i64, message.as_str())).collect();
    fixture.put("g", "s", &events).await.unwrap();
    fixture
}

struct Got {
    messages: Vec<String>,
    forward: String,
    backward: String,
}

async fn get(fixture: &Fixture, token: Option<String>, head: bool, limit: i32) -> Got {
    let input = api::GetLogEventsRequest {
        log_group_name: text("g"),
        log_stream_name: text("s"),
        next_token: token,
        start_from_head: Some(head),
        limit: Some(limit),
        ..Default::default()
    };
    let answer = read::get(fixture.call(), input).await.unwrap();
    Got {
        messages: answer.events.unwrap().into_iter().map(|event| event.message.unwrap()).collect(),
        forward: answer.next_forward_token.unwrap(),
        backward: answer.next_backward_token.unwrap(),
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn reading_backward_from_the_end() {
    let fixture = twenty().await;
    let latest = get(&fixture, None, false, 10).await;
    assert_eq!(latest.messages, numbers(10..20));
    let earlier = get(&fixture, Some(latest.backward), false, 20).await;
    assert_eq!(earlier.messages, numbers(0..10));
    let before = get(&fixture, Some(earlier.backward.clone()), false, 10).await;
    assert_eq!(before.messages, numbers(0..0));
    assert_eq!(before.backward, earlier.backward);
    let again = get(&fixture, Some(before.forward), false, 1).await;
    assert_eq!(again.messages, numbers(1..2));
}

#[tokio::test]
async fn reading_forward_until_the_token_stays() {
    let fixture = twenty().await;
    let first = get(&fixture, None, true, 10).await;
    assert_eq!(first.messages, numbers(0..10));
    let rest = get(&fixture, Some(first.forward), false, 20).await;
    assert_eq!(rest.messages, numbers(10..20));
    let end = get(&fixture, Some(rest.forward.clone()), false, 10).await;
    assert_eq!((end.messages.len(), &end.forward), (0, &rest.forward));
    let back = get(&fixture, Some(end.backward), false, 1).await;
    assert_eq!(back.messages, numbers(18..19));
    fixture.put("g", "s", &[(NOW + 30, "more")]).await.unwrap();
    assert_eq!(get(&fixture, Some(end.forward), false, 10).await.messages, ["more"]);
}

#[tokio::test]
async fn an_empty_stream_has_tokens_that_find_what_comes() {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    fixture.stream("g", "s").await;
    for head in [true, false] {
        let empty = get(&fixture, None, head, 10).await;
        assert_eq!(empty.messages.len(), 0);
        let again = get(&fixture, Some(empty.forward.clone()), head, 10).await;
        assert_eq!(again.forward, empty.forward);
    }
    let token = get(&fixture, None, true, 10).await.forward;
    fixture.put("g", "s", &[(NOW, "first")]).await.unwrap();
    assert_eq!(get(&fixture, Some(token), true, 10).await.messages, ["first"]);
}

#[tokio::test]
async fn ranges_exclude_their_end_in_get_and_include_it_in_filter() {
    let fixture = twenty().await;
    let input = api::GetLogEventsRequest {
        log_group_name: text("g"),
        log_stream_name: text("s"),
        start_time: Some(NOW + 5),
        end_time: Some(NOW + 7),
        start_from_head: Some(true),
        ..Default::default()
    };
    let got = read::get(fixture.call(), input).await.unwrap().events.unwrap();
    assert_eq!(got.len(), 2);
    let input = api::FilterLogEventsRequest {
        log_group_identifier: text("arn:aws:logs:us-east-1:000000000000:log-group:g"),
        start_time: Some(NOW + 5),
        end_time: Some(NOW + 7),
        ..Default::default()
    };
    let filtered = read::filter(fixture.call(), input).await.unwrap().events.unwrap();
    assert_eq!(filtered.len(), 3);
    assert_eq!(filtered[0].event_id.as_ref().unwrap().len(), 56);
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let fixture = twenty().await;
    let own = get(&fixture, None, true, 1).await;
    let turned = own.forward.replace("f/", "b/");
    for token in ["n/0000", "not-existing-token", "", "f/", "é", &turned] {
        let input = api::GetLogEventsRequest {
            log_group_name: text("g"),
            log_stream_name: text("s"),
            next_token: text(token),
            ..Default::default()
        };
        refused(
            read::get(fixture.call(), input).await,
            "InvalidParameterException",
            "The specified nextToken is invalid.",
        );
    }
    let input = api::FilterLogEventsRequest {
        log_group_name: text("g"),
        next_token: text(&own.forward[2..]),
        ..Default::default()
    };
    refused(
        read::filter(fixture.call(), input).await,
        "InvalidParameterException",
        "The specified nextToken is invalid.",
    );
}

#[tokio::test]
async fn filtering_selects_by_pattern_and_stream_over_pages() {
    let fixture = Fixture::new().await;
    fixture.group("g").await;
    for stream in ["web/1", "web/2", "worker/1"] {
        fixture.stream("g", stream).await;
        let lines = [(NOW, "ERROR one"), (NOW + 1, "INFO two"), (NOW + 2, "ERROR three")];
        fixture.put("g", stream, &lines).await.unwrap();
    }
    let base = api::FilterLogEventsRequest {
        log_group_name: text("g"),
        filter_pattern: text("ERROR"),
        limit: Some(2),
        ..Default::default()
    };
    let check = async |mut input: api::FilterLogEventsRequest, expected: &[(&str, &str)]| {
        let mut found = Vec::new();
        loop {
            let page = read::filter(fixture.call(), input.clone()).await.unwrap();
            let events = page.events.unwrap();
            assert!(events.len() <= 2);
            found.extend(events.into_iter().map(|e| (e.log_stream_name.unwrap(), e.message.unwrap())));
            input.next_token = page.next_token;
            if input.next_token.is_none() {
                break;
            }
        }
        let found: Vec<(&str, &str)> = found.iter().map(|(s, m)| (s.as_str(), m.as_str())).collect();
        assert_eq!(found, expected);
    };
    let all = [
        ("web/1", "ERROR one"),
        ("web/2", "ERROR one"),
        ("worker/1", "ERROR one"),
        ("web/1", "ERROR three"),
        ("web/2", "ERROR three"),
        ("worker/1", "ERROR three"),
    ];
    check(base.clone(), &all).await;
    let web = api::FilterLogEventsRequest { log_stream_name_prefix: text("web/"), ..base.clone() };
    check(web.clone(), &[all[0], all[1], all[3], all[4]]).await;
    let named =
        api::FilterLogEventsRequest { log_stream_names: Some(vec!["worker/1".to_owned()]), ..base.clone() };
    check(named.clone(), &[all[2], all[5]]).await;

    let both = api::FilterLogEventsRequest { log_stream_name_prefix: text("web/"), ..named };
    assert_eq!(read::filter(fixture.call(), both).await.unwrap_err().code, "InvalidParameterException");
    let missing =
        api::FilterLogEventsRequest { log_stream_names: Some(vec!["nope".to_owned()]), ..base.clone() };
    refused(
        read::filter(fixture.call(), missing).await,
        "ResourceNotFoundException",
        "The specified log stream does not exist.",
    );
    let wrong = api::FilterLogEventsRequest { filter_pattern: text("{ $.a"), ..base };
    assert_eq!(read::filter(fixture.call(), wrong).await.unwrap_err().code, "InvalidParameterException");
}

#[tokio::test]
async fn putting_follows_the_rules() {
    let fixture = Fixture::new().await;
    refused(
        fixture.put("g", "s", &[(NOW, "x")]).await,
        "ResourceNotFoundException",
        "The specified log group does not exist.",
    );
    fixture.group("g").await;
    refused(
        fixture.put("g", "s", &[(NOW, "x")]).await,
        "ResourceNotFoundException",
        "The specified log stream does not exist.",
    );
    fixture.stream("g", "s").await;
    refused(
        fixture.put("g", "s", &[(NOW, "x"), (NOW - 1, "y")]).await,
        "InvalidParameterException",
        "Log events in a single PutLogEvents request must be in chronological order.",
    );
    let answer = fixture.put("g", "s", &[(NOW - 15 * DAY, "old")]).await.unwrap();
    assert_eq!(answer.next_sequence_token.unwrap().len(), 56);
    assert_eq!(
        answer.rejected_log_events_info,
        Some(api::RejectedLogEventsInfo { too_old_log_event_end_index: Some(1), ..Default::default() })
    );
    let answer = fixture.put("g", "s", &[(NOW, "x")]).await.unwrap();
    assert_eq!(answer.rejected_log_events_info, None);
}
