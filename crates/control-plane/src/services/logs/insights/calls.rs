//! The operations: StartQuery, GetQueryResults, StopQuery, DescribeQueries, GetLogRecord, GetLogGroupFields.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_schema::Shape;
use aws_shapes_logs::{
    DescribeQueriesRequest, DescribeQueriesResponse, GetLogGroupFieldsRequest, GetLogGroupFieldsResponse,
    GetLogRecordRequest, GetLogRecordResponse, GetQueryResultsRequest, GetQueryResultsResponse,
    LogGroupField, MalformedQueryException, QueryCompileError, QueryCompileErrorLocation, QueryInfo,
    QueryLanguage, QueryStatistics, QueryStatus, ResultField, StartQueryRequest, StartQueryResponse,
    StopQueryRequest, StopQueryResponse, errors,
};
use serde::{Deserialize, Serialize};
use state_store::Record;
use telemetry_store::{Direction, EventId, LogGroupKey, LogQuery, StoredEvent, StreamSelection};
use vocabulary::{Scope, Timestamp};

use super::{
    engine::Engine,
    event::EventFields,
    language::{Malformed, Query},
    running::{Outcome, Progress, Source},
};
use crate::{
    gateway::{ApiError, Call},
    services::logs::{
        Logs,
        groups::size,
        names::{self, bad_token, either, group_name, invalid, required},
        store_error,
    },
};

/// How long an answer waits for a query that is nearly done, so that short queries need no polling.
const PATIENCE: Duration = Duration::from_millis(300);
/// A query can be asked about for seven days.
const KEPT_DAYS: i64 = 7;
const MOST_GROUPS: usize = 50;
const PAGE: i32 = 1000;
/// GetLogGroupFields looks at this many events, of this long.
const SAMPLE: usize = 1000;
const SAMPLE_MINUTES: i64 = 15;

/// A query that was started. Id: its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryRecord {
    pub text: String,
    /// Names of groups.
    pub groups: Vec<String>,
    /// Milliseconds, the end included.
    pub from: Timestamp,
    pub until: Timestamp,
    pub limit: Option<usize>,
    pub created: Timestamp,
    pub principal: String,
    #[serde(default)]
    pub stopped: bool,
}

impl Record for QueryRecord {
    const SERVICE: &'static str = "logs";
    const KIND: &'static str = "query";
    const SCHEMA_VERSION: u32 = 1;
}

pub async fn start(call: Call, input: StartQueryRequest) -> Result<StartQueryResponse, ApiError> {
    if input.query_language.is_some_and(|language| language != QueryLanguage::Cwli) {
        return Err(ApiError::undeclared(
            "NotImplemented",
            501,
            "Longshore runs queries in the Logs Insights language only.",
        ));
    }
    let scope = call.scope();
    let groups = match (input.log_group_name, input.log_group_names, input.log_group_identifiers) {
        (Some(name), None, None) => vec![name],
        (None, Some(names), None) => names,
        (None, None, Some(identifiers)) => {
            identifiers.iter().map(|identifier| group_name(scope, identifier)).collect::<Result<_, _>>()?
        }
        _ => {
            return Err(invalid(
                "Exactly one of logGroupName, logGroupNames and logGroupIdentifiers must be given.",
            ));
        }
    };
    if groups.is_empty() || groups.len() > MOST_GROUPS {
        return Err(invalid(format!("A query reads 1 to {MOST_GROUPS} log groups.")));
    }
    let (from, until) = (milliseconds(input.start_time), milliseconds(input.end_time));
    if until < from {
        return Err(invalid("The end of the query's time range lies before its start."));
    }
    let record = QueryRecord {
        text: required(input.query_string),
        groups,
        from,
        // The second that is named is part of the range.
        until: until + Duration::from_secs(1),
        limit: input.limit.and_then(|limit| usize::try_from(limit).ok()),
        created: call.now(),
        principal: call.principal.arn.clone(),
        stopped: false,
    };
    let (logs, id) = (&call.services.logs, call.request_id.clone());
    run(logs, scope, &id, &record, call.now())?;
    let put = |tx: &mut state_store::Tx| {
        tx.put(scope, &id, record.clone());
        Ok::<_, ApiError>(())
    };
    if let Err(error) = logs.state.transact(put).await {
        logs.queries.stop(&id);
        return Err(error);
    }
    let _ = logs.queries.progress(&id, PATIENCE).await;
    Ok(StartQueryResponse { query_id: Some(id) })
}

