//! Log streams: made, listed, deleted.

use std::{collections::BTreeMap, sync::Arc};

use aws_schema::Unit;
use aws_shapes_logs::{
    CreateLogStreamRequest, DeleteLogStreamRequest, DescribeLogStreamsRequest, DescribeLogStreamsResponse,
    LogStream, OrderBy, errors,
};
use state_store::StateError;
use telemetry_store::{StreamSelection, StreamSummary};
use vocabulary::{Scope, Timestamp};

use super::{
    Logs,
    groups::size,
    names::{self, bad_token, either, invalid, no_group, no_stream, required},
    records::{Group, Stream, stream_id},
    store_error,
};
use crate::gateway::{ApiError, Call};

/// Streams on a page.
const PAGE: i32 = 50;

pub async fn create(call: Call, input: CreateLogStreamRequest) -> Result<Unit, ApiError> {
    let (group, stream) = (required(input.log_group_name), required(input.log_stream_name));
    let (scope, now) = (call.scope(), call.now());
    call.services
        .logs
        .state
        .transact(|tx| {
            let group = tx.get::<Group>(scope, &group).ok_or_else(no_group)?;
            let id = stream_id(&group.name, &stream);
            let existing = tx.get::<Stream>(scope, &id);
            if existing.is_some_and(|existing| existing.incarnation == group.incarnation) {
                return Err(ApiError::new(
                    &errors::RESOURCE_ALREADY_EXISTS_EXCEPTION,
                    "The specified log stream already exists",
                ));
            }
            tx.put(
                scope,
                &id,
                Stream { name: stream.clone(), incarnation: group.incarnation.clone(), created: now },
            );
            Ok(Unit)
        })
        .await
}

/// Makes the stream if it is not there.
pub(super) async fn ensure(
    logs: &Logs,
    scope: &Scope,
    group: &Group,
    name: &str,
    now: Timestamp,
) -> Result<(), StateError> {
    let known = logs.state.read(|view| names::stream(view, scope, group, name).is_ok());
    if known {
        return Ok(());
    }
    logs.state
        .transact(|tx| {
            let id = stream_id(&group.name, name);
            let existing = tx.get::<Stream>(scope, &id);
            if existing.is_none_or(|existing| existing.incarnation != group.incarnation) {
                let incarnation = group.incarnation.clone();
                tx.put(scope, &id, Stream { name: name.to_owned(), incarnation, created: now });
            }
            Ok(())
        })
        .await
}

pub async fn delete(call: Call, input: DeleteLogStreamRequest) -> Result<Unit, ApiError> {
    let (group, stream) = (required(input.log_group_name), required(input.log_stream_name));
    let (scope, logs) = (call.scope(), &call.services.logs);
    let group: Arc<Group> = logs
        .state
        .transact(|tx| {
            let group = tx.get::<Group>(scope, &group).ok_or_else(no_group)?;
            let id = stream_id(&group.name, &stream);
            let existing = tx.get::<Stream>(scope, &id);
            if existing.is_none_or(|existing| existing.incarnation != group.incarnation) {
                return Err(no_stream());
            }
            tx.delete::<Stream>(scope, &id);
            Ok(group)
        })
        .await?;
    logs.telemetry.delete_stream(group.events(scope).stream(stream)).await.map_err(store_error)?;
    Ok(Unit)
}

pub async fn describe(
    call: Call,
    input: DescribeLogStreamsRequest,
) -> Result<DescribeLogStreamsResponse, ApiError> {
    let (scope, logs) = (call.scope(), &call.services.logs);
    let name = either(scope, input.log_group_name, input.log_group_identifier)?;
    let by_time = input.order_by == Some(OrderBy::LastEventTime);
    if by_time && input.log_stream_name_prefix.is_some() {
        return Err(invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
    }
    let prefix = input.log_stream_name_prefix.unwrap_or_default();
    let (group, streams) = logs.state.read(|view| {
        let group = names::group(view, scope, &name)?;
        let streams = names::streams(view, scope, &group, &prefix);
        Ok::<_, ApiError>((group, streams))
    })?;
    let selection =
        if prefix.is_empty() { StreamSelection::All } else { StreamSelection::Prefix(prefix.into()) };
    let summaries = logs.telemetry.summaries(group.events(scope), selection).await.map_err(store_error)?;

    // The order is by a key that a token can carry, so that pages neither repeat nor leave out a stream.
    let descending = input.descending.unwrap_or(false);
    let mut keyed: Vec<(String, Arc<Stream>)> =
        streams.into_iter().map(|stream| (order_key(&stream, &summaries, by_time), stream)).collect();
    keyed
        .sort_unstable_by(|(left, _), (right, _)| if descending { right.cmp(left) } else { left.cmp(right) });
    let list = format!("logs streams {scope} {} {by_time} {descending}", group.incarnation);
    let after =
        input.next_token.map(|token| logs.tokens.open(&list, &token)).transpose().map_err(|_| bad_token())?;
    let start = after.map_or(0, |after| {
        keyed.partition_point(|(key, _)| if descending { *key >= after } else { *key <= after })
    });
    let end = keyed.len().min(start + size(input.limit, PAGE));
    let next_token = (end < keyed.len()).then(|| logs.tokens.seal(&list, &keyed[end - 1].0));
    let arn = group.arn(scope);
    let shown = keyed[start..end]
        .iter()
        .map(|(_, stream)| shape(&arn, stream, summaries.get(stream.name.as_str())))
        .collect();
    Ok(DescribeLogStreamsResponse { log_streams: Some(shown), next_token })
}

fn order_key(stream: &Stream, summaries: &BTreeMap<Arc<str>, StreamSummary>, by_time: bool) -> String {
    if !by_time {
        return stream.name.clone();
    }
    let last = summaries.get(stream.name.as_str()).map_or(0, |summary| summary.last_event.as_millis());
    format!("{last:020}:{}", stream.name)
}

fn shape(group_arn: &str, stream: &Stream, summary: Option<&StreamSummary>) -> LogStream {
    LogStream {
        arn: Some(format!("{group_arn}:log-stream:{}", stream.name)),
        creation_time: Some(stream.created.as_millis()),
        first_event_timestamp: summary.map(|summary| summary.first_event.as_millis()),
        last_event_timestamp: summary.map(|summary| summary.last_event.as_millis()),
        last_ingestion_time: summary.map(|summary| summary.last_ingestion.as_millis()),
        log_stream_name: Some(stream.name.clone()),
        // AWS reports zero for every stream since 2019.
        stored_bytes: Some(0),
        upload_sequence_token: summary.map(super::ingest::sequence_token),
    }
}
