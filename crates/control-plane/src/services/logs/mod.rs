//! CloudWatch Logs: groups, streams, events, live tail, retention.
//!
//! Groups and streams are records of the state store; events go to the telemetry store. The record always comes first
//! and goes first, so that events without a record are what a deletion left over, see [`retention`].
//!
//! Not here: encryption with KMS keys, metric and subscription filters (nothing would act on them yet), data protection.
//! Their operations are not registered and answer 501.

mod filters;
mod groups;
mod ingest;
mod insights;
mod live_tail;
mod names;
pub mod pattern;
mod policies;
mod read;
pub mod records;
pub mod retention;
mod streams;
mod tags;

use aws_shapes_logs as api;
use state_store::{State, Tables};
use telemetry_store::TelemetryStore;

pub use self::{
    ingest::{LogSink, SinkError},
    insights::{Queries, QueryRecord},
    records::{Group, ResourcePolicy, Stream},
};
use super::paging::PageTokens;
use crate::gateway::{ApiError, Operations};

/// What the service works on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Logs {
    pub state: State,
    pub telemetry: TelemetryStore,
    pub tokens: PageTokens,
    pub queries: Queries,
}

impl Logs {
    pub fn new(state: State, telemetry: TelemetryStore, tokens: PageTokens) -> Logs {
        Logs { state, telemetry, tokens, queries: Queries::default() }
    }
}

/// Declares the service's records.
pub fn tables(tables: Tables) -> Tables {
    tables.with::<Group>().with::<Stream>().with::<ResourcePolicy>().with::<QueryRecord>()
}

/// Registers the service's operations.
pub fn register(operations: &mut Operations) {
    operations
        .service(api::SERVICE)
        .on::<api::CreateLogGroup, _, _>(groups::create)
        .on::<api::DeleteLogGroup, _, _>(groups::delete)
        .on::<api::DescribeLogGroups, _, _>(groups::describe)
        .on::<api::ListLogGroups, _, _>(groups::list)
        .on::<api::PutRetentionPolicy, _, _>(groups::put_retention)
        .on::<api::DeleteRetentionPolicy, _, _>(groups::delete_retention)
        .on::<api::PutLogGroupDeletionProtection, _, _>(groups::put_deletion_protection)
        .on::<api::CreateLogStream, _, _>(streams::create)
        .on::<api::DeleteLogStream, _, _>(streams::delete)
        .on::<api::DescribeLogStreams, _, _>(streams::describe)
        .on::<api::PutLogEvents, _, _>(ingest::put)
        .on::<api::GetLogEvents, _, _>(read::get)
        .on::<api::FilterLogEvents, _, _>(read::filter)
        .on_events::<api::StartLiveTail, _, _, _>(live_tail::start)
        .on::<api::TagLogGroup, _, _>(tags::tag_group)
        .on::<api::UntagLogGroup, _, _>(tags::untag_group)
        .on::<api::ListTagsLogGroup, _, _>(tags::list_of_group)
        .on::<api::TagResource, _, _>(tags::tag)
        .on::<api::UntagResource, _, _>(tags::untag)
        .on::<api::ListTagsForResource, _, _>(tags::list)
        .on::<api::StartQuery, _, _>(insights::start)
        .on::<api::GetQueryResults, _, _>(insights::results)
        .on::<api::StopQuery, _, _>(insights::stop)
        .on::<api::DescribeQueries, _, _>(insights::describe)
        .on::<api::GetLogRecord, _, _>(insights::record)
        .on::<api::GetLogGroupFields, _, _>(insights::fields_of_group)
        .on::<api::DescribeMetricFilters, _, _>(filters::describe_metric)
        .on::<api::DescribeSubscriptionFilters, _, _>(filters::describe_subscription)
        .on::<api::TestMetricFilter, _, _>(filters::test_metric)
        .on::<api::PutResourcePolicy, _, _>(policies::put)
        .on::<api::DescribeResourcePolicies, _, _>(policies::describe)
        .on::<api::DeleteResourcePolicy, _, _>(policies::delete);
}

/// The telemetry store's errors as the API's.
fn store_error(error: telemetry_store::StoreError) -> ApiError {
    let table = &api::errors::SERVICE_UNAVAILABLE_EXCEPTION;
    match &error {
        telemetry_store::StoreError::DiskFull { .. } => {
            ApiError::new(table, "The log store has no space left; nothing of this request was stored.")
                .caused_by(error)
        }
        _ => ApiError::new(table, "The log store cannot be used at the moment.").caused_by(error),
    }
}

#[cfg(test)]
mod tests;