/// Seconds, or milliseconds as some clients send them.
fn milliseconds(time: Option<i64>) -> Timestamp {
    let time = time.unwrap_or_default();
    Timestamp::from_millis(if time > 100_000_000_000 { time } else { time.saturating_mul(1000) })
}

/// Starts a query, or starts it again when its result is no longer at hand.
fn run(logs: &Logs, scope: &Scope, id: &str, record: &QueryRecord, now: Timestamp) -> Result<(), ApiError> {
    let sources = logs.state.read(|view| {
        let source = |name: &String| {
            let group = names::group(view, scope, name)?;
            let kept = group.oldest_kept(now).map_or(record.from, |oldest| oldest.max(record.from));
            let log = format!("{}:{name}", scope.account);
            Ok(Source { events: group.events(scope), log, from: kept, until: record.until })
        };
        record.groups.iter().map(source).collect::<Result<Vec<_>, ApiError>>()
    })?;
    let query = Query::parse(&record.text).map_err(malformed)?;
    let engine = Engine::new(query, record.limit).map_err(malformed)?;
    let tokens = logs.tokens.clone();
    let pointer = move |source: &Source, event: &StoredEvent| {
        let key = format!("{}\n{}\n{}", source.events.group, event.stream, event.id());
        tokens.seal("logs record", &key)
    };
    logs.queries.start(id, &logs.telemetry, sources, engine, pointer).map_err(|_| {
        ApiError::new(
            &errors::LIMIT_EXCEEDED_EXCEPTION,
            "Too many queries are running. Wait for one to end, or stop one.",
        )
    })
}

fn malformed(error: Malformed) -> ApiError {
    let offset = |offset: usize| i32::try_from(offset).ok();
    let detail = MalformedQueryException {
        query_compile_error: Some(QueryCompileError {
            location: Some(QueryCompileErrorLocation {
                start_char_offset: offset(error.start),
                end_char_offset: offset(error.end),
            }),
            message: Some(error.message.clone()),
        }),
    };
    ApiError::new(&errors::MALFORMED_QUERY_EXCEPTION, error.message).with_fields(detail.into_value())
}

fn no_query() -> ApiError {
    ApiError::new(&errors::RESOURCE_NOT_FOUND_EXCEPTION, "The specified query does not exist.")
}

pub async fn results(call: Call, input: GetQueryResultsRequest) -> Result<GetQueryResultsResponse, ApiError> {
    let (scope, logs, id) = (call.scope(), &call.services.logs, required(input.query_id));
    let record = logs.state.read(|view| view.get::<QueryRecord>(scope, &id)).ok_or_else(no_query)?;
    let progress = match logs.queries.progress(&id, PATIENCE).await {
        Some(progress) => progress,
        None if record.stopped => Progress::Cancelled,
        None => {
            run(logs, scope, &id, &record, call.now())?;
            logs.queries.progress(&id, PATIENCE).await.unwrap_or(Progress::Running)
        }
    };
    let mut answer = GetQueryResultsResponse {
        query_language: Some(QueryLanguage::Cwli),
        results: Some(Vec::new()),
        statistics: Some(QueryStatistics::default()),
        status: Some(status(&progress)),
        ..Default::default()
    };
    match progress {
        Progress::Complete(outcome) => {
            let list = format!("logs query {scope} {id}");
            let token = input.next_token.as_deref().map(|token| logs.tokens.open(&list, token));
            let start =
                token.transpose().map_err(|_| bad_token())?.and_then(|at| at.parse().ok()).unwrap_or(0);
            let count =
                input.max_items.map_or(usize::MAX, |items| usize::try_from(items).unwrap_or(1).max(1));
            let end = outcome.rows.len().min(usize::saturating_add(start, count));
            answer.next_token = (end < outcome.rows.len()).then(|| logs.tokens.seal(&list, &end.to_string()));
            answer.results = Some(shown(&outcome, start..end));
            answer.statistics = Some(statistics(&outcome, record.groups.len()));
        }
        Progress::Failed(reason) => tracing::info!(query = id, reason, "a logs query failed"),
        Progress::Running | Progress::Cancelled => {}
    }
    Ok(answer)
}

