//! `LookupEvents`: the events of the last ninety days of one account and region, newest first.
//!
//! Management events only, as on AWS; those that are about data are in the trail's files beside them.

use aws_shapes_cloudtrail as cloudtrail;
use aws_shapes_cloudtrail::{LookupAttributeKey, LookupEventsRequest, LookupEventsResponse, errors};
use serde_json::Value;
use telemetry_store::{Direction, LogQuery, StoredEvent, StreamSelection};
use vocabulary::Timestamp;

use super::{resources, trail};
use crate::gateway::{ApiError, Call};

/// Most events of one answer, and as many when nothing is said.
const PAGE: usize = 50;
/// Events looked at for one answer: a rare attribute comes in several, some of them empty.
const SCAN: usize = 20_000;

pub async fn events(call: Call, input: LookupEventsRequest) -> Result<LookupEventsResponse, ApiError> {
    if input.event_category.is_some() {
        // Insights are not made; there is nothing of that category.
        return Ok(LookupEventsResponse { events: Some(Vec::new()), next_token: None });
    }
    let at = |time: aws_schema::Timestamp| Timestamp::from_millis(time.as_millis());
    let (from, until) = (input.start_time.map(at), input.end_time.map(at));
    if from.zip(until).is_some_and(|(from, until)| from > until) {
        let message = "The time range is invalid: StartTime is after EndTime.";
        return Err(ApiError::new(&errors::INVALID_TIME_RANGE_EXCEPTION, message));
    }
    let attributes = input.lookup_attributes.unwrap_or_default();
    if attributes.len() > 1 {
        let message = "You can specify only one lookup attribute.";
        return Err(ApiError::new(&errors::INVALID_LOOKUP_ATTRIBUTES_EXCEPTION, message));
    }
    let wanted = attributes.into_iter().next().and_then(|one| one.attribute_key.zip(one.attribute_value));
    let limit = input.max_results.map_or(PAGE, |most| usize::try_from(most).unwrap_or(PAGE).clamp(1, PAGE));
    // A token goes on with the question that it came from.
    let question = format!("{:?} {from:?} {until:?} {wanted:?}", call.scope());
    let store = call.services.trail.store();
    let after = input.next_token.map(|token| store.open_cursor(&token, &question)).transpose();
    let after =
        after.map_err(|_| ApiError::new(&errors::INVALID_NEXT_TOKEN_EXCEPTION, "The token is not valid."))?;
    call.services.trail.settle().await;
    let oldest = call.now().as_millis() - i64::from(trail::KEPT_DAYS) * 86_400_000;
    let query = LogQuery {
        streams: StreamSelection::All,
        from: Some(from.unwrap_or(Timestamp::from_millis(oldest)).max(Timestamp::from_millis(oldest))),
        // EndTime is part of the range.
        until: until.map(|until| Timestamp::from_millis(until.as_millis() + 1)),
        direction: Direction::Backward,
        after,
        scan_limit: SCAN,
        ..LogQuery::all(trail::group(call.scope()), limit)
    };
    let page = store.query(query, Box::new(move |event| fits(event, wanted.as_ref()))).await;
    let page = page.map_err(ApiError::internal)?;
    Ok(LookupEventsResponse {
        next_token: page.next.map(|position| store.seal_cursor(position, &question)),
        events: Some(page.events.iter().filter_map(shown).collect()),
    })
}

fn parsed(event: &StoredEvent) -> Option<Value> {
    serde_json::from_str(&event.message).ok()
}

fn fits(event: &StoredEvent, wanted: Option<&(LookupAttributeKey, String)>) -> bool {
    // A text that does not occur at all is not its attribute.
    if wanted.is_some_and(|(key, value)| {
        !matches!(key, LookupAttributeKey::ReadOnly | LookupAttributeKey::ResourceType)
            && !event.message.contains(value.as_str())
    }) {
        return false;
    }
    let Some(record) = parsed(event).filter(|record| record["managementEvent"] == true) else { return false };
    let Some((key, value)) = wanted else { return true };
    let is = |text: Option<&str>| text == Some(value.as_str());
    match key {
        LookupAttributeKey::EventId => is(record["eventID"].as_str()),
        LookupAttributeKey::EventName => is(record["eventName"].as_str()),
        LookupAttributeKey::EventSource => is(record["eventSource"].as_str()),
        LookupAttributeKey::AccessKeyId => is(record["userIdentity"]["accessKeyId"].as_str()),
        LookupAttributeKey::ReadOnly => {
            record["readOnly"].as_bool().map(|is| is.to_string()).as_ref() == Some(value)
        }
        LookupAttributeKey::Username => user_name(&record).as_ref() == Some(value),
        LookupAttributeKey::ResourceName => resources::of(&record).iter().any(|(_, name)| name == value),
        LookupAttributeKey::ResourceType => resources::of(&record).iter().any(|(kind, _)| kind == value),
    }
}

/// The user's name, the session's, or `root`.
fn user_name(record: &Value) -> Option<String> {
    let identity = &record["userIdentity"];
    match identity["type"].as_str()? {
        "Root" => Some("root".to_owned()),
        "AssumedRole" | "FederatedUser" => {
            let arn = identity["arn"].as_str()?;
            arn.rsplit_once('/').map(|(_, name)| name.to_owned())
        }
        _ => identity["userName"].as_str().map(str::to_owned),
    }
}

fn shown(event: &StoredEvent) -> Option<cloudtrail::Event> {
    let record = parsed(event)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let resources = resources::of(&record)
        .into_iter()
        .map(|(kind, name)| cloudtrail::Resource { resource_type: Some(kind), resource_name: Some(name) });
    Some(cloudtrail::Event {
        event_id: text(&record["eventID"]),
        event_name: text(&record["eventName"]),
        read_only: record["readOnly"].as_bool().map(|is| is.to_string()),
        access_key_id: text(&record["userIdentity"]["accessKeyId"]),
        event_time: Some(aws_schema::Timestamp((event.timestamp.as_millis().div_euclid(1000)) as f64)),
        event_source: text(&record["eventSource"]),
        username: user_name(&record),
        resources: Some(resources.collect()),
        cloud_trail_event: Some(event.message.clone()),
    })
}
