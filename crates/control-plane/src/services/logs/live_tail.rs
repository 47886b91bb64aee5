//! StartLiveTail: what comes in now, once a second, over an event stream.
//!
//! A session ends after three hours, when the client goes, or when the store closes. An update holds at most 500
//! events; when more came in that second, the update says that it is a sample.

use std::{collections::VecDeque, time::Duration};

use aws_schema::{Shape, Value};
use aws_shapes_logs::{
    LiveTailSessionLogEvent, LiveTailSessionMetadata, LiveTailSessionStart, LiveTailSessionUpdate,
    StartLiveTailRequest, errors,
};
use futures_util::{FutureExt, Stream, stream};
use telemetry_store::{StreamSelection, Subscription, TailBatch, TailItem};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::{
    names::{self, group_name, invalid},
    pattern::FilterPattern,
};
use crate::gateway::{ApiError, Call};

const EVENTS_PER_UPDATE: usize = 500;

/// How often an update is sent, and how long a session lasts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub update_every: Duration,
    pub session: Duration,
}

const AWS_PACE: Pace =
    Pace { update_every: Duration::from_secs(1), session: Duration::from_secs(3 * 60 * 60) };

/// One event of the answer: its member's name and its value.
type Sent = Result<(&'static str, Value), ApiError>;

struct Session {
    tails: Vec<(String, Subscription)>,
    pattern: FilterPattern,
    waiting: VecDeque<LiveTailSessionLogEvent>,
    sampled: bool,
    ticks: tokio::time::Interval,
    ends: Instant,
    start: Option<LiveTailSessionStart>,
    ended: bool,
}

pub async fn start(
    call: Call,
    input: StartLiveTailRequest,
) -> Result<impl Stream<Item = Sent> + Send + use<>, ApiError> {
    open(&call, input, AWS_PACE)
}

/// Opens a session: everything acknowledged from now on is seen.
pub(super) fn open(
    call: &Call,
    input: StartLiveTailRequest,
    pace: Pace,
) -> Result<impl Stream<Item = Sent> + Send + use<>, ApiError> {
    let (scope, logs) = (call.scope(), &call.services.logs);
    let pattern = FilterPattern::parse(input.log_event_filter_pattern.as_deref().unwrap_or_default())
        .map_err(|error| invalid(error.to_string()))?;
    let identifiers = input.log_group_identifiers.clone().unwrap_or_default();
    let named = input.log_stream_names.clone().filter(|names| !names.is_empty());
    let prefixes = input.log_stream_name_prefixes.clone().filter(|prefixes| !prefixes.is_empty());
    if named.is_some() && prefixes.is_some() {
        return Err(invalid("Only one of logStreamNames or logStreamNamePrefixes can be provided."));
    }
    if identifiers.len() > 1 && (named.is_some() || prefixes.is_some()) {
        return Err(invalid(
            "logStreamNames and logStreamNamePrefixes can only be used with a single log group.",
        ));
    }
    let list = |names: Vec<String>| names.into_iter().map(Into::into).collect();
    let streams = match (named, prefixes) {
        (Some(named), _) => StreamSelection::Names(list(named)),
        (None, Some(prefixes)) => StreamSelection::Prefixes(list(prefixes)),
        (None, None) => StreamSelection::All,
    };
    let mut tails = Vec::with_capacity(identifiers.len());
    for identifier in &identifiers {
        let name = group_name(scope, identifier)?;
        let group = logs.state.read(|view| names::group(view, scope, &name))?;
        let tail = logs.telemetry.subscribe(group.events(scope), streams.clone()).map_err(|error| {
            ApiError::new(&errors::LIMIT_EXCEEDED_EXCEPTION, "Too many live tail sessions are open.")
                .caused_by(error)
        })?;
        // Events name their group as account and name.
        tails.push((format!("{}:{name}", scope.account), tail));
    }
    let now = Instant::now();
    let mut ticks = interval_at(now + pace.update_every, pace.update_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = LiveTailSessionStart {
        log_event_filter_pattern: input.log_event_filter_pattern,
        log_group_identifiers: input.log_group_identifiers,
        log_stream_name_prefixes: Some(input.log_stream_name_prefixes.unwrap_or_default()),
        log_stream_names: Some(input.log_stream_names.unwrap_or_default()),
        request_id: Some(call.request_id.clone()),
        session_id: Some(call.request_id.clone()),
    };
    let session = Session {
        tails,
        pattern,
        waiting: VecDeque::new(),
        sampled: false,
        ticks,
        ends: now + pace.session,
        start: Some(start),
        ended: false,
    };
    Ok(stream::unfold(session, |mut session| async move {
        let sent = session.next().await?;
        Some((sent, session))
    }))
}

impl Session {
    async fn next(&mut self) -> Option<Sent> {
        if let Some(start) = self.start.take() {
            return Some(Ok(("sessionStart", start.into_value())));
        }
        if self.ended {
            return None;
        }
        tokio::select! {
            biased;
            () = sleep_until(self.ends) => {
                self.ended = true;
                let timeout = ApiError::new(&errors::SESSION_TIMEOUT_EXCEPTION, "The live tail session has reached its limit of three hours.");
                Some(Err(timeout))
            }
            _ = self.ticks.tick() => {
                if !self.drain() {
                    self.ended = true;
                    if self.waiting.is_empty() {
                        return None;
                    }
                }
                Some(Ok(("sessionUpdate", self.update().into_value())))
            }
        }
    }

    /// Takes what has come in since the last update; false when the store is closed. The subscriptions' queues are
    /// bounded and say what they lost, so nothing has to be read between updates.
    fn drain(&mut self) -> bool {
        let Session { tails, pattern, waiting, sampled, .. } = self;
        let mut open = true;
        for (group, tail) in tails {
            loop {
                match tail.next().now_or_never() {
                    None => break,
                    Some(None) => {
                        open = false;
                        break;
                    }
                    Some(Some(TailItem::Lagged(_))) => *sampled = true,
                    Some(Some(TailItem::Batch(batch))) => *sampled |= !take(waiting, pattern, group, &batch),
                }
            }
        }
        open
    }

    fn update(&mut self) -> LiveTailSessionUpdate {
        LiveTailSessionUpdate {
            session_metadata: Some(LiveTailSessionMetadata {
                sampled: Some(std::mem::take(&mut self.sampled)),
            }),
            session_results: Some(self.waiting.drain(..).collect()),
        }
    }
}

/// Adds the matching events of a batch as far as there is room; false when some did not fit.
fn take(
    waiting: &mut VecDeque<LiveTailSessionLogEvent>,
    pattern: &FilterPattern,
    group: &str,
    batch: &TailBatch,
) -> bool {
    for event in batch.events.iter().filter(|event| pattern.matches(&event.message)) {
        if waiting.len() == EVENTS_PER_UPDATE {
            return false;
        }
        waiting.push_back(LiveTailSessionLogEvent {
            ingestion_time: Some(event.ingestion.as_millis()),
            log_group_identifier: Some(group.to_owned()),
            log_stream_name: Some(batch.key.stream.to_string()),
            message: Some(event.message.clone()),
            timestamp: Some(event.timestamp.as_millis()),
        });
    }
    true
}