fn shown(outcome: &Outcome, range: std::ops::Range<usize>) -> Vec<Vec<ResultField>> {
    let field = |name: &str, value: String| ResultField { field: Some(name.to_owned()), value: Some(value) };
    let rows = outcome.rows.get(range).unwrap_or_default().iter();
    rows.map(|row| {
        let present = row.values.iter().filter(|(_, value)| !value.is_missing());
        let values = present.map(|(name, value)| field(name, value.to_string()));
        values.chain(row.pointer.iter().map(|pointer| field("@ptr", pointer.clone()))).collect()
    })
    .collect()
}

fn statistics(outcome: &Outcome, groups: usize) -> QueryStatistics {
    QueryStatistics {
        bytes_scanned: Some(outcome.bytes as f64),
        estimated_bytes_skipped: Some(0.0),
        estimated_records_skipped: Some(0.0),
        log_groups_scanned: Some(groups as f64),
        records_matched: Some(outcome.matched as f64),
        records_scanned: Some(outcome.scanned as f64),
        result_count: Some(outcome.rows.len() as f64),
    }
}

fn status(progress: &Progress) -> QueryStatus {
    match progress {
        Progress::Running => QueryStatus::Running,
        Progress::Complete(_) => QueryStatus::Complete,
        Progress::Failed(_) => QueryStatus::Failed,
        Progress::Cancelled => QueryStatus::Cancelled,
    }
}

pub async fn stop(call: Call, input: StopQueryRequest) -> Result<StopQueryResponse, ApiError> {
    let (scope, logs, id) = (call.scope(), &call.services.logs, required(input.query_id));
    logs.state.read(|view| view.get::<QueryRecord>(scope, &id)).ok_or_else(no_query)?;
    if !logs.queries.stop(&id) {
        return Err(invalid("The query has ended already."));
    }
    logs.state
        .transact(|tx| {
            let mut record = (*tx.get::<QueryRecord>(scope, &id).ok_or_else(no_query)?).clone();
            record.stopped = true;
            tx.put(scope, &id, record);
            Ok::<_, ApiError>(())
        })
        .await?;
    Ok(StopQueryResponse { success: Some(true) })
}

pub async fn describe(
    call: Call,
    input: DescribeQueriesRequest,
) -> Result<DescribeQueriesResponse, ApiError> {
    let (scope, logs) = (call.scope(), &call.services.logs);
    let of_group =
        |record: &QueryRecord| input.log_group_name.as_ref().is_none_or(|name| record.groups.contains(name));
    let mut found: Vec<(String, Arc<QueryRecord>)> = logs.state.read(|view| {
        let all = view.scan::<QueryRecord>(scope).filter(|(_, record)| of_group(record));
        all.map(|(id, record)| (id.to_owned(), record)).collect()
    });
    // Newest first; the key of a page token puts it that way too.
    let key = |id: &str, record: &QueryRecord| format!("{:020}{id}", i64::MAX - record.created.as_millis());
    found.sort_by_key(|(id, record)| key(id, record));
    let mut infos = Vec::with_capacity(found.len());
    for (id, record) in found {
        let progress = match logs.queries.progress(&id, Duration::ZERO).await {
            Some(progress) => status(&progress),
            None if record.stopped => QueryStatus::Cancelled,
            // It ran in an earlier life of the process; its result is computed again when it is asked for.
            None => QueryStatus::Complete,
        };
        if input.status.is_none_or(|wanted| wanted == progress) {
            infos.push((key(&id, &record), info(id, &record, progress)));
        }
    }
    let token = input.next_token.as_deref();
    let limit = size(input.max_results, PAGE);
    let page = logs
        .tokens
        .page("logs queries", infos, |(key, _)| key.clone(), token, limit)
        .map_err(|_| bad_token())?;
    Ok(DescribeQueriesResponse {
        next_token: page.next_token,
        queries: Some(page.items.into_iter().map(|(_, info)| info).collect()),
    })
}

