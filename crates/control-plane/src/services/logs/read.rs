//! Events going out: GetLogEvents on one stream, FilterLogEvents on a group.

use aws_shapes_logs::{
    FilterLogEventsRequest, FilterLogEventsResponse, FilteredLogEvent, GetLogEventsRequest,
    GetLogEventsResponse, OutputLogEvent,
};
use telemetry_store::{Direction, LogQuery, Position, StoredEvent, StreamSelection};
use vocabulary::Timestamp;

use super::{
    groups::size,
    names::{self, bad_token, either, invalid, required},
    pattern::FilterPattern,
    records::Group,
    store_error,
};
use crate::gateway::{ApiError, Call};

/// Events in an answer when the request does not say.
const EVENTS: i32 = 10_000;
/// Bytes of messages in an answer.
const ANSWER_BYTES: usize = 1 << 20;
/// Events that one FilterLogEvents looks at before it hands out a token: about a second's work.
const LOOKED_AT: usize = 200_000;

pub async fn get(call: Call, input: GetLogEventsRequest) -> Result<GetLogEventsResponse, ApiError> {
    let (scope, logs) = (call.scope(), &call.services.logs);
    let name = either(scope, input.log_group_name, input.log_group_identifier)?;
    let stream = required(input.log_stream_name);
    let group = logs.state.read(|view| {
        let group = names::group(view, scope, &name)?;
        names::stream(view, scope, &group, &stream)?;
        Ok::<_, ApiError>(group)
    })?;
    let question = |side: &str| format!("get {side} {scope} {} {stream}", group.incarnation);
    let (direction, after) = match input.next_token.as_deref().map(|token| token.split_at_checked(2)) {
        None if input.start_from_head.unwrap_or(false) => (Direction::Forward, None),
        None => (Direction::Backward, None),
        Some(Some((side @ ("f/" | "b/"), sealed))) => {
            let position = logs.telemetry.open_cursor(sealed, &question(side)).map_err(|_| bad_token())?;
            (if side == "f/" { Direction::Forward } else { Direction::Backward }, Some(position))
        }
        Some(_) => return Err(bad_token()),
    };
    let page = logs
        .telemetry
        .query(
            LogQuery {
                group: group.events(scope),
                streams: StreamSelection::one(stream.as_str()),
                from: kept_from(&group, input.start_time, call.now()),
                until: input.end_time.map(Timestamp::from_millis),
                direction,
                after,
                limit: size(input.limit, EVENTS),
                scan_limit: usize::MAX,
                byte_limit: ANSWER_BYTES,
            },
            Box::new(|_| true),
        )
        .await
        .map_err(store_error)?;
    let mut events = page.events;
    if direction == Direction::Backward {
        events.reverse();
    }
    // Beyond the last event both tokens stay where they are: asking again gives the same tokens until more comes.
    let here = after.unwrap_or(Position { timestamp: Timestamp::from_millis(0), sequence: 0 });
    let seal = |side: &str, event: Option<&StoredEvent>| {
        let position = event.map_or(here, StoredEvent::position);
        Some(format!("{side}{}", logs.telemetry.seal_cursor(position, &question(side))))
    };
    Ok(GetLogEventsResponse {
        next_backward_token: seal("b/", events.first()),
        next_forward_token: seal("f/", events.last()),
        events: Some(events.into_iter().map(output).collect()),
    })
}

fn output(event: StoredEvent) -> OutputLogEvent {
    OutputLogEvent {
        ingestion_time: Some(event.ingestion.as_millis()),
        message: Some(event.message),
        timestamp: Some(event.timestamp.as_millis()),
    }
}

pub async fn filter(call: Call, input: FilterLogEventsRequest) -> Result<FilterLogEventsResponse, ApiError> {
    let (scope, logs) = (call.scope(), &call.services.logs);
    let name = either(scope, input.log_group_name, input.log_group_identifier)?;
    let pattern = FilterPattern::parse(input.filter_pattern.as_deref().unwrap_or_default())
        .map_err(|error| invalid(error.to_string()))?;
    let named = input.log_stream_names.filter(|names| !names.is_empty());
    if named.is_some() && input.log_stream_name_prefix.is_some() {
        return Err(invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters."));
    }
    let group = logs.state.read(|view| {
        let group = names::group(view, scope, &name)?;
        for stream in named.iter().flatten() {
            names::stream(view, scope, &group, stream)?;
        }
        Ok::<_, ApiError>(group)
    })?;
    let streams = match (named, input.log_stream_name_prefix) {
        (Some(named), _) => StreamSelection::Names(named.into_iter().map(Into::into).collect()),
        (None, Some(prefix)) => StreamSelection::Prefix(prefix.into()),
        (None, None) => StreamSelection::All,
    };
    let newest_first = input.start_from_head == Some(false);
    let question = format!("filter {scope} {} {newest_first}", group.incarnation);
    let after = input
        .next_token
        .map(|token| logs.telemetry.open_cursor(&token, &question))
        .transpose()
        .map_err(|_| bad_token())?;
    let query = LogQuery {
        group: group.events(scope),
        streams,
        from: kept_from(&group, input.start_time, call.now()),
        // The end is part of the range here, unlike in GetLogEvents.
        until: input.end_time.map(|end| Timestamp::from_millis(end.saturating_add(1))),
        direction: if newest_first { Direction::Backward } else { Direction::Forward },
        after,
        limit: size(input.limit, EVENTS),
        scan_limit: LOOKED_AT,
        byte_limit: ANSWER_BYTES,
    };
    let matches = move |event: &StoredEvent| pattern.matches(&event.message);
    let page = logs.telemetry.query(query, Box::new(matches)).await.map_err(store_error)?;
    Ok(FilterLogEventsResponse {
        events: Some(page.events.into_iter().map(filtered).collect()),
        next_token: page.next.map(|next| logs.telemetry.seal_cursor(next, &question)),
        // AWS has left this list empty since 2020.
        searched_log_streams: Some(Vec::new()),
    })
}

fn filtered(event: StoredEvent) -> FilteredLogEvent {
    FilteredLogEvent {
        event_id: Some(event.id().to_string()),
        ingestion_time: Some(event.ingestion.as_millis()),
        log_stream_name: Some(event.stream.to_string()),
        timestamp: Some(event.timestamp.as_millis()),
        message: Some(event.message),
    }
}

/// Where reading starts: expired events are not shown, also while they are still on disk.
fn kept_from(group: &Group, start: Option<i64>, now: Timestamp) -> Option<Timestamp> {
    start.map(Timestamp::from_millis).max(group.oldest_kept(now))
}
