//! Events coming in: PutLogEvents with AWS's rules, and the sink that the node agent writes to.
//!
//! Which events of a batch are taken is decided by [`accept`], a pure function of the batch and the time.

use std::sync::Arc;

use aws_shapes_logs::{InputLogEvent, PutLogEventsRequest, PutLogEventsResponse, RejectedLogEventsInfo};
use telemetry_store::{LogEvent, StreamSummary};
use vocabulary::{Scope, Timestamp};

use super::{
    Logs, groups,
    names::{self, invalid, required},
    records::Group,
    store_error, streams,
};
use crate::gateway::{ApiError, Call};

/// Bytes of a batch: its messages in UTF-8 and 26 for each event.
const BATCH_BYTES: usize = 1_048_576;
const EVENT_OVERHEAD: usize = 26;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A batch after the rules: what is taken, and what AWS reports about the rest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub events: Vec<LogEvent>,
    /// Events before this index are older than 14 days.
    pub too_old_end: Option<usize>,
    /// Events before this index are older than the group's retention.
    pub expired_end: Option<usize>,
    /// Events from this index on lie more than two hours ahead.
    pub too_new_start: Option<usize>,
}

/// Why a batch is refused as a whole.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("Upload too large: {0} bytes exceeds limit of {BATCH_BYTES}")]
    TooLarge(usize),
    #[error("Log events in a single PutLogEvents request must be in chronological order.")]
    Order,
    #[error("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")]
    Span,
}

/// Applies the rules of PutLogEvents. `oldest_kept`: events before it are expired in this group.
pub(super) fn accept(
    events: Vec<InputLogEvent>,
    oldest_kept: Option<Timestamp>,
    now: Timestamp,
) -> Result<Accepted, Refused> {
    let size = |event: &InputLogEvent| event.message.as_ref().map_or(0, String::len) + EVENT_OVERHEAD;
    let bytes = events.iter().map(size).sum();
    if bytes > BATCH_BYTES {
        return Err(Refused::TooLarge(bytes));
    }
    let time = |event: &InputLogEvent| event.timestamp.unwrap_or_default();
    if !events.is_sorted_by_key(time) {
        return Err(Refused::Order);
    }
    if let (Some(first), Some(last)) = (events.first(), events.last())
        && time(last).saturating_sub(time(first)) > DAY
    {
        return Err(Refused::Span);
    }
    let now_millis = now.as_millis();
    let before = |limit: i64| events.partition_point(|event| time(event) < limit);
    let too_old = before(now_millis - 14 * DAY);
    let expired = oldest_kept.map_or(0, |oldest| before(oldest.as_millis()));
    let too_new = before((now_millis + 2 * HOUR).saturating_add(1));
    let total = events.len();
    let taken = too_old.max(expired)..too_new;
    let events =
        events.into_iter().enumerate().filter(|(index, _)| taken.contains(index)).map(|(_, event)| {
            LogEvent {
                timestamp: Timestamp::from_millis(time(&event)),
                ingestion: now,
                message: event.message.unwrap_or_default(),
            }
        });
    Ok(Accepted {
        events: events.collect(),
        too_old_end: (too_old > 0).then_some(too_old),
        // What is too old for every group is reported as that alone.
        expired_end: (expired > too_old).then_some(expired),
        too_new_start: (too_new < total).then_some(too_new),
    })
}

impl Accepted {
    fn rejected(&self) -> Option<RejectedLogEventsInfo> {
        let index = |index: Option<usize>| index.and_then(|index| i32::try_from(index).ok());
        let info = RejectedLogEventsInfo {
            expired_log_event_end_index: index(self.expired_end),
            too_new_log_event_start_index: index(self.too_new_start),
            too_old_log_event_end_index: index(self.too_old_end),
        };
        (info != RejectedLogEventsInfo::default()).then_some(info)
    }
}

pub async fn put(call: Call, input: PutLogEventsRequest) -> Result<PutLogEventsResponse, ApiError> {
    let (scope, logs) = (call.scope(), &call.services.logs);
    let (group, stream) = (required(input.log_group_name), required(input.log_stream_name));
    let group = logs.state.read(|view| {
        let group = names::group(view, scope, &group)?;
        names::stream(view, scope, &group, &stream)?;
        Ok::<_, ApiError>(group)
    })?;
    let accepted = accept(input.log_events.unwrap_or_default(), group.oldest_kept(call.now()), call.now())
        .map_err(|refused| invalid(refused.to_string()))?;
    let rejected_log_events_info = accepted.rejected();
    let ack = logs
        .telemetry
        .append_logs(group.events(scope).stream(stream), accepted.events)
        .await
        .map_err(store_error)?;
    Ok(PutLogEventsResponse {
        // No longer asked for, still given: 56 digits.
        next_sequence_token: Some(format!("{:056}", u128::from(ack.first_sequence) + ack.events as u128)),
        rejected_entity_info: None,
        rejected_log_events_info,
    })
}

/// The token that DescribeLogStreams shows for a stream with events.
pub(super) fn sequence_token(summary: &StreamSummary) -> String {
    format!("{:056}", summary.events)
}

/// Why the agent's output could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The text is AWS's, for the task's `ResourceInitializationError`.
    #[error("ResourceNotFoundException: The specified log group does not exist.")]
    NoSuchGroup,
    #[error(transparent)]
    State(#[from] state_store::StateError),
    #[error(transparent)]
    Events(#[from] telemetry_store::StoreError),
}

/// Where the node agent of this process delivers what containers write. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LogSink(Logs);

impl LogSink {
    pub fn new(logs: Logs) -> LogSink {
        LogSink(logs)
    }

    /// Makes sure that group and stream are there before the first output: the stream is made when it is missing, the
    /// group only when `create_group` says so (`awslogs-create-group`). `incarnation`: a fresh id for a group made here.
    ///
    /// # Errors
    /// [`SinkError::NoSuchGroup`]; whatever the store says.
    pub async fn prepare(
        &self,
        scope: &Scope,
        group: &str,
        stream: &str,
        create_group: bool,
        incarnation: &str,
        now: Timestamp,
    ) -> Result<(), SinkError> {
        let logs = &self.0;
        let known = logs.state.read(|view| view.get::<Group>(scope, group));
        let group = match known {
            Some(group) => group,
            None if create_group => {
                let fresh = Group {
                    name: group.to_owned(),
                    incarnation: incarnation.to_owned(),
                    created: now,
                    class: "STANDARD".to_owned(),
                    retention_days: None,
                    deletion_protection: false,
                    tags: Default::default(),
                };
                groups::ensure(logs, scope, Arc::new(fresh)).await?
            }
            None => return Err(SinkError::NoSuchGroup),
        };
        streams::ensure(logs, scope, &group, stream, now).await?;
        Ok(())
    }

    /// Appends a batch in order; durable when this returns. A stream that was deleted meanwhile is made again.
    ///
    /// # Errors
    /// [`SinkError::NoSuchGroup`] when the group is gone; whatever the stores say: the batch may be sent again.
    pub async fn write(
        &self,
        scope: &Scope,
        group: &str,
        stream: &str,
        events: Vec<LogEvent>,
        now: Timestamp,
    ) -> Result<(), SinkError> {
        let logs = &self.0;
        let group = logs.state.read(|view| view.get::<Group>(scope, group)).ok_or(SinkError::NoSuchGroup)?;
        streams::ensure(logs, scope, &group, stream, now).await?;
        logs.telemetry.append_logs(group.events(scope).stream(stream), events).await?;
        Ok(())
    }
}