fn info(id: String, record: &QueryRecord, status: QueryStatus) -> QueryInfo {
    QueryInfo {
        create_time: Some(record.created.as_millis()),
        log_group_name: record.groups.first().cloned(),
        query_id: Some(id),
        query_language: Some(QueryLanguage::Cwli),
        query_string: Some(record.text.clone()),
        status: Some(status),
        user_identity: Some(record.principal.clone()),
        ..Default::default()
    }
}

/// The event that an `@ptr` leads to.
pub async fn record(call: Call, input: GetLogRecordRequest) -> Result<GetLogRecordResponse, ApiError> {
    let (scope, logs) = (call.scope(), &call.services.logs);
    let bad = || invalid("The specified log record pointer is invalid.");
    let key = logs.tokens.open("logs record", &required(input.log_record_pointer)).map_err(|_| bad())?;
    let mut parts = key.splitn(3, '\n');
    let (Some(group), Some(stream), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(bad());
    };
    let EventId(position) = id.parse().map_err(|_| bad())?;
    let query = LogQuery {
        streams: StreamSelection::one(stream),
        from: Some(position.timestamp),
        until: Some(position.timestamp + Duration::from_millis(1)),
        ..LogQuery::all(LogGroupKey::new(scope.clone(), group), 1)
    };
    let is_it = move |event: &StoredEvent| event.sequence == position.sequence;
    let page = logs.telemetry.query(query, Box::new(is_it)).await.map_err(store_error)?;
    let gone = || ApiError::new(&errors::RESOURCE_NOT_FOUND_EXCEPTION, "The log record is no longer there.");
    let event = page.events.first().ok_or_else(gone)?;
    let name = group.rsplit_once(':').map_or(group, |(name, _)| name);
    let log = format!("{}:{name}", scope.account);
    Ok(GetLogRecordResponse { log_record: Some(EventFields::new(&log, event).all()) })
}

/// Which fields the latest events of a group have, and in what share of them.
pub async fn fields_of_group(
    call: Call,
    input: GetLogGroupFieldsRequest,
) -> Result<GetLogGroupFieldsResponse, ApiError> {
    let (scope, logs) = (call.scope(), &call.services.logs);
    let name = either(scope, input.log_group_name, input.log_group_identifier)?;
    let group = logs.state.read(|view| names::group(view, scope, &name))?;
    // Eight minutes on either side of the time that is named, or the latest fifteen.
    let middle = input.time.map(|time| milliseconds(Some(time)).as_millis());
    let (from, until) = match middle {
        Some(middle) => (middle - 480_000, middle + 480_000),
        None => (call.now().as_millis() - SAMPLE_MINUTES * 60_000, i64::MAX),
    };
    let query = LogQuery {
        from: Some(Timestamp::from_millis(from)),
        until: Some(Timestamp::from_millis(until)),
        direction: Direction::Backward,
        byte_limit: 4 << 20,
        ..LogQuery::all(group.events(scope), SAMPLE)
    };
    let events = logs.telemetry.query(query, Box::new(|_| true)).await.map_err(store_error)?.events;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for event in &events {
        for (field, _) in EventFields::new(&name, event).all() {
            *counts.entry(field).or_default() += 1;
        }
    }
    let share = |count: usize| i32::try_from(count * 100 / events.len().max(1)).ok();
    let mut fields: Vec<LogGroupField> = counts
        .into_iter()
        .map(|(name, count)| LogGroupField { name: Some(name), percent: share(count) })
        .collect();
    fields.sort_by_key(|field| std::cmp::Reverse(field.percent));
    Ok(GetLogGroupFieldsResponse { log_group_fields: Some(fields) })
}

/// Forgets queries that nobody can ask about any more, a bounded number at a time.
pub async fn forget(logs: &Logs, now: Timestamp) -> Result<(), ApiError> {
    let limit = now.as_millis() - KEPT_DAYS * 86_400_000;
    let old: Vec<(Scope, String)> = logs.state.read(|view| {
        let found = view.scan_all::<QueryRecord>().filter(|found| found.value.created.as_millis() < limit);
        found.map(|found| (found.scope, found.id)).take(100).collect()
    });
    logs.state
        .transact(|tx| {
            for (scope, id) in &old {
                tx.delete::<QueryRecord>(scope, id);
            }
            Ok(())
        })
        .await
}
